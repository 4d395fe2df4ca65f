"""What users do with our sktime estimators: labels, lengths, indices, seasons, searches and benchmarks of sktime's."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from sklearn.model_selection import GridSearchCV, cross_val_score
from sktime.datasets import load_airline, load_basic_motions, load_unit_test, load_uschange
from sktime.forecasting.base import ForecastingHorizon

import tsbench.sktime as estimators
from tsbench.errors import UsageError
from tsbench.model import NeuralModel
from tsbench.sktime import ConstantClassifier, DLinearForecaster, MiniRocketClassifier

# ---------------------------------------------------------------- classifiers


@pytest.mark.parametrize("labels", [("b", "a"), (30, 7), (True, False), (0.5, -1.0)])
def test_labels_may_be_of_any_type(labels: tuple[Any, Any]) -> None:
    X, y = load_unit_test("train", return_type="numpy3D")
    y = np.array(labels)[(y == "1").astype(int)]
    classifier = MiniRocketClassifier(features=840, random_state=0).fit(X, y)
    assert classifier.classes_.tolist() == sorted(labels)
    assert (classifier.predict(X) == y).mean() > 0.8
    probabilities = classifier.predict_proba(X)
    np.testing.assert_allclose(probabilities.sum(1), 1)
    assert (classifier.classes_[probabilities.argmax(1)] == classifier.predict(X)).all()


def test_cases_of_unequal_length_and_missing_values() -> None:
    X, y = load_unit_test("train", return_type="df-list")
    cut = [case.iloc[: len(case) - i % 3] for i, case in enumerate(X)]
    classifier = MiniRocketClassifier(features=840, random_state=0).fit(cut, y)
    assert classifier.score(cut, y) > 0.8
    gap = [case.copy() for case in cut]
    gap[0].iloc[3] = np.nan
    filled = [gap[0].interpolate(), *gap[1:]]
    np.testing.assert_array_equal(classifier.predict_proba(gap), classifier.predict_proba(filled))


def test_longer_cases_are_cut_and_other_channels_refused() -> None:
    X, y = load_unit_test("train", return_type="numpy3D")
    classifier = MiniRocketClassifier(features=84, random_state=0).fit(X[..., :20], y)
    with pytest.warns(UserWarning, match="more than 20 steps are cut"):
        long = classifier.predict_proba(X)
    np.testing.assert_array_equal(long, classifier.predict_proba(X[..., :20]))
    whole = MiniRocketClassifier(features=84, random_state=0, length=24).fit(X[..., :20], y)
    assert (whole.predict_proba(X) != whole.predict_proba(X[..., :20])).any()
    with pytest.raises(UsageError, match=r"cases have \[2\] channels, not 1"):
        classifier.predict(np.repeat(X, 2, axis=1))


def test_scaling_is_fitted_to_the_training_cases() -> None:
    X, y = load_unit_test("train", return_type="numpy3D")
    plain, moved = (MiniRocketClassifier(features=84, random_state=0).fit(x, y) for x in (X, 100 * X + 7))
    np.testing.assert_allclose(plain.predict_proba(X), moved.predict_proba(100 * X + 7), atol=1e-4)
    case = MiniRocketClassifier(features=84, random_state=0, scaling="case").fit(X, y)
    np.testing.assert_allclose(case.predict_proba(X), case.predict_proba(3 * X - 50), atol=1e-4)
    assert (plain.predict_proba(X) != plain.predict_proba(3 * X - 50)).any()


def test_one_case_a_class_is_enough() -> None:
    X, _ = load_unit_test("train", return_type="numpy3D")
    fitted = ConstantClassifier().fit(X[:2], np.array([0, 1]))
    assert fitted.predict_proba(X[2:4]) == pytest.approx(np.full((2, 2), 0.5))


def test_scikit_learns_grid_search_and_cross_validation() -> None:
    X, y = load_basic_motions("train", return_type="numpy3D")
    classifier = estimators.DLinearClassifier(epochs=20, patience=0, random_state=0)
    search = GridSearchCV(classifier, {"lr": [1e-9, 1e-2]}, cv=2).fit(X, y)
    assert search.best_params_ == {"lr": 1e-2}
    assert search.best_estimator_.score(X, y) > 0.8
    scores = cross_val_score(MiniRocketClassifier(features=840, random_state=0), X, y, cv=2)
    assert scores.mean() > 0.9


def test_sktimes_grid_search() -> None:
    from sklearn.model_selection import KFold
    from sktime.classification.model_selection import TSCGridSearchCV

    X, y = load_unit_test("train", return_type="numpy3D")
    folds = KFold(2, shuffle=True, random_state=0)
    few = MiniRocketClassifier(random_state=0)
    search = TSCGridSearchCV(few, {"features": [84, 840], "scaling": ["channel", "none"]}, cv=folds).fit(X, y)
    assert search.best_score_ > 0.7
    assert search.score(X, y) > 0.8


def test_sktimes_benchmark_compares_two(tmp_path: Path) -> None:
    from sklearn.metrics import accuracy_score
    from sklearn.model_selection import KFold
    from sktime.benchmarking.classification import ClassificationBenchmark

    benchmark = ClassificationBenchmark()
    benchmark.add_estimator(ConstantClassifier(random_state=0))
    benchmark.add_estimator(MiniRocketClassifier(features=840, random_state=0))
    benchmark.add_task(load_unit_test, KFold(3, shuffle=True, random_state=0), [accuracy_score])
    table = benchmark.run(str(tmp_path / "results.csv")).set_index("model_id")["accuracy_score_mean"]
    assert len(table) == 2
    assert table["MiniRocketClassifier"] > table["ConstantClassifier"]


# ---------------------------------------------------------------- forecasters


def test_settings_are_those_of_the_training_loop() -> None:
    assert issubclass(DLinearForecaster.kind, NeuralModel)
    y = load_airline()
    before = DLinearForecaster(lr=1e-12, random_state=0).fit_predict(y, fh=[1])
    assert (before != DLinearForecaster(lr=1e-2, random_state=0).fit_predict(y, fh=[1])).any()
    with pytest.raises(UsageError, match="lr=-1"):
        DLinearForecaster(lr=-1).fit(y, fh=[1])


@pytest.mark.filterwarnings("ignore:An ill-conditioned matrix")  # a line and a sine need few of 12 weights
@pytest.mark.parametrize(
    "index",
    [
        pd.RangeIndex(5, 125),
        pd.period_range("2020-01", periods=120, freq="M"),
        pd.date_range("2020-01-31", periods=120, freq="ME"),
    ],
)
def test_forecasts_carry_on_the_index_and_the_columns(index: pd.Index) -> None:
    y = pd.DataFrame({"a": np.arange(120.0), "b": np.sin(np.arange(120))}, index[:120])
    forecast = estimators.OLSForecaster(look_back=12).fit(y.iloc[:110], fh=[1, 3, 10]).predict()
    pd.testing.assert_index_equal(forecast.index, y.index[[110, 112, 119]])
    np.testing.assert_allclose(forecast, y.iloc[[110, 112, 119]], atol=0.01)  # a line and a sine follow from their past
    assert list(forecast.columns) == ["a", "b"]
    absolute = estimators.OLSForecaster(look_back=12).fit(
        y.iloc[:110], fh=ForecastingHorizon(y.index[[110, 112, 119]], is_relative=False)
    )
    pd.testing.assert_frame_equal(absolute.predict(), forecast)


def test_forecasts_follow_the_scale_of_the_series() -> None:
    y = load_uschange()[1].iloc[:, :2]
    one, two = (DLinearForecaster(epochs=2, random_state=0).fit_predict(s, fh=range(1, 5)) for s in (y, 1000 * y + 5))
    np.testing.assert_allclose(1000 * one + 5, two, rtol=1e-4)
    flat = y.assign(flat=7.0)
    np.testing.assert_allclose(estimators.RepeatForecaster().fit_predict(flat, fh=[1, 2])["flat"], 7.0)


@pytest.mark.parametrize(
    ("rows", "steps", "look_back", "selects"),
    [(1000, 24, 96, True), (144, 12, 44, True), (20, 6, 4, True), (13, 6, 2, False), (2, 1, 1, False)],
)
def test_the_look_back_fits_the_rows(rows: int, steps: int, look_back: int, selects: bool) -> None:
    y = pd.Series(np.random.default_rng(0).normal(size=rows))
    forecaster = DLinearForecaster(epochs=2, random_state=0).fit(y, fh=range(1, steps + 1))
    assert forecaster.model_.task.look_back == look_back
    assert np.isfinite(forecaster.predict()).all()
    everything = DLinearForecaster(epochs=2, random_state=0, look_back=look_back, validation=0).fit(y, fh=[steps])
    assert everything.mean_ == y.to_numpy().mean()
    assert (forecaster.mean_ != y.to_numpy().mean()) == selects


def test_a_series_that_is_too_short_says_what_is_missing() -> None:
    y = load_airline()
    with pytest.raises(UsageError, match="20 rows hold no window of look_back 12 \\+ horizon 9"):
        DLinearForecaster(look_back=12).fit(y[:20], fh=[9])
    with pytest.raises(UsageError, match="5 rows hold no window"):
        DLinearForecaster().fit(y[:5], fh=[9])


def test_the_season_is_the_tasks() -> None:
    y = load_airline()
    forecast = estimators.SeasonalNaiveForecaster(season=12).fit_predict(y[:-12], fh=range(1, 13))
    np.testing.assert_allclose(forecast, y[-24:-12], rtol=1e-6)


def test_update_learns_from_all_rows_or_only_moves_on() -> None:
    y = load_airline()
    moved = DLinearForecaster(epochs=2, random_state=0).fit(y[:100], fh=[1, 2])
    moved.update(y[100:130], update_params=False)
    learned = DLinearForecaster(epochs=2, random_state=0).fit(y[:100], fh=[1, 2])
    learned.update(y[100:130], update_params=True)
    whole = DLinearForecaster(epochs=2, random_state=0).fit(y[:130], fh=[1, 2])
    pd.testing.assert_series_equal(learned.predict(), whole.predict())
    assert (moved.predict().index == whole.predict().index).all()
    assert (moved.predict() != whole.predict()).all()


def test_sktimes_evaluate_rolls_over_a_series() -> None:
    from sktime.forecasting.model_evaluation import evaluate
    from sktime.split import ExpandingWindowSplitter

    cv = ExpandingWindowSplitter(fh=range(1, 13), initial_window=108, step_length=12)
    found = evaluate(estimators.OLSForecaster(look_back=24, random_state=0), cv, load_airline(), strategy="refit")
    repeated = evaluate(estimators.RepeatForecaster(), cv, load_airline(), strategy="refit")
    column = "test_MeanAbsolutePercentageError"
    assert len(found) == 3
    assert found[column].mean() < repeated[column].mean() / 2
