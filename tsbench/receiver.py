"""Receiver: takes results from elsewhere into a results folder, never in place of another, one whole file at a time."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from filelock import Timeout
from tqdm import tqdm

from tsbench.archive import BLOCK, MOST_BYTES, NAMES, Checked, read_archive
from tsbench.differences import differences
from tsbench.errors import TsbenchError
from tsbench.record import check_study, read_record
from tsbench.store import Result, Store, read_json, write_json
from tsbench.summary import matches


class Receiver:
    """Takes records into a store.

    Attributes:
        taken: names of files that were written.
        there: those that were there, or as good: another run of the same cell with the same scores.
        left: what was not taken though it differs, and why, a line each.
    """

    def __init__(self, store: Store, datasets: list[str], suite: str | None = None) -> None:
        self.store, self.datasets, self.suite = store, datasets, suite
        self.taken: list[str] = []
        self.there: list[str] = []
        self.left: list[str] = []
        self.refused: set[str] = set()  # keys whose cell here is another

    def take_archive(self, path: Path) -> None:
        """Read all of it to see that it is whole and sound, and only then read it again and write.

        Raises:
            TsbenchError: it is not; nothing was written.
        """
        self.store.root.mkdir(parents=True, exist_ok=True)
        limit = min(MOST_BYTES, shutil.disk_usage(self.store.root).free)
        wanted: set[str] = set()
        for name, content in _shown(read_archive(path, limit), path, "checking"):
            if name.startswith("artifacts/"):
                wanted.add(name) if not (self.store.root / name).exists() else self.there.append(name)
            elif self._wants(name, _parse(name, content.read(), path)):
                wanted.add(name)
        cells = {
            name.split("/")[1].removesuffix(".json") for name in (*wanted, *self.there) if name.startswith("cells/")
        }
        for name, content in _shown(read_archive(path, limit), path, "writing") if wanted else ():
            if name.startswith("artifacts/") and name.split("/")[1] not in cells - self.refused:
                continue
            if name in wanted:
                self._write(name, content, path)

    def take_run(self, result: Result, fetch: Callable[[Path], list[Path]]) -> None:
        """Take one result and the files of its model that its folder here lacks, which are fetched only now."""
        name = f"{'failures' if result['status'] == 'failed' else 'cells'}/{result['key']}.json"
        if name in (*self.taken, *self.there):
            return
        wanted = self._wants(name, result)
        if name not in self.there and not wanted:
            return
        with self._alone(result["key"]):
            for path in fetch(self.store.path("artifacts", result["key"])):
                part = f"artifacts/{result['key']}/{path.name}"
                if NAMES.fullmatch(part):
                    with path.open("rb") as file:
                        self._place(part, file)
            if wanted:
                self._keep(name, result)

    def _wants(self, name: str, record: Any) -> bool:
        """Is a record new here? One that differs from ours is left out, and said."""
        kind, file = name.split("/")
        if kind != "studies":
            if not is_meant(record, self.datasets, []) or self.suite not in (None, record.get("suite")):
                return False
        elif not matches([str(record.get("dataset", ""))], self.datasets) or self.suite:
            return False
        path = self.store.path(kind, file)
        if kind == "failures":
            here = self.store.failure(path.stem) or self.store.read(path.stem)
            told = []  # a failure is no result: which of two is kept does not matter
        else:
            here = read_json(path) if path.exists() else None
            told = _unlike(here, record) if here and json.dumps(here) != json.dumps(record) else []
        if here is None:
            return True
        if told:
            self.refused.add(path.stem)
            self.left.append(f"{name}, as ours differs (here → there): {'; '.join(told[:3])}")
        else:
            self.there.append(name)
        return False

    def _write(self, name: str, content: Checked, path: Path) -> None:
        """Write one member of an archive."""
        kind, key = name.split("/")[0], name.split("/")[1].removesuffix(".json")
        with self._alone(key):
            if kind == "artifacts":
                self._place(name, content)
            else:
                record = _parse(name, content.read(), path)
                content.finish()
                self._keep(name, record)

    def _keep(self, name: str, record: Any) -> None:
        """Write a record, unless somebody else did in the meantime."""
        path = self.store.root / name
        if path.exists() or (name.startswith("failures/") and self.store.finished(path.stem)):
            self.there.append(name)
            return
        match name.split("/")[0]:
            case "cells":
                self.store.write(path.stem, record)
            case "failures":
                self.store.write_failure(path.stem, record)
            case _:
                write_json(path, record)
        self.taken.append(name)

    def _place(self, name: str, content: Any) -> None:
        """Copy a file of an artifact, all of it or nothing."""
        path = self.store.root / name
        if path.exists():
            self.there.append(name)
            return
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=".", suffix=".tmp")
        try:
            with os.fdopen(handle, "wb") as file:
                shutil.copyfileobj(content, file, BLOCK)
                if isinstance(content, Checked):
                    content.finish()
                file.flush()
                os.fsync(file.fileno())
            os.replace(temporary, path)
        except BaseException:
            Path(temporary).unlink(missing_ok=True)
            raise
        self.taken.append(name)

    @contextlib.contextmanager
    def _alone(self, key: str) -> Iterator[None]:
        """Hold the lock of a cell.

        Raises:
            TsbenchError: a runner is at this cell.
        """
        try:
            with self.store.lock(key).acquire(timeout=0):
                yield
        except Timeout:
            raise TsbenchError(
                f"a runner is at {key} in {self.store.root}. What was taken is kept; the same command goes on later."
            ) from None


def _parse(name: str, text: bytes, path: Path) -> Any:
    """A record of an archive, whose name says what it is."""
    where = f"{path}: {name}"
    if name.startswith("studies/"):
        try:
            study = json.loads(text)
        except (ValueError, RecursionError) as error:
            raise TsbenchError(f"{where}: not a study of tsbench ({error})") from None
        return check_study(study, Path(name).stem, where)
    record = read_record(text, where)
    kind, file = name.split("/")
    if record["key"] != file.removesuffix(".json") or (record["status"] == "failed") != (kind == "failures"):
        raise TsbenchError(f"{where}: it is of {record['key']}, {record['status']}, and does not belong there")
    return record


def _unlike(here: Any, there: Any) -> list[str]:
    """How two records of one name differ; for results, times and machines do not count."""
    if "scores" in here or "reason" in here:
        return differences(here, there)
    return [f"{here.get('trials')} → {there.get('trials')} trials"]


def is_meant(result: Result, datasets: list[str], models: list[str]) -> bool:
    """Is a result of one of the data sets and of one of the models that globs name? None names all."""
    cell, data = result["cell"], result.get("data", {})
    names = [cell["dataset"], data.get("label", ""), data.get("name", "")]
    return matches(names, datasets) and matches([cell["model"], result["variant"]], models)


def _shown(members: Iterator[tuple[str, Checked]], path: Path, doing: str) -> Iterator[tuple[str, Checked]]:
    """The members, with progress in a terminal."""
    return iter(tqdm(members, desc=f"{doing} {path.name}", unit="file", leave=False, disable=None))
