"""DLinear's folded form against the paper's, and the moving average's matrix."""

from __future__ import annotations

import pytest
import torch

from tsbench.models.dlinear import DLinear, DLinearConfig, Fold, moving_average
from tsbench.tasks.forecasting import Forecasting


@pytest.mark.parametrize("individual", [False, True])
@pytest.mark.parametrize(("look_back", "size"), [(336, 25), (104, 25), (20, 25), (5, 9), (5, 25), (30, 3)])
def test_folded_equals_the_papers_form(look_back: int, size: int, individual: bool) -> None:
    task = Forecasting(look_back, 12, 3)
    model = DLinear(task, DLinearConfig(moving_average=size, individual=individual)).double()
    batch = task.random_batch(4)
    batch.inputs = batch.inputs.double()
    torch.testing.assert_close(model(batch), model.explicit(batch), rtol=0, atol=1e-12)


@pytest.mark.parametrize(("look_back", "size"), [(40, 25), (13, 25), (5, 9)])
def test_fold_and_its_gradient(look_back: int, size: int) -> None:
    seasonal, trend = (torch.randn(4, look_back, dtype=torch.float64, requires_grad=True) for _ in range(2))
    matrix = moving_average(torch.eye(look_back, dtype=torch.float64), size).T
    folded = Fold.apply(seasonal, trend, size)
    torch.testing.assert_close(folded, seasonal + (trend - seasonal) @ matrix)
    assert torch.autograd.gradcheck(lambda a, b: Fold.apply(a, b, size), (seasonal, trend))


def test_starting_weights_are_drawn_as_the_authors_code_draws_them() -> None:
    """Seasonal layer, then trend layer, each as nn.Linear."""
    torch.manual_seed(3)
    layers = [torch.nn.Linear(24, 8), torch.nn.Linear(24, 8)]
    torch.manual_seed(3)
    model = DLinear(Forecasting(24, 8, 2), DLinearConfig(moving_average=5))
    for layer, part in zip(layers, (model.seasonal, model.trend), strict=True):
        assert torch.equal(layer.weight, part.weight)
        assert torch.equal(layer.bias, part.bias)


def test_individual_weights_are_drawn_channel_by_channel() -> None:
    torch.manual_seed(3)
    layers = [(torch.nn.Linear(24, 8), torch.nn.Linear(24, 8)) for _ in range(3)]
    torch.manual_seed(3)
    model = DLinear(Forecasting(24, 8, 3), DLinearConfig(moving_average=5, individual=True))
    for channel, (seasonal, trend) in enumerate(layers):
        assert torch.equal(seasonal.weight, model.seasonal.weight[channel])
        assert torch.equal(trend.bias, model.trend.bias[channel])
