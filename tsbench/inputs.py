"""Inputs: what a labelled sample consists of, so that a model knows what to build its stem for."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor


@dataclass(frozen=True)
class Inputs(ABC):
    """The inputs of one sample; `length` is that of the longest one."""

    length: int

    @abstractmethod
    def random(self, size: int, device: str = "cpu") -> tuple[Tensor, Tensor | None, Tensor | None]:
        """Random `inputs`, `valid` and `features` of a batch (contract tests; the `meta` device)."""


@dataclass(frozen=True)
class Series(Inputs):
    """Numbers in time: `(batch, time, channel)`."""

    channels: int

    def random(self, size: int, device: str = "cpu") -> tuple[Tensor, Tensor | None, Tensor | None]:
        """Normal noise."""
        return torch.randn(size, self.length, self.channels, device=device), None, None


@dataclass(frozen=True)
class Codes(Inputs):
    """Nucleotide codes (see tsbench.rna.sequences), `(batch, sequences, time)`, with `features` numbers each."""

    features: int = 0

    sequences: ClassVar[int]

    def random(self, size: int, device: str = "cpu") -> tuple[Tensor, Tensor | None, Tensor | None]:
        """Random sequences of up to three lengths."""
        shape = (size, self.sequences, self.length)
        lengths = self.length - torch.arange(size, device=device)[:, None, None] % min(3, self.length)
        valid = torch.arange(self.length, device=device) < lengths
        features = torch.randn(size, self.length, self.features, device=device) if self.features else None
        return torch.randint(0, 4, shape, device=device) * valid, valid.expand(shape), features


@dataclass(frozen=True)
class Nucleotides(Codes):
    """One sequence a sample."""

    sequences: ClassVar[int] = 1


@dataclass(frozen=True)
class NucleotidePair(Codes):
    """Two sequences a sample, such as a guide and its target site."""

    sequences: ClassVar[int] = 2


@dataclass(frozen=True)
class Objects(Inputs):
    """Objects on a display, `(batch, token, features)`; token 0 is what is searched for, and where it is if known.

    Each comes with its place, `(batch, token, 4)`: x and y of its centre, width and height.
    """

    features: int

    def random(self, size: int, device: str = "cpu") -> tuple[Tensor, Tensor | None, Tensor | None]:
        """Random objects, of up to three counts."""
        counts = self.length - torch.arange(size, device=device)[:, None] % min(3, self.length - 1)
        valid = torch.arange(self.length, device=device) < counts
        return torch.randn(size, self.length, self.features, device=device) * valid[..., None], valid, None


@dataclass(frozen=True)
class Histories(Inputs):
    """What a user took before, numbers of items `(batch, time)`, oldest first; padding is 0 and not `valid`.

    Attributes:
        items: size of the catalogue; every item of it may be recommended, those that nobody took yet as well.
        users: whoever occurs in any split; a batch says who it is of in `more["user"]`, `(batch,)`.
        modalities: name -> width of what is known of each item; models read it from their training samples.
        ordered: False if histories are sets, whose order is arbitrary.
    """

    items: int
    users: int
    modalities: Mapping[str, int]
    ordered: bool = True

    def random(self, size: int, device: str = "cpu") -> tuple[Tensor, Tensor | None, Tensor | None]:
        """Random histories of up to three lengths, without repetition."""
        lengths = self.length - torch.arange(size, device=device)[:, None] % min(3, self.length)
        valid = torch.arange(self.length, device=device) < lengths
        first = torch.randint(0, self.items, (size, 1), device=device)
        return (first + torch.arange(self.length, device=device)) % self.items * valid, valid, None
