"""A lab's own recordings: read back as written, and faults told with file, line or field."""

from __future__ import annotations

import json
import re
from argparse import Namespace
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from tests.conftest import Command
from tsbench.datasets.gaze_user import UserScanpaths, open_path
from tsbench.datasets.generated_search import searches
from tsbench.errors import DataError, MissingData, UsageError
from tsbench.explain import find_cell
from tsbench.gaze.files import FIXATIONS, SCENES, read_folder, write_folder
from tsbench.registry import dataset_label, find_datasets
from tsbench.store import Store

OBJECTS = [
    {"name": "cola", "box": [10, 20, 110, 220], "label": "drink"},
    {"name": "water", "box": [120, 20, 220, 220], "label": "drink"},
    {"name": "bread", "box": [230, 20, 330, 220], "label": "food"},
]
SHELVES = {"displays": [{"name": f"shelf {i}", "size": [400, 300], "objects": OBJECTS} for i in range(3)]}
LINES = ["display,subject,order,x,y,duration_ms,searched,target"] + [
    f"shelf {i},{who},{order},{60 + 110 * order},100,{200 + order},bread,bread"
    for i in range(3)
    for who in ("ann", "bob")
    for order in (2, 1, 0)
]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Three shelves of three things, seen by two people from left to right."""
    return write(tmp_path / "lab")


def write(folder: Path, scenes: Any = SHELVES, lines: list[str] = LINES) -> Path:
    folder.mkdir(exist_ok=True)
    (folder / SCENES).write_text(json.dumps(scenes))
    (folder / FIXATIONS).write_text("\n".join(lines) + "\n")
    return folder


def test_what_is_written_is_read(tmp_path: Path) -> None:
    write_folder(searches(), tmp_path / "made")
    read = read_folder(tmp_path / "made")
    for ours, theirs in zip(searches().displays, read.displays, strict=True):
        assert (ours.name, ours.size, ours.unit, ours.labels) == (theirs.name, theirs.size, theirs.unit, theirs.labels)
        assert np.array_equal(ours.boxes, theirs.boxes)
        assert np.array_equal(ours.features, theirs.features)
    for a, b in zip(searches().trials, read.trials, strict=True):
        assert (a.display, a.subject, a.targets, a.searched) == (b.display, b.subject, b.targets, b.searched)
        assert np.array_equal(a.points, b.points)
        assert np.array_equal(a.durations, b.durations)
        assert np.array_equal(a.cue, b.cue)
    dataset = UserScanpaths(path=tmp_path / "made" / SCENES)
    found = dataset.load(tmp_path, "by-image")
    paths = [found.train.batch(torch.tensor([i])).target[0].tolist() for i in range(len(found.train))]
    wanted = {tuple([*(t.objects + 1).tolist(), 0]) for t in searches().trials}
    assert all(tuple(path) in wanted for path in paths)  # the boxes give the objects back


def test_fixations_come_in_their_order_and_labels_are_features(folder: Path) -> None:
    scenes = read_folder(folder)
    assert len(scenes.trials) == 6
    trial = scenes.trials[0]
    assert trial.points[:, 0].tolist() == [60, 170, 280]
    assert trial.durations.tolist() == [200, 201, 202]
    assert trial.targets == (2,)
    assert scenes.displays[0].features.tolist() == [[1, 0], [1, 0], [0, 1]]  # drink, food
    assert trial.cue.tolist() == [0, 1]


def test_durations_and_targets_may_be_left_out(tmp_path: Path) -> None:
    lines = ["display,subject,order,x,y", "shelf 0,ann,1,60,100", "shelf 0,ann,2,170,100"]
    (trial,) = read_folder(write(tmp_path / "free", lines=lines)).trials
    assert np.isnan(trial.durations).all()
    assert trial.targets == ()
    assert trial.cue.tolist() == [0, 0]


def test_what_is_absent_looks_like_its_label(tmp_path: Path) -> None:
    lines = ["display,subject,order,x,y,searched", "shelf 0,ann,1,60,100,drink"]
    (trial,) = read_folder(write(tmp_path / "absent", lines=lines)).trials
    assert trial.targets == ()
    assert trial.cue.tolist() == [1, 0]


def test_several_targets_and_trials(tmp_path: Path) -> None:
    lines = ["display,subject,order,x,y,target,trial"]
    lines += [f"shelf 0,ann,1,60,100,cola; bread,{trial}" for trial in "ab"]
    scenes = read_folder(write(tmp_path / "two", lines=lines))
    assert [t.targets for t in scenes.trials] == [(0, 2), (0, 2)]
    assert scenes.trials[0].cue.tolist() == [0.5, 0.5]


def _scenes(change: Callable[[Any], object]) -> Callable[[Path], None]:
    def edit(folder: Path) -> None:
        content = json.loads((folder / SCENES).read_text())
        change(content["displays"])
        (folder / SCENES).write_text(json.dumps(content))

    return edit


def _line(number: int, text: str) -> Callable[[Path], None]:
    def edit(folder: Path) -> None:
        lines = (folder / FIXATIONS).read_text().splitlines()
        lines[number - 1] = text
        (folder / FIXATIONS).write_text("\n".join(lines))

    return edit


def _places(change: Callable[[float], float]) -> Callable[[Path], None]:
    def edit(folder: Path) -> None:
        rows = [line.split(",") for line in LINES]
        changed = [[*row[:3], str(change(float(row[3]))), str(float(row[4]) / 400), *row[5:]] for row in rows[1:]]
        (folder / FIXATIONS).write_text("\n".join(",".join(row) for row in [rows[0], *changed]))

    return edit


FAULTS: list[tuple[Callable[[Path], object], str]] = [
    (_scenes(lambda d: d[1].pop("size")), "display 'shelf 1' has no field `size`"),
    (_scenes(lambda d: d[1].update(name="shelf 0")), "display 2 is called 'shelf 0', as 1 is"),
    (_scenes(lambda d: d[1].update(objects=[])), "'shelf 1' has no objects"),
    (_scenes(lambda d: d[1]["objects"][2].update(box=[1, 2, 3])), "object 'bread': `box` is not 4 finite numbers"),
    (_scenes(lambda d: d[1]["objects"][2].update(box=[9, 2, 3, 4])), "object 'bread': `box` is .* Write left, top"),
    (_scenes(lambda d: d[1]["objects"][2].update(name="cola")), "object 'cola': its name is taken"),
    (_scenes(lambda d: d[1]["objects"][2].update(features=[1])), "'shelf 1': not all objects have equally many"),
    (_scenes(lambda d: [o.update(features=[1]) for o in d[1]["objects"]]), "displays have no or 1 features"),
    (_scenes(lambda d: d.clear()), "`displays` is empty"),
    (lambda folder: (folder / SCENES).write_text('{"displays":\n ['), r"scenes.json:2: is no JSON"),
    (_line(1, "display,subject,order,x"), r"fixations.csv:1: no column y"),
    (_line(1, "display,Subject,order,x,y"), "Did you mean 'Subject'"),
    (_line(1, "display;subject;order;x;y"), "separated by ';' here; save the file with commas"),
    (_places(lambda x: 1000 + x), r"fixations.csv: no fixation can be right: x is from 1060 to 1280.* 400 x 300.*px"),
    (_places(lambda x: x / 400), r"fixations.csv: no fixation can be right: x is from 0.15 to 0.7 .*px"),
    (_line(3, "shelf 0,ann,1,,100,1,bread,bread"), r"fixations.csv:3: column `x`: '' is not a finite number"),
    (_line(3, "shelf 9,ann,1,1,100,1,bread,bread"), r"fixations.csv:3: column `display`: 'shelf 9' is not in"),
    (_line(3, "shelf 0,ann,1,1,100,1,bread,jam"), r"fixations.csv:3: column `target`: 'jam' is no object"),
    (_line(3, "shelf 0,ann,2,1,100,1,bread,bread"), r"fixations.csv:3: column `order`: 2 is there twice"),
    (_line(3, "shelf 0,,2,1,100,1,bread,bread"), r"fixations.csv:3: column `subject` is empty"),
    (_line(3, "shelf 0,ann,1,1,100,soon,bread,bread"), r"fixations.csv:3: column `duration_ms`: 'soon'"),
]


@pytest.mark.parametrize(("spoil", "message"), FAULTS)
def test_a_fault_is_told_where_it_is(folder: Path, spoil: Callable[[Path], object], message: str) -> None:
    read_folder(folder)
    spoil(folder)
    with pytest.raises(DataError, match=message):
        read_folder(folder)


def test_it_is_a_data_set_by_path(folder: Path) -> None:
    (dataset,) = find_datasets(f"{folder}/{SCENES}:given=false,near=5")
    assert dataset.name == "scenes/lab"
    assert dataset_label(dataset) == "scenes/lab:given=false,near=5"
    assert open_path(folder) == open_path(folder / FIXATIONS) == UserScanpaths(path=folder.resolve() / SCENES)
    assert open_path(folder.parent / "other.csv") is None
    splits = dataset.load(folder, "by-image")
    assert [len(part) for part in (splits.train, splits.validation, splits.test)] == [2, 2, 2]
    before = dataset.digest(folder)
    write(folder, lines=LINES[:-1])
    assert dataset.digest(folder) != before
    (folder / FIXATIONS).unlink()
    with pytest.raises(MissingData, match=r"fixations\.csv is not there"):
        dataset.digest(folder)


def test_a_path_that_was_run_is_a_name_everywhere(folder: Path, tsbench: Command) -> None:
    ran = tsbench("run", "--dataset", f"lab/{SCENES}", "--model", "gaze_random", "--no-report")
    assert ran.returncode == 0, ran.stderr
    for name in (f"lab/{SCENES}", f"{folder}/{SCENES}", "lab", f"lab/{FIXATIONS}", "scenes/lab"):
        assert "scenes/lab, protocol by-image" in tsbench("report", "--dataset", name).stdout, name
    other = write(folder.parent / "other")
    assert tsbench("report", "--dataset", f"{other}/{SCENES}").returncode == 2
    assert tsbench("data", "check", "lab", f"lab/{SCENES}:seed=1").stdout.count("good: 2 + 2 + 2 samples") == 2
    write(other, lines=[line for line in LINES if "shelf 2" not in line])
    assert "can be read; scenes/other: by-image needs at least 3" in tsbench("data", "check", "other").stdout
    (other / FIXATIONS).write_text("")
    bad = tsbench("data", "check", "lab", "other")
    assert bad.returncode == 1
    assert re.findall(r"^(\w+): (good|BAD)", bad.stdout, re.MULTILINE) == [("lab", "good"), ("other", "BAD")]


def test_a_cell_of_ones_own_data_is_explained_by_any_path(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store = Store(folder.parent / "results")
    cell = {"dataset": f"lab/{SCENES}", "model": "vsformer", "protocol": "by-image", "seed": 1}
    found = {
        "key": "k",
        "status": "finished",
        "cell": cell,
        "variant": "vsformer",
        "data": {"label": "scenes/lab"},
        "finished": "1",
    }
    store.write("k", found)
    store.path("artifacts", "k").mkdir(parents=True)
    monkeypatch.chdir(folder.parent)
    asked = {"cell": None, "model": "vsformer", "protocol": None, "seed": None, "results": store.root}
    for name in (f"lab/{SCENES}", f"{folder}/{SCENES}", "lab", "scenes/lab"):
        assert find_cell(Namespace(dataset=name, **asked)) == store.path("artifacts", "k")
    with pytest.raises(UsageError, match=r"not run yet.*first: tsbench run --dataset lab/scenes.json:near=5 --model"):
        find_cell(Namespace(dataset=f"lab/{SCENES}:near=5", **asked))


def test_free_viewing_tells_nobody_a_target(folder: Path, tsbench: Command) -> None:
    write(folder, lines=[line.replace("bread,bread", ",") for line in LINES])
    said = tsbench("run", "--dataset", "lab", "--model", "gaze_nearest", "--model", "gaze_random").stdout
    assert "nothing is searched for" in said
    assert "told" not in said
    assert "target" not in said
    assert re.search(r"^ +[12]  gaze_nearest ", said, re.MULTILINE)
    write(folder)
    again = tsbench("run", "--dataset", "lab", "--model", "gaze_nearest").stdout
    assert re.search(r"^ +-  gaze_nearest \(told the target\) ", again, re.MULTILINE)


def test_a_run_on_ones_own_recording_is_planned(folder: Path, tsbench: Command) -> None:
    found = tsbench("run", "--dataset", f"{folder}/{SCENES}", "--model", "gaze_random", "--dry-run")
    assert "lab" in found.stdout, found.stderr
