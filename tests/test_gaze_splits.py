"""Splits of scanpaths: groups never part, and what is shared is said."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import cast

import numpy as np
import pytest
import torch

from tsbench.datasets.gaze import Gaze
from tsbench.datasets.gaze_user import UserScanpaths
from tsbench.datasets.generated_search import searches
from tsbench.errors import UsageError
from tsbench.evaluate import score
from tsbench.gaze.metrics import CONVENTIONS, Conventions
from tsbench.gaze.samples import ScanpathSamples
from tsbench.gaze.scores import likelihood
from tsbench.gaze.splits import PROTOCOLS, kinship, parted, scanpath_splits
from tsbench.gaze.walk import NEVER
from tsbench.leakage import leakage
from tsbench.model import Run
from tsbench.registry import find_datasets, find_model
from tsbench.settings import NoSettings
from tsbench.tasks.scanpath import Scanpath

PARTS = ("train", "validation", "test")


def parts(splits: object) -> list[ScanpathSamples]:
    return [cast(ScanpathSamples, getattr(splits, name)) for name in PARTS]


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_what_is_split_by_is_in_one_part_only(protocol: str) -> None:
    splits = scanpath_splits(searches(), protocol, 0, True)
    by = protocol.removeprefix("by-").replace("image", "picture")
    if by == "trial":
        groups = [[tuple(row) for row in torch.cat([p.display[:, None], p.subject[:, None]], 1).tolist()]
                  for p in parts(splits)]  # fmt: skip
    else:
        groups = [list(part.groups[by]) for part in parts(splits)]
    train, validation, test = map(set, groups)
    assert not train & validation
    assert not train & test
    assert not validation & test
    assert sum(len(part) for part in parts(splits)) == len(searches().trials)
    if protocol == "by-image":
        displays = [set(part.display.tolist()) for part in parts(splits)]
        assert not displays[0] & displays[2]


def test_a_picture_shown_in_two_displays_is_in_one_part() -> None:
    scenes = searches()
    displays = tuple(replace(d, image=f"picture {i // 2}") for i, d in enumerate(scenes.displays))
    train, validation, test = parts(scanpath_splits(replace(scenes, displays=displays), "by-image", 0, True))
    pictures = [set((part.display // 2).tolist()) for part in (train, validation, test)]
    assert not pictures[0] & pictures[1]
    assert not pictures[0] & pictures[2]
    assert not pictures[1] & pictures[2]


def test_the_seed_decides() -> None:
    first, same, other = (scanpath_splits(searches(), "by-image", seed, True) for seed in (0, 0, 1))
    tests = [set(cast(ScanpathSamples, s.test).display.tolist()) for s in (first, same, other)]
    assert tests[0] == tests[1] != tests[2]


@pytest.mark.parametrize("count", [3, 5, 6, 10, 100])
def test_a_tenth_of_the_groups_is_held_out_and_at_least_one(count: int) -> None:
    groups = [f"g{i % count}" for i in range(300)]
    found = [{groups[i] for i in part.tolist()} for part in parted(groups, 4)]
    held = max(1, round(count / 10))
    assert [len(part) for part in found] == [count - 2 * held, held, held]


def test_two_groups_are_too_few() -> None:
    with pytest.raises(UsageError, match="at least 3 groups, here is 2"):
        parted(["a", "b"] * 5, 0)
    scenes = searches()
    two = replace(scenes, trials=tuple(t for t in scenes.trials if t.display < 2))
    said = "by-image needs at least 3 different pictures, not 2; protocols that work here: by-subject, by-trial$"
    with pytest.raises(UsageError, match=said):
        scanpath_splits(two, "by-image", 0, True)
    for protocol in ("by-subject", "by-trial"):
        scanpath_splits(two, protocol, 0, True)
    single = replace(scenes, trials=scenes.trials[:1])
    with pytest.raises(UsageError, match="by-trial needs at least 3 different trials, not 1; no other protocol works"):
        scanpath_splits(single, "by-trial", 0, True)


def test_where_nothing_is_searched_for_no_target_is_shared() -> None:
    scenes = searches()
    free = replace(scenes, trials=tuple(replace(t, targets=(), searched="") for t in scenes.trials))
    notes = " ".join(scanpath_splits(free, "by-image", 0, True).notes)
    assert "share a subject" in notes
    assert "share a target" not in notes
    assert "nothing is searched for" in notes
    assert "share a target" in " ".join(scanpath_splits(scenes, "by-image", 0, True).notes)
    with pytest.raises(UsageError, match="by-target needs at least 3 different targets, not 0"):
        scanpath_splits(free, "by-target", 0, True)


def test_no_centre_bias_is_said() -> None:
    """Only the objects that are farthest from the centre are fixated: the wider the bias, the better."""
    scenes = searches()
    trials = []
    for t in scenes.trials:
        display = scenes.displays[t.display]
        away = (display.boxes[:, :2] + display.boxes[:, 2:]) / 2 - np.array(display.size) / 2
        farthest = int(np.hypot(*(away / np.array(display.size)).T).argmax())
        trials.append(replace(t, objects=np.full(len(t.objects), farthest)))
    notes = scanpath_splits(replace(scenes, trials=tuple(trials)), "by-image", 0, True).notes
    assert any(note.startswith("- no centre bias found") for note in notes)
    assert not any("deviation" in note for note in notes)


def test_what_is_shared_is_counted_and_said() -> None:
    splits = scanpath_splits(searches(), "by-subject", 0, True)
    found = {overlap.source: overlap for overlap in leakage(splits) if overlap.split == "test"}
    assert found["train"].groups["subject"].samples == 0
    assert found["train"].groups["picture"] == (60, 60, 60)
    assert found["train"].copies == 60  # the same displays are searched for the same, by others
    notes = " ".join(splits.notes)
    assert "60 of 60 test samples share a picture with train (60 of 60)" in notes
    assert "test samples share a subject" not in notes
    assert "split by subject, seed 0: 180 + 60 + 60 trials of 60 displays; target's place given" in notes


def test_displays_that_look_alike_are_copies_only_if_the_same_is_searched() -> None:
    scenes = searches()
    samples = ScanpathSamples.of(scenes, given=True)
    keys = samples.keys()
    assert len(set(keys)) == len(scenes.displays)  # five people each
    twin = replace(scenes.trials[0], targets=((scenes.trials[0].targets[0] + 1) % 8,))
    moved = replace(scenes, trials=(scenes.trials[0], twin))
    assert len(set(ScanpathSamples.of(moved, given=True).keys())) == 2
    assert len(set(ScanpathSamples.of(moved, given=False).keys())) == 1  # its place is not told


def test_layouts_are_what_is_searched_where_among_what() -> None:
    scenes = searches()
    layout = kinship(scenes)["layout"]
    assert len(set(layout[:5])) == 1
    assert len(set(layout)) == 60
    same = replace(scenes.displays[1], boxes=scenes.displays[0].boxes, features=scenes.displays[0].features)
    first = scenes.trials[0]
    pair = replace(scenes, displays=(scenes.displays[0], same), trials=(first, replace(first, display=1)))
    assert len(set(kinship(pair)["layout"])) == 1
    assert len(set(kinship(pair)["picture"])) == 2


def test_the_task_is_as_long_as_the_longest_training_path() -> None:
    for seed in range(3):
        splits = scanpath_splits(searches(), "by-image", seed, True)
        assert isinstance(splits.task, Scanpath)
        train = parts(splits)[0]
        assert splits.task.steps == int((train.paths > 0).sum(1).max())
        batch = train.batch(torch.arange(len(train)))
        assert batch.inputs.shape[2] == splits.task.inputs.features
        assert batch.inputs.shape[1] <= splits.task.inputs.length


def test_the_place_of_the_target_is_given_or_hidden() -> None:
    for spec, flags in (("generated/search", 2), ("generated/search:given=false", 0)):
        batch = find_datasets(spec)[0].load(Path(), "by-image").test.batch(torch.arange(4))
        assert (batch.inputs[..., -1].sum(1) == flags).all()


def test_generated_search_prefers_what_is_near_and_alike_and_ends_at_the_target() -> None:
    scenes = searches()
    ends, alike, shares, steps, spread = [], [], [], [], []
    for t in scenes.trials:
        display = scenes.displays[t.display]
        like = [label == t.searched for label in display.labels]
        ends.append(t.objects[-1] in t.targets)
        alike.append(like[t.objects[0]])
        shares.append(np.mean(like))
        centres = (display.boxes[:, :2] + display.boxes[:, 2:]) / 2
        steps += np.hypot(*np.diff(centres[t.objects], axis=0).T).tolist()
        spread.append(np.hypot(*(centres[:, None] - centres).transpose(2, 0, 1)).mean())
        assert not set(t.targets) & set(t.objects[:-1].tolist())
    assert np.mean(ends) > 0.95
    assert np.mean(alike) > 1.3 * np.mean(shares)
    assert np.mean(steps) < 0.9 * np.mean(spread)
    assert {len(d.boxes) for d in scenes.displays} == set(range(8, 13))


def test_the_centre_bias_is_fitted_to_training_paths() -> None:
    """No other deviation makes their fixations more likely; the centre floor, which learns the same, has no gain."""
    splits = scanpath_splits(searches(), "by-image", 0, True)
    assert isinstance(splits.task, Scanpath)
    train = splits.train.batch(torch.arange(len(splits.train)))
    flat = torch.zeros(*train.target.shape, train.inputs.shape[1]).masked_fill(~train.real[:, None], NEVER)
    gains = {}
    for deviation in (0.9 * splits.task.centre, splits.task.centre, 1.1 * splits.task.centre):
        found = likelihood(flat, train, deviation)
        gains[deviation] = float(found["gain"].sum() / found["moves"].sum())
    assert min(gains, key=gains.__getitem__) == splits.task.centre
    assert gains[splits.task.centre] <= 1e-3  # chance is no better
    model = find_model("gaze_centre")(splits.task, NoSettings())
    model.fit(splits.train, splits.validation, Run())
    assert score(model, splits.train, selecting=True).values["gain"] == pytest.approx(0, abs=0.02)
    assert any(f"deviation {splits.task.centre:.3f}" in note for note in splits.notes)


def test_conventions_are_options_and_notes() -> None:
    made = UserScanpaths(first="false", longest=7, grid="4x3", scanmatch="12x8/2.5/-0.5", short="filled")
    assert made.how == Conventions(False, 7, (4, 3), (12, 8), 2.5, -0.5, pad_short=True)
    assert UserScanpaths().how == CONVENTIONS
    splits = scanpath_splits(searches(), "by-image", 0, True, made.how)
    assert cast(Scanpath, splits.task).how == made.how
    assert f"- paths compared: {made.how}" in splits.notes
    for wrong in ("grid=5", "scanmatch=16x12", "short=long", "first=no", "longest=-1"):
        with pytest.raises(UsageError, match=wrong.split("=")[0]):
            find_datasets(f"gaze/objarr:{wrong}")
    (found,) = find_datasets("gaze/objarr:scanmatch=8x6/2/0,grid=4x4,first=false")
    assert cast(Gaze, found).how == Conventions(first=False, grid=(4, 4), bins=(8, 6), threshold=2.0)
