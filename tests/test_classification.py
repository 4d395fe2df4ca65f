"""Classification: metrics against scikit-learn and their definitions, intervals against scipy, drawings."""

from __future__ import annotations

import json
import math
import warnings
import xml.etree.ElementTree as ET
from typing import Any

import pytest
import torch
from scipy.stats import binomtest
from sklearn import metrics as sk

from tests.test_tasks import RNA, drawn, of, scored
from tsbench.data import Batch
from tsbench.inputs import Series
from tsbench.tasks.classification import Classification
from tsbench.tasks.regression import Regression


@pytest.mark.parametrize("seed", range(3))
def test_classification_against_scikit_learn(seed: int) -> None:
    prediction, batch = drawn(Classification(RNA, 7), 15, seed)  # some classes do not occur
    truth, guess = batch.target.numpy(), prediction.argmax(1).numpy()
    p = prediction.double().softmax(1).numpy()
    found = scored(Classification(RNA, 7), (prediction, batch))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # classes that are predicted but do not occur
        balanced = sk.balanced_accuracy_score(truth, guess)
    assert found.values == pytest.approx({
        "accuracy": sk.accuracy_score(truth, guess),
        "balanced_accuracy": balanced,
        "macro_f1": sk.f1_score(truth, guess, average="macro"),
        "mcc": sk.matthews_corrcoef(truth, guess),
        "log_loss": sk.log_loss(truth, p, labels=range(7)),
        "calibration_error": slow_calibration_error(truth, p),
    })  # fmt: skip
    assert found.tables["confusion"] == sk.confusion_matrix(truth, guess, labels=range(7)).tolist()


def slow_calibration_error(truth: Any, p: Any) -> float:
    """Equation 3 of Guo et al. 2017: bin m of 10 holds the samples whose confidence lies in ((m - 1) / 10, m / 10]."""
    total = 0.0
    for m in range(1, 11):
        inside = [i for i in range(len(p)) if (m - 1) / 10 < p[i].max() <= m / 10]
        if inside:
            accuracy = sum(float(p[i].argmax() == truth[i]) for i in inside) / len(inside)
            confidence = sum(float(p[i].max()) for i in inside) / len(inside)
            total += len(inside) / len(p) * abs(accuracy - confidence)
    return total


def test_bins_hold_their_upper_edge() -> None:
    """A right 0.5 lies in (0.4, 0.5], a wrong 0.55 in (0.5, 0.6]: together they would look calibrated."""
    p = torch.tensor([[0.5, 0.5], [0.55, 0.45]]).double()
    values = of(Classification(RNA, 2), p.log(), torch.tensor([0, 1])).values
    assert values["calibration_error"] == pytest.approx((0.5 + 0.55) / 2)


def test_hard_decisions_have_a_finite_log_loss() -> None:
    """One of four is wrong and costs -ln 1e-6; it is sure of all, so its calibration error is its error."""
    sure = torch.full((4, 3), 1e-6).scatter_(1, torch.tensor([[0], [1], [2], [2]]), 1.0).log()
    for scale in (1, 100):
        values = of(Classification(RNA, 3), scale * sure, torch.tensor([0, 1, 2, 0])).values
        assert values["log_loss"] == pytest.approx(-math.log(1e-6) / 4, abs=1e-5)
        assert values["calibration_error"] == pytest.approx(0.25, abs=1e-5)


@pytest.mark.parametrize(("right", "samples"), [(0, 15), (7, 15), (15, 15), (40, 49)])
def test_the_interval_is_wilsons(right: int, samples: int) -> None:
    expected = binomtest(right, samples).proportion_ci(0.95, method="wilson")
    assert Classification.interval(right / samples, samples) == pytest.approx((expected.low, expected.high))
    assert Classification.interval(0.5, 50) is None
    assert Regression.interval(0.5, 15) is None


def test_series_are_drawn_with_the_names_of_their_classes() -> None:
    task = Classification(Series(1000, 6), 3, ("walk", "run<", "sit"))
    torch.manual_seed(0)
    valid = torch.arange(1000) < torch.tensor([[1000], [30]])
    batch = Batch(torch.randn(2, 1000, 6), torch.tensor([1, 2]), valid)
    kept = json.loads(json.dumps(task.examples(torch.tensor([[0.0, 9.0, 0.0], [0.0, 0.0, 9.0]]), batch)))
    assert "letters" not in kept
    long, short = kept["series"]
    assert (len(long["values"]), len(long["values"][0]), len(short["values"][0])) == (4, 200, 30)
    assert short["values"][1] == pytest.approx(batch.inputs[1, :30, 1].tolist(), rel=1e-3)
    assert long["values"][0][3] == pytest.approx(batch.inputs[0, 15, 0].item(), rel=1e-3)
    figure = task.figure(kept)
    assert figure.count("<polyline") == 8
    for words in (
        "first test sample: run&lt;",
        "sit (1.00)",
        "995 steps, every 5th drawn; 4 of 6 channels",
        "29 steps; 4 of 6",
    ):
        assert words in figure


@pytest.mark.parametrize("classes", [2, 26])
def test_the_confusion_matrix_names_its_classes(classes: int) -> None:
    labels = tuple(f"class {chr(97 + i)}" for i in range(classes))
    counts = torch.diag(torch.arange(1000, 1000 + classes))
    counts[0, 1] = 7
    (drawing,) = Classification(Series(5, 1), classes, labels).charts({"confusion": counts.tolist()}).values()
    texts = [text.text for text in ET.fromstring(drawing).iter("{http://www.w3.org/2000/svg}text")]
    assert [texts.count(label) for label in labels] == [2] * classes, "one for its row, one for its column"
    assert texts.count("7") == 1
    assert "0" not in texts
