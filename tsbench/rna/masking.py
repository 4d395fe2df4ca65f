"""Masked nucleotides: unlabelled sequences as samples of which a model is to guess what is hidden.

15 % are hidden, as in BERT (Devlin et al., NAACL 2019). What is hidden follows from sample and place alone, so a batch
is the same whenever, wherever and with whatever else it is made.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor

from tsbench.data import Batch, Splits
from tsbench.errors import UsageError
from tsbench.inputs import Nucleotides
from tsbench.rna.sequences import LETTERS, MASKED, Ragged, decode
from tsbench.splitting import grouped_split
from tsbench.tasks.nucleotide import MaskedNucleotides

SHARES = (0.90, 0.05, 0.05)
_KNOWN = LETTERS.index("N")  # codes below it are nucleotides
_BITS = 32


@dataclass(frozen=True)
class Masked:
    """Sequences, each hidden in `rounds` ways: sample i is way `i % rounds` of sequence `i // rounds`.

    Attributes:
        codes: nucleotide codes, uint8; every sequence has a nucleotide other than N.
        rounds: ways of hiding, so that an epoch shows a sequence as often.
        rate: share of nucleotides that are hidden; at least one of each sequence is, and never an N.
    """

    codes: Ragged
    rounds: int = 1
    rate: float = 0.15

    @property
    def sizes(self) -> Tensor:
        """Nucleotides and targets."""
        return (2 * self.codes.lengths).repeat_interleave(self.rounds)

    def __len__(self) -> int:
        return len(self.codes.ends) * self.rounds

    def batch(self, indices: Tensor) -> Batch:
        """Inputs `(batch, 1, longest)` with MASKED where hidden; target `(batch, longest)`, -1 where not hidden."""
        indices = indices.to(self.codes.ends.device)
        rows = indices // self.rounds
        codes, valid = self.codes.padded(rows)
        codes = codes.long()
        places = torch.arange(codes.shape[1], device=codes.device)
        draw = scramble(places + scramble(indices % self.rounds + scramble(rows))[:, None])
        draw = draw.masked_fill(~valid | (codes >= _KNOWN), 1 << _BITS)  # above every draw: never hidden
        hidden = draw < self.rate * (1 << _BITS)
        hidden |= draw == draw.amin(1, keepdim=True)
        inputs = codes.masked_fill(hidden, MASKED)[:, None]
        return Batch(inputs, codes.masked_fill(~hidden, -1), valid[:, None])

    def text(self, sample: int) -> str:
        """The letters of a sample's sequence, nothing hidden."""
        return decode(self.codes[sample // self.rounds].cpu())

    def texts(self) -> Iterator[str]:
        """The letters of every sequence once, nothing hidden."""
        return (decode(self.codes[i].cpu()) for i in range(len(self.codes.ends)))

    def to(self, device: torch.device | str) -> Masked:
        """On another device."""
        return replace(self, codes=self.codes.to(device))


def scramble(numbers: Tensor) -> Tensor:
    """A 32-bit integer hash in int64: equal numbers give equal results on every device.

    Its constants are small enough that no product leaves int64 (C. Wellons, hash-prospector, bias 0.107).
    """
    bits = numbers & 0xFFFFFFFF
    bits = (bits ^ bits >> 16) * 0x21F0AAAD & 0xFFFFFFFF
    bits = (bits ^ bits >> 15) * 0x735A2D97 & 0xFFFFFFFF
    return bits ^ bits >> 15


def masked_splits(
    codes: Sequence[np.ndarray], rounds: int = 4, window: int = 512, notes: tuple[str, ...] = ()
) -> Splits:
    """Train, validation and test of unlabelled sequences, 90/5/5 %; equal sequences are in one split.

    Args:
        codes: nucleotide codes of each sequence, `(length,)` uint8.
        rounds: ways in which each training sequence is hidden; the others are hidden in one way.
        window: longer sequences are cut into windows of equal length, at most so long.
        notes: see `Splits`; the number of sequences and nucleotides is added.

    Raises:
        UsageError: too few sequences for three splits, or a setting that means nothing.
    """
    if rounds < 1 or window < 1:
        raise UsageError(f"rounds={rounds} and window={window} must be at least 1")
    known = [sequence for sequence in codes if (sequence < _KNOWN).any()]
    parts = [
        [piece for i in part.tolist() for piece in _windows(known[i], window)]
        for part in grouped_split([decode(sequence) for sequence in known], SHARES)
    ]
    if not all(parts):
        sizes = " + ".join(str(len(part)) for part in parts)
        raise UsageError(f"{len(known)} sequences give only {sizes} windows to train, validation and test; give more")
    total = f"{len(known)} sequences, {sum(map(len, known))} nucleotides, in windows of at most {window}"
    if len(known) < len(codes):
        total += f"; {len(codes) - len(known)} without a known nucleotide left out"
    train, validation, test = (Ragged.of(part) for part in parts)
    longest = max(int(part.lengths.max()) for part in (train, validation, test))
    task = MaskedNucleotides(Nucleotides(longest))
    return Splits(task, Masked(train, rounds), Masked(validation), Masked(test), notes=(total, *notes))


def _windows(codes: np.ndarray, window: int) -> list[np.ndarray]:
    """Pieces of like length, at most `window`, that hold a nucleotide other than N."""
    pieces = np.array_split(codes, -(-len(codes) // window))
    return [piece for piece in pieces if (piece < _KNOWN).any()]
