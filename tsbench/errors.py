"""Errors a person can act on: each says what is wrong, where, and what to do."""

from __future__ import annotations

import difflib
from collections.abc import Iterable
from pathlib import Path


class TsbenchError(Exception):
    """Base of every error that is shown to the user as one message, without a traceback."""


class UsageError(TsbenchError):
    """A name, setting or argument that does not fit."""


class MissingData(TsbenchError):
    """A data file that is not there."""


class DataError(TsbenchError):
    """A data file whose content is wrong.

    Args:
        path: the file.
        problem: what is wrong with it.
        remedy: what the user can do.
        line: 1-based line of the file, the header being line 1.
    """

    def __init__(self, path: Path | str, problem: str, remedy: str, line: int | None = None) -> None:
        where = f"{path}:{line}" if line is not None else str(path)
        super().__init__(f"{where}: {problem}. {remedy}")


class Diverged(TsbenchError):
    """A loss or prediction that is no finite number."""


class Pruned(TsbenchError):
    """Raised out of training when a tuning study gives up on a trial."""


def unknown(what: str, name: str, known: Iterable[str]) -> UsageError:
    """The error for an unknown name: the nearest matches first, then the list."""
    names = sorted(known)
    near = difflib.get_close_matches(name, names, n=3, cutoff=0.5)
    hint = f" Did you mean {' or '.join(repr(n) for n in near)}?" if near else ""
    return UsageError(f"unknown {what} {name!r}.{hint} Known: {', '.join(names) or 'none'}.")
