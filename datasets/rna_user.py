"""A user's own sequences: FASTA, FASTQ, BAM or SAM, with labels from a table, or without for pre-training.

--dataset reads.fa:labels=labels.csv       a class or numbers for each sequence
--dataset reads.bam                        nothing but the sequences: masked nucleotides are to be guessed
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import ClassVar

import numpy as np
import torch
from torch import Tensor

from tsbench.data import Splits
from tsbench.dataset import Dataset, Source, file_digest
from tsbench.errors import DataError, MissingData, UsageError, unknown
from tsbench.inputs import Nucleotides
from tsbench.leakage import with_leakage
from tsbench.rna.files import Column, read_csv
from tsbench.rna.masking import masked_splits
from tsbench.rna.readers import Record, read_sequences
from tsbench.rna.sequences import Ragged, Sequences, UnknownLetter, decode, encode
from tsbench.splitting import grouped_split
from tsbench.tasks.classification import Classification
from tsbench.tasks.nucleotide import MaskedNucleotides
from tsbench.tasks.regression import Regression
from tsbench.tasks.task import Task

SUFFIXES = re.compile(r"\.((fa|fasta|fna|fq|fastq)(\.gz)?|bam|sam)$")
SPLITS = ("train", "validation", "test")
MOST_CLASSES = 20  # distinct integers that are still taken for classes


@dataclass(frozen=True)
class UserSequences(Dataset):
    """Sequences of the user's.

    With `labels`, a CSV file with a column `id` (the record's name), one or more columns of labels and perhaps a
    column `split` (train, validation, test; otherwise 70/10/20 %, equal sequences in one split). One column is
    classes if `task` says so, or if it is not all numbers or has at most 20 distinct integers; else numbers.
    Without, masked nucleotides (see tsbench.rna.masking).
    """

    path: Path
    labels: str = ""
    task: str = "auto"  # auto, classification, regression
    unknown: str = "error"  # what to do with letters other than A, C, G, U, T, N: error, or read them as N
    rounds: int = 4  # without labels
    window: int = 512  # without labels

    inputs: ClassVar = Nucleotides
    protocols: ClassVar = {"full": "every sequence counts"}
    options: ClassVar = ("labels", "task", "unknown", "rounds", "window")

    def __post_init__(self) -> None:
        if self.labels:  # so that the data set is found again from any folder
            object.__setattr__(self, "labels", str(Path(self.labels).expanduser().resolve()))
        for value, known in ((self.task, ("auto", "classification", "regression")), (self.unknown, ("error", "N"))):
            if value not in known:
                raise unknown(f"value of an option of {self.path.name}", value, known)
        if self.task != "auto" and not self.labels:
            raise UsageError(f"{self.path.name}: task={self.task} needs labels=FILE.csv")

    @property
    def name(self) -> str:  # type: ignore[override]
        """`fasta/<file name without suffix>`."""
        return f"fasta/{SUFFIXES.sub('', self.path.name)}"

    @property
    def kind(self) -> type[Task]:  # type: ignore[override]
        """What the labels say; without any, MaskedNucleotides."""
        if not self.labels:
            return MaskedNucleotides
        return Classification if self._table().classes(self.task) is not None else Regression

    @property
    def sources(self) -> tuple[Source, ...]:
        """The files, by their own paths."""
        return tuple(Source(str(path), "", None, "the user's", "") for path in (self.path, self.labels) if path)

    def digest(self, root: Path) -> str:
        """Fingerprint of the files and the way they are read."""
        paths = [Path(source.file) for source in self.sources]
        if missing := [str(path) for path in paths if not path.is_file()]:
            raise MissingData(f"{missing[0]} is not there. Check the path given to --dataset.")
        return "-".join([*(file_digest(path) for path in paths), str(self.version)])

    def load(self, root: Path, protocol: str) -> Splits:
        """Read, match and split."""
        records = list(read_sequences(self.path))
        codes = [self._encode(record) for record in records]
        if not self.labels:
            try:
                return masked_splits(codes, self.rounds, self.window)
            except UsageError as error:
                raise UsageError(f"{self.path}: {error}") from None
        table = self._table()
        rows = table.rows_of(self.path, records)
        classes = table.classes(self.task)
        samples = Sequences((Ragged.of(codes),), table.target(classes)[rows])
        inputs = Nucleotides(max(map(len, codes)))
        task = Regression(inputs, len(table.columns)) if classes is None else Classification(inputs, len(classes))
        parts, how = self._parts(table, rows, codes)
        notes = [f"{' + '.join(str(len(part)) for part in parts)} sequences, split {how}"]
        if classes is not None:
            notes.append(f"classes in order: {', '.join(classes[:MOST_CLASSES])}")
            if absent := set(range(len(classes))) - set(samples.target[parts[0]].tolist()):  # type: ignore[index]
                notes.append(f"no training sequence of class {', '.join(classes[i] for i in sorted(absent))}")
        if self.unknown == "N" and (count := sum(len(re.findall("[^ACGUTN]", r.sequence.upper())) for r in records)):
            notes.append(f"{count} letters other than A, C, G, U, T, N read as N")
        train, validation, test = (samples.select(part) for part in parts)
        return with_leakage(Splits(task, train, validation, test, notes=tuple(notes)))

    def _table(self) -> Labels:
        path = Path(self.labels)
        if not path.is_file():
            raise MissingData(f"{path} is not there. Check the path given as labels=.")
        return read_labels(path, path.stat().st_mtime_ns)

    def _encode(self, record: Record) -> np.ndarray:
        try:
            return encode(record.sequence, self.unknown)
        except UnknownLetter as error:
            remedy = "Correct it, or write :unknown=N after the file's name to read such letters as N."
            raise DataError(self.path, f"record {record.name}: {error}", remedy, record.line) from None

    def _parts(self, table: Labels, rows: list[int], codes: list[np.ndarray]) -> tuple[tuple[Tensor, ...], str]:
        """Indices of each split, and how they were found."""
        if table.splits is None:
            parts, how = grouped_split([decode(row) for row in codes]), "70/10/20 % at random, equal sequences together"
        else:
            given = np.array([SPLITS.index(table.splits.cells[row]) for row in rows])
            parts = tuple(torch.from_numpy(np.flatnonzero(given == i)) for i in range(len(SPLITS)))
            how = "as the labels file says"
        if empty := [name for name, part in zip(SPLITS, parts, strict=True) if not len(part)]:
            what = f"no sequence for {empty[0]} among {len(codes)}"
            raise DataError(self.labels, what, "Give more sequences, or name them in a column `split`.")
        return parts, how


@dataclass(frozen=True)
class Labels:
    """A table of labels: record names, one or more columns of labels, and the split of each row if it is given."""

    path: Path
    ids: Column
    columns: list[Column]
    splits: Column | None

    def classes(self, task: str) -> list[str] | None:
        """The classes in order, or None if the labels are numbers to be predicted."""
        if len(self.columns) > 1:
            if task == "classification":
                what = f"{len(self.columns)} columns of labels: {', '.join(c.name for c in self.columns)}"
                raise DataError(self.path, what, "Classes are one column; leave the others out.", 1)
            return None
        found = set(self.columns[0].cells)
        values = [_number(cell) for cell in found]
        words = [math.isnan(value) for value in values]
        few = len(found) <= MOST_CLASSES and all(math.isnan(value) or value.is_integer() for value in values)
        if task == "regression" or (task == "auto" and not few and not all(words)):
            return None  # one word among many numbers is a fault, which `numbers` reports
        return sorted(found) if any(words) else sorted(found, key=lambda cell: (_number(cell), cell))

    def target(self, classes: Sequence[str] | None) -> Tensor:
        """The class of each row, `(rows,)` int64, or its numbers, `(rows, columns)` float32."""
        if classes is None:
            return torch.from_numpy(np.stack([column.numbers() for column in self.columns], axis=1))
        code = {name: i for i, name in enumerate(classes)}
        return torch.tensor([code[cell] for cell in self.columns[0].cells])

    def rows_of(self, path: Path, records: Sequence[Record]) -> list[int]:
        """The row of each record; every one has exactly one."""
        place = {name: i for i, name in enumerate(self.ids.cells)}
        seen: dict[str, int] = {}
        for record in records:
            if record.name in seen:
                what = f"record {record.name} is there twice, first at line {seen[record.name]}"
                raise DataError(path, what, "A label needs a name that only one record has.", record.line)
            seen[record.name] = record.line
            if record.name not in place:
                what = f"record {record.name} has no label in {self.path}"
                raise DataError(path, what, "Add a row with its name as `id`, or leave the record out.", record.line)
        for row, name in enumerate(self.ids.cells):
            if name not in seen:
                remedy = "Write the record's header up to its first blank, or leave the row out."
                raise self.ids.error(row, f"{name} is no record of {path}", remedy)
        return [place[record.name] for record in records]


@lru_cache(maxsize=8)
def read_labels(path: Path, changed: int) -> Labels:
    """Read a table of labels; `changed` is the file's time, so that a changed file is read again.

    Raises:
        DataError: naming file, line and remedy.
    """
    table = read_csv(path)
    names = [name for name in table.header if name not in ("id", "split")]
    if "id" not in table.header or not names or len(set(table.header)) < len(table.header):
        what = f"its columns are {', '.join(table.header)}"
        raise DataError(path, what, "It needs `id`, one or more columns of labels, and may have `split`.", 1)
    columns = {
        name: Column(path, name, [row[i] for row in table.rows], table.lines) for i, name in enumerate(table.header)
    }
    for column in columns.values():
        if "" in column.cells:
            raise column.error(column.cells.index(""), "empty", "Fill it, or leave the row and its record out.")
    ids, splits = columns["id"], columns.get("split")
    first: dict[str, int] = {}
    for row, name in enumerate(ids.cells):
        if first.setdefault(name, row) < row:
            what = f"{name} is there twice, first at line {ids.lines[first[name]]}"
            raise ids.error(row, what, "Give each record one row.")
    if splits and (strange := set(splits.cells) - set(SPLITS)):
        row = next(i for i, cell in enumerate(splits.cells) if cell in strange)
        raise splits.error(row, f"{splits.cells[row]!r} is no split", f"Write {', '.join(SPLITS)}.")
    return Labels(path, ids, [columns[name] for name in names], splits)


def _number(cell: str) -> float:
    try:
        return float(cell)
    except ValueError:
        return math.nan


def datasets() -> Iterator[Dataset]:
    """None by name."""
    yield from ()


def open_path(path: Path) -> Dataset | None:
    """A data set made of a user's file, if it is of sequences."""
    return UserSequences(path.resolve()) if SUFFIXES.search(path.name) else None
