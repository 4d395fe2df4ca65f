"""Histories as samples: what a user took, and what they took next."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import torch
from torch import Tensor

from tsbench.data import Batch


@dataclass(frozen=True)
class HistorySamples:
    """Users, each with a history and what came after it. Item numbers are shuffled: they tell nothing.

    A training sample has one target, the user's last training item, and the training items before it as history, which
    may be empty. Models that learn from each step, or from sets, read both by `sequences`.

    Attributes:
        user: `(sample,)` int64.
        events: `(event,)` int64: items, user by user, oldest first; sets are in a fixed arbitrary order.
        first, length: `(sample,)`: a history is `events[first : first + length]`.
        targets: `(sample, target)` int64, -1 beyond the last.
        counts: `(item,)` int64: training interactions of each item; 0 for a cold one.
        features: modality -> `(item, width)` float32.
        codes: name -> `(item, level)` int64: ready-made Rec-IDs.
        ordered: False if histories are sets.
    """

    user: Tensor
    events: Tensor
    first: Tensor
    length: Tensor
    targets: Tensor
    counts: Tensor
    features: Mapping[str, Tensor] = field(default_factory=dict)
    codes: Mapping[str, Tensor] = field(default_factory=dict)
    ordered: bool = True

    @property
    def sizes(self) -> Tensor:
        """Items of the history, targets, and the whole catalogue, of which a model scores every item."""
        return self.length + (self.targets >= 0).sum(1) + len(self.counts)

    def __len__(self) -> int:
        return len(self.user)

    def batch(self, indices: Tensor) -> Batch:
        """Histories, cut to the longest among them, and at least one step long.

        `more` holds `user` (batch,) and `counts` (batch, target): training interactions of each target, else 0.
        """
        length, targets = self.length[indices], self.targets[indices]
        steps = torch.arange(max(1, int(length.max())), device=length.device)
        valid = steps < length[:, None]
        at = (self.first[indices][:, None] + steps).where(valid, 0)
        counts = self.counts[targets.clamp(min=0)].where(targets >= 0, 0)
        more = {"user": self.user[indices], "counts": counts}
        return Batch(self.events[at].where(valid, 0), targets, valid, None, None, more)

    def interactions(self) -> tuple[Tensor, Tensor]:
        """User and item of all histories and targets, `(interaction,)` each, oldest first within a user."""
        sample = torch.arange(len(self), device=self.first.device)
        owner = sample.repeat_interleave(self.length)
        before = (self.length.cumsum(0) - self.length)[owner]
        history = self.events[self.first[owner] + torch.arange(len(owner), device=owner.device) - before]
        real = self.targets >= 0
        owners = torch.cat([owner, sample[:, None].expand_as(real)[real]])
        order = owners.argsort(stable=True)
        return self.user[owners[order]], torch.cat([history, self.targets[real]])[order]

    def to(self, device: torch.device | str) -> HistorySamples:
        """On another device."""
        moved: dict[str, Any] = {k: x.to(device) for k, x in vars(self).items() if isinstance(x, Tensor)}
        for name in ("features", "codes"):
            moved[name] = {k: x.to(device) for k, x in getattr(self, name).items()}
        return replace(self, **moved)


def sequences(batch: Batch) -> tuple[Tensor, Tensor]:
    """Histories with the one target of each training sample behind them, `(batch, time)`, and where they are real."""
    last = batch.steps[:, None]
    items = torch.cat([batch.inputs, torch.zeros_like(last)], 1).scatter(1, last, batch.target)
    return items, torch.cat([torch.ones_like(last, dtype=torch.bool), batch.real], 1)


def shuffled(batch: Batch) -> Batch:
    """The same batch, each history in an order that a hash of its user and places draws."""
    places = torch.arange(batch.inputs.shape[1], device=batch.inputs.device)
    luck = mixed((batch.more["user"][:, None] << 20) + places + 1)
    order = luck.where(batch.real, 2**63 - 1).argsort(1)
    return replace(batch, inputs=batch.inputs.gather(1, order))


def mixed(x: Tensor) -> Tensor:
    """A hash of int64 numbers in which every bit counts (splitmix64; Steele, Lea and Flood, OOPSLA 2014)."""
    for shift, factor in ((30, -0x40A7B892E31B1A47), (27, -0x6B2FB644ECCEEE15)):
        x = (x ^ (x >> shift)) * factor
    return x


def barred(batch: Batch, items: int) -> Tensor:
    """The items of each history, `(batch, item)` bool."""
    seen = torch.zeros(len(batch), items + 1, dtype=torch.bool, device=batch.inputs.device)
    return seen.scatter(1, batch.inputs.where(batch.real, items), True)[:, :items]
