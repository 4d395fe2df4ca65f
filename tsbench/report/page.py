"""One self-contained HTML page: an overview, and a page each for families, data sets, models and studies."""

from __future__ import annotations

import re
import statistics
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any
from urllib.parse import quote

import tsbench
from tsbench.caveats import PLAIN, units_of
from tsbench.critical import Contest, contests, diagram, mean_ranks
from tsbench.grids import drawn, grids
from tsbench.pareto import cost_charts, family_chart
from tsbench.registry import task_from_record
from tsbench.report.models import ModelPage, model_pages
from tsbench.report.tables import (
    between,
    duel,
    groups,
    honest,
    leaderboard_cells,
    people,
    rest,
    score,
    seed_cells,
    show,
)
from tsbench.stats import RESAMPLES
from tsbench.store import Result
from tsbench.studies import Study, gains
from tsbench.summary import Board, Row
from tsbench.svg import COLOURS, DASHES, Line, line_chart, titled

TEST_NAME = "Wilcoxon signed-rank test on the seeds' mean, two-sided, Holm-corrected over all pairs of a table"
MOST_EXAMPLES = 3  # rows of a table whose predictions are drawn; with more, the page grows by megabytes


@dataclass(frozen=True)
class BoardPage:
    """The page of one data set under one protocol; `id` is what links lead to."""

    id: str
    board: Board

    @property
    def family(self) -> str:
        """Family of the data."""
        return family_of(self.board)

    @property
    def duel(self) -> str:
        """The best model against the second, in words."""
        return duel(self.board)

    @property
    def warnings(self) -> list[str]:
        """What changes how a score may be read; mere descriptions are left out."""
        return [warning for warning in self.board.warnings if not warning.startswith(PLAIN)]

    @property
    def seeds(self) -> str:
        """Seeds a model, `3` or `1 to 5`."""
        return _range(len(row.seeds) for row in self.board.rows)

    def parts(self) -> dict[str, Any]:
        """What the template shows of it."""
        board = self.board
        header, *body = leaderboard_cells(board)
        examples = [row for row in board.rows if "examples" in row.results[0]]
        best = next((row for row in examples if row.rank), None)
        return {
            "header": header,
            "lines": list(zip(board.rows, body, strict=True)),
            "rest": rest(board, header),
            "over_seeds": seed_cells(board),
            "people": people(board),
            "units": units_of(board.kind),
            "costs": cost_charts(board),
            "grids": [drawn(grid, board) for grid in grids(board)],
            "curves": curves(board),
            "groups": list(groups(board)),
            "charts": [(row, *chart) for row in board.rows for chart in _charts(row)],
            "drawings": [
                (row, name, _image(text))
                for row in board.rows
                for name, text in row.results[0].get("drawings", {}).items()
            ],
            "examples": [
                (row, board.kind.figure(row.results[0]["examples"]), row is best) for row in examples[:MOST_EXAMPLES]
            ],
            "undrawn": [row.label for row in examples[MOST_EXAMPLES:]],
        }


@dataclass(frozen=True)
class FamilyPage:
    """The page of a family: its tables, what holds over all of them, and what failed."""

    name: str
    id: str
    pages: list[BoardPage]
    contests: list[tuple[Contest, str]]
    ranks: dict[str, float]
    counted: int
    failures: list[Result]

    @property
    def boards(self) -> list[Board]:
        """Its tables."""
        return [page.board for page in self.pages]

    @property
    def rows(self) -> list[Row]:
        """All rows of its tables."""
        return [row for board in self.boards for row in board.rows]

    @property
    def models(self) -> int:
        """Number of different models; variants of one count once."""
        return len({row.model for row in self.rows})

    @property
    def cells(self) -> int:
        """Number of finished cells that are shown."""
        return sum(len(row.seeds) for row in self.rows)

    @property
    def seeds(self) -> str:
        """Seeds a model, over all tables."""
        return _range(len(row.seeds) for row in self.rows)

    @property
    def warnings(self) -> int:
        """How many warnings its tables have."""
        return sum(len(page.warnings) for page in self.pages)

    @property
    def chart(self) -> str:
        """Mean rank against cost, over the tables that may be counted together."""
        return family_chart(self.name, honest(self.boards))


def as_html(shown: Sequence[Board], failures: Sequence[Result], searched: Sequence[Study] = ()) -> str:
    """One page with tables, curves, examples and tests; it opens from disk and loads nothing."""
    from jinja2 import Environment, PackageLoader

    environment = Environment(
        loader=PackageLoader("tsbench.report", "."), autoescape=True, trim_blocks=True, lstrip_blocks=True
    )
    environment.globals |= {"titled": titled, "score": score, "show": show, "between": between, "diagram": diagram}
    pages = [BoardPage(f"data-{i}", board) for i, board in enumerate(shown, 1)]
    models = model_pages([(page.id, page.board) for page in pages])
    found = families(pages, failures)
    return environment.get_template("page.jinja").render(
        pages=pages,
        families=found,
        models=models,
        links={model.name: model.id for model in models},
        general=general(models, found),
        warnings=listed_warnings(pages),
        failures=failures,
        studies=searched,
        gains=gains(searched, shown),
        machines=sorted({_machine(r["environment"]) for b in shown for row in b.rows for r in row.results}),
        version=tsbench.__version__,
        made=datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC"),
        test_name=TEST_NAME,
        resamples=RESAMPLES,
    )


def families(pages: Sequence[BoardPage], failures: Sequence[Result]) -> list[FamilyPage]:
    """Tables by family, in the order of their names; what failed belongs to the family that its data set names."""
    names = dict.fromkeys([*sorted({p.family for p in pages}), *sorted({_failed_in(f) for f in failures})])
    found = []
    for i, name in enumerate(names, 1):
        own = [page for page in pages if page.family == name]
        compared, counted = contests([page.board for page in own]), honest([page.board for page in own])
        ranks = mean_ranks(counted) if len(counted) > 1 and not any(c.ranks for c in compared) else {}
        found.append(
            FamilyPage(
                name=name,
                id=f"family-{i}",
                pages=own,
                contests=[(contest, diagram(contest.ranks, contest.groups)) for contest in compared],
                ranks=ranks,
                counted=len(counted),
                failures=[failure for failure in failures if _failed_in(failure) == name],
            )
        )
    return found


def family_of(board: Board) -> str:
    """The family of a table's data."""
    return str(board.first["data"]["family"])


def _failed_in(failure: Result) -> str:
    return str(failure["cell"]["dataset"].split("/")[0])


def general(models: Sequence[ModelPage], found: Sequence[FamilyPage]) -> list[tuple[ModelPage, list[str]]]:
    """Models that run in two families or more: in each, its mean rank, out of how many, in how many tables."""
    rows = []
    for model in models:
        places: dict[str, list[tuple[int, int]]] = defaultdict(list)
        for _, board, row in model.best():
            places[family_of(board)].append((row.rank, len(board.ranked)))
        if len(places) > 1:
            rows.append((model, [_place(places.get(family.name, [])) for family in found]))
    return rows


def _place(places: Sequence[tuple[int, int]]) -> str:
    if not places:
        return "-"
    rank, of = (statistics.fmean(values) for values in zip(*places, strict=True))
    return f"{rank:.1f} of {of:.1f} ({len(places)})"


def listed_warnings(pages: Sequence[BoardPage]) -> list[tuple[str, list[tuple[BoardPage, str]]]]:
    """Warnings of one kind together, the most frequent first, each with its table and its words."""
    kinds: dict[str, list[tuple[BoardPage, str]]] = defaultdict(list)
    for page in pages:
        for warning in page.warnings:
            kind = re.split(r"[:(]", re.sub(r"\d[\d.,]*", "…", warning))[0].strip()
            kinds[kind].append((page, warning))
    return sorted(kinds.items(), key=lambda item: -len(item[1]))


def _range(counts: Iterable[int]) -> str:
    different = sorted(set(counts)) or [0]
    return str(different[0]) if len(different) == 1 else f"{different[0]} to {different[-1]}"


def _machine(made: dict[str, Any]) -> str:
    revision = f"revision {made['git'][:12]}{'+changes' if '+' in made['git'] else ''}, " if made.get("git") else ""
    return f"tsbench {made['tsbench']}, {revision}Python {made['python']}, torch {made['torch']}, {made['processor']}"


def _charts(row: Row) -> list[tuple[str, str]]:
    """Name and drawing of what the test counted, over all seeds."""
    return list(task_from_record(row.results[0]["task"]).charts(row.tables).items()) if row.tables else []


def _image(drawing: str) -> str:
    """An SVG from a result file as the address of an image: shown, but no script in it would run."""
    return "data:image/svg+xml," + quote(drawing, safe=" /:=',.;()-")


def curves(board: Board) -> dict[str, str]:
    """One chart a curve (training loss, validation score): every trained model, its first seed."""
    trained = [row for row in board.rows if row.results[0]["curves"]]
    names = dict.fromkeys(name for row in trained for name in row.results[0]["curves"][0])
    charts = {}
    for name in names:
        values = [[epoch[name] for epoch in row.results[0]["curves"] if name in epoch] for row in trained]
        lines = [Line(trained[i].variant, x, COLOURS[i % 8], DASHES[i % 8], 1) for i, x in enumerate(values)]
        chart = line_chart(name.replace("_", " "), lines, width=460, height=220, x_label="epochs")
        if chart:
            charts[name.replace("_", " ")] = chart
    return charts
