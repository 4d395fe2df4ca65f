"""DLinear: moving average and remainder, an affine map each (LTSF-Linear, AAAI 2023)."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import torch
from optuna.distributions import IntDistribution
from torch import Tensor, nn

from tsbench.data import Batch
from tsbench.errors import UsageError
from tsbench.models.linear import Linear, LinearConfig, TimeLinear, add_gradient, draw


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
        "ltsf/*@paper*": {"legacy": True},
        "ltsf/etth1/*@paper*": {"legacy": True, "lr": 1e-4, "batch_size": 8},
        "ltsf/etth2/*@paper*": {"legacy": True, "lr": 0.05},
        "ltsf/exchange/720@paper*": {"legacy": True, "lr": 0.005},
    }
    search_space = {**Linear.search_space, "moving_average": IntDistribution(5, 49, step=2)}

    def build(self, channels: int | None) -> None:
        """Make the parameters; `channels` is None for shared maps."""
        config = self.config
        if config.moving_average < 3 or config.moving_average % 2 == 0:
            raise UsageError(f"dlinear: moving_average={config.moving_average} must be odd and at least 3")
        # A window longer than this would average nothing but padding further out.
        self.size = min(config.moving_average, 2 * self.steps - 1)
        self.seasonal = TimeLinear(self.steps, self.outputs, channels)
        self.trend = TimeLinear(self.steps, self.outputs, channels)
        if config.legacy:  # a third map was built and never used, but its weights were drawn too
            draw(self.seasonal, self.trend, TimeLinear(self.steps, self.outputs, channels))
            for part in (self.seasonal, self.trend):
                nn.init.constant_(part.weight, 1 / self.steps)
        else:
            draw(self.seasonal, self.trend)

    def affine(self) -> tuple[Tensor, Tensor]:
        """Both maps and the moving average as one affine map."""
        seasonal, trend = self.seasonal, self.trend
        apply = Fold.apply if torch.is_grad_enabled() else fold
        return apply(seasonal.weight, trend.weight, self.size), seasonal.bias + trend.bias

    def receive(self, weight: Tensor, bias: Tensor) -> None:
        """Split the gradient of the folded map between the two maps."""
        for part, gradient in zip((self.seasonal, self.trend), unfold(weight, self.size), strict=True):
            add_gradient(part.weight, gradient)
            add_gradient(part.bias, bias)

    def explicit(self, batch: Batch) -> Tensor:
        """The same forecast in the paper's form."""
        x = batch.inputs.transpose(1, 2)
        trend = moving_average(x, self.size)
        return (self.seasonal(x - trend) + self.trend(trend)).transpose(1, 2)


def moving_average(x: Tensor, size: int) -> Tensor:
    """Centred moving average over the last axis, ends padded by repeating the first and last value."""
    ends = (*x.shape[:-1], size // 2)
    padded = torch.cat([x[..., :1].expand(ends), x, x[..., -1:].expand(ends)], dim=-1)
    return padded.unfold(-1, size, 1).mean(-1)


class Fold(torch.autograd.Function):
    """`fold` with its gradient `unfold`."""

    @staticmethod
    def forward(ctx: Any, seasonal: Tensor, trend: Tensor, size: int) -> Tensor:
        """See `fold`."""
        ctx.size = size
        return fold(seasonal, trend, size)

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, Tensor, None]:
        """See `unfold`."""
        return *unfold(grad, ctx.size), None


def fold(seasonal: Tensor, trend: Tensor, size: int) -> Tensor:
    """`Ws + (Wt - Ws) M`.

    Column j of `D M` sums the weights D of all averages that step j enters: a window sum, that is a difference of
    running sums. The first and last step also stand in for the padding, and collect what falls beyond the ends.
    Only for small maps is the product with M itself cheaper.
    """
    difference = trend - seasonal
    if small(difference):
        matrix = averaging_matrix(difference.shape[-1], size, difference.device, difference.dtype)
        return seasonal + difference @ matrix
    half, length = size // 2, trend.shape[-1]
    running, sums = _window_sums(difference, half)
    sums.select(-1, 0).add_(running[..., :half].sum(-1))
    sums.select(-1, -1).add_(half * running[..., -1] - running[..., length - 1 - half : length - 1].sum(-1))
    return torch.add(seasonal, sums, alpha=1 / size)


def unfold(grad: Tensor, size: int) -> tuple[Tensor, Tensor]:
    """Gradients of Ws and Wt from that of the folded weight G: `G - G M'` and `G M'`.

    `G M'` is the moving average of each row of G, ends padded.
    """
    if small(grad):
        trend = grad @ averaging_matrix(grad.shape[-1], size, grad.device, grad.dtype).T
        return grad - trend, trend
    half = size // 2
    _, sums = _window_sums(grad, half)
    falling, rising = ramps(half, grad.device, grad.dtype)
    sums[..., :half].addcmul_(grad[..., :1], falling)
    sums[..., -half:].addcmul_(grad[..., -1:], rising)
    trend = sums.div_(size)
    return grad - trend, trend


def small(weight: Tensor) -> bool:
    """Is a product with an averaging matrix cheaper than running sums? Measured on one CPU core."""
    return weight.numel() * weight.shape[-1] < 2e6


@lru_cache(maxsize=8)
def averaging_matrix(length: int, size: int, device: torch.device, dtype: torch.dtype) -> Tensor:
    """M, `(length, length)`: `moving_average(x)` is `x @ M.T`."""
    return moving_average(torch.eye(length, device=device, dtype=dtype), size).T.contiguous()


@lru_cache(maxsize=8)
def ramps(half: int, device: torch.device, dtype: torch.dtype) -> tuple[Tensor, Tensor]:
    """How often the first and the last step stand in for the padding of the averages next to them."""
    falling = torch.arange(half, 0, -1, device=device, dtype=dtype)
    return falling, falling.flip(0)


def _window_sums(x: Tensor, half: int) -> tuple[Tensor, Tensor]:
    """Running sums of the last axis, and the sums over j - half .. j + half with nothing beyond the ends."""
    size, length = 2 * half + 1, x.shape[-1]
    running = x.cumsum(-1)
    if length <= size:  # no window is whole
        padded = torch.cat(
            [x.new_zeros(*x.shape[:-1], half + 1), running, running[..., -1:].expand(*x.shape[:-1], half)], -1
        )
        return running, padded[..., size:] - padded[..., :length]
    sums = torch.empty_like(x)
    sums[..., : half + 1] = running[..., half:size]
    torch.sub(running[..., size:], running[..., :-size], out=sums[..., half + 1 : length - half])
    torch.sub(running[..., -1:], running[..., length - size : length - half - 1], out=sums[..., length - half :])
    return running, sums
