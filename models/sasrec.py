"""SASRec: self-attention over a history predicts the next item at every step, by cross-entropy over the catalogue."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution
from torch import Tensor, nn

from tsbench.data import Batch
from tsbench.errors import UsageError
from tsbench.model import NeuralModel
from tsbench.parts.encoder import Encoder, EncoderConfig, encoder_parts
from tsbench.position import Positions, encoding_kind
from tsbench.positions.learned import LearnedConfig
from tsbench.rec.model import Recommender
from tsbench.rec.samples import sequences
from tsbench.rec.stepwise import ends, last_states, step_loss
from tsbench.tasks.next_item import NextItem


@dataclass(frozen=True)
class SasrecConfig(EncoderConfig):
    """Settings of SASRec."""

    longest: int = 50  # tokens that it reads: the last items of a history
    positions: str = "learned(length=50)"  # a row for each of `longest`, at least
    layers: int = 2
    width: int = 64
    heads: int = 2
    feed_forward: int = 64
    dropout: float = 0.2
    lr: float = 1e-3
    batch_size: int = 128
    epochs: int = 200
    patience: int = 10
    drop_last: bool = False

    def __post_init__(self) -> None:
        """Refuse a model that reads nothing, and positions that it cannot give."""
        super().__post_init__()
        if self.longest < 1:
            raise UsageError(f"longest={self.longest} must be at least 1")
        kind, settings = encoding_kind(self.positions)
        if kind.contextual:
            raise UsageError(f"sasrec: positions={self.positions} needs to know the user, of whom SASRec reads nothing")
        if isinstance(settings, LearnedConfig) and settings.beyond == "error" and settings.length < self.longest:
            raise UsageError(
                f"sasrec: positions={self.positions} has {settings.length} places, and longest={self.longest} tokens "
                f"are read; write positions=learned(length={self.longest})"
            )


class Sasrec(NeuralModel, Recommender):
    """score(item) = state · embedding of the item; a state has seen the items up to its own.

    A history begins with a token of its own, from which the first item is predicted and, where there is no history, any
    item; a long history has lost it. Of sets it reads the arbitrary order that they come in.
    """

    Config = SasrecConfig
    tasks = (NextItem,)
    tiny: ClassVar[Mapping[str, Any]] = {"epochs": 2, "layers": 1, "width": 32}
    search_space: ClassVar[Mapping[str, BaseDistribution]] = {
        "lr": FloatDistribution(3e-4, 3e-3, log=True),
        "dropout": FloatDistribution(0.1, 0.6),
        "positions": CategoricalDistribution(("none", "sinusoidal", "learned(length=50)", "t5", "alibi", "rope")),
    }
    source = "Kang & McAuley 2018; cross-entropy over all items: Klenitskiy & Vasilev 2023, Petrov & Macdonald 2023"
    block_values = 2**19  # a score is one value of these, and states are as many again

    def __init__(self, task: NextItem, config: SasrecConfig) -> None:
        super().__init__(task, config)
        self.start = task.inputs.items  # its row follows those of the items
        self.embedding = nn.Embedding(task.inputs.items + 1, config.width)
        nn.init.xavier_normal_(self.embedding.weight)
        self.encoder = Encoder(config)

    @classmethod
    def parts(cls, config: SasrecConfig) -> tuple[type, ...]:
        """The position encoding."""
        return encoder_parts(config)

    def forward(self, batch: Batch) -> Tensor:
        """Scores of all items after each history, `(batch, item)`."""
        tokens, real = ends(batch.inputs, batch.real, self.start, self.config.longest)
        return last_states(self.states(tokens, real), real) @ self.items.T

    def training_loss(self, batch: Batch) -> Tensor:
        """-log p of each item given those before it, averaged over all steps of all sequences."""
        tokens, real = ends(*sequences(batch), self.start, self.config.longest + 1)
        return step_loss(self.states(tokens[:, :-1], real[:, 1:]), self.items, tokens[:, 1:], real[:, 1:])

    @property
    def items(self) -> Tensor:
        """Embeddings of the items, `(item, width)`: those that are read are those that are predicted."""
        return self.embedding.weight[: self.start]

    def states(self, tokens: Tensor, real: Tensor) -> Tensor:
        """What is known after each token, `(batch, time, width)`."""
        x = self.embedding(tokens) * math.sqrt(self.config.width)  # small as weights of the output, of size 1 as tokens
        states: Tensor = self.encoder(x, Positions.along(x, real, causal=True))
        return states
