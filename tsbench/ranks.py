"""Ranks: several processes train one model. Each takes its share of every batch; all take the same steps.

Rank 0 draws the order, scores validation and decides; the others hear what it decided. With one process, and no
torchrun, nothing here does anything.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeVar

import torch
import torch.distributed as dist
from torch import Tensor, nn

from tsbench.data import Batch
from tsbench.errors import TsbenchError

T = TypeVar("T")
Backward = Callable[[Batch], Tensor]


class Abandoned(TsbenchError):
    """Another rank gave this cell up."""


@dataclass(frozen=True)
class Over:
    """What rank 0 says when it is done with a cell, in whatever way."""


def count() -> int:
    """How many processes train together."""
    return dist.get_world_size() if dist.is_available() and dist.is_initialized() else 1


def rank() -> int:
    """The number of this one."""
    return dist.get_rank() if count() > 1 else 0


def led(decide: Callable[[], T]) -> T:
    """What `decide` returns in rank 0, in every rank; the others do not call it.

    Raises:
        Abandoned: rank 0 ended the cell instead.
    """
    if count() == 1:
        return decide()
    said: list[T | Over | None] = [decide() if rank() == 0 else None]
    dist.broadcast_object_list(said, src=0)
    if isinstance(said[0], Over):
        raise Abandoned("process 0 ended the cell")
    return said[0]  # type: ignore[return-value]


def begin_epoch(seed: int, epoch: int) -> None:
    """Give each other rank than 0 random numbers of its own, for dropout, that a resumed training draws again."""
    if rank():
        torch.manual_seed(hash((seed, epoch, rank())))


def shared(backward: Backward, model: nn.Module) -> Backward:
    """What does `backward` on this rank's share of a batch, and gives each rank loss and gradient of the whole batch.

    They are means over ranks, weighted by samples: those of one process where the loss is a mean over samples, else
    close to them. Each batch is one sum over all ranks of as many values as the model has.

    Raises:
        Abandoned: another rank failed, for the reason given.
    """
    if count() == 1:
        return backward
    parameters = [p for p in model.parameters() if p.requires_grad]

    def step(batch: Batch) -> Tensor:
        before = [p.grad for p in parameters]
        for parameter in parameters:
            parameter.grad = None
        share = _share(batch)
        loss, failure = torch.zeros((), device=batch.inputs.device), None
        try:
            if len(share):
                loss = backward(share) * (len(share) / len(batch))
        except Exception as error:  # the others must hear of it, or they wait for ever
            failure = error
        there = torch.tensor([float(p.grad is not None) for p in parameters] + [float(failure is not None)])
        gradients = [torch.zeros_like(p) if p.grad is None else p.grad * (len(share) / len(batch)) for p in parameters]
        total = torch.cat([*(g.flatten() for g in gradients), there.to(loss.device), loss.reshape(1)])
        dist.all_reduce(total)
        *sums, there, failed, loss = total.split([p.numel() for p in parameters] + [len(parameters), 1, 1])
        if failed > 0:
            _give_up(failure)
        for parameter, earlier, summed, some in zip(parameters, before, sums, there.tolist(), strict=True):
            gradient = summed.view_as(parameter).to(parameter.dtype) if some else None
            parameter.grad = earlier if gradient is None else gradient if earlier is None else earlier + gradient
        return loss[0]

    return step


def _share(batch: Batch) -> Batch:
    """This rank's samples of a batch, in their order; the first ranks have one more where it does not divide."""
    mine = torch.arange(len(batch)).tensor_split(count())[rank()].tolist()
    return batch.map(lambda values: values[mine[0] : mine[-1] + 1] if mine else values[:0])


def _give_up(failure: Exception | None) -> None:
    """Raise this rank's own failure, or else that of the first rank that has one."""
    reasons: list[str | None] = [None] * count()
    dist.all_gather_object(reasons, f"{type(failure).__name__}: {failure}" if failure else None)
    if failure:
        raise failure
    raise Abandoned(next(f"process {i}: {reason}" for i, reason in enumerate(reasons) if reason))
