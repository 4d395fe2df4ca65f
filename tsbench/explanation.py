"""Explanation: what a fitted model looks for, and what of a case it attended to. `tsbench explain` draws it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import torch
from torch import Tensor

from tsbench.parts.encoder import Encoder
from tsbench.position import PositionEncoding, Positions


@dataclass(frozen=True)
class Found:
    """A pattern that a model looks for, and where in the fitting cases it is from.

    Attributes:
        case: index among the fitting cases.
        first: its first step there.
        end: the step after its last.
        channel: of the case.
        label: class that it stands for.
        prior: from 0 to 1: how well it tells that class.
    """

    case: int
    first: int
    end: int
    channel: int
    label: int
    prior: float


@dataclass(frozen=True)
class Attended:
    """A token of one case.

    Attributes:
        branch: of the model.
        words: what it is.
        first: the first step it covers.
        end: the step after its last.
        channel: None for all.
        attention: mean share of attention that it receives, times the number of tokens: 1 is an even share.
    """

    branch: str
    words: str
    first: int
    end: int
    channel: int | None
    attention: float

    def where(self) -> str:
        """What it is and which part of the series it covers."""
        channel = "all channels" if self.channel is None else f"channel {self.channel}"
        return f"{self.branch}: {self.words}; {channel}, steps {self.first}-{self.end - 1}"


@dataclass(frozen=True)
class Explanation:
    """What a model looks for, and for each case of a batch the tokens it attended to, most attended first."""

    found: list[Found]
    attended: list[list[Attended]]


class Recorder(PositionEncoding):
    """A position encoding that does what another does, and keeps the attention weights it is shown."""

    def __init__(self, inner: PositionEncoding) -> None:
        super().__init__(inner.width, inner.heads, inner.config)
        self.inner = inner
        self.weights: list[Tensor] = []

    def embed(self, x: Tensor, positions: Positions) -> Tensor:
        """As the other."""
        return self.inner.embed(x, positions)

    def transform(self, q: Tensor, k: Tensor, positions: Positions) -> tuple[Tensor, Tensor]:
        """As the other."""
        return self.inner.transform(q, k, positions)

    def bias(self, positions: Positions) -> Tensor | None:
        """As the other."""
        return self.inner.bias(positions)

    def relate(self, q: Tensor, positions: Positions) -> Tensor | None:
        """As the other."""
        return self.inner.relate(q, positions)

    def content(self, x: Tensor, positions: Positions) -> tuple[Tensor, Tensor] | None:
        """As the other."""
        return self.inner.content(x, positions)

    def read(self, weights: Tensor, positions: Positions) -> Tensor | None:
        """As the other; overriding it makes attention compute its weights."""
        self.weights.append(weights.detach())
        return self.inner.read(weights, positions)


@contextmanager
def recorded(encoder: Encoder) -> Iterator[list[Tensor]]:
    """The attention weights of each layer, `(batch, head, query, key)`, of what the encoder computes meanwhile."""
    recorder = Recorder(encoder.encoding)
    encoder.encoding = recorder
    try:
        yield recorder.weights
    finally:
        encoder.encoding = recorder.inner


def received(weights: Sequence[Tensor], real: Tensor) -> Tensor:
    """Attention that each token receives, `(batch, token)`: 1 is an even share.

    Averaged over layers, heads and the real tokens that attend; times the number of real tokens.

    Args:
        weights: of each layer, `(batch, head, query, key)`.
        real: `(batch, token)` bool.
    """
    mean = torch.stack([layer.mean(1) for layer in weights]).mean(0)
    queries = real[..., None] / real.sum(1).clamp(min=1)[:, None, None]
    return (mean * queries).sum(1) * real.sum(1, keepdim=True)
