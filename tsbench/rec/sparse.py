"""Sparse matrices of users and items, and models that score items by links from those of the history."""

from __future__ import annotations

from abc import abstractmethod
from typing import Any, ClassVar

import numpy as np
import scipy.sparse as sp
import torch
from torch import Tensor

from tsbench.data import Batch, Samples
from tsbench.model import Run, State
from tsbench.rec.model import Recommender
from tsbench.rec.samples import HistorySamples, barred

BLOCK = 512  # items that are compared with all others at once
DIGITS = 6  # of a cosine, lest rounding decide between equal ones


def binary(user: Tensor, item: Tensor, items: int) -> sp.csr_array:
    """Who took what, `(user, item)`: 1, however often, or 0."""
    users = int(user.max()) + 1
    taken = sp.csr_array((np.ones(len(user)), (user.cpu().numpy(), item.cpu().numpy())), (users, items))
    taken.data[:] = 1  # repeated pairs are summed by now
    return taken


def history(batch: Batch, items: int) -> sp.csr_array:
    """Who has what in the history, `(batch, item)`: 1, however often and in whatever order, or 0."""
    return sp.csr_array(barred(batch, items).cpu().numpy(), dtype=np.float64)


def nearest(rows: Any, count: int) -> sp.csr_array:
    """Cosines of each row with the `count` rows nearest to it and all that are as near as the last of these.

    Neither itself nor rows at right angles or beyond are among them. No more than BLOCK rows are dense at once.

    Args:
        rows: `(row, column)`, dense or sparse; rows of zeros are near none.
        count: 0 for all rows.
    """
    dense = isinstance(rows, np.ndarray)
    norm = np.linalg.norm(rows, axis=1) if dense else sp.linalg.norm(rows, axis=1)
    scale = 1 / np.where(norm > 0, norm, 1)
    unit = rows * scale[:, None] if dense else sp.diags_array(scale) @ rows
    count = count or len(norm)
    kept = []
    for first in range(0, len(norm), BLOCK):
        product = unit[first : first + BLOCK] @ unit.T
        cosine = np.asarray(product if dense else product.toarray(), np.float64).round(DIGITS)
        own = np.arange(len(cosine))
        cosine[own, first + own] = 0
        if count < len(norm):
            least = np.partition(cosine, -count, axis=1)[:, [-count]]
            cosine[cosine < least] = 0
        kept.append(sp.csr_array(np.maximum(cosine, 0)))
    return sp.vstack(kept, "csr")


class LinkModel(Recommender):
    """Score of an item = sum of `links`, `(from, to)` items, from the history to it; without a history all are equal.

    Subclasses say what the links are and, unless all items of a history count alike, by what each is weighted.
    """

    stochastic: ClassVar[bool] = False

    def __init__(self, task: Any, config: Any) -> None:
        super().__init__(task, config)
        self.items = task.inputs.items
        self.links = sp.csr_array((self.items, self.items))

    @abstractmethod
    def link(self, train: HistorySamples) -> sp.csr_array:
        """Weights from each item to each, `(from, to)`."""

    def weights(self, batch: Batch) -> sp.csr_array:
        """How much each item of each history counts, `(batch, item)`."""
        return history(batch, self.items)

    def fit(self, train: Samples, validation: Samples, run: Run) -> None:
        """Keep the links, in float64."""
        assert isinstance(train, HistorySamples)
        self.links = self.link(train)
        self.links.sort_indices()

    def predict(self, batch: Batch) -> Tensor:
        """`(batch, item)`."""
        scores = torch.from_numpy((self.weights(batch) @ self.links).toarray())
        return scores.float().to(batch.inputs.device)

    def state(self) -> State:
        """The links: of each item the place of its first, then where to and how strong."""
        parts = {"first": self.links.indptr, "to": self.links.indices, "strength": self.links.data}
        return {name: torch.from_numpy(part) for name, part in parts.items()}

    def load_state(self, state: State) -> None:
        """Take over `state`."""
        parts = tuple(state[name].numpy() for name in ("strength", "to", "first"))
        self.links = sp.csr_array(parts, (self.items, self.items))

    def parameter_count(self) -> int:
        """Number of links."""
        return int(self.links.nnz)
