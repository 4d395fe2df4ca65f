"""Windows: forecasting samples gathered from one series by index, without copying the series."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from tsbench.data import Batch, Splits
from tsbench.errors import UsageError
from tsbench.tasks.forecasting import Forecasting


class Windows:
    """All windows at stride 1 of a series, `(channel, time)` float32.

    Window i has input steps i .. i + look_back - 1 and as target the `horizon` steps after them.
    """

    def __init__(self, series: Tensor, look_back: int, horizon: int) -> None:
        self.series = series.contiguous()
        self.look_back, self.horizon = look_back, horizon
        # Every run of look_back + horizon values of the flattened series, as overlapping rows: a window of a
        # channel is one of them, so a batch is one gather of contiguous rows, the only copy that is made.
        channels, time = self.series.shape
        length = look_back + horizon
        self.rows = self.series.view(-1).as_strided((channels * time - length + 1, length), (1, 1))
        self.first = torch.arange(channels, device=series.device) * time  # row of window 0 of each channel

    @property
    def sizes(self) -> Tensor:
        """All windows are alike."""
        return torch.tensor(len(self.series) * (self.look_back + self.horizon)).expand(len(self))

    def __len__(self) -> int:
        return self.series.shape[1] - self.look_back - self.horizon + 1

    def batch(self, indices: Tensor) -> Batch:
        """Inputs `(batch, look_back, channel)` and targets `(batch, horizon, channel)`, both views of one gather."""
        rows = (indices.to(self.first.device).unsqueeze(1) + self.first).view(-1)
        window = self.rows.index_select(0, rows).view(len(indices), len(self.first), -1).transpose(1, 2)
        inputs, target = window.split_with_sizes((self.look_back, self.horizon), 1)
        return Batch(inputs, target)

    def to(self, device: torch.device | str) -> Windows:
        """The same windows on another device."""
        return Windows(self.series.to(device), self.look_back, self.horizon)


@dataclass(frozen=True)
class Rows:
    """How many rows of a series belong to each split, in time order."""

    train: int
    validation: int
    test: int


def fractions(rows: int) -> Rows:
    """70 / 10 / 20 % as LTSF code rounds them: int() for train and test, validation is the rest."""
    train, test = int(rows * 0.7), int(rows * 0.2)
    return Rows(train, rows - train - test, test)


def forecasting_splits(
    values: np.ndarray, rows: Rows, task: Forecasting, whole_batches: frozenset[str] = frozenset()
) -> Splits:
    """Scale a series by its training rows and cut it into windows.

    Validation and test start `look_back` rows early, so that the first forecast begins right at the border.

    Args:
        values: `(time, channel)`, float64.
        rows: split sizes; rows after their sum are not used.
        task: look-back and horizon.
        whole_batches: see `Splits`.

    Raises:
        UsageError: the rows hold no window; the message says what to set.
    """
    if problem := shortage(rows, task.look_back, task.horizon):
        raise UsageError(f"{problem}; set a smaller one after the data set's name, as in NAME:look_back=24,horizon=8")
    train = values[: rows.train]
    scale = train.std(axis=0)  # population standard deviation, in float64
    scaled = (values - train.mean(axis=0)) / np.where(scale == 0, 1.0, scale)
    series = torch.from_numpy(np.ascontiguousarray(scaled.T.astype(np.float32)))  # (channel, time)
    starts = {"train": 0, "validation": rows.train, "test": rows.train + rows.validation}
    sizes = {"train": rows.train, "validation": rows.validation, "test": rows.test}

    def windows(split: str) -> Windows:
        start = max(starts[split] - task.look_back, 0)
        return Windows(series[:, start : starts[split] + sizes[split]], task.look_back, task.horizon)

    return Splits(task, windows("train"), windows("validation"), windows("test"), whole_batches)


def shortage(rows: Rows, look_back: int, horizon: int) -> str | None:
    """Why these rows cannot be windowed, or None if they can."""
    if min(look_back, horizon) < 1:
        return f"look_back {look_back} and horizon {horizon} must be at least 1"
    if rows.train < look_back + horizon:
        return f"{rows.train} training rows hold no window of look_back {look_back} + horizon {horizon}"
    short = min(rows.validation, rows.test)
    if short < horizon:
        return f"validation or test have only {short} rows for a horizon of {horizon}"
    return None
