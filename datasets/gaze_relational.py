"""Relational scenes: 25 people look at 30 photographs that they will have to recall (Rydel and Kafkas 2026).

Nothing is searched for. Boxes, names and polygons of objects are those of Synthetic Visual Genome (Park et al. 2025).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

import numpy as np

from tsbench.dataset import Dataset, Source, find_file
from tsbench.datasets.gaze import Gaze, sources
from tsbench.errors import DataError, unknown
from tsbench.gaze.readers import CUT, field, numbers, read_json, read_table, rows_by
from tsbench.gaze.scene import Display, Scenes, Trial
from tsbench.gaze.splits import PROTOCOLS
from tsbench.parts import patches as patch

if TYPE_CHECKING:
    from PIL.Image import Image

WIDTH, HEIGHT = 1024, 768
SHRUNK = 4  # colours are taken from the picture at a quarter of its size
FILES = sources("RelationalScenes", "none stated", "Rydel and Kafkas 2026; pictures: Park et al. 2025")


@dataclass(frozen=True)
class RelationalScenes(Gaze):
    """Free viewing; the object of a fixation is the authors': the polygon it is in, or one within 50 px.

    Attributes:
        appearance: "colour": mean and standard deviation of red, green and blue in an object's box; "patches": the box
            itself, as a picture for OAT's CNN (`oat:patches=true`); "none": objects are known by their place alone,
            and no picture is needed.
    """

    on: str = "recorded"
    appearance: str = "colour"

    name = "gaze/relational"

    options: ClassVar = (*Gaze.options, "appearance")
    protocols: ClassVar = {name: PROTOCOLS[name] for name in ("by-image", "by-subject", "by-trial")}

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.appearance not in APPEARANCES:
            raise unknown("value of appearance", self.appearance, APPEARANCES)

    @property
    def sources(self) -> tuple[Source, ...]:
        """Objects and fixations, and the pictures if they are looked at."""
        return tuple(s for s in FILES if self.appearance != "none" or not s.file.endswith(".jpg"))

    def read(self, root: Path) -> Scenes:
        """One display for each photograph that was shown."""
        scenes, fixations = (find_file(root, source.file) for source in self.sources[:2])
        table = read_table(
            fixations, ("FixStart_ms", "Duration_ms", "ImgX", "ImgY"), ("SubjectID", "StimID"), ("ObjectID",)
        )
        records = {
            field(scenes, record, "an image", "image_id", str): record
            for record in field(scenes, read_json(scenes), "the file", "images", list)
        }
        displays: dict[str, int] = {}
        made: list[Display] = []
        ids, trials = [], []
        for (subject, image), rows in rows_by(table, "SubjectID", "StimID").items():
            if image not in records:
                raise DataError(fixations, f"picture {image} is not in {scenes.name}", CUT, int(rows[0]) + 2)
            if image not in displays:
                displays[image] = len(made)
                display, numbered = self._display(root, scenes, image, records[image])
                made.append(display)
                ids.append(numbered)
            i = displays[image]
            order = rows[table["FixStart_ms"][rows].argsort(kind="stable")]
            objects = [_number(fixations, ids[i], image, row, table["ObjectID"][row]) for row in order]
            points = np.stack([table["ImgX"][order], table["ImgY"][order]], 1)
            cue = np.zeros(made[i].features.shape[1], np.float32)
            trials.append(Trial(i, subject, cue, (), points, table["Duration_ms"][order], np.array(objects, np.int64)))
        return Scenes(tuple(made), tuple(trials))

    def _display(self, root: Path, path: Path, image: str, record: object) -> tuple[Display, dict[float, int]]:
        """A photograph, and its authors' numbers of the objects -> ours."""
        objects = field(path, record, f"image {image}", "objects", list)
        ids = {float(field(path, o, f"image {image}, object {i}", "object_id", int)): i for i, o in enumerate(objects)}
        boxes = np.stack([numbers(path, o, f"image {image}", "bbox", (4,)) for o in objects])
        boxes[:, 2:] += boxes[:, :2]
        labels = tuple(field(path, o, f"image {image}", "name", str) for o in objects)
        picture = next((find_file(root, s.file) for s in self.sources if s.file.endswith(f"/{image}.jpg")), Path())
        features = APPEARANCES[self.appearance](picture, boxes)
        return Display(
            image, (WIDTH, HEIGHT), boxes.astype(np.float32), features, labels, picture if picture.name else None
        ), ids


def _number(path: Path, ids: Mapping[float, int], image: str, row: int, theirs: float) -> int:
    """Our number of an object; -1 for none, which is NaN."""
    if np.isnan(theirs):
        return -1
    if theirs not in ids:
        raise DataError(path, f"column `ObjectID`: picture {image} has no object {theirs:g}", CUT, int(row) + 2)
    return ids[theirs]


def colours(picture: Path, boxes: np.ndarray) -> np.ndarray:
    """Mean and standard deviation of red, green and blue in each box, `(object, 6)` float32, 0 to 1."""
    pixels = np.asarray(_opened(picture).reduce(SHRUNK), np.float32) / 255
    found = []
    for left, top, right, bottom in (boxes / SHRUNK).round().astype(np.int64):
        x, y = min(max(left, 0), pixels.shape[1] - 1), min(max(top, 0), pixels.shape[0] - 1)
        crop = pixels[y : max(bottom, y + 1), x : max(right, x + 1)].reshape(-1, 3)
        found.append(np.concatenate([crop.mean(0), crop.std(0)]))
    return np.stack(found).astype(np.float32)


def patches(picture: Path, boxes: np.ndarray) -> np.ndarray:
    """The box of each object at the size of OAT's patches, `(object, VALUES)` float32, 0 to 1, colour by colour."""
    image = _opened(picture)
    crops = [image.resize((patch.WIDTH, patch.HEIGHT), box=_inside(box)) for box in boxes]
    return np.stack([np.asarray(crop, np.float32).transpose(2, 0, 1).ravel() / 255 for crop in crops])


def _inside(box: np.ndarray) -> tuple[float, float, float, float]:
    """A box cut at the edge of the picture, at least a pixel wide and high."""
    x, y = min(max(box[0], 0.0), WIDTH - 1.0), min(max(box[1], 0.0), HEIGHT - 1.0)
    return x, y, min(max(box[2], x + 1), WIDTH), min(max(box[3], y + 1), HEIGHT)


def _opened(picture: Path) -> Image:
    """A picture in red, green and blue, read by Pillow, which comes with mlflow (by way of matplotlib).

    Raises:
        DataError: it is no picture, or not of the size that fixations are given in.
    """
    from PIL import Image, UnidentifiedImageError

    try:
        with Image.open(picture) as image:
            read = image.convert("RGB")
    except (OSError, SyntaxError, UnidentifiedImageError) as error:
        raise DataError(picture, f"is no picture ({error})", CUT) from None
    if read.size != (WIDTH, HEIGHT):
        raise DataError(picture, f"{read.size[0]} x {read.size[1]} px, not {WIDTH} x {HEIGHT}", CUT)
    return read


APPEARANCES: Mapping[str, Callable[[Path, np.ndarray], np.ndarray]] = {
    "colour": colours,
    "patches": patches,
    "none": lambda picture, boxes: np.zeros((len(boxes), 0), np.float32),
}


def datasets() -> Iterator[Dataset]:
    """One."""
    yield RelationalScenes()
