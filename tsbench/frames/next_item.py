"""Next items: what a user took as tokens, in order; each state is compared with every item of the catalogue."""

from __future__ import annotations

import math
from typing import Any

from torch import Tensor, nn

from tsbench.data import Batch
from tsbench.frame import Body, Frame, FrameConfig
from tsbench.inputs import Histories
from tsbench.position import Positions
from tsbench.rec.samples import sequences
from tsbench.rec.stepwise import ends, last_states, step_loss
from tsbench.tasks.next_item import NextItem


class NextItemFrame(Frame):
    """score(item) = state · embedding of the item, learned from every step of every history, as SASRec does.

    A history begins with a token of its own, so that one without items has a state; a long one has lost it. Embeddings
    that are read are those that are predicted.
    """

    tasks = (NextItem,)
    inputs = (Histories,)
    block_values = 2**19  # a score is one value of these

    def __init__(self, task: Any, config: FrameConfig, linear: bool) -> None:
        super().__init__(task, config, linear)
        self.start = task.inputs.items  # its row follows those of the items
        self.embedding = nn.Embedding(task.inputs.items + 1, config.width)
        nn.init.xavier_normal_(self.embedding.weight)

    def forward(self, batch: Batch, body: Body) -> Tensor:
        """Scores of all items after each history, `(batch, item)`."""
        tokens, real = ends(batch.inputs, batch.real, self.start, self.config.tokens)
        return last_states(self.states(tokens, real, body), real) @ self.items.T

    def loss(self, batch: Batch, body: Body) -> Tensor:
        """-log p of each item given those before it, averaged over all steps of all sequences."""
        tokens, real = ends(*sequences(batch), self.start, self.config.tokens + 1)
        return step_loss(self.states(tokens[:, :-1], real[:, 1:], body), self.items, tokens[:, 1:], real[:, 1:])

    @property
    def items(self) -> Tensor:
        """Embeddings of the items, `(item, width)`."""
        return self.embedding.weight[: self.start]

    def states(self, tokens: Tensor, real: Tensor, body: Body) -> Tensor:
        """What is known after each token, `(batch, time, width)`."""
        x = self.embedding(tokens) * math.sqrt(self.config.width)  # small as weights of the output, of size 1 as tokens
        return body(x, Positions.along(x, real, causal=True))
