"""Scasim: how much time two paths spend in unlike places. Of the library only: models of runs have no durations."""

from __future__ import annotations

import torch
from torch import Tensor

from tsbench.gaze.alignment import in_blocks, most_saved, steps


def scasim(
    first: Tensor,
    second: Tensor,
    first_durations: Tensor,
    second_durations: Tensor,
    centre: Tensor,
    unit: float = 1 / 30,
    distance: float = 60.0,
    modulator: float = 0.83,
) -> Tensor:
    """Least time, ms, by which one path is edited into the other, `(pair,)` (von der Malsburg and Vasishth 2011).

    To leave a fixation out costs its duration. To replace one costs the difference of durations if both are at one
    place and nears their sum as they move apart: the share of the difference is `modulator` to the power of the visual
    angle between them, degrees.

    Args:
        first: `(pair, step, 2)` px, then NaN.
        second: the same.
        first_durations: `(pair, step)` ms.
        second_durations: the same.
        centre: `(pair, 2)` px: the point straight ahead of the eye.
        unit: length of a pixel, in the unit of `distance`.
        distance: from the eye to the display.
        modulator: 0 to 1; a smaller one tells places apart at smaller angles.
    """

    def sight(points: Tensor) -> Tensor:
        """Unit vectors from the eye."""
        flat = (points.double() - centre[:, None]) * unit
        ray = torch.cat([flat, torch.full_like(flat[..., :1], distance)], -1)
        return ray / ray.norm(dim=-1, keepdim=True)

    def one(a: Tensor, first_durations: Tensor, b: Tensor, second_durations: Tensor) -> Tensor:
        chord = (a.transpose(0, 1)[:, None] - b.transpose(0, 1)).norm(dim=-1)
        near = modulator ** (2 * (chord / 2).asin()).rad2deg()
        p, q = first_durations.T, second_durations.T
        # p + q to leave both out; to replace one, near |p - q| + (1 - near) (p + q): less by near 2 min(p, q).
        return p.nansum(0) + q.nansum(0) - most_saved(2 * near * torch.minimum(p[:, None], q), steps(a), steps(b))

    return in_blocks(one, (sight(first), first_durations.double()), (sight(second), second_durations.double()))
