"""Constant: the mean of the training targets, whatever the inputs. The row every table of labelled samples needs."""

from __future__ import annotations

from functools import singledispatch

import torch
from torch import Tensor
from torch.nn import functional as F

from tsbench.data import Batch, Samples, like_size
from tsbench.inputs import Codes, Series
from tsbench.model import Model, Run, State
from tsbench.tasks.classification import LEAST, Classification
from tsbench.tasks.multilabel import MultiLabel
from tsbench.tasks.nucleotide import MaskedNucleotides, NucleotideClassification
from tsbench.tasks.pairs import PairLabels, PairMap
from tsbench.tasks.task import Labelling, Task


class Constant(Model):
    """Prediction = the training mean of each output; for classes and labels, its logit."""

    tasks = (Labelling,)
    inputs = (Series, Codes)  # of objects to fixate, each display has others: see gaze_random
    stochastic = False
    source = "the mean; the class frequencies"

    def __init__(self, task: Labelling, config: object) -> None:
        super().__init__(task, config)
        self.value = torch.zeros(1)

    def fit(self, train: Samples, validation: Samples, run: Run) -> None:
        """Average the targets that are scored, in float64."""
        total, count = torch.zeros(1).double(), torch.zeros(1).double()
        for indices in like_size(train.sizes, self.block_values):
            values = numbers(self.task, train.batch(indices)).cpu().double()
            values = values.reshape(-1, values.shape[-1])
            total = total + values.nansum(0)
            count = count + values.isfinite().sum(0)
        self.value = link(self.task, total / count).float()

    def predict(self, batch: Batch) -> Tensor:
        """The constant in the task's shape."""
        return self.value.to(batch.inputs.device).expand(self.task.shape(batch))

    def state(self) -> State:
        """The constant of each output."""
        return {"value": self.value}

    def load_state(self, state: State) -> None:
        """Take over `state`."""
        self.value = state["value"]


@singledispatch
def numbers(task: Task, batch: Batch) -> Tensor:
    """The targets as numbers, `(..., output)`: 1 for a sample's class and 0 for others, NaN where nothing is scored."""
    return batch.target


@numbers.register
def _(task: Classification | NucleotideClassification | MaskedNucleotides, batch: Batch) -> Tensor:
    classes = task.shape(batch)[-1]
    one_hot = F.one_hot(batch.target.clamp(min=0), classes).float()
    return one_hot.masked_fill_((batch.target < 0)[..., None], float("nan"))


@numbers.register
def _(task: PairMap, batch: Batch) -> Tensor:
    return batch.target[..., None]


@singledispatch
def link(task: Task, mean: Tensor) -> Tensor:
    """The prediction that means `mean`."""
    return mean


@link.register
def _(task: Classification | NucleotideClassification | MaskedNucleotides, mean: Tensor) -> Tensor:
    return mean.clamp(min=LEAST).log()


@link.register
def _(task: MultiLabel | PairLabels, mean: Tensor) -> Tensor:
    return mean.logit(eps=LEAST)
