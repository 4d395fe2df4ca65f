"""Labelled series: patches of all channels together as tokens; labels are read off the mean of their states."""

from __future__ import annotations

import math
from typing import Any

from torch import Tensor, nn

from tsbench.data import Batch
from tsbench.frame import Body, Frame, FrameConfig
from tsbench.inputs import Series
from tsbench.parts.cutting import cut, mean
from tsbench.position import Positions
from tsbench.tasks.classification import Classification
from tsbench.tasks.multilabel import MultiLabel
from tsbench.tasks.regression import Regression


class SeriesFrame(Frame):
    """Patches as short as `tokens` of them allow for the longest series; shorter series have fewer."""

    tasks = (Classification, Regression, MultiLabel)
    inputs = (Series,)

    def __init__(self, task: Any, config: FrameConfig, linear: bool) -> None:
        super().__init__(task, config, linear)
        self.patch = math.ceil(task.inputs.length / config.tokens)
        outputs = task.random_batch(1)
        self.stem = nn.Linear(self.patch * task.inputs.channels, config.width)
        self.head = nn.Linear(config.width, task.shape(outputs)[-1])

    def forward(self, batch: Batch, body: Body) -> Tensor:
        """`(batch, output)`."""
        x, valid = cut(batch, self.patch)
        states = body(self.stem(x), Positions.along(x, valid))
        prediction: Tensor = self.head(mean(states, valid))
        return prediction
