"""The contract: what every model and data set must keep, ours or another package's. `tsbench check NAME` runs it."""

from __future__ import annotations

import argparse
import copy
import tempfile
from collections.abc import Callable, Iterator
from functools import lru_cache, partial
from pathlib import Path
from typing import Any

import torch

from tsbench.artifacts import load_model, save_model
from tsbench.cell import Cell, make_cell
from tsbench.contract_data import Broken, Check, dataset_checks, require, same_values
from tsbench.data import Batch, Samples, Splits
from tsbench.dataset import Dataset
from tsbench.errors import TsbenchError, UsageError, unknown
from tsbench.model import Model, NeuralModel, Run
from tsbench.optim import make_optimizer
from tsbench.registry import all_datasets, find_datasets, find_model, model_names
from tsbench.run import build_model, fit
from tsbench.settings import as_dict, configure, parse_spec


def command(args: argparse.Namespace) -> int:
    """Check one model or data set; 1 if a clause is broken."""
    checks = checks_of(args.name, args.data)
    broken = 0
    for name, check in checks:
        try:
            check()
            print(f"  good    {name}")
        except (Broken, TsbenchError) as error:
            broken += 1
            print(f"  BROKEN  {name}: {error}")
        except Exception as error:  # whatever foreign code raises is a finding, not our crash
            broken += 1
            print(f"  BROKEN  {name}: {type(error).__name__}: {error}")
    print(f"{args.name}: {'keeps the contract' if not broken else f'{broken} clauses broken'}")
    return 1 if broken else 0


def checks_of(name: str, data: Path) -> list[tuple[str, Check]]:
    """The clauses for a model or data set, by name."""
    plain, settings = parse_spec(name)
    if plain in model_names():
        return list(model_checks(plain, settings))
    families = {known.rsplit("/", 1)[0] for known in all_datasets()}
    if plain not in all_datasets() and not Path(plain).is_file():
        raise unknown("model or data set", plain, [*model_names(), *all_datasets(), *families])
    (dataset,) = find_datasets(name)
    return list(dataset_checks(dataset, data))


def model_checks(name: str, settings: dict[str, Any], home: Dataset | None = None) -> Iterator[tuple[str, Check]]:
    """The clauses for a model, on a data set that is always there."""
    kind = find_model(name)
    dataset = home or _home(kind)
    splits = dataset.load(Path(), next(iter(dataset.protocols)))
    cell = make_cell(dataset, dataset.name, None, name, {**kind.tiny, **settings}, seed=7)
    # Each in the first clause that needs it, so that it may fail there.
    fitted, again = (lru_cache(lambda: _fitted(cell, splits)) for _ in range(2))
    batch = splits.validation.batch(torch.arange(min(6, len(splits.validation))))

    yield "search space valid, defaults inside", lambda: _search_space(kind)
    yield "output shape and type", lambda: _output(fitted(), batch)
    yield "fit changes neither samples nor batches", lambda: _untouched(again, splits)
    yield "same seed, same predictions", lambda: _deterministic(again(), fitted(), batch)
    yield "saved and loaded, same predictions", lambda: _saved(cell, fitted(), batch)
    yield (
        "a sample's prediction does not depend on its batch",
        lambda: _batch_invariant(fitted(), splits.validation, batch),
    )
    if issubclass(kind, NeuralModel):
        yield "gradient to every parameter", lambda: _gradients(cell, splits)
        if kind.loss_and_gradient is not NeuralModel.loss_and_gradient:
            yield "gradient in closed form equals autograd's", lambda: _closed_form(cell, splits)
        yield "a training step on the meta device", lambda: meta_step(cell, splits.task)


def _home(kind: type[Model]) -> Dataset:
    """A data set that needs no file and that the model takes."""
    for dataset in all_datasets().values():
        if not dataset.sources and kind.refuses(dataset) is None:
            return dataset
    raise UsageError(f"{kind.__name__} takes no data set that is always there, so the contract cannot be run")


def _fitted(cell: Cell, splits: Splits) -> Model:
    return fit(cell, splits, Run(seed=cell.seed))


def _search_space(kind: type[Model]) -> None:
    defaults = as_dict(kind.Config())
    for key, distribution in kind.search_space.items():
        require(key in defaults, f"search_space names {key!r}, which is no setting")
        for value in _edges(distribution):
            configure(kind.Config, {key: value}, kind.__name__)


def _edges(distribution: Any) -> list[Any]:
    return list(distribution.choices) if hasattr(distribution, "choices") else [distribution.low, distribution.high]


def _output(model: Model, batch: Batch) -> None:
    prediction = model.predict(batch)
    wanted = model.task.shape(batch)
    require(tuple(prediction.shape) == wanted, f"predict gives {tuple(prediction.shape)}, the task needs {wanted}")
    require(prediction.is_floating_point(), f"predict gives {prediction.dtype}, not a floating type")
    require(prediction.isfinite().all(), "predict gives NaN or infinite values")


def _untouched(fitted: Callable[[], Model], splits: Splits) -> None:
    indices = torch.arange(min(4, len(splits.train)))
    before = copy.deepcopy(splits.train.batch(indices))
    model = fitted()
    given = splits.train.batch(indices)
    model.predict(given)
    for batch in (given, splits.train.batch(indices)):
        require(torch.equal(batch.inputs, before.inputs), "the inputs were changed in place")
        require(same_values(batch.target, before.target), "the targets were changed in place")


def _deterministic(again: Model, fitted: Model, batch: Batch) -> None:
    require(
        torch.equal(again.predict(batch), fitted.predict(batch)),
        "a second fit with the same seed predicts otherwise",
    )


def _saved(cell: Cell, fitted: Model, batch: Batch) -> None:
    with tempfile.TemporaryDirectory() as folder:
        save_model(Path(folder) / "model", cell, fitted)
        loaded = load_model(Path(folder) / "model")
    require(torch.equal(loaded.predict(batch), fitted.predict(batch)), "the loaded model predicts otherwise")


def _batch_invariant(fitted: Model, samples: Samples, batch: Batch) -> None:
    whole = fitted.predict(batch)
    for i in range(len(batch)):
        one = samples.batch(torch.tensor([i]))
        alone = fitted.predict(one)[0]
        among = whole[i][tuple(slice(size) for size in alone.shape)]  # padding cut off
        near = torch.allclose(alone, among, rtol=1e-4, atol=1e-5)
        require(near, f"sample {i} alone is predicted otherwise than among others")


def _gradients(cell: Cell, splits: Splits) -> None:
    torch.manual_seed(cell.seed)
    model = build_model(cell, splits.task)
    assert isinstance(model, NeuralModel)
    batch = splits.train.batch(torch.arange(min(8, len(splits.train))))
    model.training_loss(batch).backward()
    for name, parameter in model.named_parameters():
        if parameter.requires_grad:
            got = parameter.grad is not None and bool(parameter.grad.abs().sum() > 0)
            require(got, f"parameter {name} gets no gradient")


def _closed_form(cell: Cell, splits: Splits) -> None:
    torch.manual_seed(cell.seed)
    model = build_model(cell, splits.task)
    assert isinstance(model, NeuralModel)
    batch = splits.train.batch(torch.arange(min(8, len(splits.train))))
    losses, gradients = [], []
    for way in (model.loss_and_gradient, partial(NeuralModel.loss_and_gradient, model)):
        for parameter in model.parameters():
            parameter.grad = torch.ones_like(parameter)  # which the gradient must be added to
        losses.append(way(batch))
        gradients.append({name: p.grad for name, p in model.named_parameters()})
    require(torch.allclose(losses[0], losses[1], rtol=1e-5), f"losses {losses[0].item()} and {losses[1].item()} differ")
    for name, gradient in gradients[0].items():
        wanted = gradients[1][name]
        assert gradient is not None
        assert wanted is not None
        require(torch.allclose(gradient, wanted, rtol=1e-4, atol=1e-5), f"the gradient of {name} differs")


def meta_step(cell: Cell, task: Any) -> None:
    """Forward, backward and optimizer step on `meta`, where any tensor made on a fixed device raises."""
    model = build_model(cell, task)
    assert isinstance(model, NeuralModel)
    model.to("meta")
    batch = task.random_batch(4, "meta")
    optimizer = make_optimizer("adam", model.parameters(), 1e-3, 0.0)
    if type(model).training_loss is NeuralModel.training_loss:  # else a prediction may depend on values, as a beam does
        prediction = model(batch)
        require(tuple(prediction.shape) == task.shape(batch), f"shape {tuple(prediction.shape)} on meta")
    model.training_loss(batch).backward()
    optimizer.step()
