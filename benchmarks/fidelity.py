"""Our scores beside published ones: every cell of the paper's table whose data are here, and the official logs.

    python benchmarks/fidelity.py --models repeat linear nlinear dlinear --results results-paper --jobs 2

Runs what is missing (protocol paper, seed 2021), then compares at three decimals.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
from collections import Counter
from pathlib import Path

from tsbench.store import Store
from tsbench.summary import boards


def main() -> None:
    """Run, compare, count."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--models", nargs="+", default=["repeat", "linear", "nlinear", "dlinear"])
    parser.add_argument("--datasets", nargs="+", default=["ltsf/*"])
    parser.add_argument("--results", type=Path, default=Path("results-paper"))
    parser.add_argument("--jobs", default="1")
    args = parser.parse_args()
    command = [sys.executable, "-m", "tsbench.cli", "run", "--protocol", "paper", "--no-report", "--tracking", "none"]
    command += [part for m in args.models for part in ("--model", m)] + [
        p for d in args.datasets for p in ("--dataset", d)
    ]
    subprocess.run([*command, "--results", str(args.results), "--jobs", args.jobs], check=False)
    counts: Counter[str] = Counter()
    for board in boards(Store(args.results).results(), protocol="paper"):
        for row in board.rows:
            if not row.published:
                continue
            ours = {m: row.scores[m].values[row.seeds.index(2021)] for m in ("mse", "mae")}
            # A published score has three decimals, so it stands for everything within half a unit of them.
            equal = all(abs(ours[m] - row.published[m].value) <= 0.0005 + 1e-5 for m in ours)
            counts[f"{row.model} {'equal' if equal else 'different'}"] += 1
            told = "  ".join(f"{m} {ours[m]:.6f} published {row.published[m].value:.3f}" for m in ours)
            print(f"{'equal    ' if equal else 'DIFFERENT'} {board.dataset} {row.model}: {told}")
    print(", ".join(f"{n} {name}" for name, n in sorted(counts.items())))


if __name__ == "__main__":
    main()
