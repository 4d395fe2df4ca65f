"""The contract of data sets: the clauses that each must keep, under each of its protocols."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import torch
from torch import Tensor

from tsbench.data import Samples, Splits, like_size
from tsbench.dataset import Dataset

Check = Callable[[], None]


class Broken(AssertionError):
    """A clause of the contract that does not hold."""


def require(condition: object, message: str) -> None:
    """Raise Broken unless `condition` holds."""
    if not condition:
        raise Broken(message)


def same_values(a: Tensor, b: Tensor) -> bool:
    """Equal to the last bit, and NaN in the same places."""
    return torch.allclose(a, b, rtol=0, atol=0, equal_nan=True)


def dataset_checks(dataset: Dataset, data: Path) -> Iterator[tuple[str, Check]]:
    """The clauses for a data set, under each of its protocols."""
    yield "name, protocols and options", lambda: _declared(dataset)
    yield "digest stable", lambda: require(dataset.digest(data) == dataset.digest(data), "two digests differ")
    for protocol in dataset.protocols:
        splits = dataset.load(data, protocol)
        yield f"{protocol}: batches have the task's shapes", lambda s=splits: _shapes(s)  # type: ignore[misc]
        yield f"{protocol}: order and repetition of indices kept", lambda s=splits: _gather(s)  # type: ignore[misc]
        yield f"{protocol}: splits disjoint", lambda s=splits: _disjoint(s)  # type: ignore[misc]
        yield f"{protocol}: loads alike twice", lambda s=splits, p=protocol: _same(s, dataset.load(data, p))  # type: ignore[misc]


def _declared(dataset: Dataset) -> None:
    require("/" in dataset.name, f"name {dataset.name!r} has no family; write family/set")
    require(dataset.protocols, "it has no protocol")
    for option in dataset.options:
        require(hasattr(dataset, option), f"option {option!r} is no attribute")


def _splits_of(splits: Splits) -> list[tuple[str, Samples]]:
    return [(name, getattr(splits, name)) for name in ("train", "validation", "test")]


def _shapes(splits: Splits) -> None:
    wanted = splits.task.random_batch(3)
    for name, samples in _splits_of(splits):
        require(len(samples) > 0, f"{name} is empty")
        require(len(samples.sizes) == len(samples), f"{name} has {len(samples)} samples and {len(samples.sizes)} sizes")
        batch = samples.batch(torch.arange(min(3, len(samples))))
        for part in ("inputs", "target", "features"):
            got, model = getattr(batch, part), getattr(wanted, part)
            require((got is None) == (model is None), f"{name} {part} is there, or not, unlike the task says")
            if got is None:
                continue
            # Of a batch of unlike sizes the task knows the largest only.
            fits = got.shape[1:] == model.shape[1:] or (
                batch.valid is not None
                and got.ndim == model.ndim
                and all(g <= m for g, m in zip(got.shape[1:], model.shape[1:], strict=True))
            )
            require(fits, f"{name} {part} {tuple(got.shape)}, the task says {tuple(model.shape)}")
            require(got.dtype == model.dtype, f"{name} {part} is {got.dtype}, the task says {model.dtype}")
        for values in (batch.inputs, batch.features):
            finite = values is None or not values.is_floating_point() or bool(values.isfinite().all())
            require(finite, f"{name} inputs have NaN or infinite values")
        prediction = torch.zeros(splits.task.shape(batch))
        loss = splits.task.loss(prediction, batch)
        require(loss.isfinite(), f"{name}: the loss of a prediction of zeros is {loss.item()}")
        count = batch.inputs[0].numel() if batch.valid is None else int(batch.valid[0].sum())
        size = int(samples.sizes[0])
        require(size >= count, f"{name}.sizes[0] is {size}, the sample has {count} input values")


def _gather(splits: Splits) -> None:
    for name, samples in _splits_of(splits):
        last = len(samples) - 1
        batch = samples.batch(torch.tensor([last, 0, last]))
        for i, index in enumerate((last, 0, last)):
            one = samples.batch(torch.tensor([index]))
            for part in ("inputs", "target"):
                alone, among = getattr(one, part)[0], getattr(batch, part)[i]
                among = among[tuple(slice(size) for size in alone.shape)]  # padding cut off
                require(same_values(alone, among), f"{name}: {part} of batch([..]) do not follow its indices")


def _disjoint(splits: Splits) -> None:
    """No sample of one split is in another, unless the splits say so themselves.

    Samples that differ in one value of anything that a batch holds are different.
    """
    inputs: dict[int, list[tuple[str, int]]] = {}  # the samples with the same inputs
    for name, samples in _splits_of(splits):
        step = max(1, len(samples) // 500)
        for index, mark in _inputs_of(samples, torch.arange(0, len(samples), step)):
            inputs.setdefault(mark, []).append((name, index))
    for alike in inputs.values():
        seen: dict[int, str] = {}
        for name, index in alike if len({name for name, _ in alike}) > 1 else ():
            first = seen.setdefault(_whole(getattr(splits, name), index), name)
            require(first == name or (first, name) in splits.shared, f"a sample of {name} is in {first} too")


def _inputs_of(samples: Samples, indices: Tensor) -> Iterator[tuple[int, int]]:
    """Each index with a hash of its inputs, without their padding: taken in batches, which is many times faster."""
    for block in like_size(samples.sizes[indices], 2**20):
        batch = samples.batch(indices[block])
        for i, index in enumerate(indices[block].tolist()):
            values = batch.inputs[i] if batch.valid is None else batch.inputs[i][batch.valid[i]]
            yield index, hash(values.contiguous().numpy().tobytes())


def _whole(samples: Samples, index: int) -> int:
    """A hash of all that a batch of this sample holds: two users may have taken the same."""
    batch = samples.batch(torch.tensor([index]))
    places = () if batch.places is None else (batch.places,)
    parts = (batch.inputs, batch.target, *places, *batch.more.values())
    return hash(tuple(part.contiguous().numpy().tobytes() for part in parts))


def _same(first: Splits, second: Splits) -> None:
    for (name, a), (_, b) in zip(_splits_of(first), _splits_of(second), strict=True):
        require(len(a) == len(b), f"{name} has {len(a)}, then {len(b)} samples")
        indices = torch.arange(0, len(a), max(1, len(a) // 50))
        require(torch.equal(a.batch(indices).inputs, b.batch(indices).inputs), f"{name} differs when loaded again")
