"""Run one cell: load, fit, score once on test, keep the model, write the result."""

from __future__ import annotations

import errno
import math
import random
import shutil
import time
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import torch
from filelock import Timeout

from tsbench.artifacts import save_model
from tsbench.cell import Cell, find_dataset, identity, key_of
from tsbench.data import Samples, Splits, Subset
from tsbench.dataset import Dataset, Source, file_digest, find_file
from tsbench.environment import command_line, environment, gpu_memory_mb, peak_memory_mb, reset_peak_memory
from tsbench.errors import MissingData, Pruned, TsbenchError
from tsbench.evaluate import score
from tsbench.model import Model, Run
from tsbench.registry import dataset_label, find_datasets, find_model
from tsbench.store import Result, Store

ROOM = 4 << 20  # bytes on the disk without which no cell begins: the reasons of failures have to go somewhere


@dataclass(frozen=True)
class Options:
    """How cells run; nothing here changes a result on the same kind of device.

    Attributes:
        data: the data folder.
        invocation: names one call of the command, so that a cell that failed in it is not tried again in it.
        report: called after each epoch with the cell's curves; a study prunes through it.
    """

    data: Path
    device: str = "cpu"
    threads: int = 1
    checkpoint_seconds: float = 60.0
    invocation: str = ""
    suite: str | None = None
    report: Callable[[int, dict[str, float]], None] | None = None


def run_cell(cell: Cell, key: str, store: Store, options: Options, started: Callable[[], None] = lambda: None) -> str:
    """Run a cell unless it is finished or another process is at it; `started` is called if it runs.

    Returns:
        "finished", "pruned", "failed", "elsewhere" (another runner finished it) or "busy".
    """
    lock = store.lock(key)
    try:
        lock.acquire(timeout=0)
    except Timeout:
        return "busy"
    try:
        if store.finished(key):
            return "elsewhere"
        started()
        result = _attempt(cell, key, store, options)
        if result["status"] != "failed":
            try:
                store.write(key, result)
            except OSError as error:
                result |= _failure(error)
        if result["status"] == "failed":
            store.write_failure(key, result)
        return str(result["status"])
    finally:
        lock.release()


def new_result(cell: Cell, key: str, options: Options) -> Result:
    """What is known of a result before its cell runs."""
    return {
        "format": 1,
        "key": key,
        "status": "finished",
        "cell": asdict(cell),
        "variant": cell.variant,
        "suite": options.suite,
        "started": _now(),
        "device": options.device,
        "threads": options.threads,
        "environment": environment(options.device),
        "invocation": options.invocation,
        "command": command_line(),
        "curves": [],
        "measured": {},
        "seconds": {},
        "cpu_seconds": {},
        "finished": _now(),
    }


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="milliseconds")


def _attempt(cell: Cell, key: str, store: Store, options: Options) -> Result:
    """Run a cell and turn whatever happens into a result."""
    result = new_result(cell, key, options)
    watch = Stopwatch()
    try:
        _execute(cell, key, store, options, watch, result)
    except Pruned as pruned:
        result |= {"status": "pruned", "reason": str(pruned)}
    except Exception as error:
        result |= _failure(error)
    result |= {"seconds": watch.wall, "cpu_seconds": watch.cpu, "finished": _now()}
    return result


def _failure(error: Exception) -> Result:
    """What a result says of an error; memory and room on the disk, which run out in many words, are named."""
    if isinstance(error, TsbenchError):
        return {"status": "failed", "reason": str(error), "traceback": None}
    told = f"{type(error).__name__}: {error}".splitlines()[0]
    if isinstance(error, MemoryError | torch.OutOfMemoryError) or "can't allocate memory" in told:
        told = f"memory ran out; use a smaller batch_size or model, or fewer --jobs ({told})"
    elif isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT):
        told = f"the disk is full; make room and run the command again ({told})"
    return {"status": "failed", "reason": told, "traceback": traceback.format_exc()}


def _execute(cell: Cell, key: str, store: Store, options: Options, watch: Stopwatch, result: Result) -> None:
    """Run a cell and add to its result as things become known, so that a failure keeps what came before it."""
    if shutil.disk_usage(store.root).free < ROOM:
        raise OSError(errno.ENOSPC, f"less than {ROOM >> 20} MB left", str(store.root))
    torch.set_num_threads(options.threads)
    device = torch.device(options.device)
    parts = identity(cell, options.data)
    if key_of(parts) != key:
        raise TsbenchError(f"{cell.dataset}: the file changed since the plan was made. Run the command again.")
    result["code"] = parts["code"]
    with watch("load"):
        splits = load_splits(cell.dataset, cell.protocol, options.data, parts["content"])
    result["data"] = describe(cell, splits, options.data, parts["content"])
    result["task"] = splits.task.record()
    run = Run(
        seed=cell.seed,
        device=device,
        checkpoint=store.path("checkpoints", f"{key}.pt"),
        checkpoint_seconds=options.checkpoint_seconds,
        select=splits.selects,
        whole_batches="validation" in splits.whole_batches,
        report=options.report or (lambda epoch, curve: None),
        curves=result["curves"],
        measured=result["measured"],
    )
    reset_peak_memory(device)
    with watch("fit"):
        model = fit(cell, splits, run)
    with watch("evaluate"):
        scores = {"validation": score(model, splits.validation.to(device))}
    if cell.test and splits.refit:
        splits = replace(splits, train=splits.refit.train, test=splits.refit.test)
        with watch("refit"):
            model = fit(cell, splits, second_run(run))
    if cell.test:
        with watch("test"):
            test = _test_samples(splits, cell).to(device)
            scores["test"] = score(model, test)
    for split, found in scores.items():
        if not all(math.isfinite(value) for value in found.values.values()):
            raise TsbenchError(f"{split} scores are not finite: {found.values}")
    result |= {
        "scores": {split: s.values for split, s in scores.items()},
        "units": {split: s.units for split, s in scores.items()},
        "tables": {split: s.tables for split, s in scores.items() if s.tables},
        "groups": {split: s.groups for split, s in scores.items() if s.groups},
        "parameters": model.parameter_count(),
        "peak_memory_mb": round(peak_memory_mb(), 1),
        "gpu_memory_mb": gpu_memory_mb(device),
    }
    if cell.test:
        batch = test.batch(torch.tensor(sorted({0, len(test) // 2, len(test) - 1})))
        answer = splits.task.answer(model, model.predict(batch), batch)
        result["examples"] = splits.task.examples(answer, batch)
        if splits.titles:
            result["examples"]["titles"] = {str(i): splits.titles[i] for i in result["examples"]["items"]}
        result["drawings"] = dict(model.drawings(splits.validation.to(device)))
        save_model(store.path("artifacts", key), cell, model)


def second_run(run: Run) -> Run:
    """The run of a second fit, which selects nothing: as many epochs as the first fit chose."""
    checkpoint = run.checkpoint and run.checkpoint.with_suffix(".refit.pt")
    run.measured["epochs"] = run.best_epoch or 0
    return Run(
        seed=run.seed,
        device=run.device,
        checkpoint=checkpoint,
        checkpoint_seconds=run.checkpoint_seconds,
        select=False,
        epochs=run.best_epoch,
        measured=run.measured,
    )


def describe(cell: Cell, splits: Splits, data: Path, digest: str) -> dict[str, Any]:
    """What a result says about its data; `verified` is None where no trustworthy checksum is known."""
    dataset = find_dataset(cell)
    known = [s for s in dataset.sources if s.sha256]
    samples = {"train": len(splits.train), "validation": len(splits.validation)}
    if splits.refit:
        samples["refit"] = len(splits.refit.train)
    return {
        "name": dataset.name,
        "label": dataset_label(dataset),
        "family": dataset.name.split("/")[0],
        "digest": digest,
        "files": file_digests(dataset, data),
        "generated": dataset.generated,
        "notes": list(splits.notes),
        "selected_on_test": splits.selects and splits.validation is splits.test,
        "verified": _verified(data, known),
        "sources": [asdict(source) for source in dataset.sources],
        "samples": samples | ({"test": len(_test_samples(splits, cell))} if cell.test else {}),
    }


def file_digests(dataset: Dataset, data: Path) -> dict[str, str]:
    """sha256 of each file that a data set names, its own path included, as far as it came in these."""
    own = getattr(dataset, "path", None)
    found: dict[str, str] = {}
    for name in dict.fromkeys([*(source.file for source in dataset.sources), *([str(own)] if own else [])]):
        with suppress(MissingData):
            path = Path(name) if Path(name).is_absolute() else find_file(data, name)
            found |= {name: file_digest(path)} if path.is_file() else {}
    return found


def _verified(data: Path, known: list[Source]) -> bool | None:
    """Do all files have their checksums? None where there is none to compare with, or the set came in other files."""
    try:
        return all(file_digest(find_file(data, s.file)) == s.sha256 for s in known) if known else None
    except MissingData:
        return None


def fit(cell: Cell, splits: Splits, run: Run) -> Model:
    """Build and fit the model of a cell; its random numbers all follow from the cell's seed."""
    random.seed(cell.seed)
    np.random.seed(cell.seed % 2**32)  # noqa: NPY002  # estimators of other libraries draw from it
    torch.manual_seed(cell.seed)
    model = build_model(cell, splits.task)
    model.fit(splits.train, splits.validation, run)
    return model


def build_model(cell: Cell, task: Any) -> Model:
    """The unfitted model of a cell."""
    kind = find_model(cell.model)
    return kind(task, kind.Config(**cell.settings))


@lru_cache(maxsize=2)
def load_splits(dataset: str, protocol: str, data: Path, digest: str) -> Splits:
    """Load a data set, keeping the last two in memory for the cells that follow."""
    return find_datasets(dataset)[0].load(data, protocol)


def _test_samples(splits: Splits, cell: Cell) -> Samples:
    """The test samples that the protocol counts."""
    if "test" not in splits.whole_batches:
        return splits.test
    size = min(cell.settings.get("batch_size", 32), len(splits.test))
    return Subset(splits.test, len(splits.test) // size * size)


class Stopwatch:
    """Wall and CPU seconds of named parts."""

    def __init__(self) -> None:
        self.wall: dict[str, float] = {}
        self.cpu: dict[str, float] = {}

    @contextmanager
    def __call__(self, part: str) -> Iterator[None]:
        """Measure a block."""
        wall, cpu = time.perf_counter(), time.process_time()
        try:
            yield
        finally:
            self.wall[part] = round(time.perf_counter() - wall, 4)
            self.cpu[part] = round(time.process_time() - cpu, 4)
