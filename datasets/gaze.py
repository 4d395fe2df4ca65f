"""Gaze: what all recordings of scanpaths have in common; one file a source, `gaze_*.py`.

gaze/amazon:given=false,seed=1      the target's place hidden, another split
gaze/coco-search18:near=0           another rule; all of them are in tsbench.gaze.rules
"""

from __future__ import annotations

import csv
from abc import abstractmethod
from collections.abc import Iterator
from dataclasses import dataclass, fields
from functools import lru_cache
from pathlib import Path
from typing import ClassVar

from tsbench.data import Splits
from tsbench.dataset import Dataset, Source
from tsbench.errors import UsageError, unknown
from tsbench.gaze.rules import Rules, apply
from tsbench.gaze.scene import Scenes
from tsbench.gaze.splits import PROTOCOLS, scanpath_splits
from tsbench.inputs import Objects
from tsbench.tasks.scanpath import Scanpath

FAMILY = "gaze"


@dataclass(frozen=True)
class Gaze(Rules, Dataset):
    """Scanpaths of one source; its rules are its options.

    Attributes:
        seed: of the split.
        given: "true" if models are told where the target is, "false" if it is hidden.
    """

    seed: int = 0
    given: str = "true"

    kind: ClassVar = Scanpath
    inputs: ClassVar = Objects
    protocols: ClassVar = PROTOCOLS
    bar: ClassVar = "gaze_markov"
    options: ClassVar[tuple[str, ...]] = (*(f.name for f in fields(Rules)), "seed", "given")

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.given not in ("true", "false"):
            raise unknown("value of given", self.given, ("true", "false"))

    @abstractmethod
    def read(self, root: Path) -> Scenes:
        """All fixations as they were recorded."""

    def load(self, root: Path, protocol: str) -> Splits:
        """Read, rule and split."""
        try:
            return scanpath_splits(apply(self.read(root), self), protocol, self.seed, self.given == "true")
        except UsageError as error:
            raise UsageError(f"{self.name}: {error}") from None


@lru_cache(maxsize=1)
def _table() -> list[dict[str, str]]:
    with Path(__file__).with_name("gaze_files.csv").open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def sources(folder: str, licence: str, citation: str, suffixes: tuple[str, ...] = ("",)) -> tuple[Source, ...]:
    """The files of one source as `gaze_files.csv` lists them; those without origin were derived, see docs/gaze.md."""
    found = []
    for row in _table():
        if row["set"] == folder and row["file"].endswith(suffixes):
            repository, _, rest = row["origin"].partition("@")
            commit, _, path = rest.partition(":")
            path = path.replace(" ", "%20")
            url = f"https://raw.githubusercontent.com/{repository}/{commit}/{path}" if path else ""
            other = (f"https://github.com/{repository}/raw/{commit}/{path}",) if path else ()
            found.append(Source(f"{FAMILY}/{folder}/{row['file']}", url, row["sha256"], licence, citation, other))
    return tuple(found)


def datasets() -> Iterator[Dataset]:
    """None: see gaze_*.py."""
    yield from ()
