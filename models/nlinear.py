"""NLinear: Linear on a window whose last value is subtracted and added back (LTSF-Linear, AAAI 2023)."""

from __future__ import annotations

from torch import Tensor

from tsbench.data import Batch
from tsbench.models.linear import Linear


class NLinear(Linear):
    """Forecast = W (x - x_last) + b + x_last."""

    def forward(self, batch: Batch) -> Tensor:
        """Forecast `(batch, horizon, channel)`."""
        x = batch.inputs.transpose(1, 2)  # (batch, channel, look_back)
        last = x[..., -1:].detach()
        return (self.map(x - last) + last).transpose(1, 2)
