"""Gaze: what all recordings of scanpaths have in common; one file a source, `gaze_*.py`.

gaze/amazon:given=false,seed=1      the target's place hidden, another split
gaze/coco-search18:near=0           another rule; all of them are in tsbench.gaze.rules
"""

from __future__ import annotations

import re
from abc import abstractmethod
from collections.abc import Iterator
from dataclasses import dataclass, fields
from functools import lru_cache, partial
from pathlib import Path
from typing import ClassVar

from tsbench.data import Splits
from tsbench.dataset import Dataset, read_sources
from tsbench.errors import UsageError, unknown
from tsbench.gaze.metrics import Conventions
from tsbench.gaze.rules import Rules, apply
from tsbench.gaze.scene import Scenes
from tsbench.gaze.splits import PROTOCOLS, scanpath_splits
from tsbench.inputs import Objects
from tsbench.tasks.scanpath import Scanpath

FAMILY = "gaze"
WORDS = {"given": ("true", "false"), "first": ("true", "false"), "short": ("undefined", "filled")}
NUMBERS = {  # how they are written, and an example
    "grid": (r"[1-9]\d*x[1-9]\d*", "5x5"),
    "scanmatch": (r"[1-9]\d*x[1-9]\d*/\d*\.?\d+/-?\d*\.?\d+", "16x12/3.5/0"),
}


@dataclass(frozen=True)
class Gaze(Rules, Dataset):
    """Scanpaths of one source; its rules are its options.

    Attributes:
        seed: of the split.
        given: "true" if models are told where the target is, "false" if it is hidden.
        first: "true" if first fixations count when paths are compared, "false" if not.
        longest: fixations of a path that count when paths are compared; 0 for all.
        grid: columns x rows of the cells that are compared as strings.
        scanmatch: columns x rows of its bins / threshold / gap.
        short: MultiMatch of paths of fewer than three fixations: "undefined", or "filled" as OAT does.
    """

    seed: int = 0
    given: str = "true"
    first: str = "true"
    longest: int = 0
    grid: str = "5x5"
    scanmatch: str = "16x12/3.5/0"
    short: str = "undefined"

    kind: ClassVar = Scanpath
    inputs: ClassVar = Objects
    alone: ClassVar[bool] = False  # True if no two people searched the same display
    protocols: ClassVar = PROTOCOLS
    bar: ClassVar = "gaze_markov"
    options: ClassVar[tuple[str, ...]] = (*(f.name for f in fields(Rules)), "seed", *WORDS, "longest", *NUMBERS)

    def __post_init__(self) -> None:
        super().__post_init__()
        for name, words in WORDS.items():
            if getattr(self, name) not in words:
                raise unknown(f"value of {name}", getattr(self, name), words)
        for name, (pattern, such) in NUMBERS.items():
            if not re.fullmatch(pattern, getattr(self, name)):
                raise UsageError(f"{name}={getattr(self, name)} cannot be read; write it as {name}={such}")
        if self.longest < 0:
            raise UsageError(f"longest={self.longest} is below 0; 0 takes all fixations")

    @property
    def how(self) -> Conventions:
        """Conventions of comparing paths."""
        bins, threshold, gap = self.scanmatch.split("/")
        return Conventions(
            first=self.first == "true",
            longest=self.longest,
            grid=_two(self.grid),
            bins=_two(bins),
            threshold=float(threshold),
            gap=float(gap),
            pad_short=self.short == "filled",
        )

    @abstractmethod
    def read(self, root: Path) -> Scenes:
        """All fixations as they were recorded."""

    def load(self, root: Path, protocol: str) -> Splits:
        """Read, rule and split."""
        try:
            scenes = apply(_recorded(self, root, self.digest(root)), self)
            return scanpath_splits(scenes, protocol, self.seed, self.given == "true", self.how)
        except UsageError as error:
            raise UsageError(f"{self.name}: {error}") from None


@lru_cache(maxsize=1)
def _recorded(dataset: Gaze, root: Path, digest: str) -> Scenes:
    """Read once for all protocols: reading takes much longer than splitting."""
    return dataset.read(root)


def _two(text: str) -> tuple[int, int]:
    columns, rows = map(int, text.split("x"))
    return columns, rows


sources = partial(read_sources, Path(__file__).with_name("gaze_files.csv"), FAMILY)


def datasets() -> Iterator[Dataset]:
    """None: see gaze_*.py."""
    yield from ()
