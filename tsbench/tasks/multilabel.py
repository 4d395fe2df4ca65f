"""Multi-label classification: several labels for each sample, each present or not."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from torch import Tensor
from torch.nn import functional as F

from tsbench.arcs import letters, samples, text_lines
from tsbench.data import Batch
from tsbench.measures import matthews, roc_auc
from tsbench.svg import rounded, shortened
from tsbench.tasks.task import Examples, Labelling, Meter, Metric, Scores


@dataclass(frozen=True)
class MultiLabel(Labelling):
    """Predict logits `(batch, labels)`; the target is 0 or 1, `(batch, labels)` float32."""

    labels: int

    primary: ClassVar[str] = "auc"
    unit: ClassVar[str] = "a label that has both classes: its AUC over all samples, as a sample alone has none"
    metrics: ClassVar[Mapping[str, Metric]] = {
        "auc": Metric(True, "area under the ROC curve, mean over the labels that have both classes; 0.5 if none has"),
        "auc_undefined": Metric(False, "number of labels left out of auc, as all samples have them or none has"),
        "auc_beacon": Metric(
            True, "area under the ROC curve, mean over all labels, 0.5 where undefined, as BEACON codes"
        ),
        "mcc": Metric(True, "Matthews correlation at probability 0.5 (logit > 0), mean over labels; 0 where undefined"),
    }

    def loss(self, prediction: Tensor, batch: Batch) -> Tensor:
        """Binary cross-entropy, mean over labels."""
        return F.binary_cross_entropy_with_logits(prediction, batch.target)

    def meter(self) -> Meter:
        """Logits and labels, one row a sample."""
        return LabelMeter()

    def shape(self, batch: Batch) -> tuple[int, ...]:
        """`(batch, labels)`."""
        return len(batch), self.labels

    def random_batch(self, size: int, device: str = "cpu") -> Batch:
        """Random inputs, random labels."""
        inputs, valid, features = self.inputs.random(size, device)
        return Batch(inputs, torch.randint(0, 2, (size, self.labels), device=device).float(), valid, features)

    def examples(self, prediction: Tensor, batch: Batch) -> dict[str, Any]:
        """Letters, labels and probabilities of each sample."""
        truth = batch.target.long().tolist()
        return {"letters": letters(batch), "truth": truth, "prediction": rounded(prediction.sigmoid())}

    @classmethod
    def figure(cls, examples: Examples) -> str:
        """Labels there and labels predicted, sample by sample, as SVG."""
        lines = []
        for name, text, truth, p in samples(examples):
            there = ", ".join(str(i) for i, label in enumerate(truth) if label) or "none"
            guesses = ", ".join(f"{i} ({v:.2f})" for i, v in enumerate(p) if v > 0.5) or "none"
            lines += [f"{name} test sample: labels {there}; predicted {guesses}", f"  {shortened(text)}"]
        return text_lines(lines)


class LabelMeter:
    """Logits and labels of all samples: the area under a curve needs them at once."""

    def __init__(self) -> None:
        self.logits: list[Tensor] = []
        self.truths: list[Tensor] = []

    def update(self, prediction: Tensor, batch: Batch) -> None:
        """Add the samples of a batch."""
        self.logits.append(prediction.cpu())
        self.truths.append(batch.target.cpu() > 0.5)

    def scores(self) -> Scores:
        """Label by label."""
        logits, truths = torch.cat(self.logits), torch.cat(self.truths)  # (samples, labels)
        areas = torch.stack([roc_auc(x, y) for x, y in zip(logits.T, truths.T, strict=True)])
        defined = areas[~areas.isnan()]
        found = logits > 0
        cells = [[~truths & ~found, ~truths & found], [truths & ~found, truths & found]]
        confusion = torch.stack([torch.stack([cell.sum(0) for cell in row], -1) for row in cells], -2)
        values = {
            "auc": defined.mean().item() if len(defined) else 0.5,
            "auc_undefined": float(len(areas) - len(defined)),
            "auc_beacon": areas.nan_to_num(0.5).mean().item(),
            "mcc": matthews(confusion).mean().item(),
        }
        return Scores(values, {"auc": defined.tolist()})
