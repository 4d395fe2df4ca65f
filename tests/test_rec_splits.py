"""Splits of interactions: nothing of the future, nothing told by numbers, and notes that say what is so."""

from __future__ import annotations

import hashlib
from collections import Counter, defaultdict
from dataclasses import replace
from pathlib import Path
from typing import Any, cast

import numpy as np
import pytest
import torch

from tsbench.data import Splits
from tsbench.datasets.generated_shop import purchases
from tsbench.errors import UsageError
from tsbench.rec import luck
from tsbench.rec.interactions import Catalogue, Interactions
from tsbench.rec.samples import HistorySamples, barred
from tsbench.rec.splits import Rules, history_splits, in_core
from tsbench.registry import dataset_label, find_datasets

PARTS = ("train", "validation", "test")


def parts(splits: Splits) -> list[HistorySamples]:
    return [cast(HistorySamples, getattr(splits, name)) for name in PARTS]


def made(rows: list[tuple[Any, ...]], ordered: bool = True, **more: Any) -> Interactions:
    """Interactions of (user, item, time), in that order; time None means that there is none."""
    users, items = (sorted({str(row[i]) for row in rows}) for i in (0, 1))
    user, item = (
        np.array([names.index(str(row[i])) for row in rows], np.int64) for i, names in ((0, users), (1, items))
    )
    time = None if rows[0][2] is None else np.array([row[2] for row in rows], float)
    return Interactions(user, item, time, None, tuple(users), Catalogue(tuple(items)), ordered=ordered, **more)


def by_user(samples: HistorySamples, titles: Any) -> dict[int, tuple[list[str], set[str]]]:
    """User -> history and targets, by title."""
    batch = samples.batch(torch.arange(len(samples)))
    found = {}
    for i, user in enumerate(samples.user.tolist()):
        history = [titles[item] for item in batch.inputs[i][batch.real[i]].tolist()]
        found[user] = history, {titles[item] for item in batch.target[i].tolist() if item >= 0}
    return found


def named(splits: Splits) -> list[dict[int, tuple[list[str], set[str]]]]:
    return [by_user(samples, splits.titles) for samples in parts(splits)]


def recorded(log: Interactions) -> dict[int, dict[str, float]]:
    """User, numbered as splits number them -> item -> time."""
    assert log.time is not None
    order = sorted(
        log.users, key=lambda name: int.from_bytes(hashlib.sha256(f"0 {name}".encode()).digest()[:8], "little")
    )
    found: dict[int, dict[str, float]] = defaultdict(dict)
    for user, item, time in zip(log.user, log.item, log.time, strict=True):
        found[order.index(log.users[user])][log.catalogue.names[item]] = time
    return found


# ---------------------------------------------------------------- protocols


def test_leave_one_out_asks_for_what_came_last() -> None:
    train, validation, test = named(history_splits(purchases(), "leave-one-out", Rules()))
    times = recorded(purchases())
    assert len(train) == len(validation) == len(test) == 400
    for user, (history, (target,)) in test.items():
        taken = times[user]
        assert {*history, target} == set(taken)
        assert [taken[item] for item in (*history, target)] == sorted(taken.values())
        assert validation[user] == (history[:-1], {history[-1]})
        assert train[user] == (history[:-2], {history[-2]})


def test_the_temporal_cut_holds_for_all_users() -> None:
    log = purchases()
    train, validation, test = named(history_splits(log, "temporal", Rules(warm=0)))
    times = recorded(log)
    part: dict[str, list[float]] = defaultdict(list)
    for user, (history, targets) in train.items():
        part["train"] += [times[user][item] for item in (*history, *targets)]
    for name, asked in (("validation", validation), ("test", test)):
        for user, (history, targets) in asked.items():
            now = [times[user][item] for item in targets]
            part[name] += now
            assert {*history, *targets} == {item for item, time in times[user].items() if time <= max(now)}
    assert max(part["train"]) < min(part["validation"])
    assert max(part["validation"]) < min(part["test"])
    assert sum(map(len, part.values())) == len(log)
    assert len(part["test"]) == pytest.approx(len(log) / 10, rel=0.02)


def test_equal_times_fall_on_one_side_of_the_cut() -> None:
    times = (1, 1, 1, 1, 1, 1, 1, 2, 2, 3)
    rows = [(user, f"{user} {i}", time) for user in range(10) for i, time in enumerate(times)]
    train, validation, test = parts(history_splits(made(rows), "temporal", Rules()))
    asked = [int((part.targets >= 0).sum()) for part in (validation, test)]
    assert [int(train.counts.sum()), *asked] == [70, 20, 10]  # a cut by number alone is 80, 10, 10


def test_a_given_split_is_kept_and_the_test_history_has_validation_too() -> None:
    rows = [("a", item, None) for item in "pqrstuv"] + [("b", item, None) for item in "pq"]
    log = replace(made(rows, ordered=False), split=np.array([0, 1, 2, 0, 2, 1, 0, 0, 1]))
    train, validation, test = named(history_splits(log, "given", Rules()))
    (a,) = test
    (b,) = set(train) - {a}
    assert {*train[a][0], *train[a][1]} == {*"psv"}
    assert set(validation[a][0]) == {*"psv"}
    assert validation[a][1] == {*"qu"}
    assert set(test[a][0]) == {*"psvqu"}
    assert test[a][1] == {*"rt"}
    assert validation[b] == (["p"], {"q"})


def test_counts_are_of_training_only() -> None:
    splits = history_splits(purchases(), "temporal", Rules())
    log = purchases()
    assert log.time is not None
    early = log.item[log.time < np.sort(log.time)[len(log) * 8 // 10]]
    wanted = Counter(log.catalogue.names[item] for item in early)
    for part in parts(splits):
        assert {splits.titles[i]: n for i, n in enumerate(part.counts.tolist()) if n} == dict(wanted)


@pytest.mark.parametrize("protocol", ["leave-one-out", "temporal"])
def test_histories_are_prefixes_of_later_ones(protocol: str) -> None:
    train, validation, test = named(history_splits(purchases(), protocol, Rules(warm=0)))
    for user, (history, _) in test.items():
        for earlier in (validation, train):
            if user in earlier:
                assert history[: len(earlier[user][0])] == earlier[user][0]


def test_loading_twice_gives_the_same() -> None:
    same(history_splits(purchases(), "temporal", Rules()), history_splits(purchases(), "temporal", Rules()))


def same(first: Splits, second: Splits) -> None:
    assert first.titles == second.titles
    for one, other in zip(parts(first), parts(second), strict=True):
        for name in ("user", "events", "first", "length", "targets", "counts"):
            assert torch.equal(getattr(one, name), getattr(other, name)), name
        for name, features in one.features.items():
            assert torch.equal(features, other.features[name])


# ---------------------------------------------------------------- numbers and ties


def test_the_hash_is_the_published_one() -> None:
    # First output of splitmix64 from seed 0 (Vigna, prng.di.unimi.it/splitmix64.c), which adds the constant before.
    assert luck._mixed(np.array([0x9E3779B97F4A7C15], np.uint64))[0] == 0xE220A8397B1DCDAF
    assert luck.luck(["tea 1"])[0] == int.from_bytes(hashlib.sha256(b"0 tea 1").digest()[:8], "little")


def refiled(log: Interactions) -> Interactions:
    """The same interactions in another order of rows, with users and items in other orders as well."""
    random = np.random.default_rng(3)
    users, items = random.permutation(len(log.users)), random.permutation(len(log.catalogue))
    catalogue = replace(
        log.catalogue,
        names=tuple(log.catalogue.names[i] for i in items),
        titles=tuple(log.catalogue.titles[i] for i in items),
        features={name: x[items] for name, x in log.catalogue.features.items()},
    )
    other = replace(
        log,
        user=users.argsort()[log.user],
        item=items.argsort()[log.item],
        users=tuple(log.users[i] for i in users),
        catalogue=catalogue,
    )
    return other.select(random.permutation(len(log)))


@pytest.mark.parametrize("protocol", ["leave-one-out", "temporal"])
@pytest.mark.parametrize("order", ["kept", "shuffled"])
def test_the_order_of_the_file_decides_nothing(protocol: str, order: str) -> None:
    first, second = (history_splits(log, protocol, Rules(order=order)) for log in (purchases(), refiled(purchases())))
    same(first, second)


def test_the_order_of_the_file_decides_nothing_in_sets() -> None:
    log = replace(purchases(), time=None, ordered=False)
    same(*(history_splits(x, "leave-one-out", Rules()) for x in (log, refiled(log))))


def test_ties_as_in_the_file_are_so() -> None:
    rows = [("a", item, 5) for item in "zyxwv"]
    for log, wanted in ((made(rows), "v"), (made(rows[::-1]), "z")):
        assert named(history_splits(log, "leave-one-out", Rules(ties="file")))[2][0][1] == {wanted}


def test_rows_without_times_are_in_order() -> None:
    log = made([("a", item, None) for item in "zyxwv"])
    assert named(history_splits(log, "leave-one-out", Rules()))[2] == {0: (["z", "y", "x", "w"], {"v"})}


def by_appearance(users: int = 2000, items: int = 4000) -> Interactions:
    """People who take five items each, some of them popular, numbered by who was met first: trap 2 of rec.md."""
    random = np.random.default_rng(5)
    likes = 1 / np.arange(10, items + 10)
    taken = [random.choice(items, 5, replace=False, p=likes / likes.sum()) for _ in range(users)]
    number: dict[int, int] = {}
    rows = [(u, number.setdefault(int(i), len(number))) for u, row in enumerate(taken) for i in row]
    user, item = np.array(rows).T
    names = tuple(map(str, range(len(number))))
    return Interactions(user, item, None, None, tuple(map(str, range(users))), Catalogue(names), True)


def next_unused(splits: Splits, numbers: torch.Tensor) -> float:
    """How often a test target is the largest number of the history, plus 1."""
    test = parts(splits)[2]
    batch = test.batch(torch.arange(len(test)))
    largest = numbers[batch.inputs].where(batch.real, -1).amax(1)
    return float((numbers[batch.target[:, 0]] == largest + 1).double().mean())


def undone(splits: Splits) -> torch.Tensor:
    """What the file called each item, if it called it by a number."""
    return torch.tensor([int(name) for name in splits.titles])


def test_numbers_of_items_tell_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    splits = history_splits(by_appearance(), "leave-one-out", Rules())
    assert next_unused(splits, torch.arange(len(splits.titles))) < 0.003
    assert next_unused(splits, undone(splits)) > 0.05
    monkeypatch.setattr(luck, "luck", lambda names: np.arange(len(names)).astype(np.uint64))
    splits = history_splits(by_appearance(), "leave-one-out", Rules())
    assert next_unused(splits, torch.arange(len(splits.titles))) > 0.05  # so the first line can fail


def test_what_is_known_of_an_item_goes_with_it() -> None:
    log = purchases()
    codes = {"own": np.arange(len(log.catalogue))[:, None] * [1, 2]}
    log = replace(
        log, catalogue=replace(log.catalogue, codes=codes, titles=tuple(t.upper() for t in log.catalogue.titles))
    )
    splits = history_splits(log, "leave-one-out", Rules())
    train = parts(splits)[0]
    old = torch.tensor([log.catalogue.titles.index(title) for title in splits.titles])
    assert sorted(old.tolist()) == list(range(150)) != old.tolist()
    assert torch.equal(train.codes["own"], torch.stack([old, 2 * old], 1))
    for name, features in log.catalogue.features.items():
        assert torch.equal(train.features[name], torch.from_numpy(features)[old])


# ---------------------------------------------------------------- rules


def repeated() -> Interactions:
    """Of four people, the first two end with what they had; of the last, the last but one is a repetition."""
    sequences = ("pqrp", "pqrr", "pqrs", "pqqs")
    return made([(user, item, time) for user, row in enumerate(sequences) for time, item in enumerate(row)])


def test_targets_that_the_history_has_are_left_out_only_if_it_is_masked() -> None:
    splits = history_splits(repeated(), "leave-one-out", Rules())
    assert cast(Any, splits.task).mask
    train, validation, test = named(splits)
    assert sorted("".join(history) + "".join(targets) for history, targets in test.values()) == ["pqqs", "pqrs"]
    assert sorted("".join(history) + "".join(targets) for history, targets in validation.values()) == ["pqr"] * 3
    assert len(train) == 4
    splits = history_splits(repeated(), "leave-one-out", Rules(mask="none"))
    assert not cast(Any, splits.task).mask
    assert [len(part) for part in parts(splits)] == [4, 4, 4]


def test_no_target_is_barred_and_each_counts_once() -> None:
    random = np.random.default_rng(2)
    rows = [(int(u), int(i), t) for t, (u, i) in enumerate(zip(*random.integers(0, 30, (2, 2000)), strict=True))]
    for protocol in ("leave-one-out", "temporal"):
        for part in parts(history_splits(made(rows), protocol, Rules()))[1:]:
            batch = part.batch(torch.arange(len(part)))
            assert (part.targets >= 0).any(1).all()
            for bars, targets in zip(barred(batch, 30), batch.target, strict=True):
                assert not bars[targets[targets >= 0]].any()
    for targets in parts(history_splits(made(rows), "temporal", Rules(mask="none")))[2].targets.tolist():
        real = [item for item in targets if item >= 0]
        assert len(real) == len(set(real)) > 0


@pytest.mark.parametrize("least", [2, 3, 5])
def test_the_core_is_that_of_a_plain_loop(least: int) -> None:
    random = np.random.default_rng(least)
    user, item = random.integers(0, 60, 200), random.integers(0, 50, 200)
    rows = list(range(200))
    while True:
        users, items = Counter(user[rows].tolist()), Counter(item[rows].tolist())
        left = [row for row in rows if users[user[row]] >= least and items[item[row]] >= least]
        if left == rows:
            break
        rows = left
    assert np.flatnonzero(in_core(user, item, least)).tolist() == rows
    assert len(rows) < 200


def test_rating_and_core_leave_out_and_say_so() -> None:
    log = made([(u, i, t) for u in range(6) for t, i in enumerate("pqrs")] + [(0, "z", 9), (6, "p", 9)])
    log = replace(log, rating=np.r_[np.full(24, 4.0), 5, 1])
    splits = history_splits(log, "leave-one-out", Rules(rating=2, core=2))
    assert sorted(splits.titles) == [*"pqrs"]
    assert "ratings below 2 left out: 1 of 26 interactions (3.8 %)" in splits.notes
    core = "users and items with fewer than 2 interactions left out, test included: 1 of 25 interactions (4.0 %)"
    assert core in splits.notes
    assert len(history_splits(log, "leave-one-out", Rules()).titles) == 5


def test_users_without_training_are_asked_about_only_on_request() -> None:
    log = purchases()
    asked, all_ = (history_splits(log, "temporal", Rules(warm=warm)) for warm in (1, 0))
    trained = set(parts(asked)[0].user.tolist())
    assert set(parts(asked)[2].user.tolist()) <= trained
    left = set(parts(all_)[2].user.tolist()) - trained
    assert left
    assert f"not tested, with fewer than 1 training interaction: {len(left)} users" in asked.notes
    assert int(parts(all_)[2].length.min()) == 0
    many = history_splits(log, "temporal", Rules(warm=10))
    length = dict(zip(parts(many)[0].user.tolist(), (parts(many)[0].length + 1).tolist(), strict=True))
    assert min(length[user] for user in parts(many)[2].user.tolist()) >= 10


def test_the_shuffled_control_keeps_sets_and_targets() -> None:
    kept, control = (named(history_splits(purchases(), "leave-one-out", Rules(order=o))) for o in ("kept", "shuffled"))
    for own, other in zip(kept[1:], control[1:], strict=True):
        assert own.keys() == other.keys()
        for user, (history, targets) in own.items():
            assert sorted(other[user][0]) == sorted(history)
            assert other[user][1] == targets
        assert np.mean([other[user][0] == history for user, (history, _) in own.items()]) < 0.01
    assert all({*kept[0][u][0], *kept[0][u][1]} == {*control[0][u][0], *control[0][u][1]} for u in kept[0])
    # No order of items is the same for all.
    control_test = parts(history_splits(purchases(), "leave-one-out", Rules(order="shuffled")))[2]
    batch = control_test.batch(torch.arange(len(control_test)))
    rising = (batch.inputs[:, 1:] > batch.inputs[:, :-1])[batch.real[:, 1:]]
    assert float(rising.double().mean()) == pytest.approx(0.5, abs=0.03)
    # The validation item must not stay last: by chance it is for 1 in 6 to 30.
    assert np.mean([history[-1] in control[1][user][1] for user, (history, _) in control[2].items()]) < 0.12


# ---------------------------------------------------------------- notes and errors


def test_notes_of_leave_one_out() -> None:
    log = purchases()
    times = recorded(log)
    last = {user: max(taken.values()) for user, taken in times.items()}
    tied = sum(sum(t == last[user] for t in taken.values()) > 1 for user, taken in times.items())
    _, _, test = named(splits := history_splits(log, "leave-one-out", Rules()))
    train = [t for taken in times.values() for t in sorted(taken.values())[:-2]]
    leaks = sum(t < max(train) for t in last.values())
    counts = dict(zip(splits.titles, parts(splits)[0].counts.tolist(), strict=True))
    cold = sum(counts[target] == 0 for _, (target,) in test.values())
    assert tied > 10
    assert cold > 10
    assert splits.notes == (
        "- leave-one-out: 400 users, 150 items, 7,390 interactions; 6,590 training interactions, "
        "400 validation targets of 400 users, 400 test targets of 400 users",
        "histories are ordered by time, equal times by a hash (SHA-256 of names, splitmix64), "
        f"which decides the target: {tied} of 400 test users ({tied / 4:.1f} %); "
        "items are numbered by SHA-256 of their names",
        "- items of the history, training and validation, are not ranked",
        f"cold, in no training interaction: {cold} of 400 test targets ({cold / 4:.1f} %)",
        f"the future leaks, for training goes on after the target: {leaks} of 400 test users ({leaks / 4:.1f} %)",
    )


def test_singulars_and_what_else_is_said() -> None:
    log = replace(repeated(), notes=("codes were made by others",))
    short = replace(log.select(np.arange(12)), time=None)  # p q r p, p q r r, p q r s
    notes = history_splits(replace(short, ordered=False), "leave-one-out", Rules(ties="file")).notes
    assert notes == (
        "- leave-one-out: 3 users, 4 items, 12 interactions; 6 training interactions, "
        "3 validation targets of 3 users, 1 test target of 1 user",
        "- histories are sets, ordered as in the file; items are numbered by SHA-256 of their names",
        "- items of the history, training and validation, are not ranked; "
        "left out as such: 2 test targets, and with them 2 users",
        "cold, in no training interaction: 1 of 1 test target (100.0 %)",
        "codes were made by others",
    )
    few = made([("a", item, None) for item in "pqrs"] + [("b", item, None) for item in "sp"])
    notes = history_splits(few, "leave-one-out", Rules(order="shuffled", mask="none")).notes
    assert "histories are ordered as in the file, which gives no times; then shuffled" in notes[1]
    assert notes[2] == "items of the history, training and validation, are ranked as all others"
    assert notes[3] == "trained on only, with fewer than 3 interactions: 1 user"


def test_the_temporal_split_lets_no_future_leak() -> None:
    assert not any("future" in note for note in history_splits(purchases(), "temporal", Rules()).notes)


@pytest.mark.parametrize(
    ("protocol", "change", "rules", "words"),
    [
        ("temporal", {"time": None}, Rules(), "temporal: the files give no times; use leave-one-out$"),
        ("given", {}, Rules(), "given: the files give no split; use leave-one-out or temporal$"),
        ("leave-one-out", {}, Rules(rating=3), "rating=3: the files have no ratings"),
        ("leave-one-out", {}, Rules(core=9000), "no interaction is left; lower rating or core"),
        ("leave-one-out", {}, Rules(warm=9000), "leave-one-out: no validation user is left; lower warm"),
        ("temporal", {"time": np.zeros(7390)}, Rules(), "temporal: no training user is left"),
        ("by-user", {}, Rules(), "unknown protocol of recommendation 'by-user'"),
    ],
)
def test_errors_say_what_to_do(protocol: str, change: dict[str, Any], rules: Rules, words: str) -> None:
    with pytest.raises(UsageError, match=words):
        history_splits(replace(purchases(), **change), protocol, rules)


def test_two_interactions_each_are_too_few() -> None:
    with pytest.raises(UsageError, match="no user has 3 interactions; choose another protocol"):
        history_splits(made([("a", "p", 1), ("a", "q", 2)]), "leave-one-out", Rules())


@pytest.mark.parametrize("option", ["ties=item", "mask=all", "order=random", "core=-1", "warm=-1", "rating=-1"])
def test_options_that_do_not_fit(option: str) -> None:
    with pytest.raises(UsageError, match=option.split("=")[0]):
        find_datasets(f"generated/shop:{option}")


# ---------------------------------------------------------------- the generated shop


@pytest.mark.parametrize("protocol", ["leave-one-out", "temporal"])
def test_what_was_bought_last_tells_more_than_what_sells_best(protocol: str) -> None:
    (shop,) = find_datasets("generated/shop")
    train, _, test = parts(shop.load(Path(), protocol))
    user, item = train.interactions()
    steps = torch.zeros(150, 150)
    follow = user[1:] == user[:-1]
    steps.index_put_((item[:-1][follow], item[1:][follow]), torch.ones(int(follow.sum())), accumulate=True)
    batch = test.batch(torch.arange(len(test)))
    last = batch.inputs.gather(1, (batch.steps - 1)[:, None])[:, 0]
    popular = train.counts.float().expand(len(test), -1)
    scores = {"popular": popular, "markov": steps[last] / (train.counts + 1).sqrt() + 1e-4 * popular}
    found = {}
    for name, score in scores.items():
        best = score.masked_fill(barred(batch, 150), -1).topk(10).indices
        hit = (batch.target[:, :, None] == best[:, None]).any(2)
        found[name] = float((hit.sum(1) / (batch.target >= 0).sum(1)).mean())
    assert found["markov"] > 1.4 * found["popular"] > 1.4 * 0.1


# ---------------------------------------------------------------- real data


def rec(real_data: Path, file: str) -> Path:
    path = real_data / "rec" / file
    if not path.is_file():
        pytest.skip(f"no real data: {path} is not there")
    return path


def numbered_log(user: np.ndarray, item: np.ndarray, **more: Any) -> Interactions:
    users, user = np.unique(user.astype(int), return_inverse=True)
    items, item = np.unique(item.astype(int), return_inverse=True)
    catalogue = Catalogue(tuple(map(str, items)))
    return Interactions(user, item, users=tuple(map(str, users)), catalogue=catalogue, **more)


def recall(scores: torch.Tensor, splits: Splits, size: int) -> float:
    """Expected recall of the first `size` in test, items of the history barred if the task does so."""
    test = parts(splits)[2]
    batch = test.batch(torch.arange(len(test)))
    if cast(Any, splits.task).mask:
        scores = scores.masked_fill(barred(batch, scores.shape[1]), -torch.inf)
    real = batch.target >= 0
    own = scores.gather(1, batch.target.clamp(min=0))[:, :, None]
    better, equal = (scores[:, None] > own).sum(2), (scores[:, None] == own).sum(2)
    hit = ((size - better).clamp(min=0).minimum(equal) / equal).where(real, 0)
    return float((hit.sum(1) / real.sum(1)).mean())


def popularity(splits: Splits) -> torch.Tensor:
    _, _, test = parts(splits)
    return test.counts.float().expand(len(test), -1)


def test_movielens_as_measured(real_data: Path) -> None:
    """Section 4 of rec.md, traps 1, 5 and 6, and its table of popularity."""
    rows = np.loadtxt(rec(real_data, "MovieLens100K/ml-100k.inter"), skiprows=1)
    log = numbered_log(rows[:, 0], rows[:, 1], time=rows[:, 3], split=None, ordered=True, rating=rows[:, 2])
    splits = history_splits(log, "leave-one-out", Rules(ties="file"))
    assert recall(popularity(splits), splits, 10) == pytest.approx(0.0848, abs=5e-5)
    assert "which decides the target: 415 of 943 test users (44.0 %)" in splits.notes[1]
    open_ = history_splits(log, "leave-one-out", Rules(ties="file", mask="none"))
    assert recall(popularity(open_), open_, 10) == pytest.approx(0.0498, abs=5e-5)
    _, _, test = parts(temporal := history_splits(log, "temporal", Rules()))
    left = int(next(note for note in temporal.notes if note.startswith("not tested")).split()[-2])
    assert round(100 * left / (left + len(test))) == 58


def test_lastfm_as_measured(real_data: Path) -> None:
    """Pop and ItemKNN of rec.md; with histories of training alone it is 0.1220 and 0.3845."""
    rows = np.loadtxt(rec(real_data, "LastFM2K/lfm2k.inter"), skiprows=1, dtype=np.int64)
    log = numbered_log(rows[:, 0], rows[:, 1], time=None, split=rows[:, 3], ordered=False)
    splits = history_splits(log, "given", Rules())
    assert recall(popularity(splits), splits, 20) == pytest.approx(0.1252, abs=0.002)
    train, _, test = parts(splits)
    taken = torch.zeros(1858, 1425)
    taken[train.interactions()] = 1
    likeness = (taken.T @ taken).fill_diagonal_(0) / (train.counts[:, None] * train.counts).sqrt()
    histories = barred(test.batch(torch.arange(len(test))), 1425).float()
    assert recall(histories @ likeness, splits, 20) == pytest.approx(0.3941, abs=0.002)


def test_tiktok_as_its_provenance_says(real_data: Path) -> None:
    pairs = [np.load(rec(real_data, f"TikTok/{part}_pairs.npy")) for part in ("train", "valid", "test")]
    user, item = np.concatenate(pairs).T
    split = np.repeat([0, 1, 2], [len(part) for part in pairs])
    log = numbered_log(user, item, time=None, split=split, ordered=False)
    all_ = history_splits(log, "given", Rules(warm=0))
    assert "cold, in no training interaction: 449 of 6,130 test targets (7.3 %)" in all_.notes
    assert recall(popularity(all_), all_, 20) == pytest.approx(0.0597, abs=5e-5)
    assert "not tested, with fewer than 1 training interaction: 5 users" in history_splits(log, "given", Rules()).notes


def test_beauty_numbers_tell_nothing(real_data: Path) -> None:
    """Trap 2 of rec.md: in the file, the next unused number is the target for 4.4 %."""
    lines = rec(real_data, "AmazonBeauty/Beauty.txt").read_text().splitlines()
    rows = np.array([(user, item) for line in lines for user, *items in [line.split()] for item in items], int)
    log = numbered_log(rows[:, 0], rows[:, 1], time=None, split=None, ordered=True)
    splits = history_splits(log, "leave-one-out", Rules())
    assert next_unused(splits, undone(splits)) == pytest.approx(0.044, abs=5e-4)
    assert next_unused(splits, torch.arange(len(splits.titles))) < 0.001


def test_ratings_may_be_cut_between_whole_ones_on_the_command_line() -> None:
    for text, rating in (("4", 4), ("3.5", 3.5)):
        (found,) = find_datasets(f"rec/movielens-100k:rating={text}")
        assert found.rating == rating  # type: ignore[attr-defined]
        assert dataset_label(found).endswith(f"rating={text}")
    with pytest.raises(UsageError, match="it is a float"):
        find_datasets("rec/movielens-100k:rating=good")
