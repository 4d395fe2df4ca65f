"""Series Transformer: steps of all channels as tokens of the shared encoder (after TST, Zerveas et al., KDD 2021)."""

from __future__ import annotations

import math
from dataclasses import dataclass

from optuna.distributions import CategoricalDistribution, FloatDistribution
from torch import Tensor, nn

from tsbench.data import Batch
from tsbench.errors import UsageError
from tsbench.inputs import Series
from tsbench.model import NeuralModel
from tsbench.parts.cutting import cut, mean
from tsbench.parts.encoder import Encoder, EncoderConfig, encoder_parts
from tsbench.position import Positions
from tsbench.series.large import LARGE
from tsbench.tasks.classification import Classification


@dataclass(frozen=True)
class SeriesTransformerConfig(EncoderConfig):
    """Settings of the series Transformer; small, for CPU."""

    positions: str = "rope"
    layers: int = 2
    width: int = 64
    heads: int = 4
    lr: float = 4e-3
    batch_size: int = 16
    epochs: int = 40
    patience: int = 0
    schedule: str = "cosine"
    warmup: float = 5.0
    clip: float = 1.0
    tokens: int = 128  # of a series, at most: tokens of longer ones are of several steps

    def __post_init__(self) -> None:
        """Refuse what gives no token."""
        super().__post_init__()
        if self.tokens < 1:
            raise UsageError(f"tokens={self.tokens} must be at least 1")


class SeriesTransformer(NeuralModel):
    """Embed each step, or as many as needed to keep to `tokens`, with all channels; encode; mean over time; linear."""

    Config = SeriesTransformerConfig
    tasks = (Classification,)
    tiny = {"epochs": 2, "width": 16}
    source = "after Zerveas et al., A Transformer-based Framework for Multivariate Time Series, KDD 2021"
    recipes = LARGE
    block_values = 2**18  # states are many times as many
    search_space = {
        **NeuralModel.search_space,
        "lr": FloatDistribution(1e-4, 1e-2, log=True),
        "dropout": FloatDistribution(0.0, 0.3),
        "positions": CategoricalDistribution(("none", "sinusoidal", "learned", "t5", "alibi", "rope")),
    }

    def __init__(self, task: Classification, config: SeriesTransformerConfig) -> None:
        super().__init__(task, config)
        assert isinstance(task.inputs, Series)
        self.patch = math.ceil(task.inputs.length / config.tokens)  # steps of a token
        self.stem = nn.Linear(self.patch * task.inputs.channels, config.width)
        self.encoder = Encoder(config)
        self.head = nn.Linear(config.width, task.classes)

    @classmethod
    def parts(cls, config: SeriesTransformerConfig) -> tuple[type, ...]:
        """The position encoding."""
        return encoder_parts(config)

    def forward(self, batch: Batch) -> Tensor:
        """Logits `(batch, classes)`."""
        x, valid = cut(batch, self.patch)
        states = self.encoder(self.stem(x), Positions.along(x, valid))
        logits: Tensor = self.head(mean(states, valid))
        return logits
