"""Store: one folder of results. A result is one file, written at once; everything else is derived from it."""

from __future__ import annotations

import json
import os
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from filelock import FileLock

from tsbench.errors import TsbenchError

Result = dict[str, Any]


class Store:
    """The results folder.

    cells/KEY.json       a finished (or pruned) cell
    failures/KEY.json    the last failure of a cell that is not finished
    artifacts/KEY/       its weights and how to rebuild the model
    checkpoints/KEY.pt   a training in progress
    locks/               held by the operating system while a process works on a cell
    studies/NAME.json    a study and its trials, as reports need them
    tracking/            what was sent to which MLflow store; the name of this folder there
    """

    def __init__(self, root: Path | str) -> None:
        self.root = Path(root).resolve()

    def path(self, kind: str, name: str) -> Path:
        """Path of one entry."""
        return self.root / kind / name

    def finished(self, key: str) -> bool:
        """True if the cell needs no more work."""
        return self.path("cells", f"{key}.json").exists()

    def lock(self, name: str) -> FileLock:
        """The lock of a cell or trial, released by the operating system when its holder dies."""
        path = self.path("locks", f"{name}.lock")
        path.parent.mkdir(parents=True, exist_ok=True)
        return FileLock(path)

    def write(self, key: str, result: Result) -> None:
        """Write the result of a finished or pruned cell and forget its earlier failure."""
        write_json(self.path("cells", f"{key}.json"), result)
        self.path("failures", f"{key}.json").unlink(missing_ok=True)
        for checkpoint in self.path("checkpoints", "").glob(f"{key}.*"):
            checkpoint.unlink(missing_ok=True)

    def write_failure(self, key: str, result: Result) -> None:
        """Write why a cell failed; where there is no room even for that, say it on the terminal."""
        try:
            write_json(self.path("failures", f"{key}.json"), result)
        except OSError as error:
            print(f"{key}: {result['reason']} (and this cannot be recorded: {error})", file=sys.stderr, flush=True)

    def read(self, key: str) -> Result | None:
        """The result of a finished cell."""
        return _read_if_there(self.path("cells", f"{key}.json"))

    def failure(self, key: str) -> Result | None:
        """The last failure of a cell that is not finished."""
        return _read_if_there(self.path("failures", f"{key}.json"))

    def results(self) -> Iterator[Result]:
        """All finished and pruned results."""
        for path in sorted(self.path("cells", "").glob("*.json")):
            result = read_json(path)
            if not isinstance(result, dict) or not {"key", "status", "cell"} <= result.keys():
                raise TsbenchError(f"{path}: not a result of tsbench. Delete it; the cell will run again.")
            yield result

    def failures(self) -> Iterator[Result]:
        """Failures of cells that are still not finished."""
        for path in sorted(self.path("failures", "").glob("*.json")):
            if not self.finished(path.stem) and (result := _read_if_there(path)):
                yield result


def write_json(path: Path, value: Any) -> None:
    """Write JSON so that readers see all of it or nothing, even after a power cut."""
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=".", suffix=".tmp")
    try:
        with os.fdopen(handle, "w", encoding="utf-8") as file:
            file.write(json.dumps(value, separators=(",", ":")))  # several times faster than json.dump
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise


def _read_if_there(path: Path) -> Result | None:
    """Another process may remove a failure between any two of our steps."""
    try:
        result: Result = read_json(path)
    except FileNotFoundError:
        return None
    return result


def read_json(path: Path) -> Any:
    """Read JSON.

    Raises:
        TsbenchError: the file is not JSON.
    """
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (ValueError, RecursionError) as error:
        raise TsbenchError(f"{path}: not a result of tsbench ({error}). Delete it; the cell will run again.") from None
