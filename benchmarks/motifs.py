"""What VSFormer finds in the training cases, and what that costs: CPU seconds and peak memory, one thread.

Motifs, priors and bins of each of the thirty archives; where its files are not at hand, random walks of the archive's
shape (marked `made`), since the cost depends on the shape only. `step` is one training step of a batch of 16. Every
archive has a process of its own; peak memory is that process's, data and PyTorch (about 200 MB) included.

    python benchmarks/motifs.py --data ../shared/data
    python benchmarks/motifs.py --archive InsectWingbeat EigenWorms --made
"""

from __future__ import annotations

import argparse
import os
import resource
import time
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path
from typing import NamedTuple

import torch

from tsbench.datasets.uea import Archive, archives
from tsbench.errors import MissingData
from tsbench.inputs import Series
from tsbench.models.vsformer import VSFormer, VSFormerConfig
from tsbench.registry import find_datasets
from tsbench.series.samples import SeriesSamples
from tsbench.tasks.classification import Classification


class Cost(NamedTuple):
    """Of one archive: whether its data are made, tokens of both branches, CPU seconds, peak MB."""

    made: bool
    shape: int
    value: int
    found: float
    step: float
    memory: int


def main() -> None:
    """Measure one archive after another and print a table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, default=Path(os.environ.get("TSBENCH_DATA", "data")))
    parser.add_argument("--archive", nargs="*", help="only these")
    parser.add_argument("--made", action="store_true", help="made data, even where there are files")
    args = parser.parse_args()
    print("| archive | cases x channels x steps, classes | tokens | find, CPU s | step, CPU s | peak MB |")
    print("|---|---|---|---|---|---|")
    for archive in archives():
        if args.archive and archive.name not in args.archive:
            continue
        with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as pool:
            cost = pool.submit(measure, archive, args.data, args.made).result()
        size = f"{archive.cases[0]:,} x {archive.channels} x {archive.lengths[1]:,}, {archive.classes}"
        name = archive.name + (" (made)" if cost.made else "")
        times = f"{cost.found:.2f} | {cost.step:.3f}"
        print(f"| {name} | {size} | {cost.shape} + {cost.value} | {times} | {cost.memory:,} |", flush=True)


def measure(archive: Archive, data: Path, made: bool) -> Cost:
    """Find everything in all of TRAIN, then take three steps and time the last two."""
    torch.set_num_threads(1)
    torch.manual_seed(0)
    samples = None if made else real(archive, data)
    made = samples is None
    samples = samples or walks(archive)
    task = Classification(Series(archive.lengths[1], archive.channels), archive.classes)
    model = VSFormer(task, VSFormerConfig())
    begun = time.process_time()
    for branch in model.branches.values():
        branch.tokens.find(samples, 2021)
    found = time.process_time() - begun
    batch = samples.batch(torch.arange(min(16, len(samples))))
    model.train()
    for turn in range(3):
        if turn == 1:
            begun = time.process_time()
        model.loss_and_gradient(batch)
    step = (time.process_time() - begun) / 2
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024
    counts = [model.branches[name].tokens.count for name in ("shape", "value")]
    return Cost(made, *counts, found, step, peak)


def real(archive: Archive, data: Path) -> SeriesSamples | None:
    """All of TRAIN, scaled; None where its files are not there."""
    try:
        splits = find_datasets(f"uea/{archive.name}")[0].load(data, "validation")
    except MissingData:
        return None
    assert splits.refit is not None
    assert isinstance(splits.refit.train, SeriesSamples)
    return splits.refit.train


def walks(archive: Archive) -> SeriesSamples:
    """Random walks, scaled, all as long as the longest, the classes in turns."""
    cases = archive.cases[0]
    values = torch.randn(cases, archive.lengths[1], archive.channels).cumsum_(1)
    values /= values.std()
    return SeriesSamples(values, torch.arange(cases) % archive.classes)


if __name__ == "__main__":
    main()
