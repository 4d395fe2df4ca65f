"""Reports from the results: leaderboards for the terminal, CSV, LaTeX and one self-contained HTML page."""

from __future__ import annotations

import argparse
import fnmatch
import itertools
import re
import statistics
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import tsbench
from tsbench.caveats import PLAIN
from tsbench.critical import contest_text, contests, diagram, mean_ranks
from tsbench.dataset import Published
from tsbench.errors import TsbenchError
from tsbench.grids import drawn, grids
from tsbench.latex import as_latex
from tsbench.registry import names_of, task_from_record
from tsbench.sheet import as_csv
from tsbench.stats import RESAMPLES, Comparison, compare
from tsbench.store import Result, Store
from tsbench.summary import Board, Row, Spread, boards
from tsbench.svg import COLOURS, DASHES, Line, line_chart
from tsbench.tasks.task import Task

TEST_NAME = "Wilcoxon signed-rank test on the seeds' mean, two-sided, Holm-corrected over all pairs of a table"
PEOPLE = "human_"  # begins the metrics of human answers
COLUMNS = (
    "↑ higher is better, ↓ lower; all columns, and under 'What is measured' what they are: tsbench report --html FILE"
)


def write_reports(args: argparse.Namespace) -> int:
    """Print the leaderboards and write the files asked for."""
    store = Store(args.results)
    wanted = [name for spec in args.dataset for name in sorted(names_of(spec))]
    shown = boards(store.results(), wanted, args.protocol, args.model)
    known = ((failure, names_of(failure["cell"]["dataset"])) for failure in store.failures())
    failures = [f for f, names in known if not wanted or any(fnmatch.filter(names, w) for w in wanted)]
    if not shown and not failures:
        raise TsbenchError(
            f"no results in {store.root} match; run something first, for example tsbench run --suite quick"
        )
    print(terminal(shown, failures))
    for path, make in ((args.csv, as_csv), (args.latex, as_latex)):
        if path:
            _write(path, make(shown))
    if args.html:
        _write(args.html, as_html(shown, failures))
    return 0


def leaderboard(store: Store, datasets: Iterable[str], protocol: str | None) -> str:
    """The terminal tables of some data sets."""
    return terminal(boards(store.results(), list(datasets), protocol), [])


def _write(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")
    print(f"written: {path}")


# ---------------------------------------------------------------- terminal


def terminal(shown: Sequence[Board], failures: Sequence[Result]) -> str:
    """All leaderboards as plain text."""
    parts = [_board_text(board) for board in shown]
    if shown:
        parts[-1] += f"\n{COLUMNS}"
    compared = contests(shown)
    parts += map(contest_text, compared)
    honest = _honest(shown)
    if len(ranks := mean_ranks(honest)) > 1 and len(honest) > 1 and not any(c.ranks for c in compared):
        lines = [f"  {rank:5.2f}  {variant}" for variant, rank in ranks.items()]
        parts.append(f"mean rank of the models in all {len(honest)} tables\n" + "\n".join(lines))
    if failures:
        lines = [f"  {r['cell']['dataset']} {r['variant']} seed {r['cell']['seed']}: {r['reason']}" for r in failures]
        parts.append(f"{len(failures)} failed cells (they run again with their command)\n" + "\n".join(lines))
    return "\n\n".join(parts)


def _honest(shown: Sequence[Board]) -> list[Board]:
    """The tables whose scores may be counted together: none that TEST selected."""
    return [board for board in shown if board.ranked and not board.selected_on_test]


def _board_text(board: Board) -> str:
    header, *body = _cells(board, board.kind.shown)
    metrics = board.kind.metrics
    header = [f"{name}{'↑' if metrics[name].higher_is_better else '↓'}" if name in metrics else name for name in header]
    widths = [max(len(line[i]) for line in (header, *body)) for i in range(len(header))]

    def line(cells: Sequence[str]) -> str:
        padded = [c.ljust(w) if i == 1 else c.rjust(w) for i, (c, w) in enumerate(zip(cells, widths, strict=True))]
        return "  " + "  ".join(padded).rstrip()

    lines = [
        f"{board.title}, {board.test_samples} test samples, ranked by {board.kind.primary}",
        line(header),
        *(line(cells) for cells in body),
    ]
    if len(board.ranked) > 1:
        first, second = board.ranked[:2]
        pair = next(c for c in comparisons(board) if {c.first, c.second} == {first.variant, second.variant})
        lines.append(f"  {first.variant} against {second.variant}: {_found(pair, board.kind)}")
    flagged = dict.fromkeys(p.defect for row in board.rows for p in row.published.values() if p.defect)
    lines += [f"  † {defect}" for defect in flagged]
    if others := {p.model for p in board.absent}:
        lines.append(f"  {len(others)} published models that were not run here are in the HTML report")
    lines += [f"  {warning}" if warning.startswith(PLAIN) else f"  ! {warning}" for warning in board.warnings]
    return "\n".join(lines)


def _found(pair: Comparison, kind: type[Task]) -> str:
    """A comparison in one line: difference and interval, over how many units, and whether it is significant."""
    if pair.better is None:
        return pair.words
    size = f"{kind.primary} {pair.size} over {pair.units:,} {units_of(kind)}"
    return f"{size}, better in {100 * pair.better:.3g} % of resamples of these; {pair.words}"


def units_of(kind: type[Task]) -> str:
    """What the units of a task are called, `users`; `units` where it takes a sentence to say."""
    found = re.match(r"an? (\w+)", kind.unit)
    return f"{found[1]}s" if found else "units"


def _cells(board: Board, chosen: Sequence[str] = ()) -> list[list[str]]:
    """Header and rows of a leaderboard as text; what was published stands beside our own score of the same metric.

    All metrics are shown unless some are `chosen`; those that were published are shown in any case.
    """
    primary = board.kind.primary
    published = [metric for metric in board.kind.metrics if any(metric in row.published for row in board.rows)]
    others = [m for m in _measured(board) if m != primary and (not chosen or m in chosen or m in published)]
    bounded = any(row.interval for row in board.rows)
    header = ["rank", "model", primary, *(["95 % interval"] if bounded else []), *others, "seeds"]
    for metric in published:
        header += [f"published {metric}", "difference"]
    header += ["fit CPU s", "process MB", "parameters"]
    body = []
    for row in board.rows:
        cells = [str(row.rank or "-"), row.label + (" ↓" if row.below else ""), _score(row, primary)]
        if bounded:
            cells.append("{:.3f}-{:.3f}".format(*row.interval) if row.interval else "-")
        cells += [*(_score(row, metric) for metric in others), str(len(row.seeds))]
        for metric in published:
            difference = row.difference(metric)
            if difference is None:
                cells += ["-", "-"]
            else:
                cells += [f"{row.published[metric].value:g}{flag(row.published[metric])}", f"{difference:+.4f}"]
        body.append([*cells, f"{row.fit_cpu_seconds:.2f}", f"{row.memory_mb:.0f}", str(row.parameters)])
    return [header, *body]


def _measured(board: Board) -> list[str]:
    """The metrics that tell models apart; those of people are the same for all."""
    return [metric for metric in board.kind.metrics if not metric.startswith(PEOPLE)]


def _people(board: Board) -> dict[str, float]:
    """Metric -> what people score on the test set, of a task that has such metrics."""
    scores = {metric: score.mean for row in reversed(board.rows) for metric, score in row.scores.items()}
    return {m.removeprefix(PEOPLE): scores[m] for m in board.kind.metrics if m.startswith(PEOPLE) and m in scores}


def _rest(board: Board, header: Sequence[str]) -> list[list[str]]:
    """Header and rows of the metrics that a table with this header leaves out; nothing if there are none."""
    left = [m for m in _measured(board) if m not in header and any(m in row.scores for row in board.rows)]
    body = [[str(row.rank or "-"), row.label, *(_score(row, metric) for metric in left)] for row in board.rows]
    return [["rank", "model", *left], *body] if left else []


def _score(row: Row, metric: str) -> str:
    """A score with its spread; results of older code may lack a metric."""
    return show(row.scores[metric]) if metric in row.scores else "-"


def flag(published: Published) -> str:
    """A dagger if the code behind a published score is known to be wrong."""
    return " †" if published.defect else ""


def show(spread: Spread) -> str:
    """`0.3768 ± 0.0099`; a single value has no spread."""
    return f"{spread.mean:.4f}" if spread.std is None else f"{spread.mean:.4f} ± {spread.std:.4f}"


# ---------------------------------------------------------------- page


def as_html(shown: Sequence[Board], failures: Sequence[Result]) -> str:
    """One page with tables, curves, examples and tests; it opens from disk and loads nothing."""
    from jinja2 import Environment, PackageLoader

    environment = Environment(
        loader=PackageLoader("tsbench", "."), autoescape=True, trim_blocks=True, lstrip_blocks=True
    )
    honest, compared = _honest(shown), contests(shown)
    machines = sorted({_machine(r["environment"]) for b in shown for row in b.rows for r in row.results})
    return environment.get_template("report.jinja").render(
        boards=[_page(board) for board in shown],
        ranks=mean_ranks(honest) if len(honest) > 1 and not any(c.ranks for c in compared) else {},
        ranked=len(honest),
        contests=[(contest, diagram(contest.ranks, contest.groups)) for contest in compared],
        failures=failures,
        machines=machines,
        version=tsbench.__version__,
        made=datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC"),
        test_name=TEST_NAME,
        resamples=RESAMPLES,
    )


def _machine(made: dict[str, Any]) -> str:
    revision = f"revision {made['git'][:12]}{'+changes' if '+' in made['git'] else ''}, " if made.get("git") else ""
    return f"tsbench {made['tsbench']}, {revision}Python {made['python']}, torch {made['torch']}, {made['processor']}"


def _page(board: Board) -> dict[str, Any]:
    """What the template needs of a board."""
    header, *body = _cells(board, board.kind.shown)
    examples = [row for row in board.rows if "examples" in row.results[0]]
    best = next((row for row in examples if row.rank), None)
    return {
        "board": board,
        "header": header,
        "body": body,
        "rest": _rest(board, header),
        "people": _people(board),
        "units": units_of(board.kind),
        "metrics": board.kind.metrics,
        "comparisons": comparisons(board),
        "grids": [drawn(grid, board) for grid in grids(board)],
        "curves": curves(board),
        "groups": list(_groups(board)),
        "charts": [(row, *chart) for row in board.rows for chart in _charts(row)],
        "drawings": [(row.label, *pair) for row in board.rows for pair in row.results[0].get("drawings", {}).items()],
        "examples": [(row.label, board.kind.figure(row.results[0]["examples"]), row is best) for row in examples],
    }


def _charts(row: Row) -> list[tuple[str, str]]:
    """Name and drawing of what the test counted, over all seeds."""
    return list(task_from_record(row.results[0]["task"]).charts(row.tables).items()) if row.tables else []


def _groups(board: Board) -> Iterator[tuple[str, str, list[list[str]]]]:
    """For each kind of group and shown metric: both, and a table of groups by models, means over seeds."""
    found = [[r.get("groups", {}).get("test", {}) for r in row.results] for row in board.rows]
    kinds = dict.fromkeys(kind for seeds in found for groups in seeds for kind in groups)
    for kind, metric in itertools.product(kinds, board.kind.shown):
        columns = [_means([groups[kind] for groups in seeds if kind in groups], metric) for seeds in found]
        names = sorted({name for column in columns for name in column}, key=_natural)
        if names:
            cells = [[name, *(f"{c[name]:.4f}" if name in c else "" for c in columns)] for name in names]
            yield kind, metric, [[kind, *(row.label for row in board.rows)], *cells]


def _natural(name: str) -> list[str | int]:
    """Sort key that puts `shelf 9` before `shelf 10`."""
    return [int(part) if i % 2 else part for i, part in enumerate(re.split(r"(\d+)", name))]


def _means(seeds: Sequence[Mapping[str, Mapping[str, float]]], metric: str) -> dict[str, float]:
    """Mean of a metric over seeds, of each group that has it in all of them."""
    names = [name for name in (seeds[0] if seeds else ()) if all(metric in seed.get(name, {}) for seed in seeds)]
    return {name: statistics.fmean(seed[name][metric] for seed in seeds) for name in names}


def comparisons(board: Board) -> list[Comparison]:
    """Paired tests between all ranked models of a board, on the primary metric."""
    higher = board.kind.metrics[board.kind.primary].higher_is_better
    return compare({row.variant: row.units for row in board.ranked}, higher)


def curves(board: Board) -> list[str]:
    """One chart a curve (training loss, validation score): every trained model, its first seed."""
    trained = [row for row in board.rows if row.results[0]["curves"]]
    names = dict.fromkeys(name for row in trained for name in row.results[0]["curves"][0])
    charts = []
    for name in names:
        values = [[epoch[name] for epoch in row.results[0]["curves"] if name in epoch] for row in trained]
        lines = [Line(trained[i].variant, x, COLOURS[i % 8], DASHES[i % 8], 1) for i, x in enumerate(values)]
        charts.append(line_chart(name.replace("_", " "), lines, width=460, height=220, x_label="epochs"))
    return charts
