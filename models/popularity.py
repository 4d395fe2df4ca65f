"""Popularity: everybody is recommended what most people took. The least that any model must beat."""

from __future__ import annotations

import torch
from torch import Tensor

from tsbench.data import Batch, Samples
from tsbench.model import Run, State
from tsbench.rec.model import Recommender
from tsbench.rec.samples import HistorySamples
from tsbench.tasks.next_item import NextItem


class Popularity(Recommender):
    """Score of an item = how many training interactions it is in, whatever the history."""

    stochastic = False
    source = "plain counts of the training interactions"

    def __init__(self, task: NextItem, config: object) -> None:
        super().__init__(task, config)
        self.counts = torch.zeros(task.inputs.items)

    def fit(self, train: Samples, validation: Samples, run: Run) -> None:
        """Count all at once: counting batch by batch is where an item that repeats gets lost."""
        assert isinstance(train, HistorySamples)
        _, item = train.interactions()
        self.counts = torch.bincount(item, minlength=len(self.counts)).float().cpu()

    def predict(self, batch: Batch) -> Tensor:
        """The same for all, `(batch, item)`."""
        return self.counts.to(batch.inputs.device).expand(len(batch), -1)

    def state(self) -> State:
        """The counts."""
        return {"counts": self.counts}

    def load_state(self, state: State) -> None:
        """Take over `state`."""
        self.counts = state["counts"]
