"""One command at work on a store: progress on the terminal, tracking in the background."""

from __future__ import annotations

import argparse
import time
import uuid
from collections import Counter
from pathlib import Path

from tsbench import ranks
from tsbench.cell import Cell
from tsbench.errors import UsageError
from tsbench.executor import run_cells
from tsbench.parallel import lead
from tsbench.registry import task_kinds
from tsbench.run import Options
from tsbench.settings import parse_assignments
from tsbench.store import Store
from tsbench.tracking import Follower, tracking_uri


def run_all(args: argparse.Namespace, store: Store, cells: dict[str, Cell], suite: str | None) -> int:
    """Run cells with progress; returns how many failed."""
    options = Options(
        args.data.resolve(),
        args.device,
        args.threads,
        invocation=uuid.uuid4().hex[:12],
        suite=suite and Path(suite).stem,
    )
    progress = Progress(cells, store)
    if args.engine == "ray":
        from tsbench.cluster import Nodes, options_on, run_cells_on

        run_cells_on(Nodes(args), cells, store, options_on(args, options), progress)
    else:
        check_device(args.device)
        if ranks.count() > 1:
            lead(cells, store, options, progress)
        else:
            run_cells(cells, store, options, args.jobs or 1, progress)
    progress.summary()
    return progress.counts["failed"]


def default_jobs(args: argparse.Namespace) -> int:
    """Cells at once if the user does not say: one, or as many as the cluster has room for."""
    if args.engine == "local":
        return 1
    from tsbench.cluster import Nodes

    return Nodes(args).slots


class tracking:  # reads as a verb in `with tracking(...)`
    """Send results to MLflow in the background while a block runs, and the rest after it."""

    def __init__(self, args: argparse.Namespace, store: Store) -> None:
        self.follower = None if args.tracking == "none" else Follower(store, tracking_uri(store, args.tracking))

    def __enter__(self) -> None:
        """The process is running already."""

    def __exit__(self, kind: type[BaseException] | None, *rest: object) -> None:
        if self.follower and kind is None:
            print(f"MLflow: {self.follower.finish()}", flush=True)
        # Otherwise the process sees our end and sends the rest by itself.


class Progress:
    """One line for each cell that ends."""

    def __init__(self, cells: dict[str, Cell], store: Store) -> None:
        self.cells, self.store = cells, store
        self.counts: Counter[str] = Counter()
        self.begun = time.monotonic()

    def __call__(self, event: str, key: str) -> None:
        """Print what became of a cell."""
        if event == "start":
            return
        self.counts[event] += 1
        result = (self.store.failure(key) if event == "failed" else self.store.read(key)) or {}
        scores = result.get("scores", {}).get("test") or result.get("scores", {}).get("validation") or {}
        shown = task_kinds()[result["task"]["kind"]].shown if scores else ()
        told = "  ".join(f"{name} {value:.4f}" for name, value in scores.items() if not shown or name in shown)
        if event in ("failed", "pruned"):
            told = f"{event.upper()}: {result.get('reason', '')}"
        if event == "elsewhere":
            told += "  (by another runner)"
        seconds = sum(result.get("seconds", {}).values())
        width = len(str(len(self.cells)))
        done = sum(self.counts.values())
        print(
            f"[{done:{width}}/{len(self.cells)}] {self.cells[key].title()}  {told}  {seconds:.1f} s",
            flush=True,
        )

    def summary(self) -> None:
        """Print the counts."""
        told = ", ".join(f"{count} {event}" for event, count in sorted(self.counts.items()))
        print(
            f"{told or 'nothing to do'} in {time.monotonic() - self.begun:.0f} s; results in {self.store.root}",
            flush=True,
        )


def check_device(device: str) -> None:
    """Refuse a device that this machine does not have, before any cell fails on it."""
    import torch

    kind = device.split(":")[0]
    there = {"cpu": True, "cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available()}
    if kind not in there:
        raise UsageError(f"--device {device}: known are cpu, cuda, cuda:N and mps")
    if not there[kind]:
        raise UsageError(f"--device {device}: torch {torch.__version__} finds no such device here; use --device cpu")


def parse_settings(assignments: list[str]) -> dict[str, str]:
    """The settings of all `--set key=value` arguments."""
    return {key: value for text in assignments for key, value in parse_assignments(text).items()}
