"""Paths as strings: of objects, of cells of a grid, and ScanMatch, which repeats a cell the longer it is looked at."""

from __future__ import annotations

import torch
from torch import Tensor

from tsbench.gaze.alignment import in_blocks, most_saved, steps


def sequence_score(first: Tensor, second: Tensor) -> Tensor:
    """Objects that can be aligned in order, as a share of the longer path, `(pair,)`, 0 to 1; NaN if both are empty.

    Needleman and Wunsch (1970) with match 1, mismatch 0 and gap 0, as in COCO-Search18 (Yang et al. 2020), where
    clusters of fixations stand for objects, and in OAT (Fang et al. 2024).

    Args:
        first: `(pair, step)` int64 objects, then -1.
        second: the same.
    """
    return share(_saved(first, second, 1, 0), first, second)


def edit_distance(first: Tensor, second: Tensor) -> Tensor:
    """Fewest objects to insert, delete or replace, `(pair,)` (Levenshtein 1966); raw, see `share`.

    Args:
        first: `(pair, step)` int64 objects, then -1.
        second: the same.
    """
    return steps(first) + steps(second) - _saved(first, second, 2, 1)


def share(count: Tensor, first: Tensor, second: Tensor) -> Tensor:
    """A number of objects, as of edits, as a share of the longer path, `(pair,)`; NaN if both have none."""
    return count.double() / torch.maximum(steps(first), steps(second))


def _saved(first: Tensor, second: Tensor, same: int, other: int) -> Tensor:
    """See `most_saved`: by aligning the same objects, and others."""

    def one(first: Tensor, second: Tensor) -> Tensor:
        a, b = first.T.int(), second.T.int()
        saved = (a[:, None] == b).to(torch.int16).mul_(same - other).add_(other)
        return most_saved(saved, steps(first), steps(second)).double()

    return in_blocks(one, (first,), (second,))


def cells(points: Tensor, size: Tensor, grid: tuple[int, int]) -> Tensor:
    """Cell of a grid that each point is in, `(path, step)` int64, row by row, then -1.

    Cells are whole pixels wide and high; what is left over, or off the display, belongs to the nearest cell.

    Args:
        points: `(path, step, 2)` px, then NaN.
        size: `(path, 2)` px: width and height of each display.
        grid: columns and rows.
    """
    extent = torch.tensor(grid, device=size.device)
    return _place(points, (size / extent).floor(), extent)


def scanmatch(
    first: Tensor,
    second: Tensor,
    size: Tensor,
    first_durations: Tensor | None = None,
    second_durations: Tensor | None = None,
    bins: tuple[int, int] = (16, 12),
    threshold: float = 3.5,
    gap: float = 0.0,
    temporal_bin: float = 0.0,
) -> Tensor:
    """ScanMatch, `(pair,)`, 1 for the same string of bins (Cristino, Mathôt, Theeuwes and Gilchrist 2010).

    Aligning two bins gains `threshold` less their distance in bins; the best total is divided by what the longer
    string would gain against itself. NaN if no path has any bin.

    Args:
        first: `(pair, step, 2)` px, then NaN.
        second: the same.
        size: `(pair, 2)` px: width and height of each display.
        first_durations: `(pair, step)` ms; only where a temporal bin is given.
        second_durations: the same.
        bins: columns and rows.
        threshold: distance in bins at which aligning gains nothing.
        gap: gain of a bin aligned with nothing; at most 0.
        temporal_bin: ms; a bin is repeated once for each of them, rounded half to even. 0 leaves durations out;
            otherwise fixations of unknown duration are left out.

    Raises:
        ValueError: a temporal bin without durations.
    """
    extent = torch.tensor(bins, device=size.device)
    a, b = (_place(points, size / extent, extent) for points in (first, second))
    if temporal_bin:
        if first_durations is None or second_durations is None:
            raise ValueError("a temporal bin needs durations of both paths, ms")
        a, b = _repeated(a, first_durations / temporal_bin), _repeated(b, second_durations / temporal_bin)
    cell = torch.arange(bins[0] * bins[1], device=size.device)
    place = torch.stack([cell % bins[0], cell // bins[0]], -1).double()
    gain = threshold - torch.cdist(place, place, compute_mode="donot_use_mm_for_euclid_dist")

    def one(first: Tensor, second: Tensor) -> Tensor:
        saved = gain[first.T.clamp(min=0)[:, None], second.T.clamp(min=0)] - 2 * gap
        return most_saved(saved, steps(first), steps(second))

    total = in_blocks(one, (a,), (b,)) + gap * (steps(a) + steps(b))
    return total / (threshold * torch.maximum(steps(a), steps(b)))


def _place(points: Tensor, cell: Tensor, extent: Tensor) -> Tensor:
    """Index of the cell of `(path, 2)` px that each point is in, clamped to a grid of (columns, rows); -1 for NaN."""
    at = (points.double().nan_to_num() / cell[:, None]).floor().long().clamp(min=0).minimum(extent - 1)
    return (at[..., 0] + extent[0] * at[..., 1]).masked_fill(points[..., 0].isnan(), -1)


def _repeated(cells: Tensor, times: Tensor) -> Tensor:
    """Each cell as often as `times`, rounded, says."""
    until = times.nan_to_num().round().long().masked_fill(cells < 0, 0).cumsum(1)
    total = until[:, -1:]
    tick = torch.arange(max(total.flatten().tolist(), default=0), device=cells.device).repeat(len(cells), 1)
    step = torch.searchsorted(until, tick, right=True).clamp(max=cells.shape[1] - 1)
    return cells.gather(1, step).masked_fill(tick >= total, -1)
