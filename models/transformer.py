"""Transformer: the shared encoder, with any position encoding, in every family."""

from __future__ import annotations

from dataclasses import dataclass

from optuna.distributions import CategoricalDistribution, FloatDistribution
from torch import nn

from tsbench.errors import UsageError
from tsbench.frame import FrameConfig
from tsbench.general import RECIPES, GeneralModel
from tsbench.parts.encoder import Encoder, EncoderConfig, encoder_parts
from tsbench.position import encoding_kind


@dataclass(frozen=True)
class TransformerConfig(FrameConfig, EncoderConfig):
    """Settings of the Transformer; small, for a CPU."""

    positions: str = "rope"
    layers: int = 2
    heads: int = 4
    lr: float = 1e-3

    def __post_init__(self) -> None:
        """Refuse an encoding that needs to know what only one family has."""
        super().__post_init__()
        if encoding_kind(self.positions)[0].contextual:
            raise UsageError(f"transformer: positions={self.positions} needs to know the user; see the model mmgrec")


class Transformer(GeneralModel):
    """Pre-norm self-attention over the frame's tokens; causal where tokens are what came before."""

    Config = TransformerConfig
    source = "Vaswani et al., Attention Is All You Need, NeurIPS 2017; pre-norm: Xiong et al., ICML 2020"
    recipes = {
        **RECIPES,
        "series": {**RECIPES["series"], "lr": 4e-3, "warmup": 5.0},
        "forecasting": {**RECIPES["forecasting"], "lr": 1e-3, "warmup": 0.0},
        "histories": {**RECIPES["histories"], "dropout": 0.2},
        "pairmap": {**RECIPES["pairmap"], "dropout": 0.0},
    }
    search_space = {
        **GeneralModel.search_space,
        "lr": FloatDistribution(1e-4, 1e-2, log=True),
        "dropout": FloatDistribution(0.0, 0.4),
        "positions": CategoricalDistribution(("none", "sinusoidal", "learned", "shaw", "t5", "alibi", "rope")),
    }

    @classmethod
    def parts(cls, config: TransformerConfig) -> tuple[type, ...]:
        """All frames, and the position encoding."""
        return (*super().parts(config), *encoder_parts(config))

    def build_body(self) -> nn.Module:
        """The shared encoder."""
        return Encoder(self.config)
