"""Alignment of two paths, of many pairs at once: the best edit, and the cheapest walk through a matrix of costs.

The table of one pair has a row for each step of the first path and a column for each of the second. Cells of one
anti-diagonal depend on the two before it only, so all of them, in all pairs, are filled at once. With its columns
reversed, the anti-diagonals of a table are its diagonals, which PyTorch gives as views.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

import torch
from torch import Tensor

BLOCK = 256  # pairs aligned together: their tables stay in the processor's cache


def steps(path: Tensor) -> Tensor:
    """Length of each path, `(path,)`: of objects `(path, step)`, then -1, or of points `(path, step, 2)`, then NaN."""
    return (~path[..., 0].isnan() if path.is_floating_point() else path >= 0).sum(1)


def in_blocks(score: Callable[..., Tensor], first: tuple[Tensor, ...], second: tuple[Tensor, ...]) -> Tensor:
    """`score(*first, *second)`, `(pair, ...)`, of pairs of like length together, cut to the longest among them.

    Args:
        score: of pairs that do not depend on each other.
        first: `(pair, step, ...)` each; the first of them says how long the paths are, see `steps`.
        second: the same of the other path of each pair.
    """
    lengths = torch.stack([steps(first[0]), steps(second[0])])
    order = lengths.amax(0).argsort()
    found = []
    for block in order.split(BLOCK):
        n, m = (max(row, default=0) for row in lengths[:, block].tolist())
        found.append(score(*(x[block, :n] for x in first), *(x[block, :m] for x in second)))
    return torch.cat(found)[order.argsort()]


def most_saved(saved: Tensor, n: Tensor, m: Tensor) -> Tensor:
    """Most that aligning two paths in order can save over leaving out all of both, `(pair,)`.

    What an edit costs at least (Needleman and Wunsch 1970; Wagner and Fischer 1974) is what it costs to leave out all
    steps, less this; so that the table needs no costs of gaps.

    Args:
        saved: `(first, second, pair)`: by aligning two steps, over leaving both out.
        n: steps of each first path, `(pair,)`; what follows them counts for nothing.
        m: the same of the second.
    """
    rows, columns, pairs = saved.shape
    table = saved.new_zeros(rows + 1, columns + 1, pairs)
    for both, above, beside, here, more in _diagonals(table, saved.flip(1)):
        torch.maximum(torch.maximum(both + more, above), beside, out=here)
    return table[n, columns - m, torch.arange(pairs, device=n.device)]


def cheapest_path(cost: Tensor, n: Tensor, m: Tensor) -> tuple[Tensor, Tensor]:
    """Cells (i, j) of the cheapest walk from (0, 0) to (n - 1, m - 1), last first, `(cell, pair)` each, then -1.

    A step goes one on in either path or in both; where walks cost the same, one that goes on in both is taken, else
    one that goes on in the first.

    Args:
        cost: `(first, second, pair)` of entering a cell.
        n: rows of each pair, at least 1, `(pair,)`.
        m: columns of each.
    """
    rows, columns, pairs = cost.shape
    table = cost.new_full((rows + 1, columns + 1, pairs), torch.inf)
    table[0, columns] = 0
    for both, above, beside, here, more in _diagonals(table, cost.flip(1)):
        torch.add(torch.minimum(torch.minimum(both, above), beside), more, out=here)
    pair, i, j, cells = torch.arange(pairs, device=n.device), n, m, []
    while (i > 0).any():
        cells.append(torch.stack([i, j]) - 1)
        up, left = (i - 1).clamp(min=0), (j - 1).clamp(min=0)
        both, above, beside = (table[a, columns - b, pair] for a, b in ((up, left), (up, j), (i, left)))
        is_both = both <= torch.minimum(above, beside)
        i, j = torch.where(is_both | (above <= beside), up, i), torch.where(is_both | (above > beside), left, j)
    i, j = torch.stack(cells).unbind(1)
    return i, j


def _diagonals(table: Tensor, cells: Tensor) -> Iterator[tuple[Tensor, ...]]:
    """Views of one anti-diagonal after another: the cells before it, both ways on and each, its own, and `cells`.

    Columns are reversed; `table` has a row and a column more, for what is before the start.
    """
    parts = (table[:-1, 1:], table[:-1, :-1], table[1:, 1:], table[1:, :-1], cells)
    for offset in range(cells.shape[1] - 1, -cells.shape[0], -1):
        yield tuple(part.diagonal(offset) for part in parts)
