"""What tables show: leaderboard cells, groups and remaining metrics as text, for terminal and page alike."""

from __future__ import annotations

import itertools
import re
import statistics
from collections.abc import Iterator, Mapping, Sequence

from tsbench.caveats import units_of
from tsbench.dataset import Published
from tsbench.stats import Comparison
from tsbench.summary import Board, Row, Spread
from tsbench.tasks.task import Task

PEOPLE = "human_"  # begins the metrics of human answers
Table = list[list[str]]  # header, then rows


def leaderboard_cells(board: Board) -> Table:
    """Header and rows of a leaderboard; what was published stands beside our own score of the same metric.

    The metrics that the task shows and those that were published; `rest` has the others.
    """
    primary, chosen = board.kind.primary, board.kind.shown
    published = [metric for metric in board.kind.metrics if any(metric in row.published for row in board.rows)]
    others = [m for m in _measured(board) if m != primary and (not chosen or m in chosen or m in published)]
    bounded = any(row.interval for row in board.rows)
    header = ["rank", "model", primary, *(["95 % interval"] if bounded else []), *others, "seeds"]
    for metric in published:
        header += [f"published {metric}", "difference"]
    header += ["fit CPU s", "process MB", "parameters"]
    body = []
    for row in board.rows:
        cells = [str(row.rank or "-"), row.label + (" ↓" if row.below else ""), score(row, primary)]
        if bounded:
            cells.append(between(row.interval) or "-")
        cells += [*(score(row, metric) for metric in others), str(len(row.seeds))]
        for metric in published:
            difference = row.difference(metric)
            if difference is None:
                cells += ["-", "-"]
            else:
                cells += [f"{row.published[metric].value:g}{flag(row.published[metric])}", f"{difference:+.4f}"]
        body.append([*cells, f"{row.fit_cpu_seconds:.2f}", f"{row.memory_mb:.0f}", str(row.parameters)])
    return [header, *body]


def seed_cells(board: Board) -> Table:
    """Each model over seeds: interval of its mean and its rank with each seed; nothing where no model has three."""
    if not board.stability and not any(row.over_seeds for row in board.rows):
        return []
    seeds = board.stability.seeds if board.stability else []
    ranks = board.stability.ranks if board.stability else {}
    body = []
    for row in board.rows:
        with_each = ranks.get(row.variant, ["-"] * len(seeds))
        own = [score(row, board.kind.primary), between(row.over_seeds, 4) or "-", *map(str, with_each)]
        body.append([str(row.rank or "-"), row.label, *own])
    header = ["rank", "model", board.kind.primary, "95 % interval over seeds", *(f"rank with {seed}" for seed in seeds)]
    return [header, *body]


def rest(board: Board, header: Sequence[str]) -> Table:
    """Header and rows of the metrics that a table with this header leaves out; nothing if there are none."""
    left = [m for m in _measured(board) if m not in header and any(m in row.scores for row in board.rows)]
    body = [[str(row.rank or "-"), row.label, *(score(row, metric) for metric in left)] for row in board.rows]
    return [["rank", "model", *left], *body] if left else []


def people(board: Board) -> dict[str, float]:
    """Metric -> what people score on the test set, of a task that has such metrics."""
    scores = {metric: score.mean for row in reversed(board.rows) for metric, score in row.scores.items()}
    return {m.removeprefix(PEOPLE): scores[m] for m in board.kind.metrics if m.startswith(PEOPLE) and m in scores}


def groups(board: Board) -> Iterator[tuple[str, str, Table]]:
    """For each kind of group and shown metric: both, and a table of groups by models, means over seeds."""
    found = [[r.get("groups", {}).get("test", {}) for r in row.results] for row in board.rows]
    kinds = dict.fromkeys(kind for seeds in found for groups in seeds for kind in groups)
    for kind, metric in itertools.product(kinds, board.kind.shown):
        columns = [_means([groups[kind] for groups in seeds if kind in groups], metric) for seeds in found]
        names = sorted({name for column in columns for name in column}, key=_natural)
        if names:
            cells = [[name, *(f"{c[name]:.4f}" if name in c else "" for c in columns)] for name in names]
            yield kind, metric, [[kind, *(row.label for row in board.rows)], *cells]


def duel(board: Board) -> str:
    """The best model against the second, in words; empty where there is only one."""
    if len(board.ranked) < 2:
        return ""
    first, second = board.ranked[:2]
    return f"{first.variant} against {second.variant}: {found(board.pair(first.variant, second.variant), board.kind)}"


def found(pair: Comparison, kind: type[Task]) -> str:
    """A comparison in one line: difference and interval, over how many units, and whether it is significant."""
    if pair.better is None:
        return pair.words
    size = f"{kind.primary} {pair.size} over {pair.units:,} {units_of(kind)}"
    ahead = f"better in {100 * pair.better:.3g} % of resamples of these"
    return f"{size}, {ahead}, effect {pair.effect:+.2f} ({pair.effect_words}); {pair.words}"


def score(row: Row, metric: str) -> str:
    """A score with its spread; results of older code may lack a metric."""
    return show(row.scores[metric]) if metric in row.scores else "-"


def show(spread: Spread) -> str:
    """`0.3768 ± 0.0099`; a single value has no spread."""
    return f"{spread.mean:.4f}" if spread.std is None else f"{spread.mean:.4f} ± {spread.std:.4f}"


def between(interval: tuple[float, float] | None, digits: int = 3) -> str:
    """`0.274-0.726`; empty if there is none."""
    return f"{interval[0]:.{digits}f}-{interval[1]:.{digits}f}" if interval else ""


def flag(published: Published) -> str:
    """A dagger if the code behind a published score is known to be wrong."""
    return " †" if published.defect else ""


def honest(shown: Sequence[Board]) -> list[Board]:
    """The tables whose scores may be counted together: none that TEST selected."""
    return [board for board in shown if board.ranked and not board.selected_on_test]


def _measured(board: Board) -> list[str]:
    """The metrics that tell models apart; those of people are the same for all."""
    return [metric for metric in board.kind.metrics if not metric.startswith(PEOPLE)]


def _natural(name: str) -> list[str | int]:
    """Sort key that puts `shelf 9` before `shelf 10`."""
    return [int(part) if i % 2 else part for i, part in enumerate(re.split(r"(\d+)", name))]


def _means(seeds: Sequence[Mapping[str, Mapping[str, float]]], metric: str) -> dict[str, float]:
    """Mean of a metric over seeds, of each group that has it in all of them."""
    names = [name for name in (seeds[0] if seeds else ()) if all(metric in seed.get(name, {}) for seed in seeds)]
    return {name: statistics.fmean(seed[name][metric] for seed in seeds) for name in names}
