"""Single: a token is a nucleotide."""

from __future__ import annotations

import torch
from torch import Tensor

from tsbench.rna.sequences import LETTERS, MASKED
from tsbench.rna.tokenizer import MASK, SPECIAL, Tokenizer, Tokens
from tsbench.rna.tokenizers._frame import framed


class Single(Tokenizer):
    """A, C, G, U and N, one token each."""

    @property
    def vocabulary(self) -> int:
        """Five letters and the special tokens."""
        return SPECIAL + len(LETTERS)

    @property
    def longest(self) -> int:
        """One."""
        return 1

    def __call__(self, codes: Tensor, valid: Tensor) -> Tokens:
        """Codes shifted by the special ids."""
        codes = codes.int()
        visible = (MASKED - codes).clamp_(0, 1)
        ids = (codes + (SPECIAL - MASK)).mul_(visible).add_(MASK)
        start = torch.arange(codes.shape[1], dtype=torch.int32, device=codes.device)[None]
        return framed(ids, start, torch.ones_like(start), valid.sum(1, keepdim=True, dtype=torch.int32))

    def letters(self, token: int) -> str:
        """A letter."""
        return LETTERS[token - SPECIAL] if token >= SPECIAL else ""
