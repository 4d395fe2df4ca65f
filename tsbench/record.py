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
from tsbench.store import Result, Store

KEY = re.compile(r"[0-9a-f]{32}")
FORMAT = 1
#: Fields every record has, and of which type.
FIELDS: dict[str, type] = {
    "key": str, "status": str, "cell": dict, "variant": str, "started": str, "finished": str, "device": str,
    "threads": int, "environment": dict, "invocation": str, "seconds": dict, "cpu_seconds": dict, "curves": list,
}  # fmt: skip
#: What a finished one has beyond these; a pruned one has the first three.
FINISHED_FIELDS: dict[str, type] = {
    "code": str,
    "data": dict,
    "task": dict,
    "scores": dict,
    "units": dict,
    "parameters": int,
}
#: Fields of fields, which tables and MLflow read: of what ran to its end, and of what was scored on test as well.
DATA_FIELDS: dict[str, type] = {
    "data.label": str, "data.name": str, "data.family": str, "data.digest": str, "data.generated": bool,
    "data.sources": list, "data.samples": dict, "task.kind": str,
}  # fmt: skip
TEST_FIELDS: dict[str, type] = {
    "data.samples.test": int, "scores.validation": dict, "scores.test": dict, "units.test": dict, "seconds.fit": float,
    "cpu_seconds.fit": float, "peak_memory_mb": float, "environment.torch": str, "environment.tsbench": str,
    "environment.python": str, "environment.processor": str,
}  # fmt: skip
STATUSES: dict[str, dict[str, type]] = {
    "finished": FINISHED_FIELDS,
    "pruned": {"code": str, "data": dict, "task": dict},
    "failed": {},
}


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
    """The result, if it has the fields that a result has."""
    if not isinstance(result, dict) or "format" not in result:
        raise TsbenchError(f"{where}: not a result of tsbench (it has no `format`)")
    if result["format"] != FORMAT:
        raise TsbenchError(f"{where}: result format {result['format']!r}; this version reads {FORMAT}. Update tsbench.")
    if result.get("status") not in STATUSES:
        raise TsbenchError(f"{where}: `status` is {result.get('status')!r}, not {', '.join(STATUSES)}")
    for name, kind in (FIELDS | STATUSES[result["status"]]).items():
        if not isinstance(result.get(name), kind):
            raise TsbenchError(f"{where}: not a whole result of tsbench: `{name}` is no {kind.__name__}; get it again")
    if not KEY.fullmatch(result["key"]):
        raise TsbenchError(f"{where}: `key` is no key of tsbench (32 digits, 0-9 and a-f)")
    cell = result["cell"]
    if unknown := set(cell) ^ {field.name for field in fields(Cell)}:
        raise TsbenchError(f"{where}: its cell lacks or has an unknown field: {', '.join(sorted(unknown))}")
    if not isinstance(cell["seed"], int) or not isinstance(cell["settings"], dict):
        raise TsbenchError(f"{where}: its cell has no seed or no settings")
    nested = {} if result["status"] == "failed" else dict(DATA_FIELDS)
    if result["status"] == "finished" and cell["test"]:
        nested |= TEST_FIELDS
    for name, kind in nested.items():
        if not _is(_at(result, name), kind):
            raise TsbenchError(f"{where}: not a whole result of tsbench: `{name}` is no {kind.__name__}; get it again")
    return result


def _at(result: Any, name: str) -> Any:
    """The value of a field of a field, `data.samples.test`; None if there is none."""
    for part in name.split("."):
        result = result.get(part) if isinstance(result, dict) else None
    return result


def _is(value: Any, kind: type) -> bool:
    """True if a value read from JSON is of a type; 1 is a float, too, and True no number."""
    return isinstance(value, kind | int if kind is float else kind) and (kind is bool or not isinstance(value, bool))


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
