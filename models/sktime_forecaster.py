"""Any sktime forecaster: fitted anew to the look-back of every window and channel, as local forecasters are meant."""

from __future__ import annotations

import importlib
import warnings
from dataclasses import dataclass, field
from importlib.metadata import packages_distributions
from typing import Any

import numpy as np
import pandas as pd
import torch
from optuna.distributions import CategoricalDistribution
from torch import Tensor

from tsbench.data import Batch, Samples
from tsbench.errors import UsageError
from tsbench.model import Model, Run, State
from tsbench.tasks.forecasting import Forecasting


@dataclass(frozen=True)
class SktimeConfig:
    """Settings of the bridge."""

    estimator: str = "sktime.forecasting.naive.NaiveForecaster"  # its import path
    parameters: dict[str, Any] = field(default_factory=lambda: {"strategy": "drift"})  # of its constructor


class SktimeForecaster(Model):
    """Forecasts each window from that window alone; nothing is learned from the training rows."""

    Config = SktimeConfig
    tasks = (Forecasting,)
    stochastic = False
    source = "Löning et al., sktime: a unified interface for machine learning with time series, 2019"
    search_space = {"parameters": CategoricalDistribution(('{"strategy": "drift"}', '{"strategy": "mean"}'))}

    def __init__(self, task: Forecasting, config: SktimeConfig) -> None:
        super().__init__(task, config)
        self.forecaster = build(config.estimator, config.parameters, "sktime.forecasting.base.BaseForecaster")

    def fit(self, train: Samples, validation: Samples, run: Run) -> None:
        """Nothing to learn."""

    def predict(self, batch: Batch) -> Tensor:
        """Fit to each channel of each window, `(batch, horizon, channel)`."""
        steps = np.arange(1, self.task.horizon + 1)
        series = batch.inputs.transpose(1, 2).reshape(-1, self.task.look_back).cpu().double().numpy()
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # thousands of fits repeat each notice thousands of times
            forecasts = [self.forecaster.clone().fit(pd.Series(one), fh=steps).predict() for one in series]
        values = torch.from_numpy(np.stack([np.ravel(f) for f in forecasts])).to(batch.inputs)
        return values.view(len(batch), self.task.channels, -1).transpose(1, 2)

    def state(self) -> State:
        """Empty: a forecast depends on the window and the settings only."""
        return {}

    def load_state(self, state: State) -> None:
        """Nothing to load."""


def build(path: str, parameters: dict[str, Any], base: str) -> Any:
    """Construct an estimator from its import path.

    Raises:
        UsageError: it cannot be imported, is not a `base`, or refuses its parameters.
    """
    kind, wanted = _load(path), _load(base)
    if not (isinstance(kind, type) and issubclass(kind, wanted)):
        raise UsageError(f"estimator={path} is not a {wanted.__name__}")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", FutureWarning)
            return kind(**parameters)
    except (TypeError, ValueError) as error:
        raise UsageError(f"estimator={path}: parameters={parameters}: {error}") from None


def _load(path: str) -> Any:
    module, _, name = path.rpartition(".")
    if module.split(".")[0] not in packages_distributions():  # a path may come from a model file: import no loose code
        raise UsageError(f"estimator={path}: {module.split('.')[0]!r} is no installed package")
    try:
        return getattr(importlib.import_module(module), name)
    except (ImportError, AttributeError, ValueError) as error:
        raise UsageError(f"estimator={path}: {error}. Give a full import path, package.module.Class.") from None
