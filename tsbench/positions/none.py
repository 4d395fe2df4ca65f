"""None: no positions at all; without a causal mask the encoder sees a set."""

from __future__ import annotations

from tsbench.position import PositionEncoding


class NoPositions(PositionEncoding):
    """NoPE (Kazemnejad et al. 2023)."""

    relative = True
    several = True
    orderless = True
