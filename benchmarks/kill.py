"""Kill -9 a suite with two jobs at random moments, then let it finish; count finished, lost and duplicated.

python benchmarks/kill.py --times 20                                    # 40 cells, half a second each
python benchmarks/kill.py --suite uea --times 8 --longest 90 --no-finish  # one of ours, at 5 seeds, not to its end
"""

from __future__ import annotations

import argparse
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from tsbench.store import Store

SUITE = """
datasets = ["sktime/airline/12", "sktime/uschange/4", "generated/seasonal/24", "generated/seasonal/48"]
models = ["linear:epochs=100,patience=0", "dlinear:epochs=100,patience=0"]
seeds = 5
"""


def main() -> None:
    """Kill, restart, count."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--times", type=int, default=20)
    parser.add_argument(
        "--longest", type=float, default=14.0, help="most seconds before a kill; starting takes about 5"
    )
    parser.add_argument("--suite", default="suite.toml", help="one of ours; default: the 40 cells")
    parser.add_argument("--finish", action=argparse.BooleanOptionalAction, default=True, help="run it to its end")
    args = parser.parse_args()
    random.seed(1)
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        (folder / "suite.toml").write_text(SUITE)
        command = [sys.executable, "-m", "tsbench.cli", "run", "--suite", args.suite, "--seeds", "5", "--jobs", "2"]
        command += ["--no-report", "--tracking", "none"]
        seen: dict[str, str] = {}
        lost = again = kills = 0
        for _ in range(args.times):
            process = subprocess.Popen(command, cwd=folder, stdout=subprocess.DEVNULL, start_new_session=True)
            time.sleep(random.uniform(5.0, args.longest))
            if process.poll() is None:
                os.killpg(process.pid, signal.SIGKILL)
                kills += 1
            process.wait()
            now = {r["key"]: r["finished"] for r in Store(folder / "results").results()}
            lost += len(seen.keys() - now.keys())
            again += sum(now[key] != when for key, when in seen.items() if key in now)
            seen = now
            print(f"killed {kills} times, {len(now)} finished", flush=True)
        code = subprocess.run(command, cwd=folder, stdout=subprocess.DEVNULL).returncode if args.finish else "not run"
        now = {r["key"]: r["finished"] for r in Store(folder / "results").results()}
        lost += len(seen.keys() - now.keys())
        again += sum(now[key] != when for key, when in seen.items() if key in now)
        failures = len(list(Store(folder / "results").failures()))
        print(f"exit {code}: {len(now)} finished, {lost} lost, {again} run twice, {failures} failed")


if __name__ == "__main__":
    main()
