"""Measures that several task kinds share, in float64 over all values of a split."""

from __future__ import annotations

import torch
from torch import Tensor


def ratio(part: Tensor, whole: Tensor) -> Tensor:
    """`part / whole` in float64, 0 where `whole` is 0."""
    part, whole = part.double(), whole.double()
    return torch.where(whole == 0, 0.0, part / whole)


class Moments:
    """Sums of predictions and truths from which regression measures follow, one of each output.

    Blocks are merged by the update of Chan, Golub and LeVeque (1983), so that a large mean costs no digits.
    """

    #: Values that all lie this near their mean, as a share of it, are constant: float32 cannot tell them apart.
    CONSTANT = 1e-6

    def __init__(self, outputs: int) -> None:
        self.count = torch.zeros(outputs, dtype=torch.float64)
        self.mean = torch.zeros(2, outputs, dtype=torch.float64)  # of prediction and truth
        self.spread = torch.zeros(2, 2, outputs, dtype=torch.float64)  # centred squares and products, summed
        self.squares = torch.zeros(outputs, dtype=torch.float64)  # squared errors, summed

    def add(self, prediction: Tensor, truth: Tensor) -> None:
        """Add `(values, outputs)`; where the truth is NaN, nothing is counted."""
        known = ~truth.isnan().cpu()
        both = torch.where(known, torch.stack([prediction, truth]).cpu().double(), 0.0)
        count = known.sum(0)
        mean = both.sum(1) / count.clamp(min=1)
        centred = torch.where(known, both - mean[:, None], 0.0)
        total = self.count + count
        step, share = mean - self.mean, count / total.clamp(min=1)
        self.spread += torch.einsum("avo,bvo->abo", centred, centred) + step[:, None] * step * self.count * share
        self.mean += step * share
        self.squares += (both[0] - both[1]).square().sum(0)
        self.count = total

    @property
    def mse(self) -> Tensor:
        """Mean squared error, `(outputs,)`."""
        return ratio(self.squares, self.count)

    @property
    def total(self) -> Tensor:
        """SST, the squared deviations of the truth from its mean, summed; 0 where it is constant; `(outputs,)`."""
        return self._variation()[1]

    @property
    def r2(self) -> Tensor:
        """1 - SSE/SST, 0 where the truth is constant, `(outputs,)`."""
        return ratio(self.total - self.squares, self.total)

    @property
    def pearson2(self) -> Tensor:
        """Squared Pearson correlation, 0 where prediction or truth is constant, `(outputs,)`."""
        prediction, truth = self._variation()
        return ratio(self.spread[0, 1].square(), prediction * truth)

    def _variation(self) -> tuple[Tensor, Tensor]:
        varied = torch.stack([self.spread[0, 0], self.spread[1, 1]])
        constant = varied <= self.count * (self.CONSTANT * self.mean).square()
        prediction, truth = varied.masked_fill(constant, 0.0)
        return prediction, truth


def ranks(values: Tensor) -> Tensor:
    """Ranks from 1 of `(n,)` values, float64; equal values share the mean of their ranks."""
    _, group, sizes = values.unique(return_inverse=True, return_counts=True)
    return (sizes.cumsum(0) - (sizes - 1) / 2.0).double()[group]


def agreement(prediction: Tensor, truth: Tensor) -> Tensor:
    """How near each of `(n,)` values comes to its true rank, float64; the mean is Spearman's rho exactly, ties or not.

    Where no values are equal, it is 1 - 6 d^2 / (n^2 - 1), d being the difference of ranks. If either side is
    constant, rho is undefined and the mean is 0.
    """
    both = torch.stack([ranks(prediction), ranks(truth)])
    centred = both - both.mean(1, keepdim=True)
    variance = centred.square().mean(1)
    scaled = ratio(centred, variance.sqrt()[:, None])
    return ((variance > 0).sum() - (scaled[0] - scaled[1]).square()) / 2


def roc_auc(scores: Tensor, truth: Tensor) -> Tensor:
    """Area under the ROC curve, from ranks (Mann and Whitney 1947); NaN if the truth, bool, is all alike."""
    positives = truth.sum().double()
    above = ranks(scores)[truth].sum() - positives * (positives + 1) / 2
    return above / (positives * (len(truth) - positives))


def average_precision(scores: Tensor, truth: Tensor) -> Tensor:
    """Precision at each distinct score, highest first, weighted by the recall it adds; the truth, bool, has a True."""
    _, group, sizes = scores.unique(return_inverse=True, return_counts=True)
    found = torch.bincount(group, weights=truth.double()).flip(0)
    precision = found.cumsum(0) / sizes.flip(0).cumsum(0)
    return (found * precision).sum() / found.sum()


def top(scores: Tensor, k: int) -> Tensor:
    """1 for each of the `k` highest of `(n,)` scores, else 0, float64; scores tied for the last places share them."""
    least = scores.topk(k).values[-1]
    above, tied = scores > least, scores == least
    return above + tied * ((k - above.sum()) / tied.sum().double())


def matthews(confusion: Tensor) -> Tensor:
    """Matthews correlation of counts `(..., true class, predicted class)`, for any number of classes (Gorodkin 2004).

    It is 0 where it is undefined, when all truths or all predictions are of one class.
    """
    confusion = confusion.double()
    true, predicted, size = confusion.sum(-1), confusion.sum(-2), confusion.sum((-2, -1))
    right = confusion.diagonal(dim1=-2, dim2=-1).sum(-1)
    spread = (size**2 - true.square().sum(-1)) * (size**2 - predicted.square().sum(-1))
    return ratio(right * size - (true * predicted).sum(-1), spread.sqrt())
