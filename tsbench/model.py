"""Model: anything that is fitted on one split and predicts another; NeuralModel trains by the shared loop."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import torch
from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution
from torch import Tensor, nn

from tsbench.data import Batch, Samples
from tsbench.inputs import Inputs, Series
from tsbench.settings import NoSettings
from tsbench.tasks.task import Task
from tsbench.train import TrainConfig
from tsbench.train import train as train_loop

if TYPE_CHECKING:
    from tsbench.dataset import Dataset
    from tsbench.explanation import Explanation

State = dict[str, Tensor]


def _ignore(epoch: int, curve: dict[str, float]) -> None:
    """Report nothing."""


@dataclass
class Run:
    """What a fit may know about the run it belongs to.

    Attributes:
        seed: for random numbers that do not come from torch's global generator.
        device: where to compute.
        checkpoint: where an interrupted fit leaves its state and finds it again; None keeps none.
        checkpoint_seconds: least time between two checkpoints, so that short fits write none.
        select: False if validation is to choose nothing: train to the last epoch and keep it.
        epochs: train so many epochs of those configured; None means all.
        whole_batches: leave the last partial batch out of the selecting validation pass (published code does).
        report: called after each epoch with its curves; raises Pruned when a study gives the trial up.
        curves: one entry an epoch, filled by `log`.
        measured: figures of the fit itself, such as `padding`: values computed for each real one.
        best_epoch: how many epochs gave the weights that were kept, set by the training loop.
    """

    seed: int = 2021
    device: torch.device = field(default_factory=lambda: torch.device("cpu"))
    checkpoint: Path | None = None
    checkpoint_seconds: float = 60.0
    select: bool = True
    epochs: int | None = None
    whole_batches: bool = False
    report: Callable[[int, dict[str, float]], None] = _ignore
    curves: list[dict[str, float]] = field(default_factory=list)
    measured: dict[str, float] = field(default_factory=dict)
    best_epoch: int | None = None

    def log(self, curve: dict[str, float]) -> None:
        """Keep the curves of one epoch and report them."""
        self.curves.append(curve)
        self.report(len(self.curves), curve)


class Model(ABC):
    """A model for one task. Subclasses set the class attributes, `fit` and `predict`.

    Attributes:
        Config: frozen dataclass of its settings; every field is a `--set key=value`.
        tasks: the task kinds it can do.
        inputs: the kinds of inputs it can take.
        block_values: values of samples that it predicts at once in evaluation: few enough to stay in cache.
        train_values: values of samples that it trains on at once; a larger batch is taken in parts.
        stochastic: False if the seed changes nothing; such a model is run once.
        recipes: published settings, `"data set@protocol"` glob or kind of task or inputs -> settings; later matches win
            (see `cell.recipe`).
        search_space: setting -> Optuna distribution.
        source: paper and code it follows.
        tiny: settings that make it small enough for the contract to be checked in seconds.
        told: what it is told that it should predict, such as "test answers"; its scores are shown without a rank and
            enter no test.
        meaningless: metrics that say nothing of it; they are left out of tables.
    """

    Config: ClassVar[type] = NoSettings
    tasks: ClassVar[tuple[type[Task], ...]] = ()
    inputs: ClassVar[tuple[type[Inputs], ...]] = (Series,)
    block_values: ClassVar[int] = 2**21
    train_values: ClassVar[int] = 2**30
    stochastic: ClassVar[bool] = True
    recipes: ClassVar[Mapping[str, Mapping[str, Any]]] = {}
    search_space: ClassVar[Mapping[str, BaseDistribution]] = {}
    source: ClassVar[str] = ""
    tiny: ClassVar[Mapping[str, Any]] = {}
    told: ClassVar[str] = ""
    meaningless: ClassVar[tuple[str, ...]] = ()

    task: Any
    config: Any

    def __init__(self, task: Any, config: Any) -> None:
        super().__init__()
        self.task, self.config = task, config

    @classmethod
    def refuses(cls, dataset: Dataset) -> str | None:
        """Why this model cannot take a data set, or None if it can."""
        for able, wanted, does in ((cls.tasks, dataset.kind, "does"), (cls.inputs, dataset.inputs, "takes")):
            if not issubclass(wanted, able):
                known = " or ".join(kind.__name__.lower() for kind in able)
                return f"it {does} {known}, the data set is {wanted.__name__.lower()}"
        return None

    @classmethod
    def parts(cls, config: Any) -> tuple[type, ...]:
        """Classes beyond what its file imports that this configuration is made of; their code counts in the key."""
        return ()

    @classmethod
    def files(cls, config: Any) -> tuple[Path, ...]:
        """Files beside the data that a fit reads; their content counts in the key."""
        return ()

    @abstractmethod
    def fit(self, train: Samples, validation: Samples, run: Run) -> None:
        """Learn from `train`, select on `validation` unless `run.select` is False."""

    @abstractmethod
    def predict(self, batch: Batch) -> Tensor:
        """Predict a batch, in the task's output shape."""

    def draft(self, batch: Batch) -> Tensor:
        """A prediction good enough to choose an epoch by; models whose predictions are dear make a cheaper one."""
        return self.predict(batch)

    @abstractmethod
    def state(self) -> State:
        """Everything that was learned, as tensors: saved and loaded without executing code."""

    @abstractmethod
    def load_state(self, state: State) -> None:
        """Take over what `state` gave."""

    def explain(self, batch: Batch) -> Explanation | None:
        """What it looks for, and what of these cases it attended to; None if it has nothing to say, as most have."""
        return None

    def drawings(self, validation: Samples) -> Mapping[str, str]:
        """What it shows of itself once it is fitted, name -> SVG; the report has them. Most show nothing."""
        return {}

    def parameter_count(self) -> int:
        """Number of learned values."""
        return sum(value.numel() for value in self.state().values())


class NeuralModel(Model, nn.Module):
    """A model trained by gradient descent: write `__init__` and `forward(batch)`, get the rest."""

    Config: ClassVar[type] = TrainConfig
    tiny: ClassVar[Mapping[str, Any]] = {"epochs": 2}
    search_space: ClassVar[Mapping[str, BaseDistribution]] = {
        "lr": FloatDistribution(1e-5, 0.1, log=True),
        "batch_size": CategoricalDistribution((8, 16, 32, 64)),
    }

    def forward(self, batch: Batch) -> Tensor:
        """The prediction for a batch, differentiable."""
        raise NotImplementedError(f"{type(self).__name__} defines no forward(batch)")

    def training_loss(self, batch: Batch) -> Tensor:
        """What training makes small, differentiable: the task's loss, unless a model learns by another."""
        loss: Tensor = self.task.loss(self(batch), batch)
        return loss

    def loss_and_gradient(self, batch: Batch) -> Tensor:
        """The loss of a batch, its gradient being added to the parameters'.

        A small model whose gradient is known in closed form may override this: there, autograd's bookkeeping costs
        more than the arithmetic. The contract checks that it gives what autograd gives.
        """
        loss = self.training_loss(batch)
        loss.backward()
        return loss.detach()

    def fit(self, train: Samples, validation: Samples, run: Run) -> None:
        """Train by the shared loop; ends with the weights of the best validation epoch."""
        self.to(run.device)
        train_loop(self, train, validation, run)

    @torch.no_grad()
    def predict(self, batch: Batch) -> Tensor:
        """`forward` in evaluation mode."""
        self.eval()
        prediction: Tensor = self(batch)
        return prediction

    def state(self) -> State:
        """The state dictionary, on the CPU."""
        return {name: value.detach().cpu() for name, value in self.state_dict().items()}

    def load_state(self, state: State) -> None:
        """Load a state dictionary."""
        self.load_state_dict(state)

    def parameter_count(self) -> int:
        """Number of trainable values."""
        return sum(p.numel() for p in self.parameters() if p.requires_grad)
