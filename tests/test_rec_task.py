"""The next-item task: what the meter says of small cases counted by hand, whatever the blocks."""

from __future__ import annotations

import json
import math
from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import Tensor

from tsbench.data import Batch, Samples
from tsbench.evaluate import score
from tsbench.inputs import Histories
from tsbench.model import Run
from tsbench.rec.metrics import UNLISTED
from tsbench.rec.model import Recommender
from tsbench.rec.samples import HistorySamples, shuffled
from tsbench.rec.scores import BAND_NAMES, LIST, Ranked, RankMeter
from tsbench.registry import task_from_record
from tsbench.settings import NoSettings
from tsbench.tasks.next_item import NextItem
from tsbench.tasks.task import Scores

ITEMS = 30
HISTORIES: tuple[list[int], ...] = ([0, 1, 2], [], [7, 5, 3, 1, 9, 8], [0, 2])
TARGETS = ([3], [0, 29], [11], [20, 21, 22])


def samples(histories: Any = HISTORIES, targets: Any = TARGETS, items: int = ITEMS) -> HistorySamples:
    """Users with these histories and targets; item i was trained on i times, so item 0 is cold."""
    length = torch.tensor([len(row) for row in histories])
    widest = max(map(len, targets))
    return HistorySamples(
        user=torch.arange(len(histories)),
        events=torch.tensor([item for row in histories for item in row]),
        first=length.cumsum(0) - length,
        length=length,
        targets=torch.tensor([[*row, *[-1] * (widest - len(row))] for row in targets]),
        counts=torch.arange(items),
    )


def drawn_samples(users: int = 60, items: int = ITEMS) -> HistorySamples:
    """Histories of 0 to 9 items, one to three targets outside them."""
    luck = torch.Generator().manual_seed(2)
    rows = [torch.randperm(items, generator=luck).tolist() for _ in range(users)]
    sizes = torch.randint(0, 10, (users,), generator=luck).tolist()
    return samples(
        [row[:n] for row, n in zip(rows, sizes, strict=True)], [row[9 : 10 + n % 3] for n, row in enumerate(rows)]
    )


class Falling(Recommender):
    """Prefers low numbers, and items next to the last one of the history; its scores are tied by twos."""

    stochastic = False

    def fit(self, train: Samples, validation: Samples, run: Run) -> None:
        """Nothing to learn."""

    def predict(self, batch: Batch) -> Tensor:
        """`(batch, item)`."""
        last = batch.inputs.gather(1, (batch.steps - 1).clamp(min=0)[:, None])
        items = torch.arange(self.task.inputs.items, device=last.device)
        return 100.0 * ((items - last).abs() < 3) * batch.real.any(1, keepdim=True) - (items // 2)

    def state(self) -> dict[str, Tensor]:
        """Nothing is."""
        return {}

    def load_state(self, state: Any) -> None:
        """Nothing is."""


def task(mask: bool = True, ordered: bool = True) -> NextItem:
    """Of 30 items."""
    return NextItem(Histories(10, ITEMS, 60, {}, ordered), mask)


def falling(block_values: int = 2**21, **how: bool) -> Falling:
    """The model above, predicting so many values at once."""
    model = Falling(task(**how), NoSettings())
    model.block_values = block_values  # type: ignore[misc]
    return model


def everything(of: HistorySamples) -> Batch:
    """All samples in one batch."""
    return of.batch(torch.arange(len(of)))


def scored(scores: Tensor, batch: Batch, mask: bool = True, lists: Tensor | None = None) -> Scores:
    """What a meter says of these scores; the lists are their best unless given."""
    meter = RankMeter(scores.shape[1], mask)
    meter.update(Ranked(scores, scores.topk(LIST).indices if lists is None else lists, None), batch)
    return meter.scores()


LINE = -torch.arange(ITEMS).float().expand(4, -1)  # every user: item 0, item 1 ...


def test_ranks_are_counted_after_the_history_is_barred() -> None:
    """Ranks 1; 1 and 30; 12 less six; 19 to 21: item 0 first for everybody but those who had it."""
    found = scored(LINE, everything(samples()))
    assert found.values["recall_10"] == pytest.approx((1 + 1 / 2 + 1 + 0) / 4)
    assert found.values["recall_20"] == pytest.approx((1 + 1 / 2 + 1 + 2 / 3) / 4)
    assert found.values["mrr_20"] == pytest.approx((1 + 1 + 1 / 6 + 1 / 19) / 4)
    assert found.values["ndcg_10"] == pytest.approx((1 + 1 / (1 + 1 / math.log2(3)) + 1 / math.log2(7) + 0) / 4)
    assert found.units["recall_20"] == pytest.approx([1, 0.5, 1, 0.666667])
    assert found.tables["ranks"] == [[2, 0, 1, 2, 2, 0, 0, 0]]
    unmasked = scored(LINE, everything(samples()), mask=False)
    assert unmasked.values["mrr_20"] == pytest.approx((1 / 4 + 1 + 1 / 12 + 0) / 4)


def test_barred_and_unlisted_targets_get_nothing() -> None:
    """An item that is not listed is no item of rank 30, however few are listed; nor is one that was seen."""
    few = LINE.masked_fill(torch.arange(ITEMS) > 10, UNLISTED)
    found = scored(few, everything(samples()))
    assert found.values["recall_50"] == pytest.approx((1 + 1 / 2 + 0 + 0) / 4)
    assert found.tables["ranks"] == [[2, 0, 0, 0, 0, 0, 0, 5]]
    seen = scored(LINE, everything(samples(targets=([0], [0], [9], [2]))))
    assert seen.values["recall_50"] == pytest.approx(1 / 4)


def test_warm_and_cold_targets_are_pooled_over_users() -> None:
    """Item 0 alone is cold: one target of seven. Where nothing is cold, nothing is said of it."""
    found = scored(LINE, everything(samples()))
    assert found.values["recall_10_cold"] == 1
    assert found.values["recall_10_warm"] == pytest.approx(2 / 6)
    assert found.values["recall_20_warm"] == pytest.approx(4 / 6)
    warm = scored(LINE, everything(samples(targets=([3], [1], [11], [20]))))
    assert "recall_10_cold" not in warm.values
    assert "recall_10_warm" in warm.values


def test_what_is_in_lists() -> None:
    """Slots that are no item, repeated items, items of the history, and too few slots."""
    lists = torch.full((4, LIST), -1)
    lists[0] = torch.arange(LIST)  # ten items, three of them seen
    lists[1, :4] = torch.tensor([5, 5, 6, 0])  # nobody has seen anything
    lists[2, :2] = torch.tensor([9, 9])  # one item twice, seen
    found = scored(LINE, everything(samples()), lists=lists).values
    assert found["valid_10"] == pytest.approx((10 + 4 + 2 + 0) / 40)
    assert found["unique_10"] == pytest.approx((10 + 3 + 1 + 0) / 40)
    assert found["seen_10"] == pytest.approx((3 + 0 + 2 + 0) / 40)
    short = scored(LINE, everything(samples()), lists=lists[:, :2]).values
    assert short["valid_10"] == pytest.approx((2 + 2 + 2 + 0) / 40)


def test_lists_have_their_size_and_the_lowest_of_equal_items() -> None:
    """Whatever `topk` takes, on this device or another."""
    model, batch = falling(), everything(samples())
    found = model.lists(batch, torch.zeros(4, 1000), LIST)
    assert found.tolist() == 4 * [list(range(LIST))]
    scores = torch.tensor([[0.0, 2.0, 2.0, UNLISTED, 1.0, 2.0]])
    assert model.lists(batch, scores, LIST).tolist() == [[1, 2, 5, 4, 0, -1, -1, -1, -1, -1]]


def test_coverage_is_of_what_users_would_see() -> None:
    """First ten after barring: items 3-12 for user 0, 0-9, 0 2 4 6 10-15, and 1 3-11: items 0-15."""
    assert scored(LINE, everything(samples())).values["coverage_10"] == pytest.approx(16 / ITEMS)
    assert scored(LINE, everything(samples()), mask=False).values["coverage_10"] == pytest.approx(10 / ITEMS)
    few = LINE.masked_fill(torch.arange(ITEMS) > 1, UNLISTED)
    assert scored(few, everything(samples())).values["coverage_10"] == pytest.approx(2 / ITEMS)


def test_the_number_of_an_item_gives_no_advantage() -> None:
    """A model that says the same of all items finds 10 of 30 by luck, whichever item is the target."""
    for target in (0, 15, 29):
        found = scored(torch.zeros(1, ITEMS), everything(samples([[1]], [[target]])), mask=False).values
        assert found["recall_10"] == pytest.approx(1 / 3)
        assert (found["recall_10_low"], found["recall_10_high"]) == (0, 1)


@pytest.mark.parametrize("ordered", [True, False])
def test_all_metrics_are_there_and_defined(ordered: bool) -> None:
    """Those of shuffled histories only where there is an order; all finite."""
    found = score(falling(ordered=ordered), drawn_samples())
    assert set(found.values) == set(NextItem.metrics) - (set() if ordered else {"shuffled_ndcg_10"})
    assert all(math.isfinite(value) for value in found.values.values())
    json.dumps([found.values, found.units, found.tables, found.groups], allow_nan=False)


def test_a_model_that_reads_the_order_loses_by_the_shuffle() -> None:
    """The target is the item after the last one."""
    last = torch.randperm(ITEMS - 3, generator=torch.Generator().manual_seed(1)).tolist()
    of = samples(
        [[*range(ITEMS - 9 if i < 15 else 0, ITEMS if i < 15 else 9), i] for i in last], [[i + 1] for i in last]
    )
    found = score(falling(mask=False), of).values
    assert found["shuffled_ndcg_10"] < 0.7 * found["ndcg_10"]
    for mask in (True, False):  # one item has one order
        single = score(falling(mask=mask), replace(of, length=of.length.clamp(max=1))).values
        assert single["shuffled_ndcg_10"] == single["ndcg_10"] > 0


def test_shuffled_histories_are_in_any_order() -> None:
    """Each user has an order of their own, whatever the batch; items stay where there are any, and come anywhere."""
    of = samples([list(range(20))] * 500 + [[4, 2]], [[25]] * 501)
    whole = shuffled(everything(of))
    rows = whole.inputs[:500]
    assert len(set(map(tuple, rows.tolist()))) == 500
    assert torch.equal(rows.sort(1).values, torch.arange(20).expand(500, -1))
    assert sorted(whole.inputs[500, :2].tolist()) == [2, 4]
    assert torch.equal(shuffled(of.batch(torch.tensor([500, 3]))).inputs[1], rows[3])
    where = torch.stack([(rows == item).double().mean(0) for item in range(20)])  # (item, place): 1/20 each, sd 0.01
    assert where.sub(1 / 20).abs().max() < 0.05
    assert (rows.diff(dim=1) == 1).double().mean() == pytest.approx(1 / 20, abs=0.01)  # neighbours are parted


@pytest.mark.parametrize("block_values", [1, 130, 700])
def test_blocks_change_nothing_and_units_keep_their_order(block_values: int) -> None:
    """Users stand in the same order for every model, so that they can be compared in pairs."""
    of = drawn_samples()
    whole, parts = score(falling(), of), score(falling(block_values), of)
    assert parts.values == pytest.approx(whole.values, abs=1e-12)
    assert (parts.units, parts.tables) == (whole.units, whole.tables)
    for kind, groups in whole.groups.items():
        assert list(parts.groups[kind]) == list(groups)
    alone = [
        score(falling(), of, torch.tensor([i]), selecting=True).units["ndcg_10"][0]
        for i in of.sizes.argsort(stable=True)
    ]
    assert whole.units["ndcg_10"] == alone


def test_an_epoch_is_chosen_by_the_same_scores_without_lists() -> None:
    """`score(selecting=True)` asks for predictions only."""
    of = drawn_samples()
    chosen, whole = (score(falling(), of, selecting=selecting).values for selecting in (True, False))
    assert NextItem.primary in chosen
    assert not {"coverage_10", "shuffled_ndcg_10"} & set(chosen)
    assert chosen == {name: whole[name] for name in chosen}


def test_groups_split_users_and_targets() -> None:
    """Every user and target is in one band; names sort as bands do and say how many there are."""
    found = scored(LINE, everything(samples())).groups
    assert list(found["history"]) == ["00 (1 users)", "01-05 (2 users)", "06-10 (1 users)"]
    assert found["history"]["00 (1 users)"]["recall_20"] == 0.5
    assert found["history"]["01-05 (2 users)"]["recall_20"] == pytest.approx((1 + 2 / 3) / 2)
    names = ["00 (1 targets)", "01-05 (1 targets)", "11-20 (2 targets)", "21-50 (3 targets)"]
    assert list(found["target popularity"]) == names
    assert found["target popularity"]["11-20 (2 targets)"]["recall_20"] == 1
    assert sorted(BAND_NAMES) == list(BAND_NAMES)


def test_popularity_is_of_tenths_of_the_catalogue() -> None:
    """Three items each; items 0, 1 and 2 are in two histories, so they are the most popular."""
    taken, wanted, listed = scored(LINE, everything(samples())).tables["popularity"]
    assert (sum(taken), sum(wanted), sum(listed)) == (11, 7, 40)
    assert taken == [6, 3, 2, 0, 0, 0, 0, 0, 0, 0]
    assert wanted == [1, 1, 0, 1, 0, 0, 1, 2, 0, 1]


def test_the_loss_is_of_the_mean_target() -> None:
    """Cross-entropy of each target, over the user's targets, over users."""
    batch, scores = everything(samples()), torch.randn(4, ITEMS, generator=torch.Generator().manual_seed(1))
    expected = 0.0
    for row, targets in zip(scores.double().softmax(1).tolist(), TARGETS, strict=True):
        expected -= sum(math.log(row[item]) for item in targets) / len(targets) / 4
    assert float(task().loss(scores, batch)) == pytest.approx(expected, rel=1e-5)


def test_records_make_the_same_task() -> None:
    """Through JSON, as results keep it."""
    made = NextItem(Histories(10, ITEMS, 60, {"text": 384}, ordered=False), mask=False)
    assert task_from_record(json.loads(json.dumps(made.record()))) == made
    assert task().random_batch(4).target.shape == (4, 1)
