"""Floors and ceilings of gaze data sets, whole, beside those measured before (reference/gaze.md, section 2.2).

Human-human: ordered pairs of different subjects who searched the same on the same display, 6,000 of them at most.
Floors: one path for each trial, fitted to all trials, its length drawn from all lengths. Errors are standard errors by
bootstrap over displays. `=` marks values within twice that error of the former ones, floors within twice the error of
a difference, since both were drawn.

    python benchmarks/gaze_floors.py --data ../shared/data
"""

from __future__ import annotations

import argparse
import os
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import cast

import torch
from torch import Tensor

from tsbench.datasets.gaze import Gaze
from tsbench.gaze.metrics import behaviour, delta, pairs
from tsbench.gaze.rules import apply
from tsbench.gaze.samples import END, ScanpathSamples
from tsbench.gaze.strings import edit_distance, sequence_score
from tsbench.gaze.walk import walked
from tsbench.inputs import Objects
from tsbench.model import Run
from tsbench.models.gaze_area import GazeArea
from tsbench.models.gaze_centre import GazeCentre
from tsbench.models.gaze_nearest import GazeNearest
from tsbench.models.gaze_random import GazeRandom
from tsbench.models.gaze_unrepeated import GazeUnrepeated
from tsbench.registry import find_datasets
from tsbench.settings import NoSettings
from tsbench.tasks.scanpath import Scanpath

FLOORS = {
    "random": GazeRandom,
    "centre": GazeCentre,
    "nearest": GazeNearest,
    "unrepeated": GazeUnrepeated,
    "area": GazeArea,
}
DEVIATION = 1 / 6  # of the centre Gaussian, a share of width and height: what the former values agree with
PAIRS, SEED, RESAMPLES = 6000, 0, 200
PARTS = ("correct", "length", "search", "refix", "revisit")


@dataclass(frozen=True)
class Former:
    """What was measured before: row -> (SS, SED, delta), and the five parts of human behaviour; None is unknown."""

    rows: dict[str, tuple[float | None, float | None, float | None]]
    human: tuple[float | None, ...]


SETS = {
    "gaze/amazon:deviations=0": Former(
        {
            "human": (0.204, 17.1, None),
            "random": (0.059, 18.8, 0.48),
            "centre": (0.069, 19.6, 0.74),
            "nearest": (0.073, 17.5, 0.65),
            "unrepeated": (0.088, 41.1, None),
        },
        (0.868, 14.47, 0.781, 0.170, 0.049),
    ),
    "gaze/coco-search18:initial=keep": Former(
        {
            "human": (0.614, 1.48, None),
            "random": (0.327, 2.56, 0.70),
            "centre": (0.320, 2.54, 0.62),
            "nearest": (0.433, 1.88, 0.60),
            "unrepeated": (0.463, 2.08, None),
        },
        (0.873, 2.73, 0.718, 0.268, 0.014),
    ),
    "gaze/objarr": Former(
        {
            "human": (0.451, 2.68, None),
            "random": (0.243, 3.57, 0.63),
            "centre": (0.237, 3.58, 0.61),
            "nearest": (0.351, 2.71, 0.53),
            "unrepeated": (0.399, 3.04, None),
        },
        (0.813, 3.40, 0.911, 0.035, 0.053),
    ),
    "gaze/relational": Former(
        {
            "human": (0.378, 24.9, None),
            "random": (0.223, 29.9, None),
            "centre": (0.268, 28.6, None),
            "nearest": (0.200, 27.0, None),
            "area": (0.274, None, 0.21),
        },
        (None, 30.99, 0.315, 0.274, 0.411),
    ),
    "gaze/foraging:attempts=all,practice=true": Former(
        {"random": (0.146, 57.9, None), "centre": (0.147, 58.9, None), "nearest": (0.194, 51.2, None)},
        (None, 52.97, 0.606, 0.217, 0.177),
    ),
}


def main() -> None:
    """Measure one set after another and print a table of each."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, default=Path(os.environ.get("TSBENCH_DATA", "data")))
    parser.add_argument("--sets", nargs="*", default=list(SETS), help="only these")
    args = parser.parse_args()
    torch.set_num_threads(1)
    for spec in args.sets:
        begun = time.process_time()
        measure(spec, SETS[spec], args.data)
        print(f"\n{time.process_time() - begun:.1f} CPU s", flush=True)


def measure(spec: str, former: Former, data: Path) -> None:
    """Print human behaviour, and SS, SED and delta of people and of floors."""
    dataset = cast(Gaze, find_datasets(spec)[0])
    samples = ScanpathSamples.of(apply(dataset.read(data), dataset), given=False)
    human, targets, display = objects(samples.paths), samples.targets[:, 1:], samples.display
    five = behaviour(human, targets)
    print(f"\n{spec}: {len(samples):,} trials; ours ± standard error (former)\n")
    print("| " + " | ".join(PARTS) + " |\n" + "|---" * len(PARTS) + "|")
    cells = [
        cell(float(five[:, i].nanmean()), bootstrap(display, lambda k, i=i: five[k, i].nanmean()), known, 2.0)  # type: ignore[misc]
        for i, known in enumerate(former.human)
    ]
    print("| " + " | ".join(cells) + " |\n")
    print("| | SS | SED | delta |\n|---|---|---|---|")
    if "human" in former.rows:
        first, second = pairs(_searches(samples), samples.subject, PAIRS, SEED)
        row("human", former, human[first], human[second], display[first], None, 2.0)
    for name in (floor for floor in FLOORS if floor in former.rows):
        made = objects(floor_paths(name, samples))
        row(name, former, human, made, display, (behaviour(made, targets), five), 2.0 * 2**0.5)


def floor_paths(name: str, samples: ScanpathSamples) -> Tensor:
    """One path of a floor for each trial, `(trial, step)` tokens."""
    steps = int(samples.steps.max()) - 1
    model = FLOORS[name](Scanpath(Objects(samples.objects.shape[1], samples.objects.shape[2]), steps), NoSettings())
    model.fit(samples, samples, Run())
    if name == "centre":
        model.learned = torch.tensor(DEVIATION)
    return walked(model, samples.batch(torch.arange(len(samples))), 1, steps, SEED)[:, 0]


def row(
    name: str,
    former: Former,
    first: Tensor,
    second: Tensor,
    display: Tensor,
    behaviours: tuple[Tensor, Tensor] | None,
    errors: float,
) -> None:
    """Print one line: scores of pairs of paths, and delta if there is behaviour of both."""
    cells = []
    for values, known in zip(
        (sequence_score(first, second), edit_distance(first, second)), former.rows[name][:2], strict=True
    ):
        cells.append(cell(float(values.mean()), bootstrap(display, lambda k, v=values: v[k].mean()), known, errors))  # type: ignore[misc]
    if behaviours:
        made, human = behaviours
        error = bootstrap(display, lambda k: delta(made[k], human[k]))
        cells.append(cell(float(delta(made, human)), error, former.rows[name][2], errors))
    print(f"| {name} | " + " | ".join([*cells, ""][:3]) + " |")


def cell(value: float, error: float, known: float | None, errors: float) -> str:
    """Ours, its standard error, and the former value, with `=` if they agree within so many errors."""
    if value != value:
        return "-"
    text = f"{value:.3f} ± {error:.3f}"
    if known is None:
        return text
    return f"{text} ({known:g} {'=' if abs(value - known) <= errors * error else '≠'})"


def bootstrap(display: Tensor, score: Callable[[Tensor], Tensor]) -> float:
    """Standard error of a score of the rows at some indices, displays being drawn with replacement."""
    order = display.argsort(stable=True)
    groups = order.split(display[order].unique_consecutive(return_counts=True)[1].tolist())
    random = torch.Generator().manual_seed(SEED)
    draws = torch.randint(len(groups), (RESAMPLES, len(groups)), generator=random)
    return float(torch.stack([score(torch.cat([groups[i] for i in draw])) for draw in draws.tolist()]).std())


def objects(paths: Tensor) -> Tensor:
    """Tokens as objects, `(path, step)`, END and beyond as -1."""
    return torch.where(paths > END, paths - 1, -1)


def _searches(samples: ScanpathSamples) -> Tensor:
    """A number for each display and what is searched for on it, `(trial,)`."""
    return torch.cat([samples.display[:, None], samples.targets.long()], 1).unique(dim=0, return_inverse=True)[1]


if __name__ == "__main__":
    main()
