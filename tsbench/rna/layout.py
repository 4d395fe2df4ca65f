"""Layouts: the ways in which a labelled RNA data set may lie in files."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from tsbench.dataset import file_digest
from tsbench.errors import DataError
from tsbench.files import plain_or_gz, read_bytes
from tsbench.rna.samples import Read


@dataclass(frozen=True)
class Layout:
    """Files of train, validation and test, and what reads them.

    Attributes:
        files: names, each plain or gzipped on disk; `*` stands for anything.
        folders: where matrices lie that belong to them, beside the first file.
    """

    files: tuple[str, str, str]
    read: Read
    folders: tuple[str, ...] = ()

    def find(self, folder: Path) -> list[Path | None]:
        """The files; None for one that is not there."""
        return [_find(folder, name) for name in self.files]

    def digests(self, paths: list[Path]) -> list[str]:
        """Fingerprints of the content of all files and folders."""
        folders = [paths[0].parent / name for name in self.folders]
        return [*map(file_digest, paths), *map(folder_digest, folders)]


def _find(folder: Path, name: str) -> Path | None:
    if "*" not in name:
        return plain_or_gz(folder / name)
    both = [*folder.glob(name), *folder.glob(name + ".gz")]
    found = sorted({path.with_name(path.name.removesuffix(".gz")) for path in both})
    if len(found) > 1:
        several = ", ".join(path.name for path in found)
        raise DataError(folder, f"several files fit {name}: {several}", "Keep the one that counts.")
    return plain_or_gz(found[0]) if found else None


def folder_digest(folder: Path) -> str:
    """sha256 of the names and contents of a folder's matrices, compressed or not."""
    files = sorted(path for path in folder.glob("*.npy*") if path.name.endswith((".npy", ".npy.gz")))
    return _folder_digest(tuple((path, path.stat().st_mtime_ns, path.stat().st_size) for path in files))


@lru_cache(maxsize=8)
def _folder_digest(files: tuple[tuple[Path, int, int], ...]) -> str:
    digest = hashlib.sha256()
    for path, _, _ in files:
        content = read_bytes(path)
        digest.update(f"{path.name.removesuffix('.gz')} {len(content)} ".encode())
        digest.update(content)
    return digest.hexdigest()
