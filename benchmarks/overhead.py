"""What the harness costs beside training: CPU seconds a cell, with and without tracking; start of the command line.

python benchmarks/overhead.py --cells 40
"""

from __future__ import annotations

import argparse
import itertools
import json
import os
import resource
import subprocess
import sys
import tempfile
from pathlib import Path

from tsbench.store import Store


def main() -> None:
    """Run two numbers of trivial cells, so that the difference is the cost of cells and not of starting."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cells", type=int, default=40)
    args = parser.parse_args()
    for tracking in ("none", ""):
        few, many = (measure(cells, tracking) for cells in (args.cells, 2 * args.cells))
        cost = (many["harness"] - few["harness"]) / args.cells
        size = {k: many[k] / 1024 / 2 / args.cells for k in ("results", "mlflow")}
        print(
            f"tracking {tracking or 'SQLite'}: {cost:.4f} CPU s a cell beside training; start-up and end "
            f"{few['harness'] - cost * args.cells:.1f} CPU s once; training waited "
            f"{(many['gaps'] - few['gaps']) / args.cells * 1000:.0f} ms wall a cell between cells; "
            f"results {size['results']:.0f} kB a cell, MLflow {size['mlflow']:.0f} kB"
        )
    for label, code in (("tsbench --help", "-m tsbench.cli --help"), ("import torch", "-c import_torch")):
        seconds = [cpu([sys.executable, *(c.replace("_", " ") for c in code.split())]) for _ in range(5)]
        print(f"{label}: {sorted(seconds)[2]:.2f} CPU s (median of 5)")


def measure(cells: int, tracking: str) -> dict[str, float]:
    """CPU seconds of a command, all its processes together, less those of loading, fitting and scoring."""
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        command = [sys.executable, "-m", "tsbench.cli", "run", "--dataset", "sktime/uschange/4", "--model"]
        command += ["linear:epochs=1", "--seeds", str(cells), "--no-report", "--tracking", tracking or "sqlite_default"]
        if not tracking:
            command = command[:-2]
        whole = cpu(command, folder)
        results = list(Store(folder / "results").results())
        assert len(results) == cells
        inside = sum(sum(r["cpu_seconds"].values()) for r in results)
        from datetime import datetime

        ordered = sorted(results, key=lambda r: r["started"])
        gaps = [
            (datetime.fromisoformat(b["started"]) - datetime.fromisoformat(a["finished"])).total_seconds()
            for a, b in itertools.pairwise(ordered)
        ]
        size = {k: sum(f.stat().st_size for f in (folder / "results" / k).rglob("*") if f.is_file()) for k in
                ("cells", "artifacts", "mlflow-artifacts")}  # fmt: skip
        database = folder / "results" / "mlflow.db"
        stored = size["mlflow-artifacts"] + (database.stat().st_size if database.exists() else 0)
        return {
            "harness": whole - inside,
            "gaps": sum(gaps),
            "results": size["cells"] + size["artifacts"],
            "mlflow": stored,
        }


def cpu(command: list[str], folder: Path | None = None) -> float:
    """User and system seconds of a command and its children."""
    environment = {k: v for k, v in os.environ.items() if not k.startswith(("TSBENCH_", "MLFLOW_"))}
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True)
    if done.returncode:
        sys.exit(json.dumps(done.args) + done.stdout + done.stderr)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


if __name__ == "__main__":
    main()
