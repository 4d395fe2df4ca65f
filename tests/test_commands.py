"""Lists of models and data sets; the page of a task with many metrics."""

from __future__ import annotations

import re
from pathlib import Path

from tests.conftest import Command
from tests.test_report import Page
from tsbench.plan import Suite, make_plan
from tsbench.report import as_html
from tsbench.run import Options, run_cell
from tsbench.store import Store
from tsbench.summary import boards


def test_models_are_listed_by_what_they_do(tsbench: Command) -> None:
    listed = tsbench("list", "models")
    assert listed.returncode == 0, listed.stderr
    sections = dict(re.findall(r"^models: (.*)\n((?:  .*\n)+)", listed.stdout, re.MULTILINE))
    assert re.search(r"^  dlinear +\S", sections["classification, forecasting"], re.MULTILINE)
    assert re.search(r"^  repeat +\S", sections["forecasting"], re.MULTILINE)
    assert re.search(r"^  gaze_markov +\S", sections["scanpath"], re.MULTILINE)
    assert "dlinear" not in sections["scanpath"]


def test_data_sets_are_listed_in_a_line_each(tsbench: Command, tmp_path: Path) -> None:
    folder = tmp_path / "data" / "gaze" / "AmazonBookCovers"
    folder.mkdir(parents=True)
    (folder / "Amazon.json").write_text("{}")
    listed = tsbench("data", "list").stdout
    lines = dict(re.split(r" {2,}", line) for line in listed.splitlines() if "  " in line)
    assert lines["gaze/amazon"] == "there"
    assert lines["gaze/objarr"] == "missing"
    assert lines["ltsf/etth1/96 and 3 more"] == "missing"
    assert re.search(r"^need no file: .*generated/shapes", listed, re.MULTILINE)
    assert re.search(r"Amazon\.json +there", tsbench("data", "list", "gaze/amazon").stdout)


def test_a_page_of_many_metrics(tmp_path: Path) -> None:
    plan = make_plan(Suite("", ("generated/search",), ("gaze_nearest", "gaze_markov")), [1], {}, tmp_path)
    store = Store(tmp_path)
    for key, cell in plan.cells.items():
        assert run_cell(cell, key, store, Options(tmp_path)) == "finished"
    (board,) = boards(store.results())
    for row in board.rows:
        row.results[0].setdefault("examples", {})
    html = as_html([board], [])
    page = Page()
    page.feed(html)
    assert (page.loads, page.open) == ([], [])
    table, rest = html.split(" more metrics</summary>")
    heads = re.findall(r"<th(?: class=\"name\")?>(.*?)</th>", table)
    assert sorted(name for name in heads if name in board.kind.metrics) == sorted(board.kind.shown)
    assert "<th>scanmatch</th>" in rest
    assert "<th>human_length</th>" not in html
    people = board.rows[0].scores["human_length"].mean
    assert re.search(rf"People on these test samples: .*length {people:.4f}[,.]", html)
    assert re.findall(r"<details open[^>]*><summary>(Predictions of .*?) against", html) == [
        "Predictions of gaze_markov"
    ]
    assert board.rows[0].variant == "gaze_nearest"
