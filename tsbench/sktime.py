"""Our models as sktime estimators: `from tsbench.sktime import ConstantClassifier, DLinearForecaster`.

Every model that classifies series is here under the name of its class + `Classifier`, every one that forecasts under
its name + `Forecaster`; `dir(tsbench.sktime)` lists them. Parameters are the model's settings and a few of ours.
"""

from __future__ import annotations

import inspect
import random
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import fields, replace
from functools import lru_cache
from typing import Any, ClassVar, cast

import numpy as np
import pandas as pd
import torch
from sklearn.utils import ClassifierTags, Tags, TargetTags
from sktime.classification.base import BaseClassifier
from sktime.datatypes import update_data
from sktime.forecasting.base import BaseForecaster
from torch import Tensor

from tsbench.cell import Cell
from tsbench.data import Samples, Splits, like_size
from tsbench.errors import UsageError
from tsbench.inputs import Series
from tsbench.model import Model, Run
from tsbench.registry import find_model, model_names
from tsbench.run import fit
from tsbench.series.samples import SeriesSamples
from tsbench.series.splits import classification_splits, filled, scaled
from tsbench.settings import as_dict
from tsbench.tasks.classification import Classification
from tsbench.tasks.forecasting import Forecasting
from tsbench.tasks.task import Task
from tsbench.windows import Windows


class Estimator:
    """What classifiers and forecasters share: fitting and predicting by the harness's own code.

    Attributes:
        name: the model's name in the harness.
        kind: its class.
        solves: the kind of task.
        own: parameters that are no settings of the model, with their defaults.
        second: values of some of these, for sktime's tests.
        example: what its docstring shows.
    """

    name: ClassVar[str]
    kind: ClassVar[type[Model]]
    solves: ClassVar[type[Task]]
    own: ClassVar[Mapping[str, Any]] = {"device": "cpu", "random_state": None}
    second: ClassVar[Mapping[str, Any]]
    example: ClassVar[str]

    device: str
    random_state: Any

    @classmethod
    def get_test_params(cls, parameter_set: str = "default") -> list[dict[str, Any]]:
        """Parameters for sktime's tests: the settings of our own tests."""
        first = {**cls.kind.tiny, "random_state": 0}
        return [first, {**first, **cls.second}]

    def train(self, splits: Splits) -> Model:
        """A fitted model: where `splits` hold something out for validation only, fitted again to all."""
        settings = {field.name: getattr(self, field.name) for field in fields(self.kind.Config)}
        settings = {name: value for name, value in settings.items() if value is not None}
        cell = Cell("sktime", "validation", self.name, settings, _seed(self.random_state))
        run = Run(cell.seed, torch.device(self.device), select=splits.selects)
        with untouched_randomness(run.device):
            model = fit(cell, splits, run)
            if splits.refit:
                again = Run(run.seed, run.device, select=False, epochs=run.best_epoch)
                model = fit(cell, replace(splits, train=splits.refit.train), again)
        return model

    @torch.no_grad()
    def answers(self, model: Model, samples: Samples) -> Tensor:
        """Predictions in the order of `samples`, on the CPU; by the blocks in which a run scores them."""
        samples, parts = samples.to(self.device), like_size(samples.sizes, model.block_values)
        with untouched_randomness(torch.device(self.device)):
            predicted = torch.cat([model.predict(samples.batch(indices)).cpu() for indices in parts])
        return predicted[torch.cat(parts).argsort()]


class Classifier(Estimator, BaseClassifier):  # type: ignore[misc]
    """A model as an sktime classifier. Cases may be of unequal length and have missing values.

    It is fitted under the protocol `validation` of `tsbench.series.splits`. `length` is that of the longest case the
    model is made for, by default the longest it is fitted to; longer ones are cut.
    """

    solves = Classification
    own = {"scaling": "channel", "length": None, **Estimator.own}
    second = {"scaling": "case"}
    example = """
    >>> from sktime.datasets import load_unit_test
    >>> from tsbench.sktime import {name}
    >>> X, y = load_unit_test("train")
    >>> {name}({parameters}).fit(X, y).predict(X).shape
    (20,)
    """
    _tags = {
        "X_inner_mtype": "df-list",
        "capability:multivariate": True,
        "capability:unequal_length": True,
        "capability:missing_values": True,
        "capability:categorical_in_X": False,
        "capability:predict_proba": True,
        "capability:random_state": True,
        "property:randomness": "derandomized",
    }

    scaling: str
    length: int | None

    # Set by scikit-learn's searches around fit: sktime's fit would delete it, if the class did not have it too.
    _parent_callback_ctx = None

    def __sklearn_tags__(self) -> Tags:
        return Tags("classifier", TargetTags(required=True), classifier_tags=ClassifierTags())

    def _fit(self, X: list[pd.DataFrame], y: np.ndarray) -> Classifier:
        length = self.length or max(len(case) for case in X)
        target = torch.from_numpy(np.unique(y, return_inverse=True)[1])
        self.cases_ = series_samples(X, target, length, X[0].shape[1])
        labels = tuple(str(label) for label in self.classes_)
        no_test = self.cases_.select(torch.arange(0))
        self.model_ = self.train(classification_splits(self.cases_, no_test, labels, "validation", self.scaling))
        return self

    def _predict_proba(self, X: list[pd.DataFrame]) -> np.ndarray:
        shape = self.model_.task.inputs
        cases = series_samples(X, torch.zeros(len(X), dtype=torch.int64), shape.length, shape.channels)
        _, cases = scaled(self.scaling, filled(self.cases_), filled(cases))
        return self.answers(self.model_, cases).double().softmax(-1).numpy()


class Forecaster(Estimator, BaseForecaster):  # type: ignore[misc]
    """A model as an sktime forecaster, of one or several channels, up to the largest step of `fh`.

    The last `validation` of the rows choose the epoch, where they hold a horizon and leave a window to train on; else
    the last epoch counts. `look_back` is by default a third of the rows beyond the horizon, and at most 96.
    Updated without parameters, it forecasts from the new rows with the weights it has.
    """

    solves = Forecasting
    own = {"look_back": None, "validation": 0.125, "season": 1, **Estimator.own}
    second = {"look_back": 4, "validation": 0.0}
    example = """
    >>> from sktime.datasets import load_airline
    >>> from tsbench.sktime import {name}
    >>> {name}({parameters}).fit(load_airline(), fh=[1, 12]).predict().shape
    (2,)
    """
    _tags = {
        "y_inner_mtype": "pd.DataFrame",
        "capability:multivariate": True,
        "capability:exogenous": False,
        "capability:insample": False,
        "capability:update": True,
        "capability:categorical_in_X": False,
        "requires-fh-in-fit": True,
        "capability:random_state": True,
        "property:randomness": "derandomized",
    }
    _config = {"remember_data": False}  # we remember them ourselves
    _y = _X = None  # what sktime remembers where it is told to

    look_back: int | None
    validation: float
    season: int

    def _fit(self, y: pd.DataFrame, X: Any, fh: Any) -> Forecaster:
        horizon = int(fh.to_indexer(self.cutoff).max()) + 1
        look_back = self.look_back or max(1, min(96, (len(y) - horizon) // 3))
        if len(y) < look_back + horizon:
            raise UsageError(f"{len(y)} rows hold no window of look_back {look_back} + horizon {horizon}")
        held_out = max(round(self.validation * len(y)), horizon) if self.validation else 0
        selects = 0 < held_out <= len(y) - look_back - horizon
        rows = len(y) - held_out if selects else len(y)
        values = y.to_numpy(dtype=np.float64)
        self.mean_, self.scale_ = values[:rows].mean(0), values[:rows].std(0)
        self.scale_ = np.where(self.scale_ == 0, 1.0, self.scale_)
        series = torch.from_numpy(((values - self.mean_) / self.scale_).astype(np.float32).T)  # (channel, time)
        task = Forecasting(look_back, horizon, len(series), min(self.season, look_back))
        train = Windows(series[:, :rows], look_back, horizon)
        validation = Windows(series[:, rows - look_back :], look_back, horizon) if selects else train
        self.seen_ = y
        self.model_ = self.train(Splits(task, train, validation, validation, selects=selects))
        return self

    def _predict(self, fh: Any, X: Any) -> pd.DataFrame:
        task, steps = self.model_.task, fh.to_indexer(self.cutoff)
        if steps.max() >= task.horizon:
            raise UsageError(f"step {steps.max() + 1} is beyond the horizon of {task.horizon} that was given to fit")
        recent = (self.seen_.to_numpy(dtype=np.float64)[-task.look_back :] - self.mean_) / self.scale_
        series = np.concatenate([recent, np.zeros((task.horizon, task.channels))]).astype(np.float32).T
        window = Windows(torch.from_numpy(series), task.look_back, task.horizon)
        values = self.answers(self.model_, window)[0].double().numpy() * self.scale_ + self.mean_
        return pd.DataFrame(values[steps], fh.to_absolute_index(self.cutoff), self.seen_.columns)

    def _update(self, y: pd.DataFrame, X: Any = None, update_params: bool = True) -> Forecaster:
        self.seen_ = update_data(self.seen_, y)
        return self._fit(self.seen_, X, self._fh) if update_params else self


def series_samples(cases: list[pd.DataFrame], target: Tensor, length: int, channels: int) -> SeriesSamples:
    """Cases, `(time, channel)` each, as samples of at most `length` steps."""
    if any(case.shape[1] != channels for case in cases):
        raise UsageError(f"cases have {sorted({case.shape[1] for case in cases})} channels, not {channels}")
    if any(len(case) > length for case in cases):
        warnings.warn(f"cases of more than {length} steps are cut; to have them whole, fit with length=", stacklevel=2)
    values = np.zeros((len(cases), length, channels), dtype=np.float32)
    for row, case in zip(values, cases, strict=True):
        row[: len(case)] = case.to_numpy()[:length]
    lengths = torch.tensor([min(len(case), length) for case in cases])
    return SeriesSamples(torch.from_numpy(values), target, None if bool((lengths == length).all()) else lengths)


@contextmanager
def untouched_randomness(device: torch.device) -> Iterator[None]:
    """The global generators of Python, numpy and torch are afterwards as they were."""
    python, numpy = random.getstate(), np.random.get_state()  # noqa: NPY002
    try:
        with torch.random.fork_rng([device] if device.type == "cuda" else []):
            yield
    finally:
        random.setstate(python)
        np.random.set_state(numpy)  # noqa: NPY002


def _seed(random_state: Any) -> int:
    """A number as it is; one drawn from a generator, or from the operating system if there is none."""
    if random_state is None:
        return int(np.random.default_rng().integers(2**31))
    return int(random_state.randint(2**31) if hasattr(random_state, "randint") else random_state)


@lru_cache(maxsize=1)
def estimators() -> dict[str, type[Estimator]]:
    """All estimators by name."""
    found: dict[str, type[Estimator]] = {}
    for name in model_names():
        try:
            kind = find_model(name)
        except Exception as error:  # a model that is being written must not take the others down
            warnings.warn(f"model {name} left out: {error}", stacklevel=2)
            continue
        for base in (Classifier, Forecaster):
            if issubclass(base.solves, kind.tasks) and issubclass(Series, kind.inputs):
                made = _make(name, kind, base)
                found.setdefault(made.__name__, made)
    return found


def _make(name: str, kind: type[Model], base: type[Estimator]) -> type[Estimator]:
    """The estimator of a model: `base` with a constructor of its own, as sktime reads parameters off the signature."""
    # A default that can be changed in place is given as None, which means the model's default.
    settings = {key: None if isinstance(value, dict) else value for key, value in as_dict(kind.Config()).items()}
    defaults = {**settings, **base.own}.items()
    parameters = [inspect.Parameter(key, inspect.Parameter.KEYWORD_ONLY, default=value) for key, value in defaults]

    def __init__(self: Any, **given: Any) -> None:
        bound = signature.bind(self, **given)
        bound.apply_defaults()
        vars(self).update({key: value for key, value in bound.arguments.items() if key != "self"})
        base.__init__(self)

    signature = inspect.Signature([inspect.Parameter("self", inspect.Parameter.POSITIONAL_OR_KEYWORD), *parameters])
    __init__.__signature__ = signature  # type: ignore[attr-defined]
    suffix = base.__name__
    body = {"name": name, "kind": kind, "__init__": __init__, "__module__": __name__}
    made: Any = type(kind.__name__.removesuffix(suffix) + suffix, (base,), body)
    listed = "\n".join(f"{p.name} : default={p.default!r}" for p in parameters)
    tried = ", ".join(f"{key}={value!r}" for key, value in made.get_test_params()[0].items())
    example = inspect.cleandoc(base.example.format(name=made.__name__, parameters=tried))
    sections = f"Parameters\n----------\n{listed}\n\nExamples\n--------\n{example}\n"
    made.__doc__ = f"{inspect.getdoc(kind)}\n\n{inspect.getdoc(base)}\n\n{sections}"
    return cast("type[Estimator]", made)


def __getattr__(name: str) -> Any:
    """The estimator called `name`: so that it can be imported, and pickled by its name."""
    if name.endswith(("Classifier", "Forecaster")) and name in estimators():
        return estimators()[name]
    raise AttributeError(f"module {__name__!r} has no {name!r}; it has {', '.join(estimators())}")


def __dir__() -> list[str]:
    return list(estimators())
