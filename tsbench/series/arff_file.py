r"""Reader of relational ARFF, WEKA's format of multivariate series: a case a line, `'1,2,3\n4,5,6',label`.

Channels are apart by `\n`, two characters; shorter cases are filled up with `?`.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

from tsbench.errors import DataError
from tsbench.series.cases import DAMAGED, Cases, Line, collect, decoded, read_lines

_CASE = re.compile(rb"""(?P<quote>['"])(?P<numbers>[^'"]*)(?P=quote)\s*,\s*(?P<label>.+)""", re.DOTALL)
_NAME = re.compile(r"""'(?:[^'\\]|\\.)*'|"(?:[^"\\]|\\.)*"|[^\s,'"][^,]*""")


def read_arff(path: Path) -> Cases:
    """Read a relational `.arff` file, plain or gzipped.

    Raises:
        DataError: naming file, line and remedy.
    """
    lines = read_lines(path, b"%")
    classes = _header(path, lines)
    return collect(path, classes, ((line, *_parts(path, line)) for line in lines), rb"\n")


def _header(path: Path, lines: Iterator[Line]) -> list[str]:
    """The classes, which the last attribute lists, and `lines` moved on to the first case."""
    relational, classes = False, ""
    for line in lines:
        text = decoded(line.text)
        lower = text.lower()
        if lower.startswith("@data"):
            if not relational or not classes:
                problem = "no relational attribute" if not relational else "no attribute `{class,class ...}`"
                raise DataError(path, problem, "Multivariate series with classes are what is read.", line.number)
            return [_unquoted(name) for name in _NAME.findall(classes)]
        if lower.startswith("@attribute"):
            relational = relational or lower.endswith("relational")
            found = re.search(r"\{(.*)\}$", text)
            classes = found[1] if found else ""
    raise DataError(path, "no line `@data`", f"Is it an ARFF file? {DAMAGED}")


def _parts(path: Path, line: Line) -> tuple[bytes, str]:
    """Numbers and label of a case."""
    found = _CASE.fullmatch(line.text)
    if found is None:
        raise DataError(path, "not of the form 'numbers',label", DAMAGED, line.number)
    return found["numbers"], _unquoted(decoded(found["label"]))


def _unquoted(name: str) -> str:
    name = name.strip()
    if len(name) > 1 and name[0] == name[-1] and name[0] in "'\"":
        return re.sub(r"\\(.)", r"\1", name[1:-1])
    return name
