"""Scenes: displays, the objects on them, and who looked at which in what order; the one form of all gaze data sets."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

import numpy as np


@dataclass(frozen=True)
class Display:
    """A picture, shelf or array of objects.

    Attributes:
        name: unique in its data set.
        size: width and height, px.
        boxes: `(object, 4)` float32: left, top, right, bottom, px.
        features: `(object, feature)` float32: appearance, or the category as one-hot; may have no column.
        labels: a name for each object, or nothing.
        picture: file of the picture, where it is at hand.
        unit: px from one object to the next, along x and along y; models measure places in it.
        image: the picture it shows, where several displays show the same one; otherwise its own name.
    """

    name: str
    size: tuple[float, float]
    boxes: np.ndarray
    features: np.ndarray
    labels: tuple[str, ...] = ()
    picture: Path | None = None
    unit: tuple[float, float] = field(default=(0.0, 0.0))
    image: str = ""

    def __post_init__(self) -> None:
        """Where no unit is given, objects are taken to fill the display evenly."""
        object.__setattr__(self, "image", self.image or self.name)
        if not all(self.unit):
            spacing = float(np.sqrt(self.size[0] * self.size[1] / max(1, len(self.boxes))))
            object.__setattr__(self, "unit", (spacing, spacing))


@dataclass(frozen=True)
class Trial:
    """One subject's path over one display.

    Attributes:
        display: index among the displays.
        subject: who looked.
        cue: `(feature,)`: what is searched for looks like this; zeros where nothing is searched.
        targets: the objects that end the search; empty in free viewing.
        points: `(fixation, 2)`: x and y, px.
        durations: `(fixation,)` ms; NaN where unknown.
        objects: `(fixation,)` int64: the object of each fixation; none is -1, see `tsbench.gaze.rules`.
        searched: name of what is searched for; empty in free viewing.
    """

    display: int
    subject: str
    cue: np.ndarray
    targets: tuple[int, ...]
    points: np.ndarray
    durations: np.ndarray
    objects: np.ndarray
    searched: str = ""


@dataclass(frozen=True)
class Scenes:
    """A whole recording.

    Attributes:
        notes: what the rules did to it, in words, one line each: printed with every score.
    """

    displays: tuple[Display, ...]
    trials: tuple[Trial, ...]
    notes: tuple[str, ...] = ()
