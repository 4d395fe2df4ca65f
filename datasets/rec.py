"""Recommendation: what all recordings of who took what have in common; one file a source, `rec_*.py`.

rec/movielens-100k:ties=file,rating=4      ties in the order of the file, what users liked only
rec/movielens-100k:order=shuffled          a control: does order matter at all?
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, fields
from functools import partial
from pathlib import Path
from typing import ClassVar

from tsbench.data import Splits
from tsbench.dataset import Dataset, read_sources
from tsbench.errors import UsageError
from tsbench.inputs import Histories
from tsbench.rec.interactions import Interactions
from tsbench.rec.splits import PROTOCOLS, Rules, history_splits
from tsbench.tasks.next_item import NextItem

FAMILY = "rec"


@dataclass(frozen=True)
class Rec(Rules, Dataset):
    """Interactions of one source; its rules are its options.

    Subclasses of sets (`Interactions.ordered` False) set `bar = "ease"`, and all name the `protocols` that their data
    allow: `protocols = some_of("leave-one-out", "temporal")`.
    """

    kind: ClassVar = NextItem
    inputs: ClassVar = Histories
    protocols: ClassVar[Mapping[str, str]] = PROTOCOLS
    bar: ClassVar[str | None] = "item_markov"
    described: ClassVar[bool] = True  # something is known of the items beside who took them
    options: ClassVar[tuple[str, ...]] = tuple(f.name for f in fields(Rules))

    @abstractmethod
    def read(self, root: Path) -> Interactions:
        """All interactions as they were recorded."""

    def load(self, root: Path, protocol: str) -> Splits:
        """Read, filter, order and split."""
        try:
            return history_splits(self.read(root), protocol, self)
        except UsageError as error:
            raise UsageError(f"{self.name}: {error}") from None


def some_of(*names: str) -> Mapping[str, str]:
    """These protocols; the first is the default."""
    return {name: PROTOCOLS[name] for name in names}


sources = partial(read_sources, Path(__file__).with_name("rec_files.csv"), FAMILY)


def datasets() -> Iterator[Dataset]:
    """None: see rec_*.py."""
    yield from ()
