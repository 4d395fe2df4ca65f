"""A lab's own recordings: a folder with `scenes.json` (displays and objects) and `fixations.csv` (who looked where).

scenes.json
    {"displays": [{"name": "shelf 1", "size": [1680, 1050], "picture": "shelf1.png",
                   "objects": [{"name": "cola", "box": [10, 20, 110, 220], "label": "drink", "features": [0.1, 3]}]}]}
    `picture`, `label`, `features`, and `unit` and `image` of a display (see tsbench.gaze.scene) may be left out.
    Features of an object are its label as one-hot, unless `features` are given, which then all objects have.
fixations.csv, a line for each fixation
    display, subject, order, x, y       x and y in px of the display, order any rising numbers
    duration_ms, searched, target       may be left out; target is an object's name, or several with ; between
    trial                               tells trials apart where someone saw a display more than once
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from tsbench.errors import DataError
from tsbench.gaze.readers import Table, field, numbers, read_json, read_table, rows_by
from tsbench.gaze.scene import Display, Scenes, Trial

SCENES, FIXATIONS = "scenes.json", "fixations.csv"
HEADER = ("display", "subject", "trial", "searched", "target", "order", "x", "y", "duration_ms")


def read_folder(folder: Path) -> Scenes:
    """The recording in a folder; no fixation has an object yet, for that is what rules are for.

    Raises:
        DataError: naming file, and line or field.
    """
    path = folder / FIXATIONS
    displays, names = _displays(folder / SCENES)
    place = {display.name: i for i, display in enumerate(displays)}
    table = read_table(path, ("order", "x", "y"), ("display", "subject"), ("duration_ms",), (*HEADER[2:5],))
    trials = []
    for (display, subject, _, searched, target), rows in rows_by(
        table, "display", "subject", "trial", "searched", "target"
    ).items():
        line = int(rows[0]) + 2
        if display not in place:
            remedy = "Add it there, or leave its fixations out."
            raise DataError(path, f"column `display`: {display!r} is not in {SCENES}", remedy, line)
        i = place[display]
        wanted = [name.strip() for name in target.split(";") if name.strip()]
        if lost := [name for name in wanted if name not in names[i]]:
            what = f"column `target`: {lost[0]!r} is no object of display {display!r}"
            raise DataError(path, what, f"Write the object's `name` as in {SCENES}.", line)
        targets = tuple(sorted(names[i][name] for name in wanted))
        rows = _in_order(path, table, rows)
        points, durations = np.stack([table["x"][rows], table["y"][rows]], 1), table["duration_ms"][rows]
        cue = _cue(displays, i, targets, searched)
        trials.append(Trial(i, subject, cue, targets, points, durations, np.full(len(rows), -1), searched or target))
    if not trials:
        raise DataError(path, "holds no fixations", "It needs a header and a line for each fixation.")
    _check_places(path, displays, trials)
    return Scenes(displays, tuple(trials))


def _check_places(path: Path, displays: Sequence[Display], trials: Sequence[Trial]) -> None:
    """Refuse fixations that cannot be in px of their displays: all off them, or all in one corner pixel."""
    points = np.concatenate([trial.points for trial in trials])
    sizes = np.concatenate([np.broadcast_to(displays[t.display].size, t.points.shape) for t in trials])
    if ((points >= 0) & (points <= sizes)).all(1).any() and abs(points).max() > 1:
        return
    low, high, (width, height) = points.min(0), points.max(0), sizes.max(0)
    ranges = f"x is from {low[0]:g} to {high[0]:g} and y from {low[1]:g} to {high[1]:g}"
    what = f"no fixation can be right: {ranges}, on displays of up to {width:g} x {height:g}"
    remedy = f"Are they in px of the display, from its left upper corner? Convert them, or correct `size` in {SCENES}."
    raise DataError(path, what, remedy)


def write_folder(scenes: Scenes, folder: Path) -> None:
    """Write a recording the way `read_folder` reads it; objects are called by their numbers."""
    displays = []
    for d in scenes.displays:
        labels = d.labels or ("",) * len(d.boxes)
        objects = [
            {"name": str(i), "label": labels[i], "box": box.tolist(), "features": features.tolist()}
            for i, (box, features) in enumerate(zip(d.boxes, d.features, strict=True))
        ]
        about = {"name": d.name, "size": list(d.size), "unit": list(d.unit), "image": d.image, "objects": objects}
        displays.append(about | ({"picture": str(d.picture)} if d.picture else {}))
    folder.mkdir(parents=True, exist_ok=True)
    (folder / SCENES).write_text(json.dumps({"displays": displays}), encoding="utf-8")
    lines = [",".join(HEADER)]
    for number, t in enumerate(scenes.trials):
        target = ";".join(map(str, t.targets))
        told = [scenes.displays[t.display].name, t.subject, str(number), t.searched, target]
        for order, ((x, y), duration) in enumerate(zip(t.points.tolist(), t.durations.tolist(), strict=True)):
            known = "" if np.isnan(duration) else repr(duration)
            lines.append(",".join([*map(_quoted, told), str(order), repr(x), repr(y), known]))
    (folder / FIXATIONS).write_text("\n".join(lines) + "\n", encoding="utf-8")


def _quoted(text: str) -> str:
    return '"' + text.replace('"', '""') + '"' if set(text) & set(',"\n') else text


def _displays(path: Path) -> tuple[tuple[Display, ...], list[dict[str, int]]]:
    """The displays, and for each the number of the object of each name."""
    records = field(path, read_json(path), "the file", "displays", list)
    if not records:
        raise DataError(path, "`displays` is empty", "It needs one at least.")
    read = [_display(path, record, i) for i, record in enumerate(records, 1)]
    first: dict[str, int] = {}
    for i, (display, _, _) in enumerate(read, 1):
        if first.setdefault(display.name, i) < i:
            raise DataError(path, f"display {i} is called {display.name!r}, as {first[display.name]} is", "Rename it.")
    labels = sorted({label for display, _, _ in read for label in display.labels})
    code = {label: i for i, label in enumerate(labels)}
    counts = {features.shape[1] if features is not None else None for _, _, features in read}
    if len(counts) > 1:
        raise DataError(path, f"displays have {_words(counts)} features", "Give all objects equally many, or none.")
    made = []
    for display, _, features in read:
        if features is None:
            features = np.eye(len(labels))[[code[label] for label in display.labels]]
        made.append(replace(display, features=features.astype(np.float32)))
    return tuple(made), [names for _, names, _ in read]


def _words(counts: set[int | None]) -> str:
    return " or ".join("no" if n is None else str(n) for n in sorted(counts, key=lambda n: -1 if n is None else n))


def _display(path: Path, record: Any, number: int) -> tuple[Display, dict[str, int], np.ndarray | None]:
    """A display yet without features, its objects' names, and their features if they are given."""
    name = field(path, record, f"display {number}", "name", str)
    where = f"display {name!r}"
    size = numbers(path, record, where, "size", (2,))
    unit = numbers(path, record, where, "unit", (2,)) if "unit" in record else np.zeros(2)
    objects = field(path, record, where, "objects", list)
    if not objects or not (size > 0).all() or (unit < 0).any():
        raise DataError(path, f"{where} has no objects, or no positive size", "It needs both.")
    names: dict[str, int] = {}
    boxes, labels, features = [], [], []
    for i, entry in enumerate(objects):
        own = field(path, entry, f"{where}, object {i + 1}", "name", str)
        told = f"{where}, object {own!r}"
        if names.setdefault(own, i) < i or ";" in own:
            raise DataError(path, f"{told}: its name is taken, or holds a `;`", "Rename it.")
        box = numbers(path, entry, told, "box", (4,))
        if not (box[:2] < box[2:]).all():
            raise DataError(path, f"{told}: `box` is {box.tolist()}", "Write left, top, right, bottom, in px.")
        boxes.append(box)
        labels.append(field(path, entry, told, "label", str) if "label" in entry else own)
        if "features" in entry:
            features.append(numbers(path, entry, told, "features", (-1,)))
    if len({len(row) for row in features}) > 1 or len(features) not in (0, len(objects)):
        raise DataError(path, f"{where}: not all objects have equally many `features`", "Give all of them, or none.")
    display = Display(
        name, (float(size[0]), float(size[1])), np.stack(boxes).astype(np.float32), np.zeros((len(boxes), 0)),
        tuple(labels), path.parent / field(path, record, where, "picture", str) if "picture" in record else None,
        (float(unit[0]), float(unit[1])), field(path, record, where, "image", str) if "image" in record else "",
    )  # fmt: skip
    return display, names, np.stack(features) if features else None


def _in_order(path: Path, table: Table, rows: np.ndarray) -> np.ndarray:
    order = table["order"][rows]
    rows = rows[order.argsort(kind="stable")]
    same = np.flatnonzero(np.diff(table["order"][rows]) == 0)
    if len(same):
        row = rows[same[0] + 1]
        what = f"column `order`: {table['order'][row]:g} is there twice in one trial"
        remedy = "Number its fixations; tell trials apart in a column `trial`."
        raise DataError(path, what, remedy, int(row) + 2)
    return rows


def _cue(displays: Sequence[Display], i: int, targets: tuple[int, ...], searched: str) -> np.ndarray:
    """What is searched for looks like the targets, or if there are none like all objects of that label."""
    width = displays[i].features.shape[1]
    if targets:
        return np.asarray(displays[i].features[list(targets)].mean(0))
    alike = [d.features[[label == searched for label in d.labels]] for d in displays if searched in d.labels]
    return np.concatenate(alike).mean(0) if alike else np.zeros(width, np.float32)
