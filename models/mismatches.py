"""Mismatches: how many letters of two sequences differ, the first thing to know of a guide and its target."""

from __future__ import annotations

import torch
from torch import Tensor

from tsbench.data import Batch, Samples, like_size
from tsbench.inputs import NucleotidePair
from tsbench.model import Model, Run, State
from tsbench.tasks.regression import Regression


class Mismatches(Model):
    """Prediction = a - b (mismatches) by least squares; minus the mismatches if more of them did not mean less."""

    tasks = (Regression,)
    inputs = (NucleotidePair,)
    stochastic = False
    source = "Hamming distance of guide and target"

    def __init__(self, task: Regression, config: object) -> None:
        super().__init__(task, config)
        self.scale, self.offset = torch.ones(task.outputs), torch.zeros(task.outputs)

    def fit(self, train: Samples, validation: Samples, run: Run) -> None:
        """Scale minus the mismatches to each output."""
        batches = [train.batch(indices) for indices in like_size(train.sizes, self.block_values)]
        x = torch.cat([-mismatches(batch) for batch in batches]).double().cpu()
        y = torch.cat([batch.target for batch in batches]).double().cpu()
        slope = (x - x.mean()) @ (y - y.mean(0)) / ((x - x.mean()) ** 2).sum()
        sensible = slope > 0
        self.scale = torch.where(sensible, slope, 1.0).float()
        self.offset = torch.where(sensible, y.mean(0) - slope * x.mean(), 0.0).float()

    def predict(self, batch: Batch) -> Tensor:
        """`(batch, output)`."""
        count = mismatches(batch)
        return self.offset.to(count.device) - self.scale.to(count.device) * count[:, None]

    def state(self) -> State:
        """Scale and offset of each output."""
        return {"scale": self.scale, "offset": self.offset}

    def load_state(self, state: State) -> None:
        """Take over `state`."""
        self.scale, self.offset = state["scale"], state["offset"]


def mismatches(batch: Batch) -> Tensor:
    """Places at which the two sequences differ, `(batch,)`; so does every place that only one of them has."""
    first, second = batch.inputs.unbind(1)
    here, there = batch.real.unbind(1)
    return ((first != second) & here & there | (here != there)).sum(-1)
