"""Amazon book covers: six people search a shelf of 84 covers for one of five; the public data set of OAT.

Sattar et al., 2015; target boxes of Stauden, Barz, Sonntag (KI 2018). The pictures are not to be had: what is known of
a cover is its place, and of what is searched for, which of the five it is.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from tsbench.dataset import Dataset, Source, find_file
from tsbench.datasets.gaze import Gaze, sources
from tsbench.errors import DataError
from tsbench.gaze.readers import field, numbers, read_json
from tsbench.gaze.scene import Display, Scenes, Trial

COLUMNS, ROWS = 14, 6
EDGES = ("xmin", "ymin", "xmax", "ymax")


@dataclass(frozen=True)
class Amazon(Gaze):
    """600 searches. A fixation in no cover counts for the nearest; lengths within 3 SD of the mean, both as OAT."""

    nowhere: str = "nearest"
    deviations: int = 3

    name = "gaze/amazon"

    sources: ClassVar[tuple[Source, ...]] = sources(
        "AmazonBookCovers",
        "CC BY-NC-SA 4.0",
        "Sattar et al., CVPR 2015; boxes: Stauden, Barz, Sonntag, KI 2018",
    )

    def read(self, root: Path) -> Scenes:
        """Collages, each with the covers that all have, and the paths over them."""
        path = find_file(root, self.sources[0].file)
        content = read_json(path)
        if not isinstance(content, dict) or not content:
            raise DataError(path, "holds no collages", "Get the file again.")
        annotated = np.array([_target(path, name, record) for name, record in content.items()])
        boxes, which = grid(path, annotated)
        pitch = (boxes[-1, :2] - boxes[0, :2]) / (COLUMNS - 1, ROWS - 1)
        unit = (float(pitch[0]), float(pitch[1]))
        wanted = [field(path, record, name, "target", str) for name, record in content.items()]
        kinds = sorted(set(wanted))
        displays, trials = [], []
        for i, (name, record) in enumerate(content.items()):
            extent = field(path, record, name, "size", dict)
            size = (
                float(field(path, extent, name, "width", (int, float))),
                float(field(path, extent, name, "height", (int, float))),
            )
            # a target is known by what it looks like; other covers are not known to differ
            features = np.zeros((len(boxes), len(kinds)), np.float32)
            displays.append(Display(name, size, boxes, features, unit=unit))
            cue = np.array([kind == wanted[i] for kind in kinds], np.float32)
            for subject in fixations(path, name, record):
                points = numbers(path, record["fixations"], f"{name}, fixations", subject, (-1, 2))
                none = np.full(len(points), -1)
                durations = np.full(len(points), np.nan)
                trials.append(Trial(i, subject, cue, (int(which[i]),), points, durations, none, wanted[i]))
        return Scenes(tuple(displays), tuple(trials))


def fixations(path: Path, name: str, record: Any) -> list[str]:
    """The subjects who saw a collage."""
    return list(field(path, record, name, "fixations", dict))


def _target(path: Path, name: str, record: Any) -> list[float]:
    boxes = field(path, record, name, "ground_truth", list)
    if len(boxes) != 1:
        raise DataError(path, f"{name}: {len(boxes)} boxes in `ground_truth`, not one", "Get the file again.")
    return [float(field(path, boxes[0], f"{name}, ground_truth", edge, (int, float))) for edge in EDGES]


def grid(path: Path, annotated: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Boxes of all covers, row by row, `(cover, 4)`, and which of them each annotated box is.

    Edges of the annotated boxes fall into clusters, one a column and one a row, with wide gaps between them; a column's
    edges are the means of its cluster.
    """
    column, x = _clusters(path, annotated[:, [0, 2]], COLUMNS, "columns")
    row, y = _clusters(path, annotated[:, [1, 3]], ROWS, "rows")
    left, right = np.tile(x, (ROWS, 1)).T
    top, bottom = np.repeat(y, COLUMNS, axis=0).T
    return np.stack([left, top, right, bottom], 1).astype(np.float32), row * COLUMNS + column


def _clusters(path: Path, edges: np.ndarray, wanted: int, what: str) -> tuple[np.ndarray, np.ndarray]:
    """The cluster of each of the `(box, 2)` edges, and their means, `(cluster, 2)`."""
    start = edges[:, 0]
    order = np.argsort(start)
    gap = (edges[:, 1] - start).mean() / 2  # covers are wider than any spread within a column
    cluster = np.empty(len(edges), np.int64)
    cluster[order] = np.cumsum(np.diff(start[order], prepend=start[order[0]]) > gap)
    found = int(cluster.max()) + 1
    if found != wanted:
        raise DataError(
            path, f"target boxes fall in {found} {what}, not {wanted}", "Is it the whole file? Get it again."
        )
    return cluster, np.stack([edges[cluster == i].mean(0) for i in range(found)])


def datasets() -> Iterator[Dataset]:
    """One."""
    yield Amazon()
