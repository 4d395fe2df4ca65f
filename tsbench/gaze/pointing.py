"""Pointing: what models share whose state after each fixation is compared with every object of the display."""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from torch import Tensor
from torch.nn import functional as F

from tsbench.data import Batch
from tsbench.gaze.samples import BEGIN, END
from tsbench.gaze.walk import NEVER


def described(batch: Batch) -> Tensor:
    """Features and place of each token, `(batch, token, feature + 4)`."""
    assert batch.places is not None
    return torch.cat([batch.inputs, batch.places], -1)


def fixated(tokens: Tensor, batch: Batch) -> Tensor:
    """The tokens before each step of the true paths, `(batch, step, feature)`; first, what is searched for."""
    before = F.pad(batch.target[:, :-1], (1, 0), value=BEGIN).clamp(min=END)
    return tokens.gather(1, before[..., None].expand(-1, -1, tokens.shape[2]))


def ending(keys: Tensor, end: Tensor) -> Tensor:
    """Keys `(batch, token, width)`, `end` added to that of END, which is else a second copy of the target."""
    return torch.cat([keys[:, : END + 1] + end, keys[:, END + 1 :]], 1)


def point(states: Tensor, keys: Tensor, real: Tensor) -> Tensor:
    """Logits `(batch, step, token)` = state · key / √width; NEVER for what is not there."""
    scores = states @ keys.transpose(1, 2) / math.sqrt(states.shape[-1])
    return scores.masked_fill(~real[:, None], NEVER)


class ReadingWalk:
    """Paths under way of a model that reads the whole path again at each step.

    Args:
        states: of paths `(row, step, feature)`, to `(row, step, width)`.
        keys: what states are compared with, `(batch, token, width)`.
        batch: the displays.
        copies: paths of each.
    """

    def __init__(self, states: Callable[[Tensor], Tensor], keys: Tensor, batch: Batch, copies: int) -> None:
        self.states, self.keys, self.real, self.tokens = states, keys, batch.real, described(batch)
        self.owner = torch.arange(len(batch), device=batch.inputs.device).repeat_interleave(copies)
        self.path = self.owner[:, None][:, :0]

    def next(self, last: Tensor) -> Tensor:
        """Logits `(row, token)` of what follows `last`."""
        self.path = torch.cat([self.path, last[:, None]], 1)
        state = self.states(self.tokens[self.owner[:, None], self.path])[:, -1:]
        return point(state, self.keys[self.owner], self.real[self.owner])[:, 0]

    def keep(self, rows: Tensor) -> None:
        """Go on with the rows at these indices only."""
        self.owner, self.path = self.owner[rows], self.path[rows]
