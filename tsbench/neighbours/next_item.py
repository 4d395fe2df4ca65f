"""Next items: what the most similar users took."""

from __future__ import annotations

import numpy as np
import scipy.sparse as sp
import torch
from torch import Tensor

from tsbench.data import Batch, Samples
from tsbench.model import Run, State
from tsbench.rec.model import Recommender
from tsbench.rec.samples import HistorySamples
from tsbench.rec.sparse import DIGITS, binary, history
from tsbench.tasks.next_item import NextItem

POPULAR = 1e-3  # weight of an item's share of users, which orders items that no neighbour took


class NearestUsers(Recommender):
    """Score of an item = sum of the cosines of the users who took it, over the nearest training users.

    A user is the set of items taken; nobody is a neighbour of themselves. Items that no neighbour took follow by how
    many users took them.
    """

    stochastic = False

    def __init__(self, task: NextItem, config: object) -> None:
        super().__init__(task, config)
        self.taken = sp.csr_array((1, task.inputs.items))

    def fit(self, train: Samples, validation: Samples, run: Run) -> None:
        """Keep who took what."""
        assert isinstance(train, HistorySamples)
        self.taken = binary(*train.interactions(), self.task.inputs.items)
        self.taken.sort_indices()

    def predict(self, batch: Batch) -> Tensor:
        """`(batch, item)`."""
        asked = history(batch, self.task.inputs.items)
        norms = np.sqrt(np.maximum(np.outer(asked.sum(1), self.taken.sum(1)), 1))
        cosine = ((asked @ self.taken.T).toarray() / norms).round(DIGITS)
        user = batch.more["user"].cpu().numpy()
        known = np.flatnonzero(user < cosine.shape[1])
        cosine[known, user[known]] = 0
        if self.config.neighbours < cosine.shape[1]:
            cosine[cosine < np.partition(cosine, -self.config.neighbours, axis=1)[:, [-self.config.neighbours]]] = 0
        popular = POPULAR * self.taken.sum(0) / self.taken.shape[0]
        scores = sp.csr_array(cosine) @ self.taken
        return torch.from_numpy(scores.toarray() + popular).float().to(batch.inputs.device)

    def state(self) -> State:
        """Of each user the place of their first item, then the items."""
        return {"first": torch.from_numpy(self.taken.indptr), "items": torch.from_numpy(self.taken.indices)}

    def load_state(self, state: State) -> None:
        """Take over `state`."""
        first, items = state["first"].numpy(), state["items"].numpy()
        shape = (len(first) - 1, self.task.inputs.items)
        self.taken = sp.csr_array((np.ones(len(items)), items, first), shape)
