"""MovieLens-100K: 943 people rate 1,682 films, 1997-98 (Harper and Konstan, ACM TiiS 2015), as RecBole has it.

Films come with title, year and genres. What is known of people (age, gender, occupation, zip code) is not read.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

from tsbench.dataset import Dataset, Source, find_file
from tsbench.datasets.rec import Rec, some_of, sources
from tsbench.rec.atomic import read_inter
from tsbench.rec.interactions import Interactions


@dataclass(frozen=True)
class MovieLens100K(Rec):
    """All 100,000 ratings, whatever they are; `rating=4` keeps what people liked.

    Many ratings of a session have the same time, so the last one is often open: `ties` says how it is chosen.
    """

    name = "rec/movielens-100k"
    protocols: ClassVar = some_of("leave-one-out", "temporal")
    sources: ClassVar[tuple[Source, ...]] = sources(
        "MovieLens100K",
        "GroupLens: research use, acknowledged; no redistribution or commercial use without permission",
        "Harper and Konstan, ACM TiiS 5(4), 2015",
    )

    def read(self, root: Path) -> Interactions:
        """All ratings."""
        ratings, _ = (find_file(root, source.file) for source in self.sources)
        return read_inter(ratings)


def datasets() -> Iterator[Dataset]:
    """One."""
    yield MovieLens100K()
