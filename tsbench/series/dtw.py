"""Dynamic time warping of every pair of two sets of series at once, anti-diagonal by anti-diagonal."""

from __future__ import annotations

import torch
from torch import Tensor


def dtw(x: Tensor, y: Tensor, x_steps: Tensor, y_steps: Tensor, radius: int) -> Tensor:
    """Least sum of squared Euclidean distances along a warping path, `(first, second)` (Sakoe & Chiba 1978).

    Cells (i, j) of one anti-diagonal, i + j = k, depend on the two before it only, so that all of them, and all pairs,
    are computed at once. A path keeps |i - j| <= radius, and the longer of two series may run ahead by its excess.

    Args:
        x: `(first, time, channel)`.
        y: `(second, time, channel)`.
        x_steps: true steps of each, `(first,)`; what follows them counts for nothing.
        y_steps: the same of y, `(second,)`.
        radius: of the band (Sakoe-Chiba); that of the longest series is no bound.
    """
    centre = y.mean((0, 1))  # distances do not change, and lose less to rounding
    rows, columns = x.shape[1], y.shape[1]
    a, b = _factors(x - centre, y - centre)
    longer = (x_steps[:, None] - y_steps).clamp(min=0)
    shorter = (y_steps - x_steps[:, None]).clamp(min=0)
    ahead, behind = radius + int(longer.max()), radius + int(shorter.max())  # bounds of i - j over all pairs
    last = x_steps[:, None] + y_steps - 2  # anti-diagonal of each pair's last cell
    first_end = int(last.min())
    found = torch.zeros_like(last, dtype=x.dtype)
    # Row i + 1 of each is for x's step i; row 0 stands for what is before the start.
    before, previous, now = x.new_full((3, rows + 1, len(x), len(y)), torch.inf)
    before[0] = 0
    for k in range(rows + columns - 1):
        low = max(0, k - columns + 1, (k - behind + 1) // 2)
        high = max(low, min(rows, k + 1, (k + ahead) // 2 + 1))
        cells, flipped = now[low + 1 : high + 1], columns - 1 - k
        torch.bmm(a[low:high], b[low + flipped : high + flipped], out=cells)
        cells += torch.minimum(torch.minimum(previous[low:high], previous[low + 1 : high + 1]), before[low:high])
        if ahead + behind > 2 * radius and radius < max(rows, columns):  # pairs differ in their band
            off = 2 * torch.arange(low, high, device=x.device)[:, None, None] - k
            cells.masked_fill_((off > radius + longer) | (off < -radius - shorter), torch.inf)
        now[low] = torch.inf
        now[high + 1 : high + 2] = torch.inf
        if k >= first_end:
            end = now[x_steps, torch.arange(len(x), device=x.device)]  # (first, second)
            found = torch.where(last == k, end, found)
        before, previous, now = previous, now, before
    return found


def _factors(x: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
    """Matrices whose product at (i, j) is |x_i - y_j|²: `(time, first, channel + 2)` and `(time, channel + 2, second)`.

    |x|² - 2 x y + |y|², and y's time runs backwards, so that an anti-diagonal is a slice of both.
    """
    squares = [part.square().sum(-1, keepdim=True) for part in (x, y)]
    a = torch.cat([squares[0], torch.ones_like(squares[0]), -2 * x], -1)
    b = torch.cat([torch.ones_like(squares[1]), squares[1], y], -1)
    return a.transpose(0, 1).contiguous(), b.permute(1, 2, 0).flip(0).contiguous()
