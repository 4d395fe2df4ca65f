"""Pairwise scanpath metrics on pairs of Amazon paths, against multimatch_gaze and plain Python: CPU s, one thread.

Ours scores all pairs. The others, which take turns with it, score a few of the same pairs, drawn anew each turn, and
their time is scaled to all: `--few` pairs for multimatch_gaze, ten times as many for Python. Ratios are of one turn.
What the others find is compared with ours. multimatch_gaze (0.1.3, MIT) is no dependency: `--reference` names a Python
that has it; without, it is left out.

    python benchmarks/gaze_metrics.py --data ../shared/data --reference /opt/ref/bin/python
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

import torch
from torch import Tensor

from tsbench.gaze.metrics import Paths, pairs
from tsbench.gaze.multimatch import multimatch
from tsbench.gaze.strings import edit_distance, sequence_score

#: Run by the reference Python: pairs of paths come in, CPU seconds and scores go out.
PEER = """
import json, sys, time
import numpy as np
from multimatch_gaze import docomparison
kinds = [("start_x", float), ("start_y", float), ("duration", float)]
table = lambda path: np.array([(*point, 0.25) for point in path], kinds)
given = [(table(a), table(b), size) for a, b, size in json.load(sys.stdin)]
begun = time.process_time()
scores = [list(map(float, docomparison(*pair))) for pair in given]
print(json.dumps([time.process_time() - begun, scores]))
"""


def main() -> None:
    """Take turns and print a table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, default=Path(os.environ.get("TSBENCH_DATA", "data")))
    parser.add_argument("--reference", help="a Python with multimatch_gaze")
    parser.add_argument("--pairs", type=int, default=10_000)
    parser.add_argument("--few", type=int, default=100, help="pairs of a turn of multimatch_gaze")
    parser.add_argument("--turns", type=int, default=5)
    args = parser.parse_args()
    torch.set_num_threads(1)
    paths, subject, size = amazon(args.data)
    # Of any displays: there are only 3,000 pairs on the same one.
    first, second = pairs(torch.zeros_like(subject), subject, most=args.pairs)
    a, b, size = paths[first], paths[second], size[first]
    turns = [turn(a, b, size, args.few, args.reference, seed) for seed in range(args.turns + 1)][1:]  # one to warm up
    print(f"{len(size):,} pairs of {float((a.objects >= 0).double().sum(1).mean()):.1f} fixations a path on average")
    print("| metrics, against | ours, CPU s | theirs, CPU s | ratio: median, least, most | greatest difference |")
    print("|---|---|---|---|---|")
    for name in turns[0]:
        ours, theirs, apart = zip(*(one[name] for one in turns), strict=True)
        ratios = [t / o for o, t in zip(ours, theirs, strict=True)]
        medians = f"{statistics.median(ours):.2f} | {statistics.median(theirs):.1f} | {statistics.median(ratios):.0f}x"
        print(f"| {name} | {medians}, {min(ratios):.0f}x, {max(ratios):.0f}x | {max(apart):.0e} |")
    if not args.reference:
        print("multimatch_gaze is left out: give a Python that has it as --reference")


def turn(a: Paths, b: Paths, size: Tensor, few: int, reference: str | None, seed: int) -> dict[str, tuple[float, ...]]:
    """CPU seconds for all pairs, ours and theirs, and the greatest difference of scores, by what is compared."""
    some = torch.randperm(len(size), generator=torch.Generator().manual_seed(seed))[: 10 * few]
    seconds, scores = timed(lambda: torch.stack([f(a.objects, b.objects) for f in (sequence_score, edit_distance)], 1))
    rows = [[[o for o in row if o >= 0] for row in path.objects[some].tolist()] for path in (a, b)]
    plain, theirs = timed(
        lambda: torch.tensor([strings(*pair) for pair in zip(*rows, strict=True)], dtype=torch.float64)
    )
    plain *= len(size) / len(some)
    found: dict[str, tuple[float, ...]] = {"SS and SED, plain Python": (seconds, plain, apart(scores[some], theirs))}
    if reference:
        some = some[:few]
        rows = [[p[~p[:, 0].isnan()].tolist() for p in path.points[some]] for path in (a, b)]
        given = json.dumps(list(zip(*rows, size[some].tolist(), strict=True)))
        more, scores = timed(lambda: multimatch(a.points, b.points, size, a.durations, b.durations))
        done = subprocess.run([reference, "-c", PEER], input=given, capture_output=True, text=True, check=True)
        peer, theirs = json.loads(done.stdout)
        peer *= len(size) / len(some)
        found["MultiMatch, multimatch_gaze"] = (
            more,
            peer,
            apart(scores[some], torch.tensor(theirs, dtype=torch.float64)),
        )
        found["all three, both"] = (seconds + more, plain + peer, max(one[2] for one in found.values()))
    return found


def timed(work: Callable[[], Tensor]) -> tuple[float, Tensor]:
    """CPU seconds, and what was found."""
    begun = time.process_time()
    found = work()
    return time.process_time() - begun, found


def apart(a: Tensor, b: Tensor) -> float:
    """Greatest difference; both sides leave the same undefined."""
    assert torch.equal(a.isnan(), b.isnan())
    return float((a - b).abs().nan_to_num().max())


def strings(a: list[int], b: list[int]) -> tuple[float, float]:
    """Sequence score and edit distance of one pair, two rows of each table at a time."""
    gains, edits = [0] * (len(b) + 1), list(range(len(b) + 1))
    for i, x in enumerate(a, 1):
        gain, edit = [0], [i]
        for j, y in enumerate(b):
            gain.append(max(gains[j] + (x == y), gains[j + 1], gain[j]))
            edit.append(min(edits[j] + (x != y), edits[j + 1] + 1, edit[j] + 1))
        gains, edits = gain, edit
    return gains[-1] / max(len(a), len(b)), edits[-1]


def amazon(data: Path) -> tuple[Paths, Tensor, Tensor]:
    """All paths, with 250 ms a fixation since none are known, their subjects, and the sizes of their displays."""
    sets = json.loads((data / "../reference/gaze_metric_cases.json").read_text())["sets"]
    x, y = (torch.tensor(sets["amazon_human_behaviour"][name]).double() for name in ("column_x", "row_y"))
    centres = torch.cartesian_prod(y.mean(1), x.mean(1)).flip(1)
    trials, subject, size = [], [], []
    for display in json.loads((data / "gaze/AmazonBookCovers/Amazon.json").read_text()).values():
        trials += [torch.tensor(points).double() for points in display["fixations"].values()]
        subject += [int(name) for name in display["fixations"]]
        size += [[display["size"]["width"], display["size"]["height"]]] * len(display["fixations"])
    points = torch.nn.utils.rnn.pad_sequence(trials, batch_first=True, padding_value=torch.nan)
    # The boxes lie on a grid: the one that holds a point is nearest in its column and row, and so is the centre.
    objects = torch.cdist(points.nan_to_num(), centres).argmin(-1).masked_fill(points[..., 0].isnan(), -1)
    durations = torch.where(points[..., 0].isnan(), torch.nan, 250.0)
    return Paths(objects, points, durations), torch.tensor(subject), torch.tensor(size).double()


if __name__ == "__main__":
    main()
