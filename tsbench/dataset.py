"""Dataset: name, files, protocols and splits of one set, and what was published on it."""

from __future__ import annotations

import csv
import hashlib
from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import ClassVar

from tsbench.data import Splits
from tsbench.errors import MissingData
from tsbench.inputs import Inputs, Series
from tsbench.tasks.task import Task


@dataclass(frozen=True)
class Source:
    """Where a file comes from.

    Attributes:
        file: path below the data folder, `ltsf/ETTh1.csv`; a `.gz` beside it serves as well.
        url: where `tsbench data fetch` gets it.
        sha256: of the (uncompressed) file; None if no trustworthy digest is known, which every listing says.
        licence: as stated by the source.
        citation: whom to cite.
        others: further addresses, tried in turn; `https://.../X.zip#file` is a file inside an archive.
    """

    file: str
    url: str
    sha256: str | None
    licence: str
    citation: str
    others: tuple[str, ...] = ()


@dataclass(frozen=True)
class Published:
    """One published score; `defect` says what is wrong with the code behind it, as far as is known."""

    dataset: str
    protocol: str
    model: str
    metric: str
    value: float
    source: str
    note: str = ""
    defect: str = ""


class Dataset(ABC):
    """One data set with one task; `name` is a path such as `ltsf/etth1/96`.

    Attributes:
        kind: its task kind.
        inputs: the kind of its inputs.
        protocols: name -> what it means; the first is the default: the honest one or, if tables were published, theirs.
        options: fields that a user may set, `ltsf/etth1/96:look_back=720`.
        generated: True if the values are made by a program, which every table says.
        version: to be raised when the same files give other samples than before.
        bar: the cheap model that a trained one must beat, or None; tables mark those that do not.
    """

    name: str
    kind: ClassVar[type[Task]]
    inputs: ClassVar[type[Inputs]] = Series
    protocols: ClassVar[Mapping[str, str]]
    options: ClassVar[tuple[str, ...]] = ()
    generated: bool = False
    version: ClassVar[int] = 1
    bar: ClassVar[str | None] = None

    @property
    def sources(self) -> tuple[Source, ...]:
        """The files it is read from; empty if it needs none."""
        return ()

    @abstractmethod
    def load(self, root: Path, protocol: str) -> Splits:
        """Read, check and split.

        Raises:
            MissingData: a file is absent.
            DataError: a file is not what it should be.
        """

    def digest(self, root: Path) -> str:
        """Fingerprint of the content; equal content gives equal digests, compressed or not."""
        parts = [self.name, str(self.version)]
        parts += [file_digest(find_file(root, source.file)) for source in self.sources]
        return hashlib.sha256("\n".join(parts).encode()).hexdigest()

    def published(self) -> list[Published]:
        """Published scores on this set."""
        return []


def find_file(root: Path, file: str) -> Path:
    """The file below the data folder, plain or gzipped, in its family's folder or any folder inside that.

    Raises:
        MissingData: it is nowhere; the message says how to get it.
    """
    family, name = file.split("/", 1)
    for candidate in (name, name + ".gz"):
        if (root / family / candidate).is_file():
            return root / family / candidate
    if (root / family).is_dir():
        nested = [p for suffix in ("", ".gz") for p in sorted((root / family).rglob(name + suffix))]
        if nested:
            return nested[0]
    raise MissingData(
        f"{root / family / name}(.gz) is not there. Get it with `tsbench data fetch` if `tsbench data list` knows "
        "where from, or name the folder that holds it with --data DIR or TSBENCH_DATA."
    )


def file_digest(path: Path) -> str:
    """sha256 of a file's content, of what is inside if it is gzipped."""
    status = path.stat()
    return _file_digest(path, status.st_mtime_ns, status.st_size)


@lru_cache(maxsize=256)
def _file_digest(path: Path, changed: int, size: int) -> str:
    digest = hashlib.sha256()
    with open_content(path) as file:
        while block := file.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()


def open_content(path: Path):  # type: ignore[no-untyped-def]  # gzip and plain files share no public type
    """Open for reading bytes, decompressing `.gz`."""
    import gzip

    return gzip.open(path, "rb") if path.suffix == ".gz" else path.open("rb")


def read_published(path: Path) -> list[Published]:
    """Read a table of published scores: dataset, protocol, model, metric, value, source, note and defect."""
    with path.open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    return [Published(**{**row, "value": float(row["value"])}) for row in rows]  # type: ignore[arg-type]


def read_sources(
    table: Path, family: str, folder: str, licence: str, citation: str, suffixes: tuple[str, ...] = ("",)
) -> tuple[Source, ...]:
    """The files of one folder of `family` as a table lists them: set, file, sha256 and origin.

    An origin is `owner/repository@commit:path` on GitHub; files without one were derived, see docs/<family>.md.
    """
    found = []
    for row in _rows(table):
        if row["set"] == folder and row["file"].endswith(suffixes):
            repository, _, rest = row["origin"].partition("@")
            commit, _, path = rest.partition(":")
            path = path.replace(" ", "%20")
            url = f"https://raw.githubusercontent.com/{repository}/{commit}/{path}" if path else ""
            other = (f"https://github.com/{repository}/raw/{commit}/{path}",) if path else ()
            found.append(Source(f"{family}/{folder}/{row['file']}", url, row["sha256"], licence, citation, other))
    return tuple(found)


@lru_cache(maxsize=8)
def _rows(table: Path) -> list[dict[str, str]]:
    with table.open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))
