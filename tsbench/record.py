"""Record: what a result file from elsewhere must hold, and how one is found again by its key, file or MLflow run."""

from __future__ import annotations

import contextlib
import json
import re
from collections.abc import Iterator
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

from tsbench.cell import Cell
from tsbench.errors import TsbenchError, UsageError
from tsbench.registry import task_from_record, task_kinds
from tsbench.schema import ENDED, RESULT, STUDY, STUDY_OF_TRIALS, TESTED, Fields, faults
from tsbench.store import Result, Store
from tsbench.studies import study_of
from tsbench.summary import boards

KEY = re.compile(r"[0-9a-f]{32}")
FORMAT = 1


@dataclass(frozen=True)
class Record:
    """A recorded cell.

    Attributes:
        result: what the file says.
        weights: its folder of artifacts, if it is there.
        others: results of the same cell with other seeds, on the same code and data.
    """

    result: Result
    weights: Path | None
    others: tuple[Result, ...] = ()

    @property
    def cell(self) -> Cell:
        """The cell that was run."""
        return Cell(**self.result["cell"])


def read_record(text: str | bytes, where: str) -> Result:
    """Read one result file that may come from anywhere.

    Raises:
        TsbenchError: it is no result, or of a format that this version does not know.
    """
    try:
        result = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise TsbenchError(f"{where}: not a result of tsbench ({error}); get it again") from None
    return check_record(result, where)


def check_record(result: Any, where: str) -> Result:
    """The result, if it has all that reports and MLflow read of one, so that none can end them.

    Raises:
        TsbenchError: a field lacks or is of another type, its task is of no kind known here, or it cannot be drawn.
    """
    if not isinstance(result, dict) or "format" not in result:
        raise TsbenchError(f"{where}: not a result of tsbench (it has no `format`)")
    if result["format"] != FORMAT:
        raise TsbenchError(f"{where}: result format {result['format']!r}; this version reads {FORMAT}. Update tsbench.")
    status = result.get("status")
    if not isinstance(status, str) or status not in ENDED:
        raise TsbenchError(f"{where}: `status` is {status!r}, not {', '.join(ENDED)}")
    cell = result.get("cell")
    if isinstance(cell, dict) and (odd := set(cell) ^ {field.name for field in fields(Cell)}):
        raise TsbenchError(f"{where}: its cell lacks or has an unknown field: {', '.join(sorted(odd))}")
    tested = status == "finished" and isinstance(cell, dict) and cell.get("test") is True
    for wanted in (RESULT, ENDED[status], TESTED if tested else {}):
        _whole(result, wanted, where)
    if not KEY.fullmatch(result["key"]):
        raise TsbenchError(f"{where}: `key` is no key of tsbench (32 digits, 0-9 and a-f)")
    if "task" in result:
        _check_task(result, tested, where)
    return result


def _whole(record: Any, wanted: Fields, where: str, what: str = "result") -> None:
    for fault in faults(record, wanted):
        raise TsbenchError(f"{where}: not a whole {what} of tsbench: {fault}; get it again")


def _check_task(result: Result, tested: bool, where: str) -> None:
    """Raise unless a result has the scores of its task, and can be drawn as its task draws."""
    name = result["task"]["kind"]
    kind = task_kinds().get(name)
    if kind is None:
        raise TsbenchError(f"{where}: `task.kind` {name!r} is of no task known here; install its plug-in first")
    if tested:
        scored = {"validation": {kind.primary: float}, "test": {kind.primary: float}}
        _whole(result, {"scores": scored, "units": {"test": {kind.primary: list}}}, where)
    try:  # what no list of fields says: shapes, and what belongs together
        boards([result])
        task = task_from_record(result["task"])
        for tables in result.get("tables", {}).values():
            task.charts(tables)
        if "examples" in result:
            kind.figure(result["examples"])
    except Exception as error:
        told = f"{type(error).__name__}: {error}".splitlines()[0]
        raise TsbenchError(f"{where}: its scores, tables or examples cannot be shown ({told}); get it again") from error


def check_study(study: Any, name: str, where: str) -> dict[str, Any]:
    """The study, if it has all that reports and MLflow read of one.

    Raises:
        TsbenchError: it has not.
    """
    if not isinstance(study, dict):
        raise TsbenchError(f"{where}: not a study of tsbench")
    _whole(study, STUDY, where, "study")
    if "history" in study:
        _whole(study, STUDY_OF_TRIALS, where, "study")
    try:
        if drawn := study_of(name, study):
            drawn.charts()
    except Exception as error:
        told = f"{type(error).__name__}: {error}".splitlines()[0]
        raise TsbenchError(f"{where}: its trials cannot be drawn ({told}); get it again") from error
    return study


@contextlib.contextmanager
def find_record(name: str, store: Store, uri: str | None) -> Iterator[Record]:
    """The record called `name`: a key or its start, a file, or a run of the MLflow store at `uri`.

    Files fetched from MLflow are gone when the block ends.

    Raises:
        UsageError: there is none, or several.
    """
    if Path(name).is_file():
        yield _of_file(Path(name), store)
        return
    if found := _of_store(name, store):
        yield found
        return
    if uri is None or not KEY.fullmatch(name):
        raise UsageError(
            f"{store.root} holds no result whose key begins with {name!r}. Name a key, the file of a result, or an "
            "MLflow run id with --tracking URI; `tsbench run ... --dry-run` shows keys"
        )
    from tsbench.readback import fetched_run

    with fetched_run(uri, name) as folder:
        yield _of_file(folder / "result.json", store)


def _of_file(path: Path, store: Store) -> Record:
    result = read_record(path.read_bytes(), str(path))
    places = (path.parent / "model", path.parent.parent / "artifacts" / result["key"])  # of MLflow, of a store
    return Record(result, next((p for p in places if p.is_dir()), None), _others(result, store))


def _of_store(name: str, store: Store) -> Record | None:
    """The finished cell whose key begins with `name`, or else the failure."""
    if not re.fullmatch(r"[0-9a-f]*", name):
        return None
    for kind in ("cells", "failures"):
        paths = sorted(store.path(kind, "").glob(f"{name}*.json"))
        if len(paths) > 1:
            raise UsageError(f"{name} begins {len(paths)} keys of {kind}; give more of it")
        if paths:
            return _of_file(paths[0], store)
    return None


def _others(result: Result, store: Store) -> tuple[Result, ...]:
    """Finished results of the same cell with other seeds."""
    if result["status"] != "finished":
        return ()
    return tuple(
        other
        for other in store.results()
        if other["status"] == "finished"
        and other["cell"] | {"seed": result["cell"]["seed"]} == result["cell"]
        and other["cell"]["seed"] != result["cell"]["seed"]
        and (other["code"], other["data"]["digest"]) == (result["code"], result["data"]["digest"])
    )
