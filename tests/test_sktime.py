"""Our models as sktime estimators: sktime's own suite, the harness's own predictions, and what users do with them."""

from __future__ import annotations

import doctest
import pickle
import random
import subprocess
import sys
from dataclasses import fields
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from sklearn.base import clone
from sklearn.model_selection import GridSearchCV, cross_val_score
from sktime.datasets import load_airline, load_basic_motions, load_japanese_vowels, load_unit_test, load_uschange
from sktime.forecasting.base import ForecastingHorizon

import tsbench.sktime as estimators
from tests.conftest import ROOT
from tsbench.artifacts import load_model
from tsbench.cell import identity, key_of, make_cell
from tsbench.data import like_size
from tsbench.errors import UsageError
from tsbench.inputs import Series
from tsbench.model import NeuralModel, Run
from tsbench.registry import all_datasets, find_model, model_names
from tsbench.run import Options, fit, run_cell
from tsbench.settings import as_dict
from tsbench.sktime import Classifier, ConstantClassifier, DLinearForecaster, Forecaster, MiniRocketClassifier
from tsbench.store import Store
from tsbench.tasks.classification import Classification
from tsbench.tasks.forecasting import Forecasting

FEW = {"features": 840}  # of MiniRocket
NAMES = list(estimators.estimators())
slow = pytest.mark.slow


@pytest.mark.parametrize(
    "name",
    [
        "MiniRocketClassifier",
        "DLinearForecaster",
        pytest.param("VSFormerClassifier", marks=slow),
        pytest.param("OLSForecaster", marks=slow),
    ],
)
@pytest.mark.filterwarnings("ignore")
def test_sktimes_own_suite_passes_whole(name: str) -> None:
    from sktime.utils.estimator_checks import check_estimator

    results = check_estimator(getattr(estimators, name), verbose=False)
    assert len(results) > 200
    assert {test: result for test, result in results.items() if result != "PASSED"} == {}


def test_every_model_of_series_is_there() -> None:
    wanted = set()
    for kind in map(find_model, model_names()):
        if issubclass(Series, kind.inputs):
            wanted |= {f"{kind.__name__}Classifier"} if issubclass(Classification, kind.tasks) else set()
            wanted |= {f"{kind.__name__}Forecaster"} if issubclass(Forecasting, kind.tasks) else set()
    doubled = {"SktimeClassifierClassifier": "SktimeClassifier", "SktimeForecasterForecaster": "SktimeForecaster"}
    assert {doubled.get(name, name) for name in wanted} == set(NAMES)
    assert set(NAMES) <= set(dir(estimators))
    assert {"DLinearForecaster", "MiniRocketClassifier"} <= set(NAMES)


@pytest.mark.parametrize("name", NAMES)
def test_parameters_are_the_settings_and_ours(name: str) -> None:
    kind = getattr(estimators, name)
    settings = {field.name for field in fields(kind.kind.Config)}
    assert not settings & set(kind.own)  # or one would hide the other
    assert set(kind.get_param_names()) == settings | set(kind.own)
    assert not [parameter for parameter in kind.get_param_names() if hasattr(kind, parameter)]  # or a method would be
    estimator = kind()
    defaults = {k: v for k, v in as_dict(kind.kind.Config()).items() if not isinstance(v, dict)}
    assert {k: estimator.get_params()[k] for k in defaults} == defaults
    for parameters in kind.get_test_params():
        changed = kind(**parameters)
        assert clone(changed).get_params() == changed.get_params() == kind().set_params(**parameters).get_params()
    with pytest.raises(TypeError, match="no_such"):
        kind(no_such=1)
    assert pickle.loads(pickle.dumps(kind)) is kind


def test_an_unknown_name_lists_those_there_are() -> None:
    with pytest.raises(AttributeError, match=r"DLinearFortuneteller.*DLinearForecaster"):
        _ = estimators.DLinearFortuneteller


def test_a_faulty_model_takes_no_other_down(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(estimators, "model_names", lambda: ["dlinear", "half_written"])
    with pytest.warns(UserWarning, match="model half_written left out"):
        found = estimators.estimators.__wrapped__()
    assert "DLinearForecaster" in found


@pytest.mark.filterwarnings("ignore")
def test_the_examples_of_the_docs_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    tried = doctest.testfile(str(ROOT / "docs" / "sktime.md"), module_relative=False)
    assert tried.attempted > 20
    assert not tried.failed


# ---------------------------------------------------------------- the harness's own predictions


def carried(name: str, split: str) -> tuple[Any, np.ndarray]:
    """Cases as sktime loads them, and the classes as the harness counts them."""
    load = {"BasicMotions": load_basic_motions, "JapaneseVowels": load_japanese_vowels}[name]
    X, y = load(split, return_type="nested_univ" if name == "JapaneseVowels" else "numpy3D")
    task: Any = all_datasets()[f"uea/{name}"].load(Path(), "validation").task
    labels = [label.lower() for label in task.labels]
    return X, np.array([labels.index(label) for label in y])  # sktime changes them to lower case


@pytest.mark.parametrize(
    ("archive", "model", "settings", "own"),
    [
        ("BasicMotions", "minirocket", FEW, {}),
        ("BasicMotions", "dlinear", {"epochs": 5}, {}),
        ("BasicMotions", "vsformer", dict(find_model("vsformer").tiny), {}),
        ("JapaneseVowels", "minirocket", FEW, {"length": 29}),  # of its longest test case
        ("JapaneseVowels", "dlinear", {"epochs": 2}, {"length": 29}),
    ],
)
def test_a_classifier_predicts_what_the_run_of_its_cell_does(
    archive: str, model: str, settings: dict[str, Any], own: dict[str, Any], tmp_path: Path
) -> None:
    dataset = all_datasets()[f"uea/{archive}"]
    cell = make_cell(dataset, dataset.name, None, model, settings, seed=5)
    key = key_of(identity(cell, tmp_path))
    assert run_cell(cell, key, Store(tmp_path), Options(tmp_path)) == "finished"
    kept = load_model(tmp_path / "artifacts" / key)
    splits = dataset.load(tmp_path, "validation")
    assert splits.refit
    (order,) = like_size(splits.refit.test.sizes, kept.block_values)  # in which a run predicts them, at once
    wanted = kept.predict(splits.refit.test.batch(order))[order.argsort()].detach().double().softmax(-1).numpy()

    kind = getattr(estimators, f"{find_model(model).__name__}Classifier")
    classifier = kind(**cell.settings, **own, random_state=5).fit(*carried(archive, "train"))
    X, y = carried(archive, "test")
    np.testing.assert_array_equal(classifier.predict_proba(X), wanted)
    assert (classifier.predict(X) == wanted.argmax(1)).all()
    result = next(r for r in Store(tmp_path).results() if r["key"] == key)
    assert classifier.score(X, y) == pytest.approx(result["scores"]["test"]["accuracy"])


@pytest.mark.parametrize("model", ["dlinear", "ols"])
def test_a_forecaster_predicts_what_the_run_of_its_cell_does(model: str) -> None:
    splits = all_datasets()["sktime/airline/12"].load(Path(), "full")  # 100, 16 and 28 months
    cell = make_cell(all_datasets()["sktime/airline/12"], "sktime/airline/12", None, model, {}, seed=5)
    fitted = fit(cell, splits, Run(seed=5))
    y = load_airline()
    mean, scale = y[:100].mean(), y[:100].std(ddof=0)

    kind = getattr(estimators, f"{find_model(model).__name__}Forecaster")
    forecaster = kind(**cell.settings, look_back=24, season=12, validation=16 / 116, random_state=5)
    forecaster.fit(y[:116], fh=range(1, 13))
    for window in (0, 3):  # the first one after fit, and one after three more months
        if window:
            forecaster.update(y[116 : 116 + window], update_params=False)
        wanted = fitted.predict(splits.test.batch(torch.tensor([window])))[0, :, 0].double().numpy() * scale + mean
        forecast = forecaster.predict()
        np.testing.assert_allclose(forecast, wanted, rtol=1e-6)
        pd.testing.assert_index_equal(forecast.index, y.index[116 + window : 128 + window], check_names=False)


# ---------------------------------------------------------------- randomness


def generators() -> list[Any]:
    return [random.getstate(), np.random.get_state()[1].tolist(), torch.get_rng_state().tolist()]  # type: ignore[index]  # noqa: NPY002


def test_the_seed_decides_and_the_global_generators_stay() -> None:
    X, y = load_unit_test("train", return_type="numpy3D")
    before = generators()
    settings = {"features": 84, "random_state": 3}
    first = MiniRocketClassifier(**settings).fit(X, y).predict_proba(X)
    assert generators() == before
    torch.manual_seed(1234)
    assert (MiniRocketClassifier(**settings).fit(X, y).predict_proba(X) == first).all()
    for state in (4, None, np.random.RandomState(3)):
        assert (MiniRocketClassifier(features=84, random_state=state).fit(X, y).predict_proba(X) != first).any()
    series = load_airline()
    before = generators()
    forecasts = [DLinearForecaster(epochs=2, random_state=s).fit_predict(series, fh=[1, 2]) for s in (0, 0, 1)]
    assert generators() == before
    assert (forecasts[0] == forecasts[1]).all()
    assert (forecasts[0] != forecasts[2]).any()


def test_a_fitted_estimator_is_pickled_to_another_process(tmp_path: Path) -> None:
    X, y = load_unit_test("train", return_type="numpy3D")
    classifier = MiniRocketClassifier(features=84, random_state=0).fit(X, y)
    np.save(tmp_path / "X.npy", X)
    (tmp_path / "classifier.pickle").write_bytes(pickle.dumps(classifier))
    code = (
        "import pickle, numpy as np\n"
        "classifier = pickle.load(open('classifier.pickle', 'rb'))\n"
        "np.save('p.npy', classifier.predict_proba(np.load('X.npy')))\n"
    )
    subprocess.run([sys.executable, "-W", "ignore", "-c", code], cwd=tmp_path, check=True, timeout=300)
    np.testing.assert_array_equal(np.load(tmp_path / "p.npy"), classifier.predict_proba(X))


def test_only_this_module_imports_sktime() -> None:
    code = "import sys, tsbench.run, tsbench.registry as r; r.find_model('dlinear'); assert 'sktime' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True, timeout=300)


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
    scores = cross_val_score(MiniRocketClassifier(**FEW, random_state=0), X, y, cv=2)
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


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU")
def test_on_a_gpu() -> None:
    X, y = load_unit_test("train", return_type="numpy3D")
    before = torch.cuda.get_rng_state()
    on_gpu = MiniRocketClassifier(features=840, random_state=0, device="cuda").fit(X, y)
    assert torch.equal(torch.cuda.get_rng_state(), before)
    on_cpu = MiniRocketClassifier(features=840, random_state=0).fit(X, y)
    np.testing.assert_allclose(on_gpu.predict_proba(X), on_cpu.predict_proba(X), atol=1e-2)


def test_bases_are_told_apart() -> None:
    assert issubclass(MiniRocketClassifier, Classifier)
    assert issubclass(DLinearForecaster, Forecaster)
