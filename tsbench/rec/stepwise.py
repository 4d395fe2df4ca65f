"""Stepwise: what models share that predict each item of a history from those before it."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

PART = 2**19  # logits that exist at once: few enough to stay in cache, whatever the catalogue


def ends(items: Tensor, real: Tensor, start: int, size: int) -> tuple[Tensor, Tensor]:
    """The last `size` of a token `start` and the items, `(batch, time)`, and which are real; padding comes last."""
    items, real = F.pad(items, (1, 0), value=start), F.pad(real, (1, 0), value=True)
    length = real.sum(1, keepdim=True)
    steps = torch.arange(min(size, items.shape[1]), device=items.device)
    return items.gather(1, (length - size).clamp(min=0) + steps), steps < length


def last_states(states: Tensor, real: Tensor) -> Tensor:
    """The state of the last real token of each row, `(batch, width)`."""
    return states[torch.arange(len(states), device=states.device), real.sum(1) - 1]


def step_loss(states: Tensor, items: Tensor, tokens: Tensor, real: Tensor) -> Tensor:
    """-log p of each token given the state before it, averaged over all steps of all sequences.

    Args:
        states: `(batch, time, width)`.
        items: embeddings of the catalogue, `(item, width)`.
        tokens: the items that follow, `(batch, time)`.
        real: which of these are.
    """
    steps = _places(real)
    taken = states.flatten(0, 1).index_select(0, steps)
    loss: Tensor = _CrossEntropy.apply(taken, items, tokens.flatten()[steps])
    return loss


def _places(real: Tensor) -> Tensor:
    """Flat indices of real tokens; meta tensors, which hold no values, count as all real."""
    flat = real.flatten()
    return torch.arange(len(flat), device=flat.device) if flat.is_meta else flat.nonzero()[:, 0]


class _CrossEntropy(torch.autograd.Function):
    """Mean of -log softmax(states · items)[target], with its gradient, from a part of the logits at a time.

    The gradient of logits is softmax less one-hot, so both products of it are had while they are in cache, and memory
    does not grow with steps times items.
    """

    @staticmethod
    def forward(ctx: Any, states: Tensor, items: Tensor, target: Tensor) -> Tensor:
        """Of states `(step, width)`, items `(item, width)` and target `(step,)`."""
        loss = states.new_zeros(())
        by_state, by_item = torch.empty_like(states), torch.zeros_like(items)
        size = max(1, PART // len(items))
        for x, wanted, out in zip(states.split(size), target[:, None].split(size), by_state.split(size), strict=True):
            logits = x @ items.T
            log_p = logits.log_softmax(1, dtype=torch.promote_types(logits.dtype, torch.float32))
            loss -= log_p.gather(1, wanted).sum()
            change = log_p.exp_().scatter_add_(1, wanted, torch.full_like(wanted, -1, dtype=log_p.dtype))
            out.copy_(change @ items)
            by_item.addmm_(change.T, x)
        ctx.save_for_backward(by_state, by_item)
        ctx.steps = len(target)
        return loss / len(target)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, Tensor, None]:
        """Scaled by the gradient of the loss."""
        by_state, by_item = ctx.saved_tensors
        share = gradients[0] / ctx.steps
        return by_state * share, by_item * share, None
