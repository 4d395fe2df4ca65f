"""Cost against score, and figures as files."""

from __future__ import annotations

import builtins
import re
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.made import classified
from tsbench.errors import UsageError
from tsbench.figures import figures, write_figures
from tsbench.pareto import Point, chart, cost_charts, front
from tsbench.report import as_html
from tsbench.summary import boards
from tsbench.svg import titled

POINTS = st.lists(
    st.builds(Point, st.text("ab", min_size=1), st.integers(0, 5), st.integers(-5, 5), st.booleans()), min_size=1
)


@given(POINTS, st.booleans())
def test_the_front_is_what_no_point_beats(points: list[Point], higher: bool) -> None:
    def beaten(p: Point) -> bool:
        sign = 1 if higher else -1
        ranked = [q for q in points if q.ranked]
        return any(
            q.cost <= p.cost and sign * q.score >= sign * p.score and (q.cost, q.score) != (p.cost, p.score)
            for q in ranked
        )

    expected = {id(p) for p in points if p.ranked and not beaten(p)}
    found = front(points, higher)
    assert {id(p) for p in found} == expected
    assert [p.cost for p in found] == sorted(p.cost for p in found)


@given(POINTS, st.booleans())
def test_every_point_is_drawn_inside(points: list[Point], higher: bool) -> None:
    drawn = chart("t", points, "cost", "score", higher)
    tree = ElementTree.fromstring(drawn)
    marks = re.findall(r'transform="translate\(([\d.-]+),([\d.-]+)\)"', drawn)
    assert len(marks) == len(points)
    width, height = float(tree.get("width", 0)), float(tree.get("height", 0))
    assert all(0 < float(x) < width and 0 < float(y) < height for x, y in marks)


def shown() -> Any:
    return boards([classified(m, s, v, f"uea/{d}") for m, v in (("a", 0.9), ("b", 0.7)) for s in (1, 2) for d in "xy"])


def test_costs_are_drawn_with_names_and_front() -> None:
    (board, _) = shown()
    charts = cost_charts(board)
    assert list(charts) == ["fit CPU s", "process MB", "parameters"]
    assert all(">a</text>" in drawn and ">b</text>" in drawn for drawn in charts.values())
    assert cost_charts(boards([classified("a", 1, 0.9)])[0]) == {}, "one model has no rival"
    html = as_html([board], [])
    assert all(f"<title>accuracy against {cost}, uea/x</title>" in html for cost in charts)


def test_figures_are_written_as_svg_pdf_and_png(tmp_path: Path) -> None:
    pytest.importorskip("vl_convert")
    expected = dict(figures(shown()))
    assert write_figures(tmp_path, shown()) == len(expected) == 7, "three costs of two tables, and ranks against cost"
    names = {path.stem for path in tmp_path.iterdir()}
    assert len(names) == len(expected)
    for name in names:
        assert ElementTree.parse(tmp_path / f"{name}.svg").getroot().get("role") == "img"
        assert (tmp_path / f"{name}.pdf").read_bytes()[:5] == b"%PDF-"
        png = (tmp_path / f"{name}.png").read_bytes()
        assert png[:8] == b"\x89PNG\r\n\x1a\n"
        assert int.from_bytes(png[16:20], "big") == 3 * 460, "three pixels for each of the drawing's"


def test_without_the_library_it_says_what_to_install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    real = builtins.__import__

    def absent(name: str, *more: Any, **named: Any) -> Any:
        if name == "vl_convert":
            raise ImportError(name)
        return real(name, *more, **named)

    monkeypatch.setattr(builtins, "__import__", absent)
    with pytest.raises(UsageError, match=r"pip install 'tsbench\[figures\]'"):
        write_figures(tmp_path / "figures", shown())
    assert not (tmp_path / "figures").exists()


def test_drawings_of_results_cannot_run_scripts() -> None:
    bad = '<svg xmlns="http://www.w3.org/2000/svg" width="9" height="9"><script>alert("x")</script></svg>'
    html = as_html(boards([classified("a", 1, 0.5, drawings={"tree": bad})]), [])
    assert "alert(" in html, "it is there, as an image"
    assert "<script>alert" not in html
    assert titled("<svg a='1'>x</svg>", "<b>") == "<svg role=\"img\" a='1'><title>&lt;b&gt;</title>x</svg>"
