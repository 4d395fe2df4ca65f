"""Generated purchases: no file needed, and named as generated wherever they show."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import ClassVar

import numpy as np

from tsbench.dataset import Dataset
from tsbench.datasets.rec import Rec, some_of
from tsbench.rec.interactions import Catalogue, Interactions

SHELVES = ("tea", "bread", "soap", "paper", "seeds", "wool", "paint", "tools", "lamps", "books")


@dataclass(frozen=True)
class Shop(Rec):
    """400 made-up people buy 6-30 of 150 things, each once; what is bought next depends on the last two shelves."""

    name = "generated/shop"
    protocols: ClassVar = some_of("leave-one-out", "temporal")
    generated: ClassVar = True  # type: ignore[misc]

    def digest(self, root: Path) -> str:
        """Fingerprint of the generated purchases and features."""
        log = purchases()
        assert log.time is not None
        arrays = (log.user, log.item, log.time, *(np.round(x, 4) for x in log.catalogue.features.values()))
        return hashlib.sha256(b"".join(array.tobytes() for array in arrays)).hexdigest()

    def read(self, root: Path) -> Interactions:
        """Generate."""
        return purchases()


@lru_cache(maxsize=1)
def purchases(users: int = 400, items: int = 150, seed: int = 7) -> Interactions:
    """What `Shop` describes. The last four items are new: on sale in the last tenth of the time, and bought last."""
    random = np.random.default_rng(seed)
    shelf = np.arange(items) % len(SHELVES)
    liked = 0.7 * random.normal(size=items)  # some things sell better than others
    follows = np.roll(np.eye(len(SHELVES)), 1, 1)  # from a shelf, people go to the next one
    rows = []
    for user in range(users):
        taste = 0.7 * random.normal(size=len(SHELVES))[shelf]
        times = _visits(random)
        path: list[int] = []
        for time in times:
            wish = liked + taste + random.gumbel(size=items)
            for age, back in enumerate(path[:-3:-1]):
                wish += 3 * 0.5**age * follows[shelf[back]][shelf]
            wish[path] = -np.inf
            if time < 9000 or len(path) < len(times) - 1:
                wish[-4:] = -np.inf
            path.append(int(wish.argmax()))
            rows.append((user, path[-1], time))
    user, item, time = np.array(rows).T
    names = tuple(f"{SHELVES[s]} {i // len(SHELVES) + 1}" for i, s in enumerate(shelf))
    features = {name: _seen(random, shelf, width) for name, width in (("text", 16), ("image", 8))}
    people = tuple(f"customer {i + 1}" for i in range(users))
    order = np.argsort(time, kind="stable")  # as a till would write it
    return Interactions(
        user[order], item[order], time[order].astype(float), None, people, Catalogue(names, names, features), True
    )


def _visits(random: np.random.Generator) -> np.ndarray:
    """Times of 6-30 purchases in order, of which some are made at once; a fifth of the people come late."""
    count = int(random.integers(6, 31))
    start = int(random.integers(0, 9900)) if random.random() < 0.2 else 0
    times = np.sort(random.integers(start, 10000, count))
    again = np.flatnonzero(random.random(count - 1) < 0.1)
    times[again + 1] = times[again]
    return np.sort(times)


def _seen(random: np.random.Generator, shelf: np.ndarray, width: int) -> np.ndarray:
    """A noisy view of the shelf of each item, `(item, width)`."""
    views = random.normal(size=(len(SHELVES), width))
    return (views[shelf] + 0.5 * random.normal(size=(len(shelf), width))).astype(np.float32)


def datasets() -> Iterator[Dataset]:
    """One."""
    yield Shop()
