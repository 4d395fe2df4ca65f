"""DTW-I: the class of the nearest training case under dynamic time warping, each channel warped by itself."""

from __future__ import annotations

import torch
from torch import Tensor

from tsbench.models.dtw_d import DtwD
from tsbench.series.dtw import dtw


class DtwI(DtwD):
    """As DTW-D, but distance = the sum of the channels' own."""

    def distances(self, x: Tensor, y: Tensor, x_steps: Tensor, y_steps: Tensor) -> Tensor:
        """Between each of x and each of y, `(first, second)`."""
        pairs = zip(x.split(1, -1), y.split(1, -1), strict=True)
        return torch.stack([dtw(a, b, x_steps, y_steps, self.radius) for a, b in pairs]).sum(0)
