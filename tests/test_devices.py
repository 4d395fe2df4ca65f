"""What would break on a GPU, found without one: the meta device refuses to mix with the CPU."""

from __future__ import annotations

import pytest
import torch

from tsbench.evaluate import score
from tsbench.models.dlinear import DLinear, DLinearConfig
from tsbench.models.seasonal_naive import SeasonalNaive
from tsbench.tasks.forecasting import Forecasting
from tsbench.train import _backward, shuffled
from tsbench.windows import Windows

TASK = Forecasting(12, 4, 2, 3)


@pytest.mark.parametrize("individual", [False, True])
def test_a_training_step_stays_on_its_device(individual: bool) -> None:
    order = shuffled(50)  # drawn on the CPU, as everywhere
    windows = Windows(torch.randn(2, 80, device="meta"), 12, 4)
    model = DLinear(TASK, DLinearConfig(individual=individual, moving_average=5)).to("meta")
    loss = _backward(model, "meta")(windows.batch(order[:8]))
    assert loss.device.type == "meta"
    assert all(p.grad is not None and p.grad.device.type == "meta" for p in model.parameters())


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
    model.task = type("T", (), {"meter": lambda self: Meter(), "horizon": 4, "season": 3})()
    score(model, windows)
    score(model, windows, torch.arange(5))
    assert set(seen) == {"meta"}
