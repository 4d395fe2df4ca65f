"""RNA Transformer: tokens of RNA through the shared encoder, any tokenizer, any position encoding."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

from optuna.distributions import CategoricalDistribution, FloatDistribution
from torch import Tensor, nn

from tsbench.errors import UsageError
from tsbench.model import NeuralModel
from tsbench.parts.encoder import Encoder, EncoderConfig, encoder_parts
from tsbench.parts.packing import pack_rows
from tsbench.position import Positions
from tsbench.rna.model import NucleotideConfig, NucleotideModel


@dataclass(frozen=True)
class RnaTransformerConfig(NucleotideConfig, EncoderConfig):
    """Settings of the RNA Transformer; small enough for a CPU. BEACON-B's sizes are those of `beacon_b`."""

    layers: int = 3
    heads: int = 4
    packed: int = 0  # tokens of a row into which several sequences are packed; 0 pads each sequence instead

    def __post_init__(self) -> None:
        """Refuse rows of no length."""
        super().__post_init__()
        if self.packed < 0:
            raise UsageError(f"packed={self.packed} must be at least 0")


class RnaTransformer(NucleotideModel):
    """BERT's encoder on RNA, with ALiBi unless another position encoding is asked for."""

    Config: ClassVar[type] = RnaTransformerConfig
    source = "Ren et al., BEACON: Benchmark for Comprehensive RNA Tasks and Language Models, NeurIPS 2024"
    # Chosen on validation, for a CPU; `beacon_b` has the settings of the published scripts.
    recipes = {
        "rna/ssp*": {"layers": 2, "batch_size": 4, "lr": 2e-3, "epochs": 12, "dropout": 0.0, "pair_dropout": 0.0},
        "rna/ncrna*": {"layers": 2, "lr": 3e-3, "epochs": 12, "tokenizer": "overlapping(k=6)"},
        "rna/vdp*": {"lr": 2e-3, "epochs": 16},
        "rna/cri-on*": {"epochs": 15},
        "rna/cri-off*": {"epochs": 4},
    }
    search_space = {
        **NeuralModel.search_space,
        "lr": FloatDistribution(1e-4, 3e-3, log=True),
        "dropout": FloatDistribution(0.0, 0.3),
        "tokenizer": CategoricalDistribution(("single", "overlapping(k=3)", "blocks(k=3)", "bpe(vocabulary=256)")),
        "positions": CategoricalDistribution(("none", "sinusoidal", "learned", "shaw", "t5", "alibi", "rope")),
    }

    @classmethod
    def parts(cls, config: RnaTransformerConfig) -> tuple[type, ...]:
        """Tokenizer and position encoding."""
        return (*super().parts(config), *encoder_parts(config))

    def build_body(self) -> nn.Module:
        """The shared encoder, on embeddings as small as BERT's: learned positions start as small."""
        nn.init.normal_(self.embedding.weight, std=0.02)
        return Body(self.config)


class Body(nn.Module):
    """The encoder on rows of one sequence each, or packed with several."""

    def __init__(self, config: Any) -> None:
        super().__init__()
        self.encoder = Encoder(config)
        self.packed = config.packed

    def forward(self, x: Tensor, valid: Tensor) -> Tensor:
        """`(batch, token, width)` to the same."""
        if self.packed:
            rows, positions, back = pack_rows(x, valid, self.packed)
            return back(self.encoder(rows, positions))
        states: Tensor = self.encoder(x, Positions.along(x, valid))
        return states
