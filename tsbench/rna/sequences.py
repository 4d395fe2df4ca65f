"""Nucleotide sequences: the alphabet, one policy for U, T and unknown letters, and samples of unlike length.

Codes: A 0, C 1, G 2, U (or T) 3, N 4; MASKED 5 hides a nucleotide that a model is to guess. Padding is 0 and not valid.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np
import torch
from torch import Tensor

from tsbench.data import Batch
from tsbench.errors import TsbenchError

LETTERS = "ACGUN"
MASKED = len(LETTERS)
_N = LETTERS.index("N")
_UNKNOWN = 255
_CODES = np.full(256, _UNKNOWN, dtype=np.uint8)
for _code, _letter in enumerate(LETTERS):
    _CODES[[ord(_letter), ord(_letter.lower())]] = _code
_CODES[[ord("T"), ord("t")]] = LETTERS.index("U")
_TEXT = np.frombuffer((LETTERS + "?").encode(), dtype=np.uint8)


class UnknownLetter(TsbenchError):
    """A letter that is no nucleotide. `place` counts letters from 1."""

    def __init__(self, letter: str, place: int) -> None:
        super().__init__(f"{letter!r} at place {place} is none of A, C, G, U, T, N")
        self.letter, self.place = letter, place


def encode(text: str, unknown: str = "error") -> np.ndarray:
    """Codes of a sequence, `(length,)` uint8; T is U, case does not matter.

    Args:
        text: the letters.
        unknown: "error", or "N" to read any other letter (IUPAC's R, Y, ...) as N.

    Raises:
        UnknownLetter: another letter, if `unknown` is "error".
    """
    raw = bytearray(text.encode("latin-1", errors="replace")).translate(_CODES.tobytes())
    codes = np.frombuffer(raw, dtype=np.uint8)
    if _UNKNOWN in raw:
        strange = codes == _UNKNOWN
        if unknown != "N":
            place = int(strange.argmax())
            raise UnknownLetter(text[place], place + 1)
        codes[strange] = _N
    return codes


def decode(codes: Tensor | np.ndarray) -> str:
    """Letters of codes; a masked nucleotide is `?`."""
    return bytes(_TEXT[np.asarray(codes, dtype=np.uint8)]).decode()


@dataclass(frozen=True)
class Ragged:
    """Rows of unlike length, one after the other: `values` is `(sum of lengths, ...)`, `ends` `(rows,)`."""

    values: Tensor
    ends: Tensor

    @classmethod
    def of(cls, rows: Sequence[np.ndarray]) -> Ragged:
        """From arrays that differ in their first axis only."""
        ends = np.cumsum([len(row) for row in rows])
        return cls(torch.from_numpy(np.concatenate(rows)), torch.from_numpy(ends))

    @property
    def lengths(self) -> Tensor:
        """`(rows,)`."""
        return self.ends.diff(prepend=self.ends.new_zeros(1))

    def __getitem__(self, row: int) -> Tensor:
        start = int(self.ends[row - 1]) if row else 0
        return self.values[start : int(self.ends[row])]

    def padded(self, indices: Tensor) -> tuple[Tensor, Tensor]:
        """Rows `(batch, longest, ...)` and where they are real, `(batch, longest)`; padding is 0."""
        indices = indices.to(self.ends.device)
        lengths = self.lengths[indices]
        steps = torch.arange(int(lengths.max()), device=lengths.device)
        valid = steps < lengths[:, None]
        rows = (self.ends[indices] - lengths)[:, None] + steps
        values = self.values[rows.clamp_(max=len(self.values) - 1)]
        return values.masked_fill_(~valid.view(*valid.shape, *[1] * (values.ndim - 2)), 0), valid

    def pieces(self) -> list[bytes]:
        """The bytes of each row of a one-dimensional `values`."""
        content = self.values.cpu().numpy().tobytes()
        width, ends = self.values.element_size(), self.ends.tolist()
        return [content[start * width : end * width] for start, end in zip([0, *ends], ends, strict=False)]

    def to(self, device: torch.device | str) -> Ragged:
        """On another device."""
        return Ragged(self.values.to(device), self.ends.to(device))


@dataclass(frozen=True)
class Sequences:
    """Labelled sequences; a subclass or `kind` of target decides the shape of `target`.

    Attributes:
        codes: nucleotide codes, uint8, one `Ragged` for each sequence of a sample.
        target: `(samples, ...)` for a label of the whole sample; a `Ragged` of `(nucleotides, outputs)` for one of
            each nucleotide.
        features: numbers that come with each nucleotide, `(nucleotides, feature)`.
        groups: what a sample shares with others, for leakage reports: name (guide, family) -> group of each sample.
    """

    codes: tuple[Ragged, ...]
    target: Tensor | Ragged
    features: Ragged | None = None
    groups: Mapping[str, Sequence[str]] = field(default_factory=dict)

    @property
    def sizes(self) -> Tensor:
        """Nucleotides and target values."""
        nucleotides = torch.stack([part.lengths for part in self.codes]).amax(0) * len(self.codes)
        if isinstance(self.target, Ragged):
            return nucleotides + self.target.lengths * self.target.values[0].numel()
        return nucleotides + (self.target[0].numel() if len(self.target) else 0)

    def __len__(self) -> int:
        return len(self.codes[0].ends)

    def batch(self, indices: Tensor) -> Batch:
        """Codes `(batch, sequences, longest)`, targets padded with NaN (or -1 for classes)."""
        inputs, valid = self.inputs(indices)
        features = None if self.features is None else self.features.padded(indices)[0]
        return Batch(inputs, self.targets(indices), valid, features)

    def inputs(self, indices: Tensor) -> tuple[Tensor, Tensor]:
        """Codes and validity, `(batch, sequences, longest)`."""
        rows = [part.padded(indices) for part in self.codes]
        longest = max(codes.shape[1] for codes, _ in rows)
        codes, valid = (
            torch.stack([torch.nn.functional.pad(part, (0, longest - part.shape[1])) for part in parts], 1)
            for parts in zip(*rows, strict=True)
        )
        return codes.long(), valid

    def targets(self, indices: Tensor) -> Tensor:
        """Targets of a batch."""
        if not isinstance(self.target, Ragged):
            return self.target[indices.to(self.target.device)]
        values, valid = self.target.padded(indices)
        nothing = float("nan") if values.is_floating_point() else -1
        return values.masked_fill_(~valid.view(*valid.shape, *[1] * (values.ndim - 2)), nothing)

    def text(self, sample: int, sequence: int = 0) -> str:
        """The letters of a sequence of a sample."""
        return decode(self.codes[sequence][sample].cpu())

    def texts(self) -> Iterator[str]:
        """The letters of every sequence of every sample."""
        return (decode(part[i].cpu()) for part in self.codes for i in range(len(part.ends)))

    def keys(self) -> list[tuple[bytes, ...]]:
        """All sequences of each sample, as bytes: equal for exact copies."""
        return list(zip(*(part.pieces() for part in self.codes), strict=True))

    def select(self, indices: Tensor) -> Sequences:
        """The samples at `indices`, as samples of their own."""
        rows = indices.tolist()

        def rag(part: Ragged) -> Ragged:
            return Ragged.of([part[i].numpy() for i in rows])

        return replace(
            self,
            codes=tuple(rag(part) for part in self.codes),
            target=rag(self.target) if isinstance(self.target, Ragged) else self.target[indices],
            features=None if self.features is None else rag(self.features),
            groups={name: [group[i] for i in rows] for name, group in self.groups.items()},
        )

    def to(self, device: torch.device | str) -> Sequences:
        """On another device."""
        return replace(
            self,
            codes=tuple(part.to(device) for part in self.codes),
            target=self.target.to(device),
            features=None if self.features is None else self.features.to(device),
        )


@dataclass(frozen=True)
class PairSequences(Sequences):
    """Sequences with a value for each pair of nucleotides.

    `target` holds base pairs, `(pairs, 2)` int64 places from 0 with the lower first, where the map is 0 or 1
    (a structure); or, where `dense`, all values of the map row by row, `(length * length, 1)`.
    """

    dense: bool = False

    @property
    def sizes(self) -> Tensor:
        """Nucleotides and map."""
        lengths = self.codes[0].lengths
        return lengths + lengths * lengths

    def targets(self, indices: Tensor) -> Tensor:
        """Symmetric maps `(batch, longest, longest)`, NaN beyond a sequence's end."""
        assert isinstance(self.target, Ragged)
        lengths = self.codes[0].lengths[indices.to(self.codes[0].ends.device)]
        longest = int(lengths.max())
        steps = torch.arange(longest, device=lengths.device)
        inside = steps < lengths[:, None]
        inside = inside[:, :, None] & inside[:, None, :]
        values, valid = self.target.padded(indices)
        maps = torch.zeros(len(indices), longest, longest, device=lengths.device)
        if self.dense:
            maps[inside] = values[valid][:, 0].float()
        else:
            sample = torch.arange(len(indices), device=lengths.device)[:, None].expand_as(valid)[valid]
            first, second = values[valid].unbind(-1)
            maps[sample, first, second] = 1.0
            maps[sample, second, first] = 1.0
        return maps.masked_fill_(~inside, float("nan"))
