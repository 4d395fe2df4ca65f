"""Decoder: a Transformer decoder that reads a memory; all steps at once to train, one by one to make sequences."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from tsbench.errors import UsageError
from tsbench.parts.attention import Attention, Scope
from tsbench.parts.dropout import dropout
from tsbench.parts.encoder import EncoderConfig
from tsbench.position import PositionEncoding, Positions, make_encoding

Keys = tuple[Tensor, Tensor]  # keys and values, (batch, head, token, head_width) each


class SelfAttention(Attention):
    """Causal attention that can go on from cached keys."""

    def step(self, x: Tensor, encoding: PositionEncoding, past: Keys | None) -> tuple[Tensor, Keys]:
        """One more token of each row, `(row, 1, width)` to the same, and the keys up to it."""
        heads = self.inward(x).unflatten(-1, (3, self.heads, -1)).transpose(1, 3)  # (row, head, 3, 1, head_width)
        q, k, v = heads.unbind(2)
        made = past[0].shape[2] if past else 0
        q, k = encoding.transform(q, k, Positions(torch.full((1, 1), made, device=x.device), causal=True))
        if past:
            k, v = torch.cat([past[0], k], 2), torch.cat([past[1], v], 2)
        bias = encoding.bias(Positions(torch.arange(made + 1, device=x.device)[None], causal=True))
        y = F.scaled_dot_product_attention(q, k, v, attn_mask=None if bias is None else bias[:, :, -1:].to(q.dtype))
        out: Tensor = self.outward(y.transpose(1, 2).flatten(2))
        return out, (k, v)


class CrossAttention(nn.Module):
    """Attention to a memory, which knows no order but what it was given."""

    def __init__(self, width: int, heads: int, head_width: int = 0) -> None:
        super().__init__()
        self.heads = heads
        inner = heads * head_width or width
        self.query, self.memory = nn.Linear(width, inner), nn.Linear(width, 2 * inner)
        self.outward = nn.Linear(inner, width)

    def keys(self, memory: Tensor) -> Keys:
        """Keys and values of a memory `(batch, token, width)`: computed once for all steps."""
        k, v = self.memory(memory).unflatten(-1, (2, self.heads, -1)).permute(2, 0, 3, 1, 4)
        return k, v

    def forward(self, x: Tensor, keys: Keys, seen: Tensor | None) -> Tensor:
        """`(batch, query, width)` to the same.

        Args:
            x: queries.
            keys: of the memory.
            seen: `(batch, 1, 1, token)`, False for padding of the memory; None means all real.
        """
        q = self.query(x).unflatten(-1, (self.heads, -1)).transpose(1, 2)
        y = F.scaled_dot_product_attention(q, *keys, attn_mask=seen)
        out: Tensor = self.outward(y.transpose(1, 2).flatten(2))
        return out


class DecoderLayer(nn.Module):
    """Self-attention, attention to the memory, then a feed-forward network, each added to what it was given."""

    def __init__(self, config: EncoderConfig) -> None:
        super().__init__()
        self.post_norm, self.dropout = config.post_norm, config.dropout
        inner = config.feed_forward or 4 * config.width
        self.attention = SelfAttention(config.width, config.heads, config.head_width)
        self.cross = CrossAttention(config.width, config.heads, config.head_width)
        self.norms = nn.ModuleList(nn.LayerNorm(config.width, eps=1e-12) for _ in range(3))
        self.up, self.down = nn.Linear(config.width, inner), nn.Linear(inner, config.width)

    def forward(self, x: Tensor, attend: Callable[[Tensor], Tensor], read: Callable[[Tensor], Tensor]) -> Tensor:
        """`(batch, step, width)` to the same; how it attends to itself and reads the memory is the caller's."""
        for norm, part in zip(self.norms, (attend, read, self._feed_forward), strict=True):
            if self.post_norm:
                x = norm(x + dropout(part(x), self.dropout, self.training))
            else:
                x = x + dropout(part(norm(x)), self.dropout, self.training)
        return x

    def _feed_forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.down(F.gelu(self.up(x)))
        return out


@dataclass
class Cache:
    """Rows under way, each reading one memory; rows of a memory need not be next to each other.

    Attributes:
        keys: of the memories, a pair for each layer.
        seen: `(memory, 1, 1, token)`, False for padding; None means all real.
        owner: `(row,)`: the memory of each.
        past: keys of the steps made, a pair for each layer.
    """

    keys: list[Keys]
    seen: Tensor | None
    owner: Tensor
    past: list[Keys | None] = field(default_factory=list)
    slot: Tensor = field(init=False)  # (row,): which of its memory's rows it is
    slots: int = field(init=False)

    def __post_init__(self) -> None:
        """Number the rows of each memory."""
        order = self.owner.argsort(stable=True)
        counts = self.owner.bincount(minlength=len(self.keys[0][0]))
        first = counts.cumsum(0) - counts
        at = torch.arange(len(order), device=order.device) - first[self.owner[order]]
        self.slot, self.slots = torch.empty_like(order).scatter(0, order, at), int(counts.max())

    def grouped(self, x: Tensor) -> Tensor:
        """Rows `(row, ...)` beside those of the same memory, `(memory, slot, ...)`, so that no memory is copied."""
        groups = x.new_zeros(len(self.keys[0][0]), self.slots, *x.shape[1:])
        groups[self.owner, self.slot] = x
        return groups

    def apart(self, groups: Tensor) -> Tensor:
        """The inverse of `grouped`."""
        return groups[self.owner, self.slot]

    def keep(self, rows: Tensor) -> Cache:
        """These rows only, in this order; one may be taken several times, as a beam is."""
        past = [keys and (keys[0][rows], keys[1][rows]) for keys in self.past]
        return Cache(self.keys, self.seen, self.owner[rows], past)


class Decoder(nn.Module):
    """Embedded steps and a memory to states, each step seeing those before it and all of the memory (Vaswani 2017).

    Args:
        config: sizes; pre- or post-norm.
        steps: position encoding of the steps, by name.

    Raises:
        UsageError: the encoding needs all queries at once, which steps made one by one are not.
    """

    layers: Any  # a ModuleList of DecoderLayer

    def __init__(self, config: EncoderConfig, steps: str) -> None:
        super().__init__()
        self.dropout, self.post_norm = config.dropout, config.post_norm
        self.encoding = make_encoding(steps, config.width, config.heads, config.head_width)
        kind = type(self.encoding)
        if kind.reads() or kind.relate is not PositionEncoding.relate or kind.content is not PositionEncoding.content:
            raise UsageError(
                f"steps={steps}: a decoder takes encodings that act on tokens, queries and keys, or scores"
            )
        self.norm = nn.LayerNorm(config.width, eps=1e-12)  # of the embedded steps (post), or of the last states (pre)
        self.layers = nn.ModuleList(DecoderLayer(config) for _ in range(config.layers))

    def forward(self, x: Tensor, memory: Tensor, valid: Tensor | None = None, copies: int = 1) -> Tensor:
        """States `(batch * copies, step, width)`.

        Args:
            x: embedded steps, `(batch * copies, step, width)`: `copies` rows in turn read one memory.
            memory: `(batch, token, width)`.
            valid: `(batch, token)`, False for padding of the memory; None means all real.
        """
        positions = Positions.along(x, causal=True)
        x = self._enter(x, positions)
        scope = Scope.of(positions, self.encoding)
        seen = None if valid is None else valid[:, None, None]
        for layer in self.layers:
            keys = layer.cross.keys(memory)

            def read(y: Tensor, layer: DecoderLayer = layer, keys: Keys = keys) -> Tensor:
                rows = y.unflatten(0, (-1, copies)).flatten(1, 2)  # (batch, copies * step, width)
                found: Tensor = layer.cross(rows, keys, seen)
                return found.unflatten(1, (copies, -1)).flatten(0, 1)

            x = layer(x, lambda y, layer=layer: layer.attention(y, self.encoding, scope), read)
        return x if self.post_norm else self.norm(x)

    def begin(self, memory: Tensor, valid: Tensor | None, copies: int) -> Cache:
        """`copies` rows for each memory `(batch, token, width)`, in this order."""
        owner = torch.arange(len(memory), device=memory.device).repeat_interleave(copies)
        seen = None if valid is None else valid[:, None, None]
        return Cache([layer.cross.keys(memory) for layer in self.layers], seen, owner, [None] * len(self.layers))

    def step(self, x: Tensor, cache: Cache) -> Tensor:
        """States of one more step of each row, `(row, width)` to the same; the cache remembers it."""
        made = cache.past[0][0].shape[2] if cache.past[0] else 0
        x = self._enter(x[:, None], Positions(torch.full((1, 1), made, device=x.device), causal=True))
        for i, layer in enumerate(self.layers):

            def attend(y: Tensor, i: int = i, layer: DecoderLayer = layer) -> Tensor:
                out, cache.past[i] = layer.attention.step(y, self.encoding, cache.past[i])
                return out

            def read(y: Tensor, i: int = i, layer: DecoderLayer = layer) -> Tensor:
                groups = layer.cross(cache.grouped(y[:, 0]), cache.keys[i], cache.seen)
                return cache.apart(groups)[:, None]

            x = layer(x, attend, read)
        return (x if self.post_norm else self.norm(x))[:, 0]

    def _enter(self, x: Tensor, positions: Positions) -> Tensor:
        x = self.encoding.embed(x, positions)
        return dropout(self.norm(x) if self.post_norm else x, self.dropout, self.training)
