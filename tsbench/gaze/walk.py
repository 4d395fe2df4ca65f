"""Walks: paths that a model makes by itself, step by step, greedily or by drawing, many at once."""

from __future__ import annotations

import math
from abc import abstractmethod
from typing import ClassVar, Protocol

import torch
from torch import Tensor

from tsbench.data import Batch
from tsbench.gaze.samples import BEGIN, END
from tsbench.inputs import Objects
from tsbench.model import Model

NEVER = -1e4  # logit of what cannot be: finite, so that predictions are


class Walk(Protocol):
    """Paths under way, one a row; it remembers what it has been told."""

    def next(self, last: Tensor) -> Tensor:
        """Logits `(row, token)` of what follows the tokens `last`, `(row,)` int64; BEGIN at first."""

    def keep(self, rows: Tensor) -> None:
        """Go on with the rows at these indices only."""


class ScanpathModel(Model):
    """A model that says which object is looked at next, given all before.

    `predict(batch)` gives logits `(batch, step, token)` of each fixation of the true path, given those before it;
    those of tokens that a display has not are NEVER.
    """

    inputs: ClassVar = (Objects,)

    @abstractmethod
    def walk(self, batch: Batch, copies: int) -> Walk:
        """Begin `copies` paths for each sample, `batch` times `copies` rows; `batch.target` must not be read."""


@torch.no_grad()
def walked(model: ScanpathModel, batch: Batch, copies: int, steps: int, seed: int | None) -> Tensor:
    """Paths `(batch, copies, step)` int64 of tokens, END included, then -1; at most `steps` fixations, then END.

    Args:
        model: whose paths.
        batch: displays and what is searched on them.
        copies: paths of each.
        steps: most fixations.
        seed: of the draw, see `luck`; None takes the most probable token at each step. The first may not be END.
    """
    device = batch.inputs.device
    walk, rows = model.walk(batch, copies), torch.arange(len(batch) * copies, device=device)
    paths = torch.full((len(rows), steps + 1), -1, device=device)
    absent = ~batch.real.repeat_interleave(copies, 0)
    last, going = torch.full_like(rows, BEGIN), torch.ones_like(rows, dtype=torch.bool)
    for step in range(steps):
        logits = walk.next(last).masked_fill(absent, -math.inf)  # below NEVER, should all else be that
        if step == 0:
            logits[:, END] = -math.inf
        if seed is None:
            last = logits.argmax(1)
        else:  # the first token by which the probabilities add up to more than chance
            sums = logits.double().softmax(1).cumsum(1)
            last = (sums <= luck(batch, copies, seed, step)[rows, None] * sums[:, -1:]).sum(1)
        paths[rows[going], step] = last[going]
        going &= last != END
        if not going.any():
            return paths[:, : step + 1].unflatten(0, (len(batch), copies))
        if going.float().mean() < 0.5:  # what has ended costs nothing more
            kept = going.nonzero()[:, 0]
            walk.keep(kept)
            rows, last, absent, going = rows[kept], last[kept], absent[kept], going[kept]
    paths[rows[going], steps] = END
    return paths.unflatten(0, (len(batch), copies))


def luck(batch: Batch, copies: int, seed: int, step: int = 0) -> Tensor:
    """A number from 0 to below 1 for each path, `(batch * copies,)` float64, the same for every model.

    It is a hash of seed, trial, copy and step, so that neither other trials nor their order or batches matter.
    """
    trial = batch.more["trial"].repeat_interleave(copies)
    copy = torch.arange(copies, device=trial.device).repeat(len(batch))
    mixed = torch.zeros_like(trial)
    for number in (seed, trial, copy, step):
        mixed = _mix(mixed + number + 0x9E3779B9)
    return mixed.double() / 2**32


def _mix(x: Tensor) -> Tensor:
    """A number below 2**32 for each, in which every bit depends on all bits (Wellons' lowbias32)."""
    x = x & 0xFFFFFFFF
    x = ((x ^ x >> 16) * 0x7FEB352D) & 0xFFFFFFFF
    x = ((x ^ x >> 15) * 0x846CA68B) & 0xFFFFFFFF
    return x ^ x >> 16
