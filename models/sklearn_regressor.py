"""Any scikit-learn regressor: the horizon of one channel from its look-back, shared by all channels."""

from __future__ import annotations

import io
import re
import warnings
import zipfile
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import numpy as np
import torch
from optuna.distributions import CategoricalDistribution
from torch import Tensor

from tsbench.data import Batch, Samples
from tsbench.errors import TsbenchError
from tsbench.model import Model, Run, State
from tsbench.models.sktime_forecaster import build
from tsbench.tasks.forecasting import Forecasting


@dataclass(frozen=True)
class SklearnConfig:
    """Settings of the bridge."""

    estimator: str = "sklearn.linear_model.Ridge"  # its import path
    parameters: dict[str, Any] = field(default_factory=dict)  # of its constructor
    rows: int = 20000  # at most so many training rows (window x channel), evenly spaced over time
    subtract_last: bool = True  # forecast the change against the last value, as NLinear


class SklearnRegressor(Model):
    """Fits `(rows, look_back)` to `(rows, horizon)`; regressors of one output are fitted once for each step."""

    Config = SklearnConfig
    tasks = (Forecasting,)
    source = "Pedregosa et al., Scikit-learn: Machine Learning in Python, JMLR 2011"
    search_space = {
        "parameters": CategoricalDistribution(tuple(f'{{"alpha": {a}}}' for a in (0.1, 1, 10, 100, 1000, 10000)))
    }

    def __init__(self, task: Forecasting, config: SklearnConfig) -> None:
        super().__init__(task, config)
        self.regressor = build(config.estimator, config.parameters, "sklearn.base.RegressorMixin")

    def fit(self, train: Samples, validation: Samples, run: Run) -> None:
        """Fit to evenly spaced training windows."""
        from sklearn.base import clone
        from sklearn.multioutput import MultiOutputRegressor

        count = min(len(train), max(1, self.config.rows // self.task.channels))
        batch = train.batch(torch.linspace(0, len(train) - 1, count).long())
        x, last = self._rows(batch)
        y = batch.target.transpose(1, 2).reshape(len(x), -1).cpu().double().numpy() - last
        regressor = clone(self.regressor)
        if "random_state" in regressor.get_params():
            regressor.set_params(random_state=run.seed % 2**32)
        try:
            self.regressor = clone(regressor).fit(x, y)
        except ValueError as error:
            if y.shape[1] == 1 or "1d" not in str(error).replace("y should be a 1d", "1d"):
                raise
            self.regressor = MultiOutputRegressor(regressor).fit(x, y)

    def predict(self, batch: Batch) -> Tensor:
        """Forecast `(batch, horizon, channel)`."""
        x, last = self._rows(batch)
        values = np.asarray(self.regressor.predict(x)).reshape(len(x), -1) + last
        forecast = torch.from_numpy(values).to(batch.inputs)
        return forecast.view(len(batch), self.task.channels, -1).transpose(1, 2)

    def _rows(self, batch: Batch) -> tuple[np.ndarray, np.ndarray]:
        """Inputs of every channel of every window, `(rows, look_back)`, and what was subtracted, `(rows, 1)`."""
        x = batch.inputs.transpose(1, 2).reshape(-1, self.task.look_back).cpu().double().numpy()
        last = x[:, -1:] * self.config.subtract_last
        return x - last, last

    def state(self) -> State:
        """The estimator in skops' format."""
        return pack(self.regressor)

    def load_state(self, state: State) -> None:
        """Load; only types of scikit-learn, numpy and scipy are trusted."""
        self.regressor = unpack(state, self.config.estimator, ("sklearn", "numpy", "scipy"))

    def parameter_count(self) -> int:
        """Values of the fitted arrays of the estimator."""
        parts = getattr(self.regressor, "estimators_", [self.regressor])
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return sum(
                int(v.size) for p in parts for k, v in vars(p).items() if k.endswith("_") and isinstance(v, np.ndarray)
            )


def pack(estimator: Any) -> State:
    """An estimator in skops' format, as bytes: it loads without executing code, and equal ones have equal bytes."""
    import skops.io

    return {"skops": torch.from_numpy(np.frombuffer(_numbered(skops.io.dumps(estimator)), dtype=np.uint8).copy())}


def _numbered(content: bytes) -> bytes:
    """Parts numbered in order, where skops names them by addresses in memory, and files without the time of day."""
    with zipfile.ZipFile(io.BytesIO(content)) as given:
        files = {name: given.read(name) for name in given.namelist()}
    schema = files.pop("schema.json").decode()
    order = {address: str(i) for i, address in enumerate(dict.fromkeys(re.findall(r'"__id__": (\d+)', schema)))}
    number = partial(re.sub, r"\d+", lambda found: order.get(found[0], found[0]))
    schema = re.sub(r'(?<=\n)\s*"(__id__": |file": ")\d+', lambda line: number(line[0]), schema)
    files = {number(name): files[name] for name in sorted(files, key=number)} | {"schema.json": schema.encode()}
    with zipfile.ZipFile(made := io.BytesIO(), "w") as archive:
        for name, part in files.items():
            archive.writestr(zipfile.ZipInfo(name), part)
    return made.getvalue()


def unpack(state: State, name: str, packages: tuple[str, ...]) -> Any:
    """The estimator that `pack` gave.

    Args:
        state: what `pack` gave.
        name: of the estimator, for the message.
        packages: whose types are trusted beyond those that skops knows as safe.

    Raises:
        TsbenchError: it holds types of other packages.
    """
    import skops.io

    content = state["skops"].numpy().tobytes()
    unknown = skops.io.get_untrusted_types(data=content)
    foreign = [kind for kind in unknown if kind.split(".")[0] not in packages]
    if foreign:
        raise TsbenchError(f"{name} cannot be loaded safely: it holds {', '.join(foreign)}")
    return skops.io.loads(content, trusted=unknown)
