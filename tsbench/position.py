"""Position encoding: how a Transformer knows where its tokens are. One file each in tsbench/positions, chosen by name.

An encoding is one module, shared by all layers of an encoder, and acts in up to five places:

    embed      adds to the tokens before the first layer                       (sinusoidal, learned)
    transform  changes queries and keys                                        (RoPE)
    bias       adds to the scores, the same in every layer and sample content  (ALiBi, T5)
    relate     adds to the scores what depends on the query                    (Shaw); with `read`, also to the output
    content    adds to scores and values what is made of the tokens            (relation, of MMGRec)
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from tsbench.plugins import find, names, part_spec
from tsbench.settings import NoSettings, configure

PACKAGE = "tsbench.positions"


@dataclass(frozen=True)
class Positions:
    """Where the tokens of a batch are, and who may attend to whom.

    Attributes:
        coords: `(batch or 1, time)`: the place of each token; restarts in every segment of a packed row. Or
            `(batch or 1, time, axis)`: a place on a plane or in space, for encodings that have a meaning there.
        valid: `(batch, time)`, False for padding; None means all real.
        segment: `(batch, time)`: the sequence of a packed row that a token belongs to; None means one a row.
        causal: a token sees itself and what is before it.
        weight: `(batch or 1, time)`, above 0: how much each token counts; attention to it is multiplied by it and rows
            add up to 1 again. None means that all count alike.
        context: `(batch, width)`: what is known of the whole row, such as the user whose history it is.
    """

    coords: Tensor
    valid: Tensor | None = None
    segment: Tensor | None = None
    causal: bool = False
    weight: Tensor | None = None
    context: Tensor | None = None

    @classmethod
    def along(cls, x: Tensor, valid: Tensor | None = None, causal: bool = False) -> Positions:
        """0, 1, 2, ... along the second axis of x, `(batch, time, ...)`."""
        return cls(torch.arange(x.shape[1], device=x.device)[None], valid, None, causal)

    @property
    def axes(self) -> Tensor:
        """Places with their axes, be there but one, `(batch or 1, time, axis)`."""
        return self.coords if self.coords.ndim == 3 else self.coords[..., None]

    def offsets(self) -> Tensor:
        """Place of the key minus place of the query, `(batch or 1, query, key)`, and `axis` where there are several."""
        return self.coords[:, None, :] - self.coords[:, :, None]

    def distances(self) -> Tensor:
        """From query to key in a straight line, `(batch or 1, query, key)`."""
        return self.offsets().norm(dim=-1) if self.coords.ndim == 3 else self.offsets().abs()

    def mask(self) -> Tensor | None:
        """True where a query may see a key, `(batch or 1, 1, query, key)`; None if it may everywhere."""
        seen = None if self.valid is None else self.valid[:, None, :]
        if self.segment is not None:
            same = self.segment[:, None, :] == self.segment[:, :, None]
            seen = same if seen is None else seen & same
        if self.causal:
            # By place in the row, not by coords: within a segment both agree, and coords may be equal or real numbers.
            time = self.coords.shape[1]
            before = torch.ones(time, time, dtype=torch.bool, device=self.coords.device).tril()[None]
            seen = before if seen is None else seen & before
        return None if seen is None else seen[:, None]


class PositionEncoding(nn.Module):
    """Base of all encodings; by itself it does nothing anywhere.

    Attributes:
        Config: frozen dataclass of its settings.
        relative: only differences of coordinates count, so that a shift of all changes nothing.
        causal_only: it means something only where tokens see no later ones.
        several: places may have several axes.
        per_layer: each layer has one of its own; else all layers share one.
        contextual: it needs `Positions.context`.
        orderless: without causal attention, tokens that change places change nothing.
    """

    Config: ClassVar[type] = NoSettings
    relative: ClassVar[bool] = False
    causal_only: bool = False
    several: ClassVar[bool] = False
    per_layer: ClassVar[bool] = False
    contextual: ClassVar[bool] = False
    orderless: ClassVar[bool] = False

    def __init__(self, width: int, heads: int, config: Any, head_width: int = 0) -> None:
        super().__init__()
        self.width, self.heads, self.config = width, heads, config
        self.head_width = head_width or width // heads

    def embed(self, x: Tensor, positions: Positions) -> Tensor:
        """Tokens `(batch, time, width)` with their places added."""
        return x

    def transform(self, q: Tensor, k: Tensor, positions: Positions) -> tuple[Tensor, Tensor]:
        """Queries and keys, `(batch, head, time, head_width)`, before their product."""
        return q, k

    def bias(self, positions: Positions) -> Tensor | None:
        """What is added to the scores `q k' / sqrt(head_width)`, `(batch or 1, head or 1, query, key)`."""
        return None

    def relate(self, q: Tensor, positions: Positions) -> Tensor | None:
        """What is added to the scores and depends on the query, `(batch, head, query, key)`."""
        return None

    def read(self, weights: Tensor, positions: Positions) -> Tensor | None:
        """What is added to the output, `(batch, head, query, head_width)`, given all attention weights.

        Overriding it means that attention cannot run in a fused kernel, which never makes the weights.
        """
        return None

    def content(self, x: Tensor, positions: Positions) -> tuple[Tensor, Tensor] | None:
        """What the tokens `x` themselves, `(batch, time, width)`, add to the scores and to the values of all heads.

        Shapes are `(batch, 1, query, key)` and `(batch, 1, time, head_width)`.
        """
        return None

    @classmethod
    def reads(cls) -> bool:
        """Does it override `read`?"""
        return cls.read is not PositionEncoding.read


def make_encoding(spec: str, width: int, heads: int, head_width: int = 0) -> PositionEncoding:
    """The encoding that `rope(layout=half)` means.

    Raises:
        UsageError: no such encoding, or a setting it does not have.
    """
    kind, config = encoding_kind(spec)
    return kind(width, heads, config, head_width)


def encoding_kind(spec: str) -> tuple[type[PositionEncoding], Any]:
    """Class and settings of an encoding."""
    name, settings = part_spec(spec)
    kind = find(PACKAGE, name, PositionEncoding)
    return kind, configure(kind.Config, settings, f"position encoding {name}")


def of_several_axes() -> list[str]:
    """Names of the encodings for places that have several axes."""
    return [name for name in names(PACKAGE) if find(PACKAGE, name, PositionEncoding).several]
