"""Nearest: what the most similar training samples had, in every family; nothing is trained."""

from __future__ import annotations

from typing import Any, ClassVar

from optuna.distributions import IntDistribution
from torch import Tensor

from tsbench.data import Batch, Samples
from tsbench.dataset import Dataset
from tsbench.gaze.walk import Walk
from tsbench.general import inputs_of, kinds_of, part_for, parts_in
from tsbench.model import Model, Run, State
from tsbench.neighbour import NeighbourConfig
from tsbench.rec.metrics import top

#: What is similar, and what is then predicted: each says so itself.
FAMILIES: tuple[type[Model], ...] = parts_in("tsbench.neighbours", Model)  # type: ignore[type-abstract]


class Nearest(Model):
    """The model of tsbench.neighbours for the task at hand.

    Forecasts go on as what followed the nearest windows; series and sequences get the labels of the nearest ones,
    nucleotides those of the nearest contexts, pairs the mean of equal contexts; eyes move as in the nearest situations;
    and users are recommended what the nearest users took.
    """

    Config = NeighbourConfig
    tasks, inputs = kinds_of(FAMILIES)
    stochastic = False
    tiny: ClassVar = {"entries": 256}
    source = "Fix & Hodges 1951; Cover & Hart, Nearest neighbor pattern classification, 1967"
    recipes: ClassVar = {
        "series": {"neighbours": 1},  # as in the UEA papers
        "forecasting": {"neighbours": 16},
        "objects": {"neighbours": 32, "entries": 1024},  # paths that are drawn ask for many thousands of steps
        "histories": {"neighbours": 100},
    }
    search_space: ClassVar = {"neighbours": IntDistribution(1, 200, log=True)}

    def __init__(self, task: Any, config: NeighbourConfig) -> None:
        super().__init__(task, config)
        self.model: Model = part_for(FAMILIES, type(task), inputs_of(task))(task, config)
        self.block_values = self.model.block_values  # type: ignore[misc]

    @classmethod
    def refuses(cls, dataset: Dataset) -> str | None:
        """What nothing is known to be similar of."""
        if part_for(FAMILIES, dataset.kind, dataset.inputs) is None:
            return f"likeness for {dataset.kind.__name__.lower()} of {dataset.inputs.__name__.lower()} is not defined"
        return None

    @classmethod
    def parts(cls, config: NeighbourConfig) -> tuple[type, ...]:
        """The models of all families."""
        return FAMILIES

    def fit(self, train: Samples, validation: Samples, run: Run) -> None:
        """Keep what is looked up."""
        self.model.fit(train, validation, run)

    def predict(self, batch: Batch) -> Tensor:
        """What the nearest had, in the task's shape."""
        return self.model.predict(batch)

    def walk(self, batch: Batch, copies: int) -> Walk:
        """Scanpaths (see ScanpathModel)."""
        walk: Walk = self.model.walk(batch, copies)  # type: ignore[attr-defined]
        return walk

    def lists(self, batch: Batch, scores: Tensor, size: int) -> Tensor:
        """Recommendations: its best items, best first, `(batch, size)`."""
        return top(scores, size)

    def state(self) -> State:
        """What is looked up."""
        return self.model.state()

    def load_state(self, state: State) -> None:
        """Take over `state`."""
        self.model.load_state(state)
