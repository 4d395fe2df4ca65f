"""What flows from a data set to a model: Batch, Samples and Splits."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Protocol

import torch
from torch import Tensor

if TYPE_CHECKING:
    from tsbench.tasks.task import Task


@dataclass(slots=True)
class Batch:
    """All that a model sees of some samples.

    Attributes:
        inputs: values, `(batch, time, channel)`, codes, `(batch, sequence, time)`, or items, `(batch, time)`: see
            tsbench.inputs.
        target: what the task predicts; a forecast is `(batch, horizon, channel)`, a class `(batch,)`.
        valid: True where inputs are real and False where they are padding, `(batch, time)` or as codes,
            `(batch, sequence, time)`; None means all real.
        features: numbers that come with each coded step, `(batch, time, feature)`; None means there are none.
        places: where each token of `inputs` is, `(batch, token, axis)`; None means one after the other.
        more: what only one task knows of, by name; the first axis of each is the batch.
    """

    inputs: Tensor
    target: Tensor
    valid: Tensor | None = None
    features: Tensor | None = None
    places: Tensor | None = None
    more: Mapping[str, Tensor] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.inputs)

    @property
    def real(self) -> Tensor:
        """Where inputs are no padding, in the shape of `valid`, or, where all are real, of coded inputs."""
        return torch.ones_like(self.inputs, dtype=torch.bool) if self.valid is None else self.valid

    @property
    def steps(self) -> Tensor:
        """True length of each series of `inputs`, `(batch,)` int64."""
        if self.valid is not None:
            return self.valid.sum(1)
        return torch.full((len(self),), self.inputs.shape[1], device=self.inputs.device)

    def map(self, change: Callable[[Tensor], Tensor]) -> Batch:
        """The same batch with every tensor changed."""
        valid, features, places = (None if t is None else change(t) for t in (self.valid, self.features, self.places))
        more = {name: change(tensor) for name, tensor in self.more.items()}
        return Batch(change(self.inputs), change(self.target), valid, features, places, more)

    def to(self, device: torch.device | str) -> Batch:
        """The same batch on another device."""
        return self.map(lambda tensor: tensor.to(device))


class Samples(Protocol):
    """One split in memory: `batch(indices)` gathers samples in one vectorised step."""

    @property
    def sizes(self) -> Tensor:
        """Values of each sample, inputs and target together, `(len,)` int64: what a sample costs.

        Samples of unlike size are trained in batches of like size, and sizes decide how many are evaluated at once.
        """

    def __len__(self) -> int: ...

    def batch(self, indices: Tensor) -> Batch:
        """The samples at `indices` (int64, one axis, on any device), in that order."""

    def to(self, device: torch.device | str) -> Samples:
        """The same samples with their tensors on another device."""


@dataclass(frozen=True)
class Refit:
    """What a model is fitted to again once validation has chosen: nothing is held out.

    Attributes:
        train: train and validation together.
        test: the test samples, prepared (scaled ...) by this `train`.
    """

    train: Samples
    test: Samples


@dataclass(frozen=True)
class Splits:
    """A data set, split. Only the runner reads `test`, once, after fitting.

    Attributes:
        whole_batches: splits ("validation", "test") on which the protocol leaves out the last partial
            batch, as published code did. Reported validation scores always use every sample.
        notes: what a reader of scores must know of these data; one that begins with "- " describes them only.
        shared: pairs of splits, such as ("train", "test"), that are known to hold equal samples.
        refit: where the protocol holds out a part of the training set for validation only; the test score is then
            that of a second fit, to all of it, for as many epochs as the first one chose.
        titles: what people call what is predicted, by its number; examples show it. Empty if nothing has a title.
        selects: False if validation is too small to choose anything: training then runs to its last epoch.
    """

    task: Task
    train: Samples
    validation: Samples
    test: Samples
    whole_batches: frozenset[str] = frozenset()
    notes: tuple[str, ...] = ()
    shared: frozenset[tuple[str, str]] = frozenset()
    refit: Refit | None = None
    titles: Sequence[str] = ()
    selects: bool = True


@dataclass(frozen=True)
class Subset:
    """The first `size` of some samples."""

    samples: Samples
    size: int

    @property
    def sizes(self) -> Tensor:
        """Of the samples that are left."""
        return self.samples.sizes[: self.size]

    def __len__(self) -> int:
        return self.size

    def batch(self, indices: Tensor) -> Batch:
        """The samples at `indices`."""
        return self.samples.batch(indices)

    def to(self, device: torch.device | str) -> Subset:
        """On another device."""
        return replace(self, samples=self.samples.to(device))


def like_size(sizes: Tensor, limit: int) -> list[Tensor]:
    """Indices of all samples, smallest first, in blocks whose padded values stay within `limit` (or hold one sample).

    Samples of one size stay in order.
    """
    order = torch.argsort(sizes, stable=True)
    if len(order) and sizes[order[0]] == sizes[order[-1]]:
        return list(order.split(max(1, limit // max(1, int(sizes[0])))))
    blocks, first = [], 0
    sorted_sizes = sizes[order].tolist()
    for i, size in enumerate(sorted_sizes):
        if i > first and (i - first + 1) * size > limit:
            blocks.append(order[first:i])
            first = i
    return [*blocks, order[first:]]
