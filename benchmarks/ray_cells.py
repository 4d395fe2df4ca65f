"""Ray against local: what a trivial cell costs with each engine, on a cluster of this machine that runs already.

ray start --head --num-cpus 2
python benchmarks/ray_cells.py --cells 100 --address 10.0.0.1:6379
python benchmarks/ray_cells.py --driver          # what the driver itself does for a cell, without a cluster

Each engine runs N and then 2 N cells; the difference is the cost of N cells without that of starting. Nodes and their
workers are not children of the command, and end with it, so CPU time is that of the whole machine: let it do no more.
"""

from __future__ import annotations

import argparse
import os
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
        wall, busy = ((b - a) / args.cells for a, b in zip(few, many, strict=True))
        print(
            f"{engine}: {wall * 1000:.0f} ms wall a cell ({1 / wall:.1f} cells/s), {busy * 1000:.0f} ms CPU; "
            f"start and end {few[0] - wall * args.cells:.1f} s wall, {few[1] - busy * args.cells:.1f} CPU s"
        )


def measure(cells: int, words: list[str]) -> tuple[float, float]:
    """Wall seconds of a command, and CPU seconds of the machine meanwhile."""
    with tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, "-m", "tsbench.cli", "run", "--dataset", "sktime/uschange/4", "--model"]
        command += ["linear:epochs=1", "--seeds", str(cells), "--no-report", "--tracking", "none", *words]
        begun, busy = time.perf_counter(), _busy()
        done = subprocess.run(command, cwd=folder, capture_output=True, text=True, env=dict(os.environ))
        wall = time.perf_counter() - begun
        if done.returncode or len(list(Path(folder, "results", "cells").glob("*.json"))) != cells:
            sys.exit(done.stdout + done.stderr)
        return wall, _busy() - busy


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


def _busy() -> float:
    times = psutil.cpu_times()
    return float(times.user + times.nice + times.system)


if __name__ == "__main__":
    main()
