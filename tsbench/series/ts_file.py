"""Reader of `.ts` files, the archives' format: a header of `@` lines, then a case a line, `1,2,3:4,5,6:label`.

Channels are apart by colons, steps by commas; the label comes last. What the header says of dimensions, lengths and
missing values is not needed: the cases themselves tell.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from tsbench.errors import DataError
from tsbench.series.cases import DAMAGED, Cases, Line, collect, decoded, read_lines


def read_ts(path: Path) -> Cases:
    """Read a `.ts` file, plain or gzipped.

    Raises:
        DataError: naming file, line and remedy.
    """
    lines = read_lines(path, b"#")
    classes = _header(path, lines)
    return collect(path, classes, ((line, *_parts(path, line)) for line in lines), b":")


def _header(path: Path, lines: Iterator[Line]) -> list[str]:
    """The classes that the header declares, and `lines` moved on to the first case."""
    classes: list[str] = []
    for line in lines:
        tag, *words = map(decoded, line.text.split())
        given = [word.lower() for word in words[:1]]
        if tag.lower() == "@data":
            return classes
        if tag.lower() == "@timestamps" and given == ["true"]:
            raise DataError(path, "values have time stamps", "Write values alone, at equal steps.", line.number)
        if tag.lower() == "@targetlabel" and given == ["true"]:
            raise DataError(path, "targets are numbers, not classes", "Only classes can be learnt.", line.number)
        if tag.lower() == "@classlabel":
            if given != ["true"]:
                raise DataError(path, "cases have no labels", "Only labelled cases can be learnt.", line.number)
            classes = list(dict.fromkeys(words[1:]))
    raise DataError(path, "no line `@data`", f"Is it a .ts file? {DAMAGED}")


def _parts(path: Path, line: Line) -> tuple[bytes, str]:
    """Numbers and label of a case."""
    numbers, colon, label = line.text.rpartition(b":")
    if not colon or not label.strip() or b"," in label:
        raise DataError(path, "the line does not end with a colon and a label", DAMAGED, line.number)
    return numbers, decoded(label)
