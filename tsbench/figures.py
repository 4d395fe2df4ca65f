"""Figures of a report as files: SVG for the web, PDF for papers, PNG for slides."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from pathlib import Path

from tsbench.critical import contests, diagram
from tsbench.errors import UsageError
from tsbench.grids import drawn, grids
from tsbench.pareto import cost_charts, family_chart
from tsbench.report.page import curves, family_of
from tsbench.report.tables import honest
from tsbench.studies import Study
from tsbench.summary import Board
from tsbench.svg import titled

SCALE = 3.0  # of PNG: pixels for each of the SVG's


def figures(shown: Sequence[Board], searched: Sequence[Study] = ()) -> Iterator[tuple[str, str]]:
    """Name and SVG of every figure that compares models: what a paper would show of these tables and studies."""
    for contest in contests(shown):
        if contest.ranks:
            yield f"critical difference {contest.title}", diagram(contest.ranks, contest.groups)
    for family in dict.fromkeys(map(family_of, shown)):
        chart = family_chart(family, honest([board for board in shown if family_of(board) == family]))
        if chart:
            yield f"rank against cost {family}", chart
    for board in shown:
        name = f"{board.dataset} {board.protocol}"
        yield from ((f"{name} {cost}", chart) for cost, chart in cost_charts(board).items())
        yield from ((f"{name} curve {curve}", chart) for curve, chart in curves(board).items())
        for grid in grids(board):
            yield f"{name} {grid.model} {grid.row_setting} {grid.column_setting} {grid.rest}", drawn(grid, board)
    for study in searched:
        yield from ((f"study {study.name} {name}", chart) for name, chart in study.charts().items())


def write_figures(folder: Path, shown: Sequence[Board], searched: Sequence[Study] = ()) -> int:
    """Write each figure as SVG, PDF and PNG; how many there are.

    Raises:
        UsageError: the library that converts SVG is not installed.
    """
    try:
        import vl_convert
    except ImportError:
        raise UsageError(
            "--figures needs vl-convert-python, which turns SVG into PDF and PNG: pip install 'tsbench[figures]'"
        ) from None
    folder.mkdir(parents=True, exist_ok=True)
    used: set[str] = set()
    for title, drawing in figures(shown, searched):
        name = stem = re.sub(r"[^\w.=-]+", "_", title).strip("_")[:120]
        count = 1
        while name in used:  # tables of one name but other data
            count += 1
            name = f"{stem}_{count}"
        used.add(name)
        text = titled(drawing, title)
        (folder / f"{name}.svg").write_text(text, encoding="utf-8")
        (folder / f"{name}.pdf").write_bytes(vl_convert.svg_to_pdf(text))
        (folder / f"{name}.png").write_bytes(vl_convert.svg_to_png(text, scale=SCALE))
    return len(used)
