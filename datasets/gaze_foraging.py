"""Grid foraging: people collect 24 targets of two classes among 49 items (Bhat 2025, in Clarke and Hughes' FoMo).

Every trial has a display of its own. What a class looks like differs between people and is known of one only, so an
item's features are its class.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from tsbench.dataset import Dataset, Source, find_file
from tsbench.datasets.gaze import Gaze, sources
from tsbench.errors import DataError, unknown
from tsbench.gaze.readers import CUT, Table, read_table, rows_by
from tsbench.gaze.scene import Display, Scenes, Trial
from tsbench.gaze.splits import PROTOCOLS

SIZE = (1920.0, 1080.0)
ITEMS = 49
CLASSES = ("targ_class1", "targ_class2", "dist_class1", "dist_class2")
PRACTICE = ("prac_feat", "prac2_conj")
KEY = ("person", "block", "condition", "trial", "attempt")


@dataclass(frozen=True)
class Foraging(Gaze):
    """Collect all targets; a fixation counts for the nearest item, and a trial that was repeated for its last attempt.

    Attributes:
        practice: "true" keeps practice trials.
        attempts: which of a repeated trial count: the last, or all.
    """

    nowhere: str = "nearest"
    practice: str = "false"
    attempts: str = "last"

    name = "gaze/foraging"
    alone = True

    options: ClassVar = (*Gaze.options, "practice", "attempts")
    protocols: ClassVar = {name: PROTOCOLS[name] for name in ("by-image", "by-target", "by-subject")}
    sources: ClassVar[tuple[Source, ...]] = sources(
        "GridForaging", "none stated", "Bhat 2025, unpublished; Clarke and Hughes, github.com/Riadsala/FoMo"
    )

    def __post_init__(self) -> None:
        super().__post_init__()
        for option, words in (("practice", ("false", "true")), ("attempts", ("last", "all"))):
            if getattr(self, option) not in words:
                raise unknown(f"value of {option}", getattr(self, option), words)

    def read(self, root: Path) -> Scenes:
        """One display for each trial."""
        fixations, items = (find_file(root, source.file) for source in self.sources)
        gaze = read_table(fixations, ("attempt", "onset_ms", "duration_ms", "x", "y"), KEY[:4])
        stimuli = read_table(items, ("attempt", "x", "y"), (*KEY[:4], "item_class"))
        seen, shown = rows_by(gaze, *KEY), rows_by(stimuli, *KEY)
        chosen = sorted(key for key in seen if self.practice == "true" or key[1] not in PRACTICE)
        if self.attempts == "last":
            chosen = list({key[:4]: key for key in chosen}.values())
        displays: list[Display] = []
        trials = []
        for key in chosen:
            if key not in shown:
                raise DataError(items, f"no items for {_name(key)}", CUT)
            display, targets, cue = _display(items, key, {name: cells[shown[key]] for name, cells in stimuli.items()})
            rows = seen[key][gaze["onset_ms"][seen[key]].argsort(kind="stable")]
            points, durations = np.stack([gaze["x"][rows], gaze["y"][rows]], 1), gaze["duration_ms"][rows]
            none = np.full(len(points), -1)
            trials.append(Trial(len(displays), key[0], cue, targets, points, durations, none, key[2]))
            displays.append(display)
        return Scenes(tuple(displays), tuple(trials))


def _name(key: tuple[Any, ...]) -> str:
    return f"person {key[0]}, {key[1]}, {key[2]}, trial {key[3]}, attempt {key[4]:g}"


def _display(path: Path, key: tuple[Any, ...], items: Table) -> tuple[Display, tuple[int, ...], np.ndarray]:
    """A trial's items, which of them are targets, and what targets look like."""
    if len(items["x"]) != ITEMS:
        raise DataError(path, f"{len(items['x'])} items, not {ITEMS}, for {_name(key)}", CUT)
    if strange := set(items["item_class"]) - set(CLASSES):
        raise DataError(path, f"class {min(strange)!r} in {_name(key)}", f"Classes are {', '.join(CLASSES)}.")
    # their origin is the centre of the screen, and y goes up
    centres = np.stack([SIZE[0] / 2 + items["x"], SIZE[1] / 2 - items["y"]], 1)
    distances = np.hypot(*(centres[:, None] - centres).transpose(2, 0, 1))
    np.fill_diagonal(distances, np.inf)
    spacing = float(np.median(distances.min(1)))
    half = spacing / 4  # the size of items is not known: half the way to the next one
    boxes = np.concatenate([centres - half, centres + half], 1).astype(np.float32)
    kinds = np.array([CLASSES.index(name) for name in items["item_class"]])
    features = np.eye(len(CLASSES), dtype=np.float32)[kinds]
    cue = np.array([1, 1, 0, 0], np.float32)
    labels = tuple(items["item_class"].tolist())
    display = Display(_name(key), SIZE, boxes, features, labels, unit=(spacing, spacing))
    return display, tuple(np.flatnonzero(kinds < 2).tolist()), cue


def datasets() -> Iterator[Dataset]:
    """One."""
    yield Foraging()
