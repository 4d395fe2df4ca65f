"""The fault table: each fault of tests/faults.py many times, on real processes; what was finished, lost, done twice.

python -m benchmarks.faults                          # each five times
python -m benchmarks.faults --times 20 --only runner
"""

from __future__ import annotations

import argparse
import random
import re
import tempfile
from pathlib import Path

from tests.faults import FAULTS, Impossible, Ledger


def main() -> int:
    """Print a line a fault; 1 if anything was lost, done twice, left undone or ended with a wrong exit code."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--times", type=int, default=5, help="of each fault (default: 5)")
    parser.add_argument("--only", default="", help="faults whose names contain this")
    args = parser.parse_args()
    print("| fault | times | to finish | finished | lost | done twice | exit code and reason as due |")
    print("|---|---|---|---|---|---|---|", flush=True)
    bad = 0
    for name in (name for name in FAULTS if args.only in name):
        try:
            bad += many(name, args.times)
        except Impossible as reason:
            print(f"| {name} | 0: {reason} | | | | | |", flush=True)
    return min(bad, 1)


def many(name: str, times: int) -> int:
    """One fault, its line of the table, and how often it ended otherwise than it must."""
    fault, wanted, finished, lost, twice, due = FAULTS[name], 0, 0, 0, 0, 0
    for i in range(times):
        with tempfile.TemporaryDirectory() as folder:
            ledger = Ledger(Path(folder))
            wanted += fault.do(ledger, random.Random(f"{name}{i}"))
        finished += len(ledger.seen)
        lost += ledger.lost
        twice += ledger.twice
        due += tuple(ledger.codes) == fault.codes and bool(re.search(fault.reason, ledger.told))
    print(f"| {name} | {times} | {wanted} | {finished} | {lost} | {twice} | {due} of {times} |", flush=True)
    return times - due + lost + twice + abs(wanted - finished)


if __name__ == "__main__":
    raise SystemExit(main())
