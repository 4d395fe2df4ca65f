"""Models compared over many data sets: average ranks, tests, and the critical-difference diagram (Demsar 2006)."""

from __future__ import annotations

import statistics
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, replace
from html import escape

import numpy as np

from tsbench.stats import Comparison, average_ranks, bayes, compare, friedman, groups, least_units
from tsbench.summary import Board
from tsbench.svg import svg
from tsbench.tasks.task import Task

LEAST_DATASETS, LEAST_MODELS = 3, 3


@dataclass(frozen=True)
class Contest:
    """Models over the data sets of one family, task kind and protocol, on the primary metric.

    Attributes:
        means: variant -> mean score over the data sets, in the order of `ranks`; empty if too few models are in all.
        ranks: variant -> average rank, best first.
        friedman: p of the Friedman test that there is any difference.
        pairs: Wilcoxon signed-rank tests over data sets (Benavoli et al. 2016), Holm-corrected, the better ranked
            model first.
        groups: neighbours in rank of which no pair differs; all models if Friedman's test finds nothing.
        notes: what was left out, and what no test can find.
    """

    title: str
    kind: type[Task]
    datasets: list[str]
    means: dict[str, float]
    ranks: dict[str, float]
    friedman: float
    pairs: list[Comparison]
    groups: list[list[str]]
    notes: list[str]

    def words(self, pair: Comparison) -> str:
        """What a pair's test says, if Friedman's lets any pair be called different."""
        return pair.words if self.friedman < 0.05 else "not called different: Friedman's test finds nothing"

    @property
    def finding(self) -> str:
        """Friedman's test in words."""
        verdict = (
            "some models differ"
            if self.friedman < 0.05
            else "no significant difference, so no pair is called different"
        )
        return f"Friedman test over {len(self.datasets)} data sets: p = {self.friedman:.2g}, {verdict}"


def contests(shown: Sequence[Board]) -> list[Contest]:
    """One comparison for each family, task kind and protocol with enough data sets and models; none generated."""
    together: dict[tuple[str, str, str], list[Board]] = defaultdict(list)
    for board in shown:
        if not board.generated and board.ranked:
            together[board.first["data"]["family"], board.kind.__name__, board.protocol].append(board)
    found = []
    for (family, _, protocol), boards in together.items():
        sets = _by_data(boards)
        variants = {row.variant for board in boards for row in board.ranked}
        if len(sets) >= LEAST_DATASETS and len(variants) >= LEAST_MODELS:
            kind = boards[0].kind
            alike = [b for b in shown if b.generated and (b.kind, b.protocol) == (kind, protocol)]
            notes = [f"generated data are left out: {', '.join(b.dataset for b in alike)}"] if alike else []
            if sum(map(len, sets.values())) < len(boards):
                notes.append("where two tables have one name, only the newest counts")
            if told := dict.fromkeys(row.label for board in boards for row in board.rows if row.told):
                notes.append(f"left out: {', '.join(told)}")
            found.append(_contest(f"{family}, {boards[0].protocol_words}", kind, sets, notes))
    return found


def _by_data(boards: Sequence[Board]) -> dict[str, list[Board]]:
    """Tables by the data they are of: horizons or options of one file are no independent data sets."""
    newest = {b.dataset: b for b in sorted(boards, key=_finished)}
    by_files: dict[tuple[str, ...], list[Board]] = defaultdict(list)
    for board in boards:
        if newest[board.dataset] is board:
            files = tuple(source["file"] for source in board.first["data"]["sources"])
            by_files[files or (board.first["data"]["name"],)].append(board)
    return {" + ".join(b.dataset for b in same): same for same in by_files.values()}


def _finished(board: Board) -> str:
    return max(result["finished"] for row in board.rows for result in row.results)


def _contest(title: str, kind: type[Task], sets: dict[str, list[Board]], notes: list[str]) -> Contest:
    tables = [{row.variant: row.scores[kind.primary].mean for row in b.ranked} for same in sets.values() for b in same]
    in_all = [v for v in dict.fromkeys(v for table in tables for v in table) if all(v in table for table in tables)]
    missing = {v: sum(v in table for table in tables) for table in tables for v in table if v not in in_all}
    if missing:
        words = ", ".join(f"{variant} (in {count})" for variant, count in missing.items())
        notes = [*notes, f"left out, not in all {len(tables)} tables: {words}"]
    if any(len(same) > 1 for same in sets.values()):
        notes = [*notes, "tables of the same file count once, by their mean score"]
    if len(in_all) < LEAST_MODELS:
        notes = [*notes, f"no comparison: fewer than {LEAST_MODELS} models are in every table"]
        return Contest(title, kind, list(sets), {}, {}, 1.0, [], [], notes)
    scores = {v: [statistics.fmean(_score(b, v) for b in same) for same in sets.values()] for v in in_all}
    higher = kind.metrics[kind.primary].higher_is_better
    ranks = average_ranks(scores, higher)
    p, pairs = friedman(scores), _pairs({v: scores[v] for v in ranks}, higher)
    needed = least_units(len(pairs))
    if len(sets) < needed:
        notes = [
            *notes,
            f"no difference between two of {len(in_all)} models can be tested: {needed} data sets are needed",
        ]
        alike = []
    else:
        alike = groups(list(ranks), pairs) if p < 0.05 else [list(ranks)]
    means = {v: statistics.fmean(scores[v]) for v in ranks}
    return Contest(title, kind, list(sets), means, ranks, p, pairs, alike, notes)


def _pairs(scores: dict[str, list[float]], higher: bool) -> list[Comparison]:
    """All pairs compared over data sets, with `chance` where there are enough of them."""

    def ahead(pair: Comparison) -> np.ndarray:
        return np.subtract(scores[pair.first], scores[pair.second]) * (1 if higher else -1)

    return [pair if pair.p is None else replace(pair, chance=bayes(ahead(pair))) for pair in compare(scores, higher)]


def _score(board: Board, variant: str) -> float:
    return next(row.scores[board.kind.primary].mean for row in board.rows if row.variant == variant)


def contest_text(contest: Contest) -> str:
    """A comparison in words, for the terminal."""
    primary = contest.kind.primary
    lines = [f"{contest.title}: {len(contest.datasets)} data sets, by {primary}"]
    if contest.ranks:
        first, second, *_ = contest.ranks
        against = {c.second: c for c in contest.pairs if c.first == first and c.p is not None}
        more = "  first is better  effect" if against else ""
        lines.append(f"  mean rank  mean {primary}{more}  model")
        for variant, rank in contest.ranks.items():
            pair = against.get(variant)
            beside = f"  {pair.chance_words:>15}  {pair.effect:+6.2f}" if pair else " " * len(more)
            lines.append(f"  {rank:9.2f}  {contest.means[variant]:{5 + len(primary)}.4f}{beside}  {variant}")
        if against:
            lines.append("  first is better: how probably, on data like these (Bayesian signed-rank test)")
        lines.append(f"  {contest.finding}")
        if second in against and contest.friedman < 0.05:
            lines.append(f"  {first} against {second}: {against[second].words}")
    lines += [f"  no pair differs among: {', '.join(group)}" for group in contest.groups]
    return "\n".join([*lines, *(f"  ! {note}" for note in contest.notes)])


def mean_ranks(all_boards: Sequence[Board]) -> dict[str, float]:
    """Mean rank, best first, of the variants that are in every table and told nothing; ranks are among these only."""
    tables = [{row.variant for row in board.ranked} for board in all_boards]
    shared = set.intersection(*tables) if tables else set()
    ranks: dict[str, list[int]] = defaultdict(list)
    for board in all_boards:
        rows = [row for row in board.ranked if row.variant in shared]
        for row in rows:
            ranks[row.variant].append(1 + sum(other.rank < row.rank for other in rows))
    return dict(sorted(((v, statistics.fmean(r)) for v, r in ranks.items()), key=lambda item: item[1]))


def diagram(ranks: dict[str, float], alike: Sequence[Sequence[str]]) -> str:
    """Models on an axis of average ranks, the best at the right; a bar joins models of which no pair differs."""
    if not ranks:
        return ""
    names = list(ranks)  # best first
    margin, axis, scale = 64 + 7 * max(map(len, names)), 30, max(320, 48 * len(names))
    first = axis + 20 + 7 * len(alike)  # the first name's line, below the bars

    def x(rank: float) -> float:
        return margin + scale * (len(names) - rank) / (len(names) - 1)

    parts = [f'<path d="M{margin} {axis}H{margin + scale}" stroke="#000"/>']
    for rank in range(1, len(names) + 1):
        parts.append(f'<path d="M{x(rank):.1f} {axis}v-6" stroke="#000"/>')
        parts.append(f'<text x="{x(rank):.1f}" y="{axis - 10}" text-anchor="middle">{rank}</text>')
    right = (len(names) + 1) // 2
    for i, name in enumerate(names):
        best = i < right
        y = first + 18 * (i if best else len(names) - 1 - i)
        end, text, anchor = (margin + scale + 8, 4, "start") if best else (margin - 8, -4, "end")
        label = f"{escape(name)} {ranks[name]:.2f}" if best else f"{ranks[name]:.2f} {escape(name)}"
        parts.append(f'<path d="M{x(ranks[name]):.1f} {axis}V{y}H{end}" fill="none" stroke="#555"/>')
        parts.append(f'<text x="{end + text}" y="{y + 4}" text-anchor="{anchor}">{label}</text>')
    for i, group in enumerate(alike):
        low, high = x(ranks[group[-1]]) - 3, x(ranks[group[0]]) + 3
        parts.append(f'<path d="M{low:.1f} {axis + 9 + 7 * i}H{high:.1f}" stroke="#000" stroke-width="3"/>')
    return svg(f'<g font-size="11">{"".join(parts)}</g>', 2 * margin + scale, first + 18 * right)
