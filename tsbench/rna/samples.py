"""Labelled RNA from files to samples: one reader for each form in which labels are written.

A reader takes the three files of a data set (train, validation, test) and gives their samples.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from tsbench.errors import DataError
from tsbench.rna.files import Column, Field, Records, read_csv, read_json
from tsbench.rna.readers import read_fasta
from tsbench.rna.sequences import LETTERS, Ragged, Sequences, UnknownLetter, encode

SPLITS = ("train", "validation", "test")


@dataclass
class Reading:
    """How a data set's files are read, and what a reader of scores must know of it.

    Attributes:
        unknown: what becomes of letters other than A, C, G, U, T, N: "error", or "N".
        as_n: letters that were read as N.
        left_out: rows of train, validation and test that the protocol leaves out.
        outputs: classes or labels that the files hold, where they decide it; 0 where the task does.
        notes: anything else.
    """

    unknown: str
    as_n: int = 0
    outputs: int = 0

    def __post_init__(self) -> None:
        self.left_out = [0, 0, 0]
        self.notes: list[str] = []

    def encode(self, column: Column) -> Ragged:
        """Nucleotide codes of a column of sequences."""
        texts = [str(cell) for cell in column.cells]
        lengths = [len(text) for text in texts]
        if 0 in lengths:
            raise column.error(lengths.index(0), "empty sequence", "Fill it in, or leave the whole row out.")
        joined, ends = "".join(texts), np.cumsum(lengths)
        try:
            codes = encode(joined, self.unknown)
        except UnknownLetter as error:
            row = int(np.searchsorted(ends, error.place - 1, side="right"))
            place = error.place - int(ends[row]) + lengths[row]
            what = f"{error.letter!r} at place {place} is none of A, C, G, U, T, N"
            raise column.error(row, what, "Correct it, or read such letters as N with unknown=N.") from None
        self.as_n += int((codes == LETTERS.index("N")).sum()) - joined.count("N") - joined.count("n")
        return Ragged(torch.from_numpy(codes), torch.from_numpy(ends))

    def report(self) -> tuple[str, ...]:
        """The notes."""
        if not self.as_n:
            return tuple(self.notes)
        return (*self.notes, f"{self.as_n} letters other than A, C, G, U, T, N read as N")


Read = Callable[[list[Path], Reading], list[Sequences]]


def each(read: Callable[[Path, Reading], Sequences]) -> Read:
    """A reader of one file, for all three."""
    return lambda paths, reading: [read(path, reading) for path in paths]


# ---------------------------------------------------------------- one label a sequence


def numbers(
    sequences: tuple[Field, ...],
    labels: tuple[Field, ...],
    low: float = -np.inf,
    high: float = np.inf,
    group: str = "",
) -> Read:
    """CSV with one or two sequences and one or more numbers a row; `group` names the first sequence's role."""

    def read(path: Path, reading: Reading) -> Sequences:
        columns = read_csv(path).columns(*sequences, *labels)
        codes = tuple(reading.encode(column) for column in columns[: len(sequences)])
        target = np.stack([column.numbers(low, high) for column in columns[len(sequences) :]], axis=1)
        groups = {group: [text.upper().replace("T", "U") for text in columns[0].cells]} if group else {}
        return Sequences(codes, torch.from_numpy(target), groups=groups)

    return each(read)


def classes(sequence: Field, label: Field, least: int) -> Read:
    """CSV with a sequence and a class, counted from 0, a row; there are at least `least` classes."""

    def read(path: Path, reading: Reading) -> Sequences:
        letters, labels = read_csv(path).columns(sequence, label)
        target = labels.numbers(low=0)
        broken = np.flatnonzero(target % 1)
        if len(broken):
            raise labels.error(int(broken[0]), f"{labels.cells[broken[0]]} is no class", "Write classes as 0, 1, 2 ...")
        reading.outputs = max(reading.outputs, least, int(target.max()) + 1)
        return Sequences((reading.encode(letters),), torch.from_numpy(target.astype(np.int64)))

    return each(read)


def class_names(known: tuple[str, ...]) -> Read:
    """FASTA whose headers end with the name of a class; the group "family" is the Rfam family that they begin with.

    Classes are numbered in the order of `known`, or of their own names if others occur.
    """

    def read(paths: list[Path], reading: Reading) -> list[Sequences]:
        files = [list(read_fasta(path)) for path in paths]
        for path, records in zip(paths, files, strict=True):
            for record in records:
                if not record.description.strip():
                    what = f"the header of {record.name} names no class"
                    raise DataError(path, what, "Write the class as its last word: >name class", record.line)
        named = [[record.description.split()[-1] for record in records] for records in files]
        found = {name for names in named for name in names}
        order = known if found <= set(known) else tuple(sorted(found))
        reading.outputs = len(order)
        parts = []
        for path, records, names in zip(paths, files, named, strict=True):
            column = Column(path, "sequence", [r.sequence for r in records], [r.line for r in records])
            target = torch.tensor([order.index(name) for name in names])
            parts.append(Sequences((reading.encode(column),), target, groups={"family": _families(records)}))
        return parts

    return read


def _families(records: list) -> list[str]:  # type: ignore[type-arg]
    found = [re.match(r"RF\d{5}", record.name) for record in records]
    return [match[0] if match else record.name for match, record in zip(found, records, strict=True)]


def labels(sequence: Field, label: Field) -> Read:
    """CSV with a sequence and as many 0 or 1 as there are labels, in one cell, a row."""

    def read(path: Path, reading: Reading) -> Sequences:
        letters, column = read_csv(path).columns(sequence, label)
        rows = column.lists()
        reading.outputs = reading.outputs or len(rows[0])
        if other := [i for i, row in enumerate(rows) if not len(row) == reading.outputs > 0]:
            what = f"{len(rows[other[0]])} labels where others have {reading.outputs}"
            raise column.error(other[0], what, "Every row needs a 0 or 1 for each label.")
        target = np.stack(rows)
        if (strange := ~np.isin(target, (0, 1)).all(axis=1)).any():
            i = int(strange.argmax())
            raise column.error(i, f"{column.cells[i]!r} is not made of 0 and 1", "A label is there (1) or not (0).")
        return Sequences((reading.encode(letters),), torch.from_numpy(target))

    return each(read)


# ---------------------------------------------------------------- one label a nucleotide


def digits(sequence: Field, label: Field, most: int) -> Read:
    """CSV with a sequence and a digit, from 0 to `most`, for each of its nucleotides, a row."""

    def read(path: Path, reading: Reading) -> Sequences:
        letters, column = read_csv(path).columns(sequence, label)
        codes = reading.encode(letters)
        rows = ["".join(column.entries(i)) for i in range(len(column.cells))]
        for i, (row, length) in enumerate(zip(rows, codes.lengths.tolist(), strict=True)):
            if not re.fullmatch(f"[0-{most}]*", row):
                what = f"{column.cells[i][:20]!r} is not made of the digits 0 to {most}"
                raise column.error(i, what, "Write a digit for each nucleotide.")
            _same_length(column, i, len(row), length)
        values = np.frombuffer("".join(rows).encode(), dtype=np.uint8).astype(np.int64) - ord("0")
        return Sequences((codes,), Ragged(torch.from_numpy(values), codes.ends))

    return each(read)


def missing_scores(sequence: Field, known: Field, wanted: Field) -> Read:
    """CSV with a sequence, its scores with -1 where they are missing, and those missing ones, a row.

    The third cell holds the missing scores only, or all of them. A score of -1 there stays unknown.
    """

    def read(path: Path, reading: Reading) -> Sequences:
        letters, scores, truths = read_csv(path).columns(sequence, known, wanted)
        codes = reading.encode(letters)
        features, targets = [], []
        for i, (given, truth) in enumerate(zip(scores.lists(), truths.lists(), strict=True)):
            _same_length(scores, i, len(given), int(codes.lengths[i]))
            hidden = given == -1
            if len(truth) not in (hidden.sum(), len(given)):
                what = f"{len(truth)} values for {hidden.sum()} missing scores"
                raise truths.error(i, what, "Give a value for each -1, in order, or one for each nucleotide.")
            target = np.full((len(given), 1), np.nan, dtype=np.float32)
            target[hidden, 0] = truth[hidden] if len(truth) == len(given) else truth
            targets.append(np.where(target == -1, np.nan, target))
            features.append(np.stack([np.where(hidden, 0, given), ~hidden], axis=1).astype(np.float32))
        return Sequences((codes,), Ragged.of(targets), Ragged.of(features))

    return each(read)


def _same_length(column: Column, row: int, values: int, length: int) -> None:
    if values != length:
        raise column.error(row, f"{values} values for {length} nucleotides", "Give one for each nucleotide.")


DEGRADATION = ("reactivity", "deg_Mg_pH10", "deg_Mg_50C")
_SIGNAL = (0.6, 1.0, -np.inf)  # least signal_to_noise of train, validation and test


def degradation(paths: list[Path], reading: Reading) -> list[Sequences]:
    """JSON records of Kaggle's OpenVaccine, a file a split."""
    return [_degradation(read_json(path), split, reading) for split, path in enumerate(paths)]


def degradation_folds(paths: list[Path], reading: Reading) -> list[Sequences]:
    """The same with a field `fold` instead of a validation file: fold 4 is validation and the others train."""
    records = read_json(paths[0])
    folds = records.column("fold").numbers()
    reading.notes.append("validation is fold 4 of the training rows, not BEACON's draw")
    parts = [records.select(np.flatnonzero(chosen).tolist()) for chosen in (folds != 4, folds == 4)]
    parts.append(read_json(paths[2]))
    return [_degradation(part, split, reading) for split, part in enumerate(parts)]


def _degradation(records: Records, split: int, reading: Reading) -> Sequences:
    if any("signal_to_noise" in row for row in records.rows):
        clear = np.flatnonzero(records.column("signal_to_noise").numbers() >= _SIGNAL[split]).tolist()
        reading.left_out[split] = len(records.rows) - len(clear)
        if reading.left_out[split]:
            what = f"{reading.left_out[split]} of {len(records.rows)} {SPLITS[split]} rows left out"
            reading.notes.append(f"{what}: signal_to_noise below {_SIGNAL[split]}, as in BEACON's loader")
        records = records.select(clear)
    if not records.rows:
        raise DataError(records.path, f"no {SPLITS[split]} row is left", "See signal_to_noise and fold of its records.")
    codes = reading.encode(records.column("sequence"))
    columns = [records.column(name) for name in DEGRADATION]
    values = [column.lists() for column in columns]
    whole = not any("seq_scored" in row for row in records.rows)
    ends = [len(row) for row in values[0]] if whole else records.column("seq_scored").numbers().astype(int).tolist()
    targets = []
    for i, (length, scored) in enumerate(zip(codes.lengths.tolist(), ends, strict=True)):
        for column, rows in zip(columns, values, strict=True):
            if not 1 <= scored <= min(length, len(rows[i])):
                what = f"{len(rows[i])} values for {scored} scored of {length} nucleotides"
                raise column.error(i, what, "Give a value for each of the first `seq_scored` nucleotides.")
        target = np.full((length, len(columns)), np.nan, dtype=np.float32)
        target[:scored] = np.stack([rows[i][:scored] for rows in values], axis=1)
        targets.append(target)
    return Sequences((codes,), Ragged.of(targets))
