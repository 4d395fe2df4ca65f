"""DLinear: moving average and remainder, an affine map each (LTSF-Linear, AAAI 2023)."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from optuna.distributions import IntDistribution
from torch import Tensor, nn
from torch.nn import functional as F

from tsbench.data import Batch
from tsbench.errors import UsageError
from tsbench.models.linear import Linear, TimeLinear, affine, draw
from tsbench.models.linear import Config as LinearConfig
from tsbench.tasks.forecasting import Forecasting


@dataclass(frozen=True)
class Config(LinearConfig):
    """Settings of DLinear."""

    moving_average: int = 25  # steps averaged for the trend, odd
    legacy: bool = False  # the code of before 2022-08-15, which made the paper's table


class DLinear(Linear):
    """Forecast = Ws (x - trend) + bs + Wt trend + bt, where trend is the moving average of x.

    The average, ends padded by repeating the first and last value, is itself a linear map M over time, so
    Ws (x - Mx) + Wt Mx = (Ws + (Wt - Ws) M) x. Folding M into the weights gives the same forecasts and gradients
    at the price of Linear; `explicit` is the form of the paper and the test's reference.
    """

    Config = Config
    # Table 2 was made with older code and, on three sets, other settings (found by search, docs/ltsf.md).
    recipes = {
        **Linear.recipes,
        "ltsf/*@paper": {"legacy": True},
        "ltsf/etth1/*@paper": {"legacy": True, "lr": 1e-4, "batch_size": 8},
        "ltsf/etth2/*@paper": {"legacy": True, "lr": 0.05},
        "ltsf/exchange/720@paper": {"legacy": True, "lr": 0.005},
    }
    search_space = {**Linear.search_space, "moving_average": IntDistribution(5, 49, step=2)}

    def __init__(self, task: Forecasting, config: Config) -> None:
        super(Linear, self).__init__(task, config)
        if config.moving_average % 2 == 0:
            raise UsageError(f"dlinear: moving_average={config.moving_average} must be odd")
        channels = task.channels if config.individual else None
        self.seasonal = TimeLinear(task.look_back, task.horizon, channels)
        self.trend = TimeLinear(task.look_back, task.horizon, channels)
        if config.legacy:  # a third map was built and never used, but its weights were drawn too
            draw(self.seasonal, self.trend, TimeLinear(task.look_back, task.horizon, channels))
            for part in (self.seasonal, self.trend):
                nn.init.constant_(part.weight, 1 / task.look_back)
        else:
            draw(self.seasonal, self.trend)

    def forward(self, batch: Batch) -> Tensor:
        """Forecast `(batch, horizon, channel)`."""
        x = batch.inputs.transpose(1, 2)  # (batch, channel, look_back)
        seasonal, trend = self.seasonal, self.trend
        weight = seasonal.weight + average_rows(trend.weight - seasonal.weight, self.config.moving_average)
        return affine(x, weight, seasonal.bias + trend.bias).transpose(1, 2)

    def explicit(self, batch: Batch) -> Tensor:
        """The same forecast in the paper's form."""
        x = batch.inputs.transpose(1, 2)
        trend = moving_average(x, self.config.moving_average)
        return (self.seasonal(x - trend) + self.trend(trend)).transpose(1, 2)


def moving_average(x: Tensor, size: int) -> Tensor:
    """Centred moving average over the last axis, ends padded by repeating the first and last value."""
    ends = (*x.shape[:-1], size // 2)
    padded = torch.cat([x[..., :1].expand(ends), x, x[..., -1:].expand(ends)], dim=-1)
    return padded.unfold(-1, size, 1).mean(-1)


def average_rows(weight: Tensor, size: int) -> Tensor:
    """`weight @ M`, M being the matrix of `moving_average`, without forming M.

    Column j of the product is the mean of the weights of all outputs that step j enters: inside, the window
    around j; the first and last step stand in for the padding too and collect all that falls beyond the ends.
    """
    half = size // 2
    length = weight.shape[-1]
    padded = F.pad(weight, (size, size))  # zeros: outputs that do not exist
    sums = padded.cumsum(-1)
    sums = sums[..., size:] - sums[..., :-size]  # window sums ending at each place, (..., length + size)
    ends = sums[..., half : half + length]  # sum of weight[j - half .. j + half]
    before = sums[..., :half].sum(-1, keepdim=True)
    after = sums[..., half + length : 2 * half + length].sum(-1, keepdim=True)
    if length == 1:
        return (ends + before + after) / size
    return torch.cat([ends[..., :1] + before, ends[..., 1:-1], ends[..., -1:] + after], dim=-1) / size
