"""Labelling tasks: metrics against scipy and scikit-learn, hand-made cases, cuts into batches, padding, devices."""

from __future__ import annotations

import json
import math
import warnings
import xml.etree.ElementTree as ET
from dataclasses import replace

import numpy as np
import pytest
import torch
from scipy.stats import pearsonr, spearmanr
from sklearn import metrics as sk
from torch import Tensor
from torch.nn.functional import pad

from tsbench.data import Batch
from tsbench.inputs import NucleotidePair, Nucleotides, Series
from tsbench.measures import Moments, average_precision, top
from tsbench.registry import task_from_record, task_kinds
from tsbench.tasks.classification import Classification
from tsbench.tasks.multilabel import MultiLabel
from tsbench.tasks.nucleotide import Imputation, MaskedNucleotides, NucleotideClassification, NucleotideRegression
from tsbench.tasks.pairs import Contacts, Distances, Structure
from tsbench.tasks.regression import ProportionRegression, RankRegression, Regression
from tsbench.tasks.task import Labelling, Scores

RNA = Nucleotides(40, features=2)
TASKS: list[Labelling] = [
    Classification(RNA, 5), Classification(Series(30, 3), 4), Regression(RNA, 3), RankRegression(NucleotidePair(23), 1),
    ProportionRegression(RNA, 1), MultiLabel(RNA, 6), NucleotideRegression(RNA, 3), Imputation(RNA, 1),
    NucleotideClassification(RNA, 3), MaskedNucleotides(RNA), Structure(RNA), Contacts(RNA), Distances(RNA),
]  # fmt: skip
POSITIONED = TASKS[6:]  # those with a value for each nucleotide or pair
each_task = pytest.mark.parametrize(
    "task", TASKS, ids=lambda task: f"{type(task).__name__}-{type(task.inputs).__name__}"
)


def drawn(task: Labelling, size: int = 12, seed: int = 0) -> tuple[Tensor, Batch]:
    """Random prediction and batch."""
    torch.manual_seed(seed)
    batch = task.random_batch(size)
    return torch.randn(task.shape(batch)), batch


def cut(batch: Batch, rows: slice) -> Batch:
    return batch.map(lambda tensor: tensor[rows])


def scored(task: Labelling, *parts: tuple[Tensor, Batch]) -> Scores:
    meter = task.meter()
    for prediction, batch in parts:
        meter.update(prediction, batch)
    return meter.scores()


def of(task: Labelling, prediction: Tensor, target: Tensor) -> Scores:
    """Scores of tensors of one's own."""
    return scored(task, (prediction, Batch(torch.zeros(len(target), 1, target.shape[-1], dtype=torch.int64), target)))


@each_task
def test_scores_are_of_the_whole_split_however_it_is_cut(task: Labelling) -> None:
    prediction, batch = drawn(task)
    whole = scored(task, (prediction, batch))
    assert set(whole.values) == set(task.metrics)
    assert all(math.isfinite(value) for value in whole.values.values())
    for size in (1, 5):
        pieces = [slice(i, i + size) for i in range(0, len(batch), size)]
        parts = scored(task, *((prediction[rows], cut(batch, rows)) for rows in pieces))
        assert parts.values == pytest.approx(whole.values, abs=1e-9)
        assert parts.units[task.primary] == pytest.approx(whole.units[task.primary], abs=1e-9)


@each_task
def test_units_average_to_the_metric(task: Labelling) -> None:
    """Except where each RNA weighs the same in units but not in the metric, which `unit` says."""
    scores = scored(task, drawn(task))
    mean = np.mean(scores.units[task.primary])
    pooled = (NucleotideRegression, NucleotideClassification, MaskedNucleotides)
    inexact = isinstance(task, pooled) and not isinstance(task, Imputation)
    assert mean == pytest.approx(scores.values[task.primary], abs=0.1 if inexact else 1e-9)


@pytest.mark.parametrize("task", POSITIONED, ids=lambda task: type(task).__name__)
def test_padding_changes_neither_loss_nor_scores(task: Labelling) -> None:
    prediction, batch = drawn(task)
    axes = 2 if prediction.shape[1] == prediction.shape[2] else 1  # of time
    nothing = float("nan") if batch.target.is_floating_point() else -1
    after_output = [0, 0] * (prediction.ndim - 1 - axes)
    longer = pad(prediction, [*after_output, *[0, 7] * axes], value=3.0)
    after_output = [0, 0] * (batch.target.ndim - 1 - axes)
    target = pad(batch.target, [*after_output, *[0, 7] * axes], value=nothing)
    assert batch.valid is not None
    padded = replace(batch, inputs=pad(batch.inputs, (0, 7)), target=target, valid=pad(batch.valid, (0, 7)))
    assert task.loss(longer, padded).item() == pytest.approx(task.loss(prediction, batch).item(), rel=1e-6)
    assert scored(task, (longer, padded)).values == pytest.approx(scored(task, (prediction, batch)).values, abs=1e-12)


@each_task
def test_losses_and_gradients_are_finite_even_where_nothing_is_scored(task: Labelling) -> None:
    prediction, batch = drawn(task)
    cases = [batch]
    if task in POSITIONED:
        nothing = float("nan") if batch.target.is_floating_point() else -1
        some, all_hidden = batch.target.clone(), torch.full_like(batch.target, nothing)
        some[0] = nothing
        cases += [replace(batch, target=target) for target in (some, all_hidden)]
    exact = batch.target.nan_to_num() if batch.target.shape == prediction.shape else prediction
    for case in cases:
        for values in (prediction, exact, torch.zeros_like(prediction)):
            leaf = values.clone().requires_grad_()
            loss = task.loss(leaf, case)
            loss.backward()
            assert leaf.grad is not None
            assert loss.isfinite()
            assert leaf.grad.isfinite().all()


@each_task
def test_loss_on_meta_records_and_pictures(task: Labelling) -> None:
    on_meta = task.random_batch(3, "meta")
    prediction = torch.randn(task.shape(on_meta), device="meta", requires_grad=True)
    task.loss(prediction, on_meta).backward()
    assert task_from_record(json.loads(json.dumps(task.record()))) == task
    assert task_kinds()[type(task).__name__] is type(task)
    prediction, batch = drawn(task, 3)
    text = json.dumps(task.examples(prediction, batch), allow_nan=False)
    assert len(text) < 120_000
    ET.fromstring(type(task).figure(json.loads(text)))


@pytest.mark.parametrize("step", [0, 0.5])  # the latter makes ties
def test_regression_against_scipy(step: float) -> None:
    torch.manual_seed(1)
    truth = torch.rand(50, 2)
    prediction = 0.3 * truth + 0.5 * torch.rand(50, 2)
    if step:
        truth, prediction = ((v / step).round() * step for v in (truth, prediction))
    found = of(ProportionRegression(RNA, 2), prediction, truth)
    x, y = prediction.double().numpy(), truth.double().numpy()
    logit_x, logit_y = (np.log(v / (1 - v)) for v in (np.clip(v, 1e-7, 1 - 1e-7) for v in (x, y)))
    each = range(2)
    assert found.values == pytest.approx({
        "r2": sk.r2_score(y, x),
        "pearson2": np.mean([pearsonr(x[:, i], y[:, i])[0] ** 2 for i in each]),
        "spearman": np.mean([spearmanr(x[:, i], y[:, i])[0] for i in each]),
        "mse": sk.mean_squared_error(y, x),
        "mae": sk.mean_absolute_error(y, x),
        "pearson2_logit": np.mean([pearsonr(logit_x[:, i], logit_y[:, i])[0] ** 2 for i in each]),
    })  # fmt: skip


def test_rank_units_without_ties_are_the_textbook_formula() -> None:
    truth, prediction = torch.tensor([[1.0], [2.0], [3.0], [4.0]]), torch.tensor([[0.1], [0.3], [0.2], [0.9]])
    found = of(RankRegression(RNA, 1), prediction, truth)
    assert found.units["spearman"] == pytest.approx([1 - 6 * d * d / 15 for d in (0, 1, -1, 0)])
    assert found.values["spearman"] == pytest.approx(0.8)


def test_a_constant_prediction_correlates_with_nothing() -> None:
    """The baseline of every table; 0.1 has no exact mean in binary, which must not look like variation."""
    truth = torch.rand(101, 1)
    found = of(RankRegression(RNA, 1), torch.full((101, 1), 0.1), truth)
    assert (found.values["pearson2"], found.values["spearman"]) == pytest.approx((0, 0), abs=1e-12)
    assert np.mean(found.units["spearman"]) == pytest.approx(0, abs=1e-12)
    assert of(Regression(RNA, 1), truth, torch.full((101, 1), 0.1)).values["r2"] == 0


def test_moments_keep_digits_beside_a_large_mean() -> None:
    values = torch.randn(1000, 2, dtype=torch.float64)
    moments = Moments(1)
    for part in (values + 1e5).split(100):
        moments.add(part[:, :1], part[:, 1:])
    x, y = values.T.numpy()
    assert moments.pearson2.item() == pytest.approx(pearsonr(x, y)[0] ** 2, rel=1e-8)
    assert moments.r2.item() == pytest.approx(sk.r2_score(y, x), rel=1e-8)


def test_auc_leaves_undefined_labels_out_and_beacon_calls_them_half() -> None:
    torch.manual_seed(3)
    truth = torch.randint(0, 2, (40, 4)).float()
    truth[:, 3] = 0
    logits = (torch.randn(40, 4) + truth).round()  # with ties
    areas = [sk.roc_auc_score(truth[:, i], logits[:, i]) for i in range(3)]
    found = of(MultiLabel(RNA, 4), logits, truth)
    assert found.units["auc"] == pytest.approx(areas)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        mcc = np.mean([sk.matthews_corrcoef(truth[:, i], logits[:, i] > 0) for i in range(4)])
    assert found.values == pytest.approx(
        {"auc": np.mean(areas), "auc_undefined": 1, "auc_beacon": np.mean([*areas, 0.5]), "mcc": mcc}
    )


def test_mse_beacon_is_mcrmse_without_its_root() -> None:
    """BEACON's validation score (train_degradation.py at da7f9c7), with nucleotides that are not scored left out."""
    prediction, batch = drawn(NucleotideRegression(RNA, 1))
    batch.target[:, 20:] = float("nan")
    values = scored(NucleotideRegression(RNA, 1), (prediction, batch)).values
    y, guess = batch.target[:, :20].double(), prediction[:, :20].double()
    assert values["mse_beacon"] == pytest.approx((y - guess + 1e-6).square().mean().item(), rel=1e-9)
    assert values["mcrmse"] == pytest.approx(sk.root_mean_squared_error(y.flatten(), guess.flatten()))
    assert values["mse_beacon"] == pytest.approx(values["mcrmse"] ** 2, abs=1e-5)
    assert abs(values["mse_beacon"] - values["mcrmse"]) > 0.1


def test_top_k_and_average_precision_of_sites() -> None:
    task = NucleotideClassification(RNA, 3)
    prediction, batch = drawn(task, 6)
    values = scored(task, (prediction, batch)).values
    real = batch.target >= 0
    truth, p = batch.target[real].numpy(), prediction[real].softmax(-1).numpy()
    for name, score in (("top_k", p), ("top_k_beacon", prediction[real].numpy())):
        shares = [np.mean(truth[np.argsort(-score[:, c])[: (truth == c).sum()]] == c) for c in (1, 2)]
        assert values[name] == pytest.approx(np.mean(shares))
    precisions = [sk.average_precision_score(truth == c, p[:, c]) for c in (1, 2)]
    assert values["average_precision"] == pytest.approx(np.mean(precisions))
    assert values["accuracy"] == pytest.approx(np.mean(p.argmax(1) == truth))


def test_ties_share_the_last_places() -> None:
    assert top(torch.tensor([1.0, 3.0, 2.0, 2.0, 2.0]), 3).tolist() == pytest.approx([0, 1, 2 / 3, 2 / 3, 2 / 3])
    tied, truth = torch.tensor([0.2, 0.2, 0.7, 0.1, 0.7, 0.2]), torch.tensor([1, 0, 1, 1, 0, 0]) > 0
    assert average_precision(tied, truth).item() == pytest.approx(sk.average_precision_score(truth, tied))


def test_logits_that_differ_by_a_constant_are_one_prediction_but_not_to_beacon() -> None:
    """Raw logits of unlike nucleotides cannot be ranked: here both sites are certain, one's logits are all 9 lower."""
    logits = torch.tensor([[[-9.0, -4.0], [5.0, 1.0], [0.0, 5.0]]])
    values = of(NucleotideClassification(RNA, 2), logits, torch.tensor([[1, 0, 1]])).values
    assert (values["top_k"], values["top_k_beacon"]) == (1, 0.5)


def test_even_guesses_of_masked_nucleotides_cost_ln_4() -> None:
    _, batch = drawn(MaskedNucleotides(RNA))
    values = scored(MaskedNucleotides(RNA), (torch.zeros(*batch.target.shape, 4), batch)).values
    assert values["nats"] == pytest.approx(math.log(4))
