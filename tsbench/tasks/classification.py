"""Classification: one of several classes for each sample."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from torch import Tensor
from torch.nn import functional as F

from tsbench.arcs import letters, rounded, samples, shortened, text_lines
from tsbench.data import Batch
from tsbench.measures import matthews, ratio
from tsbench.tasks.task import Examples, Labelling, Meter, Metric, Scores


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
        "macro_f1": Metric(True, "mean of the F1 of the classes that occur among truths or predictions"),
        "mcc": Metric(
            True, "Matthews correlation for several classes (Gorodkin 2004); 0 if truths or predictions are all of one"
        ),
    }

    def loss(self, prediction: Tensor, batch: Batch) -> Tensor:
        """Cross-entropy."""
        return F.cross_entropy(prediction, batch.target)

    def meter(self) -> Meter:
        """Counts of true and predicted classes, and which samples are right."""
        return ClassMeter(self.classes)

    def shape(self, batch: Batch) -> tuple[int, ...]:
        """`(batch, classes)`."""
        return len(batch), self.classes

    def random_batch(self, size: int, device: str = "cpu") -> Batch:
        """Random inputs, random classes."""
        inputs, valid, features = self.inputs.random(size, device)
        return Batch(inputs, torch.randint(0, self.classes, (size,), device=device), valid, features)

    def examples(self, prediction: Tensor, batch: Batch) -> dict[str, Any]:
        """Letters, true class and probabilities of each sample."""
        probabilities = rounded(prediction.softmax(-1))
        return {"letters": letters(batch), "truth": batch.target.tolist(), "prediction": probabilities}

    @classmethod
    def figure(cls, examples: Examples) -> str:
        """True class and the likeliest three, sample by sample, as SVG."""
        lines = []
        for name, text, truth, p in samples(examples):
            likely = sorted(range(len(p)), key=lambda i: -p[i])[:3]
            guesses = ", ".join(f"{i} ({p[i]:.2f})" for i in likely)
            lines += [f"{name} test sample: class {truth}; predicted {guesses}", f"  {shortened(text)}"]
        return text_lines(lines)


class ClassMeter:
    """A confusion matrix, and 1 or 0 for each sample."""

    def __init__(self, classes: int) -> None:
        self.confusion = torch.zeros(classes, classes, dtype=torch.int64)  # (true, predicted)
        self.right: list[float] = []

    def update(self, prediction: Tensor, batch: Batch) -> None:
        """Add the samples of a batch."""
        true, predicted = batch.target.cpu(), prediction.argmax(-1).cpu()
        classes = len(self.confusion)
        self.confusion += torch.bincount(true * classes + predicted, minlength=classes**2).view(classes, classes)
        self.right += (true == predicted).double().tolist()

    def scores(self) -> Scores:
        """From the confusion matrix."""
        right = self.confusion.diagonal()
        counts = self.confusion.sum(0) + self.confusion.sum(1)  # true and predicted, each class
        values = {
            "accuracy": ratio(right.sum(), self.confusion.sum()),
            "macro_f1": ratio(2 * right, counts)[counts > 0].mean(),
            "mcc": matthews(self.confusion),
        }
        return Scores({name: float(value) for name, value in values.items()}, {"accuracy": self.right})
