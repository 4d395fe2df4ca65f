"""UEA: the thirty archives of multivariate series with classes (Bagnall et al. 2018), and a user's own such files.

Read from `uea/<Name>/<Name>_TRAIN.ts` and `_TEST.ts` (or `.arff`) below the data folder. BasicMotions and
JapaneseVowels come inside sktime, so they are always there. Published accuracies stand in `uea_published.csv`;
VSFormer's are not among them, as its tables are not public.

--dataset uea/BasicMotions                 the archive's split
--dataset uea/ERing:resample=3             TRAIN and TEST pooled and dealt anew, the third of many ways
--dataset path/Mine_TRAIN.ts               with path/Mine_TEST.ts beside it
"""

from __future__ import annotations

import csv
import hashlib
import importlib.util
import re
from abc import abstractmethod
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import ClassVar

from tsbench.data import Splits
from tsbench.dataset import Dataset, Published, Source, file_digest, find_file
from tsbench.errors import DataError, MissingData, UsageError, unknown
from tsbench.series.arff_file import read_arff
from tsbench.series.cases import Cases, to_samples
from tsbench.series.splits import PROTOCOLS, SCALINGS, classification_splits, resampled
from tsbench.series.ts_file import read_ts
from tsbench.tasks.classification import Classification

FAMILY = "uea"
PARTS = ("TRAIN", "TEST")
READERS = {".ts": read_ts, ".arff": read_arff}
CARRIED = ("BasicMotions", "JapaneseVowels")  # by sktime
ZENODO = "https://zenodo.org/records"
WEBSITE = "https://timeseriesclassification.com/aeon-toolkit"
NAMED = re.compile(r"_(TRAIN|TEST)(\.(?:ts|arff)(?:\.gz)?)$")
CITATION = "Bagnall et al., UEA archive, arXiv 1811.00075"


@dataclass(frozen=True)
class Archive:
    """A row of the archive's table, `uea_archives.csv`.

    Attributes:
        cases: of TRAIN and TEST.
        lengths: of the shortest case, None if it is not known, and of the longest.
        record: of Zenodo, as aeon 1.6.0 has it.
        sha256: of the archive's own `.ts` files, None if they were not at hand.
    """

    name: str
    cases: tuple[int, int]
    channels: int
    lengths: tuple[int | None, int]
    classes: int
    record: str
    sha256: tuple[str | None, str | None]

    def check(self, train: Cases, test: Cases) -> None:
        """Compare what was read with the table.

        Raises:
            DataError: it differs.
        """
        for part, wanted in zip((train, test), self.cases, strict=True):
            self._compare(part, "cases", len(part.series), wanted)
            self._compare(part, "channels", part.channels, self.channels)
        self._compare(train, "classes", len(set(train.labels)), self.classes)
        shortest, longest = self.lengths
        both = [*train.lengths, *test.lengths]
        self._compare(train, "steps in the longest case", max(both), longest)
        self._compare(train, "steps in the shortest case", min(both), shortest or min(both))

    def _compare(self, part: Cases, what: str, found: int, wanted: int) -> None:
        if found != wanted:
            kind = "a cut copy" if what == "cases" and found < wanted else "not the archive's file"
            remedy = f"Delete it and run `tsbench data fetch {FAMILY}/{self.name}`, or use it as your own: --dataset "
            problem = f"{found} {what}, the archive has {wanted}: {kind}"
            raise DataError(part.path, problem, f"{remedy}{_sibling(part.path, PARTS[0])}")


class Labelled(Dataset):
    """What all labelled series share: two files, three scalings, resamples.

    Attributes:
        scaling: by each channel's mean and standard deviation over the fitting part ("channel"), by each case's own
            ("case"), or "none".
        resample: 0 is the split of the files; any other number seeds a stratified split of all cases anew, with as
            many of each class in TRAIN and TEST as before.
    """

    scaling: str
    resample: int

    kind: ClassVar = Classification
    protocols: ClassVar = PROTOCOLS
    options: ClassVar = ("scaling", "resample")

    def __post_init__(self) -> None:
        if self.scaling not in SCALINGS:
            raise unknown(f"scaling of {self.name}", self.scaling, SCALINGS)
        if not 0 <= self.resample < 2**32:
            raise UsageError(f"{self.name}: resample={self.resample} does not fit; 0 is the archive's own split")

    @abstractmethod
    def files(self, root: Path) -> tuple[Path, ...]:
        """TRAIN and TEST."""

    def check(self, train: Cases, test: Cases) -> None:
        """Raise DataError if these are not the right files."""

    def digest(self, root: Path) -> str:
        """Fingerprint of both files and the way they are read."""
        parts = [self.name, str(self.version), *(file_digest(path) for path in self.files(root))]
        return hashlib.sha256("\n".join(parts).encode()).hexdigest()

    def load(self, root: Path, protocol: str) -> Splits:
        """Read, check, resample if asked for, and split."""
        read = [READERS[_suffix(path)](path) for path in self.files(root)]
        self.check(read[0], read[1])
        train, test, labels = to_samples(read[0], read[1])
        notes = []
        if self.resample:
            train, test = resampled(train, test, labels, self.resample)
            notes.append(f"resample {self.resample}: TRAIN and TEST pooled and split anew, not the archive's split")
        return classification_splits(train, test, labels, protocol, self.scaling, tuple(notes))


@dataclass(frozen=True)
class Uea(Labelled):
    """One of the thirty archives."""

    archive: Archive
    scaling: str = "channel"
    resample: int = 0

    bar: ClassVar = "minirocket"

    @property
    def name(self) -> str:  # type: ignore[override]
        """`uea/BasicMotions`."""
        return f"{FAMILY}/{self.archive.name}"

    @property
    def sources(self) -> tuple[Source, ...]:
        """TRAIN and TEST; none for what sktime brings."""
        name, archive = self.archive.name, self.archive
        return tuple(
            Source(
                f"{FAMILY}/{name}/{name}_{part}.ts",
                f"{ZENODO}/{archive.record}/files/{name}_{part}.ts",
                sha256,
                "none stated",
                CITATION,
                (f"{WEBSITE}/{name}.zip#{name}_{part}.ts",),
            )
            for part, sha256 in zip(PARTS, archive.sha256, strict=True)
            if name not in CARRIED
        )

    def files(self, root: Path) -> tuple[Path, ...]:
        """TRAIN and TEST: `.ts` or, where these are not there, `.arff`."""
        name = self.archive.name
        if name in CARRIED:
            return tuple(_sktime() / name / f"{name}_{part}.ts" for part in PARTS)
        files = {suffix: [f"{FAMILY}/{name}/{name}_{part}{suffix}" for part in PARTS] for suffix in READERS}
        try:
            return tuple(find_file(root, file) for file in files[".ts"])
        except MissingData as absent:
            try:
                return tuple(find_file(root, file) for file in files[".arff"])
            except MissingData:
                raise absent from None

    def check(self, train: Cases, test: Cases) -> None:
        """Compare with the archive's table."""
        self.archive.check(train, test)

    def published(self) -> list[Published]:
        """Accuracies on the archive's split, each with its own protocol in its note."""
        return [] if self.resample else [row for row in published() if row.dataset == self.name]


@dataclass(frozen=True)
class UserSeries(Labelled):
    """A user's own pair of files, `NAME_TRAIN.ts` and `NAME_TEST.ts`; there is no table to check them against."""

    path: Path
    scaling: str = "channel"
    resample: int = 0

    @property
    def name(self) -> str:  # type: ignore[override]
        """`user/NAME`."""
        return f"user/{self.path.name.partition('_TRAIN.')[0]}"

    @property
    def sources(self) -> tuple[Source, ...]:
        """Both files, by their own paths."""
        return tuple(Source(str(_sibling(self.path, part)), "", None, "the user's", "") for part in PARTS)

    def files(self, root: Path) -> tuple[Path, ...]:
        """The file named, and the other beside it."""
        found = tuple(_sibling(self.path, part) for part in PARTS)
        for path in found:
            if not path.is_file():
                raise MissingData(f"{path} is not there. Labelled series come as a pair, NAME_TRAIN and NAME_TEST.")
        return found


@lru_cache(maxsize=1)
def published() -> list[Published]:
    """The table of published accuracies: a row a model and protocol, a column an archive."""
    with Path(__file__).with_name("uea_published.csv").open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    about = ("protocol", "model", "source", "note", "defect")
    return [
        Published(f"{FAMILY}/{name}", metric="accuracy", value=float(value), **{key: row[key] for key in about})
        for row in rows
        for name, value in row.items()
        if value and name not in about
    ]


@lru_cache(maxsize=1)
def archives() -> list[Archive]:
    """The archive's table of all thirty."""
    with Path(__file__).with_name("uea_archives.csv").open(newline="", encoding="utf-8") as file:
        return [_archive(row) for row in csv.DictReader(file)]


def _archive(row: Mapping[str, str]) -> Archive:
    return Archive(
        row["name"],
        (int(row["train"]), int(row["test"])),
        int(row["channels"]),
        (int(row["shortest"]) if row["shortest"] else None, int(row["longest"])),
        int(row["classes"]),
        row["zenodo"],
        (row["sha256_train"] or None, row["sha256_test"] or None),
    )


def _sktime() -> Path:
    """The folder of data inside sktime, which need not be imported for it."""
    found = importlib.util.find_spec("sktime")
    assert found is not None
    assert found.origin is not None
    return Path(found.origin).parent / "datasets" / "data"


def _sibling(path: Path, part: str) -> Path:
    """The TRAIN or TEST file of a pair, by either of them."""
    return path.with_name(NAMED.sub(rf"_{part}\2", path.name))


def _suffix(path: Path) -> str:
    return Path(path.name.removesuffix(".gz")).suffix


def datasets() -> Iterator[Dataset]:
    """The thirty archives."""
    for archive in archives():
        yield Uea(archive)


def open_path(path: Path) -> Dataset | None:
    """A data set made of a user's pair of files, by either of them."""
    if not re.search(r"\.(ts|arff)(\.gz)?$", path.name):
        return None
    if not NAMED.search(path.name):
        raise UsageError(f"{path}: labelled series come as a pair of files; name them NAME_TRAIN.ts and NAME_TEST.ts")
    return UserSeries(_sibling(path.resolve(), PARTS[0]))
