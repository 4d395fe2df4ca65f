"""ItemKNN: who took this also took that."""

from __future__ import annotations

from dataclasses import dataclass

import scipy.sparse as sp
from optuna.distributions import IntDistribution

from tsbench.errors import UsageError
from tsbench.rec.samples import HistorySamples
from tsbench.rec.sparse import LinkModel, binary, nearest


@dataclass(frozen=True)
class ItemKnnConfig:
    """Settings of ItemKNN."""

    neighbours: int = 0  # of each item of the history, the nearest so many count; 0 for all

    def __post_init__(self) -> None:
        if self.neighbours < 0:
            raise UsageError(f"item_knn: neighbours={self.neighbours} must be 0, for all, or more")


class ItemKnn(LinkModel):
    """Score of an item = sum of its cosines with the items of the history, over which users took them."""

    Config = ItemKnnConfig
    source = "Sarwar, Karypis, Konstan, Riedl, Item-based collaborative filtering, WWW 2001"
    search_space = {"neighbours": IntDistribution(10, 1000, log=True)}

    def link(self, train: HistorySamples) -> sp.csr_array:
        """Cosines of columns of the binary user-item matrix."""
        taken = binary(*train.interactions(), self.items)
        return nearest(taken.T.tocsr(), self.config.neighbours)
