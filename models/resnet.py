"""ResNet: nine convolutions in three residual blocks, averaged over time (Wang et al., IJCNN 2017)."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

import torch
from optuna.distributions import CategoricalDistribution
from torch import Tensor, nn
from torch.nn import functional as F

from tsbench.data import Batch
from tsbench.errors import UsageError
from tsbench.inputs import Series
from tsbench.model import NeuralModel
from tsbench.series.large import LARGE
from tsbench.tasks.classification import Classification
from tsbench.train import TrainConfig

KERNELS = (8, 5, 3)  # steps, of the convolutions of a block


@dataclass(frozen=True)
class ResNetConfig(TrainConfig):
    """Settings of ResNet; the paper's network, trained for a CPU's time."""

    width: int = 64  # filters of the first block; the others have twice as many
    batch_size: int = 16
    epochs: int = 50
    patience: int = 0
    schedule: str = "cosine"

    def __post_init__(self) -> None:
        """Refuse a network without filters."""
        super().__post_init__()
        if self.width < 1:
            raise UsageError(f"width={self.width} must be at least 1")


class ResNet(NeuralModel):
    """Blocks, mean over time, linear layer. Padding enters neither convolutions nor statistics nor the mean."""

    Config = ResNetConfig
    tasks = (Classification,)
    source = "Wang, Yan & Oates, Time Series Classification from Scratch with Deep Neural Networks, IJCNN 2017"
    recipes = LARGE
    block_values = 2**18  # activations are many times as many
    tiny = {"epochs": 2, "width": 8}
    search_space = {**NeuralModel.search_space, "width": CategoricalDistribution((16, 32, 64))}

    def __init__(self, task: Classification, config: ResNetConfig) -> None:
        super().__init__(task, config)
        assert isinstance(task.inputs, Series)
        widths = (task.inputs.channels, config.width, 2 * config.width, 2 * config.width)
        self.blocks = nn.ModuleList(Block(*pair) for pair in pairwise(widths))
        self.head = nn.Linear(widths[-1], task.classes)

    def forward(self, batch: Batch) -> Tensor:
        """Logits `(batch, classes)`."""
        x = batch.inputs.transpose(1, 2)
        real = None if batch.valid is None else batch.valid.unsqueeze(1)  # (batch, 1, time)
        if real is not None:
            x = x.masked_fill(~real, 0)
        for block in self.blocks:
            x = block(x, real)  # (batch, width, time), zero where there is padding
        steps = x.shape[2] if real is None else real.sum(2)
        logits: Tensor = self.head(x.sum(2) / steps)
        return logits


class Block(nn.Module):
    """Three convolutions, normalised; what came in is added before the last ReLU."""

    def __init__(self, inward: int, width: int) -> None:
        super().__init__()
        sizes = (inward, width, width)
        self.convolutions = nn.ModuleList(Convolution(i, width, k) for i, k in zip(sizes, KERNELS, strict=True))
        self.norms = nn.ModuleList(Norm(width) for _ in KERNELS)
        self.widen = Convolution(inward, width, 1) if inward != width else nn.Identity()
        self.shortcut = Norm(width)

    def forward(self, x: Tensor, real: Tensor | None) -> Tensor:
        """`(batch, inward, time)` to `(batch, width, time)`."""
        y = x
        for i, (convolution, norm) in enumerate(zip(self.convolutions, self.norms, strict=True)):
            y = norm(convolution(y.relu() if i else y), real)
        return (y + self.shortcut(self.widen(x), real)).relu()


class Convolution(nn.Conv1d):
    """Over time, to as many steps, `(batch, inward, time)` to `(batch, width, time)`."""

    def __init__(self, inward: int, width: int, kernel: int) -> None:
        super().__init__(inward, width, kernel, bias=False)  # the norm that follows subtracts the mean

    def forward(self, x: Tensor) -> Tensor:
        """An even kernel sees one step more of the future."""
        kernel = self.kernel_size[0]
        return super().forward(F.pad(x, ((kernel - 1) // 2, kernel // 2)))


class Norm(nn.BatchNorm1d):
    """Batch normalisation over real steps; padding stays zero."""

    def forward(self, x: Tensor, real: Tensor | None = None) -> Tensor:
        """`(batch, channel, time)` to the same."""
        if real is None:
            return super().forward(x)
        x, real = x.transpose(1, 2), real[:, 0]
        return torch.zeros_like(x).index_put((real,), super().forward(x[real])).transpose(1, 2)
