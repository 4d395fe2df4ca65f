"""Rules from fixations to paths over objects: each alone, on a display made for it."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest

from tsbench.errors import DataError, UsageError
from tsbench.gaze.rules import Rules, apply
from tsbench.gaze.scene import Display, Scenes, Trial

# a wide box, a small one inside it, and one apart; 200 x 100 px
BOXES = np.array([[0, 0, 80, 80], [20, 20, 40, 40], [150, 40, 190, 60]], np.float32)
DISPLAY = Display("made", (200, 100), BOXES, np.zeros((3, 0), np.float32))


def scenes(*paths: Sequence[tuple[float, float]], targets: tuple[int, ...] = (2,), objects: int = -1) -> Scenes:
    trials = []
    for path in paths:
        points, many = np.array(path, float).reshape(-1, 2), len(path)
        none = np.full(many, objects)
        trials.append(Trial(0, "s", np.zeros(0), targets, points, np.arange(many) * 10.0, none))
    return Scenes((DISPLAY,), tuple(trials))


def objects(made: Scenes, **rules: object) -> list[list[int]]:
    return [t.objects.tolist() for t in apply(made, Rules(**rules)).trials]  # type: ignore[arg-type]


def test_the_smallest_box_that_holds_a_fixation_counts() -> None:
    path = [(30, 30), (60, 60), (170, 50), (20, 20), (100, 90)]
    found = apply(scenes(path), Rules())
    assert found.trials[0].objects.tolist() == [1, 0, 2, 1, -1]
    assert np.array_equal(found.trials[0].points, path)  # raw points stay, those on no object too
    assert any("smallest counts: 2" in note for note in found.notes)
    assert any("80.0 % of fixations" in note for note in found.notes)


def test_what_rules_did_is_one_line_without_zeros() -> None:
    (note,) = apply(scenes([(60, 60)]), Rules()).notes
    assert note == "- 1 trial, 1 fixation as recorded; in a box: 100.0 % of fixations"
    note, hint = apply(scenes([(30, 30), (110, 50)], [(30, 30), (-1, 1)]), Rules()).notes
    assert "; off the display: 1 fixation, left out; " in note
    assert note.endswith("; 1 of 3 fixations (33.3 %) is on no object and left out")
    assert hint.startswith("33.3 % of fixations are on no object")
    assert "near=PX or nowhere=nearest" in hint


@pytest.mark.parametrize(("off", "hinted"), [(1, False), (2, True)])
def test_rules_that_would_use_more_are_named_above_a_tenth(off: int, hinted: bool) -> None:
    made = scenes([(30, 30)] * (10 - off) + [(110, 50)] * off)
    assert any("near=PX" in note for note in apply(made, Rules()).notes) == hinted
    assert not any("near=PX" in note for note in apply(made, Rules(nowhere="nearest")).notes)


@pytest.mark.parametrize(("near", "expected"), [(0, -1), (29, -1), (30, 0), (200, 0)])
def test_near_is_measured_from_the_edge(near: int, expected: int) -> None:
    assert objects(scenes([(30, 30), (110, 50)]), near=near) == [[1, expected]]


def test_nearest_is_measured_from_the_centre() -> None:
    # 120 is 40 px from the edge of box 0 and 30 from that of box 2; centres are 80 and 50 px away
    assert objects(scenes([(84, 40)]), nowhere="nearest") == [[0]]
    assert objects(scenes([(110, 40)]), nowhere="nearest") == [[2]]
    assert objects(scenes([(110, 40)]), near=35) == [[0]]  # the nearest edge, 30 px, is that of box 0


def test_fixations_off_the_display_go_or_are_moved_to_its_edge() -> None:
    made = scenes([(-5, 30), (30, 30), (205, 130)])
    assert objects(made) == [[1]]
    moved = apply(made, Rules(outside="clamp")).trials[0]
    assert moved.points.tolist() == [[0, 30], [30, 30], [200, 100]]
    assert moved.objects.tolist() == [0, 1, -1]
    assert any("off the display: 2 fixations, left out" in note for note in apply(made, Rules()).notes)


def test_only_the_first_fixation_is_the_initial_one() -> None:
    made = scenes([(100, 50), (100, 50), (30, 30)], [(30, 30), (100, 50)])
    assert [len(path) for path in objects(made)] == [3, 2]
    assert [len(path) for path in objects(made, initial="central", central=10)] == [2, 2]
    assert [len(path) for path in objects(made, initial="drop", nowhere="nearest")] == [2, 1]
    assert apply(made, Rules(initial="central", central=10)).trials[0].durations.tolist() == [10, 20]


def test_a_cut_path_ends_at_its_own_first_target() -> None:
    made = scenes([(30, 30), (170, 50), (30, 30), (170, 50)], [(30, 30), (60, 60)], [(170, 50), (30, 30)])
    assert objects(made, cut="target") == [[1, 2], [1, 0], [2]]
    assert objects(made, cut="never") == [[1, 2, 1, 2], [1, 0], [2, 1]]


def test_trials_of_odd_length_go() -> None:
    made = scenes(*[[(30, 30)] * n for n in [2] * 20 + [30]])
    assert len(objects(made)) == 21
    kept = apply(made, Rules(deviations=3))
    assert len(kept.trials) == 20
    assert any("1 trial left out whose length is over 3 SD" in note for note in kept.notes)


def test_trials_on_no_object_go() -> None:
    made = scenes([(100, 90)], [(30, 30)], [])
    assert objects(made) == [[1]]
    assert any("2 trials without a fixation" in note for note in apply(made, Rules()).notes)
    with pytest.raises(DataError, match="no trial is left"):
        apply(scenes([(100, 90)]), Rules())


def test_recorded_objects_stay() -> None:
    made = scenes([(30, 30), (100, 90)], objects=2)
    assert objects(made, on="recorded") == [[2, 2]]


@pytest.mark.parametrize("rule", [{"near": 5}, {"nowhere": "nearest"}])
def test_recorded_objects_know_no_boxes(rule: dict[str, object]) -> None:
    with pytest.raises(UsageError, match="on=recorded takes no box"):
        Rules(on="recorded", **rule)  # type: ignore[arg-type]


@pytest.mark.parametrize("field", ["initial", "outside", "on", "nowhere", "cut"])
def test_a_word_that_no_rule_knows_is_refused(field: str) -> None:
    with pytest.raises(UsageError, match=f"unknown value of {field} 'dorp'"):
        Rules(**{field: "dorp"})  # type: ignore[arg-type]
