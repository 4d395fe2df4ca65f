"""Heads: from states of tokens to what a task on nucleotides predicts, a value for every nucleotide that needs one."""

from __future__ import annotations

from dataclasses import dataclass
from functools import singledispatch
from typing import Any

import torch
from torch import Tensor, nn

from tsbench.data import Batch
from tsbench.errors import UsageError, unknown
from tsbench.parts.dropout import dropout
from tsbench.rna.tokenizer import Tokens
from tsbench.tasks.classification import Classification
from tsbench.tasks.multilabel import MultiLabel
from tsbench.tasks.nucleotide import MaskedNucleotides, NucleotideClassification, NucleotideRegression
from tsbench.tasks.pairs import PairMap
from tsbench.tasks.regression import Regression
from tsbench.train import TrainConfig


@dataclass(frozen=True)
class HeadConfig(TrainConfig):
    """Settings of a model with one of these heads."""

    width: int = 128  # of a token's state
    pool: str = "mean"  # a sequence's state: mean or max of its nucleotides' states, or that of its <cls> token
    pair_rank: int = 16  # channels of the outer product; 0 keeps all of `width`, as published
    pair_channels: int = 16  # of the residual blocks on the pair map (published: 48)
    pair_blocks: int = 4  # (published: 16)
    pair_dropout: float = 0.25

    def __post_init__(self) -> None:
        """Refuse what has no meaning."""
        super().__post_init__()
        if not 0 <= self.pair_dropout < 1:
            raise UsageError(f"pair_dropout={self.pair_dropout} must be at least 0 and below 1")
        if self.pool not in ("mean", "max", "cls"):
            raise unknown("pool", self.pool, ("mean", "max", "cls"))


@singledispatch
def make_head(task: Any, config: HeadConfig, longest: int) -> nn.Module:
    """The head for a task kind; another package registers its own with `make_head.register`.

    Args:
        task: what is predicted.
        config: widths.
        longest: most nucleotides that a token covers.
    """
    raise UsageError(f"there is no head for {type(task).__name__} on nucleotides")


@make_head.register
def _(task: Classification, config: HeadConfig, longest: int) -> nn.Module:
    return SequenceHead(config, task.inputs, task.classes)


@make_head.register
def _(task: Regression, config: HeadConfig, longest: int) -> nn.Module:
    return SequenceHead(config, task.inputs, task.outputs)


@make_head.register
def _(task: MultiLabel, config: HeadConfig, longest: int) -> nn.Module:
    return SequenceHead(config, task.inputs, task.labels)


@make_head.register
def _(task: NucleotideRegression, config: HeadConfig, longest: int) -> nn.Module:
    return NucleotideHead(config, longest, task.inputs, task.outputs)


@make_head.register
def _(task: NucleotideClassification, config: HeadConfig, longest: int) -> nn.Module:
    return NucleotideHead(config, longest, task.inputs, task.classes)


@make_head.register
def _(task: MaskedNucleotides, config: HeadConfig, longest: int) -> nn.Module:
    return NucleotideHead(config, longest, task.inputs, 4)


@make_head.register
def _(task: PairMap, config: HeadConfig, longest: int) -> nn.Module:
    return PairHead(config, longest)


class SequenceHead(nn.Module):
    """A pooled state of each sequence, joined where a sample has two; then a linear layer.

    BERT's pooler (linear and tanh) stands between, as in BEACON.
    """

    def __init__(self, config: HeadConfig, inputs: Any, outputs: int) -> None:
        super().__init__()
        self.pool = config.pool
        self.pooler = nn.Linear(config.width, config.width)
        self.out = nn.Linear(inputs.sequences * config.width, outputs)

    def forward(self, states: Tensor, tokens: Tokens, batch: Batch) -> Tensor:
        """`(batch * sequence, token, width)` to `(batch, outputs)`."""
        inside = (tokens.length > 0).unsqueeze(-1)
        if self.pool == "cls":
            pooled = states[:, 0]
        elif self.pool == "max":
            pooled = states.masked_fill(~inside, torch.finfo(states.dtype).min).amax(1)
        else:
            pooled = (states * inside).sum(1) / inside.sum(1).clamp(min=1)
        pooled = self.pooler(pooled).tanh()
        out: Tensor = self.out(pooled.view(len(batch), -1))
        return out


class NucleotideHead(nn.Module):
    """A linear layer on the state of each nucleotide and, where there are any, its features."""

    def __init__(self, config: HeadConfig, longest: int, inputs: Any, outputs: int) -> None:
        super().__init__()
        self.spread = Spread(config.width, longest)
        self.features = nn.Linear(inputs.features, config.width) if inputs.features else None
        self.out = nn.Linear(config.width * (2 if inputs.features else 1), outputs)

    def forward(self, states: Tensor, tokens: Tokens, batch: Batch) -> Tensor:
        """`(batch, token, width)` to `(batch, time, outputs)`."""
        x = self.spread(states, tokens, batch.inputs.shape[-1])
        if self.features is not None:
            x = torch.cat([x, self.features(batch.features)], -1)
        out: Tensor = self.out(x)
        return out


class PairHead(nn.Module):
    """Products of the states of two nucleotides as an image, residual convolutions on it, one value a pair.

    With `pair_rank=0,pair_channels=48,pair_blocks=16` this is BEACON's head: 1.59 million parameters at width 768
    and memory that no laptop has. A rank projects the states first.
    """

    def __init__(self, config: HeadConfig, longest: int) -> None:
        super().__init__()
        rank, channels = config.pair_rank or config.width, config.pair_channels
        self.spread = Spread(config.width, longest)
        self.project = nn.Linear(config.width, rank) if config.pair_rank else nn.Identity()
        self.inward = nn.Conv2d(rank, channels, 3, padding=1)
        self.blocks = nn.ModuleList(PairBlock(channels, config.pair_dropout) for _ in range(config.pair_blocks))
        self.norm = nn.LayerNorm(channels)
        self.out = nn.Linear(channels, 1)

    def forward(self, states: Tensor, tokens: Tokens, batch: Batch) -> Tensor:
        """`(batch, token, width)` to `(batch, time, time)`."""
        x = self.project(self.spread(states, tokens, batch.inputs.shape[-1])).transpose(1, 2)  # (batch, rank, time)
        image = x[:, :, :, None] * x[:, :, None, :]
        # Zero beyond a sequence's end, before every convolution: padding must not reach what is real.
        inside = batch.real[:, 0]
        real = (inside[:, None, :, None] & inside[:, None, None, :]).to(image.dtype)
        image = self.inward(image * real)
        for block in self.blocks:
            image = block(image, real)
        out: Tensor = self.out(self.norm(image.permute(0, 2, 3, 1)).relu()).squeeze(-1)
        return out


class PairBlock(nn.Module):
    """Normalise, 3×3 convolution, normalise, 5×5 convolution, added to what came in."""

    def __init__(self, channels: int, dropout: float) -> None:
        super().__init__()
        self.first_norm, self.second_norm = nn.LayerNorm(channels), nn.LayerNorm(channels)
        self.first = nn.Conv2d(channels, channels, 3, padding=1, bias=False)
        self.second = nn.Conv2d(channels, channels, 5, padding=2, bias=False)
        self.dropout = dropout

    def forward(self, image: Tensor, real: Tensor) -> Tensor:
        """`(batch, channel, time, time)` to the same."""
        x = image
        for norm, convolution in ((self.first_norm, self.first), (self.second_norm, self.second)):
            x = convolution(dropout(_over_channels(norm, x).relu(), self.dropout, self.training) * real)
        return image + x


def _over_channels(norm: nn.LayerNorm, image: Tensor) -> Tensor:
    """LayerNorm over the channels of `(batch, channel, time, time)`."""
    normed: Tensor = norm(image.permute(0, 2, 3, 1))
    return normed.permute(0, 3, 1, 2)


class Spread(nn.Module):
    """States of tokens to states of nucleotides: the mean of the tokens that cover one.

    Where a token covers several, each also gets a learned vector for its place inside, or all would be alike.
    """

    def __init__(self, width: int, longest: int) -> None:
        super().__init__()
        self.offsets = nn.Parameter(0.02 * torch.randn(longest, width)) if longest > 1 else None

    def forward(self, states: Tensor, tokens: Tokens, time: int) -> Tensor:
        """`(batch, token, width)` to `(batch, time, width)`."""
        if self.offsets is None:  # a token is a nucleotide, behind <cls>
            return states[:, 1 : time + 1]
        total = states.new_zeros(len(states), time + 1, states.shape[-1])  # the last place is for what covers nothing
        count = states.new_zeros(len(states), time + 1, 1)
        for offset, vector in enumerate(self.offsets):
            covers = tokens.length > offset
            place = torch.where(covers, tokens.start + offset, time).unsqueeze(-1)
            total = total.scatter_add(1, place.expand(-1, -1, states.shape[-1]), (states + vector).to(total.dtype))
            count = count.scatter_add(1, place, covers.unsqueeze(-1).to(count.dtype))
        return total[:, :time] / count[:, :time].clamp(min=1)
