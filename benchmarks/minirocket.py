"""MiniRocket beside aeon's on the archives at hand: accuracy over seeds, CPU seconds, one thread.

`note` is aeon 1.6.0 over three seeds, as the reference note measured it, and `aeon` the same over twenty, with their
standard deviation. aeon does not scale: `ours` is unscaled too, `scaled` with the harness's z-scores of channels.
`fit` is features, penalty and weights on all of TRAIN, `test` all of TEST.

    python benchmarks/minirocket.py --data ../shared/data --seeds 5
    python benchmarks/minirocket.py --archive NATOPS --seeds 20
"""

from __future__ import annotations

import argparse
import os
import statistics
import time
from pathlib import Path
from typing import NamedTuple

import torch

from tsbench.errors import MissingData
from tsbench.evaluate import score
from tsbench.model import Run
from tsbench.models.minirocket import MiniRocket, MiniRocketConfig
from tsbench.registry import find_datasets

#: Archive -> percent of three seeds, and mean and deviation of twenty.
AEON: dict[str, tuple[str, str]] = {
    "BasicMotions": ("100.0", "100.0 ± 0.0"),
    "Epilepsy": ("100.0", "100.0 ± 0.0"),
    "NATOPS": ("93.7", "92.8 ± 1.3"),
    "Libras": ("91.3", "91.8 ± 0.8"),
    "JapaneseVowels": ("98.4", "98.7 ± 0.5"),
    "Handwriting": ("51.9", "52.1 ± 0.4"),
    "ArticularyWordRecognition": ("99.1", "99.2 ± 0.2"),
    "FingerMovements": ("57.3", "56.4 ± 3.9"),
    "StandWalkJump": ("37.8", "37.7 ± 3.9"),
    "AtrialFibrillation": ("8.9", "11.0 ± 3.9"),
    "PenDigits": ("", ""),
}


class Fit(NamedTuple):
    """Percent right on TEST, CPU seconds to fit and to test."""

    accuracy: float
    fit: float
    test: float


def main() -> None:
    """Measure one archive after another and print a table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, default=Path(os.environ.get("TSBENCH_DATA", "data")))
    parser.add_argument("--archive", nargs="*", default=list(AEON))
    parser.add_argument("--seeds", type=int, default=3)
    args = parser.parse_args()
    torch.set_num_threads(1)
    print(f"accuracy in percent, mean ± sd of {args.seeds} seeds")
    print("| archive | note | aeon | ours | scaled | fit, CPU s | test, CPU s |")
    print("|---|---|---|---|---|---|---|")
    for name in args.archive:
        try:
            plain, scaled = ([measure(name, how, args.data, seed) for seed in range(args.seeds)] for how in SCALINGS)
        except MissingData as absent:
            print(f"| {name} | {absent} |")
            continue
        costs = (f"{statistics.median(getattr(one, part) for one in plain):.1f}" for part in ("fit", "test"))
        print(
            f"| {name} |",
            " | ".join([*AEON.get(name, ("", "")), spread(plain), spread(scaled), *costs]),
            "|",
            flush=True,
        )


SCALINGS = ("none", "channel")


def measure(name: str, scaling: str, data: Path, seed: int) -> Fit:
    """Fit to all of TRAIN, score TEST."""
    (dataset,) = find_datasets(f"uea/{name}:scaling={scaling}")
    splits = dataset.load(data, "validation")
    assert splits.refit is not None
    torch.manual_seed(seed)
    model = MiniRocket(splits.task, MiniRocketConfig())  # type: ignore[arg-type]
    begun = time.process_time()
    model.fit(splits.refit.train, splits.validation, Run(seed=seed))
    fitted = time.process_time()
    accuracy = score(model, splits.refit.test).values["accuracy"]
    return Fit(100 * accuracy, fitted - begun, time.process_time() - fitted)


def spread(fits: list[Fit]) -> str:
    """Mean and standard deviation of accuracy."""
    values = [one.accuracy for one in fits]
    return f"{statistics.mean(values):.1f} ± {statistics.stdev(values) if len(values) > 1 else 0:.1f}"


if __name__ == "__main__":
    main()
