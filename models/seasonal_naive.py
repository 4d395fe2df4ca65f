"""Seasonal naive: the value one season ago, repeated over the horizon."""

from __future__ import annotations

import torch
from torch import Tensor

from tsbench.data import Batch
from tsbench.models.repeat import Repeat


class SeasonalNaive(Repeat):
    """Forecast of step h = the value of the last full season at the same phase."""

    source = "Hyndman & Athanasopoulos, Forecasting: Principles and Practice, section 5.2"

    def predict(self, batch: Batch) -> Tensor:
        """Tile the last `season` steps over the horizon, `(batch, horizon, channel)`."""
        phase = torch.arange(self.task.horizon, device=batch.inputs.device) % self.task.season
        return batch.inputs[:, -self.task.season :][:, phase]
