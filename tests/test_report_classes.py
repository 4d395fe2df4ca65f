"""Reports of classifiers: intervals, confusions, the bar, test selection, published models, older results."""

from __future__ import annotations

import csv
import re
from pathlib import Path

import pytest
from scipy.stats import binomtest

from tests.made import classified
from tests.test_report import Page
from tsbench.dataset import Published
from tsbench.datasets.generated import Shapes
from tsbench.latex import as_latex
from tsbench.plan import Suite, make_plan
from tsbench.report import as_html, terminal
from tsbench.run import Options, run_cell
from tsbench.sheet import as_csv
from tsbench.store import Store
from tsbench.summary import boards
from tsbench.tasks.classification import Classification


def test_a_small_test_set_has_an_interval_whatever_the_seeds() -> None:
    (board,) = boards([classified("a", 1, 0.4, test=15), classified("a", 2, 0.6, test=15)])
    (row,) = board.rows
    expected = binomtest(15, 30).proportion_ci(0.95, method="wilson")
    assert row.interval is not None
    assert row.interval[0] < expected.low < expected.high < row.interval[1], "wider than that of 30 cases"
    assert row.interval == pytest.approx((0.2742, 0.7258), abs=1e-4), "of 7.5 in 15"
    shown = [board]
    assert "0.274-0.726" in terminal(shown, [])
    assert "0.274-0.726" in as_html(shown, [])
    assert r"[0.27, 0.73]" in as_latex(shown)
    first, second = list(csv.DictReader(as_csv(shown).splitlines()))[:2]
    assert float(first["interval_high"]) == pytest.approx(row.interval[1])
    assert second["interval_high"] == "", "of the primary metric only"
    large = boards([classified("a", 1, 0.4, test=50)])
    assert "interval" not in terminal(large, []) + as_html(large, [])
    assert "Wilson" not in as_latex(large)


@pytest.fixture
def barred(monkeypatch: pytest.MonkeyPatch) -> None:
    """A bar for data sets that name none."""
    monkeypatch.setattr(Shapes, "bar", "constant")


@pytest.mark.usefixtures("barred")
def test_trained_models_below_the_bar_are_flagged() -> None:
    scores = {"constant": 0.9, "rna_cnn": 0.8, "rna_lstm": 0.95, "rna_resnet": 0.9, "kmer_ridge": 0.7, "gone": 0.6}
    results = [classified(m, 1, v, "generated/shapes") for m, v in scores.items()]
    shown = boards(results)
    warning = "↓ below constant (accuracy 0.9000): rna_cnn"
    assert warning in shown[0].warnings, "ridge is not trained by gradient descent, nor is what is no longer here"
    text = terminal(shown, [])
    assert "rna_cnn ↓" in text
    assert [line.split()[1] for line in text.splitlines()[2:] if line.split()[2:3] == ["↓"]] == ["rna_cnn"]
    assert "rna_cnn ↓" in as_html(shown, [])
    assert {r["variant"] for r in csv.DictReader(as_csv(shown).splitlines()) if r["below_bar"] == "True"} == {"rna_cnn"}
    assert as_latex(shown).count(r"$0.8000^{\downarrow}$") == 1
    (absent,) = boards([r for r in results if r["variant"] != "constant"])
    assert any("constant, the cheap model" in w and "was not run" in w for w in absent.warnings)
    (reached,) = boards([r for r in results if r["variant"] != "rna_cnn"])
    assert not any("↓" in w for w in reached.warnings)


@pytest.mark.usefixtures("barred")
def test_a_report_of_some_models_still_knows_the_bar() -> None:
    results = [classified(m, 1, v, "generated/shapes") for m, v in (("constant", 0.9), ("rna_cnn", 0.8), ("gone", 1.0))]
    (board,) = boards(results, models=["rna_*"])
    assert [(row.variant, row.rank, row.below) for row in board.rows] == [("rna_cnn", 1, True)]
    assert "↓ below constant (accuracy 0.9000): rna_cnn" in board.warnings
    assert boards(results, models=["nothing"]) == []


@pytest.mark.parametrize(
    ("scores", "warned"), [([0.5, 0.7], True), ([0.7, 0.7], False), ([0.7, 0.5], False), ([None, None], False)]
)
def test_more_epochs_may_help_only_where_the_last_was_best(scores: list[float | None], warned: bool) -> None:
    """A score that stays is no progress, and where validation chose nothing there is no score."""
    curves = [{"train_loss": 1.0} | ({} if s is None else {"validation_accuracy": s}) for s in scores]
    result = classified("rna_cnn", 1, 0.7, curves=curves)
    result["cell"] = result["cell"] | {"settings": {"epochs": 2}}
    (board,) = boards([result])
    assert any("more epochs may help" in warning for warning in board.warnings) == warned


def test_confusions_of_all_seeds_are_added_and_drawn_with_names() -> None:
    shown = boards([classified("a", s, 0.5, confusion=[[30, 20 + s], [s, 49]]) for s in (1, 2)])
    assert shown[0].rows[0].tables == {"confusion": [[60, 43], [3, 98]]}
    html = as_html(shown, [])
    assert "Confusion of a on test, sum of seeds 1 2" in html
    for text in (">43<", ">up<", ">down<"):
        assert text in html


def test_results_of_older_code_still_report() -> None:
    old = classified("old", 1, 0.5, confusion=[[50, 50], [0, 0]])
    del old["tables"], old["data"]["selected_on_test"]
    for part in ("validation", "test"):
        old["scores"][part] = {"accuracy": 0.5, "macro_f1": 0.5, "mcc": 0.0}
    shown = boards([old, classified("new", 1, 0.6)])
    (line,) = (line for line in terminal(shown, []).splitlines() if " old " in line)
    assert "-" in line.split(), "no log-loss"
    assert as_html(shown, []).count("<summary>Confusion of") == 1
    assert len(list(csv.DictReader(as_csv(shown).splitlines()))) == 9
    assert as_latex(shown).count("--") >= 2
    assert "log_loss" in terminal(boards([old]), [])


def test_selection_on_test_is_said_with_every_table() -> None:
    results = [classified(m, 1, 0.5, protocol=p) for m in "ab" for p in ("validation", "test-selected")]
    marked, plain = (boards(results, protocol=p) for p in ("test-selected", "validation"))
    for make in (lambda shown: terminal(shown, []), as_latex, lambda shown: as_html(shown, [])):
        assert "selected on test" in make(marked).lower().replace("-", " ")
        assert "scores too good" in make(marked)
        assert "scores too good" not in make(plain)
    assert re.search(r"<caption[^>]*>[^<]*SELECTED ON TEST", as_html(marked, []))
    both = terminal(boards(results), [])
    assert "mean rank of the models" not in both, "one table is left to count"


def test_published_models_are_sorted_and_their_protocol_and_defects_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    def published(self: Shapes) -> list[Published]:
        return [
            Published("generated/shapes", "validation", name, "accuracy", value, "Table 1", note, defect)
            for name, value, note, defect in (
                ("low", 0.5, "", ""), ("high", 0.9, "one run", ""), ("middle", 0.7, "", "peeked"),
                ("constant", 0.6, "", ""),
            )
        ] + [Published("generated/shapes", "other", "elsewhere", "accuracy", 1.0, "Table 2")]  # fmt: skip

    monkeypatch.setattr(Shapes, "published", published)
    (board,) = boards([classified("constant", 1, 0.5, "generated/shapes")])
    assert [p.model for p in board.absent] == ["high", "middle", "low"]
    html = as_html([board], [])
    assert "Published models that were not run here (3 scores, protocol validation)" in html
    assert "0.7 †" in html
    assert "† peeked" in html
    assert "one run" in html


def test_cost_is_the_cpu_time_of_all_fits() -> None:
    shown = boards([classified("a", 1, 0.5)])
    header, line = terminal(shown, []).splitlines()[1:3]
    assert "fit CPU s" in header
    assert "5.00" in line.split()
    (row, *_) = csv.DictReader(as_csv(shown).splitlines())
    assert (row["fit_seconds"], row["fit_cpu_seconds"]) == ("1.0", "5.0")


def test_the_terminal_shows_a_few_metrics_and_the_page_all() -> None:
    shown = boards([classified("a", 1, 0.5)])
    header = terminal(shown, []).splitlines()[1]
    assert header.split()[2:5] == ["accuracy↑", "macro_f1↑", "log_loss↓"]
    assert terminal(shown, []).splitlines()[-1].startswith("↑ higher is better, ↓ lower; all columns")
    html = as_html(shown, [])
    assert all(html.count(f"<th>{metric}</th>") == 1 for metric in Classification.metrics)
    first, rest = html.split(" more metrics</summary>")
    assert [m for m in Classification.metrics if f"<th>{m}</th>" in first] == ["accuracy", "macro_f1", "log_loss"]
    assert "<th>mcc</th>" in rest


def test_a_page_of_classifiers_is_whole() -> None:
    scores = {"a": 0.9, "b<i>": 0.8, "c": 0.7}
    results = [
        classified(m, 1, v - i / 50, f"uea/set{i}", labels=("x<b>", "y"), test=20)
        for m, v in scores.items()
        for i in range(9)
    ]
    html = as_html(boards(results), [])
    page = Page()
    page.feed(html)
    assert (page.loads, page.open) == ([], [])
    assert "<b>" not in html
    assert "<i>" not in html
    assert "uea, protocol validation: 9 data sets together" in html
    assert "Friedman test over 9 data sets" in html


def test_a_run_keeps_counts_and_series(tmp_path: Path) -> None:
    plan = make_plan(Suite("", ("generated/shapes",), ("constant",)), [1], {}, tmp_path)
    ((key, cell),) = plan.cells.items()
    store = Store(tmp_path)
    assert run_cell(cell, key, store, Options(tmp_path)) == "finished"
    (result,) = store.results()
    assert [sum(row) for row in result["tables"]["test"]["confusion"]] == [20, 20, 20]
    assert result["data"]["selected_on_test"] is False
    assert "bump" in Classification.figure(result["examples"])
    assert "Confusion of constant on test" in as_html(boards([result]), [])
