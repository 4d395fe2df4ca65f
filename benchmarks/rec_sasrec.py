"""SASRec on MovieLens-100K, one thread: CPU seconds of an epoch, and the process's peak memory.

The note's figures (shared/reference/rec.md, section 3; two shared cores) are those of SASRec.pytorch's module with the
same loss, and of RecBole's model, which makes a row of every prefix. Epochs run in the shared training loop, without
and with the validation that follows each.

python benchmarks/rec_sasrec.py --epochs 7
"""

from __future__ import annotations

import argparse
import itertools
import os
import resource
import statistics
import time
from dataclasses import replace
from pathlib import Path

import torch

from tsbench.data import Splits
from tsbench.model import Run
from tsbench.models.sasrec import Sasrec, SasrecConfig
from tsbench.registry import find_datasets

NOTE = {"SASRec.pytorch": (1.57, 675), "RecBole": (212.9, None)}  # CPU seconds of an epoch, MB


def main() -> None:
    """Measure and print beside the note's figures."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--epochs", type=int, default=7)
    parser.add_argument("--data", type=Path, default=Path(os.environ.get("TSBENCH_DATA", "data")))
    args = parser.parse_args()
    torch.set_num_threads(1)
    print(f"before any data: peak memory {peak():.0f} MB")
    (dataset,) = find_datasets("rec/movielens-100k:ties=file")
    splits = dataset.load(args.data, "leave-one-out")
    for what, select in (("training", False), ("training and validation", True)):
        low, middle, high = epoch(splits, args.epochs, select)
        ratios = "; ".join(f"{name} {seconds}: {seconds / middle:.1f}x" for name, (seconds, _) in NOTE.items())
        print(f"epoch, {what}: {middle:.2f} CPU s ({low:.2f}-{high:.2f}); {ratios}")
    print(f"peak memory {peak():.0f} MB; SASRec.pytorch {NOTE['SASRec.pytorch'][1]} MB")


def epoch(splits: Splits, count: int, select: bool) -> tuple[float, float, float]:
    """Least, median and most CPU seconds of an epoch, after one that does not count."""
    torch.manual_seed(0)
    model = Sasrec(splits.task, replace(SasrecConfig(), epochs=count + 1, patience=0))
    ends: list[float] = []
    run = Run(select=select, report=lambda number, curve: ends.append(time.process_time()))
    model.fit(splits.train, splits.validation, run)
    seconds = [end - begun for begun, end in itertools.pairwise(ends)]
    return min(seconds), statistics.median(seconds), max(seconds)


def peak() -> float:
    """Most memory that this process has had, MB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


if __name__ == "__main__":
    main()
