"""What all classifiers of series have in common, and what is particular to the trained ones."""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from tsbench.cell import make_cell
from tsbench.data import Batch
from tsbench.dataset import Dataset
from tsbench.evaluate import score
from tsbench.inputs import Series
from tsbench.model import Model, Run
from tsbench.models.dlinear import DLinear, moving_average
from tsbench.models.linear import Linear
from tsbench.models.nlinear import NLinear
from tsbench.models.patch_transformer import PatchTransformer, PatchTransformerConfig
from tsbench.models.resnet import Norm, ResNet, ResNetConfig
from tsbench.models.series_transformer import SeriesTransformer, SeriesTransformerConfig
from tsbench.registry import find_datasets, find_model, model_names
from tsbench.run import fit
from tsbench.tasks.classification import Classification

(SHAPES,) = find_datasets("generated/shapes")
CLASSIFIERS = [name for name in model_names() if find_model(name).refuses(SHAPES) is None]


@lru_cache(maxsize=2)
def load(dataset: Dataset) -> Any:
    return dataset.load(Path(), next(iter(dataset.protocols)))


def fitted(name: str, dataset: Dataset, **settings: Any) -> Model:
    """With its recipe for the data set, but for `settings`, as a run fits it."""
    splits = load(dataset)
    cell = make_cell(dataset, dataset.name, None, name, settings, seed=1)
    return fit(cell, splits, Run(seed=1, select=splits.selects))


def padded(batch: Batch, more: int, value: float) -> Batch:
    """The same batch with `more` steps of padding that hold `value`, and all padding there was too."""
    valid = torch.ones(batch.inputs.shape[:2], dtype=torch.bool) if batch.valid is None else batch.valid
    valid = F.pad(valid, (0, more))
    inputs = F.pad(batch.inputs, (0, 0, 0, more)).masked_fill(~valid[..., None], value)
    return Batch(inputs, batch.target, valid)


@pytest.mark.parametrize("name", CLASSIFIERS)
def test_padding_changes_nothing(name: str) -> None:
    """Neither more of it, nor what it holds, nor that there could be some."""
    splits = load(SHAPES)
    model = fitted(name, SHAPES, **find_model(name).tiny)
    by_size = splits.test.sizes.argsort()
    short = splits.test.batch(by_size[:10])
    more = splits.task.inputs.length - short.inputs.shape[1]
    assert more > 0
    for value in (0.0, 9.0):
        prediction = model.predict(padded(short, more, value))
        torch.testing.assert_close(prediction, model.predict(short), rtol=1e-4, atol=1e-4)
    longest = splits.test.batch(by_size[-1:])
    assert longest.valid is not None
    assert longest.valid.all()
    bare = Batch(longest.inputs, longest.target)
    torch.testing.assert_close(model.predict(bare), model.predict(longest), rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize(
    ("name", "settings", "shapes", "motions"),
    [
        ("minirocket", {"features": 2520}, 0.95, 0.97),
        ("dtw_d", {}, 0.95, 0.9),
        ("dtw_i", {}, 0.95, 0.97),
        pytest.param("resnet", {"width": 8, "epochs": 15}, 0.95, 0.9, marks=pytest.mark.slow),
        pytest.param("series_transformer", {"epochs": 25}, 0.9, 0.9, marks=pytest.mark.slow),
        pytest.param("patch_transformer", {"epochs": 20}, 0.6, 0.7, marks=pytest.mark.slow),
        ("dlinear", {}, None, 0.6),
        ("linear", {}, None, 0.6),
        ("nlinear", {}, None, 0.4),
    ],
)
def test_they_learn(name: str, settings: dict[str, Any], shapes: float | None, motions: float) -> None:
    """Shapes at random places, which no linear map finds, and BasicMotions; a third and a quarter right are chance."""
    for bar, dataset in zip((shapes, motions), (SHAPES, *find_datasets("uea/BasicMotions")), strict=True):
        if bar is not None:
            accuracy = score(fitted(name, dataset, **settings), load(dataset).test).values["accuracy"]
            assert accuracy >= bar


# ---------------------------------------------------------------- linear maps

CHANNELS = 3
TASK = Classification(Series(12, CHANNELS), 4)


def labelled(size: int = 5) -> Batch:
    torch.manual_seed(0)
    return TASK.random_batch(size)


def linear(kind: type[Linear] = Linear, **settings: Any) -> Any:
    torch.manual_seed(1)
    return kind(TASK, kind.Config(**settings))


def test_class_scores_are_sums_of_affine_maps_of_the_channels() -> None:
    model, batch = linear(), labelled()
    wanted = sum(batch.inputs[:, :, c] @ model.map.weight[c].T + model.map.bias[c] for c in range(CHANNELS))
    torch.testing.assert_close(model(batch), wanted)


def test_channels_may_share_a_map() -> None:
    model, batch = linear(individual=False), labelled()
    assert model.map.weight.shape == (4, 12)
    swapped = Batch(batch.inputs.flip(2), batch.target)
    torch.testing.assert_close(model(swapped), model(batch))
    assert not torch.allclose(linear()(swapped), linear()(batch))


def test_nlinear_sees_no_level() -> None:
    model, batch = linear(NLinear), labelled()
    higher = Batch(batch.inputs + torch.tensor([3.0, -2.0, 9.0]), batch.target)
    torch.testing.assert_close(model(higher), model(batch), rtol=1e-4, atol=1e-4)
    assert not torch.allclose(linear()(higher), linear()(batch))


def test_dlinear_decomposes_series_to_be_classified() -> None:
    model, batch = linear(DLinear, moving_average=5), labelled()
    x = batch.inputs.transpose(1, 2)
    trend = moving_average(x, 5)
    torch.testing.assert_close(model(batch), (model.seasonal(x - trend) + model.trend(trend)).sum(1))


def test_a_shorter_series_stays_at_its_last_value() -> None:
    batch, model = labelled(), linear()
    short = Batch(batch.inputs[:, :8], batch.target)
    held = Batch(torch.cat([short.inputs, short.inputs[:, -1:].expand(-1, 4, -1)], 1), batch.target)
    torch.testing.assert_close(model(short), model(held))
    torch.testing.assert_close(model(padded(short, 4, 9.0)), model(held))


@pytest.mark.parametrize("settings", [{}, {"individual": False}])
@pytest.mark.parametrize("kind", [Linear, NLinear, DLinear])
def test_gradients_of_class_scores_are_autograds(kind: type[Linear], settings: dict[str, bool]) -> None:
    model, batch = linear(kind, **settings), labelled()
    model.loss_and_gradient(batch)
    given = [parameter.grad.clone() for parameter in model.parameters()]
    model.zero_grad()
    F.cross_entropy(model(batch), batch.target).backward()
    for gradient, parameter in zip(given, model.parameters(), strict=True):
        torch.testing.assert_close(gradient, parameter.grad)


@pytest.mark.parametrize("name", ["ols", "repeat", "seasonal_naive", "sktime_forecaster", "sklearn_regressor"])
def test_what_is_defined_for_forecasts_only_is_refused(name: str) -> None:
    assert "forecasting" in str(find_model(name).refuses(SHAPES))


# ---------------------------------------------------------------- ResNet


def test_statistics_are_of_real_steps() -> None:
    torch.manual_seed(0)
    x, real = torch.randn(4, 6, 10), torch.arange(10) < torch.tensor([10, 4, 7, 1])[:, None]
    norm = Norm(6)
    y = norm(x.masked_fill(~real[:, None], 1e3), real[:, None])
    rows = y.transpose(1, 2)[real]
    torch.testing.assert_close(rows.mean(0), torch.zeros(6), rtol=0, atol=1e-5)
    torch.testing.assert_close(rows.var(0, correction=0), torch.ones(6), rtol=1e-3, atol=0)
    assert (y.transpose(1, 2)[~real] == 0).all()
    torch.testing.assert_close(norm.running_mean, 0.1 * x.transpose(1, 2)[real].mean(0))


def test_padding_changes_no_training_step() -> None:
    batch = load(SHAPES).train.batch(torch.arange(8))
    found: list[tuple[float, list[Tensor], Tensor]] = []
    for given in (batch, padded(batch, 9, 5.0)):
        torch.manual_seed(0)
        model = ResNet(load(SHAPES).task, ResNetConfig(width=8)).train()
        loss = model.loss_and_gradient(given).item()
        gradients = [parameter.grad for parameter in model.parameters() if parameter.grad is not None]
        found.append((loss, gradients, model.blocks[2].norms[2].running_var))  # type: ignore[index, union-attr]
    assert found[0][0] == pytest.approx(found[1][0], rel=1e-5)
    for a, b in zip(found[0][1], found[1][1], strict=True):
        torch.testing.assert_close(a, b, rtol=1e-3, atol=1e-5)
    torch.testing.assert_close(found[0][2], found[1][2])


def test_resnet_is_that_of_the_paper() -> None:
    """Nine convolutions of 8, 5, 3 steps; 64, 128, 128 filters; the last block's shortcut widens nothing."""
    model = ResNet(Classification(Series(50, 2), 3), ResNetConfig())
    shapes = [
        tuple(part.weight.shape)
        for name, part in model.named_modules()
        if isinstance(part, nn.Conv1d) and ".convolutions." in name
    ]
    assert shapes == [
        *((64, 2, 8), (64, 64, 5), (64, 64, 3)),
        *((128, 64, 8), (128, 128, 5), (128, 128, 3)),
        *((128, 128, 8), (128, 128, 5), (128, 128, 3)),
    ]
    assert [isinstance(block.widen, nn.Identity) for block in model.blocks] == [False, False, True]


# ---------------------------------------------------------------- Transformers


def seen_tokens(model: Any, batch: Batch) -> tuple[int, ...]:
    """Shape of what the encoder is given."""
    seen: list[tuple[int, ...]] = []
    model.encoder.register_forward_pre_hook(lambda _, given: seen.append(tuple(given[0].shape)))
    model.predict(batch)
    return seen[0]


@pytest.mark.parametrize(("steps", "most", "tokens"), [(20, 128, 20), (128, 128, 128), (129, 128, 65), (1000, 10, 10)])
def test_tokens_are_bounded(steps: int, most: int, tokens: int) -> None:
    task = Classification(Series(steps, 2), 3)
    model = SeriesTransformer(task, SeriesTransformerConfig(tokens=most, width=8, heads=2))
    assert seen_tokens(model, task.random_batch(2)) == (2, tokens, 8)


def test_every_step_of_every_channel_counts() -> None:
    task = Classification(Series(23, 2), 3)
    for model in (
        SeriesTransformer(task, SeriesTransformerConfig(tokens=5)),
        PatchTransformer(task, PatchTransformerConfig(patch=5, stride=4)),
    ):
        batch = task.random_batch(1)
        batch.inputs.requires_grad_()
        model.eval()(batch).square().sum().backward()
        assert batch.inputs.grad is not None
        assert (batch.inputs.grad.abs() > 0).all()


def test_channels_are_encoded_by_themselves_and_read_together() -> None:
    task = Classification(Series(30, 4), 3)
    model = PatchTransformer(task, PatchTransformerConfig(patch=10, stride=5, width=8, heads=2))
    assert seen_tokens(model, task.random_batch(2)) == (8, 5, 8)
    assert model.head.weight.shape == (3, 4 * 5 * 8)


def test_the_order_of_steps_counts_with_positions_only() -> None:
    task = Classification(Series(16, 2), 3)
    batch = task.random_batch(2)
    turned = Batch(batch.inputs.flip(1), batch.target)
    for positions, same in (("none", True), ("sinusoidal", False), ("rope", False)):
        torch.manual_seed(0)
        model = SeriesTransformer(task, SeriesTransformerConfig(positions=positions))
        assert torch.allclose(model.predict(turned), model.predict(batch), atol=1e-4) == same
