"""Scanpaths: what was fixated as tokens, in order; each state points at what is fixated next."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from tsbench.data import Batch
from tsbench.frame import Body, Frame, FrameConfig
from tsbench.gaze.pointing import ReadingWalk, described, ending, fixated, point
from tsbench.gaze.walk import Walk
from tsbench.inputs import Objects
from tsbench.position import Positions
from tsbench.tasks.scanpath import Scanpath


class ScanpathFrame(Frame):
    """P(next) = softmax(state · object / √width); a state has seen what is searched for and the path so far.

    Objects do not see each other. The product makes a linear model bilinear.
    """

    tasks = (Scanpath,)
    inputs = (Objects,)
    block_values = 2**16

    def __init__(self, task: Any, config: FrameConfig, linear: bool) -> None:
        super().__init__(task, config, linear)
        self.stem = nn.Linear(task.inputs.features + 4, config.width)
        self.objects = nn.Linear(task.inputs.features + 4, config.width)
        self.end = nn.Parameter(torch.zeros(config.width))

    def forward(self, batch: Batch, body: Body) -> Tensor:
        """Logits `(batch, step, token)`."""
        tokens = described(batch)
        return point(self.states(fixated(tokens, batch), body), self.keys(tokens), batch.real)

    def keys(self, tokens: Tensor) -> Tensor:
        """What states are compared with, `(batch, token, width)`."""
        return ending(self.objects(tokens), self.end)

    def states(self, path: Tensor, body: Body) -> Tensor:
        """What is known after each token of a path, `(batch, step, width)`."""
        x = self.stem(path)
        return body(x, Positions.along(x, causal=True))

    def walk(self, batch: Batch, copies: int, body: Body) -> Walk:
        """Paths; each step reads the whole path again."""
        return ReadingWalk(lambda path: self.states(path, body), self.keys(described(batch)), batch, copies)
