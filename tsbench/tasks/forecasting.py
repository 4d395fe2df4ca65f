"""Forecasting: the next `horizon` steps of every channel from the last `look_back` ones."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

import torch
from torch import Tensor
from torch.nn import functional as F

from tsbench.data import Batch
from tsbench.tasks.task import Examples, Meter, Metric, Scores, Task

if TYPE_CHECKING:
    from matplotlib.figure import Figure


@dataclass(frozen=True)
class Forecasting(Task):
    """Predict `(batch, horizon, channel)` from `(batch, look_back, channel)`.

    Attributes:
        look_back: input steps (L in the papers).
        horizon: predicted steps (H).
        channels: variables of the series.
        season: steps of the dominant season (24 for hourly data), at most `look_back`.
    """

    look_back: int
    horizon: int
    channels: int
    season: int = 1

    primary: ClassVar[str] = "mse"
    unit: ClassVar[str] = "block of `horizon` consecutive windows"
    metrics: ClassVar[Mapping[str, Metric]] = {
        "mse": Metric(False, "mean squared error over all windows, steps and channels, on scaled data"),
        "mae": Metric(False, "mean absolute error over all windows, steps and channels, on scaled data"),
    }

    def loss(self, prediction: Tensor, batch: Batch) -> Tensor:
        """Mean squared error."""
        return F.mse_loss(prediction, batch.target)

    def meter(self) -> Meter:
        """Sums of squared and absolute errors, one for each window."""
        return ForecastMeter(self.horizon)

    @property
    def output_shape(self) -> tuple[int, ...]:
        """`(horizon, channel)`."""
        return self.horizon, self.channels

    def random_batch(self, size: int, device: str = "cpu") -> Batch:
        """Normal noise."""
        inputs = torch.randn(size, self.look_back, self.channels, device=device)
        return Batch(inputs, torch.randn(size, self.horizon, self.channels, device=device))

    def examples(self, prediction: Tensor, batch: Batch) -> dict[str, Any]:
        """Three windows of the batch (first, middle, last), up to three channels each."""
        windows = sorted({0, len(batch) // 2, len(batch) - 1})

        def rounded(values: Tensor) -> Any:  # (windows, time, channels)
            return [[[float(f"{v:.5g}") for v in step] for step in w] for w in values[windows, :, :3].tolist()]

        return {
            "window": windows,
            "input": rounded(batch.inputs),
            "truth": rounded(batch.target),
            "prediction": rounded(prediction),
        }

    @classmethod
    def figure(cls, examples: Examples) -> Figure:
        """Input, truth and forecast of each kept window (rows) and channel (columns)."""
        from matplotlib.figure import Figure

        rows, columns = len(examples["window"]), len(examples["truth"][0][0])
        figure = Figure(figsize=(4.2 * columns, 1.9 * rows), layout="constrained")
        for r, row in enumerate(figure.subplots(rows, columns, squeeze=False)):
            for c, axes in enumerate(row):
                past, truth, forecast = (
                    [step[c] for step in examples[part][r]] for part in ("input", "truth", "prediction")
                )
                future = range(len(past), len(past) + len(truth))
                axes.plot(past, color="0.6", linewidth=0.8)
                axes.plot(future, truth, color="black", linewidth=1, label="truth")
                axes.plot(future, forecast, color="#d55e00", linewidth=1.2, linestyle="--", label="forecast")
                axes.set_title(f"test window {examples['window'][r]}, channel {c}", fontsize=8)
                axes.tick_params(labelsize=7)
        figure.axes[0].legend(fontsize=7, loc="upper left")
        return figure


class ForecastMeter:
    """Mean squared and absolute error, and both for each block of `horizon` windows.

    Windows at stride 1 overlap, so their errors are no independent observations; blocks as long as the
    horizon share no target step with the block after next and serve as units in paired tests.
    """

    def __init__(self, horizon: int) -> None:
        self.horizon = horizon
        self.errors: list[Tensor] = []  # of (2, batch): squared and absolute error of each window

    def update(self, prediction: Tensor, batch: Batch) -> None:
        """Add the windows of a batch, in time order."""
        error = (prediction - batch.target).flatten(1)  # (batch, horizon * channel)
        self.errors.append(torch.stack([(error * error).mean(1), error.abs().mean(1)]))

    def scores(self) -> Scores:
        """Means over windows, in float64."""
        errors = torch.cat(self.errors, dim=1).double().cpu()  # (2, windows)
        means = errors.mean(1).tolist()
        blocks = [block.mean(1).tolist() for block in errors.split(self.horizon, dim=1)]
        units = {name: [b[i] for b in blocks] for i, name in enumerate(("mse", "mae"))}
        return Scores({"mse": means[0], "mae": means[1]}, units)
