"""Cutting: labelled series of unlike length to tokens of several steps, and what tokens have in common."""

from __future__ import annotations

from torch import Tensor
from torch.nn import functional as F

from tsbench.data import Batch


def cut(batch: Batch, patch: int) -> tuple[Tensor, Tensor | None]:
    """Tokens of `patch` steps with all channels, `(batch, token, patch * channel)`, and which have a real step.

    Padding, and what is missing of the last token, is zero.
    """
    x, valid = batch.inputs, batch.valid
    more = -x.shape[1] % patch  # zeros to whole tokens
    if valid is not None:
        x = x.masked_fill(~valid[..., None], 0)
        valid = F.pad(valid, (0, more))[:, ::patch]  # a token with a real step has one first
    return F.pad(x, (0, 0, 0, more)).unflatten(1, (-1, patch)).flatten(2), valid


def mean(states: Tensor, valid: Tensor | None) -> Tensor:
    """Over real tokens, `(batch, token, width)` to `(batch, width)`."""
    if valid is None:
        return states.mean(1)
    return (states * valid[..., None]).sum(1) / valid.sum(1, keepdim=True)
