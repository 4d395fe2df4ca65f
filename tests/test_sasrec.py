"""SASRec: its loss is that of every prefix, no step sees a later one, and padding and length change nothing."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from tests.positions_cases import NAMES
from tsbench.cell import make_cell
from tsbench.data import Batch
from tsbench.errors import UsageError
from tsbench.evaluate import score
from tsbench.inputs import Histories
from tsbench.model import Run
from tsbench.models.sasrec import Sasrec, SasrecConfig
from tsbench.optim import make_optimizer
from tsbench.rec import stepwise
from tsbench.rec.samples import HistorySamples, sequences
from tsbench.registry import find_datasets
from tsbench.run import fit
from tsbench.tasks.next_item import NextItem
from tsbench.train import _backward

ITEMS = 30
TASK = NextItem(Histories(20, ITEMS, 50, {}))


def made(**settings: object) -> Sasrec:
    """A small model with weights large enough for every part of it to count."""
    torch.manual_seed(0)
    config = {"layers": 2, "width": 16, "longest": 12, **settings}
    model = Sasrec(TASK, SasrecConfig(**config)).eval()  # type: ignore[arg-type]
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(torch.randn_like(parameter), alpha=0.2)
    return model


def batch_of(*histories: list[int], target: int = 1) -> Batch:
    """Users with these histories, all of whom take `target` next."""
    length = torch.tensor([len(history) for history in histories])
    targets = torch.full((len(histories), 1), target)
    events = torch.tensor([item for history in histories for item in history], dtype=torch.int64)
    events = F.pad(events, (0, 1))  # as an empty history reads one place
    first = (length.cumsum(0) - length).clamp(max=len(events) - 1)
    users, counts = torch.arange(len(histories)), torch.ones(ITEMS, dtype=torch.int64)
    return HistorySamples(users, events, first, length, targets, counts).batch(users)


def path(length: int, seed: int = 0) -> list[int]:
    """Items one after the other."""
    drawn = torch.randperm(ITEMS, generator=torch.Generator().manual_seed(seed))
    return drawn[:length].tolist()


@torch.no_grad()
def by_prefix(model: Sasrec, batch: Batch) -> list[Tensor]:
    """-log p of each item, by a prediction from the items before it, one at a time."""
    items, real = sequences(batch)
    found = []
    for row, there in zip(items, real, strict=True):
        path = row[there].tolist()
        for step in range(len(path)):
            scores = model.predict(batch_of(path[:step]))[0]
            found.append(-scores.log_softmax(0)[path[step]])
    return found


@pytest.mark.parametrize("positions", NAMES)
def test_the_loss_is_the_mean_over_all_prefixes(positions: str) -> None:
    """The first item of each history, before which there is none, included."""
    model, batch = made(positions=positions), batch_of(path(7), [], path(2, 1), path(11, 2))
    wanted = by_prefix(model, batch)
    assert len(wanted) == 8 + 1 + 3 + 12
    torch.testing.assert_close(model.training_loss(batch), torch.stack(wanted).mean())


def test_of_a_long_history_the_last_items_count() -> None:
    """Each of the last five is predicted from those before it, of the last six; the token of the start is lost."""
    model, items = made(longest=5, positions="none"), path(9)
    ends = items[3:]  # the target makes them six
    wanted = []
    tokens = torch.tensor([[*ends, 1][-6:]])
    states = model.states(tokens[:, :-1], torch.ones(1, 5, dtype=torch.bool))[0]
    for state, item in zip(states, tokens[0, 1:], strict=True):
        wanted.append(-(state @ model.embedding.weight[:ITEMS].T).log_softmax(0)[item])
    torch.testing.assert_close(model.training_loss(batch_of(items)), torch.stack(wanted).mean())


@pytest.mark.parametrize("positions", NAMES)
def test_what_is_older_than_longest_changes_nothing(positions: str) -> None:
    model, items = made(positions=positions, longest=5), path(12)
    recent = items[-5:]  # as many as it reads, so that the token of the start is lost here too
    whole, cut, other = (model.predict(batch_of(history)) for history in (items, recent, [*path(7, 3), *recent]))
    assert torch.equal(whole, cut)
    assert torch.equal(whole, other)
    assert not torch.allclose(whole, model.predict(batch_of(items[-4:])))
    assert not torch.allclose(whole, model.predict(batch_of([*recent[:-1], items[0]])))


@pytest.mark.parametrize("positions", NAMES)
def test_no_step_sees_a_later_one(positions: str) -> None:
    model, tokens = made(positions=positions), torch.tensor([path(12)])
    real = torch.ones_like(tokens, dtype=torch.bool)
    before = model.states(tokens, real)
    for step in (0, 1, 5, 11):
        other = tokens.clone()
        other[:, step:] = (other[:, step:] + 1) % ITEMS
        after = model.states(other, real)
        torch.testing.assert_close(after[:, :step], before[:, :step])
        assert not torch.allclose(after[:, step], before[:, step])


@pytest.mark.parametrize("positions", [*NAMES, "learned(length=6,beyond=interpolate)"])
def test_neither_padding_nor_other_users_change_a_score(positions: str) -> None:
    model, histories = made(positions=positions), [path(3), [], path(12, 1), path(7, 2)]
    whole = model.predict(batch_of(*histories))
    for i, history in enumerate(histories):
        torch.testing.assert_close(model.predict(batch_of(history))[0], whole[i], atol=1e-5, rtol=1e-4)
    batch = batch_of(*histories)
    rubbish = replace(batch, inputs=batch.inputs.where(batch.real, 7))
    assert torch.equal(model.predict(rubbish), whole)
    assert torch.equal(model.training_loss(rubbish), model.training_loss(batch))


def test_without_a_history_scores_are_learned() -> None:
    """From the first items of others: nobody here is without a history in training."""
    model, batch = made(dropout=0.0), batch_of([5, 6], [5, 7], [5, 9], [8, 9])
    optimizer = make_optimizer("adam", model.parameters(), 1e-2, 0.0)
    for _ in range(100):
        model.loss_and_gradient(batch)
        optimizer.step()
    likely = model.predict(batch_of([]))[0].softmax(0)
    assert likely[5] == pytest.approx(0.75, abs=0.05)
    assert likely[8] == pytest.approx(0.25, abs=0.05)


def test_the_token_of_the_start_is_no_item() -> None:
    """Without a history, items count as weights of the output only."""
    model, nobody = made(), batch_of([])
    before = model.predict(nobody)
    with torch.no_grad():
        model.embedding.weight[:ITEMS] *= 2
    torch.testing.assert_close(model.predict(nobody), 2 * before)


def test_what_is_read_is_what_is_predicted() -> None:
    """One table: an item's row counts as a token and as a weight of the output."""
    model, batch = made(), batch_of([3, 4])
    tables = [p for p in model.parameters() if p.shape[0] in (ITEMS, ITEMS + 1)]
    assert len(tables) == 1
    before = model.predict(batch)
    with torch.no_grad():
        tables[0][20] += 1  # an item of no history: its own score changes, no other
    changed = (model.predict(batch) != before)[0].nonzero()[:, 0]
    assert changed.tolist() == [20]
    with torch.no_grad():
        tables[0][3] += torch.randn(16)
    assert (model.predict(batch) != before).all()


@pytest.mark.parametrize("part", [1, 7 * ITEMS, 2**19])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_the_loss_in_parts_is_torchs_own(part: int, dtype: torch.dtype, monkeypatch: pytest.MonkeyPatch) -> None:
    """And so are both gradients, scaled by what is multiplied with the loss."""
    monkeypatch.setattr(stepwise, "PART", part)
    torch.manual_seed(0)
    target = torch.randint(0, ITEMS, (40,))
    ours, theirs = ([torch.randn(n, 8, dtype=dtype, requires_grad=True) for n in (40, ITEMS)] for _ in range(2))
    for mine, other in zip(ours, theirs, strict=True):
        mine.data.copy_(5 * other.data)
        other.data.mul_(5)
    losses = stepwise._CrossEntropy.apply(*ours, target), F.cross_entropy(theirs[0] @ theirs[1].T, target)
    torch.testing.assert_close(*losses)
    for loss in losses:
        (3 * loss).backward()
    for mine, other in zip(ours, theirs, strict=True):
        torch.testing.assert_close(mine.grad, other.grad, atol=1e-6, rtol=1e-4)


def test_an_impossible_item_has_a_finite_loss() -> None:
    """Its probability is 0 in float32, its logarithm is not."""
    states, items = torch.full((1, 1), 200.0), torch.tensor([[1.0], [-1.0]])
    assert stepwise._CrossEntropy.apply(states, items, torch.tensor([1])).item() == 400


@pytest.mark.parametrize("positions", NAMES)
def test_every_encoding_learns(positions: str) -> None:
    """What follows each item of a ring, in 60 steps."""
    rings = [[(first + step) % ITEMS for step in range(8)] for first in range(0, ITEMS, 2)]
    batch = replace(batch_of(*rings), target=torch.tensor([[(ring[-1] + 1) % ITEMS] for ring in rings]))
    torch.manual_seed(0)
    model = Sasrec(TASK, SasrecConfig(positions=positions, layers=1, width=32, dropout=0.0)).train()
    optimizer = make_optimizer("adam", model.parameters(), 1e-2, 0.0)
    for _ in range(60):
        model.loss_and_gradient(batch)
        optimizer.step()
    assert (model.predict(batch).argmax(1) == batch.target[:, 0]).all()


def test_half_precision_and_meta_train() -> None:
    """bf16 gives the loss of fp32 to three digits; no tensor is made on a device of its own."""
    batch = batch_of(path(7), [], path(12, 1))
    exact, half = (_backward(made(precision=precision), "cpu")(batch) for precision in ("fp32", "bf16"))
    torch.testing.assert_close(half, exact, atol=0, rtol=5e-3)
    model = made().to("meta")
    _backward(model, "meta")(TASK.random_batch(4, "meta"))
    assert all(p.grad is not None and p.grad.is_meta for p in model.parameters())


def test_settings_that_mean_nothing_are_refused() -> None:
    with pytest.raises(UsageError, match="longest=0 must be at least 1"):
        SasrecConfig(longest=0)
    with pytest.raises(UsageError, match=r"has 50 places, and longest=60 tokens.*learned\(length=60\)"):
        SasrecConfig(longest=60)
    with pytest.raises(UsageError, match="learned has 512 places, and longest=513"):
        SasrecConfig(longest=513, positions="learned")
    with pytest.raises(UsageError, match="positions=relation needs to know the user"):
        SasrecConfig(positions="relation")


@pytest.mark.parametrize("positions", ["learned(length=12)", "learned(length=4,beyond=clamp)", "rope"])
def test_positions_that_reach_far_enough_read_the_longest_history(positions: str) -> None:
    assert made(longest=12, positions=positions).predict(batch_of(path(20))).isfinite().all()


def test_order_is_learned() -> None:
    """Popularity does not know it, and shuffling histories takes away what is gained."""
    (dataset,) = find_datasets("generated/shop")
    settings = {"epochs": 20, "lr": 5e-3, "layers": 1, "width": 32}
    splits = dataset.load(Path(), "leave-one-out")
    assert isinstance(splits.test, HistorySamples)
    model = fit(make_cell(dataset, dataset.name, None, "sasrec", settings, seed=0), splits, Run(seed=0))
    values = score(model, splits.test).values
    meter, batch = splits.task.meter(), splits.test.batch(torch.arange(len(splits.test)))
    meter.update(splits.test.counts.float().expand(len(batch), -1), batch)
    popularity = meter.scores().values
    assert values["ndcg_10"] > 1.5 * popularity["ndcg_10"]
    assert values["shuffled_ndcg_10"] < 0.7 * values["ndcg_10"]
