"""COCO-Search18, target present: ten people search photographs for one of 18 categories (Yang et al., CVPR 2020).

Objects are boxes found by a detector (YOLOv3, threshold 60 %) and the annotated box of the target. All files of
fixations that lie in the folder are read, `coco_search18_fixations_TP_*.json`; of those, the two for validation can be
fetched.
"""

from __future__ import annotations

import ast
import csv
import hashlib
import io
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from tsbench.dataset import Dataset, Source, file_digest, find_file
from tsbench.datasets.gaze import Gaze, sources
from tsbench.errors import DataError
from tsbench.files import read_text
from tsbench.gaze.readers import CUT, field, numbers, read_json
from tsbench.gaze.scene import Display, Scenes, Trial

SIZE = (1680.0, 1050.0)
SAME = 0.5  # intersection over union from which a detected box is the annotated target's
NAMES = {  # the detector's, and one misspelt file, as the tasks have them
    "tvmonitor": "tv",
    "pottedplant": "potted plant",
    "plotted plant": "potted plant",
    "sofa": "couch",
    "diningtable": "dining table",
    "motorbike": "motorcycle",
    "aeroplane": "airplane",
}


@dataclass(frozen=True)
class CocoSearch(Gaze):
    """Search for a category; the first fixation, which is the initial central one, is left out.

    Attributes:
        confidence: "true" adds the detector's confidence to the features. It tells annotated boxes that no detector
            found (their confidence is 0) from others, and thus the target where it should be hidden.
    """

    initial: str = "drop"
    near: int = 30
    confidence: str = "false"

    name = "gaze/coco-search18"

    options: ClassVar = (*Gaze.options, "confidence")
    sources: ClassVar[tuple[Source, ...]] = sources(
        "COCOSearch18", "none stated; free for research, says its readme", "Yang et al., CVPR 2020", (".json", ".csv")
    )

    def recordings(self, root: Path) -> list[Path]:
        """All files of fixations."""
        folder = find_file(root, self.sources[0].file).parent
        return sorted(p for p in folder.glob("coco_search18_fixations_TP_*.json*") if p.suffix in (".json", ".gz"))

    def digest(self, root: Path) -> str:
        """Of the files that are listed, and of further recordings beside them."""
        parts = [super().digest(root), *(file_digest(path) for path in self.recordings(root))]
        return hashlib.sha256("\n".join(parts).encode()).hexdigest()

    def read(self, root: Path) -> Scenes:
        """One display for each photograph and category that was searched for on it."""
        paths = [find_file(root, s.file) for s in self.sources if s.file.endswith(".csv")]
        detected = {key: found for path in paths for key, found in detections(path).items()}
        records = trials(self.recordings(root))
        classes = sorted({o[0] for found in detected.values() for o in found} | {r["task"] for r in records})
        code = {name: i for i, name in enumerate(classes)}
        displays: dict[tuple[str, str], int] = {}
        made: list[Display] = []
        targets: list[int] = []
        kept = []
        for record in records:
            key = record["name"], record["task"]
            if key not in displays:
                displays[key] = len(made)
                boxes, labels, confidence, target = merged(record["bbox"], record["task"], detected.get(key, []))
                features = np.eye(len(classes), dtype=np.float32)[[code[label] for label in labels]]
                if self.confidence == "true":
                    features = np.concatenate([features, confidence[:, None]], 1)
                name = f"{key[0]} {key[1]}"
                made.append(Display(name, SIZE, boxes, features, tuple(labels), image=key[0]))
                targets.append(target)
            i = displays[key]
            cue = np.zeros(made[i].features.shape[1], np.float32)
            cue[code[record["task"]]] = 1
            none = np.full(len(record["T"]), -1)
            points = np.stack([record["X"], record["Y"]], 1)
            kept.append(Trial(i, record["subject"], cue, (targets[i],), points, record["T"], none, record["task"]))
        return Scenes(tuple(made), tuple(kept))


def trials(paths: list[Path]) -> list[dict[str, Any]]:
    """The trials of all files; one that is in several counts once.

    Raises:
        DataError: naming file and record.
    """
    found: dict[tuple[Any, ...], dict[str, Any]] = {}
    for path in paths:
        content = read_json(path)
        if not isinstance(content, list):
            raise DataError(path, "is no list of trials", "Get the file again.")
        for i, record in enumerate(content, 1):
            where = f"trial {i}"
            if field(path, record, where, "condition", str) != "present":
                raise DataError(path, f"{where}: condition {record['condition']!r}", "Only target-present trials fit.")
            name = field(path, record, where, "name", str)
            task = field(path, record, where, "task", str)
            subject = str(field(path, record, where, "subject", (int, str)))
            x, y, t = (numbers(path, record, where, key, (-1,)) for key in "XYT")
            if not len(x) == len(y) == len(t):
                what = f"{where}: {len(x)} `X`, {len(y)} `Y` and {len(t)} `T`"
                raise DataError(path, what, "A fixation has one of each: correct it, or get the file again.")
            box = numbers(path, record, where, "bbox", (4,))
            key = (name, task, subject, x.tobytes(), y.tobytes())
            trial = {"name": name, "task": NAMES.get(task, task), "subject": subject, "X": x, "Y": y, "T": t}
            found.setdefault(key, trial | {"bbox": np.concatenate([box[:2], box[:2] + box[2:]])})
    return list(found.values())


def detections(path: Path) -> dict[tuple[str, str], list[tuple[str, np.ndarray, float]]]:
    """What was detected on the photographs of a category: (photograph, category) -> class, box and confidence, 0 to 1.

    A line is the photograph's name and a list `[[class, confidence %, right, left, bottom, top], ...]`; no header.

    Raises:
        DataError: naming file and line.
    """
    task = path.name.removesuffix(".gz").removesuffix(".csv").replace("_", " ")
    task, found = NAMES.get(task, task), {}
    for line, row in enumerate(csv.reader(io.StringIO(read_text(path))), 1):
        try:
            image, listed = row
            objects = [
                (NAMES.get(name, name), np.array([left, top, right, bottom], np.float64), confidence / 100)
                for name, confidence, right, left, bottom, top in ast.literal_eval(listed)
            ]
        except (ValueError, TypeError, SyntaxError):
            remedy = f"A line is an image and a list [[class, confidence, right, left, bottom, top], ...]. {CUT}"
            raise DataError(path, f"cannot read {str(row)[:60]}", remedy, line) from None
        found[image, task] = objects
    return found


def merged(
    target: np.ndarray, task: str, found: list[tuple[str, np.ndarray, float]]
) -> tuple[np.ndarray, list[str], np.ndarray, int]:
    """Boxes `(object, 4)`, labels and confidences of a display, from left to right, and which one is the target.

    The annotated box stands for the detected ones that are the same; 0 is its confidence if there are none.
    """
    same = [_overlap(target, box) > SAME for _, box, _ in found]
    own = max((c for (_, _, c), is_same in zip(found, same, strict=True) if is_same), default=0.0)
    others = [o for o, is_same in zip(found, same, strict=True) if not is_same]
    objects = [(task, target, own), *others]
    # in reading order, so that an object's number does not tell the target
    order = sorted(range(len(objects)), key=lambda i: (*objects[i][1].tolist(), objects[i][0]))
    boxes = np.stack([objects[i][1] for i in order]).astype(np.float32)
    confidence = np.array([objects[i][2] for i in order], np.float32)
    return boxes, [objects[i][0] for i in order], confidence, order.index(0)


def _overlap(a: np.ndarray, b: np.ndarray) -> float:
    """Intersection over union of two boxes."""
    width, height = np.minimum(a[2:], b[2:]) - np.maximum(a[:2], b[:2])
    both = max(0.0, width) * max(0.0, height)
    areas = (a[2:] - a[:2]).prod() + (b[2:] - b[:2]).prod()
    return float(both / max(areas - both, 1e-9))


def datasets() -> Iterator[Dataset]:
    """One."""
    yield CocoSearch()
