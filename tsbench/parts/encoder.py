"""Encoder: a Transformer encoder whose position encoding is chosen by name; every family's Transformer uses it."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor, nn
from torch.nn import functional as F

from tsbench.errors import UsageError
from tsbench.parts.attention import Attention, Scope
from tsbench.parts.dropout import dropout
from tsbench.position import PositionEncoding, Positions, encoding_kind, make_encoding
from tsbench.train import TrainConfig


@dataclass(frozen=True)
class EncoderConfig(TrainConfig):
    """Settings of a model with a Transformer encoder."""

    positions: str = "alibi"  # position encoding, with settings: rope(layout=half)
    layers: int = 4
    width: int = 128
    heads: int = 8
    head_width: int = 0  # of queries, keys and values; 0 is `width` divided among `heads`
    feed_forward: int = 0  # its width; 0 is four times `width`
    dropout: float = 0.1  # of embeddings and of what each layer adds; attention weights are not dropped out
    post_norm: bool = False  # LayerNorm after each addition, as BERT, instead of before each part

    def __post_init__(self) -> None:
        """Refuse what no encoder can be built from."""
        super().__post_init__()
        encoding_kind(self.positions)
        for name in ("layers", "width", "heads"):
            if getattr(self, name) < 1:
                raise UsageError(f"{name}={getattr(self, name)} must be at least 1")
        if not 0 <= self.dropout < 1:
            raise UsageError(f"dropout={self.dropout} must be at least 0 and below 1")
        if self.head_width < 0:
            raise UsageError(f"head_width={self.head_width} must be at least 0")
        if not self.head_width and self.width % self.heads:
            raise UsageError(f"width={self.width} cannot be divided among heads={self.heads}")


class Layer(nn.Module):
    """Attention, then a feed-forward network on each token, each added to what it was given."""

    def __init__(self, config: EncoderConfig) -> None:
        super().__init__()
        self.post_norm, self.dropout = config.post_norm, config.dropout
        inner = config.feed_forward or 4 * config.width
        self.attention = Attention(config.width, config.heads, config.head_width)
        self.first_norm, self.second_norm = (nn.LayerNorm(config.width, eps=1e-12) for _ in range(2))
        self.up, self.down = nn.Linear(config.width, inner), nn.Linear(inner, config.width)

    def forward(self, x: Tensor, encoding: PositionEncoding, scope: Scope, explicit: bool) -> Tensor:
        """`(batch, time, width)` to the same."""
        if self.post_norm:
            x = self.first_norm(x + self._drop(self.attention(x, encoding, scope, explicit)))
            return self.second_norm(x + self._drop(self.down(F.gelu(self.up(x)))))
        x = x + self._drop(self.attention(self.first_norm(x), encoding, scope, explicit))
        return x + self._drop(self.down(F.gelu(self.up(self.second_norm(x)))))

    def _drop(self, x: Tensor) -> Tensor:
        return dropout(x, self.dropout, self.training)


class Encoder(nn.Module):
    """Tokens `(batch, time, width)` to states of the same shape.

    Post-norm, 12 layers, width 768 and 12 heads is BERT-base without its embeddings (Devlin et al. 2019).
    """

    def __init__(self, config: EncoderConfig) -> None:
        super().__init__()
        self.dropout = config.dropout
        made = (config.positions, config.width, config.heads, config.head_width)
        self.encoding = make_encoding(*made)
        own = config.layers - 1 if self.encoding.per_layer else 0
        self.others = nn.ModuleList(make_encoding(*made) for _ in range(own))  # of the layers after the first
        self.norm = nn.LayerNorm(config.width, eps=1e-12)  # of the embedded tokens (post), or of the last states (pre)
        self.post_norm = config.post_norm
        self.layers = nn.ModuleList(Layer(config) for _ in range(config.layers))

    def forward(self, x: Tensor, positions: Positions, explicit: bool = False) -> Tensor:
        """States of embedded tokens.

        Args:
            x: `(batch, time, width)`.
            positions: where the tokens are, and who sees whom.
            explicit: see Attention.

        Raises:
            UsageError: the encoding needs causal attention and `positions` is not causal.
        """
        if self.encoding.causal_only and not positions.causal:
            name = type(self.encoding).__name__
            raise UsageError(f"{name} with these settings is defined for causal attention only; this encoder is not")
        x = self.encoding.embed(x, positions)
        x = dropout(self.norm(x) if self.post_norm else x, self.dropout, self.training)
        scope = Scope.of(positions, self.encoding)
        encodings = [self.encoding, *self.others] if len(self.others) else [self.encoding] * len(self.layers)
        for layer, encoding in zip(self.layers, encodings, strict=True):
            x = layer(x, encoding, scope, explicit)
        return x if self.post_norm else self.norm(x)


def encoder_parts(config: EncoderConfig) -> tuple[type, ...]:
    """The classes that a configuration chooses by name."""
    return (encoding_kind(config.positions)[0],)
