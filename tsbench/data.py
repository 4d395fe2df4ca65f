"""What flows from a data set to a model: Batch, Samples and Splits."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Protocol

import torch
from torch import Tensor

if TYPE_CHECKING:
    from tsbench.tasks.task import Task


@dataclass(slots=True)
class Batch:
    """All that a model sees of some samples.

    Attributes:
        inputs: values, `(batch, time, channel)`.
        target: what the task predicts; a forecast is `(batch, horizon, channel)`, a class `(batch,)`.
        valid: `(batch, time)`, True where inputs are real and False where they are padding; None means all real.
    """

    inputs: Tensor
    target: Tensor
    valid: Tensor | None = None

    def __len__(self) -> int:
        return len(self.inputs)

    def to(self, device: torch.device | str) -> Batch:
        """The same batch on another device."""
        valid = None if self.valid is None else self.valid.to(device)
        return Batch(self.inputs.to(device), self.target.to(device), valid)


class Samples(Protocol):
    """One split in memory: `batch(indices)` gathers samples in one vectorised step."""

    @property
    def elements(self) -> int:
        """Values of one sample, inputs and target together; decides how many are evaluated at once."""

    def __len__(self) -> int: ...

    def batch(self, indices: Tensor) -> Batch:
        """The samples at `indices` (int64, one axis, on any device), in that order."""

    def to(self, device: torch.device | str) -> Samples:
        """The same samples with their tensors on another device."""


@dataclass(frozen=True)
class Splits:
    """A data set, split. Only the runner reads `test`, once, after fitting.

    Attributes:
        whole_batches: splits ("validation", "test") on which the protocol leaves out the last partial
            batch, as published code did. Reported validation scores always use every sample.
        notes: what a reader of scores must know of these data.
    """

    task: Task
    train: Samples
    validation: Samples
    test: Samples
    whole_batches: frozenset[str] = frozenset()
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class Subset:
    """The first `size` of some samples."""

    samples: Samples
    size: int

    @property
    def elements(self) -> int:
        """As the samples it is taken from."""
        return self.samples.elements

    def __len__(self) -> int:
        return self.size

    def batch(self, indices: Tensor) -> Batch:
        """The samples at `indices`."""
        return self.samples.batch(indices)

    def to(self, device: torch.device | str) -> Subset:
        """On another device."""
        return replace(self, samples=self.samples.to(device))
