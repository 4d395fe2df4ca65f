"""RoPE: queries and keys turned by angles that grow with their places (Su et al. 2021, section 3.2).

R channels of each head form pairs c = 0..R/2 - 1, and pair c at place p is turned by p θ_c, θ_c = base^(-2c / R), so
that scores depend on p_i - p_j only. Of several axes, each has an equal share of the pairs, with an R of its own.

For sequences longer than those trained on (Chen et al. 2023; bloc97 2023; Pal et al. 2023, Giraffe):

    linear     p / factor for p
    ntk        base · factor^(R / (R - 2)) for base: the highest frequency stays, the lowest is divided by factor
    truncated  with b = 2π / length: θ_c if at least b, b / 16 if at least b / 8, else 0

xPos (Sun et al. 2022) lets scores fall with distance: queries times ζ_c^(p / 512), keys times ζ_c^(-p / 512), with
ζ_c = (2c + 0.4 R) / (1.4 R). Scores of keys after the query would grow, so it is for causal attention.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F

from tsbench.errors import UsageError, unknown
from tsbench.position import PositionEncoding, Positions

LAYOUTS = ("half", "interleaved")
SCALINGS = ("none", "linear", "ntk", "truncated")


@dataclass(frozen=True)
class RopeConfig:
    """Settings of RoPE."""

    layout: str = "half"  # pair c is channels c and c + R/2; or interleaved: channels 2c and 2c + 1
    fraction: float = 1.0  # of a head's channels that are turned
    base: float = 10000.0
    scaling: str = "none"  # or linear, ntk, truncated
    factor: float = 1.0  # of linear and ntk: how many times longer than trained on
    length: int = 512  # of truncated: the training length
    xpos: bool = False

    def __post_init__(self) -> None:
        """Refuse what means nothing."""
        for name, known in (("layout", LAYOUTS), ("scaling", SCALINGS)):
            if getattr(self, name) not in known:
                raise unknown(f"rope {name}", getattr(self, name), known)
        if not 0 < self.fraction <= 1:
            raise UsageError(f"rope: fraction={self.fraction} must be above 0 and at most 1")
        if self.base <= 1 or self.factor <= 0 or self.length < 1:
            raise UsageError(
                f"rope: base={self.base} must be above 1, factor={self.factor} above 0, length={self.length} at least 1"
            )
        if self.factor != 1 and self.scaling not in ("linear", "ntk"):
            raise UsageError(f"rope: factor={self.factor} does nothing with scaling={self.scaling}; use linear or ntk")


class Rope(PositionEncoding):
    """Relative, without parameters."""

    Config = RopeConfig
    config: RopeConfig
    relative = True
    several = True

    def __init__(self, width: int, heads: int, config: RopeConfig, head_width: int = 0) -> None:
        super().__init__(width, heads, config, head_width)
        self.causal_only = config.xpos
        self.turned = int(config.fraction * self.head_width) // 2 * 2
        if not self.turned:
            raise UsageError(
                f"rope: fraction={config.fraction} of a head's {self.head_width} channels is not one pair; "
                f"use fewer heads, more width or a larger fraction"
            )

    def transform(self, q: Tensor, k: Tensor, positions: Positions) -> tuple[Tensor, Tensor]:
        """Queries and keys, `(batch, head, time, head_width)`, turned.

        Raises:
            UsageError: an axis has no pair of channels, or there are several with xPos.
        """
        places = positions.axes.to(torch.promote_types(q.dtype, torch.float32))  # (batch or 1, time, axis)
        angle = places[..., None] * self.frequencies(places, self._share(places.shape[-1]))
        angle = angle.flatten(2)[:, None]  # (batch or 1, 1, time, pair)
        angle = F.pad(angle, (0, self.turned // 2 - angle.shape[-1]))  # pairs that are left over stay as they are
        cos, sin = angle.cos(), angle.sin()
        if not self.config.xpos:
            return self._turn(q, cos, sin), self._turn(k, cos, sin)
        zeta = (_channels(places, self.turned) + 0.4 * self.turned) / (1.4 * self.turned)
        scale = zeta ** (places[:, None] / 512)
        return self._turn(q, cos * scale, sin * scale), self._turn(k, cos / scale, sin / scale)

    def _share(self, axes: int) -> int:
        """Channels for each axis."""
        share = self.turned // axes // 2 * 2
        if not share:
            raise UsageError(f"rope: a head turns {self.turned} channels, under 2 for each of {axes} axes")
        if axes > 1 and self.config.xpos:
            raise UsageError("rope: xpos is along one axis only, as scores must fall with each step back")
        return share

    def frequencies(self, like: Tensor, turned: int | None = None) -> Tensor:
        """Radians a step of each pair among `turned` channels, of the type and on the device of `like`."""
        turned = turned or self.turned
        config, base = self.config, self.config.base
        if config.scaling == "ntk" and turned > 2:  # a single pair has frequency 1 with any base
            base *= config.factor ** (turned / (turned - 2))
        theta = base ** (-_channels(like, turned) / turned)
        if config.scaling == "linear":
            return theta / config.factor
        if config.scaling == "truncated":
            slowest = 2 * math.pi / config.length  # one turn within the training length
            theta = torch.where(theta >= slowest, theta, (theta >= slowest / 8).to(theta.dtype) * (slowest / 16))
        return theta

    def _turn(self, x: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
        """Each pair (a, b) as (a cos - b sin, b cos + a sin); channels beyond the pairs as they are."""
        pairs, rest = x[..., : self.turned], x[..., self.turned :]
        half = self.config.layout == "half"
        a, b = pairs.chunk(2, -1) if half else pairs.unflatten(-1, (-1, 2)).unbind(-1)
        a, b = a * cos - b * sin, b * cos + a * sin
        pairs = torch.cat([a, b], -1) if half else torch.stack([a, b], -1).flatten(-2)
        return torch.cat([pairs.to(x.dtype), rest], -1)


def _channels(like: Tensor, turned: int) -> Tensor:
    """0, 2, ..., R - 2: twice the number of each pair."""
    return torch.arange(0, turned, 2, device=like.device, dtype=like.dtype)
