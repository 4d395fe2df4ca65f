"""DTW-D: the class of the nearest training case under dynamic time warping, all channels warped as one."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from optuna.distributions import FloatDistribution
from torch import Tensor
from torch.nn import functional as F

from tsbench.data import Batch, Samples
from tsbench.errors import UsageError
from tsbench.model import Model, Run, State
from tsbench.series.dtw import dtw
from tsbench.tasks.classification import LEAST, Classification

CELLS = 2**18  # of an anti-diagonal, computed at once so that they stay in cache


@dataclass(frozen=True)
class DtwConfig:
    """Settings of both kinds of warping."""

    window: float = 1.0  # how far a path may stray from the diagonal, a share of the longest series; 0 does not warp

    def __post_init__(self) -> None:
        """Refuse what is no share."""
        if not 0 <= self.window <= 1:
            raise UsageError(f"window={self.window} must be from 0 to 1")


class DtwD(Model):
    """Class = that of the nearest training case, the first of equally near ones.

    It has no probabilities: the class gets (nearly) all. A series counts with its true length.
    """

    Config = DtwConfig
    tasks = (Classification,)
    stochastic = False
    source = "Shokoohi-Yekta et al., Generalizing DTW to the Multi-Dimensional Case, DMKD 2017"
    search_space = {"window": FloatDistribution(0.0, 1.0)}

    def __init__(self, task: Classification, config: DtwConfig) -> None:
        super().__init__(task, config)
        self.radius = int(config.window * task.inputs.length)
        self.cases, self.steps, self.classes = torch.zeros(0, 0, 0), torch.zeros(0).long(), torch.zeros(0).long()

    def fit(self, train: Samples, validation: Samples, run: Run) -> None:
        """Keep the training cases."""
        batch = train.batch(torch.arange(len(train)))
        self.cases, self.steps, self.classes = batch.inputs.cpu(), batch.steps.cpu(), batch.target.cpu()

    def predict(self, batch: Batch) -> Tensor:
        """Log-probabilities `(batch, classes)`, one of them near 0."""
        x = batch.inputs
        cases, known = self.cases.to(x), self.steps.to(x.device)
        size = max(1, CELLS // (x.shape[1] * len(cases)))
        parts = zip(x.split(size), batch.steps.split(size), strict=True)
        nearest = torch.cat([self.distances(part, cases, ends, known).argmin(1) for part, ends in parts])
        return F.one_hot(self.classes.to(x.device)[nearest], self.task.classes).to(x.dtype).clamp(min=LEAST).log()

    def distances(self, x: Tensor, y: Tensor, x_steps: Tensor, y_steps: Tensor) -> Tensor:
        """Between each of x and each of y, `(first, second)`."""
        return dtw(x, y, x_steps, y_steps, self.radius)

    def state(self) -> State:
        """The training cases."""
        return {"cases": self.cases, "steps": self.steps, "classes": self.classes}

    def load_state(self, state: State) -> None:
        """Take over `state`."""
        self.cases, self.steps, self.classes = state["cases"], state["steps"], state["classes"]
