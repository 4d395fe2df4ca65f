"""EASE: a linear autoencoder of histories that may not copy an item to itself, in closed form."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from optuna.distributions import FloatDistribution
from torch import Tensor

from tsbench.data import Batch, Samples
from tsbench.errors import UsageError
from tsbench.model import Run, State
from tsbench.rec.model import Recommender
from tsbench.rec.samples import HistorySamples
from tsbench.rec.sparse import binary, history
from tsbench.tasks.next_item import NextItem


@dataclass(frozen=True)
class EaseConfig:
    """Settings of EASE."""

    ridge: float = 100.0  # the penalty on weights, lambda in the paper

    def __post_init__(self) -> None:
        if self.ridge <= 0:
            raise UsageError(f"ease: ridge={self.ridge} must be above 0")


class Ease(Recommender):
    """Scores = x B: x is 1 for items of the history, and B, `(item, item)`, minimises ||X - X B||2 + ridge ||B||2
    under diag(B) = 0 (Steck, sections 2 and 3.1). Without a history all scores are equal.

    What is saved is the training interactions, not B, so loading solves again, which takes as long as the fit did.
    It needs three matrices of items^2 x 8 bytes at its height: 12,101 items 3.5 GB.
    """

    Config = EaseConfig
    stochastic = False
    source = "Steck, Embarrassingly shallow autoencoders for sparse data, WWW 2019"
    search_space = {"ridge": FloatDistribution(1.0, 1e4, log=True)}

    def __init__(self, task: NextItem, config: EaseConfig) -> None:
        super().__init__(task, config)
        self.items = task.inputs.items
        self.taken = torch.zeros(2, 0, dtype=torch.int64)  # user and item of each interaction
        self.weight = np.zeros((0, 0), np.float32)  # B

    def fit(self, train: Samples, validation: Samples, run: Run) -> None:
        """Solve."""
        assert isinstance(train, HistorySamples)
        self.load_state({"taken": torch.stack(train.interactions()).cpu()})

    def predict(self, batch: Batch) -> Tensor:
        """`(batch, item)`."""
        return torch.from_numpy(history(batch, self.items).astype(np.float32) @ self.weight).to(batch.inputs.device)

    def state(self) -> State:
        """User and item of each training interaction, `(2, interaction)`."""
        return {"taken": self.taken}

    def load_state(self, state: State) -> None:
        """Take over `state`, and solve: P = (X'X + ridge I)^-1, B = I - P / diag(P)."""
        self.taken = state["taken"]
        user, item = self.taken
        x = binary(user, item, self.items)
        gram = torch.from_numpy((x.T @ x).toarray())
        gram.diagonal().add_(self.config.ridge)
        inverse = torch.cholesky_inverse(torch.linalg.cholesky(gram))
        inverse /= -inverse.diagonal().clone()
        self.weight = inverse.fill_diagonal_(0).float().numpy()

    def parameter_count(self) -> int:
        """Entries of B."""
        return self.items**2
