"""The training loop: order of samples, resume, early stopping, schedules, precision."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch.utils.data import DataLoader, TensorDataset

from tsbench.data import like_size
from tsbench.errors import Diverged, UsageError
from tsbench.model import Run
from tsbench.models.dlinear import DLinear, DLinearConfig
from tsbench.registry import find_datasets
from tsbench.tasks.forecasting import Forecasting
from tsbench.train import TrainConfig, shuffled, training_batches

SPLITS = find_datasets("generated/seasonal/24")[0].load(Path(), "full")


def trained(run: Run, seed: int = 1, **settings: Any) -> DLinear:
    torch.manual_seed(seed)
    assert isinstance(SPLITS.task, Forecasting)
    model = DLinear(SPLITS.task, replace(DLinearConfig(lr=0.01, epochs=4), **settings))
    model.fit(SPLITS.train, SPLITS.validation, run)
    return model


def test_order_is_that_of_torchs_dataloader() -> None:
    data = TensorDataset(torch.arange(50))
    torch.manual_seed(5)
    theirs = [torch.cat([b[0] for b in DataLoader(data, 7, shuffle=True)]).tolist() for _ in range(3)]
    torch.manual_seed(5)
    assert [shuffled(50).tolist() for _ in range(3)] == theirs


class Killed(Exception):
    pass


@pytest.mark.parametrize("optimizer", ["adam", "sgd"])
def test_resumed_training_equals_an_uninterrupted_one(tmp_path: Path, optimizer: str) -> None:
    whole = Run()
    reference = trained(whole, optimizer=optimizer)
    checkpoint = tmp_path / "c.pt"

    def die(epoch: int, curve: dict[str, float]) -> None:
        if epoch == 3:
            raise Killed

    with pytest.raises(Killed):
        trained(Run(checkpoint=checkpoint, checkpoint_seconds=0, report=die), optimizer=optimizer)
    assert checkpoint.exists()
    resumed = Run(checkpoint=checkpoint, checkpoint_seconds=0)
    model = trained(resumed, seed=999, optimizer=optimizer)  # another seed: all must come from the checkpoint
    assert resumed.curves == whole.curves
    for name, value in reference.state().items():
        assert torch.equal(value, model.state()[name])


def test_stops_early_and_keeps_the_best_epoch() -> None:
    run = Run()
    model = trained(run, lr=0.5, epochs=30, patience=2)
    scores = [curve["validation_mse"] for curve in run.curves]
    best = scores.index(min(scores))
    assert len(scores) == best + 3 < 30
    from tsbench.evaluate import score

    assert score(model, SPLITS.validation).values["mse"] == pytest.approx(min(scores), rel=1e-6)


def test_schedules() -> None:
    from tsbench.train import SCHEDULES

    assert [SCHEDULES["halving"](e, 10) for e in (0, 0.9, 1, 1.5, 2, 3)] == [1, 1, 1, 1, 0.5, 0.25]
    assert SCHEDULES["cosine"](5, 10) == pytest.approx(0.5)
    assert SCHEDULES["linear"](10, 10) == 0


def test_accumulating_two_batches_equals_one_of_twice_the_size() -> None:
    one = trained(Run(), batch_size=64, epochs=1).state()
    two = trained(Run(), batch_size=32, accumulate=2, epochs=1).state()
    count = len(SPLITS.train)
    assert count % 64 < 32, "else the last pair would have no counterpart"
    for name in one:
        torch.testing.assert_close(one[name], two[name], rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("settings", [{"precision": "bf16"}, {"clip": 0.1}, {"schedule": "cosine", "warmup": 1.0}])
def test_options_train(settings: dict[str, Any]) -> None:
    run = Run()
    trained(run, **settings)
    assert run.curves[-1]["train_loss"] < run.curves[0]["train_loss"]


def test_divergence_is_an_error_with_a_remedy() -> None:
    with pytest.raises(Diverged, match="lower lr"):
        trained(Run(), lr=1e30, epochs=5)


@pytest.mark.parametrize(
    ("settings", "said"), [({"schedule": "cosin"}, "'cosine'"), ({"batch_size": 0}, "batch_size=0")]
)
def test_impossible_settings_are_refused(settings: dict[str, Any], said: str) -> None:
    with pytest.raises(UsageError, match=said):
        trained(Run(), **settings)


def test_batches_of_like_size_hold_every_sample_once_and_little_padding() -> None:
    sizes = torch.randint(20, 500, (3000,), generator=torch.Generator().manual_seed(0))

    def padding(batches: list[torch.Tensor]) -> float:
        return sum(len(b) * int(sizes[b].max()) for b in batches) / sum(int(sizes[b].sum()) for b in batches)

    torch.manual_seed(3)
    buckets = training_batches(sizes, TrainConfig(drop_last=False))
    assert sorted(torch.cat(buckets).tolist()) == list(range(3000))
    assert padding(buckets) < 1.05 < 1.5 < padding(training_batches(sizes, TrainConfig(buckets=False)))
    firsts = [int(sizes[b].max()) for b in buckets]
    assert firsts != sorted(firsts), "batches themselves come in random order"
    torch.manual_seed(3)
    again = training_batches(sizes, TrainConfig(drop_last=False))
    assert all(torch.equal(a, b) for a, b in zip(buckets, again, strict=True))
    assert all(len(b) == 32 for b in training_batches(sizes, TrainConfig()))
    seen = {i for _ in range(12) for i in torch.cat(training_batches(sizes[:230], TrainConfig())).tolist()}
    assert seen == set(range(230)), "what is left out of an epoch is random, not always the largest"


def test_samples_of_one_size_keep_the_order_of_torchs_dataloader() -> None:
    torch.manual_seed(5)
    batches = training_batches(torch.full((50,), 9), TrainConfig(batch_size=7))
    torch.manual_seed(5)
    assert torch.cat(batches).tolist() == shuffled(50)[:49].tolist()


def test_evaluation_blocks_hold_every_sample_once_within_the_limit() -> None:
    sizes = torch.tensor([5, 900, 30, 30, 7, 2000, 30])
    blocks = like_size(sizes, 100)
    assert sorted(torch.cat(blocks).tolist()) == list(range(7))
    assert all(len(b) == 1 or len(b) * int(sizes[b].max()) <= 100 for b in blocks)
    assert len(blocks) == 4
    assert torch.cat(like_size(torch.full((9,), 4), 8)).tolist() == list(range(9))


def test_a_batch_taken_in_parts_is_the_same_step(monkeypatch: pytest.MonkeyPatch) -> None:
    whole = trained(Run(), epochs=1).state()
    monkeypatch.setattr(DLinear, "train_values", int(SPLITS.train.sizes[0]) * 8)
    for name, value in trained(Run(), epochs=1).state().items():
        torch.testing.assert_close(value, whole[name], rtol=1e-4, atol=1e-5)
