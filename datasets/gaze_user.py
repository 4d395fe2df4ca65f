"""A lab's own scanpaths: a folder with scenes.json and fixations.csv (see tsbench.gaze.files and docs/gaze.md).

--dataset recordings/scenes.json:near=30,given=false
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from tsbench.dataset import Dataset, Source, file_digest
from tsbench.datasets.gaze import Gaze
from tsbench.errors import MissingData
from tsbench.gaze.files import FIXATIONS, SCENES, read_folder
from tsbench.gaze.scene import Scenes


@dataclass(frozen=True)
class UserScanpaths(Gaze):
    """Scanpaths of the user's; rules are options, as for all gaze data."""

    path: Path = Path(SCENES)

    @property
    def name(self) -> str:  # type: ignore[override]
        """`scenes/<folder's name>`."""
        return f"scenes/{self.path.parent.name}"

    @property
    def sources(self) -> tuple[Source, ...]:
        """Both files, by their own paths."""
        return tuple(Source(str(self.path.with_name(name)), "", None, "the user's", "") for name in (SCENES, FIXATIONS))

    def digest(self, root: Path) -> str:
        """Fingerprint of both files."""
        return hashlib.sha256("\n".join(file_digest(path) for path in self._files()).encode()).hexdigest()

    def read(self, root: Path) -> Scenes:
        """Both files."""
        self._files()
        return read_folder(self.path.parent)

    def _files(self) -> list[Path]:
        paths = [Path(source.file) for source in self.sources]
        for path in paths:
            if not path.is_file():
                raise MissingData(f"{path} is not there. A recording is a folder with {SCENES} and {FIXATIONS}.")
        return paths


def datasets() -> Iterator[Dataset]:
    """None by name."""
    yield from ()


def open_path(path: Path) -> Dataset | None:
    """A data set made of a folder, by its own name or that of either file."""
    if path.name in (SCENES, FIXATIONS):
        return UserScanpaths(path=path.resolve().with_name(SCENES))
    return UserScanpaths(path=path.resolve() / SCENES) if (path / SCENES).is_file() else None
