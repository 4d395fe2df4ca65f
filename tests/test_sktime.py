"""Our models as sktime estimators: sktime's own suite, parameters, the harness's own predictions, randomness."""

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
from sktime.datasets import load_airline, load_basic_motions, load_japanese_vowels, load_unit_test

import tsbench.sktime as estimators
from tests.conftest import ROOT
from tsbench.artifacts import load_model
from tsbench.cell import identity, key_of, make_cell
from tsbench.data import like_size
from tsbench.inputs import Series
from tsbench.model import Run
from tsbench.registry import all_datasets, find_model, model_names
from tsbench.run import Options, fit, run_cell
from tsbench.settings import as_dict
from tsbench.sktime import Classifier, DLinearForecaster, Forecaster, MiniRocketClassifier
from tsbench.store import Store
from tsbench.tasks.classification import Classification
from tsbench.tasks.forecasting import Forecasting

FEW = {"features": 840}  # of MiniRocket
NAMES = list(estimators.estimators())
slow = pytest.mark.slow


def suite(name: str, **some: Any) -> int:
    """How many checks of sktime's own suite there are; all must pass."""
    from sktime.utils.estimator_checks import check_estimator

    results = check_estimator(getattr(estimators, name), verbose=False, **some)
    assert {test: result for test, result in results.items() if result != "PASSED"} == {}
    return len(results)


@slow
@pytest.mark.parametrize(("name", "least"), [("MiniRocketClassifier", 250), ("DLinearForecaster", 680)])
@pytest.mark.filterwarnings("ignore")
def test_sktimes_own_suite_passes_whole(name: str, least: int) -> None:
    """One estimator of each base: the code that sktime sees is the base's."""
    assert suite(name) >= least


@pytest.mark.parametrize("name", ["VSFormerClassifier", "OLSForecaster"])
@pytest.mark.filterwarnings("ignore")
def test_what_depends_on_the_model_passes_for_others(name: str) -> None:
    """Its parameters, what is kept of it, and what it gives."""
    output = {"VSFormerClassifier": "test_classifier_output", "OLSForecaster": "test_fit_predict"}[name]
    tests = ["test_constructor", "test_fit_does_not_overwrite_hyper_params", "test_persistence_via_pickle", output]
    assert suite(name, tests_to_run=tests) >= len(tests)


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
