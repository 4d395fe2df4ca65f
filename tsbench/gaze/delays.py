"""Time-delay embedding: stretches of one path looked up in another."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice

import torch
from torch import Tensor

from tsbench.gaze.alignment import in_blocks


def tde(human: Tensor, model: Tensor, k: int) -> Tensor:
    """How far, px, stretches of `k` fixations of a model's path are from the nearest human one (Wang et al. 2011).

    `(pair,)`, the mean over the model's stretches; two stretches are as far apart as their points are on average. Not
    symmetric: human stretches that no model path has cost nothing. NaN where a path has fewer than `k` fixations.

    Args:
        human: `(pair, step, 2)` px, then NaN.
        model: the same.
        k: at least 1.
    """

    def one(human: Tensor, model: Tensor) -> Tensor:
        return next(islice(_delays(human, model), k - 1, None), human.new_full((len(human),), torch.nan))

    return in_blocks(one, (human.double(),), (model.double(),))


def stde(human: Tensor, model: Tensor, size: Tensor) -> Tensor:
    """Mean of exp(-TDE) over all `k` for which there is one, `(pair,)`, 0 to 1, 1 for the same path.

    Points are first divided by the longer side of their display. NaN where a path is empty. Not symmetric, see `tde`.

    Args:
        human: `(pair, step, 2)` px, then NaN.
        model: the same.
        size: `(pair, 2)` px: width and height of each display.
    """

    def one(human: Tensor, model: Tensor) -> Tensor:
        none = human.new_full((len(human),), torch.nan)
        return torch.stack([none, *_delays(human, model)]).neg().exp().nanmean(0)

    longer = size.double().amax(1)[:, None, None]
    return in_blocks(one, (human / longer,), (model / longer,))


def _delays(human: Tensor, model: Tensor) -> Iterator[Tensor]:
    """TDE `(pair,)` for k = 1, 2, ..., as far as the tensors reach."""
    distance = torch.cdist(human, model, compute_mode="donot_use_mm_for_euclid_dist").nan_to_num(torch.inf)
    total = torch.zeros_like(distance)
    for k in range(1, min(distance.shape[1:]) + 1):
        if k > 1:
            total = total[:, :-1, :-1]
        total = total + distance[:, k - 1 :, k - 1 :]
        nearest = total.amin(1) / k
        yield nearest.masked_fill(nearest.isinf(), torch.nan).nanmean(1)
