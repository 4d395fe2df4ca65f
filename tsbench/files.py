"""Content of files, plain or gzipped; what cannot be read is a DataError with file and remedy."""

from __future__ import annotations

import zlib
from pathlib import Path

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
