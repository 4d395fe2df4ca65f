"""Gather results into table rows: mean and spread over seeds, ranks, cost, and what was published."""

from __future__ import annotations

import fnmatch
import statistics
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np

from tsbench.caveats import behind, caveats
from tsbench.dataset import Dataset, Published
from tsbench.errors import TsbenchError
from tsbench.model import Model, NeuralModel
from tsbench.registry import find_datasets, find_model, task_kinds
from tsbench.stability import Stability, stability
from tsbench.stats import Comparison, compare, seed_interval
from tsbench.store import Result
from tsbench.tasks.task import Counts, Task


@dataclass(frozen=True)
class Spread:
    """A score over seeds; `std` is the sample standard deviation, None for a single value."""

    mean: float
    std: float | None
    values: tuple[float, ...]

    @cached_property
    def interval(self) -> tuple[float, float] | None:
        """95 % bootstrap interval of the mean over seeds; None for fewer than three, see `seed_interval`."""
        return seed_interval(self.values)


@dataclass
class Row:
    """One variant of a model on one data set under one protocol.

    Attributes:
        primary: the metric that ranks.
        scores: metric -> score on test; results of older code may lack some of the task's metrics.
        interval: 95 % interval of the primary score, where the test set is so small that it must be shown.
        units: score of each unit on the primary metric, averaged over seeds; see `Task.unit`.
        tables: counts on test, such as a confusion matrix, summed over seeds; see `Scores.tables`.
        published: metric -> published score with its source.
        told: what its model is told that others are not, see `Model.told`.
        trained, stochastic: kinds of model; see `Model`.
        rank: 1 is best on the primary metric; 0 for a model that is told something.
        below: True for a trained model that does not reach the data set's bar.
    """

    variant: str
    model: str
    primary: str
    scores: dict[str, Spread]
    validation: Spread
    interval: tuple[float, float] | None
    units: list[float]
    tables: dict[str, Counts]
    seeds: list[int]
    parameters: int
    fit_seconds: float
    fit_cpu_seconds: float
    memory_mb: float
    results: list[Result]
    told: str
    trained: bool
    stochastic: bool
    published: dict[str, Published] = field(default_factory=dict)
    rank: int = 0
    below: bool = False

    @property
    def label(self) -> str:
        """The variant, marked with what it is told."""
        return f"{self.variant} (told {self.told})" if self.told else self.variant

    @property
    def by_seed(self) -> dict[int, float]:
        """Seed -> primary score."""
        return dict(zip(self.seeds, self.scores[self.primary].values, strict=True))

    @property
    def over_seeds(self) -> tuple[float, float] | None:
        """95 % bootstrap interval of the mean primary score over seeds; None for fewer than three."""
        return self.scores[self.primary].interval

    def difference(self, metric: str) -> float | None:
        """Our mean minus the published score."""
        return self.scores[metric].mean - self.published[metric].value if metric in self.published else None


@dataclass
class Board:
    """The leaderboard of one data set under one protocol.

    Attributes:
        bar: the cheap model that a trained one must beat, if the data set names one; see `Dataset.bar`.
        absent: published models that have no run here, best first.
        warnings: what a reader must know before trusting the table; those that begin with "- " only describe.
    """

    dataset: str
    protocol: str
    kind: type[Task]
    rows: list[Row]
    test_samples: str
    generated: bool
    digest: str
    bar: str | None
    absent: list[Published]
    warnings: list[str]

    @property
    def first(self) -> Result:
        """One of its results, for what all of them share."""
        return self.rows[0].results[0]

    @property
    def ranked(self) -> list[Row]:
        """The rows that may be compared, best first: of models that are told no more than others."""
        return [row for row in self.rows if not row.told]

    @cached_property
    def comparisons(self) -> list[Comparison]:
        """Paired tests between all ranked rows on the primary metric, unit by unit, the better ranked one first."""
        return compare({row.variant: row.units for row in self.ranked}, self.higher_is_better)

    def pair(self, *variants: str) -> Comparison:
        """The comparison of two ranked variants."""
        return next(c for c in self.comparisons if {c.first, c.second} == set(variants))

    def against_first(self, row: Row) -> Comparison | None:
        """A ranked row compared with the first-ranked one; None for that one itself, and for rows without rank."""
        first = next(iter(self.ranked), row)
        return None if row is first or row.told else self.pair(first.variant, row.variant).turned

    @cached_property
    def stability(self) -> Stability | None:
        """Whether ranks change with the seed; None where no two models share two seeds."""
        scores = {row.variant: row.by_seed if row.stochastic else row.scores[row.primary].mean for row in self.ranked}
        return stability(scores, self.higher_is_better)

    @property
    def higher_is_better(self) -> bool:
        """The direction of the primary metric."""
        return self.kind.metrics[self.kind.primary].higher_is_better

    @property
    def selected_on_test(self) -> bool:
        """True if the protocol lets TEST choose the epoch."""
        return bool(self.first["data"].get("selected_on_test"))

    @property
    def title(self) -> str:
        """Data set, marked if generated, and protocol."""
        return f"{self.dataset}{' (generated data)' if self.generated else ''}, {self.protocol_words}"

    @property
    def protocol_words(self) -> str:
        """The protocol, marked if TEST chooses the epoch."""
        return f"protocol {self.protocol}{' [SELECTED ON TEST: scores too good]' if self.selected_on_test else ''}"


def boards(
    results: Iterable[Result], datasets: Sequence[str] = (), protocol: str | None = None, models: Sequence[str] = ()
) -> list[Board]:
    """One board for each data set and protocol among finished results, trials of studies left out.

    Args:
        results: from a store.
        datasets: globs of labels or specs; none means all.
        protocol: only this one.
        models: globs of models or of variants, such as `dlinear` or `vsformer:*`; none means all.
    """
    groups: dict[tuple[str, str, str], list[Result]] = defaultdict(list)
    for result in results:
        cell = result["cell"]
        if result["status"] != "finished" or not cell["test"] or (protocol and cell["protocol"] != protocol):
            continue
        names = (result["data"]["label"], result["data"]["name"], cell["dataset"])
        if not matches(names, datasets):
            continue
        groups[result["data"]["label"], cell["protocol"], result["data"]["digest"]].append(result)
    made = [_board(label, used, group, models) for (label, used, _), group in sorted(groups.items(), key=_natural)]
    found = [board for board in made if board.rows]
    for board in found:  # files of one name and different content are different data
        if [b.title for b in found].count(board.title) > 1:
            board.warnings.insert(
                0, f"another table has this name but other data; these have digest {board.digest[:12]}"
            )
    return found


def matches(names: Sequence[str], wanted: Sequence[str]) -> bool:
    """Does one of the globs match one of the names, or is there no glob?"""
    return not wanted or any(name == w or fnmatch.fnmatchcase(name, w) for w in wanted for name in names)


def _natural(item: tuple[tuple[str, str, str], Any]) -> list[Any]:
    """Sort key that puts horizon 96 before 192."""
    label, protocol, _ = item[0]
    return [(part.isdigit(), int(part) if part.isdigit() else part) for part in label.split("/")] + [(True, protocol)]


def _board(label: str, protocol: str, results: list[Result], models: Sequence[str]) -> Board:
    kind = task_kinds()[results[0]["task"]["kind"]]
    variants: dict[str, list[Result]] = defaultdict(list)
    for result in results:
        variants[result["variant"]].append(result)
    rows = [_row(variant, kind, _latest(group)) for variant, group in variants.items()]
    dataset = _dataset(results[0])
    published = [p for p in dataset.published() if p.protocol == protocol] if dataset else []
    for row in rows:
        if row.variant == row.model:  # a published score belongs to the published settings
            row.published = {p.metric: p for p in published if p.model == row.model}
    bar = dataset.bar if dataset else None
    reached = next((row for row in rows if row.variant == bar and not row.told), None)
    _rank(rows, kind)
    _mark(rows, reached)
    rows = [row for row in rows if matches((row.model, row.variant), models)]
    _rank(rows, kind)
    beside = {row.model for row in rows if row.published}
    first = results[0]
    return Board(
        label,
        protocol,
        kind,
        rows,
        " or ".join(str(n) for n in sorted({r["data"]["samples"]["test"] for r in results})),
        first["data"]["generated"],
        first["data"]["digest"],
        bar,
        _best_first([p for p in published if p.model not in beside], kind),
        behind(rows, bar, reached) + caveats(rows, first),
    )


def _dataset(result: Result) -> Dataset | None:
    """The data set of a result, or None: a plug-in or file may be no longer here, and its results still count."""
    try:
        return find_datasets(result["cell"]["dataset"])[0]
    except TsbenchError:
        return None


def _best_first(published: list[Published], kind: type[Task]) -> list[Published]:
    """The primary metric first, then by metric and value."""

    def key(p: Published) -> tuple[bool, str, float]:
        metric = kind.metrics.get(p.metric)
        return p.metric != kind.primary, p.metric, -p.value if metric and metric.higher_is_better else p.value

    return sorted(published, key=key)


def _rank(rows: list[Row], kind: type[Task]) -> None:
    """Sort rows by the primary metric, best first; equal means share a rank, and who is told something has none."""
    sign = -1 if kind.metrics[kind.primary].higher_is_better else 1
    rows.sort(key=lambda row: sign * row.scores[kind.primary].mean)
    scores = [sign * row.scores[kind.primary].mean for row in rows if not row.told]
    for row in rows:
        row.rank = 0 if row.told else 1 + sum(score < sign * row.scores[kind.primary].mean for score in scores)


def _mark(rows: list[Row], reached: Row | None) -> None:
    """Mark the trained models that rank behind the bar."""
    for row in rows:
        row.below = row.trained and reached is not None and row.rank > reached.rank


def _latest(results: list[Result]) -> list[Result]:
    """One result a seed, all of the newest code and data: rows never mix results that differ in them."""
    in_order = sorted(results, key=lambda r: r["finished"])
    by_seed = {r["cell"]["seed"]: r for r in in_order if _origin(r) == _origin(in_order[-1])}
    return [r for _, r in sorted(by_seed.items())]


def _origin(result: Result) -> tuple[str, str]:
    return result["data"]["digest"], result["code"]


def _row(variant: str, kind: type[Task], results: list[Result]) -> Row:
    model = _model(results[0]["cell"]["model"])
    tests = [r["scores"]["test"] for r in results]
    metrics = [m for m in tests[0] if m not in model.meaningless and all(m in test for test in tests)]
    scores = {m: spread([test[m] for test in tests]) for m in metrics}
    units = zip(*(r["units"]["test"][kind.primary] for r in results), strict=False)
    samples = results[0]["data"]["samples"]["test"]
    return Row(
        variant=variant,
        model=results[0]["cell"]["model"],
        primary=kind.primary,
        scores=scores,
        validation=spread([r["scores"]["validation"][kind.primary] for r in results]),
        interval=kind.interval(scores[kind.primary].mean, samples),
        units=[statistics.fmean(unit) for unit in units],
        tables=_summed([r.get("tables", {}).get("test", {}) for r in results]),
        seeds=[r["cell"]["seed"] for r in results],
        parameters=results[0]["parameters"],
        fit_seconds=statistics.median(_fit(r["seconds"]) for r in results),
        fit_cpu_seconds=statistics.median(_fit(r["cpu_seconds"]) for r in results),
        memory_mb=max(r["peak_memory_mb"] for r in results),
        results=results,
        told=_told(model, kind, results[0]),
        trained=issubclass(model, NeuralModel),
        stochastic=model.stochastic,
    )


def _told(model: type[Model], kind: type[Task], result: Result) -> str:
    """What a model was told; in free viewing, which cannot score `correct`, there was no target to tell it."""
    free = "correct" in kind.metrics and "correct" not in result["scores"]["test"]
    return "" if free and model.told == "the target" else model.told


def _summed(tables: Sequence[dict[str, Counts]]) -> dict[str, Counts]:
    """Tables of counts, those of all seeds added; a table that some seeds lack is left out."""
    shared = [name for name in tables[0] if all(name in table for table in tables)]
    return {name: np.sum([table[name] for table in tables], axis=0).tolist() for name in shared}


def _fit(seconds: dict[str, float]) -> float:
    """All fits of a cell: the first one, and the second one where the protocol has it."""
    return seconds["fit"] + seconds.get("refit", 0.0)


def spread(values: Sequence[float]) -> Spread:
    """Mean and sample standard deviation."""
    return Spread(statistics.fmean(values), statistics.stdev(values) if len(values) > 1 else None, tuple(values))


def _model(name: str) -> type[Model]:
    """The model's class; the base class if its file or plug-in is no longer here."""
    try:
        return find_model(name)
    except TsbenchError:
        return Model
