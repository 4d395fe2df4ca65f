"""Generated series: no file needed, and named as generated wherever they show."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

import numpy as np

from tsbench.data import Splits
from tsbench.dataset import Dataset
from tsbench.tasks.forecasting import Forecasting
from tsbench.windows import forecasting_splits, fractions


@dataclass(frozen=True)
class Seasonal(Dataset):
    """Three channels: daily and weekly seasons, a trend and autoregressive noise, 1000 hourly steps."""

    horizon: int = 24
    look_back: int = 96

    kind: ClassVar = Forecasting
    protocols: ClassVar = {"full": "every test window counts"}
    options: ClassVar = ("look_back",)
    generated: ClassVar = True  # type: ignore[misc]

    @property
    def name(self) -> str:  # type: ignore[override]
        """`generated/seasonal/24`."""
        return f"generated/seasonal/{self.horizon}"

    def digest(self, root: Path) -> str:
        """Fingerprint of the generated values."""
        return hashlib.sha256(np.round(seasonal_series(), 9).tobytes()).hexdigest()

    def load(self, root: Path, protocol: str) -> Splits:
        """Generate and cut; 70/10/20 % in time order."""
        values = seasonal_series()
        return forecasting_splits(
            values, fractions(len(values)), Forecasting(self.look_back, self.horizon, values.shape[1], 24)
        )


def seasonal_series(steps: int = 1000, seed: int = 7) -> np.ndarray:
    """`(time, channel)`: what `Seasonal` describes."""
    random = np.random.default_rng(seed)
    hour = np.arange(steps)[:, None]
    phase = np.array([0.0, 1.0, 2.5])
    noise = random.normal(size=(steps, 3)) * 0.3
    for t in range(1, steps):
        noise[t] += 0.8 * noise[t - 1]
    daily = np.sin(2 * np.pi * hour / 24 + phase)
    weekly = np.sin(2 * np.pi * hour / 168 + 2 * phase)
    return np.asarray(daily * np.array([1.0, 2.0, 0.5]) + 0.5 * weekly + hour * 0.001 + noise)


def datasets() -> Iterator[Dataset]:
    """Three horizons."""
    yield Seasonal(12)
    yield Seasonal(24)
    yield Seasonal(48)
