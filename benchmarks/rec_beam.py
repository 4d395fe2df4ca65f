"""Beam search of MMGRec: CPU seconds a user at the released size, and recall against the width of the beam.

    python benchmarks/rec_beam.py speed --turns 5
    python benchmarks/rec_beam.py width --cell results/artifacts/KEY     (a finished cell of mmgrec; validation users)

The released loop, one user and one beam at a time, takes 60.8 ms of CPU a user at beam 10 (measured on another day).
"""

from __future__ import annotations

import argparse
import os
import statistics
import time
from pathlib import Path

import torch

from tsbench.artifacts import load_model
from tsbench.cell import Cell, find_dataset
from tsbench.data import Batch
from tsbench.inputs import Histories
from tsbench.models.mmgrec import MMGRec
from tsbench.rec.codes import rec_ids
from tsbench.rec.widths import WIDTHS, by_width
from tsbench.store import read_json
from tsbench.tasks.next_item import NextItem

OFFICIAL_MS = 60.8
ITEMS, USERS, HISTORY = 6710, 9308, 32  # TikTok's, and the longest history that is read


def speed(args: argparse.Namespace) -> None:
    """Random weights and Rec-IDs of 3 x 128 tokens and a popularity token; histories of 32."""
    torch.manual_seed(1)
    task = NextItem(Histories(HISTORY, ITEMS, USERS, {}, False))
    batch = task.random_batch(args.users)
    for beam in args.beams:
        model = MMGRec(task, MMGRec.Config(beam=beam)).eval()
        semantic = torch.randint(0, 128, (ITEMS, 3))
        model.take_ids(rec_ids(semantic, torch.zeros(ITEMS)))
        torch.nn.init.normal_(model.items)
        torch.nn.init.normal_(model.users)
        low, middle, high = cpu(model, batch, args.turns)
        print(
            f"beam {beam:4}: {middle:.3f} ms CPU a user ({low:.3f}-{high:.3f}), {args.users} users at once, one thread"
            + (f"; {OFFICIAL_MS / middle:.0f}x the released loop's {OFFICIAL_MS}" if beam == 10 else "")
        )


def cpu(model: MMGRec, batch: Batch, turns: int) -> tuple[float, float, float]:
    """Least, median and most CPU milliseconds a user of some turns, after one that does not count."""
    milliseconds = []
    for turn in range(turns + 1):
        begun = time.process_time()
        with torch.no_grad():
            model.search(batch, model.config.beam)
        if turn:
            milliseconds.append(1000 * (time.process_time() - begun) / len(batch))
    return min(milliseconds), statistics.median(milliseconds), max(milliseconds)


def width(args: argparse.Namespace) -> None:
    """A fitted model's recall on validation users, and its time, by the width of its beam; 0 scores every item."""
    cell = Cell(**read_json(args.cell / "model.json")["cell"])
    samples, model = find_dataset(cell).load(args.data, cell.protocol).validation, load_model(args.cell)
    assert isinstance(model, MMGRec)
    model.eval()
    print(f"{cell.title()}, protocol {cell.protocol}: validation users, of {len(samples)}")
    exact, *beams = by_width(model.task, model.predict_by, samples, (0, *args.beams))
    for found in (*beams, exact):
        name, less = f"beam {found.beam:4}" if found.beam else "every item", found.recall / exact.recall - 1
        print(
            f"{name}: recall_10 {found.recall:.4f} ({less:+.2%}), ndcg_10 {found.ndcg:.4f}; {found.milliseconds:.2f} ms"
        )


def main() -> None:
    """Parse and measure."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = parser.add_subparsers(required=True)
    speeds = commands.add_parser("speed", help="at the released size, random weights")
    speeds.add_argument("--turns", type=int, default=5)
    speeds.add_argument("--users", type=int, default=256)
    speeds.add_argument("--beams", type=int, nargs="+", default=[10, 50])
    speeds.set_defaults(measure=speed)
    widths = commands.add_parser("width", help="of a finished cell")
    widths.add_argument("--cell", type=Path, required=True)
    widths.add_argument("--data", type=Path, default=Path(os.environ.get("TSBENCH_DATA", "data")))
    widths.add_argument("--beams", type=int, nargs="+", default=[*WIDTHS])
    widths.set_defaults(measure=width)
    args = parser.parse_args()
    torch.set_num_threads(1)
    args.measure(args)


if __name__ == "__main__":
    main()
