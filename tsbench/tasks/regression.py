"""Regression: one number, or a few, for each sample."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from torch import Tensor
from torch.nn import functional as F

from tsbench.arcs import letters, samples, text_lines
from tsbench.data import Batch
from tsbench.measures import Moments, agreement, ratio
from tsbench.svg import rounded, shortened
from tsbench.tasks.task import Examples, Labelling, Meter, Metric, Scores


@dataclass(frozen=True)
class Regression(Labelling):
    """Predict `(batch, outputs)` float32."""

    outputs: int = 1

    primary: ClassVar[str] = "r2"
    unit: ClassVar[str] = "a sample: 1 - n e^2 / SST, e being its error; the mean over all n samples is r2"
    metrics: ClassVar[Mapping[str, Metric]] = {
        "r2": Metric(True, "1 - SSE/SST, mean over outputs; 0 for an output whose truth is constant"),
        "pearson2": Metric(
            True,
            "squared Pearson correlation, mean over outputs, which BEACON reports as R²: blind to scale, shift and "
            "sign; 0 for an output whose prediction or truth is constant",
        ),
        "spearman": Metric(
            True,
            "Spearman's rank correlation, mean over outputs; ties share their mean rank; 0 for an output whose "
            "prediction or truth is constant",
        ),
        "mse": Metric(False, "mean squared error, mean over outputs"),
        "mae": Metric(False, "mean absolute error, mean over outputs"),
    }

    def loss(self, prediction: Tensor, batch: Batch) -> Tensor:
        """Mean squared error."""
        return F.mse_loss(prediction, batch.target)

    def meter(self) -> Meter:
        """Predictions and truths, one row a sample."""
        return RegressionMeter(self.primary)

    def shape(self, batch: Batch) -> tuple[int, ...]:
        """`(batch, outputs)`."""
        return len(batch), self.outputs

    def random_batch(self, size: int, device: str = "cpu") -> Batch:
        """Random inputs, normal noise."""
        inputs, valid, features = self.inputs.random(size, device)
        return Batch(inputs, torch.randn(size, self.outputs, device=device), valid, features)

    def examples(self, prediction: Tensor, batch: Batch) -> dict[str, Any]:
        """Letters, truth and prediction of each sample."""
        return {"letters": letters(batch), "truth": rounded(batch.target), "prediction": rounded(prediction)}

    @classmethod
    def figure(cls, examples: Examples) -> str:
        """Truth and prediction, sample by sample, as SVG."""
        lines = []
        for name, text, *both in samples(examples):
            truth, prediction = (", ".join(f"{v:g}" for v in values) for values in both)
            lines += [f"{name} test sample: {truth}; predicted {prediction}", f"  {shortened(text)}"]
        return text_lines(lines)


@dataclass(frozen=True)
class RankRegression(Regression):
    """Regression of which the order of samples matters: guide activities, for example."""

    primary: ClassVar[str] = "spearman"
    unit: ClassVar[str] = (
        "a sample: 1 - 6 d^2 / (n^2 - 1), d being the difference of its true and predicted rank (adapted to ties, so "
        "that the mean is spearman)"
    )


@dataclass(frozen=True)
class ProportionRegression(Regression):
    """Regression of proportions, 0 to 1; the prediction is a plain number, trained by mean squared error."""

    metrics: ClassVar[Mapping[str, Metric]] = {
        **Regression.metrics,
        "pearson2_logit": Metric(
            True,
            "squared Pearson correlation of the logits of prediction and truth, both clipped to [1e-7, 1 - 1e-7], mean "
            "over outputs: BEACON's figure, ruled by values near 0 and 1; 0 where either is constant",
        ),
    }

    def meter(self) -> Meter:
        """Predictions and truths, one row a sample."""
        return ProportionMeter(self.primary)


class RegressionMeter:
    """Predictions and truths of all samples: ranks need them at once."""

    def __init__(self, primary: str) -> None:
        self.primary = primary
        self.kept: list[Tensor] = []  # (prediction and truth, batch, outputs)

    def update(self, prediction: Tensor, batch: Batch) -> None:
        """Add the samples of a batch."""
        self.kept.append(torch.stack([prediction, batch.target]).cpu())

    def scores(self) -> Scores:
        """Of all samples; units of the primary metric only."""
        prediction, truth = torch.cat(self.kept, dim=1).double()
        moments = Moments(truth.shape[1])
        moments.add(prediction, truth)
        errors = prediction - truth
        near = torch.stack([agreement(p, t) for p, t in zip(prediction.T, truth.T, strict=True)], 1)
        # Without variation of the truth R² is 0, and so is each sample's share of it.
        units = {"r2": ratio(moments.total - len(truth) * errors.square(), moments.total.expand_as(errors))}
        units["spearman"] = near
        values = {
            "r2": moments.r2,
            "pearson2": moments.pearson2,
            "spearman": near.mean(0),
            "mse": moments.mse,
            "mae": errors.abs().mean(0),
            **self.further(prediction, truth),
        }
        means = {name: value.mean().item() for name, value in values.items()}
        return Scores(means, {self.primary: units[self.primary].mean(1).tolist()})

    def further(self, prediction: Tensor, truth: Tensor) -> dict[str, Tensor]:
        """More metrics of `(samples, outputs)`, each `(outputs,)`."""
        return {}


class ProportionMeter(RegressionMeter):
    """Adds BEACON's correlation of logits."""

    def further(self, prediction: Tensor, truth: Tensor) -> dict[str, Tensor]:
        """`pearson2_logit`."""
        moments = Moments(truth.shape[1])
        moments.add(prediction.logit(1e-7), truth.logit(1e-7))
        return {"pearson2_logit": moments.pearson2}
