"""Beam search over the trie of Amazon Beauty's Rec-IDs against nested dictionaries in plain Python; one thread.

12,101 items, 4 levels of 256 codes (LETTER's, as they come with the data) and a popularity token. Log-probabilities are
random, those of a user and level the same after all prefixes, and multiples of 2^-16, whose sums are exact: both must
find the same items in the same order, or the script fails. All get log-probabilities as a model gives them, a tensor of
all users, beams and tokens at each level; the dictionaries take them out as lists, user by user. `lists` is what they
take when they get these lists for nothing, which no model gives. Turns are paired; times are medians of CPU seconds.

    python benchmarks/rec_trie.py --data ../shared/data --turns 7
"""

from __future__ import annotations

import argparse
import os
import statistics
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from tsbench.rec.codes import rec_ids
from tsbench.rec.trie import Trie, beam_search

Nested = dict[int, Any]  # token -> what follows, and the last token -> item
Rows = Callable[[int, int], list[list[float]]]  # level, beams -> log-probabilities of each beam's tokens


def main() -> None:
    """Measure all widths and print a table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, default=Path(os.environ.get("TSBENCH_DATA", "data")))
    parser.add_argument("--beams", type=int, nargs="+", default=[10, 50])
    parser.add_argument("--users", type=int, default=64)
    parser.add_argument("--turns", type=int, default=7)
    args = parser.parse_args()
    torch.set_num_threads(1)
    ids = beauty(args.data)
    sizes = [256] * 4 + [int(ids[:, -1].max()) + 1]
    trie, nested = Trie.of(ids, sizes), nest(ids)
    parts = (trie.items, *trie.paths, *trie.first, *trie.tokens)
    print(f"{len(ids):,} items, states {[len(x) for x in trie.tokens]}, {sum(x.nbytes for x in parts) / 1e6:.2f} MB")
    print("| beam | dictionaries, ms a user | lists | tsbench | times faster (least-most) | than lists |")
    print("|---|---|---|---|---|---|")
    for width in args.beams:
        torch.manual_seed(width)
        tables = [torch.randn(args.users, size).log_softmax(-1).mul(2**16).round().div(2**16) for size in sizes]
        turns = [turn(trie, nested, tables, width) for _ in range(args.turns)]
        slow, lists, fast = (
            statistics.median(1000 * each / args.users for each in times) for times in zip(*turns, strict=True)
        )
        ratios = (spread([t[i] / t[2] for t in turns]) for i in (0, 1))
        print(f"| {width} | {slow:.3f} | {lists:.3f} | {fast:.3f} |", " | ".join(ratios), "|", flush=True)


def spread(values: list[float]) -> str:
    """Median, least and most."""
    return f"{statistics.median(values):.1f} ({min(values):.1f}-{max(values):.1f})"


def turn(trie: Trie, nested: Nested, tables: list[Tensor], width: int) -> tuple[float, float, float]:
    """CPU seconds of dictionaries, of dictionaries with lists for nothing, and of tsbench, one after another."""
    steps, lists, users = Fixed(tables, width), [x.tolist() for x in tables], range(len(tables[0]))
    levels = len(tables)

    def taken(user: int) -> Rows:
        return lambda level, beams: steps.tables[level][user, :beams].tolist()

    def given(user: int) -> Rows:
        return lambda level, beams: [lists[level][user]] * beams

    wanted, slow = timed(lambda: [walk(nested, taken(user), levels, width) for user in users])
    same, free = timed(lambda: [walk(nested, given(user), levels, width) for user in users])
    found, fast = timed(lambda: beam_search(steps, trie, width).items.tolist())
    if not found == wanted == same:
        raise SystemExit(f"beam {width}: the searches differ")
    return slow, free, fast


def beauty(data: Path) -> Tensor:
    """Rec-IDs of Amazon Beauty; items that share the codes in the order of their numbers."""
    path = data / "rec" / "AmazonBeauty" / "letter_codes.npy"
    codes = torch.from_numpy(np.load(path, allow_pickle=False)).long()
    return rec_ids(codes, torch.zeros(len(codes)))


class Fixed:
    """Log-probabilities that do not depend on the prefix, ready for any number of beams."""

    def __init__(self, tables: list[Tensor], width: int) -> None:
        self.tables = [tables[0][:, None], *(x[:, None].repeat(1, width, 1) for x in tables[1:])]

    def first(self) -> Tensor:
        """Of level 0."""
        self.level = 0
        return self.tables[0][:, 0]

    def next(self, parents: Tensor, tokens: Tensor) -> Tensor:
        """Of the next level."""
        self.level += 1
        return self.tables[self.level][:, : parents.shape[1]]


def nest(ids: Tensor) -> Nested:
    """Rec-IDs as dictionaries in dictionaries, tokens ascending."""
    root: Nested = {}
    for *prefix, last, item in sorted([*row, item] for item, row in enumerate(ids.tolist())):
        node = root
        for token in prefix:
            node = node.setdefault(token, {})
        node[last] = item
    return root


def walk(root: Nested, rows: Rows, levels: int, width: int) -> list[int]:
    """The beam search of one user; of equals, the one with the lower tokens."""
    scores, nodes = [0.0], [root]
    for level in range(levels):
        written = rows(level, len(nodes))
        grown = [score + row[token] for score, row, node in zip(scores, written, nodes, strict=True) for token in node]
        below = [child for node in nodes for child in node.values()]
        best = sorted(range(len(grown)), key=grown.__getitem__, reverse=True)[:width]  # stable, reversed or not
        best.sort()  # back to the order of tokens, by which ties go
        scores, nodes = [grown[i] for i in best], [below[i] for i in best]
    order = sorted(range(len(nodes)), key=scores.__getitem__, reverse=True)
    return [nodes[i] for i in order]  # type: ignore[misc]


def timed(work: Callable[[], list[list[int]]]) -> tuple[list[list[int]], float]:
    """What a function gives, and its CPU seconds."""
    begun = time.process_time()
    found = work()
    return found, time.process_time() - begun


if __name__ == "__main__":
    main()
