"""Shaw: a learned key and value for each distance (Shaw et al. 2018, equations 3 and 4).

    score_ij = q_i · (k_j + K[c]) / sqrt(head_width),  out_i = sum_j weight_ij (v_j + V[c])

with c = p_j - p_i, clipped to ±reach.

Both tables have 2 reach + 1 rows, which all heads and layers share, so a query has only that many products to
make, and `(query, key, head_width)` is never made.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from tsbench.errors import UsageError
from tsbench.position import PositionEncoding, Positions


@dataclass(frozen=True)
class ShawConfig:
    """Settings of Shaw's positions."""

    reach: int = 16  # longest distance with a row of its own

    def __post_init__(self) -> None:
        """Refuse what means nothing."""
        if self.reach < 1:
            raise UsageError(f"shaw: reach={self.reach} must be at least 1")


class Shaw(PositionEncoding):
    """Relative; as it reads the attention weights, there is no fused kernel."""

    Config = ShawConfig
    config: ShawConfig
    relative = True

    def __init__(self, width: int, heads: int, config: ShawConfig, head_width: int = 0) -> None:
        super().__init__(width, heads, config, head_width)
        rows = 2 * config.reach + 1
        self.keys = nn.Parameter(torch.empty(rows, self.head_width).normal_(std=0.02))
        self.values = nn.Parameter(torch.empty(rows, self.head_width).normal_(std=0.02))

    def relate(self, q: Tensor, positions: Positions) -> Tensor:
        """q_i · K[c] / sqrt(head_width), `(batch, head, query, key)`."""
        products = q @ self.keys.T / math.sqrt(self.head_width)  # (batch, head, query, row)
        return products.gather(-1, self._rows(positions, q))

    def read(self, weights: Tensor, positions: Positions) -> Tensor:
        """sum_j weight_ij V[c], `(batch, head, query, head_width)`."""
        mass = weights.new_zeros(*weights.shape[:-1], len(self.values))  # of each row of the table
        mass = mass.scatter_add(-1, self._rows(positions, weights), weights)
        return mass.to(self.values.dtype) @ self.values

    def _rows(self, positions: Positions, like: Tensor) -> Tensor:
        """Row of the tables for each query and key, a view of shape `(batch, head, query, key)`."""
        reach = self.config.reach
        rows = positions.offsets().clamp(-reach, reach).round().long() + reach
        return rows[:, None].expand(*like.shape[:2], -1, -1)
