"""Any sktime classifier, fitted once to all training cases; by default Arsenal, an ensemble of ROCKETs."""

from __future__ import annotations

import warnings
from dataclasses import dataclass, field
from importlib.util import find_spec
from typing import Any

import numpy as np
import torch
from optuna.distributions import CategoricalDistribution
from torch import Tensor
from torch.nn import functional as F

from tsbench.data import Batch, Samples
from tsbench.dataset import Dataset
from tsbench.model import Model, Run, State
from tsbench.models.sklearn_regressor import pack, unpack
from tsbench.models.sktime_forecaster import build
from tsbench.tasks.classification import LEAST, Classification

TRUSTED = ("sktime", "sklearn", "numpy", "scipy")  # packages whose types may be loaded


@dataclass(frozen=True)
class SktimeClassifierConfig:
    """Settings of the bridge."""

    estimator: str = "sktime.classification.kernel_based.Arsenal"  # its import path
    parameters: dict[str, Any] = field(default_factory=lambda: {"n_estimators": 10})  # of its constructor


class SktimeClassifier(Model):
    """Log probabilities of the classifier, clamped at 1e-6.

    Shorter series are filled with zeros, which is the mean after scaling, up to the longest of the task, as most of
    sktime's classifiers need equal lengths; that goes for those that do not, too.
    """

    Config = SktimeClassifierConfig
    tasks = (Classification,)
    source = "Middlehurst et al., HIVE-COTE 2.0, Machine Learning 2021 (Arsenal); Löning et al., sktime, 2019"
    tiny = {"parameters": {"n_estimators": 2, "num_kernels": 84}}
    search_space = {"parameters": CategoricalDistribution(tuple(f'{{"n_estimators": {n}}}' for n in (5, 10, 25)))}

    @classmethod
    def refuses(cls, dataset: Dataset) -> str | None:
        """Everything, where numba is not installed: almost all that classifies several channels needs it."""
        if find_spec("numba") is None:
            return 'sktime_classifier needs numba: pip install "tsbench[numba]"'
        return super().refuses(dataset)

    def __init__(self, task: Classification, config: SktimeClassifierConfig) -> None:
        super().__init__(task, config)
        self.classifier = build(config.estimator, config.parameters, "sktime.classification.base.BaseClassifier")

    def fit(self, train: Samples, validation: Samples, run: Run) -> None:
        """Fit to all of `train`, with the run's seed."""
        batch = train.batch(torch.arange(len(train)))
        names = [key for key in self.classifier.get_params() if key.split("__")[-1] == "random_state"]
        self.classifier.set_params(**dict.fromkeys(names, run.seed % 2**31))
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            self.classifier.fit(self._cases(batch), batch.target.cpu().numpy())

    def predict(self, batch: Batch) -> Tensor:
        """Log probabilities `(batch, classes)`; a class without a training case is as good as impossible."""
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            known = self.classifier.predict_proba(self._cases(batch))
        probabilities = torch.zeros(len(batch), self.task.classes)
        probabilities[:, torch.from_numpy(self.classifier.classes_)] = torch.from_numpy(np.asarray(known)).float()
        return probabilities.clamp(min=LEAST).log().to(batch.inputs.device)

    def _cases(self, batch: Batch) -> np.ndarray:
        """`(case, channel, time)`, as long as the longest of the task; zero beyond the end of a case."""
        x = batch.inputs if batch.valid is None else batch.inputs.masked_fill(~batch.valid[..., None], 0)
        x = F.pad(x, (0, 0, 0, self.task.inputs.length - x.shape[1]))
        return np.ascontiguousarray(x.transpose(1, 2).cpu().double().numpy())

    def state(self) -> State:
        """The classifier in skops' format."""
        return pack(self.classifier)

    def load_state(self, state: State) -> None:
        """Load; types of other packages than `TRUSTED` are refused."""
        self.classifier = unpack(state, self.config.estimator, TRUSTED)

    def parameter_count(self) -> int:
        """Values of the arrays that the fitted classifier holds."""
        return count(self.classifier, set())


def count(part: Any, seen: set[int]) -> int:
    """Numbers in the arrays of an object of sktime or scikit-learn, of its parts, and of theirs."""
    if id(part) in seen:
        return 0
    seen.add(id(part))
    if isinstance(part, np.ndarray):
        return part.size if part.dtype.kind in "fiu" else sum(count(one, seen) for one in part.flat)
    if isinstance(part, dict):
        return sum(count(one, seen) for one in part.values())
    if isinstance(part, list | tuple):
        return sum(count(one, seen) for one in part)
    ours = type(part).__module__.split(".")[0] in ("sktime", "sklearn")
    return count(vars(part), seen) if ours and hasattr(part, "__dict__") else 0
