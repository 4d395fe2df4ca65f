"""Gaze data sets: real files against counts that were taken from them another way (reference/gaze.md)."""

from __future__ import annotations

import json
import shutil
import time
from functools import lru_cache
from pathlib import Path

import numpy as np
import pytest

from tests.conftest import SHARED
from tsbench.datasets.gaze import Gaze
from tsbench.datasets.gaze_amazon import Amazon
from tsbench.datasets.gaze_coco import CocoSearch, detections, merged
from tsbench.datasets.gaze_foraging import Foraging
from tsbench.datasets.gaze_interiors import Interiors
from tsbench.datasets.gaze_objarr import ObjectArrays
from tsbench.datasets.gaze_relational import RelationalScenes, colours
from tsbench.errors import MissingData, UsageError
from tsbench.gaze.rules import apply
from tsbench.gaze.scene import Scenes
from tsbench.registry import all_datasets

CASES = SHARED.parent / "reference" / "gaze_metric_cases.json"


@pytest.fixture(scope="module")
def gaze_data(real_data: Path) -> Path:
    """The folder of real data, if gaze is in it."""
    if not (real_data / "gaze" / "AmazonBookCovers" / "Amazon.json").is_file():
        pytest.skip(f"no gaze data: {real_data} has no gaze/AmazonBookCovers/Amazon.json; set TSBENCH_DATA")
    return real_data


@lru_cache(maxsize=2)
def read(dataset: Gaze, root: Path) -> Scenes:
    return dataset.read(root)


def count(scenes: Scenes) -> tuple[int, int]:
    """Trials, and fixations on an object."""
    return len(scenes.trials), sum(int((t.objects >= 0).sum()) for t in scenes.trials)


def raw(scenes: Scenes) -> tuple[int, int]:
    """Trials and fixations as recorded."""
    return len(scenes.trials), sum(len(t.points) for t in scenes.trials)


def off(scenes: Scenes) -> int:
    """Fixations off the display."""
    return sum(int(((t.points < 0) | (t.points > scenes.displays[t.display].size)).any(1).sum()) for t in scenes.trials)


def behaviour(scenes: Scenes) -> list[float]:
    """OAT's five parts: ends at a target, length, first visits, immediate repeats, returns (reference/gaze.md, 1.4)."""
    rows = []
    for t in scenes.trials:
        path = t.objects[t.objects >= 0]
        first, again = len(set(path.tolist())) / len(path), float((path[1:] == path[:-1]).sum()) / len(path)
        rows.append([float(path[-1] in t.targets), len(path), first, again, 1 - first - again])
    return [float(x) for x in np.mean(rows, axis=0)]


def printed(scenes: Scenes) -> list[float]:
    """Behaviour with the decimals of the note's table."""
    return [round(x, 2 if i == 1 else 3) for i, x in enumerate(behaviour(scenes))]


def test_amazon_behaves_as_the_note_says(gaze_data: Path) -> None:
    recorded = read(Amazon(), gaze_data)
    assert raw(recorded) == (600, 8683)
    assert len(recorded.displays) == 100
    assert {t.subject for t in recorded.trials} == set("123456")
    everything = apply(recorded, Amazon(deviations=0))
    assert printed(everything) == [0.868, 14.47, 0.781, 0.170, 0.049]
    assert any("in a box: 86.7 %" in note for note in everything.notes)


def test_amazon_boxes_are_those_of_the_reference(gaze_data: Path) -> None:
    if not CASES.is_file():
        pytest.skip(f"{CASES} is not there")
    known = json.loads(CASES.read_text())["sets"]["amazon_human_behaviour"]
    boxes = read(Amazon(), gaze_data).displays[0].boxes
    assert boxes.shape == (84, 4)
    np.testing.assert_allclose(boxes[:14, [0, 2]], known["column_x"], atol=6e-4)
    np.testing.assert_allclose(boxes[::14, [1, 3]], known["row_y"], atol=6e-4)
    everything = apply(read(Amazon(), gaze_data), Amazon(deviations=0))
    expected = [known["mean"][name] for name in ("correct", "length", "search", "refix", "revisit")]
    assert behaviour(everything) == pytest.approx(expected, abs=1e-9)
    by_name = {(everything.displays[t.display].name, t.subject): t for t in everything.trials}
    for case in json.loads(CASES.read_text())["cases"]:
        if case["dataset"] == "AmazonBookCovers":
            image, pair = case["id"].split(":")
            for subject, path in zip(pair.split("-"), (case["objects_a"], case["objects_b"]), strict=True):
                assert by_name[image, subject].objects.tolist() == path
                assert by_name[image, subject].targets == (case["target_object"],)


def test_amazon_keeps_the_lengths_that_oat_keeps(gaze_data: Path) -> None:
    kept = apply(read(Amazon(), gaze_data), Amazon())
    assert len(kept.trials) == 585
    assert max(len(t.objects) for t in kept.trials) == 54


def test_coco_as_recorded(gaze_data: Path) -> None:
    recorded = read(CocoSearch(), gaze_data)
    assert raw(recorded) == (4227, 15576)  # two files of 3,258 and 4,017 trials, without doubles
    assert off(recorded) == 12
    assert len(recorded.displays) == 423
    assert np.mean([len(d.boxes) for d in recorded.displays]) == pytest.approx(4.0, abs=0.05)
    assert len({d.image for d in recorded.displays}) == 403  # twenty pictures are searched for two categories
    assert len({t.subject for t in recorded.trials}) == 10
    for t in recorded.trials:
        display = recorded.displays[t.display]
        assert display.labels[t.targets[0]] == t.searched
        assert (display.features[t.targets[0]] == t.cue).all()
    assert not {"tvmonitor", "pottedplant", "sofa"} & {label for d in recorded.displays for label in d.labels}


def test_coco_behaves_as_the_note_says_if_the_initial_fixation_is_kept(gaze_data: Path) -> None:
    found = apply(read(CocoSearch(), gaze_data), CocoSearch(initial="keep"))
    assert len(found.trials) == 4115
    assert printed(found) == [0.873, 2.73, 0.718, 0.268, 0.014]
    assert any("off the display: 12 fixations" in note for note in found.notes)


def test_coco_hides_which_box_was_annotated(gaze_data: Path) -> None:
    displays = read(CocoSearch(), gaze_data).displays
    targets = [t.targets[0] for t in {t.display: t for t in read(CocoSearch(), gaze_data).trials}.values()]
    assert 0.2 < np.mean(np.array(targets) == 0) < 0.5  # of four objects on average, none is always the first
    assert all((np.diff(d.boxes[:, 0]) >= 0).all() for d in displays)
    assert {tuple(np.unique(d.features)) for d in displays} == {(0.0, 1.0)}
    sure = CocoSearch(confidence="true").read(gaze_data).displays
    assert sure[0].features.shape[1] == displays[0].features.shape[1] + 1
    assert sum((d.features[:, -1] == 0).any() for d in sure) == 100  # which is why confidence is left out


def test_coco_reads_all_recordings_that_lie_there(gaze_data: Path, tmp_path: Path) -> None:
    folder = tmp_path / "gaze" / "COCOSearch18"
    shutil.copytree(gaze_data / "gaze" / "COCOSearch18", folder)
    folder.chmod(0o755)
    first = folder / "coco_search18_fixations_TP_validation_split1.json"
    records = json.loads(first.read_text())[:3]
    before = CocoSearch().digest(tmp_path)
    (folder / "coco_search18_fixations_TP_train_split1.json").write_text(
        json.dumps([records[0], records[1] | {"subject": 99}, records[2] | {"name": "new.jpg"}])
    )
    more = CocoSearch().read(tmp_path)
    assert len(more.trials) == 4227 + 2  # one of the three is there already
    assert len(more.displays) == 424
    assert len(more.displays[[d.image for d in more.displays].index("new.jpg")].boxes) == 1
    assert CocoSearch().digest(tmp_path) != before


def test_coco_merges_boxes_that_are_the_target() -> None:
    box = np.array([0.0, 0.0, 10.0, 10.0])
    right = np.array([1.0, 0.0, 1.0, 0.0])
    found = [("cat", box + 4 * right, 0.9), ("dog", box + 3 * right, 0.8), ("cup", box - 9 * right, 0.7)]
    boxes, labels, confidence, target = merged(box, "cat", found)  # overlaps of 6/14, 7/13 and 1/19
    assert labels == ["cup", "cat", "cat"]
    assert target == 1
    assert boxes[1].tolist() == box.tolist()
    np.testing.assert_allclose(confidence, [0.7, 0.8, 0.9])


def test_object_arrays(gaze_data: Path) -> None:
    recorded = read(ObjectArrays(), gaze_data)
    found = apply(recorded, ObjectArrays())
    assert count(found) == (4500, 15300)
    assert {len(d.boxes) for d in found.displays} == {6}
    assert len(found.displays) == 300
    assert printed(found) == [0.813, 3.40, 0.911, 0.035, 0.053]
    boxes = apply(recorded, ObjectArrays(on="boxes"))  # boxes around the places find the same objects
    assert all((a.objects == b.objects).all() for a, b in zip(found.trials, boxes.trials, strict=True))
    assert all(d.labels[t.targets[0]] == t.searched for t in found.trials for d in [found.displays[t.display]])


def test_foraging(gaze_data: Path) -> None:
    everything = read(Foraging(practice="true", attempts="all"), gaze_data)
    assert raw(everything) == (854, 45238)
    assert {len(d.boxes) for d in everything.displays} == {49}
    assert {len(t.targets) for t in everything.trials} == {24}
    assert len({t.subject for t in everything.trials}) == 29
    kept = apply(everything, Foraging(outside="clamp"))
    assert printed(kept)[1:] == pytest.approx([52.97, 0.606, 0.217, 0.177], abs=0.0011)  # clamped fixations differ
    last = read(Foraging(practice="true"), gaze_data)
    assert len(last.trials) == 811  # the highest attempt of each
    default = read(Foraging(), gaze_data)
    assert raw(default) == (695, 37009)
    assert not any("prac" in d.name for d in default.displays)


def test_relational_scenes(gaze_data: Path) -> None:
    recorded = read(RelationalScenes(), gaze_data)
    assert raw(recorded) == (750, 25495)
    assert len(recorded.displays) == 30
    assert {len(d.boxes) for d in recorded.displays} <= set(range(12, 36))
    found = apply(recorded, RelationalScenes())
    assert count(found) == (750, 22628 + 614)  # by polygon and by proximity, as the authors assigned them
    assert printed(found)[1:] == [30.99, 0.315, 0.274, 0.411]
    assert {d.features.shape[1] for d in recorded.displays} == {6}
    assert all(d.picture and d.picture.is_file() for d in recorded.displays)
    held = [
        (d.boxes[o][:2] - 50 <= p).all() and (p <= d.boxes[o][2:] + 50).all()
        for t in found.trials for d in [found.displays[t.display]]
        for p, o in zip(t.points, t.objects, strict=True) if o >= 0
    ]  # fmt: skip
    assert np.mean(held) > 0.999  # authors' numbers of objects, ours and the boxes go together


def test_relational_scenes_without_pictures(gaze_data: Path, tmp_path: Path) -> None:
    folder = tmp_path / "gaze" / "RelationalScenes"
    folder.mkdir(parents=True)
    for name in ("stimuli_dataset.json", "encoding_fixations_aoi.csv"):
        shutil.copy(gaze_data / "gaze" / "RelationalScenes" / name, folder)
    with pytest.raises(MissingData, match=r"images/\d+\.jpg"):
        RelationalScenes().read(tmp_path)
    plain = RelationalScenes(appearance="none").read(tmp_path)
    assert {d.features.shape[1] for d in plain.displays} == {0}
    assert len(RelationalScenes(appearance="none").sources) == 2


def test_colours_of_a_box(tmp_path: Path) -> None:
    from PIL import Image

    pixels = np.zeros((768, 1024, 3), np.uint8)
    pixels[:, 512:, 0] = 255  # the right half is red
    Image.fromarray(pixels).save(tmp_path / "half.png")
    boxes = np.array([[0, 0, 512, 768], [512, 0, 1024, 768], [256, 0, 768, 768]], np.float64)
    found = colours(tmp_path / "half.png", boxes)
    expected = np.array([[0, 0, 0, 0, 0, 0], [1, 0, 0, 0, 0, 0], [0.5, 0, 0, 0.5, 0, 0]])
    np.testing.assert_allclose(found, expected, atol=1e-6)


def test_interiors(gaze_data: Path) -> None:
    recorded = read(Interiors(), gaze_data)
    assert len(recorded.trials) == 7455
    assert len({t.subject for t in recorded.trials}) == 57
    assert len(recorded.displays) == 134
    assert {len(d.boxes) for d in recorded.displays} == {48}
    assert sum(d.picture is not None for d in recorded.displays) == 12
    found = apply(recorded, Interiors())
    assert len(found.trials) == 7345  # 5 are empty, 105 have the forced first fixation only
    ends = np.array([t.objects[-1] == t.targets[0] for t in found.trials])
    assert ends.mean() > 10 / 48  # people end at the target far more often than chance has it
    assert {len(d.boxes) for d in read(Interiors(cell=64), gaze_data).displays} == {192}
    with pytest.raises(UsageError, match="does not divide"):
        Interiors(cell=100)


NAMES = [name for name in all_datasets() if name.startswith("gaze/")]


def test_there_are_six() -> None:
    assert len(NAMES) == 6


@pytest.mark.parametrize("name", NAMES)
def test_loading_takes_less_than_five_seconds(gaze_data: Path, name: str) -> None:
    dataset = all_datasets()[name]
    start = time.process_time()
    splits = dataset.load(gaze_data, next(iter(dataset.protocols)))
    assert time.process_time() - start < 5
    assert len(splits.train) > len(splits.test) > 0


@pytest.mark.parametrize("name", NAMES)
def test_sources_are_the_files_here(gaze_data: Path, name: str) -> None:
    from tsbench.dataset import file_digest, find_file

    for source in all_datasets()[name].sources:
        assert file_digest(find_file(gaze_data, source.file)) == source.sha256
        assert source.licence
        assert source.citation


def test_detections_know_the_misspelt_file(gaze_data: Path) -> None:
    found = detections(gaze_data / "gaze" / "COCOSearch18" / "detected" / "plotted_plant.csv")
    assert {task for _, task in found} == {"potted plant"}
    assert "potted plant" in {name for objects in found.values() for name, _, _ in objects}
