"""Sinusoidal: a fixed wave for each channel, added to the tokens (Vaswani et al. 2017, section 3.5).

    PE[p, 2c] = sin(p / 10000^(2c / width)),  PE[p, 2c + 1] = cos(p / 10000^(2c / width))

with c = 0..width/2 - 1.
"""

from __future__ import annotations

import torch
from torch import Tensor

from tsbench.position import PositionEncoding, Positions


class Sinusoidal(PositionEncoding):
    """Absolute, but PE[p] · PE[r] depends on p - r only."""

    def embed(self, x: Tensor, positions: Positions) -> Tensor:
        """Tokens `(batch, time, width)` plus the waves of their places."""
        exact = torch.promote_types(x.dtype, torch.float32)
        channel = torch.arange(0, self.width, 2, device=x.device, dtype=exact)
        angle = positions.coords[..., None] * 10000 ** (-channel / self.width)  # (batch or 1, time, pair)
        waves = torch.stack([angle.sin(), angle.cos()], -1).flatten(-2)
        return x + waves[..., : self.width].to(x.dtype)
