"""Forecasts: what followed the most similar training windows."""

from __future__ import annotations

import torch
from torch import Tensor

from tsbench.data import Batch, Samples
from tsbench.inputs import Series
from tsbench.model import Model, Run, State
from tsbench.neighbour import PART, chosen, distances
from tsbench.tasks.forecasting import Forecasting


class NearestWindows(Model):
    """Forecast = last value + mean of (what followed - last value) over the nearest windows of any channel.

    Each channel is looked up by itself, among training windows of all channels, all less their last value.
    """

    tasks = (Forecasting,)
    inputs = (Series,)
    stochastic = False
    block_values = 2**20

    def __init__(self, task: Forecasting, config: object) -> None:
        super().__init__(task, config)
        self.windows, self.followed = torch.zeros(1, task.look_back), torch.zeros(1, task.horizon)

    def fit(self, train: Samples, validation: Samples, run: Run) -> None:
        """Keep windows and what followed them, one channel each."""
        channels = self.task.channels
        windows, followed = [], []
        for places in chosen(len(train) * channels, self.config.entries).split(max(1, 4096 // channels)):
            batch = train.batch(places // channels)
            past, future = (x[torch.arange(len(x)), :, places % channels] for x in (batch.inputs, batch.target))
            windows.append((past - past[:, -1:]).cpu())
            followed.append((future - past[:, -1:]).cpu())
        self.windows, self.followed = torch.cat(windows), torch.cat(followed)

    def predict(self, batch: Batch) -> Tensor:
        """`(batch, horizon, channel)`."""
        past = batch.inputs.transpose(1, 2)
        last = past[..., -1:]
        windows, followed = self.windows.to(past.device), self.followed.to(past.device)
        count = min(self.config.neighbours, len(windows))
        found = [
            followed[distances(part, windows).topk(count, largest=False).indices].mean(1)
            for part in (past - last).flatten(0, 1).split(max(1, PART // len(windows)))
        ]
        return (torch.cat(found).unflatten(0, past.shape[:2]) + last).transpose(1, 2)

    def state(self) -> State:
        """Windows and what followed."""
        return {"windows": self.windows, "followed": self.followed}

    def load_state(self, state: State) -> None:
        """Take over `state`."""
        self.windows, self.followed = state["windows"], state["followed"]
