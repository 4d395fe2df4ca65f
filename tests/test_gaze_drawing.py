"""Drawings of scanpaths: what is counted, and what the SVG shows of it."""

from __future__ import annotations

import json
from typing import Any
from xml.etree import ElementTree

import pytest
import torch

from tests.test_gaze_floors import everything, samples, shelf, trial
from tsbench.data import Batch
from tsbench.gaze.drawing import (
    AMPLITUDES,
    DIRECTIONS,
    FOUND,
    LENGTHS,
    length_histograms,
    saccade_histograms,
    scanpath_examples,
    scanpath_figure,
    search_curve,
    tallies,
)

SVG = "{http://www.w3.org/2000/svg}"


@pytest.fixture
def batch() -> Batch:
    """A search on a shelf of 2 x 3 (objects 0 1 2 above, 3 4 5 below), one of 9, and free viewing."""
    displays = [shelf(2, 3), shelf(3, 3, "b")]
    trials = [trial(0, [0, 1, 1, 4, 0], 4), trial(1, [3, 5], 8), trial(1, [2], None)]
    return everything(samples(displays, trials))


def elements(figure: str, kind: str) -> list[Any]:
    """All elements of a kind."""
    return list(ElementTree.fromstring(figure).iter(SVG + kind))


def texts(figure: str) -> list[str]:
    """All words."""
    return [str(element.text) for element in elements(figure, "text")]


def figure_of(batch: Batch) -> str:
    """Human paths, drawn; the model's most probable one stays at object 0, its drawn one is the human one."""
    greedy = torch.tensor([1, 1, 1, 0]).expand(3, 1, 4)
    return scanpath_figure(json.loads(json.dumps(scanpath_examples(batch, greedy, batch.target[:, None]))))


def test_tallies(batch: Batch) -> None:
    """Counted by hand."""
    found = tallies(batch, batch.target)
    assert (found["found"][3], found["found"][FOUND], sum(found["found"])) == (1, 1, 2)  # the fourth fixation; never
    lengths = dict(zip(LENGTHS, found["length"], strict=True))
    assert {k: v for k, v in lengths.items() if v} == {5: 1, 2: 1, 1: 1}
    assert found["returns"][:4] == [2, 0, 1, 0]  # 1 again at once, and 0 at the end
    # in units: 1, 0, 1, sqrt 2, and 2 on the other shelf
    assert len(found["amplitude"]) == AMPLITUDES
    assert found["amplitude"][:5] == [1, 0, 3, 0, 1]
    # right and right; down; up to the left, which lies between two sectors of 30 degrees
    assert found["direction"][0] == 2
    assert found["direction"][3 * DIRECTIONS // 4] == 1
    assert sum(found["direction"][4:6]) == 1
    assert sum(found["direction"]) == 4


def test_tallies_of_long_paths() -> None:
    """What is beyond the last bin is in it."""
    path = [0, 1] * 60
    batch = everything(samples([shelf(1, 40)], [trial(0, [*path, 39, 0], 39)]))
    found = tallies(batch, batch.target)
    assert found["length"][-1] == found["returns"][-1] == 1
    assert found["found"][FOUND] == 1
    assert found["amplitude"][-1] == 2


def test_paths_are_drawn_over_boxes(batch: Batch) -> None:
    """A panel a trial and kind; every box, every object fixated once, the target framed."""
    figure = figure_of(batch)
    targets = [rect for rect in elements(figure, "rect") if rect.get("class") == "target"]
    assert len(targets) == 2 * 3
    assert len(elements(figure, "rect")) == 3 * (6 + 9 + 9) + 9
    assert len(elements(figure, "circle")) == 2 * (3 + 2 + 1) + 3
    lines = [line.get("points").split() for line in elements(figure, "polyline")]
    assert [len(line) for line in lines[::3]] == [5, 2, 1]
    assert len(set(lines[1])) == 1
    words = texts(figure)
    assert {"1, 5", "2-3", "4", "1-3"} <= set(words)
    assert "5 fixations, ends elsewhere" in words
    assert "1 fixation" in words
    assert "first test trial: human" in words


def test_dots_lie_in_the_boxes_they_stand_for(batch: Batch) -> None:
    """The first path starts in the first box."""
    figure = figure_of(batch)
    box = elements(figure, "rect")[1]
    x, y = map(float, elements(figure, "polyline")[0].get("points").split()[0].split(","))
    assert float(box.get("x")) < x < float(box.get("x")) + float(box.get("width"))
    assert float(box.get("y")) < y < float(box.get("y")) + float(box.get("height"))


def test_search_curve() -> None:
    """It ends at the share that was found; where nothing is searched for there is none."""
    human, model = [0] * (FOUND + 1), [0] * (FOUND + 1)
    human[0], human[3], model[3], model[FOUND] = 1, 3, 1, 3
    first, second = (
        [tuple(map(float, p.split(","))) for p in line.get("points").split()]
        for line in elements(search_curve({"found": [human, model]}), "polyline")
    )
    assert len(first) == len(second) == 5  # 0 to 4 fixations
    top, base = first[-1][1], first[0][1]
    assert base - second[-1][1] == pytest.approx((base - top) / 4, abs=0.2)
    assert base - first[1][1] == pytest.approx((base - top) / 4, abs=0.2)
    assert search_curve({"found": [[0] * (FOUND + 1)] * 2}) == ""


def test_histograms_show_shares(batch: Batch) -> None:
    """Bars are as high as the share, however many paths there are; the model's outline is there beside them."""
    human = tallies(batch, batch.target)
    tables = {name: [row, [10 * count for count in row]] for name, row in human.items()}
    for figure in (saccade_histograms(tables), length_histograms(tables)):
        assert sum(path.get("class") == "model" for path in elements(figure, "path")) == 2
        assert texts(figure).count("human") == texts(figure).count("model") == 2
    directions = ElementTree.fromstring(saccade_histograms(tables))[1]
    heights = [float(rect.get("height", 0)) for rect in directions.iter(SVG + "rect")][1:]
    assert heights[0] == max(heights)
    assert heights[9] == pytest.approx(heights[0] / 2, abs=0.2)
    (outline,) = [p for p in directions.iter(SVG + "path") if p.get("class") == "model"]
    base = float(str(outline.get("d")).split("V")[-1])
    assert float(str(outline.get("d")).split("V")[1].split("H")[0]) == pytest.approx(base - heights[0], abs=0.2)


def test_histograms_of_nothing() -> None:
    """No path at all: charts without bars, no error."""
    empty = {"amplitude": [[0] * AMPLITUDES] * 2, "direction": [[0] * DIRECTIONS] * 2}
    assert "step direction" in texts(saccade_histograms(empty))
