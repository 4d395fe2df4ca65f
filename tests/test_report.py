"""Reports: numbers against hand-made results, formats, significance, and that the page is self-contained."""

from __future__ import annotations

import csv
import re
import statistics
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.conftest import Command
from tests.made import COMMON, classified
from tsbench.caveats import units_of
from tsbench.critical import mean_ranks
from tsbench.latex import as_latex
from tsbench.registry import find_datasets, find_model, task_kinds
from tsbench.report import as_html, terminal
from tsbench.sheet import as_csv
from tsbench.summary import boards


def result(model: str, seed: int, mse: float, **more: Any) -> dict[str, Any]:
    name = "ltsf/etth1/96"
    cell = {"dataset": name, "protocol": "paper", "model": model, "settings": {}, "seed": seed, "test": True}
    values = {"mse": mse, "mae": mse / 2}
    return COMMON | {
        "key": f"{model}{seed}", "cell": cell, "variant": model, "finished": f"2026-01-0{seed}",
        "data": {"label": name, "name": name, "family": "ltsf", "digest": "d", "generated": False,
                 "sources": [], "samples": {"test": 100}},
        "task": {"kind": "Forecasting", "look_back": 336, "horizon": 96, "channels": 7, "season": 24},
        "scores": {"validation": values, "test": values},
        "units": {"test": {"mse": [mse + i * 0.01 for i in range(8)]}},
        "curves": [{"train_loss": 1.0, "validation_mse": mse}], **more,
    }  # fmt: skip


RESULTS = [result("dlinear", s, m) for s, m in ((1, 0.37), (2, 0.39), (3, 0.38))] + [result("repeat", 1, 1.29)]


def test_mean_spread_rank_and_published_difference() -> None:
    (board,) = boards(RESULTS)
    best, last = board.rows
    assert (best.variant, best.rank, last.variant, last.rank) == ("dlinear", 1, "repeat", 2)
    assert best.scores["mse"].mean == pytest.approx(0.38)
    assert best.scores["mse"].std == pytest.approx(statistics.stdev([0.37, 0.39, 0.38]))
    assert last.scores["mse"].std is None
    assert last.difference("mse") == pytest.approx(1.29 - 1.295)  # Table 2: Repeat on ETTh1-96
    assert {p.model for p in board.absent} == {"linear", "nlinear", "fedformer", "autoformer", "informer"}


def test_rows_never_mix_code_or_data() -> None:
    newer = result("dlinear", 4, 0.5, code="changed")
    (board,) = boards([*RESULTS, newer])
    assert next(r for r in board.rows if r.variant == "dlinear").seeds == [4]


def test_published_scores_stand_beside_published_settings_only() -> None:
    (board,) = boards([*RESULTS, result("repeat", 1, 1.0, variant="repeat:x=1")])
    assert not next(r for r in board.rows if r.variant == "repeat:x=1").published


def test_a_single_seed_is_said() -> None:
    (board,) = boards([result("dlinear", 1, 0.4)])
    assert any("one seed only" in w and "dlinear" in w for w in board.warnings)


def test_terminal_csv_and_latex_agree() -> None:
    shown = boards(RESULTS)
    text = terminal(shown, [])
    assert "0.3800 ± 0.0100" in text
    assert "protocol paper" in text
    rows = list(csv.DictReader(as_csv(shown).splitlines()))
    row = next(r for r in rows if (r["variant"], r["metric"]) == ("dlinear", "mse"))
    assert float(row["mean"]) == pytest.approx(0.38)
    assert (row["seeds"], row["rank"]) == ("1 2 3", "1")
    assert row["source"].startswith("Zeng et al.")
    assert r"$\mathbf{0.3800 \pm 0.0100}$" in as_latex(shown)


@pytest.fixture
def oracle(monkeypatch: pytest.MonkeyPatch) -> list[dict[str, Any]]:
    """Results of which those of the best model are told the answers, and of which one metric means nothing."""
    kind = find_model("seasonal_naive")
    monkeypatch.setattr(kind, "told", "test answers")
    monkeypatch.setattr(kind, "meaningless", ("mae",))
    return [*RESULTS, result("seasonal_naive", 1, 0.1)]


def test_who_is_told_answers_has_a_score_but_no_rank(oracle: list[dict[str, Any]]) -> None:
    shown = boards(oracle)
    told, best, last = shown[0].rows
    assert (told.label, told.rank) == ("seasonal_naive (told test answers)", 0)
    assert (best.variant, best.rank, last.rank) == ("dlinear", 1, 2)
    assert [row.variant for row in shown[0].ranked] == ["dlinear", "repeat"]
    assert any("no test" in w and "seasonal_naive (told test answers)" in w for w in shown[0].warnings)
    text = terminal(shown, [])
    assert re.search(
        r"^ +-  seasonal_naive \(told test answers\) +0\.1000 .* - ", text, re.MULTILINE
    )  # mse, but no mae
    assert "dlinear against repeat" in text
    assert {name for c in shown[0].comparisons for name in (c.first, c.second)} == {"dlinear", "repeat"}
    rows = {(r["variant"], r["metric"]): r for r in csv.DictReader(as_csv(shown).splitlines())}
    assert (rows["seasonal_naive", "mse"]["rank"], rows["seasonal_naive", "mse"]["told"]) == ("", "test answers")
    assert ("seasonal_naive", "mae") not in rows
    assert r"$\mathbf{0.3800" in as_latex(shown)
    html = as_html(shown, [])
    assert html.count('class="best"') == 1
    assert html.count(">seasonal_naive (told test answers)</a></td>") == 1, "in the table"
    assert html.count("know more than others may: seasonal_naive (told test answers)</p>") == 1, "and in a warning"
    assert "It is told test answers: its scores have no rank" in html


def test_who_is_told_answers_is_in_no_mean_rank_and_is_no_bar(
    oracle: list[dict[str, Any]], monkeypatch: pytest.MonkeyPatch
) -> None:
    assert set(mean_ranks(boards(oracle) * 2)) == {"dlinear", "repeat"}
    assert mean_ranks(boards(oracle[-1:])) == {}
    (dataset,) = find_datasets("ltsf/etth1/96")
    monkeypatch.setattr(type(dataset), "bar", "seasonal_naive")
    assert not any(row.below for row in boards(oracle)[0].rows)


def test_a_difference_has_a_size_an_interval_and_a_unit() -> None:
    random = np.random.default_rng(0)
    noise = random.normal(size=(3, 40)) / 100
    results = [
        result(name, 1, 0.3 + i / 10, units={"test": {"mse": (0.3 + i / 10 + noise[i]).tolist()}})
        for i, name in enumerate(("dlinear", "nlinear", "repeat"))
    ]
    shown = boards(results)
    first = shown[0].comparisons[0]
    assert first.difference is not None
    assert first.difference == pytest.approx(-0.1, abs=0.01)
    (line,) = (line for line in terminal(shown, []).splitlines() if " against " in line)
    said = r"dlinear against nlinear: mse (-0\.\d+) \[-0\.\d+, -0\.\d+\] over 40 blocks, better in 100 % of resamples"
    found = re.search(said, line)
    assert found is not None, line
    assert float(found[1]) == pytest.approx(first.difference, abs=1e-4)
    assert line.endswith(", Holm-corrected over 3 pairs)")
    html = as_html(shown, [])
    assert f"<td>{first.size}</td><td>100.0 %</td>" in html
    assert "40 of 40 blocks" in html


def test_units_are_called_by_their_noun() -> None:
    nouns = {kind.__name__: units_of(kind) for kind in task_kinds().values()}
    assert (nouns["Scanpath"], nouns["Classification"], nouns["MultiLabel"]) == ("displays", "samples", "labels")
    assert nouns["Forecasting"] == "blocks"
    assert nouns["NextItem"] == "users"
    assert "units" not in nouns.values()


def test_what_only_describes_comes_last_and_is_no_warning() -> None:
    noted = result("dlinear", 1, 0.4)
    noted["data"] = noted["data"] | {"notes": ["- split <so>", "5 of 9 test samples occur in train"]}
    shown = boards([noted])
    lines = [line for line in terminal(shown, []).splitlines() if line[:4] in ("  ! ", "  - ")]
    assert lines[-2:] == ["  ! 5 of 9 test samples occur in train", "  - split <so>"]
    html = as_html(shown, [])
    assert '<p class="note">- split &lt;so&gt;</p>' in html
    assert '<p class="warning">5 of 9 test samples occur in train</p>' in html


def test_trained_models_behind_one_that_is_not_are_told_where_no_bar_is_named() -> None:
    worse = [result("nlinear", s, 2.0) for s in (1, 2)]
    (board,) = boards([*RESULTS, *worse, result("ols", 1, 0.3)])
    (said,) = (w for w in board.warnings if w.startswith("trained, but behind"))
    assert said == "trained, but behind a model that is not: dlinear (behind ols), nlinear (behind repeat)"
    assert not any("trained, but" in w for w in boards(RESULTS)[0].warnings)


def test_too_few_units_are_told_before_anybody_reads_the_order() -> None:
    (board,) = boards(RESULTS)
    assert len(board.rows[0].units) == 8
    assert not any("too few" in w for w in board.warnings), "8 units are enough for one pair"
    names = ("dlinear", "repeat", "nlinear", "linear", "ols")
    (board,) = boards([result(m, 1, 0.3 + i / 10) for i, m in enumerate(names)])
    said = "too few blocks (8) for a test of these 5 models: 9 are needed before any two can differ significantly"
    assert said in board.warnings
    assert not any(pair.significant for pair in board.comparisons)


def test_a_row_of_a_csv_stands_against_the_first() -> None:
    noise = np.random.default_rng(1).normal(size=(2, 12)) / 50
    units = {"dlinear": 0.38 + noise[0], "nlinear": 0.4 + noise[1]}
    made = [
        result(m, s, float(u.mean()) + s / 1000, units={"test": {"mse": (u + s / 1000).tolist()}})
        for m, u in units.items()
        for s in (1, 2, 3)
    ]
    (board,) = boards(made)
    lines = {(r["variant"], r["metric"]): r for r in csv.DictReader(as_csv([board]).splitlines())}
    (pair,) = board.comparisons
    behind = lines["nlinear", "mse"]
    assert pair.difference is not None
    assert pair.interval is not None
    assert pair.effect is not None
    assert float(behind["behind"]) == pytest.approx(-pair.difference)
    assert (float(behind["behind_low"]), float(behind["behind_high"])) == (-pair.interval[1], -pair.interval[0])
    assert (float(behind["effect"]), float(behind["p"])) == (-pair.effect, pair.p)
    assert lines["dlinear", "mse"]["behind"] == lines["nlinear", "mae"]["behind"] == "", "the first; not tested"
    low, high = (float(lines["dlinear", "mse"][f"seeds_{end}"]) for end in ("low", "high"))
    first = board.rows[0]
    assert (low, high) == first.over_seeds
    assert min(first.scores["mse"].values) <= low < first.scores["mse"].mean < high <= max(first.scores["mse"].values)
    (few,) = boards(made[:2])
    assert few.rows[0].over_seeds is None
    latex = as_latex([board])
    assert f"${pair.turned.effect:+.2f}$" in latex
    assert "$^\\circ$ no significant difference" in latex
    assert (r"^{\circ}" in latex) == (not pair.significant)


def test_groups_are_in_the_order_of_their_numbers() -> None:
    groups = {name: {"accuracy": 0.5} for name in ("shelf 10", "shelf 9", "a", "10", "9 b")}
    html = as_html(boards([classified("a", 1, 0.4, groups={"test": {"display": groups}})]), [])
    table = html.split("accuracy by display</summary>")[1]
    assert re.findall(r'<td class="name">(.*?)</td>', table)[:5] == ["9 b", "10", "a", "shelf 9", "shelf 10"]


class Page(HTMLParser):
    """Collects what a page would load, and whether its tags match."""

    def __init__(self) -> None:
        super().__init__()
        self.loads: list[str] = []
        self.open: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.loads += [v or "" for k, v in attrs if k in ("src", "href") and not (v or "").startswith("#")]
        if tag not in ("meta", "input", "line", "path", "polyline", "rect"):
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        if tag not in ("line", "path", "polyline", "rect"):
            assert self.open.pop() == tag


def test_page_is_whole_and_loads_nothing() -> None:
    harmful = result("dlinear", 5, 0.4, variant="<script>alert(1)</script>")
    html = as_html(boards([*RESULTS, harmful]), [{**harmful, "reason": "<b>bad</b>"}])
    page = Page()
    page.feed(html)
    assert page.loads == []
    assert page.open == []
    assert "<script>alert" not in html
    assert "<b>bad" not in html
    assert "Holm" in html


def test_report_command_writes_every_format(tsbench: Command, tmp_path: Path) -> None:
    run = (
        "run",
        "--dataset",
        "sktime/airline/12",
        "--model",
        "dlinear",
        "--model",
        "repeat",
        "--seeds",
        "2",
        "--no-report",
    )
    assert tsbench(*run).returncode == 0
    done = tsbench("report", "--csv", "o/a.csv", "--latex", "o/a.tex", "--html", "o/a.html")
    assert done.returncode == 0, done.stderr
    html = (tmp_path / "o" / "a.html").read_text()
    assert html.count("<svg") >= 4, "curves and predictions"
    assert len(re.findall(r"<tr", html)) >= 3
    assert (tmp_path / "o" / "a.tex").read_text().count(r"\toprule") == 3, "one table a metric, one of the data set"
