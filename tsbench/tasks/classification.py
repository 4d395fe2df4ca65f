"""Classification: one of several classes for each sample."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from torch import Tensor
from torch.nn import functional as F

from tsbench.arcs import letters, samples, text_lines
from tsbench.data import Batch
from tsbench.inputs import Series
from tsbench.measures import matthews, ratio
from tsbench.panels import HEIGHT, WIDTH, class_words, panel, thinned
from tsbench.svg import NAMES, confusion_map, grid, rounded, shortened
from tsbench.tasks.task import Counts, Examples, Labelling, Meter, Metric, Scores

LEAST = 1e-6  # probability of any class, so that a hard decision that is wrong costs 13.8, not infinity
BINS = 10  # of the calibration error
SMALL = 50  # test samples, below which tables show an interval
Z = 1.959963984540054  # 97.5 % quantile of the normal distribution


@dataclass(frozen=True)
class Classification(Labelling):
    """Predict logits `(batch, classes)`; the target is a class, `(batch,)` int64.

    Attributes:
        labels: names of the classes; empty if they have none.
    """

    classes: int
    labels: tuple[str, ...] = ()

    primary: ClassVar[str] = "accuracy"
    unit: ClassVar[str] = "a sample: 1 if its class has the highest logit, else 0"
    metrics: ClassVar[Mapping[str, Metric]] = {
        "accuracy": Metric(True, "share of samples whose class has the highest logit"),
        "balanced_accuracy": Metric(True, "mean recall of the classes that occur among truths"),
        "macro_f1": Metric(True, "mean of the F1 of the classes that occur among truths or predictions"),
        "mcc": Metric(
            True, "Matthews correlation for several classes (Gorodkin 2004); 0 if truths or predictions are all of one"
        ),
        "log_loss": Metric(
            False,
            f"mean negative log probability of the true class; a probability counts as at least {LEAST:g}, so that "
            "models that only decide have a finite one",
        ),
        "calibration_error": Metric(
            False,
            f"expected calibration error (Guo et al. 2017): |accuracy - mean probability| of the predicted class in "
            f"each of {BINS} equal bins of that probability, weighted by the share of samples in the bin",
        ),
    }
    shown: ClassVar[tuple[str, ...]] = ("accuracy", "macro_f1", "log_loss")

    def __post_init__(self) -> None:
        """A record gives its labels as a list."""
        object.__setattr__(self, "labels", tuple(self.labels))

    def loss(self, prediction: Tensor, batch: Batch) -> Tensor:
        """Cross-entropy."""
        return F.cross_entropy(prediction, batch.target)

    def meter(self) -> Meter:
        """Counts of true and predicted classes, sums of probabilities, and which samples are right."""
        return ClassMeter(self.classes)

    def shape(self, batch: Batch) -> tuple[int, ...]:
        """`(batch, classes)`."""
        return len(batch), self.classes

    def random_batch(self, size: int, device: str = "cpu") -> Batch:
        """Random inputs, random classes."""
        inputs, valid, features = self.inputs.random(size, device)
        return Batch(inputs, torch.randint(0, self.classes, (size,), device=device), valid, features)

    @classmethod
    def interval(cls, score: float, samples: int) -> tuple[float, float] | None:
        """Wilson's interval of a share (1927): n is the number of test samples, however many seeds were run."""
        if samples >= SMALL:
            return None
        centre = (score + Z**2 / (2 * samples)) / (1 + Z**2 / samples)
        half = Z / (1 + Z**2 / samples) * math.sqrt(score * (1 - score) / samples + Z**2 / (4 * samples**2))
        return centre - half, centre + half

    def charts(self, tables: Mapping[str, Counts]) -> dict[str, str]:
        """The confusion matrix with the names of the classes."""
        return {name: confusion_map(self._names(), counts) for name, counts in tables.items()}

    def _names(self) -> list[str]:
        return list(self.labels) or [str(i) for i in range(self.classes)]

    def examples(self, prediction: Tensor, batch: Batch) -> dict[str, Any]:
        """True class and probabilities of each sample, with its letters or its series."""
        found = {"truth": batch.target.tolist(), "prediction": rounded(prediction.softmax(-1))}
        if isinstance(self.inputs, Series):
            return {**found, "series": thinned(batch), "labels": self._names()}
        return {**found, "letters": letters(batch)}

    @classmethod
    def figure(cls, examples: Examples) -> str:
        """True class and the likeliest three, sample by sample, as SVG."""
        if "series" in examples:
            return _series_figure(examples)
        lines = []
        for name, text, truth, p in samples(examples):
            words = class_words([str(i) for i in range(len(p))], p)
            lines += [f"{name} test sample: class {truth}; predicted {words}", f"  {shortened(text)}"]
        return text_lines(lines)


def _series_figure(examples: Examples) -> str:
    labels = examples["labels"]
    kept = zip(NAMES, examples["series"], examples["truth"], examples["prediction"], strict=False)
    panels = [
        panel(f"{name} test sample: {labels[truth]}", f"predicted {class_words(labels, p)}", series)
        for name, series, truth, p in kept
    ]
    return grid(panels, len(panels), WIDTH, HEIGHT)


class ClassMeter:
    """A confusion matrix, sums of probabilities in float64, and 1 or 0 for each sample."""

    def __init__(self, classes: int) -> None:
        self.confusion = torch.zeros(classes, classes, dtype=torch.int64)  # (true, predicted)
        self.right: list[float] = []
        self.loss = torch.zeros((), dtype=torch.float64)
        self.excess = torch.zeros(BINS, dtype=torch.float64)  # right ones minus probability, summed in each bin

    def update(self, prediction: Tensor, batch: Batch) -> None:
        """Add the samples of a batch."""
        true, logits = batch.target.cpu(), prediction.cpu().double()
        predicted = logits.argmax(-1)
        classes = len(self.confusion)
        self.confusion += torch.bincount(true * classes + predicted, minlength=classes**2).view(classes, classes)
        right = (true == predicted).double()
        self.right += right.tolist()
        probability = logits.softmax(-1)
        self.loss -= probability.gather(1, true[:, None]).clamp(min=LEAST).log().sum()
        top = probability.amax(-1)
        bins = ((top * BINS).ceil().long() - 1).clamp(0, BINS - 1)  # (0, 0.1], (0.1, 0.2] ...
        self.excess += torch.bincount(bins, weights=right - top, minlength=BINS)

    def scores(self) -> Scores:
        """Shares of what was counted."""
        right, size = self.confusion.diagonal(), self.confusion.sum()
        true, predicted = self.confusion.sum(1), self.confusion.sum(0)
        values = {
            "accuracy": ratio(right.sum(), size),
            "balanced_accuracy": ratio(right, true)[true > 0].mean(),
            "macro_f1": ratio(2 * right, true + predicted)[true + predicted > 0].mean(),
            "mcc": matthews(self.confusion),
            "log_loss": self.loss / size,
            "calibration_error": self.excess.abs().sum() / size,
        }
        return Scores(
            {name: float(value) for name, value in values.items()},
            {"accuracy": self.right},
            {"confusion": self.confusion.tolist()},
        )
