"""The contract, over every model and every data set that is at hand; and that it catches what it should."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from tests.conftest import SHARED
from tsbench import contract
from tsbench.contract import checks_of, model_checks
from tsbench.contract_data import Broken
from tsbench.data import Batch
from tsbench.errors import MissingData
from tsbench.models.linear import Linear
from tsbench.registry import all_datasets, find_model, model_names

VARIANTS = [*model_names(), "linear:individual=true", "dlinear:individual=true", "dlinear:legacy=true"]


@pytest.mark.parametrize("name", VARIANTS)
def test_model_keeps_the_contract(name: str) -> None:
    for _, check in checks_of(name, Path()):
        check()


# Of the fourteen folds of one adapter one of each kind; of four horizons the shortest and the longest.
ALIKE = re.compile(r"archiveii/(?!5s|kfold0)|ltsf/.*/(192|336|36|48)$")
DATASETS = [name for name in sorted(all_datasets()) if not ALIKE.search(name)]


@pytest.mark.parametrize("name", DATASETS)
def test_dataset_keeps_the_contract(name: str) -> None:
    try:
        all_datasets()[name].digest(SHARED)
    except MissingData as absent:
        pytest.skip(str(absent))
    for _, check in checks_of(name, SHARED):
        check()


class Unused(Linear):
    """A parameter without gradient."""

    def __init__(self, task: Any, config: Any) -> None:
        super().__init__(task, config)
        self.idle = torch.nn.Parameter(torch.zeros(2))


class Leaky(Linear):
    """A prediction that depends on the other samples of the batch."""

    def forward(self, batch: Batch) -> Tensor:
        return super().forward(batch) - batch.inputs.mean()


class Elsewhere(Linear):
    """A tensor made on the CPU whatever the device of the input."""

    def forward(self, batch: Batch) -> Tensor:
        return super().forward(batch) + torch.zeros(1, self.task.horizon, self.task.channels)


class Careless(Linear):
    """Changes its input."""

    def forward(self, batch: Batch) -> Tensor:
        batch.inputs.mul_(2)
        return super().forward(batch)


class Unseeded(Linear):
    """Random numbers that no seed controls."""

    def __init__(self, task: Any, config: Any) -> None:
        super().__init__(task, config)
        self.map.bias.data += torch.rand(
            len(self.map.bias), generator=torch.Generator().manual_seed(torch.seed() % 2**31)
        )


class Wrong(Linear):
    """A closed form that forgets a factor."""

    def receive(self, weight: Tensor, bias: Tensor) -> None:
        super().receive(weight / 2, bias)


class Misshapen(Linear):
    """One step too many."""

    def predict(self, batch: Batch) -> Tensor:
        return super().predict(batch).repeat(1, 2, 1)


@pytest.mark.parametrize(
    ("kind", "clause"),
    [
        (Unused, "gradient to every parameter"),
        (Leaky, "a sample's prediction does not depend on its batch"),
        (Elsewhere, "a training step on the meta device"),
        (Careless, "fit changes neither samples nor batches"),
        (Unseeded, "same seed, same predictions"),
        (Wrong, "gradient in closed form equals autograd's"),
        (Misshapen, "output shape and type"),
    ],
)
def test_the_contract_catches(kind: type[Linear], clause: str, monkeypatch: pytest.MonkeyPatch) -> None:
    import tsbench.cell
    import tsbench.run

    for module in (contract, tsbench.cell, tsbench.run):
        monkeypatch.setattr(module, "find_model", lambda name: kind if name == "linear" else find_model(name))
    checks = dict(model_checks("linear", {}))
    with pytest.raises((Broken, RuntimeError)):
        checks[clause]()


@pytest.mark.parametrize(
    "estimator",
    ["ensemble.RandomForestRegressor", "neighbors.KNeighborsRegressor", "svm.SVR", "tree.DecisionTreeRegressor"],
)
def test_scikit_learn_estimators_load_back_without_pickle(estimator: str, tmp_path: Path) -> None:
    settings = {"estimator": f"sklearn.{estimator}", "rows": "60"}
    checks = dict(model_checks("sklearn_regressor", settings))
    checks["saved and loaded, same predictions"]()
