"""Motifs: subsequences that recur within a class, found by matrix profile; where they match; how well they tell.

For each class, channel and window, all pairs of the class's subsequences are compared. The distance of each to its
nearest neighbour is the matrix profile (Yeh et al. 2016); its smallest values are motifs. Distances are root mean
squares over the steps of the window, so that windows can be compared.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, fields

import torch
from torch import Tensor
from torch.nn import functional as F

from tsbench.series.samples import SeriesSamples

BLOCK = 2**22  # values of distances that are in memory at once


@dataclass(frozen=True)
class Motifs:
    """Motifs of one window.

    Attributes:
        shapes: `(motif, window)`: their values as they are in the series.
        channel: `(motif,)` int64, as all that follow: where they are from.
        label: their class.
        case: index among the cases they were found in.
        start: first step in that case.
        prior: `(motif,)` from 0 to 1: how much nearer cases of their class come to them than other cases.
    """

    shapes: Tensor
    channel: Tensor
    label: Tensor
    case: Tensor
    start: Tensor
    prior: Tensor

    def best(self, count: int) -> Motifs:
        """The `count` of highest prior, in their order; all where there are no more."""
        kept = self.prior.argsort(descending=True, stable=True)[:count].sort().values
        return Motifs(*(getattr(self, field.name)[kept] for field in fields(self)))


def window_lengths(length: int, least: int = 3) -> tuple[int, ...]:
    """Windows for series of `length` steps, ascending: the rule of SVP-T (Zuo et al., AAAI 2023).

    Up to 200 steps 10, 20 and 30 %; up to 1,000 steps 5, 10 and 20 %; else 50, 100 and 200 steps. None is below
    `least` steps, or above `length`.
    """
    if length > 1000:
        sizes: Sequence[int] = (50, 100, 200)
    else:
        percent = (10, 20, 30) if length <= 200 else (5, 10, 20)
        sizes = [length * p // 100 for p in percent]
    return tuple(sorted({min(max(size, least), length) for size in sizes}))


def find_motifs(
    samples: SeriesSamples, classes: int, window: int, count: int, most: int, standardise: bool, seed: int
) -> Motifs:
    """Up to `count` motifs of each class and channel, without their prior (it is 0).

    Args:
        samples: the cases to find them in.
        classes: number of classes.
        window: steps of a motif.
        count: most motifs of a class and channel.
        most: subsequences that are compared; where a class has more, so many are drawn, evenly.
        standardise: compare shapes only: each subsequence has mean 0 and deviation 1; a constant one is no motif.
        seed: of the draw.
    """
    found = [
        _of_class(samples, label, window, count, most, standardise, torch.Generator().manual_seed(seed))
        for label in range(classes)
    ]
    return Motifs(*(torch.cat([getattr(part, field.name) for part in found]) for field in fields(Motifs)))


def _of_class(
    samples: SeriesSamples, label: int, window: int, count: int, most: int, standardise: bool, random: torch.Generator
) -> Motifs:
    case, start = subsequences(samples, label, window)
    if len(case) > most:
        drawn = torch.randperm(len(case), generator=random)[:most].sort().values.to(case.device)
        case, start = case[drawn], start[drawn]
    steps = start[:, None] + torch.arange(window, device=start.device)
    raw = samples.values[case[:, None], steps].permute(2, 0, 1)  # (channel, subsequence, window)
    near = raw - raw[:, :1, :1]  # a level far from 0 would drown the differences of squares in the profile
    x, flat = standardised(raw) if standardise else (near, torch.zeros_like(near[..., 0], dtype=torch.bool))
    distance, neighbour = matrix_profile(x, case, start, window // 2)
    picked = pick(distance.masked_fill(flat, math.inf), neighbour, case, start, window // 2, count)
    channel, rank = (picked >= 0).nonzero(as_tuple=True)
    index = picked[channel, rank]
    here = torch.full_like(index, label)
    return Motifs(
        raw[channel, index], channel, here, case[index], start[index], torch.zeros_like(raw[channel, index, 0])
    )


def subsequences(samples: SeriesSamples, label: int, window: int) -> tuple[Tensor, Tensor]:
    """Case and first step of all subsequences of a class, `(subsequence,)` int64; none reaches beyond its case."""
    cases = (samples.target == label).nonzero()[:, 0]
    inside = samples.steps[cases, None] - window >= torch.arange(samples.values.shape[1], device=cases.device)
    row, start = inside.nonzero(as_tuple=True)
    return cases[row], start


def standardised(x: Tensor) -> tuple[Tensor, Tensor]:
    """Mean 0 and deviation 1 along the last axis, and which are constant: these become 0."""
    centred = x - x.mean(-1, keepdim=True)
    deviation = centred.square().mean(-1, keepdim=True).sqrt()
    flat = deviation <= 1e-5 * x.square().mean(-1, keepdim=True).sqrt()
    return torch.where(flat, 0.0, centred / torch.where(flat, 1.0, deviation)), flat[..., 0]


def matrix_profile(x: Tensor, case: Tensor, start: Tensor, zone: int) -> tuple[Tensor, Tensor]:
    """Distance of each subsequence to its nearest neighbour, and which that is; infinite where there is none.

    Neighbours within `zone` steps in the same case do not count. Blocks of |x - y|² = |x|² - 2 (x·y - |y|²/2) are
    matrix products; the most memory is `BLOCK` values and the subsequences themselves.

    Args:
        x: `(channel, subsequence, window)`, ordered by case and start.
        case: `(subsequence,)`.
        start: `(subsequence,)`.
        zone: steps.

    Returns:
        Two of `(channel, subsequence)`.
    """
    channels, count, window = x.shape
    square = x.square().sum(-1)
    keys = torch.cat([x, -0.5 * square[..., None]], -1).transpose(1, 2)  # the last row times 1 is -|y|²/2
    queries = F.pad(x, (0, 1), value=1.0)
    nearest = torch.full_like(square, -math.inf)
    neighbour = torch.zeros(channels, count, dtype=torch.int64, device=x.device)
    rows = max(1, BLOCK // max(1, channels * count))
    for first in range(0, count, rows):
        block = slice(first, min(first + rows, count))
        product = queries[:, block] @ keys  # (channel, row, subsequence)
        near = slice(max(0, first - zone), block.stop + zone)  # order puts all of the zone there
        same = case[block, None] == case[None, near]
        close = same & ((start[block, None] - start[None, near]).abs() <= zone)
        product[..., near].masked_fill_(close, -math.inf)
        nearest[:, block], neighbour[:, block] = product.max(-1)
    return ((square - 2 * nearest).clamp(min=0) / window).sqrt(), neighbour


def pick(distance: Tensor, neighbour: Tensor, case: Tensor, start: Tensor, zone: int, count: int) -> Tensor:
    """The `count` best subsequences of each channel, `(channel, count)`, best first; -1 where there are no more.

    Each pick takes what is within `zone` steps of it, and of its neighbour, out of the race.
    """
    picked = torch.full((len(distance), count), -1, device=distance.device)
    for k in range(count if distance.shape[1] else 0):
        least, best = distance.min(1)
        picked[:, k] = torch.where(least.isfinite(), best, -1)
        for member in (best, neighbour.gather(1, best[:, None])[:, 0]):
            near = (case == case[member, None]) & ((start - start[member, None]).abs() <= zone)
            distance = distance.masked_fill(near, math.inf)
    return picked


def match(
    x: Tensor, steps: Tensor, shapes: Tensor, channel: Tensor, standardise: bool = False
) -> tuple[Tensor, Tensor]:
    """Where each series comes nearest to each shape, and how near: `(batch, motif)` first steps and distances.

    Args:
        x: `(batch, time, channel)`.
        steps: `(batch,)`: true length of each series, beyond which there is no match.
        shapes: `(motif, window)`.
        channel: `(motif,)`: the channel each is compared with.
        standardise: compare shapes only, as `find_motifs`.

    Returns:
        First steps, and distances; infinite, with a first step of 0, where the series is shorter than the window.
    """
    window = shapes.shape[1]
    if not len(shapes):
        return torch.zeros(len(x), 0, dtype=torch.int64, device=x.device), x.new_zeros(len(x), 0)
    x = F.pad(x.transpose(1, 2), (0, max(0, window - x.shape[1])))
    # A level far from 0 would drown the differences of squares below; without it, no distance is another.
    if standardise:
        x, shapes = x - x[..., :1], standardised(shapes - shapes[:, :1])[0]
    else:
        level = x[0, :, 0]  # one for all, as levels count here; any that is near will do
        x, shapes = x - level[:, None], shapes - level[channel, None]
    rows = max(1, BLOCK // max(1, len(shapes) * x.shape[2]))
    parts = [_match(x[i : i + rows], steps[i : i + rows], shapes, channel, standardise) for i in range(0, len(x), rows)]
    start, distance = (torch.cat(part) for part in zip(*parts, strict=True))
    return start, distance


def _match(x: Tensor, steps: Tensor, shapes: Tensor, channel: Tensor, standardise: bool) -> tuple[Tensor, Tensor]:
    """`match` of few series `(batch, channel, time)`."""
    count, window = shapes.shape
    energy = F.avg_pool1d(x.square(), window, 1)  # (batch, channel, place), mean squares
    product = F.conv1d(x[:, channel], shapes[:, None] / window, groups=count)  # (batch, motif, place)
    if standardise:  # shapes have mean 0, so that the series' own mean does not matter
        deviation = (energy - F.avg_pool1d(x, window, 1).square()).clamp(min=0).sqrt()
        flat = deviation <= 1e-3 * energy.sqrt()  # coarser than `standardised`: a difference of squares errs by 3e-4
        correlation = product / torch.where(flat, 1.0, deviation)[:, channel]
        alike = torch.where(flat[:, channel], 0.0, correlation)
        square = shapes.square().mean(1)[:, None] + (~flat)[:, channel] - 2 * alike
    else:
        square = energy[:, channel] - 2 * product + shapes.square().mean(1)[:, None]
    places = torch.arange(square.shape[-1], device=x.device)
    beyond = places > (steps - window)[:, None]
    least, start = square.masked_fill(beyond[:, None], math.inf).min(-1)
    return start, least.clamp(min=0).sqrt()


def shape_prior(samples: SeriesSamples, motifs: Motifs, standardise: bool = False) -> Tensor:
    """How much nearer a motif's own class comes to it than the others: `(motif,)`.

        prior = between / (within + between)

    `within` is the mean distance of the cases of its class, but the one it is from; `between` that of all others.
    It is 1/2 where either has no case.
    """
    totals = torch.zeros(2, 2, len(motifs.label), device=motifs.label.device)  # (within or between, sum or count)
    size = max(1, BLOCK // max(1, samples.values[0].numel()))
    for indices in torch.arange(len(samples), device=samples.values.device).split(size):
        part = samples.select(indices)
        distance = match(part.values, part.steps, motifs.shapes, motifs.channel, standardise)[1]
        known = distance.isfinite() & (indices[:, None] != motifs.case)
        own = part.target[:, None] == motifs.label
        for i, among in enumerate((known & own, known & ~own)):
            totals[i] += torch.stack([distance.where(among, 0.0).sum(0), among.sum(0)])
    within, between = totals[:, 0] / totals[:, 1]
    prior = between / (within + between)
    return torch.where(prior.isfinite(), prior, 0.5)
