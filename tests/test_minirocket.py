"""MiniRocket against aeon's features and scikit-learn's ridge, and what it makes of short and unequal series."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from sklearn.linear_model import RidgeClassifierCV
from sklearn.preprocessing import StandardScaler
from sktime.datasets import load_basic_motions
from torch.nn import functional as F

from tsbench.data import Batch
from tsbench.errors import UsageError
from tsbench.inputs import Series
from tsbench.model import Run
from tsbench.models import minirocket
from tsbench.models.minirocket import (
    KERNELS,
    PENALTIES,
    MiniRocket,
    MiniRocketConfig,
    dilations,
    draw_channels,
    leave_one_out,
    quantiles,
    ridge,
    sharpness,
)
from tsbench.series.samples import SeriesSamples
from tsbench.tasks.classification import Classification

AEON: dict[str, Any] = json.loads((Path(__file__).parent / "minirocket_aeon.json").read_text())


def basic_motions(split: str) -> SeriesSamples:
    """The cases inside sktime, unscaled."""
    values, labels = load_basic_motions(split=split, return_type="numpy3D")
    target = torch.from_numpy(np.unique(labels, return_inverse=True)[1])
    return SeriesSamples(torch.from_numpy(values).float().transpose(1, 2).contiguous(), target)


@pytest.fixture(scope="module")
def as_aeon() -> MiniRocket:
    """A model with the channels that aeon drew, its thresholds drawn from the one case that aeon had."""
    model = MiniRocket(Classification(Series(100, 6), 4), MiniRocketConfig(features=252))
    model.channels = torch.zeros(3, 84, 6)
    for i, chosen in enumerate(AEON["channels"]):
        model.channels.view(-1, 6)[i, chosen] = 1
    model.bias = model._draw_thresholds(basic_motions("train").select(torch.tensor([0])))
    return model


def test_thresholds_are_aeons(as_aeon: MiniRocket) -> None:
    torch.testing.assert_close(as_aeon.bias, torch.tensor(AEON["bias"]), rtol=1e-4, atol=1e-5)


def test_features_are_aeons(as_aeon: MiniRocket) -> None:
    ours = as_aeon.transform(basic_motions("test").batch(torch.arange(3)))
    torch.testing.assert_close(ours, torch.tensor(AEON["features"]), rtol=0, atol=1e-6)


@pytest.mark.parametrize("shape", AEON["spread"])
def test_dilations_are_aeons(shape: str) -> None:
    length, features = map(int, shape.split(","))
    assert [list(column) for column in zip(*dilations(length, features, 32), strict=True)] == AEON["spread"][shape]


def test_kernels_sum_to_zero_and_differ() -> None:
    assert len(set(map(tuple, KERNELS.tolist()))) == 84
    assert (KERNELS.sum(1) == 0).all()


def test_quantiles_spread_evenly() -> None:
    """Low discrepancy: every tenth holds its share of 1000 to within 3; of random numbers it would be 9 or so."""
    assert torch.histc(quantiles(1000), 10, 0, 1).sub(100).abs().max() <= 3


@pytest.mark.parametrize(("channels", "most"), [(1, 1), (3, 3), (40, 9)])
def test_kernels_see_one_to_nine_channels(channels: int, most: int) -> None:
    torch.manual_seed(0)
    seen = draw_channels(30, channels).sum(-1)
    assert [int(seen.min()), int(seen.max())] == [1, most]
    if most == 9:  # 2^u with u uniform on 0 .. log2 10: half of them below the square root of 10
        assert (seen <= 3).float().mean() == pytest.approx(np.log10(4), abs=0.03)


@pytest.mark.parametrize("cases", [20, 60])
def test_ridge_is_scikit_learns(cases: int) -> None:
    """With more cases than features, and with fewer; the softmax's factor apart."""
    random = np.random.default_rng(0)
    y = np.arange(cases) % 3
    x = random.normal(size=(cases, 30)).astype(np.float32)
    x[:, 0] += y
    x[:, 1] = 7.1  # a constant feature
    scaler = StandardScaler().fit(x)
    theirs = RidgeClassifierCV(alphas=PENALTIES).fit(scaler.transform(x), y)
    weight, bias, penalty = ridge(torch.from_numpy(x), torch.from_numpy(y), 3)
    assert penalty == pytest.approx(theirs.alpha_)
    ours, expected = x @ weight.numpy() + bias.numpy(), theirs.decision_function(scaler.transform(x))
    factor = (ours * expected).sum() / (expected**2).sum()
    assert np.log2(factor) == pytest.approx(round(np.log2(factor)), abs=1e-3)
    np.testing.assert_allclose(ours, expected * factor, atol=1e-4 * factor)


def test_left_out_predictions_are_those_of_fits_without_the_case() -> None:
    torch.manual_seed(0)
    x, y = torch.randn(12, 5).double(), torch.randn(12, 2).double()
    penalty, alone = leave_one_out(x, y)
    rest = torch.arange(1, 12)
    centre, level = x[rest].mean(0), y[rest].mean(0)
    part = x[rest] - centre
    weight = torch.linalg.solve(part.T @ part + penalty * torch.eye(5), part.T @ (y[rest] - level))
    torch.testing.assert_close(alone[0], (x[0] - centre) @ weight + level)


def test_few_cases_are_no_certainty() -> None:
    """All right, by a wide margin: more cases make surer."""
    scores = [2.0 * F.one_hot(torch.arange(n) % 2, 2).double() - 1 for n in (10, 1000)]
    few, many = (sharpness(s, torch.arange(len(s)) % 2) for s in scores)
    assert few < many
    assert sharpness(scores[0], 1 - torch.arange(10) % 2) == min(minirocket.SHARPNESS)


def test_many_cases_choose_the_penalty_by_some(monkeypatch: pytest.MonkeyPatch) -> None:
    torch.manual_seed(0)
    x, y = torch.randn(200, 20), torch.arange(200) % 2
    x[:, 0] += y
    weight, _, _ = ridge(x, y, 2)
    monkeypatch.setattr(minirocket, "MOST_CASES", 100)
    other, _, _ = ridge(x, y, 2)
    assert F.cosine_similarity(weight[:, 0], other[:, 0], dim=0) > 0.98


def test_series_of_eight_steps() -> None:
    """A kernel is nine steps long."""
    torch.manual_seed(0)
    target = torch.arange(30) % 2
    samples = SeriesSamples(torch.randn(30, 8, 2) + target[:, None, None], target)
    model = MiniRocket(Classification(Series(8, 2), 2), MiniRocketConfig())
    model.fit(samples, samples, Run())
    assert (model.predict(samples.batch(torch.arange(30))).argmax(-1) == target).all()


def test_short_series_count_as_followed_by_zeros() -> None:
    torch.manual_seed(0)
    values, lengths = torch.randn(12, 30, 3), torch.tensor([20, 30] * 6)
    values[torch.arange(30) >= lengths[:, None]] = 0
    task, target = Classification(Series(30, 3), 2), torch.arange(12) % 2
    model = MiniRocket(task, MiniRocketConfig(features=840))
    model.fit(SeriesSamples(values, target, lengths), SeriesSamples(values, target), Run())
    whole = model.transform(Batch(values[:4], target[:4]))
    noise = values[:4] + 9 * torch.randn(4, 30, 3) * (values[:4] == 0)
    valid = torch.arange(30) < lengths[:4, None]
    assert torch.equal(model.transform(Batch(noise, target[:4], valid)), whole)
    assert torch.equal(model.transform(Batch(values[:1, :20], target[:1])), whole[:1])


def test_accuracy_on_basic_motions() -> None:
    """aeon 1.6.0 with 10,000 features: 100 % for each of three seeds."""
    train, test = basic_motions("train"), basic_motions("test")
    torch.manual_seed(0)
    model = MiniRocket(Classification(Series(100, 6), 4), MiniRocketConfig())
    model.fit(train, train, Run())
    assert model.weight.shape == (84 * 119, 4)
    prediction = model.predict(test.batch(torch.arange(len(test))))
    assert (prediction.argmax(-1) == test.target).all()
    assert F.cross_entropy(prediction, test.target) < 0.05


@pytest.mark.parametrize("settings", [{"features": 83}, {"dilations": 0}])
def test_settings_without_a_feature_are_refused(settings: dict[str, int]) -> None:
    with pytest.raises(UsageError, match="at least"):
        MiniRocketConfig(**settings)
