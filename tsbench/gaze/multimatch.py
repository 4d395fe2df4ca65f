"""MultiMatch: how alike two paths are in shape, direction, length, position and duration."""

from __future__ import annotations

import math

import torch
from torch import Tensor
from torch.nn import functional as F

from tsbench.gaze.alignment import cheapest_path, in_blocks, steps

PARTS = ("shape", "direction", "length", "position", "duration")
LEAST = 3  # fixations of a path; with fewer it has no two saccades to compare


def multimatch(
    first: Tensor,
    second: Tensor,
    size: Tensor,
    first_durations: Tensor | None = None,
    second_durations: Tensor | None = None,
    pad_short: bool = False,
) -> Tensor:
    """The five `PARTS`, `(pair, 5)` float64, 1 for alike (Jarodzka et al. 2010; Dewhurst et al. 2012).

    Saccades are aligned along the cheapest walk from the first pair of them to the last, the cost being the length of
    their difference; each part is 1 less the median difference along it, over its greatest (twice the diagonal of the
    display, pi, the diagonal, the diagonal, the longer duration). Paths are not simplified. Where walks cost the same,
    `alignment.cheapest_path` says which is taken; other programs may take another. NaN for paths of fewer than three
    fixations, and for the duration where none is known.

    Args:
        first: `(pair, step, 2)` px, then NaN.
        second: the same.
        size: `(pair, 2)` px: width and height of each display.
        first_durations: `(pair, step)`, in any unit.
        second_durations: the same.
        pad_short: fill paths up to three fixations with the point (1, 1), for a duration of 1, as OAT does.
    """
    a, b = _path(first, first_durations, pad_short), _path(second, second_durations, pad_short)
    long = torch.minimum(steps(a[0]), steps(b[0])) >= LEAST
    found = size.new_full((len(size), len(PARTS)), torch.nan, dtype=torch.float64)
    if long.any():
        medians = in_blocks(_medians, (a[0][long], a[1][long]), (b[0][long], b[1][long]))
        diagonal = size[long].double().norm(dim=1)
        one = torch.ones_like(diagonal)
        found[long] = 1 - medians / torch.stack([2 * diagonal, math.pi * one, diagonal, diagonal, one], 1)
    return found


def _path(points: Tensor, durations: Tensor | None, pad_short: bool) -> tuple[Tensor, Tensor]:
    """Points and durations, float64; the latter NaN where unknown."""
    points = points.double()
    durations = torch.full_like(points[..., 0], torch.nan) if durations is None else durations.double()
    if pad_short:
        more = max(0, LEAST - points.shape[1])
        points, durations = F.pad(points, (0, 0, 0, more), value=torch.nan), F.pad(durations, (0, more))
        short = points[..., 0].isnan()
        short[:, LEAST:] = False
        points, durations = points.masked_fill(short[..., None], 1.0), durations.masked_fill(short, 1.0)
    return points, durations


def _medians(first: Tensor, first_durations: Tensor, second: Tensor, second_durations: Tensor) -> Tensor:
    """Median differences of aligned saccades, `(pair, 5)`: vector, angle, length, start, share of duration."""
    a, b = first.diff(dim=1), second.diff(dim=1)
    x, y = (p.T[:, None] - q.T for p, q in zip(a.unbind(-1), b.unbind(-1), strict=True))  # (first, second, pair)
    cost = x.square_().addcmul_(y, y).sqrt_()
    i, j = cheapest_path(cost, steps(a), steps(b))
    pair, on = torch.arange(len(first), device=first.device), i >= 0

    def at(values: Tensor, step: Tensor) -> Tensor:
        return values[pair, step.clamp(min=0)]

    u, v, p, q = at(a, i), at(b, j), at(first_durations, i), at(second_durations, j)
    turn = (_angle(u) - _angle(v)).abs()
    differences = torch.stack([
        (u - v).norm(dim=-1),
        torch.minimum(turn, 2 * math.pi - turn),
        (u.norm(dim=-1) - v.norm(dim=-1)).abs(),
        (at(first, i) - at(second, j)).norm(dim=-1),
        (p - q).abs() / torch.maximum(p, q),
    ])  # fmt: skip
    ordered = differences.masked_fill(~on, torch.inf).sort(1).values  # (part, cell, pair)
    middle = torch.stack([on.sum(0) - 1, on.sum(0)]) // 2
    median: Tensor = ordered[:, middle, pair].mean(1).T
    return median.masked_fill((differences.isnan() & on).any(1).T, torch.nan)


def _angle(saccade: Tensor) -> Tensor:
    return torch.atan2(saccade[..., 1], saccade[..., 0])
