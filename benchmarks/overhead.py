"""What the harness costs beside training: seconds a cell, size of the stores, time of the report and of MLflow.

python benchmarks/overhead.py                     # 1,000 cells, sent to MLflow afterwards
python benchmarks/overhead.py --cells 200 --without-mlflow
"""

from __future__ import annotations

import argparse
import itertools
import os
import resource
import subprocess
import sys
import tempfile
import time
from datetime import datetime
from pathlib import Path

from tsbench.store import Result, Store

TSBENCH = [sys.executable, "-m", "tsbench.cli"]
MODELS = ("linear:epochs=1", "nlinear:epochs=1", "dlinear:epochs=1", "linear:epochs=1,lr=0.02")


def main() -> None:
    """Run trivial cells, of which the harness is nearly all the cost, report them and send them to MLflow."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cells", type=int, default=1000, help="a multiple of 4 (default: 1000)")
    parser.add_argument("--without-mlflow", action="store_true")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        measure(args.cells, Path(folder))
        if not args.without_mlflow:
            send(args.cells, Path(folder))
    for label, command in (
        ("tsbench --help", [*TSBENCH, "--help"]),
        ("import torch", [sys.executable, "-c", "import torch"]),
    ):
        runs = sorted(seconds(command)[0] for _ in range(3))
        print(f"{label}: {runs[1]:.2f} CPU s (median of 3)", flush=True)


def measure(cells: int, folder: Path) -> None:
    """A command of that many cells, one of few, whose cost is nearly that of starting, and the reports."""
    few, many = len(MODELS), folder / "many"
    started, _ = seconds(run(few, folder / "few"), folder)
    cpu, wall = seconds(run(cells, many), folder)
    results = list(Store(many).results())
    assert len(results) == cells
    inside, inside_few = (
        sum(sum(result["cpu_seconds"].values()) for result in Store(at).results()) for at in (many, folder / "few")
    )
    beside = (cpu - inside - (started - inside_few)) / (cells - few)
    print(f"{cells} cells: {cpu:.0f} CPU s, {wall:.0f} s wall, of which load, fit and scores {inside:.0f} CPU s")
    print(f"  beside these {beside:.4f} CPU s a cell, and {started - inside_few - few * beside:.1f} CPU s once")
    print(f"  training waited {gaps(results) * 1000:.0f} ms (median) between two cells")
    print(f"  store: {size(many) / 1024 / cells:.1f} kB a cell, {size(many) / 2**20:.1f} MB", flush=True)
    for label, more in (("terminal", []), ("HTML", ["--html", "r.html"])):
        cpu, wall = seconds([*TSBENCH, "report", "--results", "many", *more], folder)
        print(f"  report, {label}: {cpu:.1f} CPU s, {wall:.1f} s wall", flush=True)


def send(cells: int, folder: Path) -> None:
    """What `tsbench sync` takes for all results, beside what it takes for few."""
    few, before = len(MODELS), size(folder / "many")
    started, _ = seconds([*TSBENCH, "sync", "--results", "few"], folder)
    cpu, wall = seconds([*TSBENCH, "sync", "--results", "many"], folder)
    print(
        f"  MLflow (SQLite): {cpu:.0f} CPU s, {wall:.0f} s wall; {(cpu - started) / (cells - few):.4f} CPU s a result"
    )
    print(f"  its store: {(size(folder / 'many') - before) / 1024 / cells:.1f} kB a result", flush=True)


def size(folder: Path) -> int:
    """Bytes of all files in a folder."""
    return sum(file.stat().st_size for file in folder.rglob("*") if file.is_file())


def run(cells: int, results: Path) -> list[str]:
    """The command of that many trivial cells."""
    command = [*TSBENCH, "run", "--dataset", "sktime/uschange/4", "--no-report", "--tracking", "none"]
    command += [word for model in MODELS for word in ("--model", model)]
    return [*command, "--seeds", str(cells // len(MODELS)), "--results", str(results)]


def gaps(results: list[Result]) -> float:
    """Median seconds between the end of a cell and the start of the next."""
    ordered = sorted(results, key=lambda result: result["started"])
    pairs = [
        (datetime.fromisoformat(a["finished"]), datetime.fromisoformat(b["started"]))
        for a, b in itertools.pairwise(ordered)
    ]
    return sorted((start - end).total_seconds() for end, start in pairs)[len(pairs) // 2]


def seconds(command: list[str], folder: Path | None = None) -> tuple[float, float]:
    """CPU seconds of a command and all that it started, and wall seconds."""
    environment = {key: value for key, value in os.environ.items() if not key.startswith(("TSBENCH_", "MLFLOW_"))}
    before, begun = resource.getrusage(resource.RUSAGE_CHILDREN), time.monotonic()
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True)
    wall, after = time.monotonic() - begun, resource.getrusage(resource.RUSAGE_CHILDREN)
    if done.returncode:
        sys.exit(f"{command}\n{done.stdout}{done.stderr}")
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime, wall


if __name__ == "__main__":
    main()
