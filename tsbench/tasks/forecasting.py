"""Forecasting: the next `horizon` steps of every channel from the last `look_back` ones."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from torch import Tensor
from torch.nn import functional as F

from tsbench.data import Batch
from tsbench.svg import COLOURS, DASHES, Line, grid, line_chart
from tsbench.tasks.task import Examples, Meter, Metric, Scores, Task


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
    unit: ClassVar[str] = "every second block of `horizon` consecutive windows, so that units share no target step"
    metrics: ClassVar[Mapping[str, Metric]] = {
        "mse": Metric(False, "mean squared error over all windows, steps and channels, on scaled data"),
        "mae": Metric(False, "mean absolute error over all windows, steps and channels, on scaled data"),
    }

    def loss(self, prediction: Tensor, batch: Batch) -> Tensor:
        """Mean squared error."""
        # Time last, as windows and linear maps lie in memory: the gradient then needs no copy.
        return F.mse_loss(prediction.transpose(1, 2), batch.target.transpose(1, 2))

    def meter(self) -> Meter:
        """Sums of squared and absolute errors, one for each window."""
        return ForecastMeter(self.horizon)

    def shape(self, batch: Batch) -> tuple[int, ...]:
        """`(batch, horizon, channel)`."""
        return len(batch), self.horizon, self.channels

    def random_batch(self, size: int, device: str = "cpu") -> Batch:
        """Normal noise."""
        inputs = torch.randn(size, self.look_back, self.channels, device=device)
        return Batch(inputs, torch.randn(size, self.horizon, self.channels, device=device))

    def examples(self, prediction: Tensor, batch: Batch) -> dict[str, Any]:
        """Every window of the batch, up to three channels each; the runner gives the first, middle and last."""

        def rounded(values: Tensor) -> Any:  # (windows, time, channels)
            return [[[float(f"{v:.5g}") for v in step] for step in w] for w in values[..., :3].tolist()]

        return {
            "window": ["first", "middle", "last"][: len(batch)],
            "input": rounded(batch.inputs),
            "truth": rounded(batch.target),
            "prediction": rounded(prediction),
        }

    @classmethod
    def figure(cls, examples: Examples) -> str:
        """Input, truth and forecast of each kept window (rows) and channel (columns), as SVG."""
        charts = []
        for window, past, truth, forecast in zip(
            *(examples[part] for part in ("window", "input", "truth", "prediction")), strict=True
        ):
            for channel in range(len(truth[0])):
                x, y, y_hat = ([step[channel] for step in part] for part in (past, truth, forecast))
                lines = [
                    Line("input", x[-2 * len(y) :], "#999999", start=-min(len(x), 2 * len(y))),
                    Line("truth", y, "#000000"),
                    Line("forecast", y_hat, COLOURS[1], DASHES[1]),
                ]
                charts.append(line_chart(f"{window} test window, channel {channel}", lines, x_label="steps"))
        return grid(charts, columns=len(examples["truth"][0][0]))


class ForecastMeter:
    """Mean squared and absolute error, and both for units that a paired test may treat as separate.

    Windows at stride 1 overlap, so their errors are no independent observations. A block of `horizon` windows covers
    2 * horizon - 1 target steps: every second block shares none with the next. A last block under half the length is
    left out of the units.
    """

    def __init__(self, horizon: int) -> None:
        self.horizon = horizon
        self.errors: list[Tensor] = []  # of (2, batch): squared and absolute error of each window

    def update(self, prediction: Tensor, batch: Batch) -> None:
        """Add the windows of a batch, in time order."""
        error = prediction - batch.target  # (batch, horizon, channel)
        self.errors.append(torch.stack([(error * error).mean((1, 2)), error.abs_().mean((1, 2))]))

    def scores(self) -> Scores:
        """Means over windows, in float64."""
        errors = torch.cat(self.errors, dim=1).cpu().double()  # (2, windows)
        means = errors.mean(1).tolist()
        chosen = errors.split(self.horizon, dim=1)[::2]
        whole = [block for block in chosen if 2 * block.shape[1] >= self.horizon] or chosen
        blocks = [block.mean(1).tolist() for block in whole]
        units = {name: [b[i] for b in blocks] for i, name in enumerate(("mse", "mae"))}
        return Scores({"mse": means[0], "mae": means[1]}, units)
