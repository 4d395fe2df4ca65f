"""What the harness costs beside training: seconds a cell, size of the stores, time of the report, start of a command.

python benchmarks/overhead.py                     # 1,000 cells without MLflow, then 1,000 with
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


def main() -> None:
    """Run trivial cells, of which the harness is nearly all the cost, and report them."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cells", type=int, default=1000)
    parser.add_argument("--without-mlflow", action="store_true")
    args = parser.parse_args()
    for tracking in ("none", "")[: 1 if args.without_mlflow else 2]:
        with tempfile.TemporaryDirectory() as folder:
            measure(args.cells, tracking, Path(folder))
    for label, command in (
        ("tsbench --help", [*TSBENCH, "--help"]),
        ("import torch", [sys.executable, "-c", "import torch"]),
    ):
        runs = sorted(seconds(command)[0] for _ in range(3))
        print(f"{label}: {runs[1]:.2f} CPU s (median of 3)", flush=True)


def measure(cells: int, tracking: str, folder: Path) -> None:
    """One command of that many cells, one of a single cell, whose cost is that of starting, and the reports."""
    one, _ = seconds(run(1, tracking, folder / "one"), folder)
    cpu, wall = seconds(run(cells, tracking, folder / "many"), folder)
    results = list(Store(folder / "many").results())
    assert len(results) == cells
    inside = sum(sum(result["cpu_seconds"].values()) for result in results)
    told = f"MLflow {'on (SQLite)' if not tracking else 'off'}: {cells} cells in {cpu:.0f} CPU s, {wall:.0f} s wall; "
    told += f"beside training {(cpu - one - inside) / (cells - 1):.4f} CPU s a cell, and {one:.1f} CPU s once; "
    told += f"training waited {gaps(results) * 1000:.0f} ms (median) between cells"
    print(told, flush=True)
    for name in ("cells", "artifacts", "mlflow.db", "mlflow-artifacts"):
        if size := sum(
            f.stat().st_size for f in [folder / "many" / name, *(folder / "many" / name).rglob("*")] if f.is_file()
        ):
            print(f"  {name}: {size / 1024 / cells:.1f} kB a cell, {size / 2**20:.1f} MB")
    for label, more in (("terminal", []), ("HTML", ["--html", "r.html"])):
        cpu, wall = seconds([*TSBENCH, "report", "--results", "many", *more], folder)
        print(f"  report, {label}: {cpu:.1f} CPU s, {wall:.1f} s wall", flush=True)


def run(cells: int, tracking: str, results: Path) -> list[str]:
    """The command of that many trivial cells."""
    command = [*TSBENCH, "run", "--dataset", "sktime/uschange/4", "--model", "linear:epochs=1", "--no-report"]
    return [*command, "--seeds", str(cells), "--results", str(results), *(["--tracking", tracking] if tracking else [])]


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
