"""T5: a learned number for each head and bucket of distances, added to the scores (Raffel et al. 2020, section 2.1).

    score_ij = q_i · k_j / sqrt(head_width) + E[bucket(p_j - p_i), head]

Half of the buckets hold one distance each, the others ranges that grow as the logarithm, the last one all from
`furthest`. If tokens see later ones, half of all buckets are for those. All layers share the table. T5 itself does not
divide by sqrt(head_width); we do, as with every encoding.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from tsbench.errors import UsageError
from tsbench.position import PositionEncoding, Positions


@dataclass(frozen=True)
class T5Config:
    """Settings of T5's bias."""

    buckets: int = 32
    furthest: int = 128  # distances from here on share the last bucket

    def __post_init__(self) -> None:
        """Refuse what leaves a direction without buckets."""
        if self.buckets < 4 or self.buckets % 4:
            raise UsageError(f"t5: buckets={self.buckets} must be a multiple of 4")
        if self.furthest <= self.buckets // 2:
            raise UsageError(f"t5: furthest={self.furthest} must be more than half of buckets={self.buckets}")


class T5(PositionEncoding):
    """Relative; a learned bias keeps torch's CPU from its fused kernel."""

    Config = T5Config
    config: T5Config
    relative = True

    def __init__(self, width: int, heads: int, config: T5Config, head_width: int = 0) -> None:
        super().__init__(width, heads, config, head_width)
        self.table = nn.Parameter(torch.empty(config.buckets, heads).normal_(std=width**-0.5))

    def bias(self, positions: Positions) -> Tensor:
        """`(batch or 1, head, query, key)`."""
        rows = bucket(positions.offsets(), self.config.buckets, self.config.furthest, positions.causal)
        return F.embedding(rows, self.table).permute(0, 3, 1, 2)


def bucket(offset: Tensor, buckets: int = 32, furthest: int = 128, causal: bool = False) -> Tensor:
    """Bucket, int64, of place of the key minus place of the query."""
    if causal:
        first, distance = torch.zeros_like(offset), (-offset).clamp(min=0)
    else:
        buckets //= 2
        first, distance = (offset > 0) * buckets, offset.abs()
    exact = buckets // 2
    # 0 is below `exact`, and only kept out of the logarithm. float32, as T5: a range's edge must not move.
    growth = (distance.clamp(min=1).float() / exact).log() / math.log(furthest / exact)
    far = (exact + (growth * (buckets - exact)).long()).clamp(max=buckets - 1)
    return first.long() + torch.where(distance < exact, distance.long(), far)
