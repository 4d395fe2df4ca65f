"""Splits by what samples share (a sequence, a family, a parent), whose groups never part; and by class."""

from __future__ import annotations

import hashlib
from collections.abc import Hashable, Sequence

import numpy as np
import torch
from torch import Tensor

SHARES = (0.7, 0.1, 0.2)


def grouped_split(groups: Sequence[str], shares: Sequence[float] = SHARES) -> tuple[Tensor, ...]:
    """Indices of the samples of each split, ascending; by default 70/10/20 % for train, validation and test.

    Groups are put in the order of their SHA-256, which is as good as random and the same everywhere, and cut where
    the shares of samples are reached; a group goes where its middle falls.

    Args:
        groups: the group of each sample.
        shares: the share of each split; they add up to 1.
    """
    numbers: dict[str, int] = {}
    group = np.array([numbers.setdefault(name, len(numbers)) for name in groups], dtype=np.int64)
    sizes = np.bincount(group, minlength=len(numbers))
    order = np.argsort([hashlib.sha256(name.encode()).hexdigest() for name in numbers], kind="stable")
    middle = np.empty(len(numbers))
    middle[order] = (np.cumsum(sizes[order]) - sizes[order] / 2) / max(1, len(groups))
    split = np.searchsorted(np.cumsum(shares)[:-1], middle, side="right")[group]
    return tuple(torch.from_numpy(np.flatnonzero(split == i)) for i in range(len(shares)))


def stratified(classes: Tensor, share: float, keys: Sequence[Hashable] = ()) -> tuple[Tensor, Tensor]:
    """Indices kept and held out, ascending: `share` of every class, at least one of two cases, the same everywhere.

    Args:
        classes: `(sample,)` int64.
        share: of each class that is held out; the count is rounded.
        keys: equal for copies of a sample; one that would part from its copy is kept.
    """
    order = torch.randperm(len(classes), generator=torch.Generator().manual_seed(2021))
    held_out = []
    for members in (order[classes[order] == c] for c in classes.unique()):
        count = max(round(share * len(members)), 1 if len(members) > 1 else 0)
        held_out.append(members[:count])
    mask = torch.zeros(len(classes), dtype=torch.bool)
    mask[torch.cat(held_out)] = True
    if keys:
        staying = {key for key, held in zip(keys, mask.tolist(), strict=True) if not held}
        mask &= torch.tensor([key not in staying for key in keys])
    return torch.nonzero(~mask).flatten(), torch.nonzero(mask).flatten()
