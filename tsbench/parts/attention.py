"""Attention: the one attention module, for every model and every position encoding."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from tsbench.errors import UsageError
from tsbench.position import PositionEncoding, Positions, of_several_axes


@dataclass(frozen=True)
class Scope:
    """What all layers of an encoder share in one forward pass: who sees whom, and the constant part of the scores.

    Attributes:
        mask: True where a query sees a key, broadcasts to `(batch, head, query, key)`; None means everywhere.
        scores: what is added to all scores, -inf where `mask` is False; None means nothing.
    """

    positions: Positions
    mask: Tensor | None
    scores: Tensor | None

    @classmethod
    def of(cls, positions: Positions, encoding: PositionEncoding) -> Scope:
        """Build both once, for all layers.

        A weight of a token becomes its logarithm, added to all scores of that key: the softmax of s + log w is that of
        s times w, divided by its sum.

        Raises:
            UsageError: places have several axes, and the encoding has no meaning there.
        """
        if positions.coords.ndim == 3 and not encoding.several:
            name = type(encoding).__name__.lower()
            raise UsageError(f"positions={name} is along one axis only; use one of {', '.join(of_several_axes())}")
        mask, bias = positions.mask(), encoding.bias(positions)
        if positions.weight is not None:
            bias = _sum(bias, positions.weight.log()[:, None, None, :])
        if bias is not None and mask is not None:
            bias = bias + penalty(mask, bias.dtype)
        return cls(positions, mask, bias)


def penalty(mask: Tensor, dtype: torch.dtype) -> Tensor:
    """0 where `mask` is True, -inf elsewhere; adding it, over all heads, costs a tenth of filling."""
    return torch.zeros_like(mask, dtype=dtype).masked_fill_(~mask, -math.inf)


class Attention(nn.Module):
    """Multi-head self-attention (Vaswani et al. 2017), its positions left to a PositionEncoding.

    Runs in torch's fused kernel wherever the encoding allows it. Attention weights are never dropped out: that would
    cost the fused kernel, and dropout of the output serves as well.
    """

    def __init__(self, width: int, heads: int, head_width: int = 0) -> None:
        super().__init__()
        self.heads = heads
        inner = heads * head_width or width
        self.inward = nn.Linear(width, 3 * inner)
        self.outward = nn.Linear(inner, width)

    def forward(self, x: Tensor, encoding: PositionEncoding, scope: Scope, explicit: bool = False) -> Tensor:
        """`(batch, time, width)` to the same.

        Args:
            x: tokens.
            encoding: transforms queries and keys, and may add to scores and output.
            scope: of this forward pass.
            explicit: compute the weights step by step, as is done anyway for encodings that read them.
        """
        heads = self.inward(x).unflatten(-1, (3, self.heads, -1)).transpose(1, 3)  # (batch, head, 3, time, head_width)
        q, k, v = heads.unbind(2)
        q, k = encoding.transform(q, k, scope.positions)
        related = encoding.relate(q, scope.positions)
        if (content := encoding.content(x, scope.positions)) is not None:
            related, v = _sum(related, content[0]), v + content[1]
        scores = _sum(scope.scores, related)
        if related is not None and scope.scores is None and scope.mask is not None:
            scores = related + penalty(scope.mask, related.dtype)
        if explicit or encoding.reads():
            weights = attention_weights(q, k, scores, scope.mask)
            y = weights.to(v.dtype) @ v
            if (more := encoding.read(weights, scope.positions)) is not None:
                y = y + more
        else:
            # The kernel takes float32 scores with float32 and half queries; with float64 ones it would misread them.
            given = scope.mask if scores is None else scores.to(torch.promote_types(q.dtype, torch.float32))
            y = F.scaled_dot_product_attention(q, k, v, attn_mask=given)
        out: Tensor = self.outward(y.transpose(1, 2).flatten(2))
        return out


def attention_weights(q: Tensor, k: Tensor, scores: Tensor | None, mask: Tensor | None) -> Tensor:
    """Softmax weights `(batch, head, query, key)`, at least float32 as in fused kernels; 0 where nothing is seen."""
    product = q @ k.transpose(-1, -2) / math.sqrt(q.shape[-1])
    if scores is not None:
        product = product + scores
    exact = torch.promote_types(product.dtype, torch.float32)
    if mask is None:
        return product.softmax(-1, dtype=exact)
    # A finite low value instead of -inf keeps the softmax of a row that sees nothing, and its gradient, finite.
    product = product.masked_fill(~mask, torch.finfo(product.dtype).min)
    return product.softmax(-1, dtype=exact) * mask


def _sum(a: Tensor | None, b: Tensor | None) -> Tensor | None:
    return b if a is None else a if b is None else a + b
