"""Ranking metrics: every order of ties written out, ir_measures where nothing is tied, and what must always hold.

`rec_measures.json` holds what ir_measures 0.4.3 (pytrec-eval-terrier 0.5.11) gives for 12 users of 60 items with 1 to
14 targets, scores drawn without repetition by Python's random.Random(6):
`ir_measures.iter_calc([R @ k, nDCG @ k, RR @ k, ...], {user: {target: 1}}, {user: {item: score}})`, `left_out` items
missing from the second.
"""

from __future__ import annotations

import itertools
import json
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from tsbench.rec.metrics import CUTOFFS, UNLISTED, candidates, hits, measures, mrr, ndcg, places, recall, top

IR_MEASURES: dict[str, Any] = json.loads((Path(__file__).parent / "rec_measures.json").read_text())


def measured(scores: Sequence[float], targets: Sequence[int], barred: Sequence[int] = ()) -> dict[str, float]:
    """All metrics of one user."""
    among = torch.zeros(1, len(scores), dtype=torch.bool)
    among[0, list(barred)] = True
    found = places(candidates(torch.tensor([scores]), among), torch.tensor([targets]))
    return {name: float(value) for name, value in measures(found).items()}


def lists(scores: Sequence[float], barred: Sequence[int]) -> list[tuple[int, ...]]:
    """All orders in which candidates may stand, each as likely as the others."""
    listed = [i for i, score in enumerate(scores) if score > UNLISTED and i not in barred]
    levels = sorted({scores[i] for i in listed}, reverse=True)
    orders = [itertools.permutations([i for i in listed if scores[i] == level]) for level in levels]
    return [tuple(itertools.chain(*parts)) for parts in itertools.product(*orders)]


def by_hand(order: Sequence[int], targets: Sequence[int], k: int) -> dict[str, float]:
    """The textbook's metrics of one list."""
    ranks = [rank for rank, item in enumerate(order[:k], 1) if item in targets]
    best = sum(1 / math.log2(1 + rank) for rank in range(1, min(len(targets), k) + 1))
    return {
        "recall": len(ranks) / len(targets),
        "ndcg": sum(1 / math.log2(1 + rank) for rank in ranks) / best,
        "mrr": 1 / ranks[0] if ranks else 0.0,
    }


def over_ties(scores: Sequence[float], targets: Sequence[int], k: int, barred: Sequence[int] = ()) -> dict[str, Any]:
    """Mean, least and most of each metric over all orders."""
    found = [by_hand(order, targets, k) for order in lists(scores, barred)]
    each = {name: [one[name] for one in found] for name in found[0]}
    return {name: (sum(values) / len(values), min(values), max(values)) for name, values in each.items()}


SMALL: dict[str, tuple[list[float], list[int], tuple[int, ...]]] = {
    "no ties": ([5, 4, 3, 2, 1], [2], ()),
    "all tied": ([1, 1, 1, 1, 1, 1, 1], [3], ()),
    "several targets in one group": ([9, 2, 2, 2, 2, 2, 1], [1, 3, 5], ()),
    "targets in several groups": ([3, 3, 2, 2, 2, 1, 1], [1, 3, 4, 6], ()),
    "everything is a target": ([1, 1, 0, 0], [0, 1, 2, 3], ()),
    "an unlisted target": ([1, 1, 1, UNLISTED, 0, 0], [0, 3, 5], ()),
    "unlisted items are in no tie": ([2, 1, UNLISTED, UNLISTED, UNLISTED], [3], ()),
    "barred items are out of ties": ([1, 1, 1, 1, 1, 0, 0], [2, 5], (0, 1, 6)),
    "a barred target is a miss": ([4, 3, 3, 3, 1], [0, 2], (0,)),
    "better items are barred": ([4, 3, 3, 3, 1], [2], (0,)),
    "nobody is listed": ([UNLISTED] * 4, [1, 2], ()),
}


@pytest.mark.parametrize("case", SMALL)
@pytest.mark.parametrize("k", [1, 2, 3, 5, 10])
def test_every_order_of_ties(case: str, k: int) -> None:
    """Expected values and both bounds, at any cutoff."""
    scores, targets, barred = SMALL[case]
    expected = over_ties(scores, targets, k, barred)
    among = torch.zeros(1, len(scores), dtype=torch.bool)
    among[0, list(barred)] = True
    found = places(candidates(torch.tensor([scores], dtype=torch.float32), among), torch.tensor([targets]))
    assert float(recall(found, k)) == pytest.approx(expected["recall"][0], abs=1e-12)
    assert float(ndcg(found, k)) == pytest.approx(expected["ndcg"][0], abs=1e-12)
    assert float(mrr(found, [k])) == pytest.approx(expected["mrr"][0], abs=1e-12)
    for i, order in ((1, found.worst), (2, found.best)):
        assert float(recall(order, k)) == pytest.approx(expected["recall"][i], abs=1e-12)
        assert float(ndcg(order, k)) == pytest.approx(expected["ndcg"][i], abs=1e-12)


@settings(max_examples=60, deadline=None)
@given(data=st.data())
def test_every_order_of_random_ties(data: st.DataObject) -> None:
    """Up to seven items, any targets, some barred or unlisted."""
    scores = data.draw(st.lists(st.sampled_from([0.0, 1.0, 2.0, UNLISTED]), min_size=2, max_size=7))
    items = range(len(scores))
    targets = data.draw(st.lists(st.sampled_from(items), min_size=1, unique=True))
    barred = data.draw(st.lists(st.sampled_from(items), max_size=3, unique=True))
    expected, found = over_ties(scores, targets, 5, barred), measured(scores, targets, barred)
    assert {name: found[f"{name}_5"] for name in expected} == pytest.approx({n: e[0] for n, e in expected.items()})


@pytest.mark.parametrize("name", [key for key in IR_MEASURES if key[-1].isdigit()])
def test_as_ir_measures_has_it_where_nothing_is_tied(name: str) -> None:
    """Users with 1 to 14 targets at once, some targets missing from the list."""
    widest = max(map(len, IR_MEASURES["targets"]))
    targets = torch.tensor([row + [-1] * (widest - len(row)) for row in IR_MEASURES["targets"]])
    scores = torch.tensor(IR_MEASURES["scores"], dtype=torch.float32)
    barred = torch.zeros_like(scores, dtype=torch.bool)
    for row, items in zip(barred, IR_MEASURES["left_out"], strict=True):
        row[items] = True
    for among in (candidates(scores, barred), scores.masked_fill(barred, UNLISTED)):
        found = measures(places(among, targets))
        assert found[name].tolist() == pytest.approx(IR_MEASURES[name], abs=1e-6)
        assert torch.equal(found["ndcg_10_low"], found["ndcg_10"])
        assert torch.equal(found["ndcg_10_high"], found["ndcg_10"])


def tie_heavy(users: int = 200, items: int = 300) -> tuple[Tensor, Tensor]:
    """Scores of five values, as of a count of few interactions, and one or two targets of each user."""
    luck = torch.Generator().manual_seed(3)
    scores = torch.randint(0, 5, (users, items), generator=luck).float()
    targets = torch.stack([torch.randperm(items, generator=luck)[:2] for _ in range(users)])
    targets[::2, 1] = -1
    return scores, targets


def test_sorting_would_favour_some_numbers_and_the_expected_value_none() -> None:
    """One and the same model, its items renumbered: what `argsort` gives moves, the expected value does not."""
    scores, targets = tie_heavy()
    scores[:, :5] += 0.5  # as if the most popular items were the first
    new = torch.randperm(scores.shape[1], generator=torch.Generator().manual_seed(4))
    moved = torch.empty_like(scores).scatter_(1, new.expand_as(scores), scores)
    renamed = new[targets.clamp(min=0)].where(targets >= 0, -1)
    for name, value in measures(places(scores, targets)).items():
        assert torch.equal(measures(places(moved, renamed))[name], value)
    sorted_hits = [
        (found[..., None] == wanted[:, None]).any(-1).double().mean()
        for found, wanted in ((top(scores, 10), targets), (top(moved, 10), renamed))
    ]
    assert sorted_hits[0] != sorted_hits[1]


def test_the_expected_value_is_the_mean_over_ties_broken_at_random() -> None:
    """A tie-heavy case, whose bounds are far apart; 400 times a little noise on each score."""
    scores, targets = tie_heavy()
    found = {name: float(value.mean()) for name, value in measures(places(scores, targets)).items()}
    luck = torch.Generator().manual_seed(5)
    drawn: dict[str, list[float]] = {}
    for _ in range(400):
        broken = scores + torch.rand(scores.shape, generator=luck) / 2
        for name, value in measures(places(broken, targets)).items():
            drawn.setdefault(name, []).append(float(value.mean()))
    for name in ("recall_10", "ndcg_10", "mrr_10", "ndcg_20", "recall_50"):
        values = torch.tensor(drawn[name])
        assert abs(float(values.mean()) - found[name]) < 4 * float(values.std()) / math.sqrt(len(values))
    for name in ("recall_10", "ndcg_10"):
        assert found[f"{name}_low"] < 0.2 * found[name] < 5 * found[name] < found[f"{name}_high"]


@settings(max_examples=40, deadline=None)
@given(seed=st.integers(0, 10**6), change=st.sampled_from(["add", "stretch", "exp"]))
def test_only_the_order_of_scores_counts(seed: int, change: str) -> None:
    """Any growing function leaves all metrics as they are; each lies between its bounds and in 0 ... 1."""
    luck = torch.Generator().manual_seed(seed)
    scores = torch.randint(-3, 4, (6, 30), generator=luck).float()
    targets = torch.stack([torch.randperm(30, generator=luck)[:4] for _ in range(6)])
    targets[0, 1:] = -1
    found = measures(places(scores, targets))
    other = {"add": scores + 100, "stretch": scores * 7, "exp": scores.exp()}[change]
    for name, values in measures(places(other, targets)).items():
        assert torch.equal(values, found[name])
        assert values.ge(0).all()
        assert values.le(1 + 1e-12).all()
    for name in ("recall_10", "ndcg_10"):
        assert found[f"{name}_low"].le(found[name] + 1e-12).all()
        assert found[name].le(found[f"{name}_high"] + 1e-12).all()
    for name in ("recall", "ndcg", "mrr"):
        if name != "ndcg":  # its best list grows with k
            assert all((found[f"{name}_{a}"] <= found[f"{name}_{b}"]).all() for a, b in itertools.pairwise(CUTOFFS))


def test_users_of_many_targets_beside_users_of_one() -> None:
    """300 targets of one user among many with one: the same as each alone."""
    luck = torch.Generator().manual_seed(1)
    scores = torch.randint(0, 50, (40, 1000), generator=luck).float()
    targets = torch.full((40, 300), -1)
    targets[:, 0] = torch.randint(0, 1000, (40,), generator=luck)
    targets[7] = torch.randperm(1000, generator=luck)[:300]
    together = measures(places(scores, targets))
    for row in (6, 7):
        wanted = targets[row][targets[row] >= 0]
        alone = measures(places(scores[row : row + 1], wanted[None]))
        assert {name: float(value[row]) for name, value in together.items()} == pytest.approx(
            {name: float(value[0]) for name, value in alone.items()}
        )


def test_hits_add_up() -> None:
    """Where all are tied, k of them are among the first k; a pad of -1 is nobody."""
    found = hits(places(torch.zeros(2, 20), torch.stack([torch.arange(20), torch.full((20,), -1)])), 5)
    assert found.sum(1).tolist() == pytest.approx([5, 0])


def test_top_is_in_order_and_the_lower_number_goes_first() -> None:
    """As a stable sort has it; -1 where candidates end."""
    scores, _ = tie_heavy(50, 40)
    expected = scores.sort(dim=1, descending=True, stable=True).indices
    assert torch.equal(top(scores, 10), expected[:, :10])
    assert torch.equal(top(scores, 40), expected)
    few = torch.full((1, 6), UNLISTED)
    few[0, [4, 1]] = 2.0
    assert top(few, 4).tolist() == [[1, 4, -1, -1]]
    assert top(few, 8).tolist() == [[1, 4, -1, -1, -1, -1, -1, -1]]
