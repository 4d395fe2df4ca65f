"""Tokenizer: nucleotides to tokens and back. One file each in tsbench/rna/tokenizers, chosen by name.

Tokenizers see codes (see tsbench.rna.sequences), so the policy for U, T and unknown letters is not theirs. Every one
says which nucleotides a token covers, so that nucleotide- and pair-level heads have a value for every nucleotide.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from torch import Tensor

from tsbench.plugins import find, part_spec
from tsbench.settings import NoSettings, configure

PACKAGE = "tsbench.rna.tokenizers"
PAD, CLS, EOS, MASK = range(4)
SPECIAL = 4  # ids below it are no nucleotides


@dataclass(frozen=True)
class Tokens:
    """Tokens of a batch, each row `<cls> ... <eos>` and padding.

    Attributes:
        ids: `(batch, token)` int64.
        start: first nucleotide that a token covers, `(batch, token)`.
        length: how many it covers, `(batch, token)`; 0 for `<cls>`, `<eos>` and padding.
        valid: `(batch, token)`, False for padding.
    """

    ids: Tensor
    start: Tensor
    length: Tensor
    valid: Tensor


class Tokenizer(ABC):
    """Base of all tokenizers.

    Attributes:
        Config: frozen dataclass of its settings.
        vocabulary: number of ids, the special ones included.
        longest: most nucleotides that a token covers.
    """

    Config: ClassVar[type] = NoSettings

    def __init__(self, config: Any) -> None:
        self.config = config

    @property
    @abstractmethod
    def vocabulary(self) -> int:
        """Number of ids."""

    @property
    @abstractmethod
    def longest(self) -> int:
        """Most nucleotides of a token."""

    def train(self, sequences: Iterable[str]) -> None:
        """Learn from sequences (letters of tsbench.rna.sequences); most have nothing to learn."""

    @abstractmethod
    def __call__(self, codes: Tensor, valid: Tensor) -> Tokens:
        """Tokens of a batch of codes, `(batch, time)` int64 on any device, real where `valid`.

        A token that covers a masked nucleotide is `<mask>`.
        """

    @abstractmethod
    def letters(self, token: int) -> str:
        """The nucleotides that a token id stands for; empty for special tokens."""

    def state(self) -> Tensor:
        """What was learned, as bytes, uint8."""
        return torch.zeros(0, dtype=torch.uint8)

    def load_state(self, state: Tensor) -> None:
        """Take over what `state` gave."""


def make_tokenizer(spec: str) -> Tokenizer:
    """The tokenizer that `overlapping(k=3)` means.

    Raises:
        UsageError: no such tokenizer, or a setting it does not have.
    """
    kind, config = tokenizer_kind(spec)
    return kind(config)


def tokenizer_kind(spec: str) -> tuple[type[Tokenizer], Any]:
    """Class and settings of a tokenizer."""
    name, settings = part_spec(spec)
    kind = find(PACKAGE, name, Tokenizer)
    return kind, configure(kind.Config, settings, f"tokenizer {name}")
