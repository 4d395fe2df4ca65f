"""OLS: the least-squares linear forecast in closed form, the bound that trained linear models aim at."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import scipy.linalg
import torch
from optuna.distributions import FloatDistribution
from torch import Tensor

from tsbench.data import Batch, Samples
from tsbench.errors import UsageError
from tsbench.evaluate import score
from tsbench.model import Model, Run, State
from tsbench.tasks.forecasting import Forecasting
from tsbench.windows import Windows


@dataclass(frozen=True)
class OLSConfig:
    """Settings of OLS."""

    variant: str = "validation"  # plain, last (last value subtracted), or the better of both on validation
    ridge: float = 0.0  # added to the diagonal of the summed Gram matrix


VARIANTS = ("plain", "last")


class OLS(Model):
    """Forecast = W x + b by least squares over all training windows, shared by the channels, in float64.

    `last` fits W to windows whose last value is subtracted, and adds it back, as NLinear does.
    """

    Config = OLSConfig
    tasks = (Forecasting,)
    stochastic = False
    source = "after Toner & Darlow, An Analysis of Linear Time Series Forecasting Models, ICML 2024"
    search_space = {"ridge": FloatDistribution(1e-3, 1e5, log=True)}

    def __init__(self, task: Forecasting, config: OLSConfig) -> None:
        super().__init__(task, config)
        if config.variant not in (*VARIANTS, "validation"):
            raise UsageError(f"ols: variant={config.variant!r} must be plain, last or validation")
        self.weight = torch.zeros(task.horizon, task.look_back)
        self.bias = torch.zeros(task.horizon)
        self.subtract_last = torch.tensor(False)

    def fit(self, train: Samples, validation: Samples, run: Run) -> None:
        """Solve the normal equations of each variant and keep the one that is better on validation."""
        if not isinstance(train, Windows):
            raise UsageError("ols needs the windows of one series (tsbench.windows.Windows)")
        moments = window_moments(train.series.double().cpu().numpy(), self.task.look_back + self.task.horizon)
        tried = []
        for variant in VARIANTS if self.config.variant == "validation" else (self.config.variant,):
            self._solve(*moments, subtract_last=variant == "last")
            tried.append((score(self, validation).values["mse"], self.state()))
        self.load_state(min(tried, key=lambda pair: pair[0])[1])

    def _solve(self, gram: np.ndarray, sums: np.ndarray, count: int, subtract_last: bool) -> None:
        """Least squares from the summed outer products of whole windows (inputs, then targets)."""
        look_back = self.task.look_back
        if subtract_last:
            gram, sums = _subtract(gram, sums, look_back - 1)
        centred = gram - np.outer(sums, sums) / count  # the intercept, eliminated
        inputs, cross = centred[:look_back, :look_back], centred[:look_back, look_back:]
        # The subtracted column is all zero, so solve without it.
        used = look_back - 1 if subtract_last else look_back
        weight = np.zeros((look_back, self.task.horizon))
        weight[:used] = _solve_symmetric(inputs[:used, :used] + self.config.ridge * np.eye(used), cross[:used])
        bias = (sums[look_back:] - sums[:look_back] @ weight) / count
        self.weight = torch.from_numpy(weight.T.copy()).float()
        self.bias = torch.from_numpy(bias).float()
        self.subtract_last = torch.tensor(subtract_last)

    def predict(self, batch: Batch) -> Tensor:
        """Forecast `(batch, horizon, channel)`."""
        x = batch.inputs.transpose(1, 2)  # (batch, channel, look_back)
        last = x[..., -1:] * self.subtract_last.to(x.device)
        weight, bias = self.weight.to(x.device), self.bias.to(x.device)
        return (torch.nn.functional.linear(x - last, weight, bias) + last).transpose(1, 2)

    def state(self) -> State:
        """Weights, bias and the variant."""
        return {"weight": self.weight, "bias": self.bias, "subtract_last": self.subtract_last}

    def load_state(self, state: State) -> None:
        """Take over `state`."""
        self.weight, self.bias, self.subtract_last = state["weight"], state["bias"], state["subtract_last"]


def window_moments(series: np.ndarray, length: int) -> tuple[np.ndarray, np.ndarray, int]:
    """Sums of w w' and of w over all windows w of all channels, without forming the windows.

    Sum over windows of w_i w_j is a lagged product of the series over a range that shifts by one along each
    diagonal, so each diagonal follows from its first entry by adding one product and taking one away:
    O(length^2 + time * length) instead of O(time * length^2).

    Args:
        series: `(channel, time)`, float64.
        length: window length.

    Returns:
        `(length, length)` matrix, `(length,)` vector, and the number of windows summed.
    """
    channels, time = series.shape
    count = time - length + 1
    head, tail = series[:, : length - 1], series[:, count:]  # values that leave and enter as the range shifts
    gram = np.empty((length, length))
    for lag in range(length):
        first = np.vdot(series[:, :count], series[:, lag : lag + count])
        enter = (tail[:, : length - 1 - lag] * tail[:, lag:]).sum(0)
        leave = (head[:, : length - 1 - lag] * head[:, lag:]).sum(0)
        diagonal = first + np.concatenate([[0.0], np.cumsum(enter - leave)])
        index = np.arange(length - lag)
        gram[index, index + lag] = gram[index + lag, index] = diagonal
    sums = series[:, :count].sum() + np.concatenate([[0.0], np.cumsum((tail - head).sum(0))])
    return gram, sums, count * channels


def _subtract(gram: np.ndarray, sums: np.ndarray, last: int) -> tuple[np.ndarray, np.ndarray]:
    """Moments of windows whose step `last` is subtracted from every step."""
    row = gram[last]
    return gram - row[None, :] - row[:, None] + row[last], sums - sums[last]


def _solve_symmetric(matrix: np.ndarray, right: np.ndarray) -> np.ndarray:
    """Solve a symmetric positive system; the least-norm solution where it is singular."""
    try:
        return np.asarray(scipy.linalg.solve(matrix, right, assume_a="pos"))
    except np.linalg.LinAlgError:
        return np.asarray(scipy.linalg.lstsq(matrix, right)[0])
