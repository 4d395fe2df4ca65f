"""MMGRec: histories are sets, what is to be predicted is never read, and a wide beam scores every item exactly."""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path

import pytest
import torch
from torch import Tensor

from tests.conftest import Command
from tsbench.artifacts import load_model, save_model
from tsbench.cell import make_cell
from tsbench.data import Batch, Splits
from tsbench.errors import UsageError
from tsbench.evaluate import score
from tsbench.model import Run
from tsbench.models.mmgrec import MMGRec, MMGRecConfig
from tsbench.rec.graph import Graph, GraphConfig, learn_vectors, standardised
from tsbench.rec.holding import apart, held_out, last
from tsbench.rec.metrics import UNLISTED
from tsbench.rec.samples import HistorySamples, barred, sequences, shuffled
from tsbench.registry import find_datasets
from tsbench.run import fit
from tsbench.tasks.next_item import NextItem

SMALL = {**MMGRec.tiny, "batch_size": 32}
USERS = torch.arange(3)


@lru_cache
def shop() -> Splits:
    """The generated set."""
    (dataset,) = find_datasets("generated/shop")
    return dataset.load(Path(), "leave-one-out")


def task() -> NextItem:
    """Its task."""
    found = shop().task
    assert isinstance(found, NextItem)
    return found


@lru_cache
def fitted(**settings: object) -> MMGRec:
    """A small model of the generated set."""
    (dataset,) = find_datasets("generated/shop")
    model = fit(make_cell(dataset, dataset.name, None, "mmgrec", {**SMALL, **settings}, seed=3), shop(), Run(seed=3))
    assert isinstance(model, MMGRec)
    return model


def some(size: int = 12) -> Batch:
    """Test users."""
    return shop().test.batch(torch.arange(size))


def test_a_history_is_a_set_to_the_last_bit() -> None:
    for longest in (5, 100):  # cut, too
        model, batch = fitted(longest=longest), some()
        other = shuffled(batch)
        assert not torch.equal(other.inputs, batch.inputs)
        assert torch.equal(model.predict(other), model.predict(batch))


def test_with_another_encoding_order_counts() -> None:
    model, batch = fitted(positions="rope"), some()
    assert not torch.equal(model.predict(shuffled(batch)), model.predict(batch))


@pytest.mark.parametrize("ordered", [False, True])
def test_what_is_to_be_predicted_is_never_read(ordered: bool) -> None:
    """In the released code it is, for 61 % of the training pairs of its sample."""
    config = MMGRecConfig(targets=3, held=0.3, longest=5)
    for lengths in ([1, 2, 3], [9, 4, 20], [1, 1]):
        real = torch.arange(max(lengths)) < torch.tensor(lengths)[:, None]
        items = torch.arange(real.numel()).view(real.shape) + 100  # all different
        for _ in range(20):
            (read, there), targets, drawn = held_out(items.where(real, 0), real, USERS[: len(items)], config, ordered)
            for row, length in enumerate(lengths):
                wanted, seen = set(targets[row][drawn[row]].tolist()), set(read[row][there[row]].tolist())
                assert len(wanted) == max(1, min(3, int(0.3 * length)))
                assert len(seen) == min(5, length - len(wanted))
                assert not wanted & seen
                assert wanted | seen <= set(items[row][real[row]].tolist())
                if ordered:
                    assert read[row][there[row]].tolist() == sorted(seen)


def test_an_item_taken_twice_is_read_nowhere_while_it_is_to_be_predicted() -> None:
    items, real = torch.tensor([[1, 2, 1, 3, 1, 2, 4, 3]]), torch.ones(1, 8, dtype=torch.bool)
    for _ in range(30):
        (read, there), targets, drawn = held_out(items, real, USERS[: len(items)], MMGRecConfig(), True)
        assert there.any()
        assert not set(targets[drawn].tolist()) & set(read[there].tolist())


def test_every_item_is_held_out_at_times() -> None:
    config, real = MMGRecConfig(), torch.ones(1, 7, dtype=torch.bool)
    drawn = {int(held_out(torch.arange(7)[None], real, USERS[:1], config, False)[1][0, 0]) for _ in range(200)}
    assert drawn == set(range(7))


def test_what_is_set_apart_is_predicted_alone_and_read_by_nobody() -> None:
    """Neither the graph nor the encoder sees it."""
    items = torch.arange(120).view(3, 40)
    real = torch.arange(40) < torch.tensor([40, 7, 1])[:, None]
    away = apart(USERS[:, None], items, 0.3) & real
    assert 5 < int(away[0].sum()) < 20
    for _ in range(20):
        (read, there), targets, drawn = held_out(items, real, USERS, MMGRecConfig(unknown=0.3, held=0.9), True)
        assert set(targets[drawn].tolist()) <= set(items[away].tolist())
        assert not set(read[there].tolist()) & set(items[away].tolist())
        assert drawn.sum(1).tolist() == away.sum(1).clamp(max=4).tolist()


def test_what_is_set_apart_does_not_hang_on_batches_or_history() -> None:
    user, item = torch.arange(300).repeat_interleave(50), torch.arange(50).repeat(300)
    one = apart(user, item, 0.3)
    assert torch.equal(one.view(300, 50)[7:9], apart(torch.tensor([[7], [8]]), torch.arange(50)[None], 0.3))
    assert abs(float(one.double().mean()) - 0.3) < 0.02  # 15,000 draws: a standard deviation of .004
    assert not apart(user, item, 0.0).any()


def test_the_last_of_a_history() -> None:
    items = torch.tensor([[4, 8, 2, 6], [5, 7, 0, 0]])
    real = torch.tensor([[True] * 4, [True, True, False, False]])
    found, there = last(items, real, 3, torch.arange(4).expand(2, 4))
    assert found[there].tolist() == [8, 2, 6, 5, 7]
    assert there.tolist() == [[True] * 3, [False, True, True]]


def likelihoods(model: MMGRec, batch: Batch) -> Tensor:
    """Log-probability of every item, its Rec-ID written out beside the history: no trie, no cache, no beam."""
    model.eval()
    places = torch.arange(batch.inputs.shape[1]).expand(batch.inputs.shape)
    found = []
    with torch.no_grad():
        memory, seen = model.read(*last(batch.inputs, batch.real, model.config.longest, places), batch.more["user"])
        for row in range(len(batch)):
            alone = (part[row : row + 1].expand(len(model.ids), *part.shape[1:]) for part in (memory, seen))
            states = model.decoder(model.embed(model.ids), *alone)  # (item, level, width)
            levels = [
                model.competing(output(states[:, level]), level, model.states[:, level]).log_softmax(-1)
                for level, output in enumerate(model.outputs)
            ]
            tokens = [p.gather(1, model.ids[:, level, None])[:, 0] for level, p in enumerate(levels)]
            found.append(torch.stack(tokens).sum(0))
    return torch.stack(found)


def test_the_widest_beam_scores_every_item_exactly() -> None:
    model, batch = fitted(beam=0, longest=100), some(5)
    exact = likelihoods(model, batch)
    seen = barred(batch, exact.shape[1])
    got = model.predict(batch)
    assert (got[seen] == UNLISTED).all()
    torch.testing.assert_close(got[~seen], exact[~seen], atol=1e-4, rtol=1e-4)


def test_probabilities_of_all_items_add_up_to_one() -> None:
    """Nothing is wasted on what is no item."""
    free, tied = (likelihoods(fitted(longest=100, constrained=c), some(3)).exp().sum(1) for c in (False, True))
    torch.testing.assert_close(tied, torch.ones(3))
    assert (free < 0.9).all()


def test_a_narrow_beam_lists_what_it_found_with_exact_scores() -> None:
    model, wide, batch = fitted(beam=8), fitted(beam=0), some()
    got, exact = model.predict(batch), wide.predict(batch)
    listed = got > UNLISTED
    assert (listed.sum(1) == 8).all()
    torch.testing.assert_close(got[listed], exact[listed], atol=1e-4, rtol=1e-4)


def test_the_unconstrained_beam_may_write_what_is_no_item() -> None:
    tied, free = (fitted(constrained=c, ids="random") for c in (True, False))
    batch = some()
    constrained, unconstrained = (m.lists(batch, m.predict(batch), 10) for m in (tied, free))
    assert (constrained >= 0).all()
    assert (unconstrained < 0).any()
    for row in constrained.tolist():
        assert len(set(row)) == 10


def test_an_empty_history_can_be_read() -> None:
    model, batch = fitted(), some(3)
    nothing = Batch(
        torch.zeros(3, 1, dtype=torch.int64), batch.target, torch.zeros(3, 1, dtype=torch.bool), None, None, batch.more
    )
    found = model.predict(nothing)
    assert found.isfinite().all()
    assert not torch.equal(found[0], found[1])


def test_saved_with_its_rec_ids(tmp_path: Path) -> None:
    (dataset,) = find_datasets("generated/shop")
    cell = make_cell(dataset, dataset.name, None, "mmgrec", {**SMALL, "levels": 2}, seed=3)
    model, batch = fit(cell, shop(), Run(seed=3)), some()
    save_model(tmp_path / "m", cell, model)
    assert torch.equal(load_model(tmp_path / "m").predict(batch), model.predict(batch))


@pytest.mark.parametrize("positions", ["sinusoidal", "rope", "learned", "relation"])
def test_other_users_of_a_batch_change_nothing(positions: str) -> None:
    model, batch = MMGRec(task(), MMGRecConfig(positions=positions, beam=0)), some()
    together = model.predict(batch)
    for i in range(len(batch)):
        alone = model.predict(shop().test.batch(torch.tensor([i])))[0]
        torch.testing.assert_close(alone, together[i], atol=1e-4, rtol=1e-4)


def test_goes_on_with_the_rec_ids_of_its_checkpoint(tmp_path: Path) -> None:
    """Made again they could differ: on a GPU, or with other threads."""

    class Stop(Exception):
        pass

    def stop(epoch: int, curve: dict[str, float]) -> None:
        if epoch == 2:
            raise Stop

    settings = {**SMALL, "epochs": 3, "ids": "random"}
    run = Run(seed=3, checkpoint=tmp_path / "c.pt", checkpoint_seconds=0, report=stop)
    whole, cut, resumed = (MMGRec(task(), MMGRecConfig(**settings)) for _ in range(3))
    torch.manual_seed(1)
    whole.load_state(cut.state())
    torch.manual_seed(1)
    whole.fit(shop().train, shop().validation, Run(seed=3))
    torch.manual_seed(1)
    with pytest.raises(Stop):
        cut.fit(shop().train, shop().validation, run)
    torch.manual_seed(99)  # so that other Rec-IDs would be made
    resumed.fit(shop().train, shop().validation, Run(seed=3, checkpoint=tmp_path / "c.pt"))
    assert torch.equal(resumed.ids, whole.ids)
    assert torch.equal(resumed.predict(some()), whole.predict(some()))


@pytest.mark.parametrize(
    "settings", [{"ids": "rqvae"}, {"ids": "random"}, {"modalities": False}, {"positions": "none"}]
)
def test_ablations_run(settings: dict[str, object]) -> None:
    assert fitted(**settings).predict(some()).isfinite().all()


def test_codes_that_come_with_the_data() -> None:
    train = shop().train
    assert isinstance(train, HistorySamples)
    codes = torch.randint(0, 5, (len(train.counts), 2), generator=torch.Generator().manual_seed(1))
    given = HistorySamples(**{**train.__dict__, "codes": {"text": codes}})
    model = MMGRec(task(), MMGRecConfig(ids="text", graph_epochs=1))
    model.prepare(given)
    assert torch.equal(model.ids[:, :2], codes)
    with pytest.raises(UsageError, match="text"):
        MMGRec(task(), MMGRecConfig(ids="texts", graph_epochs=1)).prepare(given)


def test_it_learns() -> None:
    untrained, trained = fitted(epochs=1), fitted(epochs=15, graph_epochs=10)
    assert (
        score(trained, shop().validation).values["ndcg_10"]
        > 1.2 * score(untrained, shop().validation).values["ndcg_10"]
    )


# ---------------------------------------------------------------- graph


def test_mean_of_neighbours_and_its_gradient() -> None:
    user, item = torch.tensor([0, 0, 1, 3, 3, 3]), torch.tensor([1, 2, 2, 0, 0, 4])  # one twice; user 2, item 3 alone
    graph = Graph(user, item, 4, 5)
    x = torch.randn(9, 3, generator=torch.Generator().manual_seed(0))
    dense = torch.zeros(9, 9)
    dense[user, 4 + item] = 1
    dense = dense + dense.T
    wanted = dense @ x / dense.sum(1, keepdim=True).clamp(min=1)
    torch.testing.assert_close(graph.mean(x), wanted)
    assert graph.pairs.T.tolist() == [[0, 1], [0, 2], [1, 2], [3, 0], [3, 4]]
    grown, plain = x.clone().requires_grad_(), x.clone().requires_grad_()
    weight = torch.randn(9, 3, generator=torch.Generator().manual_seed(1))
    (graph.mean(grown) * weight).sum().backward()
    (dense @ plain / dense.sum(1, keepdim=True).clamp(min=1) * weight).sum().backward()
    torch.testing.assert_close(grown.grad, plain.grad)


def test_the_graph_knows_training_interactions_only() -> None:
    """Trap 9: whatever comes after training may be anything."""
    splits = shop()
    train, test = splits.train, splits.test
    assert isinstance(train, HistorySamples)
    assert isinstance(test, HistorySamples)
    user, item = train.interactions()
    pairs = set(zip(user.tolist(), item.tolist(), strict=True))
    asked = test.batch(torch.arange(len(test)))
    assert not pairs & set(zip(asked.more["user"].tolist(), asked.target[:, 0].tolist(), strict=True))
    later = torch.ones(len(train.events), dtype=torch.bool)
    for first, length in zip(train.first.tolist(), train.length.tolist(), strict=True):
        later[first : first + length] = False
    other = HistorySamples(**{**train.__dict__, "events": train.events.where(~later, 0)})
    assert all(torch.equal(a, b) for a, b in zip(other.interactions(), (user, item), strict=True))


def test_learned_vectors_prefer_what_was_taken() -> None:
    train = shop().train
    assert isinstance(train, HistorySamples)
    torch.manual_seed(0)
    graph = Graph(*train.interactions(), task().inputs.users, task().inputs.items)
    users, items = learn_vectors(graph, standardised(train.features), GraphConfig(epochs=20))
    scores = users @ items.T
    user, item = graph.pairs
    assert (scores[user, item] > scores[user].median(1).values).float().mean() > 0.7


def test_modalities_count_alike() -> None:
    x = standardised({"text": torch.randn(50, 3) * 100 + 7, "image": torch.randn(50, 20)})
    assert x is not None
    assert x.shape == (50, 23)
    assert x[:, :3].square().sum(1).mean() == pytest.approx(1, abs=1e-4)
    assert x[:, 3:].square().sum(1).mean() == pytest.approx(1, abs=1e-4)
    assert standardised({}) is None


def test_items_of_which_nothing_is_known_stay_zero_and_change_no_other() -> None:
    text = torch.randn(50, 3) * 100 + 7
    alone, padded = standardised({"text": text}), standardised({"text": torch.cat([text, torch.zeros(30, 3)])})
    assert alone is not None
    assert padded is not None
    torch.testing.assert_close(padded[:50], alone)
    assert not padded[50:].any()
    nothing = standardised({"text": torch.zeros(4, 3)})
    assert nothing is not None
    assert not nothing.any()
    assert standardised({"flat": torch.ones(4, 2)}).abs().max() == 0  # type: ignore[union-attr]


def test_training_reads_histories_and_targets_together() -> None:
    batch = shop().train.batch(torch.arange(6))
    items, real = sequences(batch)
    for row in range(6):
        length = int(batch.steps[row])
        assert items[row][real[row]].tolist() == [*batch.inputs[row, :length].tolist(), int(batch.target[row])]


def test_the_report_shows_codes_beams_and_titles(tsbench: Command, tmp_path: Path) -> None:
    model = "mmgrec:" + ",".join(f"{key}={value}" for key, value in SMALL.items())
    ran = tsbench("run", "--dataset", "generated/shop", "--model", model, "--seeds", 1, "--no-report")
    assert ran.returncode == 0, ran.stderr
    tsbench("report", "--html", "r.html")
    page = (tmp_path / "r.html").read_text()
    for shown in ("Use of codes", "Width of the beam", "recall_10 on validation", "level 1", "ndcg_10 by history"):
        assert shown in page
    assert sum(f">{title}<" in page or f"{title}<" in page for title in shop().titles) > 10
