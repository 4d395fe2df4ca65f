"""K-mers: what the tokenizers with k nucleotides a token share, whatever their stride."""

from __future__ import annotations

from abc import abstractmethod
from dataclasses import dataclass
from typing import TypeVar

import torch
from torch import Tensor
from torch.nn import functional as F

from tsbench.errors import UsageError
from tsbench.rna.sequences import LETTERS, MASKED
from tsbench.rna.tokenizer import MASK, SPECIAL, Tokenizer, Tokens
from tsbench.rna.tokenizers._frame import framed

BASE = len(LETTERS)
LARGEST = 12  # numbers of longer k-mers do not fit in 32 bits

Length = TypeVar("Length", int, Tensor)


@dataclass(frozen=True)
class KmerConfig:
    """Settings of a k-mer tokenizer."""

    k: int


class Kmers(Tokenizer):
    """Tokens of `k` nucleotides, `stride` apart, up to the first that reaches the end, which may be shorter.

    A k-mer is a number in bijective base 5, its first nucleotide the lowest digit: A, C, G, U, N are the digits 1 to 5.
    So the k-mers of all lengths 1 to k have one number each, without gaps, and digits 0 at the end change nothing.
    """

    config: KmerConfig

    def __init__(self, config: KmerConfig) -> None:
        super().__init__(config)
        if not 1 <= config.k <= LARGEST:
            raise UsageError(f"k={config.k} must be from 1 to {LARGEST}")

    @property
    @abstractmethod
    def stride(self) -> int:
        """Nucleotides from the start of a token to the start of the next, at most k."""

    @property
    def vocabulary(self) -> int:
        """All k-mers of length 1 to k, and the special tokens."""
        return SPECIAL + sum(BASE**length for length in range(1, self.longest + 1))

    @property
    def longest(self) -> int:
        """The k of the settings."""
        return self.config.k

    def __call__(self, codes: Tensor, valid: Tensor) -> Tokens:
        """Numbers of the k-mers by `k` strided sums: k passes over the batch."""
        k, stride, (size, time) = self.longest, self.stride, codes.shape
        width = self._count(time)
        room = max(0, (width - 1) * stride + k - time)  # so that the last token, too, has k digits
        digits = F.pad((codes.to(torch.uint8) + 1) * valid.to(torch.uint8), (0, room))
        hidden = (digits.to(torch.int8) - MASKED).clamp_(min=0)
        digits = digits.int()
        numbers, masked = digits.new_zeros(size, width), hidden.new_zeros(size, width)
        for place in range(k if width else 0):
            every = slice(place, place + (width - 1) * stride + 1, stride)
            numbers.add_(digits[:, every], alpha=BASE**place)
            masked.add_(hidden[:, every])
        ids = MASK + numbers * (1 - masked).clamp_(min=0)
        lengths = valid.sum(1, keepdim=True, dtype=torch.int32)
        start = torch.arange(0, width * stride, stride, dtype=torch.int32, device=codes.device)
        return framed(ids, start, (lengths - start).clamp_(max=k), self._count(lengths))

    def letters(self, token: int) -> str:
        """The k-mer whose number the id is."""
        letters, number = "", token - MASK
        while number > 0:
            number, digit = divmod(number - 1, BASE)
            letters += LETTERS[digit]
        return letters

    def _count(self, length: Length) -> Length:
        """Tokens of sequences of a length."""
        beyond = (length > self.longest) * (length - self.longest)  # nucleotides after the first token
        return (length > 0) * ((beyond + self.stride - 1) // self.stride + 1)
