"""k-mer ridge: a linear map of the k-mers of a sequence, or of those around each of its nucleotides."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterator
from dataclasses import dataclass
from typing import ClassVar

import torch
from optuna.distributions import IntDistribution
from torch import Tensor
from torch.nn import functional as F

from tsbench.data import Batch, Samples, like_size
from tsbench.errors import UsageError
from tsbench.evaluate import score
from tsbench.inputs import Codes
from tsbench.model import Model, Run, State
from tsbench.models.constant import numbers
from tsbench.tasks.classification import Classification
from tsbench.tasks.multilabel import MultiLabel
from tsbench.tasks.nucleotide import NucleotideClassification, NucleotideRegression
from tsbench.tasks.regression import Regression
from tsbench.tasks.task import Task

PENALTIES = [10.0**power for power in range(-6, 4)]
NUCLEOTIDE = (NucleotideRegression, NucleotideClassification)
CLASSES = (Classification, MultiLabel, NucleotideClassification)
MOST_FEATURES = 5000  # with which positions are tried; the time to solve grows with the cube


class FeatureRidge(Model):
    """Prediction = W features + b by least squares with a penalty on W, in float64; a subclass says which features.

    The penalty is that of `PENALTIES` which validates best. Its unit is the mean variance of a feature times the
    number of rows, so that one grid serves indicators and frequencies, many rows and few. A class or label is fitted
    as 1 and its absence as -1.
    """

    tasks: ClassVar[tuple[type[Task], ...]] = (Regression, Classification, MultiLabel)
    inputs = (Codes,)
    block_values = 2**16  # features are many times as many
    stochastic = False
    source = "Hoerl & Kennard, Ridge Regression, Technometrics 1970"

    def __init__(self, task: object, config: object) -> None:
        super().__init__(task, config)
        self.weight, self.bias = torch.zeros(0, 0), torch.zeros(0)

    @abstractmethod
    def features(self, batch: Batch) -> Tensor:
        """`(batch, feature)`, or `(batch, time, feature)` where each nucleotide is labelled."""

    def fit(self, train: Samples, validation: Samples, run: Run) -> None:
        """Keep the candidate that is best on validation."""
        best: tuple[float, State] | None = None
        for penalty, state in self.candidates(train):
            self.load_state(state)
            found = score(self, validation).values[self.task.primary]
            if best is None or self.task.better(found, best[0]):
                best = found, state
                run.measured["penalty"] = penalty
        assert best is not None
        self.load_state(best[1])

    def candidates(self, train: Samples) -> Iterator[tuple[float, State]]:
        """Each penalty and its solution, all from one decomposition of the features' covariance."""
        moments = torch.zeros(1, 1).double()
        for indices in like_size(train.sizes, self.block_values):
            batch = train.batch(indices)
            x, y = self.features(batch), numbers(self.task, batch)
            if isinstance(self.task, CLASSES):
                y = 2 * y - 1
            scored = y.isfinite().all(-1)
            rows = torch.cat([torch.ones_like(y[scored][:, :1]), x[scored], y[scored]], -1).double().cpu()
            moments = moments + rows.T @ rows
        features = slice(1, 1 + x.shape[-1])
        outputs = slice(features.stop, None)
        mean = moments[0] / moments[0, 0]
        covariance = moments / moments[0, 0] - mean.outer(mean)
        values, vectors = torch.linalg.eigh(covariance[features, features])
        unit = values.mean().clamp(min=1e-12)
        for penalty in PENALTIES:
            shrunk = values.clamp(min=0) + penalty * unit
            weight = vectors @ (vectors.T @ covariance[features, outputs] / shrunk[:, None])
            bias = mean[outputs] - mean[features] @ weight
            yield penalty, {**self.state(), "weight": weight.float(), "bias": bias.float()}

    def predict(self, batch: Batch) -> Tensor:
        """The linear map of the features."""
        x = self.features(batch)
        return x @ self.weight.to(x.device) + self.bias.to(x.device)

    def state(self) -> State:
        """Weights and bias."""
        return {"weight": self.weight, "bias": self.bias}

    def load_state(self, state: State) -> None:
        """Take over `state`."""
        self.weight, self.bias = state["weight"], state["bias"]


@dataclass(frozen=True)
class KmerRidgeConfig:
    """Settings of k-mer ridge."""

    k: int = 2  # k-mers of 1 to k letters
    positional: bool | None = None  # features of each position; none: if that validates better and lengths are equal
    window: int = 5  # nucleotides seen on each side of one that is labelled

    def __post_init__(self) -> None:
        """Refuse what cannot be computed."""
        if not 1 <= self.k <= 6:
            raise UsageError(f"kmer_ridge: k={self.k} must be from 1 to 6")
        if self.window < 0:
            raise UsageError(f"kmer_ridge: window={self.window} must be at least 0")


class KmerRidge(FeatureRidge):
    """Ridge regression on k-mers of 1 to k letters.

    Features are, for a label of the whole sample, each k-mer at each position, or its frequency in the sequence; for a
    label of each nucleotide, each k-mer at each place around it. Sequences of a pair have features of their own.
    A k-mer that reaches over the end or holds an unknown or masked letter is none.
    """

    Config = KmerRidgeConfig
    tasks = (*FeatureRidge.tasks, *NUCLEOTIDE)
    search_space = {"k": IntDistribution(1, 4), "window": IntDistribution(0, 5)}

    def __init__(self, task: object, config: KmerRidgeConfig) -> None:
        super().__init__(task, config)
        self.positional = torch.tensor(bool(config.positional))
        width = sum(4**size for size in range(1, config.k + 1))
        width *= 2 * config.window + 1 if isinstance(task, NUCLEOTIDE) else 1
        if width > 2 * MOST_FEATURES:
            raise UsageError(f"kmer_ridge: k={config.k} makes {width:,} features, more than {2 * MOST_FEATURES:,}")

    def fit(self, train: Samples, validation: Samples, run: Run) -> None:
        """As every ridge, and say whether positions won."""
        super().fit(train, validation, run)
        run.measured["positional"] = float(self.positional)

    def candidates(self, train: Samples) -> Iterator[tuple[float, State]]:
        """The solutions with each kind of features."""
        for positional in self._choices(train):
            self.positional = torch.tensor(positional)
            yield from super().candidates(train)

    def _choices(self, train: Samples) -> list[bool]:
        """Values of `positional` to try."""
        if self.config.positional is not None or isinstance(self.task, NUCLEOTIDE):
            return [bool(self.config.positional)]
        inputs = self.task.inputs
        columns = sum(4**size for size in range(1, self.config.k + 1)) + inputs.features
        few = inputs.sequences * inputs.length * columns <= MOST_FEATURES
        return [False, True] if few and train.sizes.min() == train.sizes.max() else [False]

    def features(self, batch: Batch) -> Tensor:
        """k-mers, and the numbers that come with each nucleotide in the same manner."""
        x = kmers(batch, self.config.k).float()
        if batch.features is not None:
            x = torch.cat([x, batch.features[:, None].expand(-1, x.shape[1], -1, -1)], -1)
        if isinstance(self.task, NUCLEOTIDE):
            side = self.config.window
            return F.pad(x, (0, 0, side, side)).unfold(2, 2 * side + 1, 1).transpose(1, 2).flatten(2)
        if self.positional:
            return F.pad(x, (0, 0, 0, self.task.inputs.length - x.shape[2])).flatten(1)
        return (x.sum(2) / batch.real.sum(-1, keepdim=True).clamp(min=1)).flatten(1)

    def state(self) -> State:
        """Weights, bias, and whether features are of positions."""
        return {**super().state(), "positional": self.positional}

    def load_state(self, state: State) -> None:
        """Take over `state`."""
        super().load_state(state)
        self.positional = state["positional"]


def kmers(batch: Batch, k: int) -> Tensor:
    """Which k-mer of 1 to k letters starts at each place, `(batch, sequences, time, 4 + ... + 4^k)` bool."""
    letters = batch.inputs
    known = (letters < 4) & batch.real
    word, whole = torch.zeros_like(letters), torch.ones_like(known)
    found = []
    for size in range(1, k + 1):
        word = 4 * word + F.pad(letters, (0, size - 1))[..., size - 1 :]
        whole = whole & F.pad(known, (0, size - 1))[..., size - 1 :]
        words = torch.arange(4**size, device=word.device)
        found.append((word[..., None] == words) & whole[..., None])
    return torch.cat(found, -1)
