"""Interactions: who took what and when, as files say it, and what is known of the items."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

import numpy as np


@dataclass(frozen=True)
class Catalogue:
    """The items, by number; all of them are candidates, those that nobody took as well.

    Attributes:
        names: as the files call them.
        titles: what people call them; empty if the files do not say.
        features: modality (text, image, audio, genre ...) -> `(item, width)` float32, finite.
        codes: name -> `(item, level)` int64: Rec-IDs that others made, 0 and up, not always unique.
    """

    names: tuple[str, ...]
    titles: tuple[str, ...] = ()
    features: Mapping[str, np.ndarray] = field(default_factory=dict)
    codes: Mapping[str, np.ndarray] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.names)


@dataclass(frozen=True)
class Interactions:
    """All interactions of a data set, in the order of its files.

    Attributes:
        user, item: `(interaction,)` int64: numbers of users and items.
        time: `(interaction,)` float64, seconds or any number that grows; None if the files give none.
        split: `(interaction,)` int64: 0 train, 1 validation, 2 test, where the source says so; else None.
        users: names of the users, by number.
        catalogue: the items.
        ordered: the rows of each user are in the order of time, or `time` tells it; else histories are sets.
        notes: what a reader of scores must know of these data.
        rating: `(interaction,)` float64: how much the user liked it; None if the files give none.
    """

    user: np.ndarray
    item: np.ndarray
    time: np.ndarray | None
    split: np.ndarray | None
    users: tuple[str, ...]
    catalogue: Catalogue
    ordered: bool
    notes: tuple[str, ...] = ()
    rating: np.ndarray | None = None

    def __len__(self) -> int:
        return len(self.user)

    def select(self, rows: np.ndarray) -> Interactions:
        """Some of them, by mask or by number and then in that order; users and catalogue stay."""
        time, split, rating = (None if x is None else x[rows] for x in (self.time, self.split, self.rating))
        return replace(self, user=self.user[rows], item=self.item[rows], time=time, split=split, rating=rating)
