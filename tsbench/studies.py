"""Studies: what was tuned, at what cost, and what it was worth, read from the files of a results folder alone."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from tsbench.stats import Comparison, compare, holm
from tsbench.store import Store, read_json
from tsbench.study_charts import Axis, history, importance, parallel
from tsbench.summary import Board, Row, Spread, boards

ENOUGH = 50  # completed trials for importances: the best tenth should be at least five (Watanabe et al. 2023)


@dataclass(frozen=True)
class Trial:
    """One trial of a study.

    Attributes:
        state: "completed", "pruned" or "failed".
        value: its validation score; of a pruned one, the last before it was stopped; None if there is none.
        epochs: how many it reported.
        seconds, cpu_seconds: of its cell.
        key: of its cell, whose result has its curves.
        reason: why it was pruned or failed.
    """

    number: int
    state: str
    value: float | None
    params: dict[str, Any]
    epochs: int
    seconds: float
    cpu_seconds: float
    key: str
    reason: str


@dataclass(frozen=True)
class Study:
    """A search for settings of one model on one data set under one protocol, judged by validation alone.

    Attributes:
        dataset: its label, as tables show it.
        content: digest of its data.
        metric: what was searched for on validation.
        fixed: settings that were given and not searched.
        space: setting -> what it was chosen from.
        trials: those that used up the budget, by number; `killed` ones were made up for and are not among them.
        best: settings of the best trial; `default` and `tuned` are the variants that tables show.
        seeds: of the final runs of both; all trials have `trial_seed`.
        budget: "trials" and "cpu_minutes" asked for, the latter None for any.
        importance: setting -> share, most important first; empty until the study is finished, or if nothing is known.
    """

    name: str
    dataset: str
    family: str
    content: str
    model: str
    protocol: str
    metric: str
    higher_is_better: bool
    fixed: dict[str, str]
    space: dict[str, Axis]
    trials: list[Trial]
    killed: int
    best: dict[str, Any]
    best_value: float
    default: str
    tuned: str
    trial_seed: int
    seeds: list[int]
    budget: dict[str, float | None]
    importance: dict[str, float]
    finished: bool

    def count(self, state: str) -> int:
        """Number of trials in a state."""
        return sum(trial.state == state for trial in self.trials)

    @property
    def seconds(self) -> float:
        """Wall seconds of all trials, added; a result that served two of them counts once."""
        return sum({trial.key: trial.seconds for trial in self.trials}.values())

    @property
    def cpu_seconds(self) -> float:
        """CPU seconds of all trials."""
        return sum({trial.key: trial.cpu_seconds for trial in self.trials}.values())

    @property
    def cost(self) -> str:
        """`20 trials (7 pruned, 1 failed), 31 CPU s`."""
        ended = ", ".join(f"{n} {state}" for state in ("pruned", "failed") if (n := self.count(state)))
        return f"{len(self.trials)} trials{f' ({ended})' if ended else ''}, {self.cpu_seconds:.0f} CPU s"

    def charts(self) -> dict[str, str]:
        """Name -> SVG: history, importance of settings, parallel coordinates; those that have something to show."""
        drawn = {
            "history": history(self.trials, self.metric, self.higher_is_better),
            "importance": importance(self.importance, self.count("completed"), ENOUGH),
            "parallel": parallel(self.trials, self.space, self.metric, self.higher_is_better),
        }
        return {name: chart for name, chart in drawn.items() if chart}

    def beside(self, shown: Sequence[Board]) -> tuple[Row, Row] | None:
        """The default's row and the tuned one's, both over the study's seeds alone; None if either has no run."""
        rows = [row for board in shown if self._is_of(board) for row in board.rows]
        results = [r for row in rows if row.variant in (self.default, self.tuned) for r in row.results]
        mine = [r for r in results if r["cell"]["seed"] in self.seeds]
        found = {row.variant: row for board in boards(mine) for row in board.rows}
        if not {self.default, self.tuned} <= found.keys():
            return None
        return found[self.default], found[self.tuned]

    def _is_of(self, board: Board) -> bool:
        return (board.dataset, board.protocol, board.digest) == (self.dataset, self.protocol, self.content)


def studies(store: Store) -> list[Study]:
    """All studies of a results folder, by name; one without a completed trial has no file yet."""
    found = map(read_study, sorted(store.path("studies", "").glob("*.json")))
    return [study for study in found if study]


def read_study(path: Path) -> Study | None:
    """A study from its file; None for one of an older version, which names no trials."""
    return study_of(path.stem, read_json(path))


def study_of(name: str, record: dict[str, Any]) -> Study | None:
    """A study from what its file says; None for one of an older version, which names no trials."""
    if "history" not in record:
        return None
    same = ("family", "content", "model", "protocol", "metric", "higher_is_better", "fixed", "killed", "best")
    more = ("best_value", "trial_seed", "seeds", "budget", "importance", "finished")
    return Study(
        name=name,
        dataset=record["label"],
        space={k: Axis.of(v["attributes"]) for k, v in record["distributions"].items()},
        trials=[Trial(**trial) for trial in record["history"]],
        default=record["variants"]["default"],
        tuned=record["variants"]["tuned"],
        **{key: record[key] for key in (*same, *more)},
    )


@dataclass(frozen=True)
class Gain:
    """Default against tuned.

    Attributes:
        comparison: of the tuned model (first) with the default on test, corrected for all studies shown together.
    """

    study: Study
    default: Row
    tuned: Row
    comparison: Comparison

    @property
    def words(self) -> str:
        """What tuning was worth on test."""
        if self.default.variant == self.tuned.variant:
            return "the default is the best found"
        found = self.comparison
        if found.p is None or found.p >= 0.05:
            return found.words
        better = (found.effect or 0.0) > 0  # the test is of ranks, and so is its direction
        corrected = f", Holm-corrected over {found.pairs} studies" if found.pairs > 1 else ""
        return f"{'better' if better else 'WORSE'} (p = {found.p:.2g}{corrected})"


def gains(found: Sequence[Study], shown: Sequence[Board]) -> list[Gain]:
    """Default against tuned, of every study that has runs of both; the tests are Holm-corrected over all of them."""
    pairs = [(study, *rows) for study in found if (rows := study.beside(shown))]
    tested = [_compare(*pair) for pair in pairs]
    differ = [c for c in tested if c.p is not None]
    corrected = iter(holm([c.p for c in differ if c.p is not None]))
    made = [c if c.p is None else replace(c, p=next(corrected), pairs=len(differ)) for c in tested]
    return [Gain(*pair, comparison) for pair, comparison in zip(pairs, made, strict=True)]


def _compare(study: Study, default: Row, tuned: Row) -> Comparison:
    """Tuned against default, unit by unit; nothing is tested where they are the same setting."""
    if default.variant == tuned.variant:
        return Comparison(tuned.variant, default.variant, None, 0, 0)
    (found,) = compare({tuned.variant: tuned.units, default.variant: default.units}, study.higher_is_better)
    return found


HEADER = ("data set", "model", "metric", "validation", "tuned", "test", "tuned", "trials", "CPU s", "on test, tuned is")


def table(shown: Sequence[Gain]) -> str:
    """Default against tuned as text, a line a study."""
    lines = [HEADER, *map(_line, shown)]
    widths = [max(len(line[i]) for line in lines) for i in range(len(HEADER))]
    return "\n".join("  ".join(cell.ljust(w) for cell, w in zip(line, widths, strict=True)).rstrip() for line in lines)


def _line(gain: Gain) -> tuple[str, ...]:
    study, metric = gain.study, gain.study.metric
    scores = [s for pair in _scores(gain.default, gain.tuned, metric) for s in pair]
    model = gain.default.label
    shown = [f"{s.mean:.4f}" if s.std is None else f"{s.mean:.4f} ± {s.std:.4f}" for s in scores]
    return study.dataset, model, metric, *shown, str(len(study.trials)), f"{study.cpu_seconds:.0f}", gain.words


def _scores(default: Row, tuned: Row, metric: str) -> Iterator[tuple[Spread, Spread]]:
    yield default.validation, tuned.validation
    yield default.scores[metric], tuned.scores[metric]
