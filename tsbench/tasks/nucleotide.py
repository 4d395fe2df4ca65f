"""Nucleotide-level tasks: numbers, a class or the letter itself for each nucleotide of a sequence."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from torch import Tensor
from torch.nn import functional as F

from tsbench.arcs import letters, samples, text_lines
from tsbench.data import Batch
from tsbench.measures import Moments, average_precision, ratio, top
from tsbench.rna.sequences import LETTERS, MASKED
from tsbench.svg import COLOURS, DASHES, Line, grid, line_chart, rounded
from tsbench.tasks.task import Examples, Labelling, Meter, Metric, Scores

SHOWN = 300  # nucleotides of an example that are kept


@dataclass(frozen=True)
class NucleotideRegression(Labelling):
    """Predict `(batch, time, outputs)`; the target is NaN where nothing is scored."""

    outputs: int = 1

    primary: ClassVar[str] = "mcrmse"
    unit: ClassVar[str] = (
        "an RNA: the root of its mean squared error, mean over outputs; one without scores is left out"
    )
    metrics: ClassVar[Mapping[str, Metric]] = {
        "mcrmse": Metric(
            False, "mean over outputs of the root of the mean squared error of all scored nucleotides of the split"
        ),
        "mse_beacon": Metric(
            False,
            "what BEACON's validation calls MCRMSE: mean over outputs of mean((y - ŷ + 1e-6)²), without a root",
        ),
        "r2": Metric(True, "1 - SSE/SST over all scored nucleotides, mean over outputs; 0 where the truth is constant"),
        "pearson2": Metric(
            True,
            "squared Pearson correlation over all scored nucleotides, mean over outputs; 0 where prediction or truth "
            "is constant",
        ),
    }

    def loss(self, prediction: Tensor, batch: Batch) -> Tensor:
        """Root of the mean squared error of an output's scored nucleotides, mean over outputs."""
        squares, counts = _squares(prediction, batch.target)
        # The root has no finite slope at 0.
        return (squares.sum(0) / counts.sum(0).clamp(min=1) + 1e-12).sqrt().mean()

    def meter(self) -> Meter:
        """Sums over nucleotides, those of errors RNA by RNA."""
        return NucleotideMeter(self.outputs)

    def shape(self, batch: Batch) -> tuple[int, ...]:
        """`(batch, time, outputs)`."""
        return len(batch), batch.inputs.shape[-1], self.outputs

    def random_batch(self, size: int, device: str = "cpu") -> Batch:
        """Random sequences, normal noise."""
        inputs, valid, features, real = _random(self, size, device)
        target = torch.randn(*real.shape, self.outputs, device=device)
        return Batch(inputs, target.masked_fill(~real[..., None], float("nan")), valid, features)

    def examples(self, prediction: Tensor, batch: Batch) -> dict[str, Any]:
        """Letters, truth and prediction of each RNA; up to three outputs."""
        texts = [text[:SHOWN] for text in letters(batch)]
        kept = {
            name: [rounded(v[: len(t), :3].T) for v, t in zip(values, texts, strict=True)]
            for name, values in (("truth", batch.target), ("prediction", prediction))
        }
        return {"letters": texts, **kept}

    @classmethod
    def figure(cls, examples: Examples) -> str:
        """Truth and prediction along each RNA (rows), output by output (columns), as SVG."""
        charts = []
        for name, _, truths, predictions in samples(examples):
            for output, both in enumerate(zip(truths, predictions, strict=True)):
                truth, prediction = ([float("nan") if v is None else v for v in values] for values in both)
                lines = [Line("truth", truth, "#000000"), Line("prediction", prediction, COLOURS[1], DASHES[1])]
                charts.append(line_chart(f"{name} test RNA, output {output}", lines, x_label="nt"))
        return grid(charts, columns=len(examples["truth"][0]))


@dataclass(frozen=True)
class Imputation(NucleotideRegression):
    """Fill in values that were not measured; only those are scored."""

    primary: ClassVar[str] = "r2"
    unit: ClassVar[str] = "an RNA: 1 - n SSE / SST, SSE of its nucleotides and SST of all; the mean over n RNAs is r2"
    metrics: ClassVar[Mapping[str, Metric]] = {
        "r2": NucleotideRegression.metrics["r2"],
        "pearson2": NucleotideRegression.metrics["pearson2"],
        "mse": Metric(False, "mean squared error of all scored nucleotides, mean over outputs"),
    }

    def loss(self, prediction: Tensor, batch: Batch) -> Tensor:
        """Mean squared error of the scored nucleotides."""
        squares, counts = _squares(prediction, batch.target)
        return squares.sum() / counts.sum().clamp(min=1)

    def meter(self) -> Meter:
        """Sums over nucleotides, those of errors RNA by RNA."""
        return ImputationMeter(self.outputs)


@dataclass(frozen=True)
class NucleotideClassification(Labelling):
    """Predict logits `(batch, time, classes)`; the target is a class, `(batch, time)` int64, -1 where none is scored.

    Class 0 is the background; nucleotides of the others are called sites.
    """

    classes: int

    primary: ClassVar[str] = "top_k"
    unit: ClassVar[str] = "a sequence: the share of its sites that top_k finds; one without sites is left out"
    metrics: ClassVar[Mapping[str, Metric]] = {
        "top_k": Metric(
            True,
            "for each class but 0, of which the split has k sites: the share of them among the k nucleotides with its "
            "highest probability; mean over those classes that have sites; ties share the last places",
        ),
        "top_k_beacon": Metric(True, "as top_k, but by the highest logit of the class, as BEACON codes"),
        "average_precision": Metric(True, "average precision of each class but 0 that has sites, mean over them"),
        "accuracy": Metric(True, "share of scored nucleotides whose class has the highest logit"),
    }

    def loss(self, prediction: Tensor, batch: Batch) -> Tensor:
        """Cross-entropy, mean over scored nucleotides."""
        return _cross_entropy(prediction, batch.target).sum() / (batch.target >= 0).sum().clamp(min=1)

    def meter(self) -> Meter:
        """Scores of the sites' classes at all scored nucleotides."""
        return SiteMeter()

    def shape(self, batch: Batch) -> tuple[int, ...]:
        """`(batch, time, classes)`."""
        return len(batch), batch.inputs.shape[-1], self.classes

    def random_batch(self, size: int, device: str = "cpu") -> Batch:
        """Random sequences, random classes."""
        inputs, valid, features, real = _random(self, size, device)
        target = torch.randint(0, self.classes, real.shape, device=device)
        return Batch(inputs, target.masked_fill(~real, -1), valid, features)

    def examples(self, prediction: Tensor, batch: Batch) -> dict[str, Any]:
        """Letters, classes and probabilities of each sequence."""
        texts = [text[:SHOWN] for text in letters(batch)]
        truth = [t[: len(text)].tolist() for t, text in zip(batch.target, texts, strict=True)]
        p = [rounded(p[: len(text), 1:4].T) for p, text in zip(prediction.softmax(-1), texts, strict=True)]
        return {"letters": texts, "truth": truth, "prediction": p}

    @classmethod
    def figure(cls, examples: Examples) -> str:
        """Sites and their probability along each sequence (rows), class by class (columns), as SVG."""
        charts = []
        for name, _, truth, predictions in samples(examples):
            for number, prediction in enumerate(predictions, start=1):
                sites = Line("truth", [float(label == number) for label in truth], "#000000")
                lines = [sites, Line("prediction", prediction, COLOURS[1], DASHES[1])]
                charts.append(line_chart(f"{name} test sequence, class {number}", lines, x_label="nt"))
        return grid(charts, columns=len(examples["prediction"][0]))


@dataclass(frozen=True)
class MaskedNucleotides(Labelling):
    """Guess hidden nucleotides: logits `(batch, time, 4)`; the target is the code 0..3 of the hidden, else -1."""

    primary: ClassVar[str] = "nats"
    unit: ClassVar[str] = "a sequence: the mean cross-entropy of its masked nucleotides; one without any is left out"
    metrics: ClassVar[Mapping[str, Metric]] = {
        "nats": Metric(
            False, "mean cross-entropy of all masked nucleotides, in nats; guessing evenly costs ln 4 = 1.386"
        ),
        "accuracy": Metric(True, "share of all masked nucleotides that have the highest logit"),
    }

    def loss(self, prediction: Tensor, batch: Batch) -> Tensor:
        """Cross-entropy, mean over masked nucleotides."""
        return _cross_entropy(prediction, batch.target).sum() / (batch.target >= 0).sum().clamp(min=1)

    def meter(self) -> Meter:
        """Sums of each sequence."""
        return MaskedMeter()

    def shape(self, batch: Batch) -> tuple[int, ...]:
        """`(batch, time, 4)`."""
        return len(batch), batch.inputs.shape[-1], 4

    def random_batch(self, size: int, device: str = "cpu") -> Batch:
        """Random sequences, about 15 % of them hidden."""
        inputs, valid, features, real = _random(self, size, device)
        hidden = (torch.rand(real.shape, device=device) < 0.15) & real
        target = inputs[:, 0].masked_fill(~hidden, -1)
        return Batch(inputs.masked_fill(hidden[:, None], MASKED), target, valid, features)

    def examples(self, prediction: Tensor, batch: Batch) -> dict[str, Any]:
        """Of each sequence: its letters with `?` for the hidden, those hidden, and those guessed."""
        kept: dict[str, Any] = {"letters": [text[:90] for text in letters(batch)]}
        for name, codes in (("truth", batch.target), ("prediction", prediction.argmax(-1))):
            kept[name] = [
                "".join(LETTERS[code] if hidden >= 0 else " " for code, hidden in zip(row, target, strict=True))[
                    : len(text)
                ]
                for row, target, text in zip(codes.tolist(), batch.target.tolist(), kept["letters"], strict=True)
            ]
        return kept

    @classmethod
    def figure(cls, examples: Examples) -> str:
        """Hidden and guessed letters below each sequence, as SVG."""
        lines = []
        for name, *texts in samples(examples):
            lines.append(f"{name} test sequence")
            lines += [f"{label:>9} {text}" for label, text in zip(("given", "hidden", "guessed"), texts, strict=True)]
        return text_lines(lines)


def _random(task: Labelling, size: int, device: str) -> tuple[Tensor, Tensor | None, Tensor | None, Tensor]:
    """Random inputs, validity, features, and where the first sequence is real, `(batch, time)`."""
    inputs, valid, features = task.inputs.random(size, device)
    return inputs, valid, features, torch.ones_like(inputs[:, 0], dtype=torch.bool) if valid is None else valid[:, 0]


def _squares(prediction: Tensor, target: Tensor) -> tuple[Tensor, Tensor]:
    """Squared errors of each RNA's scored nucleotides, summed, and how many these are, both `(batch, outputs)`."""
    scored = ~target.isnan()
    errors = torch.where(scored, prediction - target, 0.0)  # before the square, or NaN would reach the gradient
    return errors.square().sum(1), scored.sum(1)


def _cross_entropy(prediction: Tensor, target: Tensor) -> Tensor:
    """Cross-entropy of each nucleotide, `(batch, time)`, 0 where none is scored."""
    return F.cross_entropy(prediction.mT, target, ignore_index=-1, reduction="none")


class NucleotideMeter:
    """Moments of all scored nucleotides, and squared errors of each RNA."""

    def __init__(self, outputs: int) -> None:
        self.moments = Moments(outputs)
        self.squares: list[Tensor] = []  # (batch, outputs)
        self.counts: list[Tensor] = []

    def update(self, prediction: Tensor, batch: Batch) -> None:
        """Add the RNAs of a batch."""
        prediction, target = prediction.cpu().double(), batch.target.cpu().double()
        self.moments.add(prediction.flatten(0, 1), target.flatten(0, 1))
        squares, counts = _squares(prediction, target)
        self.squares.append(squares)
        self.counts.append(counts)

    def scores(self) -> Scores:
        """Over all scored nucleotides; units RNA by RNA."""
        of_all, (squares, counts) = self.moments, self.scored()
        bias = of_all.mean[1] - of_all.mean[0]
        values = {
            "mcrmse": of_all.mse.sqrt(),
            "mse_beacon": of_all.mse + 2e-6 * bias + 1e-12,
            "r2": of_all.r2,
            "pearson2": of_all.pearson2,
        }
        units = ratio(ratio(squares, counts).sqrt().sum(1), (counts > 0).sum(1))
        return Scores({name: value.mean().item() for name, value in values.items()}, {"mcrmse": units.tolist()})

    def scored(self) -> tuple[Tensor, Tensor]:
        """Squared errors and counts of the RNAs that have scored nucleotides, `(RNAs, outputs)`."""
        squares, counts = torch.cat(self.squares), torch.cat(self.counts)
        there = counts.any(1)
        return squares[there], counts[there]


class ImputationMeter(NucleotideMeter):
    """As NucleotideMeter, with other metrics."""

    def scores(self) -> Scores:
        """Over all scored nucleotides; units RNA by RNA."""
        squares, _ = self.scored()
        total = self.moments.total
        values = {"r2": self.moments.r2, "pearson2": self.moments.pearson2, "mse": self.moments.mse}
        units = ratio(total - len(squares) * squares, total.expand_as(squares)).mean(1)
        return Scores({name: value.mean().item() for name, value in values.items()}, {"r2": units.tolist()})


class SiteMeter:
    """Logits at all scored nucleotides, for ranking them at once."""

    def __init__(self) -> None:
        self.logits: list[Tensor] = []  # (nucleotides, classes)
        self.truths: list[Tensor] = []  # (nucleotides,)
        self.lengths: list[Tensor] = []  # scored nucleotides of each sequence
        self.right = 0

    def update(self, prediction: Tensor, batch: Batch) -> None:
        """Add the sequences of a batch."""
        target, prediction = batch.target.cpu(), prediction.cpu().float()
        scored = target >= 0
        logits, truth = prediction[scored], target[scored]
        self.logits.append(logits)
        self.truths.append(truth)
        self.lengths.append(scored.sum(1))
        self.right += int((logits.argmax(-1) == truth).sum())

    def scores(self) -> Scores:
        """Class by class; units sequence by sequence."""
        truths, lengths = torch.cat(self.truths), torch.cat(self.lengths)
        logits = torch.cat(self.logits)
        probabilities = logits.softmax(-1)
        found = torch.zeros(len(truths), dtype=torch.float64)  # 1 for a site among its class's top k
        per_class = []
        for number in range(1, logits.shape[1]):
            sites = truths == number
            if k := int(sites.sum()):
                p, logit = probabilities[:, number], logits[:, number]
                hits = top(p, k) * sites
                found += hits
                coded = (top(logit, k) * sites).sum()
                per_class.append(torch.stack([hits.sum() / k, coded / k, average_precision(p, sites)]))
        means = torch.stack(per_class).mean(0).tolist() if per_class else [0.0] * 3
        values = dict(zip(("top_k", "top_k_beacon", "average_precision"), means, strict=True))
        sequence = torch.arange(len(lengths)).repeat_interleave(lengths)
        all_sites, hit = (
            torch.bincount(sequence, weights=weights, minlength=len(lengths))
            for weights in ((truths > 0).double(), found)
        )
        units = (hit / all_sites)[all_sites > 0]
        return Scores({**values, "accuracy": self.right / max(len(truths), 1)}, {"top_k": units.tolist()})


class MaskedMeter:
    """Cross-entropy, right guesses and masked nucleotides of each sequence."""

    def __init__(self) -> None:
        self.sums: list[Tensor] = []  # (batch, 3)

    def update(self, prediction: Tensor, batch: Batch) -> None:
        """Add the sequences of a batch."""
        prediction, target = prediction.cpu().double(), batch.target.cpu()
        right = prediction.argmax(-1) == target
        parts = [_cross_entropy(prediction, target), right, target >= 0]
        self.sums.append(torch.stack([part.double().sum(1) for part in parts], 1))

    def scores(self) -> Scores:
        """Over all masked nucleotides; units sequence by sequence."""
        sums = torch.cat(self.sums)
        nats, right, count = sums.sum(0)
        units = (sums[:, 0] / sums[:, 2])[sums[:, 2] > 0]
        return Scores(
            {"nats": ratio(nats, count).item(), "accuracy": ratio(right, count).item()}, {"nats": units.tolist()}
        )
