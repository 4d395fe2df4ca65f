"""`tsbench export` and `tsbench import`: results from one results folder to another."""

from __future__ import annotations

import argparse
import contextlib
from collections import Counter
from collections.abc import Iterable, Iterator
from pathlib import Path

from tsbench.address import shown
from tsbench.archive import NAMES, write_archive
from tsbench.errors import TsbenchError, UsageError
from tsbench.receiver import Receiver, is_meant
from tsbench.record import check_record
from tsbench.store import Store, read_json
from tsbench.summary import matches

#: What one and several files of each kind are called.
NOUNS = {
    "cells": ("cell", "cells"), "failures": ("failure", "failures"), "studies": ("study", "studies"),
    "artifacts": ("file of a model", "files of models"),
}  # fmt: skip


def export_command(args: argparse.Namespace) -> int:
    """Write an archive; says what is in it."""
    store = Store(args.results)
    files = chosen(store, args.dataset, args.model, not args.no_artifacts, args.with_failures)
    if not files:
        wanted = " that is of --dataset and --model" if args.dataset or args.model else ""
        raise UsageError(f"{store.root} holds nothing to export{wanted}")
    with _disk(args.file):
        size = write_archive(args.file, files)
    print(f"{_counts(files)} in {args.file}, {size / 1e6:.2f} MB")
    return 0


def chosen(
    store: Store, datasets: list[str], models: list[str], artifacts: bool = True, failures: bool = False
) -> dict[str, Path]:
    """Files to export, by their names in the archive; the artifacts of a cell come before it."""
    found: dict[str, Path] = {}
    for path in sorted(store.path("cells", "").glob("*.json")):
        result = check_record(read_json(path), str(path))
        if not is_meant(result, datasets, models):
            continue
        for kept in sorted(store.path("artifacts", result["key"]).glob("*")) if artifacts else ():
            found[f"artifacts/{result['key']}/{kept.name}"] = kept
        found[f"cells/{path.name}"] = path
    for result in store.failures() if failures else ():
        if is_meant(check_record(result, "a failure"), datasets, models):
            found[f"failures/{result['key']}.json"] = store.path("failures", f"{result['key']}.json")
    for path in sorted(store.path("studies", "").glob("*.json")):
        study = read_json(path)
        if matches([study.get("dataset", "")], datasets) and matches([study.get("model", "")], models):
            found[f"studies/{path.name}"] = path
    return {name: path for name, path in found.items() if NAMES.fullmatch(name)}


def _counts(names: Iterable[str]) -> str:
    """`12 cells, 24 files of models`."""
    counts = Counter(name.split("/")[0] for name in names)
    return ", ".join(f"{counts[kind]} {words[counts[kind] > 1]}" for kind, words in NOUNS.items() if counts[kind])


def import_command(args: argparse.Namespace) -> int:
    """Take in an archive or the runs of an MLflow store; 1 if something was left out."""
    if (args.file is None) == (args.tracking is None):
        raise UsageError("name a FILE that `tsbench export` wrote, or an MLflow store with --tracking URI")
    into = Receiver(Store(args.results), args.dataset, args.suite)
    if args.file is not None and not args.file.is_file():
        raise UsageError(f"{args.file} is not there")
    with _disk(into.store.root):
        if args.file is not None:
            into.take_archive(args.file)
        else:
            from tsbench.readback import take_runs

            take_runs(args.tracking, into)
    source = args.file or f"MLflow at {shown(args.tracking)}"
    print(f"from {source} into {into.store.root}: {_counts(into.taken) or 'nothing new'}")
    if into.there:
        print(f"there already: {_counts(into.there)}")
    for line in into.left:
        print(f"left out: {line}")
    return 1 if into.left else 0


@contextlib.contextmanager
def _disk(where: Path) -> Iterator[None]:
    """A disk that is full or read-only becomes an error with its remedy."""
    try:
        yield
    except OSError as error:
        told = f"{error.filename or where}: {error.strerror or error}"
        raise TsbenchError(f"{told}. What is whole is kept; put it right and run the same command again.") from None
