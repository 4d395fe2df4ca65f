"""Convolution: residual dilated convolutions along the tokens, in every family."""

from __future__ import annotations

from dataclasses import dataclass

from optuna.distributions import CategoricalDistribution, FloatDistribution
from torch import Tensor, nn
from torch.nn import functional as F

from tsbench.errors import UsageError
from tsbench.frame import FrameConfig
from tsbench.general import RECIPES, GeneralModel
from tsbench.parts.dropout import dropout
from tsbench.position import Positions


@dataclass(frozen=True)
class ConvolutionConfig(FrameConfig):
    """Settings of the convolutions."""

    layers: int = 4  # the dilation doubles from one to the next
    kernel: int = 5  # tokens that a convolution sees; odd
    dropout: float = 0.1

    def __post_init__(self) -> None:
        """Refuse what no convolution can be made of."""
        super().__post_init__()
        if self.layers < 1:
            raise UsageError(f"convolution: layers={self.layers} must be at least 1")
        if self.kernel < 1 or self.kernel % 2 == 0:
            raise UsageError(f"convolution: kernel={self.kernel} must be odd, to see as much before as behind")
        if not 0 <= self.dropout < 1:
            raise UsageError(f"convolution: dropout={self.dropout} must be at least 0 and below 1")


class Convolution(GeneralModel):
    """A state sees (kernel - 1) (2^layers - 1) + 1 tokens around it; only those before it where the frame is causal."""

    Config = ConvolutionConfig
    source = "after Bai, Kolter, Koltun, An Empirical Evaluation of Convolutional and Recurrent Networks, 2018 (TCN)"
    recipes = {
        **RECIPES,
        "pairmap": {**RECIPES["pairmap"], "dropout": 0.0},
        "histories": {**RECIPES["histories"], "dropout": 0.2},
    }
    search_space = {
        **GeneralModel.search_space,
        "lr": FloatDistribution(1e-4, 1e-2, log=True),
        "dropout": FloatDistribution(0.0, 0.4),
        "kernel": CategoricalDistribution((3, 5, 7)),
    }

    def build_body(self) -> nn.Module:
        """The blocks."""
        return Convolutions(self.config)


class Convolutions(nn.Module):
    """Blocks, then a LayerNorm, as in a pre-norm Transformer."""

    def __init__(self, config: ConvolutionConfig) -> None:
        super().__init__()
        self.blocks = nn.ModuleList(Block(config, 2**layer) for layer in range(config.layers))
        self.norm = nn.LayerNorm(config.width)

    def forward(self, x: Tensor, positions: Positions) -> Tensor:
        """`(batch, token, width)` to the same."""
        for block in self.blocks:
            x = block(x, positions)
        states: Tensor = self.norm(x)
        return states


class Block(nn.Module):
    """Normalise, convolve, GELU, mix channels; added to what came in."""

    def __init__(self, config: ConvolutionConfig, dilation: int) -> None:
        super().__init__()
        self.reach, self.dropout = (config.kernel - 1) * dilation, config.dropout
        self.norm = nn.LayerNorm(config.width)
        self.convolve = nn.Conv1d(config.width, config.width, config.kernel, dilation=dilation)
        self.mix = nn.Linear(config.width, config.width)

    def forward(self, x: Tensor, positions: Positions) -> Tensor:
        """`(batch, token, width)` to the same; what is no token counts as zero."""
        y = self.norm(x)
        if positions.valid is not None:
            y = y * positions.valid[..., None]
        behind = 0 if positions.causal else self.reach // 2
        y = self.convolve(F.pad(y.transpose(1, 2), (self.reach - behind, behind))).transpose(1, 2)
        return x + dropout(self.mix(F.gelu(y)), self.dropout, self.training)
