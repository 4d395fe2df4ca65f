"""Gaussian: a fixed code whose likeness falls with distance as a Gaussian (OAT, Fang et al. 2024), in closed form.

    cos(code(a), code(b)) = exp(-(a - b)² / 2σ²)   along each axis, for real a and b, nearly

A Gaussian is the mean of cos(w d) over frequencies w drawn from a normal distribution of deviation 1/σ. Instead of
draws, the code has K frequencies w_k, each as a cosine and a sine, weighed by the density and by the gap around each:

    w_k = 3.5/σ sinh(2 t_k) / sinh(2),  t_k = (k + ½) / K,  p_k ~ exp(-σ² w_k² / 2) cosh(2 t_k),  Σ p_k = 1
    code(a) = √(2K) [√p_k cos(w_k a), √p_k sin(w_k a)]

so that every code has the norm √(2K), and its values a mean square of 1. With gaps that are all alike, likeness would
come back whole, far away; with these, that grow, the waves never meet again. OAT fits a table to this aim, in 10,000
steps of an optimizer.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F

from tsbench.errors import UsageError
from tsbench.position import PositionEncoding, Positions

DEVIATIONS = 3.5  # highest frequency, in deviations: beyond it lie 5e-4 of the normal distribution
STRETCH = 2.0  # gaps between frequencies grow up to cosh(2) = 3.8 times


@dataclass(frozen=True)
class GaussianConfig:
    """Settings of the Gaussian code."""

    sigma: float = 2.0  # the distance at which likeness has fallen to exp(-1/2)

    def __post_init__(self) -> None:
        """Refuse what means nothing."""
        if self.sigma <= 0:
            raise UsageError(f"gaussian: sigma={self.sigma} must be above 0")


class Gaussian(PositionEncoding):
    """Added to the tokens, each axis in its share of the width.

    Largest errors of the likeness, for K pairs an axis and up to distances of 4, 6.5, 10 and 15 σ:

        K = 5 (OAT, width 64)    .011   .126   .36    .77
        K = 10 (width 128)       .0006  .0008  .013   .14
        K = 16                   .0007  .0007  .0007  .006
        K = 42 (width 512)       .0008 up to 20 σ
    """

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
        t = (torch.arange(pairs, device=x.device, dtype=exact) + 0.5) * (STRETCH / pairs)
        frequency = t.sinh() * (DEVIATIONS / math.sinh(STRETCH))
        share = (t.cosh().log() - 0.5 * frequency.square()).softmax(0)
        angle = places[..., None] * (frequency / self.config.sigma)  # (batch or 1, time, axis, pair)
        code = torch.stack([angle.cos(), angle.sin()], -1) * (2 * pairs * share).sqrt()[:, None]
        code = code.flatten(-3)  # (batch or 1, time, axis * pair * 2)
        return x + F.pad(code, (0, self.width - code.shape[-1])).to(x.dtype)
