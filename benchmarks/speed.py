"""Training span against the official LTSF-Linear code: alternating runs, same epochs, one thread, CPU seconds.

The span is what comes after imports: reading the CSV, training with its validation passes, the final test pass.
The official code also scores the test set each epoch and constructs torch.optim (which imports the compiler); both
are part of how it runs. Its checkout is patched in one word (np.Inf is gone from numpy) by the caller.

    git clone https://github.com/cure-lab/LTSF-Linear && cd LTSF-Linear && git checkout 0c113668
    sed -i 's/np\\.Inf/np.inf/' utils/tools.py && mkdir dataset    # and put the CSV files there
    python benchmarks/speed.py --official LTSF-Linear --pairs 5
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

CASES = {
    "ltsf/etth1/96": (
        "--data_path ETTh1.csv --data ETTh1 --enc_in 7 --seq_len 336 --batch_size 32 --learning_rate 0.005"
    ),
    "ltsf/exchange/96": (
        "--data_path exchange_rate.csv --data custom --enc_in 8 --seq_len 336 --batch_size 8 --learning_rate 0.0005"
    ),
    "ltsf/ili/24": (
        "--data_path national_illness.csv --data custom --enc_in 7 --seq_len 104 --label_len 18 "
        "--batch_size 32 --learning_rate 0.01"
    ),
}

OFFICIAL = """
import os, resource, sys, time
sys.path.insert(0, os.getcwd())
import exp.exp_main
from utils import metrics
begun = []
def span(name, last):
    inner = getattr(exp.exp_main.Exp_Main, name)
    def measured(*a, **k):
        begun or begun.append(time.process_time())
        out = inner(*a, **k)
        if last:
            print("SPAN", time.process_time() - begun[0], resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024)
        return out
    setattr(exp.exp_main.Exp_Main, name, measured)
span("train", False); span("test", True)
exec(compile(open("run_longExp.py").read(), "run_longExp.py", "exec"))
"""

OURS = """
import json, resource, sys, time
from pathlib import Path
from tsbench.cell import identity, key_of, make_cell
from tsbench.registry import find_datasets
from tsbench.run import Options, run_cell
from tsbench.store import Store
name, model, data, store = sys.argv[1:5]
(dataset,) = find_datasets(name)
cell = make_cell(dataset, name, "full", model, {}, 2021)
key = key_of(identity(cell, Path(data)))
begun = time.process_time()
run_cell(cell, key, Store(store), Options(Path(data)))
whole = time.process_time() - begun
result = Store(store).read(key)
print(json.dumps({"span": sum(result["cpu_seconds"].values()), "whole": whole, "scores": result["scores"]["test"],
    "epochs": len(result["curves"]), "memory": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024}))
"""


def main() -> None:
    """Run the pairs and print medians."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--official", type=Path, required=True, help="checkout of LTSF-Linear with dataset/ filled")
    parser.add_argument("--data", default=os.environ.get("TSBENCH_DATA", "data"))
    parser.add_argument("--pairs", type=int, default=5)
    parser.add_argument("--model", default="DLinear", choices=("DLinear", "NLinear", "Linear"))
    args = parser.parse_args()
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"}
    for case, flags in CASES.items():
        pairs = [(official(args, case, flags, environment), ours(args, case, environment)) for _ in range(args.pairs)]
        theirs, mine = zip(*pairs, strict=True)
        speedup = [t["span"] / m["span"] for t, m in pairs]
        memory = [m["memory"] / t["memory"] for t, m in pairs]
        print(f"{case} {args.model}, {args.pairs} pairs, load {os.getloadavg()[0]:.1f}")
        for name, runs in (("official", theirs), ("ours", mine)):
            span, memory_mb = (statistics.median(run[k] for run in runs) for k in ("span", "memory"))
            print(f"  {name}: {span:.3f} CPU s, {memory_mb:.0f} MB, {runs[0]['epochs']} epochs, {runs[0]['scores']}")
        print(f"  ours with the harness's own work: {statistics.median(m['whole'] for m in mine):.3f} CPU s")
        print(f"  times faster: {statistics.median(speedup):.1f} [{min(speedup):.1f}, {max(speedup):.1f}]", end="; ")
        print(f"memory ratio: {statistics.median(memory):.2f}", flush=True)


def official(args: argparse.Namespace, case: str, flags: str, environment: dict[str, str]) -> dict[str, Any]:
    """One run of the official code."""
    horizon = case.rsplit("/", 1)[1]
    fixed = f"--is_training 1 --root_path ./dataset/ --model_id {os.getpid()} --model {args.model} --features M"
    command = f"{fixed} --pred_len {horizon} --des Exp --itr 1 --num_workers 0 {flags}".split()
    done = subprocess.run(
        [sys.executable, "-c", OFFICIAL, *command], cwd=args.official, env=environment, capture_output=True, text=True
    )
    lines = done.stdout.splitlines()
    try:
        span = next(line for line in lines if line.startswith("SPAN")).split()
        scores = next(line for line in lines if line.startswith("mse:"))
    except StopIteration:
        sys.exit(f"the official code failed:\n{done.stderr[-2000:]}")
    epochs = sum(line.startswith("Epoch: ") and "Steps" in line for line in lines)
    return {"span": float(span[1]), "memory": float(span[2]), "scores": scores, "epochs": epochs}


def ours(args: argparse.Namespace, case: str, environment: dict[str, str]) -> dict[str, Any]:
    """One run of ours, in a new process and an empty store."""
    with tempfile.TemporaryDirectory() as store:
        command = [sys.executable, "-c", OURS, case, args.model.lower(), args.data, store]
        done = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
    found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return found


if __name__ == "__main__":
    main()
