"""What of a history is read, and what is held out of it to be predicted."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from tsbench.errors import UsageError
from tsbench.rec.samples import mixed


@dataclass(frozen=True)
class Holding:
    """Settings of a model that learns from items held out of histories."""

    longest: int = 32  # items of a history that are read
    targets: int = 4  # items of a history that are held out of it and predicted, at each visit, at most
    held: float = 0.25  # share of it, at most, but for one item
    unknown: float = 0.0  # share of training interactions that the graph is not shown; if any, they alone are predicted

    def __post_init__(self) -> None:
        """Refuse what leaves nothing to read or to predict."""
        super().__post_init__()  # type: ignore[misc]  # of the other bases
        for name in ("longest", "targets"):
            if getattr(self, name) < 1:
                raise UsageError(f"{name}={getattr(self, name)} must be at least 1")
        if not 0 < self.held < 1:
            raise UsageError(f"held={self.held} must be between 0 and 1")
        if not 0 <= self.unknown < 1:
            raise UsageError(f"unknown={self.unknown} must be at least 0 and below 1")


def held_out(
    items: Tensor, real: Tensor, user: Tensor, config: Holding, ordered: bool
) -> tuple[tuple[Tensor, Tensor], Tensor, Tensor]:
    """Some items of each history, drawn, and what is read without them.

    Where the graph was not shown some interactions (`config.unknown`), these alone are drawn and none of them is read:
    vectors that were learned from what is to be predicted already hold it, and teach a reading that fails on new items.

    Args:
        items, real: `(batch, time)`.
        user: `(batch,)`.
        config: how many.
        ordered: do histories have an order?

    Returns:
        The items that are read and where they are real, `(batch, time)` each; the targets, `(batch, target)`, and where
        they are: a share of the history (`config.held`), one at least if there is any, and `config.targets` at most.
    """
    away = apart(user[:, None], items, config.unknown) & real
    free = away if config.unknown else real
    luck = torch.rand(items.shape, device=items.device).where(free, -1.0)
    places = luck.topk(min(config.targets, items.shape[1])).indices
    count = (real.sum(1) * config.held).long().clamp(1, config.targets).minimum(free.sum(1))
    drawn = torch.arange(places.shape[1], device=items.device) < count[:, None]
    targets = items.gather(1, places)
    elsewhere = (items[:, :, None] != targets.where(drawn, -1)[:, None]).all(2)  # not at any place of a repeated item
    order = torch.arange(items.shape[1], device=items.device) if ordered else luck  # the luckier are drawn already
    return last(items, real & ~away & elsewhere, config.longest, order.expand(items.shape)), targets, drawn


def apart(user: Tensor, item: Tensor, share: float) -> Tensor:
    """Which interactions a hash of user and item sets apart, a `share` of all."""
    return (mixed((user << 32) + item + 1) >> 20) & 0xFFFF < share * 2**16


def latest(items: Tensor, real: Tensor, size: int, ordered: bool) -> tuple[Tensor, Tensor]:
    """The last `size` items of histories, or, of sets, those that a hash of their numbers puts last."""
    places = torch.arange(items.shape[1], device=items.device)
    return last(items, real, size, places.expand(items.shape) if ordered else items * 2654435761 % 2**31)


def last(items: Tensor, real: Tensor, size: int, order: Tensor) -> tuple[Tensor, Tensor]:
    """The `size` real items that are last in `order`, from first to last, and where they are real, `(batch, size)`."""
    at = (order.double() + 1).where(real, -1.0).argsort(dim=1, stable=True)[:, -size:]
    return items.gather(1, at), real.gather(1, at)
