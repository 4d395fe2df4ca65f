"""Gaussian: a fixed code whose likeness falls with distance as a Gaussian (OAT, Fang et al. 2024), in closed form.

    cos(code(a), code(b)) = exp(-(a - b)² / 2σ²)   along each axis, for all real a and b

A Gaussian is the mean of cos(w d) over frequencies w drawn from a normal distribution of deviation 1/σ. Instead of
draws, the code has the K midpoints w_k of [0, 6/σ], each as a cosine and a sine, weighed by the density:

    code(a) = √(2K) [√p_k cos(w_k a), √p_k sin(w_k a)],  Σ p_k = 1

so that every code has the norm √(2K). OAT fits a table to this aim, in 10,000 steps of an optimizer.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F

from tsbench.errors import UsageError
from tsbench.position import PositionEncoding, Positions

DEVIATIONS = 6.0  # highest frequency, in deviations: beyond it lie 2e-9 of the normal distribution


@dataclass(frozen=True)
class GaussianConfig:
    """Settings of the Gaussian code."""

    sigma: float = 2.0  # the distance at which likeness has fallen to exp(-1/2)

    def __post_init__(self) -> None:
        """Refuse what means nothing."""
        if self.sigma <= 0:
            raise UsageError(f"gaussian: sigma={self.sigma} must be above 0")


class Gaussian(PositionEncoding):
    """Added to the tokens, each axis in its share of the width; exact to 1e-6 up to distances of half of Kσ."""

    Config = GaussianConfig
    config: GaussianConfig
    several = True

    def embed(self, x: Tensor, positions: Positions) -> Tensor:
        """Tokens `(batch, time, width)` plus the codes of their places.

        Raises:
            UsageError: an axis has no pair of channels.
        """
        places = positions.axes
        pairs = self.width // places.shape[-1] // 2
        if not pairs:
            raise UsageError(f"gaussian: width={self.width} is under 2 for each of {places.shape[-1]} axes")
        exact = torch.promote_types(x.dtype, torch.float32)
        middle = (torch.arange(pairs, device=x.device, dtype=exact) + 0.5) * (DEVIATIONS / pairs)
        share = (-0.5 * middle.square()).softmax(0)
        angle = places[..., None] * (middle / self.config.sigma)  # (batch or 1, time, axis, pair)
        code = torch.stack([angle.cos(), angle.sin()], -1) * (2 * pairs * share).sqrt()[:, None]
        code = code.flatten(-3)  # (batch or 1, time, axis * pair * 2)
        return x + F.pad(code, (0, self.width - code.shape[-1])).to(x.dtype)
