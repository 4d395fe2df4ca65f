"""The bridge to sktime's classifiers: it gives what sktime gives, keeps it without pickle, and says what is missing."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from tsbench.contract import model_checks
from tsbench.errors import TsbenchError, UsageError
from tsbench.inputs import Series
from tsbench.model import Run
from tsbench.models import sktime_classifier
from tsbench.models.sklearn_regressor import pack, unpack
from tsbench.models.sktime_classifier import SktimeClassifier, SktimeClassifierConfig, count
from tsbench.registry import all_datasets
from tsbench.series.samples import SeriesSamples
from tsbench.tasks.classification import Classification

TINY: dict[str, Any] = dict(SktimeClassifier.tiny)


def made(classes: int = 3, length: int = 20, **settings: Any) -> SktimeClassifier:
    task = Classification(Series(length, 2), classes)
    return SktimeClassifier(task, SktimeClassifierConfig(**{**TINY, **settings}))


def drawn(classes: tuple[int, ...], cases: int = 24, length: int = 20, lengths: bool = False) -> SeriesSamples:
    torch.manual_seed(1)
    target = torch.tensor([classes[i % len(classes)] for i in range(cases)])
    values = torch.randn(cases, length, 2)
    values[:, :, 0] += 2 * target[:, None]
    steps = torch.tensor([length - i % 5 for i in range(cases)])
    valid = torch.arange(length) < steps[:, None]
    return SeriesSamples(values * valid[..., None], target, steps) if lengths else SeriesSamples(values, target)


def fitted(samples: SeriesSamples, seed: int = 3, **settings: Any) -> SktimeClassifier:
    model = made(length=samples.values.shape[1], **settings)
    model.fit(samples, samples, Run(seed=seed))
    return model


def test_it_gives_what_sktime_gives() -> None:
    from sktime.classification.kernel_based import Arsenal

    samples = drawn((0, 1, 2))
    X = samples.values.transpose(1, 2).double().numpy()
    known = Arsenal(**TINY["parameters"], random_state=3).fit(X, samples.target.numpy()).predict_proba(X)
    prediction = fitted(samples).predict(samples.batch(torch.arange(24)))
    np.testing.assert_allclose(prediction.exp(), known.clip(min=1e-6), rtol=1e-5)
    assert (fitted(samples, seed=4).predict(samples.batch(torch.arange(24))) != prediction).any()


def test_the_seed_reaches_the_parts_of_a_pipeline() -> None:
    from sklearn.linear_model import RidgeClassifierCV
    from sktime.classification.compose import SklearnClassifierPipeline
    from sktime.transformations.rocket import Rocket

    model, samples = made(), drawn((0, 1, 2))
    model.classifier = SklearnClassifierPipeline(RidgeClassifierCV(), [Rocket(num_kernels=84)])
    model.fit(samples, samples, Run(seed=3))
    assert model.classifier.get_params()["Rocket__random_state"] == 3


def test_shorter_cases_are_filled_with_zeros() -> None:
    samples = drawn((0, 1, 2), lengths=True)
    whole = SeriesSamples(samples.values, samples.target)
    chosen = torch.tensor([4, 9])  # of 16 steps, so that their batch is shorter than the task
    cut = samples.batch(chosen)
    assert cut.inputs.shape[1] == 16
    torch.testing.assert_close(fitted(samples).predict(cut), fitted(whole).predict(whole.batch(chosen)))
    cut.inputs[:, 15:] = torch.where(cut.valid[:, 15:, None], cut.inputs[:, 15:], 99.0)  # type: ignore[index]
    torch.testing.assert_close(fitted(samples).predict(cut), fitted(whole).predict(whole.batch(chosen)))


def test_classes_without_a_training_case_are_all_but_impossible() -> None:
    for occurring in ((0, 2), (1,)):
        samples = drawn(occurring)
        prediction = fitted(samples).predict(samples.batch(torch.arange(6))).exp()
        absent = [c for c in range(3) if c not in occurring]
        np.testing.assert_allclose(prediction[:, absent], 1e-6, rtol=1e-5)
        assert (prediction.argmax(1) == samples.target[:6]).all()


@pytest.mark.parametrize(
    ("estimator", "parameters"),
    [
        ("feature_based.SummaryClassifier", "{}"),
        ("distance_based.KNeighborsTimeSeriesClassifier", '{"distance": "euclidean"}'),
        ("kernel_based.RocketClassifier", '{"num_kernels": 84}'),
        ("kernel_based.TimeSeriesSVC", '{"probability": true}'),
    ],
)
def test_other_classifiers_predict_and_load_back_without_pickle(estimator: str, parameters: str) -> None:
    settings = {"estimator": f"sktime.classification.{estimator}", "parameters": parameters}
    checks = dict(model_checks("sktime_classifier", settings))
    for clause in ("output shape and type", "saved and loaded, same predictions"):
        checks[clause]()


def test_what_was_saved_holds_trusted_types_only() -> None:
    model = fitted(drawn((0, 1, 2)))
    with pytest.raises(TsbenchError, match=r"Arsenal cannot be loaded safely: it holds sktime\."):
        unpack(pack(model.classifier), "Arsenal", ("sklearn", "numpy"))
    with pytest.raises(TsbenchError, match="cannot be loaded safely: it holds collections"):
        unpack(pack(__import__("collections").Counter("abc")), "a counter", sktime_classifier.TRUSTED)


def test_parameters_are_the_numbers_it_holds() -> None:
    part = np.zeros((3, 4))
    assert count([part, {"a": (np.zeros(5), part)}, "text", np.array([part, None], dtype=object)], set()) == 17
    small, large = (fitted(drawn((0, 1, 2)), parameters={"n_estimators": n, "num_kernels": 84}) for n in (2, 4))
    assert large.parameter_count() > 1.5 * small.parameter_count() > 1000


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"estimator": "sktime.forecasting.naive.NaiveForecaster", "parameters": {}}, "is not a BaseClassifier"),
        ({"estimator": "sktime.classification.kernel_based.Arsenl"}, "Give a full import path"),
        ({"parameters": {"trees": 3}}, "trees"),
    ],
)
def test_a_wrong_estimator_is_named(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        made(**settings)


def test_without_numba_it_says_how_to_install_it(monkeypatch: pytest.MonkeyPatch) -> None:
    dataset = all_datasets()["generated/shapes"]
    assert SktimeClassifier.refuses(dataset) is None
    assert "does classification" in str(SktimeClassifier.refuses(all_datasets()["generated/seasonal/24"]))
    monkeypatch.setattr(sktime_classifier, "find_spec", lambda name: None)
    assert SktimeClassifier.refuses(dataset) == 'sktime_classifier needs numba: pip install "tsbench[numba]"'


@pytest.mark.slow
def test_its_default_classifies_basic_motions() -> None:
    splits = all_datasets()["uea/BasicMotions"].load(Path(), "validation")
    assert splits.refit
    assert isinstance(splits.task, Classification)
    model = SktimeClassifier(splits.task, SktimeClassifierConfig())
    model.fit(splits.refit.train, splits.validation, Run())
    batch = splits.refit.test.batch(torch.arange(40))
    accuracy = (model.predict(batch).argmax(1) == batch.target).double().mean()
    assert accuracy >= 0.975  # ROCKET: 99.0, the mean of 30 resamples (tsml-eval)
