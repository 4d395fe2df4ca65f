"""Content of files, plain or gzipped; what cannot be read is a DataError with file and remedy."""

from __future__ import annotations

import io
import json
import zlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from tsbench.dataset import open_content
from tsbench.errors import DataError

CUT = "The copy is cut or damaged: get the file again."


def plain_or_gz(path: Path) -> Path | None:
    """The file, or the gzipped one beside it; None if neither is there."""
    return next((p for p in (path, path.with_name(path.name + ".gz")) if p.is_file()), None)


def read_bytes(path: Path) -> bytes:
    """The content of a file, of what is inside if it is gzipped."""
    try:
        with open_content(path) as file:
            return bytes(file.read())
    except (EOFError, OSError, zlib.error) as error:
        raise DataError(path, f"cannot be read ({error})", CUT) from None


def read_text(path: Path) -> str:
    """The text of a file; byte-order mark and kind of line end do not matter."""
    text = read_bytes(path).decode("utf-8-sig", errors="replace")
    return text.replace("\r\n", "\n").replace("\r", "\n")


def read_json(path: Path) -> Any:
    """The content of a JSON file, in which no record has a field twice."""

    def record(pairs: Sequence[tuple[str, Any]]) -> dict[str, Any]:
        found = dict(pairs)
        if len(found) < len(pairs):
            names = [name for name, _ in pairs]
            twice = next(name for name in names if names.count(name) > 1)
            raise DataError(path, f"{twice[:60]!r} is there twice in one record", "Keep one of them.")
        return found

    try:
        return json.loads(read_text(path), object_pairs_hook=record)
    except json.JSONDecodeError as error:
        raise DataError(path, f"is no JSON ({error.msg})", CUT, error.lineno) from None
    except (ValueError, RecursionError) as error:  # a number too long, brackets too deep
        raise DataError(path, f"is no JSON that can be read ({error})", CUT) from None


def read_npy(path: Path, shape: tuple[int, ...]) -> np.ndarray:
    """A NumPy array of numbers; -1 in `shape` stands for any count. Pickled objects are not loaded."""
    try:
        array: np.ndarray = np.load(io.BytesIO(read_bytes(path)), allow_pickle=False)
        if not isinstance(array, np.ndarray) or array.dtype.kind not in "biuf":
            raise ValueError("several arrays, or no numbers")
    except DataError:
        raise
    except Exception as error:  # NumPy runs a parser of Python over the header, which may fail in any way
        raise DataError(path, f"is no NumPy array of numbers ({error})", CUT) from None
    if array.ndim != len(shape) or any(n >= 0 and n != m for n, m in zip(shape, array.shape, strict=True)):
        raise DataError(path, f"its shape is {array.shape}, not {shape}", CUT)
    return array
