"""RNA ResNet: residual convolutions of growing reach, the second of BEACON's from-scratch rows."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor, nn

from tsbench.parts.dropout import dropout
from tsbench.rna.model import NucleotideConfig, NucleotideModel


@dataclass(frozen=True)
class RnaResnetConfig(NucleotideConfig):
    """Settings of the ResNet."""

    blocks: int = 4
    kernel: int = 5  # tokens a convolution sees, odd
    dilations: int = 3  # blocks see 1, 2, 4 ... tokens apart, and begin again after so many


class RnaResnet(NucleotideModel):
    """Pre-activation residual blocks. BEACON's row has no code in its repository; this is our reconstruction."""

    Config = RnaResnetConfig
    source = "after the ResNet row of Ren et al. (BEACON), NeurIPS 2024, and He et al. 2016; our reconstruction"

    def build_body(self) -> nn.Module:
        """The blocks."""
        return Blocks(self.config)


class Blocks(nn.Module):
    """Residual blocks at full length."""

    def __init__(self, config: RnaResnetConfig) -> None:
        super().__init__()
        self.blocks = nn.ModuleList(Block(config, 2 ** (i % config.dilations)) for i in range(config.blocks))
        self.norm = nn.LayerNorm(config.width)

    def forward(self, x: Tensor, valid: Tensor) -> Tensor:
        """`(batch, token, width)` to the same."""
        for block in self.blocks:
            x = block(x, valid.unsqueeze(-1))
        states: Tensor = self.norm(x)
        return states


class Block(nn.Module):
    """Normalise, ReLU, convolve, twice; added to what came in."""

    def __init__(self, config: RnaResnetConfig, dilation: int) -> None:
        super().__init__()
        width = config.width
        self.dropout = config.dropout
        self.norms = nn.ModuleList(nn.LayerNorm(width) for _ in range(2))
        self.convolutions = nn.ModuleList(
            nn.Conv1d(width, width, config.kernel, padding="same", dilation=dilation) for _ in range(2)
        )

    def forward(self, x: Tensor, real: Tensor) -> Tensor:
        """`(batch, token, width)` to the same."""
        y = x
        for norm, convolution in zip(self.norms, self.convolutions, strict=True):
            y = convolution((norm(y).relu() * real).transpose(1, 2)).transpose(1, 2)
        return x + dropout(y, self.dropout, self.training)
