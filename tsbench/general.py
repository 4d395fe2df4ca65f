"""General: models that run in every family: a body of their own between the stem and the head of the task's frame."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping
from importlib import import_module
from typing import Any, ClassVar, TypeVar

from torch import Tensor, nn

from tsbench import plugins
from tsbench.data import Batch
from tsbench.dataset import Dataset
from tsbench.frame import Frame
from tsbench.gaze.walk import Walk
from tsbench.inputs import Inputs, Series
from tsbench.model import NeuralModel
from tsbench.position import Positions
from tsbench.rec.metrics import top
from tsbench.tasks.task import Labelling, Task

T = TypeVar("T")


def parts_in(package: str, base: type[T]) -> tuple[type[T], ...]:
    """The subclasses of `base` that the files of a package define."""
    modules = [import_module(f"{package}.{name}") for name in plugins.files(package)]
    return tuple(kind for m in modules for kind in plugins.classes(m, base) if kind.__module__ == m.__name__)


def part_for(parts: tuple[Any, ...], task: type[Task], inputs: type[Inputs]) -> Any:
    """The one among `parts` that has such a task and such inputs, or None."""
    return next((p for p in parts if issubclass(task, p.tasks) and issubclass(inputs, p.inputs)), None)


def kinds_of(parts: tuple[Any, ...]) -> tuple[tuple[type[Task], ...], tuple[type[Inputs], ...]]:
    """The kinds of tasks and of inputs of all parts."""
    tasks, inputs = (dict.fromkeys(kind for p in parts for kind in getattr(p, a)) for a in ("tasks", "inputs"))
    return tuple(tasks), tuple(inputs)


def inputs_of(task: Task) -> type[Inputs]:
    """The kind of inputs of a task; forecasts are made from series."""
    return type(task.inputs) if isinstance(task, Labelling) else Series


FRAMES: tuple[type[Frame], ...] = parts_in("tsbench.frames", Frame)  # type: ignore[type-abstract]

SERIES = {"batch_size": 16, "epochs": 40, "patience": 0, "schedule": "cosine", "tokens": 128}
SCANPATHS = {"lr": 5e-4, "batch_size": 20, "epochs": 60, "patience": 10, "drop_last": False, "buckets": False}
HISTORIES = {"tokens": 50, "batch_size": 128, "epochs": 100, "patience": 10, "drop_last": False}
#: Settings by what is predicted from what; models add their own.
RECIPES: Mapping[str, Mapping[str, Any]] = {
    "series": SERIES,  # of a few dozen labelled cases; validation of a few is no ground to stop on
    "forecasting": {"batch_size": 32, "epochs": 10, "patience": 3, "schedule": "constant", "tokens": 16},
    "codes": {"epochs": 20, "patience": 5, "optimizer": "adamw", "weight_decay": 0.01, "schedule": "linear"},
    "pairmap": {"batch_size": 4, "lr": 2e-3, "epochs": 12},
    "objects": SCANPATHS,
    "histories": HISTORIES,
}


class GeneralModel(NeuralModel):
    """A model of any family: subclasses say what its body is.

    Attributes:
        linear: the body has no nonlinearity; the frame then has none either.
    """

    tasks, inputs = kinds_of(FRAMES)
    linear: ClassVar[bool] = False
    recipes = RECIPES
    tiny = {"epochs": 1, "width": 16}

    def __init__(self, task: Any, config: Any) -> None:
        super().__init__(task, config)
        frame = part_for(FRAMES, type(task), inputs_of(task))
        self.frame = frame(task, config, self.linear)
        self.body = self.build_body()
        self.block_values = self.frame.block_values  # type: ignore[misc]
        self.train_values = self.frame.train_values  # type: ignore[misc]

    @abstractmethod
    def build_body(self) -> nn.Module:
        """A module from tokens `(batch, token, width)` and Positions to states of the same shape."""

    @classmethod
    def refuses(cls, dataset: Dataset) -> str | None:
        """What no frame reads."""
        if part_for(FRAMES, dataset.kind, dataset.inputs) is None:
            return f"no frame predicts {dataset.kind.__name__.lower()} from {dataset.inputs.__name__.lower()}"
        return None

    @classmethod
    def parts(cls, config: Any) -> tuple[type, ...]:
        """All frames."""
        return FRAMES

    def states(self, x: Tensor, positions: Positions) -> Tensor:
        """The body, as frames call it."""
        states: Tensor = self.body(x, positions)
        return states

    def forward(self, batch: Batch) -> Tensor:
        """The prediction, in the task's shape."""
        prediction: Tensor = self.frame(batch, self.states)
        return prediction

    def training_loss(self, batch: Batch) -> Tensor:
        """What the frame learns from."""
        return self.frame.loss(batch, self.states)

    def walk(self, batch: Batch, copies: int) -> Walk:
        """Scanpaths that it makes by itself."""
        self.eval()
        return self.frame.walk(batch, copies, self.states)

    def lists(self, batch: Batch, scores: Tensor, size: int) -> Tensor:
        """Recommendations: its best items, best first, `(batch, size)`."""
        return top(scores, size)
