"""Neighbour: what the most similar training samples had, of which the labelled tasks share all but the likeness."""

from __future__ import annotations

from abc import abstractmethod
from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from torch import Tensor

from tsbench.data import Batch, Samples, like_size
from tsbench.errors import UsageError
from tsbench.model import Model, Run, State
from tsbench.models.constant import link, numbers

PART = 2**22  # distances that exist at once
NEAR = 1e-5  # share of a distance by which one that is as near may differ


@dataclass(frozen=True)
class NeighbourConfig:
    """Settings of models that look up what is similar."""

    neighbours: int = 8  # how many are averaged
    entries: int = 4096  # training samples, steps or windows that are kept, drawn once for all seeds
    context: int = 5  # nucleotides to each side of one that is labelled

    def __post_init__(self) -> None:
        """Refuse what finds nothing."""
        for name, least in (("neighbours", 1), ("entries", 1), ("context", 0)):
            if getattr(self, name) < least:
                raise UsageError(f"nearest: {name}={getattr(self, name)} must be at least {least}")


def chosen(count: int, most: int) -> Tensor:
    """At most `most` of `count` indices, in order, drawn once and for all."""
    return torch.randperm(count, generator=torch.Generator().manual_seed(0))[:most].sort().values


def distances(queries: Tensor, entries: Tensor) -> Tensor:
    """Squared Euclidean distances, `(query, entry)`, of `(query, value)` and `(entry, value)`."""
    squares = queries.square().sum(1)[:, None] + entries.square().sum(1)
    return squares.addmm_(queries, entries.T, alpha=-2).clamp_(min=0)


def averages(queries: Tensor, entries: Tensor, values: Tensor, count: int) -> Tensor:
    """Mean `values` of the `count` entries nearest to each query and of all as near as the last of them.

    Args:
        queries: `(query, value)`.
        entries: `(entry, value)`.
        values: what entries had, `(entry, output)`.
        count: of neighbours.
    """
    found = []
    count = min(count, len(entries))
    for part in queries.split(max(1, PART // len(entries))):
        apart = distances(part, entries)
        last = apart.topk(count, largest=False).values[:, -1:]
        near = (apart <= last + NEAR * (1 + last)).to(values.dtype)
        found.append(near @ values / near.sum(1, keepdim=True))
    return torch.cat(found)


class Neighbours(Model):
    """Prediction = mean of the neighbours' targets and, as one neighbour more, the mean of all training targets.

    Subclasses describe samples, or each nucleotide of them, by numbers; likeness is Euclidean.
    """

    Config = NeighbourConfig
    stochastic = False
    rows: ClassVar[int] = 1  # entries that a training sample gives, roughly

    def __init__(self, task: Any, config: NeighbourConfig) -> None:
        super().__init__(task, config)
        self.entries, self.values = torch.zeros(1, 1), torch.zeros(1, 1)
        self.mean = torch.zeros(1)

    @abstractmethod
    def describe(self, batch: Batch) -> Tensor:
        """`(batch, value)`, or `(batch, time, value)` where each nucleotide has a label."""

    def fit(self, train: Samples, validation: Samples, run: Run) -> None:
        """Keep descriptions and targets of training samples."""
        kept = chosen(len(train), -(-self.config.entries // self.rows)).to(train.sizes.device)
        entries, values = [], []
        for places in like_size(train.sizes[kept], self.block_values):
            batch = train.batch(kept[places])
            had = numbers(self.task, batch)
            scored = had.isfinite().all(-1)
            entries.append(self.describe(batch)[scored].cpu())
            values.append(had[scored].cpu().float())
        rows = chosen(sum(map(len, values)), self.config.entries)
        self.entries, self.values = torch.cat(entries)[rows], torch.cat(values)[rows]
        self.mean = self.values.double().mean(0).float()

    def predict(self, batch: Batch) -> Tensor:
        """The mean, as the task writes it."""
        described = self.describe(batch)
        entries, values, mean = (t.to(described.device) for t in (self.entries, self.values, self.mean))
        near = averages(described.flatten(0, -2), entries, values, self.config.neighbours)
        count = min(self.config.neighbours, len(entries))
        return link(self.task, (count * near + mean) / (count + 1)).view(self.task.shape(batch))

    def state(self) -> State:
        """The entries, what they had, and the mean of it."""
        return {"entries": self.entries, "values": self.values, "mean": self.mean}

    def load_state(self, state: State) -> None:
        """Take over `state`."""
        self.entries, self.values, self.mean = (state[name] for name in ("entries", "values", "mean"))
