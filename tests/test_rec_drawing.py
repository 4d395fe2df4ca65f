"""Drawings of recommendations: what examples keep, and what figures say with it."""

from __future__ import annotations

import json
from typing import Any
from xml.etree import ElementTree

from tests.test_rec_task import HISTORIES, ITEMS, LINE, TARGETS, everything, samples, scored, task
from tsbench.rec.drawing import SHOWN, history_examples
from tsbench.rec.scores import LIST, Ranked
from tsbench.tasks.next_item import NextItem


def examples(**changed: Any) -> dict[str, Any]:
    """Of the four users above, through JSON."""
    answer = Ranked(LINE, LINE.topk(LIST).indices, None)
    return json.loads(json.dumps(history_examples(answer, everything(samples()), mask=True))) | changed


def words(figure: str) -> list[str]:
    """All text of a drawing, which must be well-formed."""
    return [element.text or "" for element in ElementTree.fromstring(figure).iter() if element.tag.endswith("text")]


def test_examples_are_the_ends_of_histories_and_what_would_be_seen() -> None:
    """And all their items, for titles."""
    found = examples()
    assert found["histories"] == [list(row) for row in HISTORIES]
    assert found["targets"] == [list(row) for row in TARGETS]
    assert found["lists"][2] == [0, 2, 4, 6, 10, 11, 12, 13, 14, 15]
    assert found["items"] == [*range(16), 20, 21, 22, 29]
    long = samples([list(range(12)), []], [[20], [21]])
    assert history_examples(Ranked(LINE[:2], LINE[:2], None), everything(long), True)["histories"][0] == [*range(4, 12)]
    assert SHOWN == 8


def test_histories_are_drawn_with_and_without_titles() -> None:
    """Hits are ticked; titles are escaped; what is long is cut."""
    plain = words(NextItem.figure(examples()))
    assert "✓ item 3" in plain
    assert "✓ 1. item 3" in plain
    assert "took before (0 of 0)" in plain
    titles = {str(i): f"<b>Title & {i}</b>" for i in range(ITEMS)} | {"3": "x" * 300}
    titled = words(NextItem.figure(examples(titles=titles)))
    assert any(text.startswith("✓ xxx") and text.endswith("…") for text in titled)
    assert "<b>Title & 0</b>" in titled
    assert sum(text.startswith("✓") for text in titled) == 6  # three hits, each in two columns


def test_charts_of_counts() -> None:
    """Ranks with their shares; popularity only where lists were made."""
    charts = task().charts(tables := scored(LINE, everything(samples())).tables)
    ranks = words(charts["ranks of targets"])
    assert "ranks of 7 targets" in ranks
    assert {"1", "2-5", "6-10", "51-100", "over 100", "in no list", "28.6%"} <= set(ranks)
    assert "first 10 recommended" in words(charts["popularity"])
    assert set(task().charts({"ranks": tables["ranks"]})) == {"ranks of targets"}
