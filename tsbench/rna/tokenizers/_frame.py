"""Frame: rows of tokens get `<cls>`, `<eos>` and padding, which is how every tokenizer ends."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

from tsbench.rna.tokenizer import CLS, EOS, Tokens


def framed(ids: Tensor, start: Tensor, length: Tensor, count: Tensor) -> Tokens:
    """Rows `<cls>`, the first `count` tokens, `<eos>`, padding.

    32-bit arithmetic throughout: on a CPU, torch is several times slower at comparing, selecting and mixing types.

    Args:
        ids: `(batch, token)` int32; what comes after `count` is dropped.
        start: first nucleotide of a token, `(batch or 1, token)` int32.
        length: nucleotides of a token, `(batch or 1, token)` int32.
        count: tokens of a row, `(batch, 1)` int32.
    """
    size, width = ids.shape
    inside = (count - torch.arange(width, dtype=torch.int32, device=ids.device)).clamp_(0, 1)

    def padded(part: Tensor) -> Tensor:
        row = part.new_empty(size, width + 2, dtype=torch.long)
        row[:, 0] = row[:, -1] = 0
        row[:, 1:-1] = part * inside
        return row

    rows = padded(ids)
    rows[:, 0] = CLS
    rows.scatter_(1, count.long() + 1, EOS)
    return Tokens(rows, padded(start), padded(length), F.pad(inside.bool(), (2, 0), value=True))
