"""MiniRocket: how often fixed convolutions exceed thresholds, and a ridge on that (Dempster et al., KDD 2021)."""

from __future__ import annotations

import math
from dataclasses import dataclass
from itertools import combinations

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from tsbench.data import Batch, Samples
from tsbench.errors import UsageError
from tsbench.model import Model, Run, State
from tsbench.tasks.classification import Classification

#: Three of the nine weights of a kernel are 2, the others -1, `(kernel, 9)`.
KERNELS = torch.tensor([[2.0 if i in chosen else -1.0 for i in range(9)] for chosen in combinations(range(9), 3)])
MOST_CHANNELS = 9  # that a kernel sums over
PENALTIES = np.logspace(-3, 3, 10).tolist()
MOST_CASES = 3000  # that choose the penalty; the best one hardly depends on how many, the time grows with their cube
SHARPNESS = [2.0**power for power in range(-2, 7)]
CELLS = 2**18  # values of a convolution computed at once, so that they stay in cache


@dataclass(frozen=True)
class MiniRocketConfig:
    """Settings of MiniRocket."""

    features: int = 10_000  # about so many: the multiple of the 84 kernels below it
    dilations: int = 32  # of a kernel, at most

    def __post_init__(self) -> None:
        """Refuse what leaves a kernel without a feature."""
        if self.features < len(KERNELS) or self.dilations < 1:
            raise UsageError(
                f"features={self.features} must be at least {len(KERNELS)} and dilations={self.dilations} at least 1"
            )


class MiniRocket(Model):
    """Class scores = W features + b; a feature is the share of steps at which a convolution exceeds a threshold.

    Shorter series count as followed by zeros up to the longest of the task, and all series as at least 9 steps long.
    Scores are those of a ridge classifier times one number, so that their softmax is as sure as leave-one-out
    predictions of the training cases are good: the same classes, and usable probabilities.
    """

    Config = MiniRocketConfig
    tasks = (Classification,)
    source = "Dempster, Schmidt & Webb, MiniRocket, KDD 2021"

    def __init__(self, task: Classification, config: MiniRocketConfig) -> None:
        super().__init__(task, config)
        self.length = max(task.inputs.length, KERNELS.shape[1])
        self.dilations = dilations(self.length, config.features // len(KERNELS), config.dilations)
        self.channels = torch.zeros(len(self.dilations), len(KERNELS), 0)  # 1 where a kernel sees a channel
        self.bias = torch.zeros(0)  # thresholds (feature,): by dilation, then kernel, then quantile
        self.weight, self.intercept = torch.zeros(0, task.classes), torch.zeros(task.classes)

    def fit(self, train: Samples, validation: Samples, run: Run) -> None:
        """Draw channels and thresholds, then solve for the weights on all training cases."""
        train = train.to(run.device)
        self.channels = draw_channels(len(self.dilations), self.task.inputs.channels)
        self.bias = self._draw_thresholds(train)
        batch = train.batch(torch.arange(len(train)))
        found = ridge(self.transform(batch), batch.target, self.task.classes)
        self.weight, self.intercept, run.measured["penalty"] = found

    def predict(self, batch: Batch) -> Tensor:
        """Scores `(batch, classes)`."""
        x = self.transform(batch)
        return x @ self.weight.to(x) + self.intercept.to(x)

    def series(self, batch: Batch) -> Tensor:
        """`(batch, channel, length)`, zero beyond the end of a case."""
        x = batch.inputs if batch.valid is None else batch.inputs.masked_fill(~batch.valid[..., None], 0)
        return F.pad(x, (0, 0, 0, self.length - x.shape[1])).transpose(1, 2).contiguous()

    def transform(self, batch: Batch) -> Tensor:
        """The features of each case, `(batch, feature)`."""
        size = max(1, CELLS // (len(KERNELS) * self.length))
        return torch.cat([self._features(x) for x in self.series(batch).split(size)])

    def _features(self, x: Tensor) -> Tensor:
        """Shares of steps above each threshold; every other kernel sees zeros beyond the ends, the rest no ends."""
        features = []
        biases = self.bias.to(x).split([len(KERNELS) * count for _, count in self.dilations])
        for i, (dilation, count) in enumerate(self.dilations):
            weight, bias = self._weight(i, x), biases[i].view(len(KERNELS), count)
            shares = x.new_empty(len(x), len(KERNELS), count)
            for first, padding in ((i % 2, 4 * dilation), (1 - i % 2, 0)):
                y = F.conv1d(x, weight[first::2], padding=padding, dilation=dilation)  # (batch, kernel, time)
                above = torch.empty_like(y)
                for f in range(count):
                    shares[:, first::2, f] = torch.gt(y, bias[first::2, f, None], out=above).mean(-1)
            features.append(shares.flatten(1))
        return torch.cat(features, 1)

    def _weight(self, i: int, x: Tensor) -> Tensor:
        """Kernels of one dilation, `(kernel, channel, 9)`: zero for channels that are not summed."""
        return self.channels[i].to(x)[..., None] * KERNELS.to(x)[:, None]

    def _draw_thresholds(self, train: Samples) -> Tensor:
        """Quantiles of each kernel's output on a random training case."""
        share = quantiles(sum(count for _, count in self.dilations) * len(KERNELS))
        shares = share.split([len(KERNELS) * count for _, count in self.dilations])
        found = []
        for i, (dilation, count) in enumerate(self.dilations):
            x = self.series(train.batch(torch.randint(len(train), (len(KERNELS),))))  # a case for each kernel
            weight = self._weight(i, x)
            y = F.conv1d(x.view(1, -1, self.length), weight, padding=4 * dilation, dilation=dilation, groups=len(x))
            place = shares[i].view(len(x), count).to(x) * (self.length - 1)
            low, y = place.long(), y[0].sort(-1).values
            found.append(torch.lerp(y.gather(1, low), y.gather(1, low + 1), place - low).flatten())
        return torch.cat(found).cpu()

    def state(self) -> State:
        """Channels, thresholds and the linear map."""
        return {"channels": self.channels, "bias": self.bias, "weight": self.weight, "intercept": self.intercept}

    def load_state(self, state: State) -> None:
        """Take over `state`."""
        self.channels, self.bias = state["channels"], state["bias"]
        self.weight, self.intercept = state["weight"], state["intercept"]


def dilations(length: int, features: int, most: int) -> list[tuple[int, int]]:
    """Dilations of each kernel, spread from 1 to the length, and how many of its features each has."""
    count = min(features, most)
    exponents = np.linspace(0, np.log2((length - 1) / (KERNELS.shape[1] - 1)), count)
    values, times = np.unique((2**exponents).astype(int), return_counts=True)
    each = (times * (features / count)).astype(int)
    each[: features - each.sum()] += 1  # what rounding left, to the smallest
    return list(zip(values.tolist(), each.tolist(), strict=True))


def quantiles(count: int) -> Tensor:
    """Multiples of the golden ratio, modulo 1: a low-discrepancy sequence."""
    return (torch.arange(1, count + 1, dtype=torch.float64) * ((math.sqrt(5) + 1) / 2) % 1).float()


def draw_channels(dilations: int, channels: int) -> Tensor:
    """1 for each of the 1 to 9 random channels that a kernel sums, `(dilation, kernel, channel)`; few are likelier."""
    shape = (dilations, len(KERNELS), 1)
    count = (2 ** (torch.rand(shape) * math.log2(min(channels, MOST_CHANNELS) + 1))).floor()
    return (torch.rand(*shape[:2], channels).argsort(-1) < count).float()


def ridge(x: Tensor, target: Tensor, classes: int) -> tuple[Tensor, Tensor, float]:
    """Ridge classifier on standardised features, in float64: 1 for a case's class and -1 for others.

    Args:
        x: `(case, feature)`.
        target: classes, `(case,)`.
        classes: how many there are.

    Returns:
        Weights `(feature, classes)` and intercept `(classes,)`, scaled as MiniRocket says, and the penalty.
    """
    y = 2 * F.one_hot(target, classes).double() - 1
    centre, level = x.mean(0, dtype=torch.float64), y.mean(0)
    x = x.double() - centre
    scale = x.square().mean(0).sqrt()
    scale = torch.where(scale > 1e-9, scale, 1.0)  # a constant feature, but for rounding
    x /= scale
    some = torch.randperm(len(x))[:MOST_CASES].to(x.device) if len(x) > MOST_CASES else slice(None)
    penalty, alone = leave_one_out(x[some], y[some])
    factor = sharpness(alone, target[some])
    if len(x) <= x.shape[1]:
        weight = x.T @ solve(x @ x.T, penalty, y - level)
    else:
        weight = solve(x.T @ x, penalty, x.T @ (y - level))
    weight /= scale[:, None]
    return (weight * factor).float().cpu(), ((level - centre @ weight) * factor).float().cpu(), penalty


def solve(matrix: Tensor, penalty: float, right: Tensor) -> Tensor:
    """Solve with a penalty added to the diagonal of a positive semi-definite matrix, which is overwritten."""
    matrix.diagonal().add_(penalty)
    return torch.cholesky_solve(right, torch.linalg.cholesky(matrix))


def leave_one_out(x: Tensor, y: Tensor) -> tuple[float, Tensor]:
    """The penalty with the least squared error on cases left out one by one, and the predictions of those cases.

    All follow from one decomposition, X X' = U S U': with shares s / (s + penalty) the fit is U share U' y, and the
    weight of a case in its own fit, its leverage, U² share.

    Args:
        x: `(case, feature)`.
        y: `(case, output)`.
    """
    x, centred = x - x.mean(0), y - y.mean(0)
    values, vectors = torch.linalg.eigh(x @ x.T)
    along = vectors.T @ centred  # (case, output)
    tried = []
    for penalty in PENALTIES:
        share = values.clamp(min=0) / (values.clamp(min=0) + penalty)
        residual = centred - vectors @ (share[:, None] * along)
        error = residual / (1 - 1 / len(x) - vectors.square() @ share)[:, None]
        tried.append((error.square().mean().item(), penalty, y - error))
    _, penalty, alone = min(tried, key=lambda candidate: candidate[0])
    return penalty, alone


def sharpness(scores: Tensor, target: Tensor) -> float:
    """What to multiply scores `(case, classes)` by for the least log-loss (temperature scaling, Guo et al. 2017).

    As if one case more had been wrong (after Platt 1999): a perfect score on few cases is no certainty.
    """
    smooth = 1 / (len(scores) + 1)
    return min(SHARPNESS, key=lambda s: F.cross_entropy(scores * s, target, label_smoothing=smooth).item())
