"""The five defects of BEACON's official code that change published numbers: ours passes, the defective form fails.

Found by reading and running terry-r123/RNABenchmark@da7f9c7 (docs/rna.md). Each check is a function of one form; it is
run on ours and, to show that it can fail, on the form that the official code has.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import pytest
import torch
from torch import Tensor

from tsbench.data import Batch
from tsbench.inputs import NucleotidePair, Nucleotides
from tsbench.model import Run
from tsbench.models.rna_transformer import RnaTransformer, RnaTransformerConfig
from tsbench.plugins import names
from tsbench.position import PACKAGE, PositionEncoding, encoding_kind
from tsbench.tasks.nucleotide import NucleotideRegression
from tsbench.tasks.regression import RankRegression
from tsbench.tasks.task import Task
from tsbench.train import TrainConfig, train

Predict = Callable[[Batch], Tensor]
GUIDES = ["ACGUACGUACGUACGUACGUAGG", "GGGUGGGGGGAGUUUGCUCCUGG"]


def model(task: Task, **settings: object) -> RnaTransformer:
    torch.manual_seed(0)
    made = RnaTransformer(task, RnaTransformerConfig(layers=2, width=32, heads=4, **settings))  # type: ignore[arg-type]
    made.tokenizer.train(["ACGUACGGUUACGACGAUUUACGGCAUUUACGAC" * 3] * 4)
    return made.eval()


# 1. The collator of the off-target task passes the guide twice: the model never sees the target site.


def sees_the_target(predict: Predict) -> None:
    batch = RankRegression(NucleotidePair(23), 1).random_batch(4)
    changed = Batch(batch.inputs.clone(), batch.target, batch.valid)
    changed.inputs[:, 1] = (changed.inputs[:, 1] + 1) % 4
    assert not torch.allclose(predict(batch), predict(changed), atol=1e-6)


def test_defect_1_the_target_site_is_seen() -> None:
    ours = model(RankRegression(NucleotidePair(23), 1))
    sees_the_target(ours.predict)

    def guide_twice(batch: Batch) -> Tensor:
        return ours.predict(Batch(batch.inputs[:, [0, 0]], batch.target, batch.valid))

    with pytest.raises(AssertionError):
        sees_the_target(guide_twice)


# 2. Configurations say `rope`, the attention tests for `rotary`: no rotation, no position signal at all.


def knows_the_order(predict: Predict) -> None:
    batch = RankRegression(Nucleotides(23), 1).random_batch(4)
    batch.valid = None
    mixed = Batch(batch.inputs[..., torch.randperm(23)], batch.target)
    assert (predict(batch) - predict(mixed)).abs().max() > 1e-4


@pytest.mark.parametrize("positions", [n for n in names(PACKAGE) if not encoding_kind(n)[0].orderless])
def test_defect_2_rope_and_all_others_know_the_order(positions: str) -> None:
    ours = model(RankRegression(Nucleotides(23), 1), positions=positions)
    encoder: Any = ours.body.encoder
    for parameter in encoder.parameters():  # away from BERT's small initial values, so that order shows
        torch.nn.init.normal_(parameter, std=0.3)
    knows_the_order(ours.predict)
    encoder.encoding = PositionEncoding(32, 4, None)  # what an unknown name silently gave
    with pytest.raises(AssertionError):
        knows_the_order(ours.predict)


# 3. Nucleotide heads of BPE and non-overlapping tokens write only where a token is one nucleotide long.


def gives_every_nucleotide_a_value(predict: Predict) -> None:
    batch = NucleotideRegression(Nucleotides(60), 2).random_batch(3)
    prediction = predict(batch)
    assert prediction.shape == (3, 60, 2)
    assert batch.valid is not None
    assert (prediction[batch.valid[:, 0]] != 0).all()
    different = prediction[0].unique(dim=0)
    assert len(different) > 50  # neighbours in one token differ, too


@pytest.mark.parametrize("tokenizer", ["blocks(k=6)", "bpe(vocabulary=64)", "overlapping(k=3)", "single"])
def test_defect_3_every_nucleotide_gets_a_value(tokenizer: str) -> None:
    ours = model(NucleotideRegression(Nucleotides(60), 2), tokenizer=tokenizer)
    gives_every_nucleotide_a_value(ours.predict)

    def only_single_tokens(batch: Batch) -> Tensor:
        tokens = ours.tokenizer(batch.inputs[:, 0], torch.ones_like(batch.inputs[:, 0], dtype=torch.bool))
        written = torch.zeros(len(batch), batch.inputs.shape[-1], 2)
        for row, place in (tokens.length == 1).nonzero().tolist():
            written[row, min(place, written.shape[1] - 1)] = 1.0  # by the token's place, not the nucleotide's
        return written

    with pytest.raises(AssertionError):
        gives_every_nucleotide_a_value(only_single_tokens)


# 5. The validation score called MCRMSE is a mean of squared errors: no root.


def is_a_root(score: Callable[[Tensor, Tensor], float]) -> None:
    truth = torch.randn(4, 30, 3)
    error = score(truth + 0.5, truth)
    assert error == pytest.approx(0.5, abs=1e-4)
    assert score(truth + 1.0, truth) == pytest.approx(2 * error, abs=1e-4)  # twice the error, twice the score


def test_defect_5_mcrmse_has_its_root() -> None:
    task = NucleotideRegression(Nucleotides(30), 3)

    def scored(metric: str) -> Callable[[Tensor, Tensor], float]:
        def score(prediction: Tensor, truth: Tensor) -> float:
            meter = task.meter()
            meter.update(prediction, Batch(torch.zeros(4, 1, 30, dtype=torch.int64), truth))
            return meter.scores().values[metric]

        return score

    is_a_root(scored("mcrmse"))
    with pytest.raises(AssertionError):
        is_a_root(scored("mse_beacon"))  # the published form, kept beside ours under its own name


# 6. Early stopping of the pair tasks begins to count anew whenever an epoch beats the one before, not the best.


def stops_after(patience: int, validation: Sequence[float], stop: Callable[[Sequence[float], int], int]) -> None:
    best = max(range(len(validation)), key=lambda i: validation[i])
    assert stop(validation, patience) == best + 1 + patience


def test_defect_6_patience_counts_from_the_best_epoch(monkeypatch: pytest.MonkeyPatch) -> None:
    scores = [0.2, 0.9, 0.5, 0.6, 0.5, 0.6, 0.5, 0.6, 0.5, 0.6]

    def ours(validation: Sequence[float], patience: int) -> int:
        from tsbench.models.linear import Linear, LinearConfig
        from tsbench.registry import find_datasets

        splits = find_datasets("generated/seasonal/12")[0].load(None, "full")  # type: ignore[arg-type]
        task: Any = splits.task
        fitted = Linear(task, LinearConfig(epochs=len(validation), patience=patience))
        given = iter([-v for v in validation])  # a forecast's error: lower is better
        monkeypatch.setattr("tsbench.train._validation_score", lambda *a: next(given))
        run = Run()
        train(fitted, splits.train, splits.validation, run)
        return len(run.curves)

    def against_the_previous(validation: Sequence[float], patience: int) -> int:
        stale = 0
        for epoch, score in enumerate(validation[1:], 2):
            stale = 0 if score > validation[epoch - 2] else stale + 1
            if stale == patience:
                return epoch
        return len(validation)

    assert TrainConfig().patience == 3
    stops_after(3, scores, ours)
    with pytest.raises(AssertionError):
        stops_after(3, scores, against_the_previous)
