"""Real series that come inside sktime: no download, no data folder."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import ClassVar

import numpy as np
import pandas as pd

from tsbench.data import Splits
from tsbench.dataset import Dataset
from tsbench.tasks.forecasting import Forecasting
from tsbench.windows import forecasting_splits, fractions


@dataclass(frozen=True)
class Carried:
    """A series inside sktime: the name of its loader and its season in steps."""

    loader: str
    season: int
    look_back: int
    horizon: int


CARRIED = {
    "airline": Carried("load_airline", 12, 24, 12),  # Box & Jenkins 1976: 144 months, 1 channel
    "uschange": Carried("load_uschange", 4, 16, 4),  # growth of five US indicators, 187 quarters, 5 channels
}


@dataclass(frozen=True)
class SktimeSeries(Dataset):
    """One of sktime's own series, split 70/10/20 % in time order."""

    stem: str
    horizon: int
    look_back: int

    kind: ClassVar = Forecasting
    protocols: ClassVar = {"full": "every test window counts"}
    options: ClassVar = ("look_back", "horizon")

    @property
    def name(self) -> str:  # type: ignore[override]
        """`sktime/airline/12`."""
        return f"sktime/{self.stem}/{CARRIED[self.stem].horizon}"

    def values(self) -> np.ndarray:
        """`(time, channel)`, float64."""
        return _loaded(CARRIED[self.stem].loader)

    def digest(self, root: Path) -> str:
        """Fingerprint of the values."""
        return hashlib.sha256(np.ascontiguousarray(self.values()).tobytes()).hexdigest()

    def load(self, root: Path, protocol: str) -> Splits:
        """Scale and cut."""
        values = self.values()
        season = min(CARRIED[self.stem].season, self.look_back)
        task = Forecasting(self.look_back, self.horizon, values.shape[1], season)
        return forecasting_splits(values, fractions(len(values)), task)


@lru_cache(maxsize=2)
def _loaded(loader: str) -> np.ndarray:
    """What a loader of sktime gives, kept, as every cell asks for its digest; nobody may change it."""
    from sktime import datasets as carried

    loaded = getattr(carried, loader)()
    parts = loaded if isinstance(loaded, tuple) else (loaded,)  # some loaders give target and regressors apart
    values = pd.concat([pd.DataFrame(part) for part in parts], axis=1).to_numpy(dtype=np.float64, copy=True)
    values.flags.writeable = False
    return values


def datasets() -> Iterator[Dataset]:
    """All carried series."""
    for stem, carried in CARRIED.items():
        yield SktimeSeries(stem, carried.horizon, carried.look_back)
