"""What is known of items, as arrays with a row for each: modalities and ready-made Rec-IDs.

`image_feat.npy` is the modality `image`, `text_codes.npy` are Rec-IDs `text`: the first word of a file's name says what
it is, after the name of the set if it begins with that. Nothing is unpickled: MMRec's `user_graph_dict.npy` and other
arrays that are no table of floats are left out, unless their name has `feat` or ends in `codes`.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from tsbench.dataset import open_content
from tsbench.errors import DataError
from tsbench.files import read_npy

PAIRS = ("train_pairs.npy", "valid_pairs.npy", "test_pairs.npy")
WIDEST = 2048  # words of a multi-hot modality; the rarest of more are left out
HIGHEST = 65_535  # a code; models have an embedding for each up to the highest one
TOO_HIGH = "Codes above 65,535 make too large a table: number those of each level from 0 on."
RARE = "{} of items: {:,} rare words left out"


@dataclass(frozen=True)
class Arrays:
    """Arrays with a row for each item: `features` are float32 and finite, `codes` int64; `files` says where from."""

    features: Mapping[str, np.ndarray]
    codes: Mapping[str, np.ndarray]
    files: Mapping[str, Path]
    notes: tuple[str, ...] = ()

    @property
    def rows(self) -> int:
        """Of the longest one; 0 if there is none."""
        return max(map(len, (*self.features.values(), *self.codes.values())), default=0)

    def take(self, rows: np.ndarray) -> tuple[dict[str, np.ndarray], dict[str, np.ndarray]]:
        """Features and codes in these rows.

        Raises:
            DataError: an array ends before.
        """
        last = int(rows.max(initial=-1))
        for name, array in (*self.features.items(), *self.codes.items()):
            if last >= len(array):
                what = f"has {len(array):,} rows, but there is an item whose row is number {last + 1:,}"
                raise DataError(self.files[name], what, "Give it a row for each item, or take it out of this folder.")
        return {k: x[rows] for k, x in self.features.items()}, {k: x[rows] for k, x in self.codes.items()}


def arrays_beside(path: Path) -> list[Path]:
    """All arrays in the folder of a file, but pairs of users and items."""
    found = (p for p in sorted(path.parent.iterdir()) if re.search(r"\.npy(\.gz)?$", p.name) and p.is_file())
    return [p for p in found if p.name.removesuffix(".gz") not in PAIRS]


def read_arrays(paths: Sequence[Path], of: str = "") -> Arrays:
    """Arrays of a set `of` that name; if one begins with the same word as another, it is called by its whole name."""
    features: dict[str, np.ndarray] = {}
    codes: dict[str, np.ndarray] = {}
    files: dict[str, Path] = {}
    left: list[str] = []
    for path in paths:
        whole = re.sub(rf"^{re.escape(of)}[._-]+|\.npy(\.gz)?$", "", path.name)
        name = re.split(r"[._-]", whole)[0]
        name = name if name and name not in files else whole
        if whole.endswith("codes"):
            codes[name] = _codes(path)
        elif "feat" not in whole and not _of_floats(path):
            left.append(path.name)
            continue
        else:
            features[name] = _features(path)
        files[name] = path
    notes = (f"{', '.join(left)} not read: no table of floats, nor called NAME_codes.npy",) if left else ()
    return Arrays(features, codes, files, notes)


def _of_floats(path: Path) -> bool:
    """Whether a file's header says that it is a table of floats; True if it cannot be read, for its reader says why."""
    try:
        with open_content(path) as file:
            old = np.lib.format.read_magic(file)[0] == 1
            read = np.lib.format.read_array_header_1_0 if old else np.lib.format.read_array_header_2_0
            shape, _, dtype = read(file)
    except Exception:  # as in read_npy
        return True
    return dtype.kind == "f" and len(shape) == 2


def _codes(path: Path) -> np.ndarray:
    array = read_npy(path, (-1, -1))
    if array.dtype.kind not in "iu" or not array.size or array.min() < 0:
        what = f"is no table of codes, but {array.dtype} of shape {array.shape}, or has some below 0"
        raise DataError(path, what, "Codes are whole numbers from 0 on, the same count for each item.")
    if (wrong := (array > HIGHEST).any(1)).any():
        row = int(wrong.argmax())
        raise DataError(path, f"row {row + 1:,} has the code {array[row].max():,}", TOO_HIGH)
    return array.astype(np.int64)


def _features(path: Path) -> np.ndarray:
    array = read_npy(path, (-1, -1))
    if array.dtype.kind != "f" or not array.size:
        what = f"is no table of features, but {array.dtype} of shape {array.shape}"
        raise DataError(path, what, "Call Rec-IDs NAME_codes.npy, and take what is neither out of this folder.")
    with np.errstate(over="ignore"):
        array = array.astype(np.float32)
    if (wrong := ~np.isfinite(array).all(1)).any():
        what = f"row {int(wrong.argmax()) + 1:,} has a value that is not finite"
        raise DataError(path, what, "Fill it, for instance by the mean of the column.")
    return array


def multi_hot(item: np.ndarray, word: np.ndarray, items: int) -> tuple[np.ndarray, int]:
    """Which of `items` has which words, `(item, word)` float32 in the order of words, and how many are left out.

    Args:
        item, word: of each pair.
        items: how many there are.
    """
    known, found, count = np.unique(word, return_inverse=True, return_counts=True)
    kept = np.sort(np.argsort(-count, kind="stable")[:WIDEST])
    column = np.full(len(known), -1)
    column[kept] = np.arange(len(kept))
    column = column[found]
    hot = np.zeros((items, len(kept)), np.float32)
    hot[item[column >= 0], column[column >= 0]] = 1
    return hot, len(known) - len(kept)
