"""Intervals: the values of a series in numbers, at several granularities, and how much each says of the class."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn import functional as F

from tsbench.series.samples import SeriesSamples

STATISTICS = 3  # mean, standard deviation, rise


def bounds(steps: Tensor, granularities: Sequence[int]) -> tuple[Tensor, Tensor]:
    """First step of each interval and the one after its last: two of `(batch, interval)` int64.

    A series is cut into g equal parts for each granularity g; an interval is empty where it has fewer steps than that.

    Args:
        steps: `(batch,)`: true lengths.
        granularities: numbers of parts.
    """
    parts = torch.tensor([g for g in granularities for _ in range(g)], device=steps.device)
    part = torch.tensor([i for g in granularities for i in range(g)], device=steps.device)
    return steps[:, None] * part // parts, steps[:, None] * (part + 1) // parts


def statistics(x: Tensor, steps: Tensor, granularities: Sequence[int]) -> Tensor:
    """Mean, standard deviation and rise in each interval: `(batch, channel, interval, 3)`; 0 where it is empty.

    The rise is the slope of the least-squares line times the number of steps, so that it has the values' unit.

    Args:
        x: `(batch, time, channel)`.
        steps: `(batch,)`: true lengths.
        granularities: numbers of parts.
    """
    first, end = bounds(steps, granularities)
    values = x.transpose(1, 2).double()
    time = torch.arange(x.shape[1], device=x.device)

    def total(y: Tensor) -> Tensor:
        """Sum of `(batch, channel, time)` over each interval."""
        sums = F.pad(y.cumsum(-1), (1, 0))
        index = torch.stack([end, first])[:, :, None].expand(-1, -1, y.shape[1], -1)
        return sums.gather(-1, index[0]) - sums.gather(-1, index[1])

    count = (end - first)[:, None].clamp(min=1)
    mean = total(values) / count
    variance = (total(values.square()) / count - mean.square()).clamp(min=0)
    middle = (first + end - 1)[:, None] / 2
    # Least squares on 0, 1, ..., n - 1: covariance with time over its variance, (n² - 1) / 12.
    covariance = total(values * time) / count - mean * middle
    slope = 12 * covariance / (count.square() - 1).clamp(min=1)
    found = torch.stack([mean, variance.sqrt(), slope * count], -1)
    return torch.where((end > first)[:, None, :, None], found, 0.0).to(x.dtype)


def value_prior(samples: SeriesSamples, classes: int, granularities: Sequence[int], bins: int) -> tuple[Tensor, Tensor]:
    """How much each interval says of the class, `(channel, interval)`, from 0 to 1, and the bins it was found with.

        prior = 1 - H(class | bin) / H(class),

    the best of the three statistics, each cut into bins of equal count.

    Returns:
        The prior, and the edges between bins, `(channel, interval, 3, bins - 1)`.
    """
    first, end = bounds(samples.steps, granularities)
    known = end > first  # (case, interval)
    shares = torch.linspace(0, 1, bins + 1, device=first.device)[1:-1]
    priors, edges = [], []
    for channel in samples.values.split(1, -1):  # one at a time bounds memory
        found = statistics(channel, samples.steps, granularities)[:, 0].permute(1, 2, 0).contiguous()
        gaps = torch.where(known.T[:, None], found, torch.nan)  # (interval, 3, case)
        edges.append(torch.nanquantile(gaps, shares, -1).permute(1, 2, 0).nan_to_num().contiguous())
        place = torch.searchsorted(edges[-1], found)  # the bin of each case
        told = [information(place[i], samples.target, known[:, i], bins, classes) for i in range(len(place))]
        priors.append(torch.stack(told).amax(-1))
    return torch.stack(priors), torch.stack(edges)


def information(place: Tensor, target: Tensor, known: Tensor, bins: int, classes: int) -> Tensor:
    """1 - H(class | bin) / H(class) of each feature, `(feature,)`; 0 where there is but one class.

    Args:
        place: `(feature, case)`: the bin of each case.
        target: `(case,)`: its class.
        known: `(case,)`: whether it counts.
        bins: number of bins.
        classes: number of classes.
    """
    cell = (place * classes + target)[:, known]
    joint = torch.zeros(len(place), bins * classes, device=place.device).scatter_add_(
        1, cell, torch.ones_like(cell).float()
    )
    joint = joint.view(-1, bins, classes) / known.sum().clamp(min=1)
    whole = _entropy(joint.sum(1))
    left = _entropy(joint.flatten(1)) - _entropy(joint.sum(2))  # H(class, bin) - H(bin)
    return torch.where(whole > 0, 1 - left / whole.clamp(min=1e-12), 0.0).clamp(0, 1)


def _entropy(p: Tensor) -> Tensor:
    """Of distributions along the last axis, in nats."""
    return -torch.xlogy(p, p).sum(-1)
