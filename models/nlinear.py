"""NLinear: Linear on a window whose last value is subtracted and added back (LTSF-Linear, AAAI 2023)."""

from __future__ import annotations

from torch import Tensor

from tsbench.models.linear import Linear


class NLinear(Linear):
    """Forecast = W (x - x_last) + b + x_last; class scores = the sum of W (x - x_last) + b."""

    def level(self, x: Tensor) -> Tensor:
        """The last value of each series and channel; no gradient flows through it."""
        return x[..., -1:].detach()
