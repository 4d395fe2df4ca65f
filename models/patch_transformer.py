"""Patch Transformer: patches of each channel as tokens of the shared encoder (after PatchTST, ICLR 2023)."""

from __future__ import annotations

from dataclasses import dataclass

from optuna.distributions import CategoricalDistribution
from torch import Tensor, nn

from tsbench.data import Batch
from tsbench.errors import UsageError
from tsbench.model import NeuralModel
from tsbench.parts.encoder import Encoder, EncoderConfig, encoder_parts
from tsbench.position import Positions
from tsbench.tasks.forecasting import Forecasting


@dataclass(frozen=True)
class PatchTransformerConfig(EncoderConfig):
    """Settings of the patch Transformer; small, for CPU."""

    positions: str = "learned"
    layers: int = 2
    width: int = 64
    heads: int = 4
    lr: float = 1e-3
    clip: float = 1.0
    patch: int = 16  # steps of a token
    stride: int = 8  # steps between tokens

    def __post_init__(self) -> None:
        """Refuse what gives no patches."""
        super().__post_init__()
        if self.patch < 1 or self.stride < 1:
            raise UsageError(f"patch={self.patch} and stride={self.stride} must be at least 1")


class PatchTransformer(NeuralModel):
    """Each channel by itself: normalise, cut into patches, encode, read the horizon off all states.

    A reconstruction for comparing position encodings: PatchTST's shape (patches, shared channels, instance
    normalisation, flattened head) with our encoder (LayerNorm for its BatchNorm).
    """

    Config = PatchTransformerConfig
    tasks = (Forecasting,)
    source = "after Nie et al., A Time Series is Worth 64 Words, ICLR 2023; our reconstruction"
    search_space = {
        **NeuralModel.search_space,
        "positions": CategoricalDistribution(("none", "sinusoidal", "learned", "t5", "alibi", "rope")),
    }

    def __init__(self, task: Forecasting, config: PatchTransformerConfig) -> None:
        super().__init__(task, config)
        self.patch = min(config.patch, task.look_back)
        tokens = (task.look_back - self.patch) // config.stride + 1
        self.stem = nn.Linear(self.patch, config.width)
        self.encoder = Encoder(config)
        self.head = nn.Linear(tokens * config.width, task.horizon)

    @classmethod
    def parts(cls, config: PatchTransformerConfig) -> tuple[type, ...]:
        """The position encoding."""
        return encoder_parts(config)

    def forward(self, batch: Batch) -> Tensor:
        """Forecast `(batch, horizon, channel)`."""
        x = batch.inputs.transpose(1, 2)  # (batch, channel, look_back)
        mean = x.mean(-1, keepdim=True)
        scale = x.std(-1, keepdim=True, correction=0) + 1e-5
        # The last patch ends at the last step; steps that no patch reaches are the oldest.
        rest = (x.shape[-1] - self.patch) % self.config.stride
        patches = ((x - mean) / scale)[..., rest:].unfold(-1, self.patch, self.config.stride).flatten(0, 1)
        tokens = self.stem(patches)  # (batch * channel, token, width)
        states = self.encoder(tokens, Positions.along(tokens))
        forecast: Tensor = self.head(states.flatten(1)).unflatten(0, x.shape[:2]) * scale + mean
        return forecast.transpose(1, 2)
