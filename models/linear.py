"""Linear: one affine map over time, shared by all channels (LTSF-Linear, Zeng et al., AAAI 2023)."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from optuna.distributions import CategoricalDistribution
from torch import Tensor, nn
from torch.nn import functional as F

from tsbench.data import Batch
from tsbench.inputs import Series
from tsbench.model import NeuralModel
from tsbench.tasks.classification import Classification
from tsbench.tasks.forecasting import Forecasting
from tsbench.train import TrainConfig


@dataclass(frozen=True)
class LinearConfig(TrainConfig):
    """Settings of Linear."""

    schedule: str = "halving"
    individual: bool | None = None  # one map for each channel instead of a shared one; none: for classes only


CLASSES = {"lr": 0.01, "epochs": 100, "patience": 0, "schedule": "cosine"}


class TimeLinear(nn.Module):
    """An affine map over the time axis, `(batch, channel, look_back)` to `(batch, channel, horizon)`.

    Shared by all channels, or one for each channel if `channels` is given. `draw` gives the starting weights.
    """

    def __init__(self, look_back: int, horizon: int, channels: int | None = None) -> None:
        super().__init__()
        each = () if channels is None else (channels,)
        self.weight = nn.Parameter(torch.empty(*each, horizon, look_back))
        self.bias = nn.Parameter(torch.empty(*each, horizon))

    def forward(self, x: Tensor) -> Tensor:
        """`(batch, channel, look_back)` to `(batch, channel, horizon)`."""
        return affine(x, self.weight, self.bias)


def affine(x: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
    """Apply a shared `(horizon, look_back)` or an individual `(channel, horizon, look_back)` map over time."""
    if weight.dim() == 2:  # as one matrix product over all windows and channels
        return F.linear(x.reshape(-1, x.shape[-1]), weight, bias).unflatten(0, x.shape[:2])
    return torch.einsum("bcl,chl->bch", x, weight) + bias


def draw(*maps: TimeLinear) -> None:
    """Draw starting weights as `nn.Linear` does, map by map; individual ones channel by channel, as the authors."""
    horizon, look_back = maps[0].weight.shape[-2:]
    bound = 1 / math.sqrt(look_back)
    for channel in range(maps[0].bias.numel() // horizon):
        for part in maps:
            nn.init.uniform_(part.weight.data.view(-1, horizon, look_back)[channel], -bound, bound)
            nn.init.uniform_(part.bias.data.view(-1, horizon)[channel], -bound, bound)


class Linear(NeuralModel):
    """Forecast = W x + b, over time, each channel by itself; class scores = the sum of this over channels.

    For classes the rows of W are classes instead of steps to come, and nothing is added back to what W gives.
    """

    Config = LinearConfig
    tasks = (Forecasting, Classification)
    source = "Zeng et al., Are Transformers Effective for Time Series Forecasting?, AAAI 2023; cure-lab/LTSF-Linear"
    # The authors' scripts (cure-lab/LTSF-Linear @ 0c113668). Table 2 was made with another rate on ETTh2.
    recipes = {
        "sktime/*@*": {"lr": 0.01, "batch_size": 8, "epochs": 300, "patience": 20},  # ours: short series
        "generated/*@*": {"lr": 0.01, "epochs": 50, "patience": 5},  # ours
        **dict.fromkeys(("uea/*@*", "user/*@*"), CLASSES),  # ours, by held-out TRAIN cases
        "ltsf/etth1/*@*": {"lr": 0.005, "batch_size": 32},
        "ltsf/etth2/*@*": {"lr": 0.05, "batch_size": 32},
        "ltsf/etth2/*@paper*": {"lr": 0.005},
        "ltsf/ettm1/*@*": {"lr": 1e-4, "batch_size": 8},
        "ltsf/ettm2/*@*": {"lr": 0.001, "batch_size": 32},
        "ltsf/ettm2/336@*": {"lr": 0.01},
        "ltsf/ettm2/720@*": {"lr": 0.01},
        "ltsf/electricity/*@*": {"lr": 0.001, "batch_size": 16},
        "ltsf/exchange/*@*": {"lr": 5e-4, "batch_size": 32},
        "ltsf/exchange/96@*": {"batch_size": 8},
        "ltsf/exchange/192@*": {"batch_size": 8},
        "ltsf/traffic/*@*": {"lr": 0.05, "batch_size": 16},
        "ltsf/weather/*@*": {"lr": 1e-4, "batch_size": 16},
        "ltsf/ili/*@*": {"lr": 0.01, "batch_size": 32},
        "ltsf/electricity/*@*individual=true*": {"lr": 0.005},
        "ltsf/traffic/*@*individual=true*": {"lr": 0.005},
        "ltsf/weather/*@*individual=true*": {"lr": 0.005},
    }
    search_space = {**NeuralModel.search_space, "individual": CategoricalDistribution((False, True))}

    def __init__(self, task: Forecasting | Classification, config: LinearConfig) -> None:
        super().__init__(task, config)
        self.classifies = isinstance(task, Classification)
        if isinstance(task, Classification):
            assert isinstance(task.inputs, Series)
            self.steps, self.outputs, channels = task.inputs.length, task.classes, task.inputs.channels
        else:
            self.steps, self.outputs, channels = task.look_back, task.horizon, task.channels
        individual = self.classifies if config.individual is None else config.individual
        self.build(channels if individual else None)

    def build(self, channels: int | None) -> None:
        """Make the parameters; `channels` is None for a shared map."""
        self.map = TimeLinear(self.steps, self.outputs, channels)
        draw(self.map)

    def forward(self, batch: Batch) -> Tensor:
        """Forecast `(batch, horizon, channel)`, or class scores `(batch, classes)`."""
        x = self.series(batch)
        level = self.level(x)
        forecast = affine(x if level is None else x - level, *self.affine())
        if self.classifies:
            return forecast.sum(1)
        return (forecast if level is None else forecast + level).transpose(1, 2)

    def series(self, batch: Batch) -> Tensor:
        """`(batch, channel, time)`; one to be classified stays at its last value until the longest ends."""
        x = batch.inputs.transpose(1, 2)
        if not self.classifies or (batch.valid is None and x.shape[2] == self.steps):
            return x
        end = x.shape[2] - 1 if batch.valid is None else batch.valid.sum(1, keepdim=True) - 1
        place = torch.arange(self.steps, device=x.device).expand(len(x), -1).clamp(max=end)
        return x.gather(2, place[:, None].expand(-1, x.shape[1], -1))

    def level(self, x: Tensor) -> Tensor | None:
        """What is subtracted from a series and added to its forecast, `(batch, channel, 1)`."""
        return None

    def affine(self) -> tuple[Tensor, Tensor]:
        """Weight and bias of the one affine map that the model is."""
        return self.map.weight, self.map.bias

    def receive(self, weight: Tensor, bias: Tensor) -> None:
        """Hand the gradient of `affine`'s weight and bias to the parameters."""
        add_gradient(self.map.weight, weight)
        add_gradient(self.map.bias, bias)

    def loss_and_gradient(self, batch: Batch) -> Tensor:
        """The loss, and its gradient: that of a forecast in closed form."""
        return super().loss_and_gradient(batch) if self.classifies else self.squared_error(batch)

    @torch.no_grad()
    def squared_error(self, batch: Batch) -> Tensor:
        """Mean squared error; its gradient with error e is dW = 2/n sum e x' and db = 2/n sum e."""
        x, y = batch.inputs.transpose(1, 2), batch.target.transpose(1, 2)  # (batch, channel, time)
        level = self.level(x)
        if level is not None:
            x, y = x - level, y - level
        weight, bias = self.affine()
        if weight.dim() == 3:
            error = affine(x, weight, bias).sub_(y)
            loss = error.square().mean()
            error *= 2 / error.numel()
            self.receive(torch.einsum("bch,bcl->chl", error, x), error.sum(0))
        else:  # all windows and channels are rows of one product
            x, y = x.flatten(0, 1), y.flatten(0, 1)
            error = torch.addmm(bias, x, weight.T).sub_(y)
            loss = error.square().mean()
            error *= 2 / error.numel()
            self.receive(error.T @ x, error.sum(0))
        return loss


def add_gradient(parameter: nn.Parameter, gradient: Tensor) -> None:
    """Add to a parameter's gradient, as autograd does."""
    parameter.grad = gradient if parameter.grad is None else parameter.grad + gradient
