"""Ray against local: what a trivial cell costs with each engine, on a cluster of this machine that runs already.

ray start --head --num-cpus 2
python benchmarks/ray_cells.py --cells 100 --address 10.0.0.1:6379
python benchmarks/ray_cells.py --driver          # what the driver itself does for a cell, without a cluster

Each engine runs N and then 2 N cells; the difference is the cost of N cells without that of starting. Nodes and their
workers are not children of the command, so their CPU time is taken from the system's count of all processes of Ray.
"""

from __future__ import annotations

import argparse
import os
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import psutil

from tsbench.cell import identity, key_of, make_cell
from tsbench.cluster import Answer, keep, written
from tsbench.registry import find_datasets
from tsbench.run import Options, run_cell
from tsbench.store import Store


def main() -> None:
    """Alternate the engines, so that what else the machine does meets both."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cells", type=int, default=100)
    parser.add_argument("--address", default="auto")
    parser.add_argument("--jobs", type=int, default=2)
    parser.add_argument("--driver", action="store_true")
    args = parser.parse_args()
    if args.driver:
        driver(args.cells)
        return
    engines = {"local": ["--jobs", str(args.jobs)], "ray": ["--engine", "ray", "--address", args.address]}
    for words in engines.values():  # Ray's workers import everything once, before we measure
        measure(args.jobs, words)
    for engine, words in engines.items():
        few, many = (measure(cells, words) for cells in (args.cells, 2 * args.cells))
        wall, mine, theirs = ((b - a) / args.cells for a, b in zip(few, many, strict=True))
        print(
            f"{engine}: {wall * 1000:.0f} ms wall a cell ({1 / wall:.1f} cells/s), {mine:.3f} CPU s in the command and "
            f"its workers, {theirs:.3f} CPU s in Ray's processes; start and end {few[0] - wall * args.cells:.1f} s wall"
        )


def measure(cells: int, words: list[str]) -> tuple[float, float, float]:
    """Wall seconds of a command; CPU seconds of it and its children; CPU seconds of the cluster meanwhile."""
    with tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, "-m", "tsbench.cli", "run", "--dataset", "sktime/uschange/4", "--model"]
        command += ["linear:epochs=1", "--seeds", str(cells), "--no-report", "--tracking", "none", *words]
        begun, mine, theirs = time.perf_counter(), _children(), _cluster()
        done = subprocess.run(command, cwd=folder, capture_output=True, text=True, env=dict(os.environ))
        wall = time.perf_counter() - begun
        if done.returncode or len(list(Path(folder, "results", "cells").glob("*.json"))) != cells:
            sys.exit(done.stdout + done.stderr)
        return wall, _children() - mine, _cluster() - theirs


def driver(cells: int) -> None:
    """Lock, identity, writing what came back: seconds a cell, and the size of what came back."""
    (dataset,) = find_datasets("sktime/uschange/4")
    cell = make_cell(dataset, dataset.name, None, "linear", {"epochs": 1}, 2021)
    with tempfile.TemporaryDirectory() as there, tempfile.TemporaryDirectory() as here:
        node, store = Store(there), Store(here)
        key = key_of(identity(cell, Path(there)))
        run_cell(cell, key, node, Options(Path(there)))
        files = written(node)
        cpu, wall = time.process_time(), time.perf_counter()
        for number in range(cells):
            name = f"{number:032x}"
            with store.lock(name):
                identity(cell, Path(there))
                keep(Answer({path.replace(key, name): content for path, content in files.items()}, "node"), store)
                store.read(name)
        cpu, wall = (time.process_time() - cpu) / cells, (time.perf_counter() - wall) / cells
    print(f"{cpu * 1000:.1f} ms CPU, {wall * 1000:.1f} ms wall a cell; {sum(map(len, files.values()))} bytes")


def _children() -> float:
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return usage.ru_utime + usage.ru_stime


def _cluster() -> float:
    """CPU seconds so far of Ray's processes on this machine."""
    total = 0.0
    for process in psutil.process_iter(["name", "cpu_times", "cmdline"]):
        words = " ".join(process.info["cmdline"] or [])
        if "ray::" in words or "/ray/" in words:
            total += process.info["cpu_times"].user + process.info["cpu_times"].system
    return total


if __name__ == "__main__":
    main()
