"""Repeat: the last value, for every step of the horizon. The row every forecasting table needs."""

from __future__ import annotations

from torch import Tensor

from tsbench.data import Batch, Samples
from tsbench.model import Model, Run, State
from tsbench.tasks.forecasting import Forecasting


class Repeat(Model):
    """Forecast = last value of the window."""

    tasks = (Forecasting,)
    stochastic = False
    source = "Repeat of Zeng et al., AAAI 2023; the naive forecast"

    def fit(self, train: Samples, validation: Samples, run: Run) -> None:
        """Nothing to learn."""

    def predict(self, batch: Batch) -> Tensor:
        """Repeat the last step `horizon` times, `(batch, horizon, channel)`."""
        return batch.inputs[:, -1:].expand(-1, self.task.horizon, -1)

    def state(self) -> State:
        """Empty."""
        return {}

    def load_state(self, state: State) -> None:
        """Nothing to load."""
