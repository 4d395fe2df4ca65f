"""Generated visual search: no file needed, and named as generated wherever it shows."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import ClassVar

import numpy as np

from tsbench.data import Splits
from tsbench.dataset import Dataset
from tsbench.errors import unknown
from tsbench.gaze.scene import Display, Scenes, Trial
from tsbench.gaze.splits import as_told
from tsbench.inputs import Objects
from tsbench.tasks.scanpath import Scanpath


@dataclass(frozen=True)
class Search(Dataset):
    """Displays of 8-12 objects of four kinds, each searched by five made-up people, who differ in how far they jump.

    One looks next at what is near and of the kind searched for, seldom at what has been seen, and stops at the target.
    """

    given: str = "true"  # "false" hides the target's place

    name = "generated/search"
    kind: ClassVar = Scanpath
    inputs: ClassVar = Objects
    protocols: ClassVar = {"by-image": "no model has seen a test display"}
    options: ClassVar = ("given",)
    generated: ClassVar = True  # type: ignore[misc]

    def __post_init__(self) -> None:
        if self.given not in ("true", "false"):
            raise unknown("value of given", self.given, ("true", "false"))

    def digest(self, root: Path) -> str:
        """Fingerprint of the generated displays and paths."""
        displays, trials = searches().displays, searches().trials
        parts = [d.boxes.astype(np.int64) for d in displays] + [t.objects for t in trials]
        return hashlib.sha256(b"".join(part.tobytes() for part in parts)).hexdigest()

    def load(self, root: Path, protocol: str) -> Splits:
        """Generate and cut, by display: 200 trials to learn from, 40 to choose by, 60 to be tested on."""
        told = np.repeat(("train", "validation", "test"), (200, 40, 60)).tolist()
        return as_told(searches(), told, self.given == "true")


KINDS = ("circle", "cross", "square", "star")
SEARCHERS = (0.5, 0.8, 1.0, 1.3, 1.6)  # how much distance counts to each


@lru_cache(maxsize=1)
def searches(displays: int = 60, seed: int = 7) -> Scenes:
    """What `Search` describes; objects stand in some cells of a grid of 5 x 4, 100 px each."""
    random = np.random.default_rng(seed)
    shown, trials = [], []
    for number in range(displays):
        cells = random.permutation(20)[: random.integers(8, 13)]
        centres = np.stack([cells % 5, cells // 5], 1) * 100 + random.integers(30, 71, (len(cells), 2))
        kinds = random.integers(0, len(KINDS), len(cells))
        target = int(random.integers(len(cells)))
        features = np.eye(len(KINDS), dtype=np.float32)[kinds]
        labels = tuple(KINDS[kind] for kind in kinds)
        boxes = np.concatenate([centres - 25, centres + 25], 1).astype(np.float32)
        shown.append(Display(f"display {number}", (500, 400), boxes, features, labels, unit=(100, 100)))
        like = kinds == kinds[target]
        for subject, care in enumerate(SEARCHERS):
            path = _path(random, centres, like, target, care)
            points = centres[path] + random.integers(-15, 16, (len(path), 2))
            durations = random.integers(150, 350, len(path)).astype(float)
            cue, name = features[target], labels[target]
            trials.append(Trial(number, str(subject), cue, (target,), points, durations, path, name))
    return Scenes(tuple(shown), tuple(trials))


def _path(random: np.random.Generator, centres: np.ndarray, like: np.ndarray, target: int, care: float) -> np.ndarray:
    """The objects that one looks at, beginning at the middle of the display; at most 20."""
    path: list[int] = []
    place = np.array([250, 200])
    while len(path) < 20 and target not in path:
        distance = np.hypot(*(centres - place).T) / 100
        seen = np.isin(np.arange(len(centres)), path)
        wish = 1.5 * like - care * distance - 3 * seen + random.gumbel(size=len(centres))
        path.append(int(wish.argmax()))
        place = centres[path[-1]]
    return np.array(path)


def datasets() -> Iterator[Dataset]:
    """One."""
    yield Search()
