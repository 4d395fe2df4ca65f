"""Forecasts: patches of each channel by itself as tokens; the horizon is read off all their states."""

from __future__ import annotations

import math
from typing import Any

from torch import Tensor, nn
from torch.nn import functional as F

from tsbench.data import Batch
from tsbench.frame import Body, Frame, FrameConfig
from tsbench.inputs import Series
from tsbench.position import Positions
from tsbench.tasks.forecasting import Forecasting


class ForecastingFrame(Frame):
    """Windows are centred and, unless the model is linear, scaled; the forecast is put back to where they were."""

    tasks = (Forecasting,)
    inputs = (Series,)

    def __init__(self, task: Any, config: FrameConfig, linear: bool) -> None:
        super().__init__(task, config, linear)
        self.patch = math.ceil(task.look_back / config.tokens)  # steps of a token
        tokens = math.ceil(task.look_back / self.patch)
        self.stem = nn.Linear(self.patch, config.width)
        self.head = nn.Linear(tokens * config.width, task.horizon)

    def forward(self, batch: Batch, body: Body) -> Tensor:
        """`(batch, horizon, channel)`."""
        x = batch.inputs.transpose(1, 2)  # (batch, channel, look_back)
        mean = x.mean(-1, keepdim=True)
        scale = 1.0 if self.linear else x.std(-1, keepdim=True, correction=0) + 1e-5
        x = F.pad((x - mean) / scale, (-x.shape[-1] % self.patch, 0))
        tokens = self.stem(x.unflatten(-1, (-1, self.patch)).flatten(0, 1))  # (batch * channel, token, width)
        states = body(tokens, Positions.along(tokens))
        forecast: Tensor = self.head(states.flatten(1)).unflatten(0, mean.shape[:2]) * scale + mean
        return forecast.transpose(1, 2)
