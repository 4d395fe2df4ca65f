"""Object arrays: fifteen people search six pictures around the centre for one of a category.

Zhang et al., Nature Communications 2018; as published again with eccNET (NeurIPS 2021). The source gives the object of
each fixation and no place within it; its pictures are not to be had, their categories are.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

import numpy as np

from tsbench.dataset import Dataset, Source, find_file
from tsbench.datasets.gaze import Gaze, sources
from tsbench.errors import DataError
from tsbench.gaze.readers import CUT, read_mat, read_npy
from tsbench.gaze.scene import Display, Scenes, Trial

SUBJECTS, ARRAYS, MOST = 15, 300, 7  # most fixations of a trial, with the first
SIZE = (1280.0, 1024.0)
SIDE = 156.0  # of a picture, 5 degrees of visual angle
NAMES = {16: "cat", 18: "horse", 19: "sheep", 20: "cow", 34: "kite", 78: "teddy bear"}
CODES = (
    (365, 988),
    (90, 512),
    (365, 36),
    (915, 36),
    (1190, 512),
    (915, 988),
)  # of the places, as the source writes them
CENTRE = (640, 512)
SCREEN_X = {640: 640, 365: 490, 90: 340, 915: 790, 1190: 940}  # where that was on the screen, px
SCREEN_Y = {512: 512, 988: 772, 36: 252}


@dataclass(frozen=True)
class ObjectArrays(Gaze):
    """Search for a category; objects as recorded, without the first fixation, which is the centre."""

    initial: str = "drop"
    on: str = "recorded"

    name = "gaze/objarr"

    sources: ClassVar[tuple[Source, ...]] = sources(
        "ObjectArraySearch", "none stated", "Zhang et al., Nat. Commun. 2018; Gupta et al., NeurIPS 2021"
    )

    def read(self, root: Path) -> Scenes:
        """One display for each array."""
        fixations, counts, arrays = (find_file(root, source.file) for source in self.sources)
        codes = read_npy(fixations, (SUBJECTS * ARRAYS, MOST, 2)).astype(np.int64)
        steps = read_npy(counts, (SUBJECTS * ARRAYS, 1))[:, 0].astype(np.int64)
        if not ((steps >= 1) & (steps <= MOST)).all():
            raise DataError(counts, f"counts from {steps.min()} to {steps.max()}, not 1 to {MOST}", CUT)
        objects = _objects(fixations, codes, np.arange(MOST) < steps[:, None])
        displays, wanted, targets = _displays(arrays)
        places = np.array([(SCREEN_X[x], SCREEN_Y[y]) for x, y in (*CODES, CENTRE)], np.float64)
        categories = np.eye(len(NAMES), dtype=np.float32)
        names = list(NAMES.values())
        trials = []
        for row, length in enumerate(steps.tolist()):  # all arrays of the first subject, then of the second
            subject, i = divmod(row, ARRAYS)
            own = objects[row, :length]
            unknown = np.full(length, np.nan)
            cue, found = categories[wanted[i]], (targets[i],)
            trials.append(Trial(i, str(subject + 1), cue, found, places[own], unknown, own, names[wanted[i]]))
        return Scenes(displays, tuple(trials))


def _objects(path: Path, codes: np.ndarray, real: np.ndarray) -> np.ndarray:
    """The object of each fixation, -1 for the centre."""
    objects = np.full(codes.shape[:2], -2)
    for i, code in [*enumerate(CODES), (-1, CENTRE)]:
        objects[(codes == code).all(-1)] = i
    if (wrong := real & (objects == -2)).any():
        row, step = np.argwhere(wrong)[0]
        raise DataError(path, f"row {row}, fixation {step}: {codes[row, step].tolist()} is none of the six places", CUT)
    return objects


def _displays(path: Path) -> tuple[tuple[Display, ...], list[int], list[int]]:
    """The arrays, and for each the category that is searched for (0 to 5) and the object that is of it."""
    records = read_mat(path, "MyData", ("targetcate", "arraycate"))
    if len(records) < ARRAYS:
        raise DataError(path, f"{len(records)} arrays, not {ARRAYS}", CUT)
    code = {number: i for i, number in enumerate(NAMES)}
    centres = np.array([(SCREEN_X[x], SCREEN_Y[y]) for x, y in CODES], np.float32)
    boxes = np.concatenate([centres - SIDE / 2, centres + SIDE / 2], 1)
    spacing = float(np.hypot(*(centres[0] - centres[1])))
    displays, wanted, targets = [], [], []
    for i, record in enumerate(records[:ARRAYS]):  # the other rows repeat them
        found = [int(number) for number in np.atleast_1d(record["arraycate"])]
        if sorted(found) != sorted(NAMES) or int(record["targetcate"]) not in found:
            raise DataError(path, f"array {i}: categories {found}, target {record['targetcate']}", CUT)
        features = np.eye(len(NAMES), dtype=np.float32)[[code[number] for number in found]]
        labels = tuple(NAMES[number] for number in found)
        displays.append(Display(f"array {i + 1}", SIZE, boxes, features, labels, unit=(spacing, spacing)))
        wanted.append(code[int(record["targetcate"])])
        targets.append(found.index(int(record["targetcate"])))
    return tuple(displays), wanted, targets


def datasets() -> Iterator[Dataset]:
    """One."""
    yield ObjectArrays()
