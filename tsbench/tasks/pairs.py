"""Pair-level tasks: a value for each pair of nucleotides, such as base pairs, contacts and distances."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from torch import Tensor
from torch.nn import functional as F

from tsbench.arcs import HEIGHT, WIDTH, arc_diagram, letters, pair_map, samples, value_map
from tsbench.data import Batch
from tsbench.measures import Moments, ratio, top
from tsbench.svg import grid, rounded
from tsbench.tasks.task import Examples, Labelling, Meter, Metric, Scores

LONG_RANGE = 24  # least separation of the contacts that are scored
SIDE = 48  # rows and columns of a kept map of distances


@dataclass(frozen=True)
class PairMap(Labelling):
    """Predict `(batch, time, time)`; the target is symmetric, NaN beyond a sequence's end or where nothing is known.

    A prediction counts as the mean of its values at (i, j) and (j, i), in the loss and in every metric but those
    named `_beacon`.
    """

    def shape(self, batch: Batch) -> tuple[int, ...]:
        """`(batch, time, time)`."""
        return len(batch), batch.inputs.shape[-1], batch.inputs.shape[-1]

    def random_batch(self, size: int, device: str = "cpu") -> Batch:
        """Random sequences, random symmetric values from 0 to 1."""
        inputs, valid, features = self.inputs.random(size, device)
        real = torch.ones_like(inputs[:, 0], dtype=torch.bool) if valid is None else valid[:, 0]
        target = symmetric(torch.rand(*real.shape, real.shape[-1], device=device))
        return Batch(inputs, target.masked_fill(~(real[:, :, None] & real[:, None]), float("nan")), valid, features)


@dataclass(frozen=True)
class PairLabels(PairMap):
    """Pairs that are there or not: targets 0 and 1, predictions logits."""

    def loss(self, prediction: Tensor, batch: Batch) -> Tensor:
        """Binary cross-entropy, mean over known entries."""
        known = ~batch.target.isnan()
        logits = torch.where(known, symmetric(prediction), 0.0)
        each = F.binary_cross_entropy_with_logits(logits, batch.target.nan_to_num(), reduction="none")
        return torch.where(known, each, 0.0).sum() / known.sum().clamp(min=1)

    def random_batch(self, size: int, device: str = "cpu") -> Batch:
        """Random sequences and pairs."""
        batch = super().random_batch(size, device)
        batch.target = torch.where(batch.target.isnan(), batch.target, (batch.target > 0.8).float())
        return batch


@dataclass(frozen=True)
class Structure(PairLabels):
    """Secondary structure: which nucleotides are paired."""

    primary: ClassVar[str] = "f1"
    unit: ClassVar[str] = "an RNA: the F1 of its pairs"
    metrics: ClassVar[Mapping[str, Metric]] = {
        "f1": Metric(
            True,
            "F1 of the pairs i < j of probability above 0.5, mean over RNAs; an RNA without pairs scores 1 if none is "
            "predicted, else 0",
        ),
        "precision": Metric(
            True,
            "share of predicted pairs that are true, mean over RNAs; 0 if none is predicted, but 1 if there is none",
        ),
        "recall": Metric(
            True,
            "share of true pairs that are predicted, mean over RNAs; an RNA without pairs scores 1 if none is "
            "predicted, else 0",
        ),
        "f1_beacon": Metric(
            True,
            "F1 of all entries of all maps pooled, as BEACON codes: long RNAs count most, pairs count twice or are "
            "predicted in one triangle only, the diagonal counts; 0 if nothing is there or predicted",
        ),
    }

    def meter(self) -> Meter:
        """Counts of pairs of each RNA."""
        return StructureMeter()

    def examples(self, prediction: Tensor, batch: Batch) -> dict[str, Any]:
        """Letters, pairs and predicted pairs; of the latter the likeliest, at most one a nucleotide."""
        return _pair_examples(prediction, batch, separation=1, least=0.0)

    @classmethod
    def figure(cls, examples: Examples) -> str:
        """Arc diagram and map of each RNA, as SVG."""
        charts = []
        for name, text, *pairs in samples(examples):
            title = f"{name} test RNA, {len(text)} nt"
            charts += [arc_diagram(title, text, *pairs), pair_map(title, len(text), *pairs)]
        return grid(charts, 2, WIDTH, HEIGHT)


@dataclass(frozen=True)
class Contacts(PairLabels):
    """Contact map: which nucleotides are near each other in space."""

    primary: ClassVar[str] = "p_at_l"
    unit: ClassVar[str] = "an RNA: the precision of its L likeliest pairs; one too short for pairs 24 apart is left out"
    metrics: ClassVar[Mapping[str, Metric]] = {
        "p_at_l": Metric(
            True,
            "precision of an RNA's L (its length) highest logits among pairs with j - i >= 24, or of all such pairs if "
            "fewer, mean over RNAs; ties share the last places; RNAs too short to have such a pair are left out; 0 if "
            "all are",
        ),
        "p_at_l2": Metric(True, "as p_at_l, of the L/2 highest (rounded down, at least one)"),
        "p_at_l5": Metric(True, "as p_at_l, of the L/5 highest (rounded down, at least one)"),
        "p_at_l_beacon": Metric(
            True,
            "as BEACON codes: among pairs with j - i >= 23, of an RNA's L highest logits only those of probability "
            "above 0.5, true and false ones summed over RNAs; 0 where it is undefined, as no such pair is above 0.5",
        ),
    }

    def meter(self) -> Meter:
        """Precisions of each RNA."""
        return ContactMeter()

    def examples(self, prediction: Tensor, batch: Batch) -> dict[str, Any]:
        """Letters, long-range contacts and the L likeliest."""
        return _pair_examples(prediction, batch, separation=LONG_RANGE, least=-torch.inf)

    @classmethod
    def figure(cls, examples: Examples) -> str:
        """Map of each RNA, as SVG."""
        charts = [
            pair_map(f"{name} test RNA, {len(text)} nt: contacts at least {LONG_RANGE} apart", len(text), *pairs)
            for name, text, *pairs in samples(examples)
        ]
        return grid(charts, 3, WIDTH, HEIGHT)


@dataclass(frozen=True)
class Distances(PairMap):
    """Distance map: how far nucleotides are from each other, scaled to 0 to 1."""

    primary: ClassVar[str] = "r2"
    unit: ClassVar[str] = "an RNA: 1 - n SSE / SST, SSE of its pairs and SST of all; the mean over n RNAs is r2"
    metrics: ClassVar[Mapping[str, Metric]] = {
        "r2": Metric(True, "1 - SSE/SST over the pairs i < j of all RNAs; 0 if the truth is constant"),
        "pearson2_beacon": Metric(
            True,
            "squared Pearson correlation over all entries of all maps, as BEACON codes: not symmetrised, with the "
            "diagonal; 0 if prediction or truth is constant",
        ),
        "mse": Metric(False, "mean squared error over the pairs i < j of all RNAs"),
    }

    def loss(self, prediction: Tensor, batch: Batch) -> Tensor:
        """Mean squared error of known entries."""
        known = ~batch.target.isnan()
        errors = torch.where(known, symmetric(prediction) - batch.target, 0.0)
        return errors.square().sum() / known.sum().clamp(min=1)

    def meter(self) -> Meter:
        """Sums over pairs, those of errors RNA by RNA."""
        return DistanceMeter()

    def examples(self, prediction: Tensor, batch: Batch) -> dict[str, Any]:
        """Letters, and both maps at up to 48 x 48 places."""
        kept: dict[str, Any] = {"letters": letters(batch), "truth": [], "prediction": []}
        maps = zip(kept["letters"], batch.target.cpu(), symmetric(prediction).cpu(), strict=True)
        for text, truth, guess in maps:
            places = torch.linspace(0, len(text) - 1, min(len(text), SIDE)).long()
            kept["truth"].append(rounded(truth[places][:, places], 2))
            kept["prediction"].append(rounded(guess[places][:, places], 2))
        return kept

    @classmethod
    def figure(cls, examples: Examples) -> str:
        """Map of each RNA, near pairs dark, as SVG."""

        def near(rows: list[list[float | None]]) -> list[list[float | None]]:
            return [[None if value is None else 1 - value for value in row] for row in rows]

        charts = [
            value_map(f"{name} test RNA, {len(text)} nt: darker is nearer", near(truth), near(guess))
            for name, text, truth, guess in samples(examples)
        ]
        return grid(charts, 3, WIDTH, HEIGHT)


def symmetric(maps: Tensor) -> Tensor:
    """Mean of each entry and its mirror image."""
    return (maps + maps.mT) / 2


def _pair_examples(prediction: Tensor, batch: Batch, separation: int, least: float) -> dict[str, Any]:
    """Pairs at least `separation` apart: the true ones, and the L highest logits above `least`."""
    kept: dict[str, Any] = {"letters": letters(batch), "truth": [], "prediction": []}
    for truth, logits in zip(batch.target.cpu(), symmetric(prediction).cpu(), strict=True):
        far = (~truth.isnan()).triu(separation)
        places = (far & (logits > least)).nonzero()
        best = logits[places[:, 0], places[:, 1]].topk(min(_length(truth), len(places))).indices
        kept["truth"].append((far & (truth > 0.5)).nonzero().tolist())
        kept["prediction"].append(sorted(places[best].tolist()))
    return kept


def _length(target: Tensor) -> int:
    """Nucleotides of a map `(time, time)` of which anything is known."""
    return int((~target.isnan()).any(0).sum())


class StructureMeter:
    """Right, predicted and true pairs: of each RNA, and of all maps pooled as BEACON does."""

    def __init__(self) -> None:
        self.counts: list[Tensor] = []  # (batch, 3)
        self.pooled = torch.zeros(3, dtype=torch.int64)

    def update(self, prediction: Tensor, batch: Batch) -> None:
        """Add the RNAs of a batch."""
        true, known = batch.target > 0.5, ~batch.target.isnan()
        found, coded = (known & (logits.sigmoid() > 0.5) for logits in (symmetric(prediction), prediction))
        self.counts.append(_counts(true.triu(1), found.triu(1)))
        self.pooled += _counts(true, coded).sum(0)

    def scores(self) -> Scores:
        """Means over RNAs."""
        right, found, true = torch.cat(self.counts).unbind(1)
        rightly_none = ((found == 0) & (true == 0)).double()
        f1 = ratio(2 * right, found + true) + rightly_none
        values = {
            "f1": f1.mean().item(),
            "precision": (ratio(right, found) + rightly_none).mean().item(),
            "recall": (ratio(right, true) + rightly_none).mean().item(),
            "f1_beacon": ratio(2 * self.pooled[0], self.pooled[1] + self.pooled[2]).item(),
        }
        return Scores(values, {"f1": f1.tolist()})


def _counts(true: Tensor, found: Tensor) -> Tensor:
    """Entries that are both, found, and true, `(batch, 3)`."""
    return torch.stack([part.sum((1, 2)) for part in (true & found, found, true)], 1).cpu()


class ContactMeter:
    """Precision of the highest logits of each RNA, and BEACON's pooled counts."""

    def __init__(self) -> None:
        self.precisions: list[list[float]] = []  # of the L, L/2 and L/5 highest
        self.right = self.above = 0.0

    def update(self, prediction: Tensor, batch: Batch) -> None:
        """Add the RNAs of a batch."""
        for truth, logits in zip(batch.target.cpu(), symmetric(prediction).cpu(), strict=True):
            length = _length(truth)
            known = ~truth.isnan()
            far, coded = known.triu(LONG_RANGE), known.triu(LONG_RANGE - 1)
            if far.any():
                self.precisions.append([_precision(logits[far], truth[far], length // part) for part in (1, 2, 5)])
            if coded.any():
                high = top(logits[coded], min(length, int(coded.sum()))) * (logits[coded].sigmoid() > 0.5)
                self.right += (high * truth[coded]).sum().item()
                self.above += high.sum().item()

    def scores(self) -> Scores:
        """Means over RNAs."""
        precisions = torch.tensor(self.precisions, dtype=torch.float64).view(-1, 3)
        means = precisions.mean(0).tolist() if len(precisions) else [0.0] * 3
        values = dict(zip(("p_at_l", "p_at_l2", "p_at_l5"), means, strict=True))
        values["p_at_l_beacon"] = self.right / self.above if self.above else 0.0
        return Scores(values, {"p_at_l": precisions[:, 0].tolist()})


def _precision(logits: Tensor, truth: Tensor, k: int) -> float:
    """Share of true ones among the `k` highest, at least one and at most all."""
    k = min(max(k, 1), len(logits))
    return (top(logits, k) * truth).sum().item() / k


class DistanceMeter:
    """Moments of the pairs i < j and of all entries, and squared errors of each RNA."""

    def __init__(self) -> None:
        self.pairs, self.entries = Moments(1), Moments(1)
        self.squares: list[float] = []

    def update(self, prediction: Tensor, batch: Batch) -> None:
        """Add the RNAs of a batch."""
        for truth, guess in zip(batch.target.cpu().double(), prediction.cpu().double(), strict=True):
            upper = (~truth.isnan()).triu(1)
            true, mean = truth[upper], symmetric(guess)[upper]
            self.pairs.add(mean[:, None], true[:, None])
            self.entries.add(guess.reshape(-1, 1), truth.reshape(-1, 1))
            if len(true):
                self.squares.append((mean - true).square().sum().item())

    def scores(self) -> Scores:
        """Pooled over RNAs."""
        total, squares = self.pairs.total, torch.tensor(self.squares, dtype=torch.float64)
        units = ratio(total - len(squares) * squares, total.expand_as(squares))
        values = {"r2": self.pairs.r2, "pearson2_beacon": self.entries.pearson2, "mse": self.pairs.mse}
        return Scores({name: value.item() for name, value in values.items()}, {"r2": units.tolist()})
