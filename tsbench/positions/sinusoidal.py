"""Sinusoidal: a fixed wave for each channel, added to the tokens (Vaswani et al. 2017, section 3.5).

    PE[p, 2c] = sin(p / 10000^(2c / width)),  PE[p, 2c + 1] = cos(p / 10000^(2c / width))

with c = 0..width/2 - 1. Of several axes, each has an equal share of the width.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

from tsbench.position import PositionEncoding, Positions


class Sinusoidal(PositionEncoding):
    """Absolute, but PE[p] · PE[r] depends on p - r only."""

    several = True

    def embed(self, x: Tensor, positions: Positions) -> Tensor:
        """Tokens `(batch, time, width)` plus the waves of their places."""
        exact = torch.promote_types(x.dtype, torch.float32)
        share = self.width // positions.axes.shape[-1]
        channel = torch.arange(0, share, 2, device=x.device, dtype=exact)
        angle = positions.axes[..., None] * 10000 ** (-channel / share)  # (batch or 1, time, axis, pair)
        waves = torch.stack([angle.sin(), angle.cos()], -1).flatten(-2)[..., :share].flatten(-2)
        return x + F.pad(waves, (0, self.width - waves.shape[-1])).to(x.dtype)
