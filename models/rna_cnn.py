"""RNA CNN: a plain convolutional network, the first of BEACON's from-scratch rows."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor, nn

from tsbench.parts.dropout import dropout
from tsbench.rna.model import NucleotideConfig, NucleotideModel


@dataclass(frozen=True)
class RnaCnnConfig(NucleotideConfig):
    """Settings of the CNN."""

    layers: int = 3
    kernel: int = 5  # tokens a convolution sees, odd


class RnaCnn(NucleotideModel):
    """Convolutions and ReLU. BEACON's row has no code in its repository; this is our reconstruction."""

    Config = RnaCnnConfig
    source = "after the CNN row of Ren et al. (BEACON), NeurIPS 2024; our reconstruction"

    def build_body(self) -> nn.Module:
        """The convolutions."""
        return Convolutions(self.config)


class Convolutions(nn.Module):
    """Layers of convolution and ReLU at full length."""

    def __init__(self, config: RnaCnnConfig) -> None:
        super().__init__()
        self.dropout = config.dropout
        width = config.width
        self.layers = nn.ModuleList(
            nn.Conv1d(width, width, config.kernel, padding="same") for _ in range(config.layers)
        )

    def forward(self, x: Tensor, valid: Tensor) -> Tensor:
        """`(batch, token, width)` to the same."""
        x, real = x.transpose(1, 2), valid.unsqueeze(1)
        for layer in self.layers:
            x = dropout(layer(x * real).relu(), self.dropout, self.training)
        return x.transpose(1, 2)
