"""What would break on a GPU, found without one: the meta device refuses to mix with the CPU."""

from __future__ import annotations

import pytest
import torch

from tsbench.data import Batch
from tsbench.evaluate import score
from tsbench.inputs import Series
from tsbench.model import NeuralModel
from tsbench.models.dlinear import DLinear, DLinearConfig
from tsbench.models.resnet import ResNet
from tsbench.models.seasonal_naive import SeasonalNaive
from tsbench.models.series_transformer import SeriesTransformer
from tsbench.models.vsformer import VSFormer
from tsbench.series.samples import SeriesSamples
from tsbench.tasks.classification import Classification
from tsbench.tasks.forecasting import Forecasting
from tsbench.train import _backward, shuffled
from tsbench.windows import Windows

TASK = Forecasting(12, 4, 2, 3)


def step(model: NeuralModel, batch: Batch) -> None:
    loss = _backward(model, "meta")(batch)
    assert loss.device.type == "meta"
    assert all(p.grad is not None and p.grad.device.type == "meta" for p in model.parameters())


@pytest.mark.parametrize("individual", [False, True])
def test_a_training_step_stays_on_its_device(individual: bool) -> None:
    order = shuffled(50)  # drawn on the CPU, as everywhere
    windows = Windows(torch.randn(2, 80, device="meta"), 12, 4)
    model = DLinear(TASK, DLinearConfig(individual=individual, moving_average=5)).to("meta")
    step(model, windows.batch(order[:8]))


@pytest.mark.parametrize("kind", [VSFormer, SeriesTransformer, ResNet])
def test_a_training_step_on_labelled_series_stays_on_its_device(kind: type[NeuralModel]) -> None:
    order = shuffled(50)
    samples = SeriesSamples(torch.randn(50, 30, 2, device="meta"), torch.zeros(50, dtype=torch.int64, device="meta"))
    model = kind(Classification(Series(30, 2), 3), kind.Config()).to("meta")
    step(model, samples.batch(order[:8]))


@pytest.mark.parametrize("kind", [DLinear, SeasonalNaive])
def test_scoring_takes_any_order_on_any_device(kind: type[DLinear]) -> None:
    seen: list[str] = []

    class Meter:
        def update(self, prediction: torch.Tensor, batch: object) -> None:
            seen.append(prediction.device.type)

        def scores(self) -> None:
            """Meta tensors hold no numbers."""

    windows = Windows(torch.randn(2, 80, device="meta"), 12, 4)
    model = kind(TASK, kind.Config())
    if isinstance(model, DLinear):
        model.to("meta")
    own = {"meter": lambda self: Meter(), "answer": lambda self, model, prediction, batch: prediction}
    model.task = type("T", (), {"horizon": 4, "season": 3, **own})()
    score(model, windows)
    score(model, windows, torch.arange(5))
    assert set(seen) == {"meta"}
