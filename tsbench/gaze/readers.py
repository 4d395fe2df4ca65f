"""Readers of the files that gaze data come in; every fault is a DataError with file, line or field, and remedy."""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from difflib import get_close_matches
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import scipy.io

from tsbench.errors import DataError
from tsbench.files import CUT as CUT
from tsbench.files import read_bytes, read_text
from tsbench.files import read_json as read_json
from tsbench.files import read_npy as read_npy

CORRECT = "Correct it; if the file was downloaded, get it again."


def field(path: Path, record: Any, where: str, name: str, kind: type | tuple[type, ...]) -> Any:
    """A field of a JSON record, of the kind it must be."""
    if not isinstance(record, Mapping) or name not in record:
        raise DataError(path, f"{where} has no field `{name}`", "Add it; if the file was downloaded, get it again.")
    value = record[name]
    if not isinstance(value, kind) or isinstance(value, bool):
        raise DataError(path, f"{where}: `{name}` is {str(value)[:60]!r}", CORRECT)
    return value


def numbers(path: Path, record: Any, where: str, name: str, shape: tuple[int, ...]) -> np.ndarray:
    """A field of a JSON record as float64 numbers; -1 in `shape` stands for any count."""
    value = field(path, record, where, name, list)
    try:
        array = np.array(value, np.float64).reshape(shape if value else tuple(max(n, 0) for n in shape))
    except (TypeError, ValueError):
        array = np.array([np.nan])
    if not np.isfinite(array).all():
        words = " x ".join("n" if n < 0 else str(n) for n in shape)
        what = f"{where}: `{name}` is not {words} finite numbers: {str(value)[:60]}"
        raise DataError(path, what, CORRECT)
    return array


Table = Mapping[str, np.ndarray]  # column -> its cells: text, or float64


def read_table(
    path: Path,
    columns: Sequence[str],
    words: Sequence[str] = (),
    gaps: Sequence[str] = (),
    more: Sequence[str] = (),
) -> Table:
    """A CSV file with a header line; row i is line i + 2.

    Args:
        path: the file, plain or gzipped.
        columns: those that must be there and hold a finite number in every row.
        words: those that must be there and hold text in every row.
        gaps: those that may be absent or empty; they become numbers, NaN where empty.
        more: text that may be absent, and is then empty.
    """
    try:
        table = pd.read_csv(io.StringIO(read_text(path)), dtype=str, keep_default_na=False, skip_blank_lines=False)
    except (pd.errors.ParserError, pd.errors.EmptyDataError) as error:
        raise DataError(path, f"is no table ({error})", CUT) from None
    if absent := [name for name in (*columns, *words) if name not in table]:
        what = f"no column {', '.join(absent)}; there are {', '.join(map(str, table.columns))}"
        raise DataError(path, what, _renaming(absent, list(map(str, table.columns))), 1)
    found: dict[str, np.ndarray] = {}
    text = {*words, *more}
    for name in (*columns, *words, *gaps, *more):
        if name not in table:
            found[name] = np.full(len(table), "" if name in more else np.nan)
            continue
        cells = table[name].to_numpy(object)
        found[name] = np.char.strip(cells.astype(str)) if name in text else _numbers(path, cells, name, name in gaps)
        if name in words and (empty := found[name] == "").any():
            what = f"column `{name}` is empty, or the line ends before it"
            raise DataError(path, what, CUT, int(empty.argmax()) + 2)
    return found


def _renaming(absent: Sequence[str], there: Sequence[str]) -> str:
    """What to do about columns that are not there."""
    if len(there) == 1 and (mark := next((m for m in ";\t" if m in there[0]), "")):
        return f"Columns are separated by {mark!r} here; save the file with commas, and points in decimals."
    near = [match for name in absent for match in get_close_matches(name, [t.strip().lower() for t in there], n=1)]
    meant = [name for name in there if name.strip().lower() in near]
    hint = f"Did you mean {' and '.join(map(repr, meant))}? " if meant else ""
    return f"{hint}Name the columns as the documentation does (docs/gaze.md)."


def _numbers(path: Path, cells: np.ndarray, name: str, gaps: bool) -> np.ndarray:
    values = pd.to_numeric(pd.Series(cells), errors="coerce").to_numpy(np.float64)
    wrong = ~np.isfinite(values)
    for row in np.flatnonzero(wrong):
        if not (gaps and not cells[row].strip()):
            what = f"column `{name}`: {cells[row]!r} is not a finite number"
            raise DataError(path, what, "Correct it, or leave the row out.", int(row) + 2)
    return values


def rows_by(table: Table, *names: str) -> dict[tuple[Any, ...], np.ndarray]:
    """The rows of each combination of some columns' values, in the order in which these first occur."""
    found: dict[tuple[Any, ...], list[int]] = {}
    for row, key in enumerate(zip(*(table[name].tolist() for name in names), strict=True)):
        found.setdefault(key, []).append(row)
    return {key: np.array(rows) for key, rows in found.items()}


def read_mat(path: Path, variable: str, fields: Sequence[str]) -> list[Mapping[str, Any]]:
    """The records of a MATLAB struct array, each as name -> value."""
    try:
        content = scipy.io.loadmat(io.BytesIO(read_bytes(path)), squeeze_me=True)
    except Exception as error:  # scipy checks little, and a damaged file fails wherever it first makes no sense
        raise DataError(path, f"is no MATLAB file ({error})", CUT) from None
    if variable not in content:
        raise DataError(path, f"no variable `{variable}`", CUT)
    records = np.atleast_1d(content[variable])
    if absent := [name for name in fields if name not in (records.dtype.names or ())]:
        raise DataError(path, f"`{variable}` has no field {', '.join(absent)}", CUT)
    return [{name: record[name] for name in fields} for record in records]
