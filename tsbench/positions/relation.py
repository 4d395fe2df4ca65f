"""Relation-aware attention of MMGRec: no positions; a second product of tokens, scaled by who they belong to.

    score_ij = [q_i · k_j + (s_q(u) U_q x_i) · (s_k(u) U_k x_j)] / sqrt(head_width)
    out_i    = sum_j weight_ij (v_j + s_v(u) U_v x_j)

u is `Positions.context`, such as the user of a history; s are scalars that small networks make; U are shared by heads.
Tokens have no order: a permutation of them permutes the output.

Source: Liu et al. 2024 (MMGRec, arXiv 2404.16555), as in their code: the three networks have no bias.
"""

from __future__ import annotations

import math
from typing import Any

from torch import Tensor, nn

from tsbench.errors import UsageError
from tsbench.position import PositionEncoding, Positions


class Relation(PositionEncoding):
    """What a second product adds to scores and values."""

    relative = True  # places do not count at all, so neither does a shift of them
    per_layer = True
    contextual = True
    orderless = True

    def __init__(self, width: int, heads: int, config: Any, head_width: int = 0) -> None:
        super().__init__(width, heads, config, head_width)
        self.tokens = nn.ModuleList(nn.Linear(width, self.head_width, bias=False) for _ in range(3))
        self.scalars = nn.ModuleList(
            nn.Sequential(nn.Linear(width, inner, bias=False), nn.ReLU(), nn.Linear(inner, 1, bias=False))
            for inner in 3 * [max(1, width // 2)]
        )

    def content(self, x: Tensor, positions: Positions) -> tuple[Tensor, Tensor]:
        """See the module.

        Raises:
            UsageError: nothing is known of the whole row.
        """
        if positions.context is None:
            raise UsageError("positions=relation needs a context, such as the user of a history; here is none")
        context = positions.context[:, None]
        q, k, v = (scalar(context) * tokens(x) for scalar, tokens in zip(self.scalars, self.tokens, strict=True))
        scores = q @ k.transpose(1, 2) / math.sqrt(self.head_width)
        return scores[:, None], v[:, None]
