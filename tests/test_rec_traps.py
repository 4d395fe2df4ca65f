"""Thirteen ways to be wrong about recommendations, and what catches each; docs/rec.md has the evidence.

Beside the tests here, which say in their names what they are of:

1  test_rec_splits: the_order_of_the_file_decides_nothing, notes_of_leave_one_out
2  test_rec_splits: numbers_of_items_tell_nothing
3  test_rec_metrics: every_order_of_ties, the_expected_value_is_the_mean_over_ties_broken_at_random
5  test_rec_task: barred_and_unlisted_targets_get_nothing, what_is_in_lists
   test_mmgrec: the_widest_beam_scores_every_item_exactly
6  test_rec_splits: the_temporal_cut_holds_for_all_users, users_without_training_are_asked_about_only_on_request
7  test_rec_splits: the_shuffled_control_keeps_sets_and_targets; test_mmgrec: a_history_is_a_set_to_the_last_bit
8  test_rec_task: warm_and_cold_targets_are_pooled_over_users
11 test_rec_splits: counts_are_of_training_only
12 test_mmgrec: what_is_to_be_predicted_is_never_read
   test_sasrec: no_step_sees_a_later_one, the_loss_is_the_mean_over_all_prefixes
13 test_rec_task: blocks_change_nothing_and_units_keep_their_order
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from tsbench.caveats import PLAIN
from tsbench.cell import make_cell
from tsbench.data import Batch, Splits
from tsbench.datasets.generated_shop import Shop, purchases
from tsbench.errors import MissingData
from tsbench.evaluate import score
from tsbench.model import Model, NeuralModel, Run
from tsbench.models import mmgrec
from tsbench.plan import read_suite
from tsbench.position import encoding_kind
from tsbench.rec.holding import held_out
from tsbench.rec.interactions import Catalogue, Interactions
from tsbench.rec.metrics import CUTOFFS, UNLISTED
from tsbench.rec.model import Recommender
from tsbench.rec.samples import HistorySamples, barred, sequences, shuffled
from tsbench.rec.scores import Ranked
from tsbench.rec.splits import Rules, history_splits
from tsbench.registry import find_datasets, find_model, model_names
from tsbench.run import fit
from tsbench.settings import parse_spec
from tsbench.stats import compare
from tsbench.tasks.next_item import NextItem

FAMILY = [name for name in model_names() if issubclass(find_model(name), Recommender)]
NEURAL = [name for name in FAMILY if issubclass(find_model(name), NeuralModel)]
SETS = {"mmgrec", "popularity", "item_knn", "ease", "content_knn"}  # for these a history has no order
BLIND = {"popularity", "item_knn", "item_markov", "ease"}  # for these, of cold items nothing is known
SUITES = ["rec", "rec-ablation", "rec-positions"]
SMALL: Mapping[str, Mapping[str, Any]] = {"mmgrec": {"batch_size": 64}}  # settings beside those of `tiny`


def model_of(name: str, splits: Splits, run: Run, **settings: Any) -> Model:
    """A model, fitted at its smallest as a cell is."""
    settings = {**find_model(name).tiny, **SMALL.get(name, {}), **settings}
    return fit(make_cell(Shop(), Shop.name, None, name, settings, seed=3), splits, run)


@lru_cache
def shop(protocol: str = "leave-one-out") -> Splits:
    return Shop().load(Path(), protocol)


@lru_cache
def fitted(name: str) -> Model:
    return model_of(name, shop(), Run(seed=3))


def samples(of: Any) -> HistorySamples:
    assert isinstance(of, HistorySamples)
    return of


def everything(of: Any) -> Batch:
    return samples(of).batch(torch.arange(len(of)))


# ---------------------------------------------------------------- 1-3: order, numbers, ties


def at_once(users: int, reverse: bool = False, ties: str = "hash") -> list[str]:
    """The test target of each of some people who took the same six items, all at once."""
    rows = [(user, item) for user in range(users) for item in range(6)][:: -1 if reverse else 1]
    user, item = np.array(rows).T
    names = tuple(map(str, range(users)))
    log = Interactions(user, item, np.zeros(len(rows)), None, names, Catalogue(tuple("uvwxyz")), ordered=True)
    splits = history_splits(log, "leave-one-out", Rules(ties=ties))
    assert any("decides the target" in note for note in splits.notes)
    return [splits.titles[int(i)] for i in everything(splits.test).target[:, 0]]


def test_1_ties_in_time_are_decided_by_luck_and_said_to_be() -> None:
    """By file or number, one item would be everybody's target: popular or not, all or nothing (rec.md: +- 50 %)."""
    targets = at_once(600)
    assert at_once(600, reverse=True) == targets
    assert set(Counter(targets).values()) <= set(range(60, 140))  # 100 each, SD 9
    assert set(at_once(600, ties="file")) == {"z"}


def following(splits: Splits) -> float:
    """How often the test target is the largest number of the history, plus 1."""
    batch = everything(splits.test)
    largest = batch.inputs.where(batch.real, -1).amax(1)
    return float((batch.target == largest[:, None] + 1).any(1).double().mean())


@pytest.mark.parametrize("name", ["amazon-beauty", "amazon-toys", "amazon-instruments"])
def test_2_the_next_unused_number_is_no_target(real_data: Path, name: str) -> None:
    """As the files number items it is that of 4.4, 4.35 and 3.1 % of the users (rec.md); by chance of hardly any."""
    (dataset,) = find_datasets(f"rec/{name}")
    try:
        splits = dataset.load(real_data, "leave-one-out")
    except MissingData as error:
        pytest.skip(f"no real data: {error}")
    assert following(splits) < 0.002


class Fixed(Recommender):
    """The same scores for everybody."""

    stochastic = False
    scores: Tensor

    def fit(self, train: Any, validation: Any, run: Run) -> None:
        """Nothing to learn."""

    def predict(self, batch: Batch) -> Tensor:
        """`(batch, item)`."""
        return self.scores.expand(len(batch), -1)

    def state(self) -> dict[str, Tensor]:
        """Nothing is."""
        return {}

    def load_state(self, state: Any) -> None:
        """Nothing is."""


def fixed(scores: Tensor) -> Fixed:
    model = Fixed(shop().task, None)
    model.scores = scores
    return model


def test_3_a_model_that_says_nothing_is_as_good_as_chance() -> None:
    """Of n candidates, each cutoff has k / n of the targets: whatever the numbers, nothing from sorting."""
    batch = everything(shop().test)
    n = (150 - batch.steps).double()  # of each user
    found = score(fixed(torch.zeros(150)), samples(shop().test)).values
    for k in CUTOFFS:
        assert found[f"recall_{k}"] == pytest.approx(float((k / n).mean()), abs=1e-9)
    assert (found["recall_10_low"], found["recall_10_high"]) == (0, 1)


# ---------------------------------------------------------------- 4, 5, 8: who is ranked


def test_4_every_item_that_the_history_has_not_is_a_rival() -> None:
    """One at a time is put above the target, cold ones as well: each makes it the second."""
    splits = shop()
    batch = samples(splits.test).batch(torch.tensor([0]))
    target, seen = int(batch.target), barred(batch, 150)[0]
    for item in range(150):
        scores = -torch.arange(150.0)
        scores[target], scores[item] = 1e3, 1e4
        meter = splits.task.meter()
        meter.update(Ranked(scores[None], torch.arange(10)[None], None), batch)
        first = item == target or bool(seen[item])
        assert meter.scores().values["mrr_50"] == (1 if first else 0.5)
    assert (samples(splits.train).counts == 0).sum() == 4  # so there were such rivals


def test_5_what_a_beam_does_not_list_is_never_found() -> None:
    """With ten items listed, those at 11 to 50 are none; were the rest ranked as equals, some would be found."""
    narrow = model_of("mmgrec", shop(), Run(seed=3), beam=10)
    batch = samples(shop().test).batch(torch.arange(40))
    scores = narrow.predict(batch)
    assert ((scores > UNLISTED).sum(1) == 10).all()
    assert (scores[barred(batch, 150)] == UNLISTED).all()
    values = score(narrow, samples(shop().test)).values
    assert values["recall_10"] == values["recall_20"] == values["recall_50"] < 1
    assert values["recall_10"] == values["recall_10_low"] == values["recall_10_high"] > 0
    assert mmgrec.MMGRecConfig().beam >= max(CUTOFFS)


@pytest.mark.parametrize("name", FAMILY)
def test_5_lists_are_what_a_model_makes_before_anything_is_barred(name: str) -> None:
    model, batch = fitted(name), samples(shop().test).batch(torch.arange(40))
    assert isinstance(model, Recommender)
    made = model.lists(batch, model.predict(batch), 10)
    assert made.shape == (40, 10)
    assert all(len(set(row)) == 10 and min(row) >= 0 for row in made.tolist())
    values = score(model, samples(shop().test)).values
    assert (values["valid_10"], values["unique_10"]) == (1, 1)
    assert values["seen_10"] > 0  # so they are not the lists that users would see
    assert barred(batch, 150).gather(1, made).any()


@pytest.mark.parametrize("name", FAMILY)
def test_8_cold_items_are_candidates_and_told_apart(name: str) -> None:
    """Four of 150, which are targets; who knows nothing of them finds them last, all equal, or not at all."""
    splits = shop()
    train, batch = samples(splits.train), everything(splits.test)
    cold = train.counts == 0
    assert fitted(name).predict(batch).shape == (len(batch), len(train.counts)) == (400, 150)
    share = float(cold[batch.target].double().mean())
    assert share > 0.03
    values = score(fitted(name), samples(splits.test)).values
    assert values["recall_10"] == pytest.approx(
        (1 - share) * values["recall_10_warm"] + share * values["recall_10_cold"], abs=1e-9
    )
    if name in BLIND:
        assert values["recall_10_cold"] < 0.02 < values["recall_10_warm"]


def test_8_what_nobody_took_stays_in_the_catalogue() -> None:
    log = purchases()
    splits = history_splits(log.select(log.item > 4), "leave-one-out", Rules())
    assert isinstance(splits.task, NextItem)
    assert splits.task.inputs.items == len(splits.titles) == 150
    assert (samples(splits.train).counts == 0).sum() == 5 + 4


# ---------------------------------------------------------------- 6, 7: time and order


@pytest.mark.parametrize("protocol", ["leave-one-out", "temporal"])
def test_6_each_protocol_says_what_of_the_future_it_lets_in(protocol: str) -> None:
    """And who is not asked about: users without training, under the rule `warm`."""
    notes = " | ".join(shop(protocol).notes)
    log = purchases()
    assert log.time is not None
    trained = set(samples(shop(protocol).train).user.tolist())
    assert set(samples(shop(protocol).test).user.tolist()) <= trained
    assert ("the future leaks" in notes) == (protocol == "leave-one-out")
    assert ("not tested, with fewer than 1 training interaction" in notes) == (protocol == "temporal")
    assert notes.startswith(PLAIN + protocol)


@pytest.mark.parametrize("name", FAMILY)
def test_7_a_shuffle_shows_who_reads_the_order(name: str) -> None:
    """By the metric of every table, and by scores, which show what two epochs have hardly taught."""
    batch = samples(shop().test).batch(torch.arange(40))
    scores, other = fitted(name).predict(batch), fitted(name).predict(shuffled(batch))
    changed = (scores - other).abs().where((scores > UNLISTED) & (other > UNLISTED), 0).max()
    values = score(fitted(name), samples(shop().test)).values
    if name in SETS:
        assert changed < 1e-4
        assert values["shuffled_ndcg_10"] == pytest.approx(values["ndcg_10"], abs=1e-3)
    else:
        assert changed > 1e-3
        assert values["shuffled_ndcg_10"] != pytest.approx(values["ndcg_10"], abs=1e-3)


# ---------------------------------------------------------------- 9, 10: what fitting knows


def split_shop(ordered: bool, change: Callable[[np.ndarray, np.ndarray], np.ndarray]) -> Splits:
    """The generated purchases with their split told; `change` makes other items of `(item, split)`.

    Training has been told apart before, so nothing that comes later can move it.
    """
    log = purchases()
    assert log.time is not None
    log = replace(log.select(np.lexsort([log.time, log.user])), time=None, ordered=ordered)
    later = np.bincount(log.user).cumsum()[log.user] - 1 - np.arange(len(log))
    split = np.maximum(2 - later, 0)
    return history_splits(replace(log, split=split, item=change(log.item, split)), "given", Rules(mask="none"))


def other_items(least: int, most: int = 2) -> Callable[[np.ndarray, np.ndarray], np.ndarray]:
    """Items of these parts are drawn anew, from the last ten: cold ones become popular."""

    def change(item: np.ndarray, split: np.ndarray) -> np.ndarray:
        drawn = np.random.default_rng(1).integers(140, 150, len(item))
        return np.where((split >= least) & (split <= most), drawn, item)

    return change


def unchanged(item: np.ndarray, split: np.ndarray) -> np.ndarray:
    return item


@lru_cache
def learned(name: str, ordered: bool, select: bool, parts: tuple[int, int] | None) -> tuple[dict[str, Tensor], Any]:
    """State and curves of a model fitted when items of some parts are others."""
    run = Run(seed=3, select=select)
    splits = split_shop(ordered, other_items(*parts) if parts else unchanged)
    return model_of(name, splits, run).state(), run.curves


def alike(first: Mapping[str, Tensor], second: Mapping[str, Tensor]) -> bool:
    return first.keys() == second.keys() and all(torch.equal(first[key], second[key]) for key in first)


@pytest.mark.parametrize("name", FAMILY)
@pytest.mark.parametrize("ordered", [True, False])
def test_9_nothing_that_is_fitted_knows_validation_or_test(name: str, ordered: bool) -> None:
    """Popularity, popularity tokens, graph, likeness, EASE's matrix, codes, weights: the same whatever comes later."""
    before, _ = learned(name, ordered, False, None)
    after, _ = learned(name, ordered, False, (1, 2))
    assert alike(before, after)


@pytest.mark.parametrize("name", FAMILY)
def test_9_what_is_fitted_knows_training(name: str) -> None:
    """So the tests above can fail."""
    if name != "content_knn":  # it looks at features only
        assert not alike(learned(name, True, False, None)[0], learned(name, True, False, (0, 0))[0])


@pytest.mark.parametrize("name", FAMILY)
def test_10_nothing_is_chosen_on_test(name: str) -> None:
    """Neither weights nor the score of any epoch."""
    (state, curves), (other, others) = (learned(name, True, True, parts) for parts in (None, (2, 2)))
    assert alike(state, other)
    assert curves == others


@pytest.mark.parametrize("name", NEURAL)
def test_10_epochs_are_chosen_on_validation(name: str) -> None:
    """So the test above can fail."""
    assert learned(name, True, True, None)[1] != learned(name, True, True, (1, 1))[1]


# ---------------------------------------------------------------- 11, 12: counts and targets


def test_11_popularity_is_a_plain_count() -> None:
    """400 users take the same items over and over; a count by batches would lose what repeats in one."""
    train = samples(shop().train)
    counted: Counter[int] = Counter()
    for row in range(len(train)):
        items, real = sequences(train.batch(torch.tensor([row])))
        counted.update(items[real].tolist())
    assert max(counted.values()) > 100
    scores = fitted("popularity").predict(everything(shop().test))
    assert (scores == scores[0]).all()
    wanted = torch.tensor([float(counted[item]) for item in range(150)])
    assert torch.equal(scores[0].argsort(stable=True), wanted.argsort(stable=True))
    assert torch.equal(train.counts.float(), wanted)


def read_rows(model: mmgrec.MMGRec, batch: Batch, monkeypatch: pytest.MonkeyPatch) -> tuple[set[int], set[int]]:
    """Items whose vectors the training loss depends on, and those that it predicts."""
    predicted: list[Tensor] = []

    def spy(*args: Any) -> Any:
        kept, targets, chosen = held_out(*args)
        predicted.append(targets[chosen])
        return kept, targets, chosen

    monkeypatch.setattr(mmgrec, "held_out", spy)
    model.items = model.items.clone().requires_grad_()
    model.training_loss(batch).backward()
    monkeypatch.undo()
    assert model.items.grad is not None
    read = set(model.items.grad.abs().sum(1).nonzero()[:, 0].tolist())
    model.items = model.items.detach()
    return read, set(torch.cat(predicted).tolist())


def test_12_mmgrec_reads_no_item_that_it_is_to_predict(monkeypatch: pytest.MonkeyPatch) -> None:
    """By the gradient of the loss, so whatever the way in; the released code reads 61 % of them (rec.md)."""
    model = model_of("mmgrec", shop(), Run(seed=3))
    assert isinstance(model, mmgrec.MMGRec)
    model.train()
    train = samples(shop().train)
    for row in range(20):
        batch = train.batch(torch.tensor([row]))
        items, real = sequences(batch)
        read, predicted = read_rows(model, batch, monkeypatch)
        assert predicted
        assert not read & predicted
        assert read | predicted == set(items[real].tolist())


@pytest.mark.parametrize("name", NEURAL)
def test_12_a_prediction_depends_on_no_target(name: str) -> None:
    """Whatever is put where the answer stands."""
    model, batch = fitted(name), samples(shop().test).batch(torch.arange(30))
    other = replace(batch, target=torch.zeros_like(batch.target), more={**batch.more, "counts": batch.target})
    assert torch.equal(model.predict(batch), model.predict(other))


# ---------------------------------------------------------------- 13: uncertainty


def test_13_users_are_kept_and_compared_in_pairs() -> None:
    """Two models on the same users, in the same order, differ for more than luck; a model does not from itself."""
    found = {name: score(fitted(name), samples(shop().test)).units for name in ("popularity", "item_markov")}
    for units in found.values():
        assert {"ndcg_10", "recall_10", "ndcg_20", "recall_20"} == set(units)
        assert all(len(values) == len(shop().test) for values in units.values())
    rows = {name: units["ndcg_10"] for name, units in found.items()}
    (pair,) = compare(rows, higher_is_better=True)
    assert pair.units == 400
    assert pair.p is not None
    assert pair.p < 1e-4
    assert pair.better is not None
    assert pair.better < 0.01
    (same,) = compare({"one": rows["popularity"], "two": rows["popularity"]}, higher_is_better=True)
    assert same.p == 1
    assert NextItem.unit == "a user"


def test_7_suites_compare_position_encodings_where_there_is_an_order() -> None:
    """Of sets they would encode a hash."""
    compared = set()
    for suite in map(read_suite, SUITES):
        bars = {dataset.bar for pattern in suite.datasets for dataset in find_datasets(pattern)}
        for model in suite.models:
            positions = parse_spec(model)[1].get("positions", "none")
            if not encoding_kind(positions)[0].orderless:
                compared.add(model)
                assert bars == {"item_markov"}, model  # that of ordered data
    assert len(compared) > 3


@pytest.mark.parametrize("suite", SUITES)
def test_13_suites_have_three_seeds(suite: str) -> None:
    assert read_suite(suite).seeds >= 3
    assert all(NextItem in find_model(model.split(":")[0]).tasks for model in read_suite(suite).models)
