"""Markov over recent items: what people took soon after these. Cheap, and hard to beat on sequences."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import scipy.sparse as sp
import torch
from optuna.distributions import FloatDistribution, IntDistribution

from tsbench.data import Batch
from tsbench.errors import UsageError
from tsbench.rec.samples import HistorySamples
from tsbench.rec.sparse import LinkModel


@dataclass(frozen=True)
class ItemMarkovConfig:
    """Settings of Markov; defaults are those of Markov3 in shared/reference/rec.md, set once and not tuned."""

    gap: int = 3  # an item is linked to the next so many after it
    recent: int = 10  # items of the history that count: the last ones
    decay: float = 0.8  # weight of an item, relative to that of the one after it

    def __post_init__(self) -> None:
        for name in ("gap", "recent"):
            if getattr(self, name) < 1:
                raise UsageError(f"item_markov: {name}={getattr(self, name)} must be at least 1")
        if not 0 < self.decay <= 1:
            raise UsageError(f"item_markov: decay={self.decay} must be above 0 and at most 1")


class ItemMarkov(LinkModel):
    """Score = sum over the last items, `decay` ^ age of each x its link; of sets the order, so all this, is arbitrary.

    A link is how often one item follows another at each gap, weighted 1 / gap, over the root of the sum of all links
    from the first: halfway between counts, which favour what is popular, and probabilities, which favour what is rare.
    """

    Config = ItemMarkovConfig
    source = "first-order Markov chain with gaps, shared/reference/rec.md"
    search_space = {
        "gap": IntDistribution(1, 10),
        "recent": IntDistribution(1, 50, log=True),
        "decay": FloatDistribution(0.3, 1.0),
    }

    def link(self, train: HistorySamples) -> sp.csr_array:
        """Count pairs of each gap within each user."""
        user, item = (x.cpu().numpy() for x in train.interactions())
        counts = sp.csr_array((self.items, self.items))
        for gap in range(1, self.config.gap + 1):
            same = user[gap:] == user[:-gap]
            pairs = item[:-gap][same], item[gap:][same]
            counts += sp.csr_array((np.full(same.sum(), 1 / gap), pairs), counts.shape)
        total = counts.sum(1)
        return sp.csr_array(sp.diags_array(1 / np.sqrt(np.where(total > 0, total, 1))) @ counts)

    def weights(self, batch: Batch) -> sp.csr_array:
        """`decay` ^ age of the last items; an item that is there several times has the sum."""
        age = batch.steps[:, None] - 1 - torch.arange(batch.inputs.shape[1], device=batch.inputs.device)
        row, step = (x.cpu().numpy() for x in (batch.real & (age < self.config.recent)).nonzero(as_tuple=True))
        item, age = (x.cpu().numpy()[row, step] for x in (batch.inputs, age))
        return sp.csr_array((self.config.decay**age, (row, item)), (len(batch), self.items))
