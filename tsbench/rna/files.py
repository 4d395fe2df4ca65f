"""Files of labelled RNA: tables (CSV), JSON, dot-bracket structures and matrices (.npy), plain or gzipped.

Every fault is a DataError with file, line (from 1, the header of a table being line 1), column and remedy.
"""

from __future__ import annotations

import csv
import io
import json
import math
import re
from dataclasses import dataclass
from pathlib import Path
from string import ascii_lowercase, ascii_uppercase
from typing import Any, NamedTuple

import numpy as np

from tsbench.errors import DataError
from tsbench.files import CUT, read_bytes, read_text

_PARTNER = dict(zip("([{<" + ascii_uppercase, ")]}>" + ascii_lowercase, strict=True))
_PAIRED = re.compile("[^.,:_~-]")
_BRACKETS = re.compile(r"[\[\](){}<>.,:_~-]")
_SEPARATORS = str.maketrans("[](),;", "      ")


@dataclass(frozen=True)
class Column:
    """One column of a file: a cell for each sample and the line on which it stands (None in a file without lines)."""

    path: Path
    name: str
    cells: list[Any]
    lines: list[int | None]

    def error(self, row: int, problem: str, remedy: str) -> DataError:
        """The error of a cell."""
        line = self.lines[row]
        where = f"column `{self.name}`" if line is not None else f"record {row + 1}, `{self.name}`"
        return DataError(self.path, f"{where}: {problem}", remedy, line)

    def number(self, row: int, cell: Any, low: float = -math.inf, high: float = math.inf) -> float:
        """A cell, or one entry of it, as a finite number between `low` and `high`."""
        try:
            value = float(cell)
        except (TypeError, ValueError):
            value = math.nan
        if not math.isfinite(value):
            what = f"{cell!r} is not a finite number" if cell not in ("", None) else "empty"
            raise self.error(row, what, "Fill in the value, or leave the whole row out.")
        if not low <= value <= high:
            raise self.error(row, f"{cell} is not between {low:g} and {high:g}", "Correct it: see what the column is.")
        return value

    def numbers(self, low: float = -math.inf, high: float = math.inf) -> np.ndarray:
        """`(samples,)` float32, one number a cell."""
        return np.array([self.number(i, cell, low, high) for i, cell in enumerate(self.cells)], dtype=np.float32)

    def lists(self, low: float = -math.inf, high: float = math.inf) -> list[np.ndarray]:
        """For each cell its numbers, float32: a list, or text with blanks or commas between them."""
        rows = [self.entries(i) for i in range(len(self.cells))]
        try:
            flat = np.array([entry for row in rows for entry in row], dtype=np.float32)
            if flat.ndim != 1 or not (np.isfinite(flat) & (low <= flat) & (flat <= high)).all():
                raise ValueError
        except (TypeError, ValueError):  # one by one, to tell which it is
            flat = np.array(
                [self.number(i, entry, low, high) for i, row in enumerate(rows) for entry in row], np.float32
            )
        ends = np.cumsum([len(row) for row in rows]).tolist()
        return [flat[start:end] for start, end in zip([0, *ends], ends, strict=False)]

    def entries(self, row: int) -> list[Any]:
        """The entries of a cell that holds several."""
        cell = self.cells[row]
        if isinstance(cell, list):
            return cell
        return cell.translate(_SEPARATORS).split() if isinstance(cell, str) else [cell]


class Field(NamedTuple):
    """A wanted column: the names it goes by, in lower case, or else its place, from 0."""

    position: int
    names: tuple[str, ...]


@dataclass(frozen=True)
class Table:
    """A CSV file, its cells stripped of blanks."""

    path: Path
    header: list[str]
    rows: list[list[str]]
    lines: list[int | None]

    def columns(self, *fields: Field) -> list[Column]:
        """The wanted columns: by name, whatever its case, and where no name fits by place.

        Raises:
            DataError: neither fits.
        """
        names = [name.lower() for name in self.header]
        places = [next((names.index(name) for name in field.names if name in names), None) for field in fields]
        for i, field in enumerate(fields):
            if places[i] is None:
                if field.position >= len(names) or field.position in places:
                    what = f"no column `{field.names[0]}` among {', '.join(self.header)}"
                    raise DataError(self.path, what, f"Name a column `{field.names[0]}`.", 1)
                places[i] = field.position
        return [
            Column(self.path, self.header[p], [r[p] for r in self.rows], self.lines) for p in places if p is not None
        ]


def read_csv(path: Path) -> Table:
    """Read a CSV file with a header; blank lines are left out, quotes and line ends as in any spreadsheet's export."""
    reader = csv.reader(io.StringIO(read_text(path)), strict=True)
    rows: list[list[str]] = []
    lines: list[int | None] = []
    try:
        for record in reader:
            if len(record) > 1 or (record and record[0].strip()):
                rows.append([cell.strip() for cell in record])
                lines.append(reader.line_num)
    except csv.Error as error:
        raise DataError(path, f"not a table ({error})", "Save it as CSV, in UTF-8.", reader.line_num) from None
    if len(rows) < 2:
        raise DataError(path, "it holds no rows", "It needs a header and a row for each sample.")
    header = rows.pop(0)
    if any(re.fullmatch("[ACGUTNacgutn]{8,}", cell) for cell in header):
        raise DataError(path, "its first line is a row, not a header", "Put the names of the columns first.", lines[0])
    for row, line in zip(rows, lines[1:], strict=True):
        if len(row) != len(header):
            what = f"{len(row)} cells under a header of {len(header)}"
            raise DataError(path, what, "Every line needs as many cells as the header.", line)
    return Table(path, header, rows, lines[1:])


@dataclass(frozen=True)
class Records:
    """A JSON file of records; `lines` are None unless each record has a line of its own."""

    path: Path
    rows: list[dict[str, Any]]
    lines: list[int | None]

    def column(self, name: str) -> Column:
        """One field of all records."""
        column = Column(self.path, name, [row.get(name) for row in self.rows], self.lines)
        for i, row in enumerate(self.rows):
            if row.get(name) is None:
                raise column.error(i, "the record has no such field", "Every record needs it.")
        return column

    def select(self, rows: list[int]) -> Records:
        """Some of the records."""
        return Records(self.path, [self.rows[i] for i in rows], [self.lines[i] for i in rows])


def read_json(path: Path) -> Records:
    """Read records: one a line, a list of them, or a table `{column: {row: value}}` as pandas writes it."""
    text = read_text(path)
    lines: list[int | None] = []
    try:
        found = json.loads(text)
    except json.JSONDecodeError as whole:
        found = []
        for number, line in enumerate(text.split("\n"), 1):
            if line.strip():
                try:
                    found.append(json.loads(line))
                except json.JSONDecodeError as error:
                    at = number if found else whole.lineno
                    raise DataError(path, f"no JSON ({error.msg})", CUT, at) from None
                except (ValueError, RecursionError) as error:  # a number too long, brackets too deep
                    raise DataError(path, f"no JSON that can be read ({error})", CUT, number) from None
                lines.append(number)
    except (ValueError, RecursionError) as error:
        raise DataError(path, f"no JSON that can be read ({error})", CUT) from None
    rows = _rows(found)
    if not rows or not all(isinstance(row, dict) for row in rows):
        raise DataError(path, "it holds no records", "Write one JSON record `{...}` a line.")
    return Records(path, rows, lines or [None] * len(rows))


def _rows(found: Any) -> list[Any]:
    if not isinstance(found, dict):
        return found if isinstance(found, list) else []
    columns = {name: list(c.values()) if isinstance(c, dict) else c for name, c in found.items()}
    if not all(isinstance(c, list) for c in columns.values()) or len({len(c) for c in columns.values()}) != 1:
        return [found]
    return [dict(zip(columns, row, strict=True)) for row in zip(*columns.values(), strict=True)]


def read_dot_bracket(path: Path) -> tuple[Column, list[np.ndarray]]:
    """Read `>name`, sequence and structure (each on one or more lines).

    Returns:
        The sequences, and for each its base pairs, `(pairs, 2)` int64, as `base_pairs` gives them.
    """
    sequences: list[str] = []
    structures: list[str] = []
    lines: list[int | None] = []
    for number, line in enumerate(read_text(path).split("\n"), 1):
        text = line.strip()
        if text.startswith(">"):
            sequences.append("")
            structures.append("")
            lines.append(number)
        elif text and not text.startswith("#"):
            if not lines:
                raise DataError(path, "text before the first header", "A record begins with a line `>name`.", number)
            if structures[-1] or _BRACKETS.search(text):
                structures[-1] += text.split()[0]  # some programs add an energy
            else:
                sequences[-1] += text
    if not lines:
        raise DataError(path, "it holds no record", "Each is a line `>name`, one of sequence and one of brackets.")
    column, pairs = Column(path, "sequence", sequences, lines), []
    for i, (sequence, structure) in enumerate(zip(sequences, structures, strict=True)):
        if len(sequence) != len(structure):
            what = f"{len(sequence)} nucleotides but {len(structure)} places of structure"
            raise DataError(path, what, "The structure needs a bracket or dot for each nucleotide.", lines[i])
        try:
            pairs.append(base_pairs(structure))
        except ValueError as error:
            raise DataError(path, f"structure: {error}", "Every bracket needs its partner.", lines[i]) from None
    return column, pairs


def base_pairs(structure: str) -> np.ndarray:
    """Pairs of a dot-bracket structure, `(pairs, 2)` int64 places from 0, the lower first, in order.

    Pseudoknots use further kinds of brackets: [], {}, <>, Aa, Bb ...

    Raises:
        ValueError: a bracket without a partner, or another character.
    """
    opened: dict[str, list[int]] = {}
    pairs = []
    for found in _PAIRED.finditer(structure):
        mark, place = found[0], found.start()
        if mark in _PARTNER:
            opened.setdefault(_PARTNER[mark], []).append(place)
        elif opened.get(mark):
            pairs.append((opened[mark].pop(), place))
        elif mark in _PARTNER.values():
            raise ValueError(f"{mark!r} at place {place + 1} closes nothing")
        else:
            raise ValueError(f"{mark!r} at place {place + 1} is neither bracket nor dot")
    if left := [place for places in opened.values() for place in places]:
        raise ValueError(f"{structure[min(left)]!r} at place {min(left) + 1} is never closed")
    return np.array(sorted(pairs), dtype=np.int64).reshape(-1, 2)


def read_map(path: Path, length: int) -> np.ndarray:
    """Read a symmetric `(length, length)` matrix of numbers, a value for each pair of nucleotides."""
    try:
        found = np.load(io.BytesIO(read_bytes(path)), allow_pickle=False)
    except DataError:
        raise
    except Exception as error:  # NumPy runs a parser of Python over the header, which may fail in any way
        raise DataError(path, f"not a plain .npy matrix ({error})", "Save it with numpy.save, as numbers.") from None
    if not isinstance(found, np.ndarray) or found.dtype.kind not in "biuf":
        raise DataError(path, "not a matrix of numbers", "Save it with numpy.save, as numbers.")
    if found.shape != (length, length):
        what = f"shape {found.shape} instead of {length} x {length}, the length of its sequence"
        raise DataError(path, what, "Sequence and matrix must be of the same RNA, one row a nucleotide.")
    values = found.astype(np.float32)
    if not np.allclose(values, values.T, atol=1e-3, equal_nan=True):
        i, j = np.argwhere(~np.isclose(values, values.T, atol=1e-3, equal_nan=True))[0]
        what = (
            f"not symmetric: {values[i, j]:g} at row {i + 1}, column {j + 1} but {values[j, i]:g} the other way round"
        )
        raise DataError(path, what, "A pair has one value: write it in both places.")
    return values
