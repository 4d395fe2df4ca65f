"""Interiors: 57 people search rooms for a detail shown before, with few saccades (Sclar, Bujia et al. 2020).

Only the target has a box, so the objects are the cells of a regular grid, and the target is the cell that holds its
centre. The first fixation is forced: the trial starts where the person looks at a given point.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from tsbench.dataset import Dataset, Source, find_file
from tsbench.datasets.gaze import Gaze, sources
from tsbench.errors import DataError, UsageError
from tsbench.gaze.readers import CUT, read_mat
from tsbench.gaze.scene import Display, Scenes, Trial
from tsbench.gaze.splits import PROTOCOLS

WIDTH, HEIGHT = 1024, 768
FIELDS = ("subj", "image_name", "target_name", "target_rect", "x", "y", "dur")


@dataclass(frozen=True)
class Interiors(Gaze):
    """Search for a detail; the first fixation, which is forced, is left out.

    Attributes:
        cell: px, side of a cell; both sides of the pictures must be multiples of it.
    """

    initial: str = "drop"
    cell: int = 128

    name = "gaze/interiors"

    options: ClassVar = (*Gaze.options, "cell")
    protocols: ClassVar = {name: PROTOCOLS[name] for name in ("by-image", "by-subject", "by-trial")}
    sources: ClassVar[tuple[Source, ...]] = sources(
        "Interiors", "none stated", "Sclar, Bujia, Vita, Solovey, Kamienkowski 2020"
    )

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.cell < 1 or WIDTH % self.cell or HEIGHT % self.cell:
            raise UsageError(f"cell={self.cell} does not divide {WIDTH} x {HEIGHT} px; take 32, 64, 128 or 256")

    def read(self, root: Path) -> Scenes:
        """One display for each picture, all with the same cells."""
        left, top = np.meshgrid(np.arange(0, WIDTH, self.cell), np.arange(0, HEIGHT, self.cell))
        corner = np.stack([left.ravel(), top.ravel()], 1)
        boxes = np.concatenate([corner, corner + self.cell], 1).astype(np.float32)
        features, cue = np.zeros((len(boxes), 0), np.float32), np.zeros(0, np.float32)
        unit = (float(self.cell), float(self.cell))
        displays: dict[str, int] = {}
        made: list[Display] = []
        trials = []
        for source in self.sources:
            path = find_file(root, source.file)
            for number, record in enumerate(read_mat(path, "info_per_subj", FIELDS), 1):
                where, image = f"trial {number}", str(record["image_name"])
                points, durations = _path(path, where, record)
                x, y = _numbers(path, where, record, "target_rect", 4).reshape(2, 2).mean(0)
                target = int(y // self.cell) * (WIDTH // self.cell) + int(x // self.cell)
                if image not in displays:
                    displays[image] = len(made)
                    picture = path.parent.parent / "images_sample" / image
                    at_hand = picture if picture.is_file() else None
                    made.append(Display(image, (WIDTH, HEIGHT), boxes, features, picture=at_hand, unit=unit))
                none, searched = np.full(len(points), -1), str(record["target_name"])
                subject = path.name.removeprefix("info_per_subj_").partition(".")[0]
                trials.append(Trial(displays[image], subject, cue, (target,), points, durations, none, searched))
        return Scenes(tuple(made), tuple(trials))


def _path(path: Path, where: str, record: Any) -> tuple[np.ndarray, np.ndarray]:
    """Points and durations, ms; a trial may have none."""
    x, y, durations = (_numbers(path, where, record, name, -1) for name in ("x", "y", "dur"))
    if not len(x) == len(y) == len(durations):
        raise DataError(path, f"{where}: {len(x)} `x`, {len(y)} `y`, {len(durations)} `dur`", CUT)
    return np.stack([x, y], 1), durations


def _numbers(path: Path, where: str, record: Any, name: str, count: int) -> np.ndarray:
    try:
        values = np.atleast_1d(np.asarray(record[name], np.float64))
    except (TypeError, ValueError):
        values = np.array([np.nan])
    if values.ndim != 1 or count not in (-1, len(values)) or not np.isfinite(values).all():
        raise DataError(path, f"{where}: `{name}` is {str(record[name])[:60]}", CUT)
    return values


def datasets() -> Iterator[Dataset]:
    """One."""
    yield Interiors()
