"""Amazon reviews as sequences of products, users and products with five reviews at least (McAuley et al. 2015).

Beauty and Toys (2014) are files of S3-Rec; TIGER and most generative recommenders report on these data. Instruments
(2018) is of MQL4GRec, with Rec-IDs from texts and images. There are no times but the order of a line, and Amazon dates
a review by its day, so the order within a day is whatever the authors' program made of it.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import ClassVar

from tsbench.dataset import Dataset, Published, Source, file_digest, find_file, read_published
from tsbench.datasets.rec import Rec, some_of, sources
from tsbench.rec.files import read_sequences
from tsbench.rec.interactions import Interactions
from tsbench.rec.splits import Rules

DAYS = "reviews of one day are in the order of the source's file; times are not known, so it cannot be varied"


@dataclass(frozen=True)
class S3Rec(Rec):
    """Products with attributes (category and brand, as numbers), and Rec-IDs where a `*_codes.npy` lies beside them."""

    protocols: ClassVar = some_of("leave-one-out")

    def codes(self, root: Path) -> list[Path]:
        """Files of Rec-IDs, `letter_codes.npy`: item 1 is in the first row."""
        return sorted(find_file(root, self.sources[0].file).parent.glob("*_codes.npy"))

    def digest(self, root: Path) -> str:
        """Of the files that are listed, and of Rec-IDs beside them."""
        parts = [super().digest(root), *(file_digest(path) for path in self.codes(root))]
        return hashlib.sha256("\n".join(parts).encode()).hexdigest()

    def read(self, root: Path) -> Interactions:
        """A line is a user."""
        sequences, _ = (find_file(root, source.file) for source in self.sources)
        found = read_sequences(sequences, self.codes(root))
        return replace(found, notes=(*found.notes, DAYS))

    def published(self) -> list[Published]:
        """Leave-one-out over the whole catalogue, of the same files or of ones made in the same way."""
        if any(getattr(self, field.name) != field.default for field in fields(Rules)):
            return []
        table = read_published(Path(__file__).with_name("rec_published.csv"))
        return [row for row in table if row.dataset == self.name]


STATED = "none stated; Amazon Reviews 2014, research use"


@dataclass(frozen=True)
class Beauty(S3Rec):
    """Cosmetics."""

    name = "rec/amazon-beauty"
    sources: ClassVar[tuple[Source, ...]] = sources("AmazonBeauty", STATED, "Zhou et al. (S3-Rec), CIKM 2020")

    def read(self, root: Path) -> Interactions:
        """As others, and says what is known of the Rec-IDs."""
        found = super().read(root)
        if "letter" not in found.catalogue.codes:
            return found
        note = "Rec-IDs letter (LETTER, CIKM 2024) know who took what in their authors' training split, not only texts"
        return replace(found, notes=(*found.notes, note))


@dataclass(frozen=True)
class Toys(S3Rec):
    """Toys and games."""

    name = "rec/amazon-toys"
    sources: ClassVar[tuple[Source, ...]] = sources("AmazonToys", STATED, "Zhou et al. (S3-Rec), CIKM 2020")


@dataclass(frozen=True)
class Instruments(Rec):
    """Musical instruments, with Rec-IDs of four levels from texts (LLaMA) and from images (CLIP)."""

    name = "rec/amazon-instruments"
    described: ClassVar = False  # Rec-IDs alone
    protocols: ClassVar = some_of("leave-one-out")
    sources: ClassVar[tuple[Source, ...]] = sources(
        "AmazonInstruments",
        "N/A, says its readme; Amazon Reviews 2018, research use",
        "Zhai et al. (MQL4GRec), ICLR 2025",
    )

    def read(self, root: Path) -> Interactions:
        """A line is a user; products are called by their ASIN."""
        sequences, _, *codes = (find_file(root, source.file) for source in self.sources)
        found = read_sequences(sequences, codes)
        return replace(found, notes=(*found.notes, DAYS))


def datasets() -> Iterator[Dataset]:
    """The three."""
    yield from (Beauty(), Toys(), Instruments())
