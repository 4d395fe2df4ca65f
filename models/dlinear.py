"""DLinear: moving average and remainder, an affine map each (LTSF-Linear, AAAI 2023)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from optuna.distributions import IntDistribution
from torch import Tensor, nn

from tsbench.data import Batch
from tsbench.errors import UsageError
from tsbench.models.linear import Linear, LinearConfig, TimeLinear, affine, draw
from tsbench.tasks.forecasting import Forecasting


@dataclass(frozen=True)
class DLinearConfig(LinearConfig):
    """Settings of DLinear."""

    moving_average: int = 25  # steps averaged for the trend, odd
    legacy: bool = False  # the code of before 2022-08-15, which made the paper's table


class DLinear(Linear):
    """Forecast = Ws (x - trend) + bs + Wt trend + bt, where trend is the moving average of x.

    The average, ends padded by repeating the first and last value, is itself a linear map M over time, so
    Ws (x - Mx) + Wt Mx = (Ws + (Wt - Ws) M) x. Folding M into the weights gives the same forecasts and gradients
    at the price of Linear; `explicit` is the form of the paper and the test's reference.
    """

    Config = DLinearConfig
    # Table 2 was made with older code and, on three sets, other settings (found by search, docs/ltsf.md).
    recipes = {
        **Linear.recipes,
        "ltsf/*@paper": {"legacy": True},
        "ltsf/etth1/*@paper": {"legacy": True, "lr": 1e-4, "batch_size": 8},
        "ltsf/etth2/*@paper": {"legacy": True, "lr": 0.05},
        "ltsf/exchange/720@paper": {"legacy": True, "lr": 0.005},
    }
    search_space = {**Linear.search_space, "moving_average": IntDistribution(5, 49, step=2)}

    def __init__(self, task: Forecasting, config: DLinearConfig) -> None:
        super(Linear, self).__init__(task, config)
        if config.moving_average < 3 or config.moving_average % 2 == 0:
            raise UsageError(f"dlinear: moving_average={config.moving_average} must be odd and at least 3")
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
        if self.config.moving_average >= 2 * self.task.look_back:  # Fold's sums need an inside
            return self.explicit(batch)
        x = batch.inputs.transpose(1, 2)  # (batch, channel, look_back)
        seasonal, trend = self.seasonal, self.trend
        weight = Fold.apply(seasonal.weight, trend.weight, self.config.moving_average)
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


class Fold(torch.autograd.Function):
    """`Ws + (Wt - Ws) M` without forming M.

    Both directions are window sums, that is differences of running sums: one cheap pass whatever the size.
    """

    @staticmethod
    def forward(ctx: Any, seasonal: Tensor, trend: Tensor, size: int) -> Tensor:
        """Column j of `D M` sums the weights D of all averages that step j enters.

        Inside, these are the averages around j. The first and last step also stand in for the padding.
        """
        ctx.size, half, length = size, size // 2, trend.shape[-1]
        running, sums = _window_sums(trend - seasonal, half)
        sums.select(-1, 0).add_(running[..., :half].sum(-1))
        sums.select(-1, -1).add_(half * running[..., -1] - running[..., length - 1 - half : length - 1].sum(-1))
        return torch.add(seasonal, sums, alpha=1 / size)

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, Tensor, None]:
        """`G M.T` is the moving average of each row of G, ends padded: the trend's gradient; the rest is seasonal's."""
        half = ctx.size // 2
        _, sums = _window_sums(grad, half)
        ramp = torch.arange(half, 0, -1, device=grad.device, dtype=grad.dtype)
        sums[..., :half].addcmul_(grad[..., :1], ramp)
        sums[..., -half:].addcmul_(grad[..., -1:], ramp.flip(0))
        trend = sums.div_(ctx.size)
        return grad - trend, trend, None


def _window_sums(x: Tensor, half: int) -> tuple[Tensor, Tensor]:
    """Running sums of the last axis, and the sums over j - half .. j + half with nothing beyond the ends."""
    length = x.shape[-1]
    padded = x.new_empty(*x.shape[:-1], length + 2 * half + 1)
    padded[..., : half + 1] = 0
    running = padded[..., half + 1 : half + 1 + length]
    torch.cumsum(x, -1, out=running)
    padded[..., half + 1 + length :] = running[..., -1:]
    return running, padded[..., 2 * half + 1 :] - padded[..., :length]
