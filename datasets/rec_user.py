"""A user's own interactions, in the formats of RecBole, MMRec, S3-Rec, SASRec, LC-Rec and DiffMM (see docs/rec.md).

--dataset folder/ml-1m.inter                   with ml-1m.item and arrays beside it, if there are any
--dataset folder/clicks.inter:lines=sequence   no times, but its lines are in their order
--dataset folder/ml-1m.train.inter             one set with ml-1m.valid.inter and ml-1m.test.inter
--dataset folder/Sports_and_Outdoors.txt       a line is a user and items
--dataset folder/Instruments.inter.json        user -> items
--dataset folder                               the one set that is in it, or train_pairs.npy, valid_..., test_...
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import ClassVar

from tsbench.dataset import Dataset, Source, file_digest
from tsbench.datasets.rec import Rec, some_of
from tsbench.errors import MissingData, UsageError, unknown
from tsbench.rec.arrays import PAIRS, arrays_beside
from tsbench.rec.atomic import columns_in, read_inter
from tsbench.rec.files import parts_of, read_index, read_pairs, read_sequences, stem
from tsbench.rec.interactions import Interactions

READERS = {".txt": read_sequences, ".json": read_index, ".npy": read_pairs}
FORM = re.compile(r"(\.inter|\.inter\.json|\.txt|^(train|valid|test)_pairs\.npy)(\.gz)?$")
BESIDE = re.compile(r"\.item|_item2attributes\.json|\.item2id|\.index.*\.json|\.item\.json")  # after the set's own name
GENERIC = ("sequences", *PAIRS)  # files whose folder has the better name
READY = "Rec-IDs {} are ready-made; whoever made them may have used interactions that are test data here"
LINES = ("set", "sequence")


@dataclass(frozen=True)
class UserInteractions(Rec):
    """Interactions of the user's.

    Attributes:
        path: the file of interactions; what is known of items lies beside it.
        lines: what the lines of X.inter are if no column tells the time: a "set", or a "sequence", oldest first.
    """

    path: Path = Path("X.inter")
    lines: str = LINES[0]

    options: ClassVar = (*Rec.options, "lines")

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.lines not in LINES:
            raise unknown("value of lines", self.lines, LINES)
        if self.lines != LINES[0] and self._suffix != ".inter":
            raise UsageError(f"{self.path.name}: lines={self.lines} is for X.inter without times; leave it out")

    @property
    def _suffix(self) -> str:
        return Path(self.path.name.removesuffix(".gz")).suffix

    @property
    def name(self) -> str:  # type: ignore[override]
        """`histories/<name of the file, or of the folder if that says more>`."""
        own = stem(self.path)
        return f"histories/{self.path.parent.name if own in GENERIC else own}"

    @property
    def protocols(self) -> Mapping[str, str]:  # type: ignore[override]
        """The source's split if there is one, and whatever the times allow."""
        if self._suffix == ".npy":
            return some_of("given")
        known = columns_in(self._there()) if self._suffix == ".inter" else {}
        times = ["temporal"] if "time" in known else []
        return some_of(*(["given"] if "split" in known else []), "leave-one-out", *times)

    @property
    def bar(self) -> str | None:  # type: ignore[override]
        """Of sequences or of sets."""
        if self._suffix == ".inter":
            ordered = self.lines == "sequence" or "time" in columns_in(self._there())
        else:
            ordered = self._suffix != ".npy"
        return Rec.bar if ordered else "ease"

    @property
    def sources(self) -> tuple[Source, ...]:
        """All files that are read, by their own paths."""
        return tuple(Source(str(path), "", None, "the user's", "") for path in self._files())

    def digest(self, root: Path) -> str:
        """Fingerprint of all files."""
        parts = [f"{path.name} {file_digest(path)}" for path in self._files()]
        return hashlib.sha256("\n".join([str(self.version), *parts]).encode()).hexdigest()

    def read(self, root: Path) -> Interactions:
        """By the reader of the format."""
        path = self._there()
        arrays = arrays_beside(path)
        if self._suffix == ".inter":
            found = read_inter(path, arrays, self.lines == "sequence")
        else:
            found = READERS[self._suffix](path, arrays)
        return replace(found, notes=(*found.notes, *map(READY.format, found.catalogue.codes)))

    def _there(self) -> Path:
        if not self.path.is_file():
            raise MissingData(f"{self.path} is not there. Check the path given to --dataset.")
        return self.path

    def _files(self) -> list[Path]:
        """The file, and all that is read from beside it."""
        path = self._there()
        own, beside = stem(path), []
        for other in sorted(path.parent.iterdir()):
            name = other.name.removesuffix(".gz")
            of_items = name.startswith(own) and BESIDE.fullmatch(name.removeprefix(own))
            if of_items or name == "item2asin.tsv":
                beside.append(other)
        return [*parts_of(path), *beside, *arrays_beside(path)]


def datasets() -> Iterator[Dataset]:
    """None by name."""
    yield from ()


def open_path(path: Path) -> Dataset | None:
    """A data set made of a file of interactions, or of a folder that has one.

    Raises:
        UsageError: the folder has several.
        MissingData: of a set in three files, one is absent.
    """
    if FORM.search(path.name) and not path.is_dir():
        path = path.resolve()
        return UserInteractions(path=parts_of(path)[0])
    found = [p for p in sorted(path.resolve().iterdir()) if _tells(p)] if path.is_dir() else []
    if len(found) > 1:
        raise UsageError(f"{path} has several sets; name the file of one: {', '.join(p.name for p in found)}")
    return UserInteractions(path=found[0]) if found else None


def _tells(path: Path) -> bool:
    """Is this the file of interactions of a folder? Of texts only those that S3-Rec or MQL4GRec have."""
    if not FORM.search(path.name) or re.search(r"(^|\.)(valid|test)(_pairs\.npy|\.inter)", path.name):
        return False
    beside = path.with_name(f"{stem(path)}_item2attributes.json").is_file()
    return ".txt" not in path.name or beside or stem(path) == "sequences"
