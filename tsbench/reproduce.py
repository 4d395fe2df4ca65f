"""`tsbench reproduce`: run a recorded cell again, from its record alone, and say what differs.

It runs in a store of its own, in a process of its own with the recorded number of threads; what was recorded is only
read. Equal means the same scores, of every split and every unit, the same learning curve and the same weights, to the
last bit.
"""

from __future__ import annotations

import argparse
import multiprocessing
import os
import signal
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import fields, replace
from typing import Any

from tqdm import tqdm

from tsbench.cell import Cell, find_dataset, identity, key_of
from tsbench.differences import compared, differences, weights_differences
from tsbench.environment import PACKAGES, environment
from tsbench.errors import Pruned, TsbenchError, UsageError, unknown
from tsbench.executor import DIED, exit_with_parent
from tsbench.record import find_record
from tsbench.registry import find_model
from tsbench.run import Options, file_digests, new_result, run_cell
from tsbench.session import check_device
from tsbench.store import Result, Store
from tsbench.tracking import tracking_uri

HARDWARE = ("processor", "instructions", "cores", "gpu")
VERSIONS = ("tsbench", "python", "platform", *PACKAGES)
#: Variables that numeric libraries read once, when they are imported.
THREADS = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS")


def command(args: argparse.Namespace) -> int:
    """Compare a record with what is here, run it again, compare; 0 equal, 1 something differs."""
    store = Store(args.results)
    uri = None if args.tracking == "none" else tracking_uri(store, args.tracking)
    with find_record(args.run, store, uri) as record:
        old = record.result
        cell = replace(record.cell, dataset=args.dataset or record.cell.dataset)
        options = Options(args.data.resolve(), args.device or old["device"], args.threads or old["threads"])
        host = old["environment"].get("host") or "a machine without a name"
        print(f"{cell.title()}, protocol {cell.protocol}: {old['status']} on {host}, {old['finished'][:16]}")
        with _rebuilding(old):
            check_device(options.device)
            key, unlike = compare_before(old, cell, options)
        for part, told in unlike.items():
            print(f"  {part:9}{'same' if not told else 'differs, recorded → now: ' + '; '.join(told)}", flush=True)
        if args.dry_run:
            return int(any(unlike.values()))
        with tempfile.TemporaryDirectory(prefix="tsbench-reproduce-") as folder:
            again = Store(folder)
            new = run_again(cell, key, again, options, old)
            told = differences(old, new, record.others)
            if record.weights and again.path("artifacts", key).is_dir():
                told += weights_differences(record.weights, again.path("artifacts", key))
    if told:
        print("\n  ".join(["differs, recorded → now:", *told]))
        return 1
    rest = ", weights" if record.weights else "; no weights were kept to compare" if "scores" in old else ""
    print(f"equal to the last bit: {compared(old)}{rest}")
    return 0


@contextmanager
def _rebuilding(old: Result) -> Iterator[None]:
    """Turn what is no longer there into an error that says where it was."""
    try:
        yield
    except TsbenchError as error:
        raise TsbenchError(f"cannot be rebuilt: {error} {_revision(old)}") from None


def _revision(old: Result) -> str:
    """Where the code of a record is."""
    revision, _, changes = (old["environment"].get("git") or "").partition("+")
    if not revision:
        return f"(The record names no revision; it was made by tsbench {old['environment'].get('tsbench')}.)"
    told = f"(The code of then: git checkout {revision}"
    return told + ("; files differed from it then, so it may not be all of it.)" if changes else ".)")


def compare_before(old: Result, cell: Cell, options: Options) -> tuple[str, dict[str, list[str]]]:
    """The key of a recorded cell here and now, and what differs before it runs: part -> a text each.

    Raises:
        TsbenchError: its data set, protocol, model, a setting or a file is not there.
    """
    dataset, kind = find_dataset(cell), find_model(cell.model)
    if cell.protocol not in dataset.protocols:
        raise unknown(f"protocol of {dataset.name}", cell.protocol, dataset.protocols)
    known = {field.name for field in fields(kind.Config)}
    if gone := sorted(cell.settings.keys() - known):
        raise UsageError(f"{cell.model} has no setting {', '.join(gone)} any more.")
    now = identity(cell, options.data)
    key, data = key_of(now), old.get("data", {})
    settings = [f"{name} is new, {value!r}" for name, value in vars(kind.Config(**cell.settings)).items()]
    unlike = {
        "code": _changed("fingerprint", old.get("code"), now["code"]),
        "data": _files(data.get("files", {}), file_digests(dataset, options.data)),
        "settings": [told for told in settings if told.split(" ")[0] not in cell.settings],
        "versions": _environment(old, VERSIONS, options.device),
        "hardware": _environment(old, HARDWARE, options.device),
    }
    if not unlike["data"]:
        unlike["data"] = _changed("digest of all files", data.get("digest"), now["content"])
    unlike["hardware"] += _changed("device", old["device"], options.device)
    unlike["hardware"] += _changed("threads", old["threads"], options.threads)
    unlike["hardware"] += _changed("processes that trained it", old.get("measured", {}).get("processes", 1), 1)
    if unlike["code"]:
        unlike["code"].append(_revision(old))
    elif key != old["key"] and not unlike["data"] and not unlike["settings"]:
        unlike["settings"].append("a file that a setting names, or an option of the data set, is another")
    return key, unlike


def _changed(what: str, before: Any, now: Any) -> list[str]:
    """A line if a recorded value is another now; what was not recorded cannot be compared."""
    return [f"{what} {_short(before)} → {_short(now)}"] if before is not None and before != now else []


def _short(value: Any) -> str:
    """Of a digest, as much as tells it apart."""
    text = str(value)
    return text[:12] if len(text) >= 40 and text.isalnum() else text


def _files(before: dict[str, str], now: dict[str, str]) -> list[str]:
    """Files of other content; one that goes by another path now is the same if its content is."""
    gone = [name for name in before if name not in now and before[name] not in now.values()]
    changed = [name for name in before if name in now and before[name] != now[name]]
    return [f"{name} sha256 {_short(before[name])} → {_short(now[name])}" for name in changed] + [
        f"{name} is not there" for name in gone
    ]


def _environment(old: Result, names: tuple[str, ...], device: str) -> list[str]:
    before, now = old["environment"], environment(device)
    recorded = [name for name in names if name in before]
    return [line for name in recorded for line in _changed(name, before[name] or "none", now[name] or "none")]


def run_again(cell: Cell, key: str, store: Store, options: Options, old: Result) -> Result:
    """The result of a cell that runs now, alone in a new process; a pruned trial ends after as many epochs as then."""
    for name in THREADS:
        os.environ[name] = str(options.threads)
    process = multiprocessing.get_context("spawn").Process(
        target=_run, args=(cell, key, store, options, old), daemon=True
    )
    process.start()
    process.join()
    result = store.read(key) or store.failure(key)
    if result is None:
        same = old.get("reason", "").startswith(DIED)
        reason = old["reason"] if same else f"{DIED} (exit code {process.exitcode})"
        result = new_result(cell, key, options) | {"status": "failed", "reason": reason}
    return result


def _run(cell: Cell, key: str, store: Store, options: Options, old: Result) -> None:
    """The work of the new process."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches the parent, whose end ends this
    threading.Thread(target=exit_with_parent, daemon=True).start()
    epochs = len(old["curves"])
    with tqdm(total=epochs or None, unit="epoch", desc="again", leave=False, disable=None) as bar:

        def report(epoch: int, curve: dict[str, float]) -> None:
            bar.update()
            if old["status"] == "pruned" and epoch >= epochs:
                raise Pruned(old["reason"])

        run_cell(cell, key, store, replace(options, report=report))
