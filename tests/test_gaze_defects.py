"""Gaze data sets: a wrong or cut file is an error that names the file and the line or field."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import scipy.io

from tsbench.errors import DataError
from tsbench.registry import all_datasets


@pytest.fixture(scope="module")
def gaze_data(real_data: Path) -> Path:
    """The folder of real data, if gaze is in it."""
    if not (real_data / "gaze" / "AmazonBookCovers" / "Amazon.json").is_file():
        pytest.skip(f"no gaze data: {real_data} has no gaze/AmazonBookCovers/Amazon.json; set TSBENCH_DATA")
    return real_data


# What is done to a copy of a file, and what the error says.
def _cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def _json(change: Callable[[Any], object]) -> Callable[[Path], None]:
    def edit(path: Path) -> None:
        content = json.loads(path.read_text())
        change(content)
        path.write_text(json.dumps(content))

    return edit


def _line(number: int, text: str) -> Callable[[Path], None]:
    def edit(path: Path) -> None:
        lines = path.read_text().splitlines()
        lines[number - 1] = text
        path.write_text("\n".join(lines))

    return edit


def _array(value: int) -> Callable[[Path], None]:
    def edit(path: Path) -> None:
        array = np.load(path)
        array[5] = value
        np.save(path, array)

    return edit


def _objects(path: Path) -> None:
    with path.open("wb") as file:
        np.save(file, np.array([{"a": 1}], object), allow_pickle=True)


COCO, AMAZON = "COCOSearch18/coco_search18_fixations_TP_validation_split1.json", "AmazonBookCovers/Amazon.json"
FORAGE, ARRAYS = "GridForaging/fixations_all.csv", "ObjectArraySearch/ObjArr/"
FIRST = "Interiors/sinfo_subj/info_per_subj_1.mat"
FAULTS: list[tuple[str, str, Callable[[Path], None], str]] = [
    ("amazon", AMAZON, _cut, r"Amazon.json:\d+: is no JSON"),
    ("amazon", AMAZON, _json(lambda c: c["1.jpg"].pop("target")), "1.jpg has no field `target`"),
    ("amazon", AMAZON, _json(lambda c: c["1.jpg"]["fixations"]["2"].append([1])), "fixations: `2` is not n x 2 finite"),
    ("amazon", AMAZON, _json(lambda c: [c.pop(f"{i}.jpg", 0) for i in range(9, 99)]), "columns, not 14"),
    ("coco-search18", COCO, _json(lambda c: c[2].pop("bbox")), "trial 3 has no field `bbox`"),
    ("coco-search18", COCO, _json(lambda c: c[2]["X"].pop()), r"trial 3: \d+ `X`, \d+ `Y`"),
    ("coco-search18", "COCOSearch18/detected/tv.csv", _line(2, "a.jpg,\"[['tv', 3]]\""), "tv.csv:2: cannot read"),
    ("objarr", ARRAYS + "fix_human_all.npy", _array(7), r"row 5, fixation 0: \[7, 7\] is none of the six"),
    ("objarr", ARRAYS + "ifix_I_human_all.npy", _array(9), "counts from 2 to 9, not 1 to 7"),
    ("objarr", ARRAYS + "fix_human_all.npy", _cut, "is no NumPy array of numbers"),
    ("objarr", ARRAYS + "fix_human_all.npy", _objects, "is no NumPy array of numbers"),
    ("objarr", ARRAYS + "array.mat", _cut, "is no MATLAB file"),
    ("foraging", FORAGE, _line(3, "1,prac2_conj,conj_grid,1,1,399,65,abc,406.3"), "csv:3: column `x`: 'abc'"),
    ("foraging", FORAGE, _line(1, "person,block,condition,trial,attempt,onset_ms,duration_ms,x,z"), "no column y"),
    ("foraging", FORAGE, _line(4, "1,prac2_conj,conj_grid"), "csv:4: column `attempt`: '' is not"),
    ("foraging", "GridForaging/items_all.csv", _cut, "items, not 49|no items for|the line ends|finite number"),
    ("relational", "RelationalScenes/stimuli_dataset.json", _json(lambda c: c.pop("images")), "no field `images`"),
    ("relational", "RelationalScenes/images/2383555.jpg", _cut, "is no picture"),
    ("interiors", FIRST, _cut, "is no MATLAB file"),
    ("interiors", FIRST, lambda path: scipy.io.savemat(path, {"other": 1}), "no variable `info_per_subj`"),
]


@pytest.mark.parametrize(("name", "file", "spoil", "message"), FAULTS)
def test_a_bad_file_is_an_error_that_says_where(
    gaze_data: Path, tmp_path: Path, name: str, file: str, spoil: Callable[[Path], None], message: str
) -> None:
    dataset = all_datasets()[f"gaze/{name}"]
    for source in dataset.sources:  # links, but for the file that is spoilt
        target = tmp_path / source.file
        target.parent.mkdir(parents=True, exist_ok=True)
        if source.file == f"gaze/{file}":
            shutil.copyfile(gaze_data / source.file, target)
            spoil(target)
        else:
            target.symlink_to(gaze_data / source.file)
    with pytest.raises(DataError, match=message):
        dataset.load(tmp_path, next(iter(dataset.protocols)))
