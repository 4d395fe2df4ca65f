"""Task: what is predicted, its loss and its metrics. Knows nothing of files or models."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, ClassVar, Protocol

from torch import Tensor

from tsbench.data import Batch
from tsbench.inputs import Inputs

Examples = Mapping[str, Any]
Counts = list[list[int]]


@dataclass(frozen=True)
class Metric:
    """A score: its direction and its exact definition."""

    higher_is_better: bool
    definition: str


@dataclass(frozen=True)
class Scores:
    """Scores of one split.

    Attributes:
        values: metric -> score over the whole split.
        units: metric -> one score for each independent unit (window block, series, image, user ...), the
            pairs that a significance test between two models compares.
        tables: name -> counts of the whole split, such as a confusion matrix; those of several seeds are added.
        groups: what samples share (subject, display) -> name of each group -> metric -> score.
    """

    values: dict[str, float]
    units: dict[str, list[float]]
    tables: dict[str, Counts] = field(default_factory=dict)
    groups: dict[str, dict[str, dict[str, float]]] = field(default_factory=dict)


class Meter(Protocol):
    """Accumulates scores batch by batch, so that predictions need not be kept."""

    def update(self, prediction: Any, batch: Batch) -> None:
        """Add one batch, in sample order: predictions, or what `Task.answer` made of them."""

    def scores(self) -> Scores:
        """The scores of all that was added."""


@dataclass(frozen=True)
class Task(ABC):
    """What is predicted from what; a subclass is one task kind and its fields are the shapes a model needs."""

    #: Selects the best epoch and setting on validation, and ranks models on test.
    primary: ClassVar[str]
    metrics: ClassVar[Mapping[str, Metric]]
    #: What one unit of `Scores.units` is, in words.
    unit: ClassVar[str]
    #: The metrics that the terminal has room for; empty means all.
    shown: ClassVar[tuple[str, ...]] = ()

    @abstractmethod
    def loss(self, prediction: Tensor, batch: Batch) -> Tensor:
        """The training loss, a scalar."""

    @abstractmethod
    def meter(self) -> Meter:
        """A fresh meter for this task's metrics."""

    @abstractmethod
    def shape(self, batch: Batch) -> tuple[int, ...]:
        """Shape of the prediction for a batch."""

    @abstractmethod
    def random_batch(self, size: int, device: str = "cpu") -> Batch:
        """A batch of random values in this task's shapes (contract tests; the `meta` device)."""

    def answer(self, model: Any, prediction: Tensor, batch: Batch) -> Any:
        """All that is scored of a model: its prediction, and what a task asks of it beyond, such as whole paths."""
        return prediction

    @abstractmethod
    def examples(self, prediction: Any, batch: Batch) -> dict[str, Any]:
        """A few predictions (see `answer`) beside the truth, as plain lists: what `figure` draws."""

    @classmethod
    @abstractmethod
    def figure(cls, examples: Examples) -> str:
        """Draw what `examples` kept, as SVG."""

    @classmethod
    def interval(cls, score: float, samples: int) -> tuple[float, float] | None:
        """95 % interval of a primary score, for test sets so small that every table must show it; else None."""
        return None

    def charts(self, tables: Mapping[str, Counts]) -> dict[str, str]:
        """Draw `Scores.tables`: name -> SVG."""
        return {}

    def better(self, score: float, than: float) -> bool:
        """True if `score` is strictly better than `than` on the primary metric."""
        return score > than if self.metrics[self.primary].higher_is_better else score < than

    def record(self) -> dict[str, Any]:
        """Kind and fields as plain values, read back by `tsbench.registry.task_from_record`."""
        return {"kind": type(self).__name__, **asdict(self)}


@dataclass(frozen=True)
class Labelling(Task):
    """A task whose inputs may be of several kinds: series, sequences ...; its subclasses say what is predicted."""

    inputs: Inputs

    def record(self) -> dict[str, Any]:
        """Kind and fields, those of the inputs with their own kind."""
        return {**super().record(), "inputs": {"kind": type(self.inputs).__name__, **asdict(self.inputs)}}
