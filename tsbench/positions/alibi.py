"""ALiBi: scores fall with distance, at a slope of each head's own (Press et al. 2022).

    score_ij = q_i · k_j / sqrt(head_width) - slope_h |p_i - p_j|

Where places have several axes, |p_i - p_j| is the straight line.

Without a causal mask it is the symmetric form of BEACON-B (Ren et al. 2024).
"""

from __future__ import annotations

import torch
from torch import Tensor

from tsbench.position import PositionEncoding, Positions


class Alibi(PositionEncoding):
    """Relative, without parameters."""

    relative = True
    several = True

    def bias(self, positions: Positions) -> Tensor:
        """`(batch or 1, head, query, key)`."""
        distance = positions.distances()[:, None]
        return distance * -torch.tensor(slopes(self.heads), device=distance.device)[:, None, None]


def slopes(heads: int) -> list[float]:
    """Slope of each head: 2^(-8h / heads), h = 1..heads, where `heads` is a power of two.

    Else those of the power of two below it, then every second of the one above it, as far as needed.
    """
    power = 1 << heads.bit_length() - 1
    whole = [2 ** (-8 * h / power) for h in range(1, power + 1)]
    return whole if power == heads else whole + slopes(2 * power)[0::2][: heads - power]
