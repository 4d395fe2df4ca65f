"""Tables of text with tabs between the columns, whose header may tell types: `item_id:token` (RecBole)."""

from __future__ import annotations

import re
import zlib
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from tsbench.dataset import open_content
from tsbench.errors import DataError
from tsbench.files import CUT, read_text

TYPES = ("token", "token_seq", "float", "float_seq")
GAPS = ("", "nan", "na", "n/a", "null", "none")
LIKE = "The first line is like `user_id:token<tab>item_id:token<tab>timestamp:float`."


@dataclass(frozen=True)
class Table:
    """Columns of a file by name, as text, and their types, "" if the header has none."""

    path: Path
    columns: dict[str, list[str]]
    types: dict[str, str]

    def __len__(self) -> int:
        return len(next(iter(self.columns.values())))

    def find(self, *names: str) -> str | None:
        """The first of some columns, called by plain names, that is there."""
        there = {plain(name): name for name in self.columns}
        return next((there[name] for name in names if name in there), None)

    def words(self, name: str) -> np.ndarray:
        """A column of words, none empty, as objects."""
        cells = self.columns[name]
        if "" in cells:
            what = f"column `{name}` is empty"
            raise DataError(self.path, what, "Fill it, or leave the line out.", cells.index("") + 2)
        return np.array(cells, object)

    def numbers(self, name: str, gaps: bool = False, seq: bool = False) -> np.ndarray:
        """A column of finite numbers, `(line, width)` float64; if there may be `gaps`, NaN where a cell is one.

        `seq`: cells hold several, blanks between, all equally many.
        """
        cells, width = self.columns[name], 1
        if seq:
            rows = [[] if gaps and gap(cell) else cell.split() for cell in cells]
            width = max(1, *map(len, rows))
            for line, row in enumerate(rows, 2):
                if len(row) not in (width, 0):
                    what = f"column `{name}` has {len(row)} numbers, elsewhere {width}"
                    raise DataError(self.path, what, "Give all lines equally many.", line)
            cells = [cell for row in rows for cell in row or [""] * width]
        values = pd.to_numeric(pd.Series(cells, dtype=object), errors="coerce").to_numpy(np.float64)
        for i in np.flatnonzero(~np.isfinite(values)):
            if not (gaps and gap(cells[i])):
                what = f"column `{name}`: {cells[i][:60]!r} is not a finite number"
                raise DataError(self.path, what, "Correct it, or leave the line out.", int(i) // width + 2)
        return values.reshape(-1, width)


def plain(name: str) -> str:
    """A name without case, blanks and `_`: some write user_id, others userID."""
    return re.sub(r"[\s_]", "", name).lower()


def gap(cell: str) -> bool:
    """Does a cell say that a number is not known?"""
    return cell.strip().lower() in GAPS


def read_table(path: Path, header: bool = False) -> Table:
    """A file, or its first line only.

    Raises:
        DataError: naming file, line and column.
    """
    text = (_first_line(path) if header else read_text(path)).rstrip("\n")
    first = text.split("\n", 1)[0].split("\t")
    names = [(name.rpartition(":")[0] or name).strip() for name in first]
    types = [name.rpartition(":")[2] if ":" in name else "" for name in first]
    if len(first) < 2:
        mark = next((f", but {mark!r} is" for mark in ",; " if mark in first[0]), "")
        raise DataError(path, f"no tab is in its first line{mark}", f"Columns are separated by tabs. {LIKE}", 1)
    if wrong := [n for n, t in zip(first, types, strict=True) if t not in TYPES and (t or any(types))]:
        raise DataError(path, f"column {wrong[0][:60]!r} has no known type", f"Types are {', '.join(TYPES)}. {LIKE}", 1)
    if len(set(map(plain, names))) < len(names) or "" in map(plain, names):
        raise DataError(path, f"columns {', '.join(names)}: one has no name, or that of another", "Rename it.", 1)
    letters = np.frombuffer(text.encode(), np.uint8)
    ends = np.concatenate([np.flatnonzero(letters == ord("\n")), [len(letters)]])
    tabs = np.diff(np.searchsorted(np.flatnonzero(letters == ord("\t")), ends), prepend=0)
    if (wrong_count := tabs != tabs[0]).any():
        line = int(wrong_count.argmax())
        if not text.split("\n")[line].strip():
            raise DataError(path, "is blank", "Leave the line out.", line + 1)
        what = f"has {tabs[line] + 1} columns, the header {len(first)}"
        raise DataError(path, what, "Give it a cell for each column, with tabs between.", line + 1)
    cells = text.replace("\n", "\t").split("\t")[len(first) :]
    columns = {name: cells[i :: len(first)] for i, name in enumerate(names)}
    return Table(path, columns, dict(zip(names, types, strict=True)))


def _first_line(path: Path) -> str:
    try:
        with open_content(path) as file:
            line = bytes(file.readline())
    except (EOFError, OSError, zlib.error) as error:
        raise DataError(path, f"cannot be read ({error})", CUT) from None
    return re.split(r"[\r\n]", line.decode("utf-8-sig", errors="replace"), maxsplit=1)[0]
