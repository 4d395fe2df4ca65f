"""Baselines of recommendation: each formula against loops, the note's figures, and what must change nothing."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from benchmarks import rec_baselines
from tsbench.artifacts import load_model, save_model
from tsbench.cell import make_cell
from tsbench.data import Batch
from tsbench.errors import UsageError
from tsbench.evaluate import score
from tsbench.inputs import Histories
from tsbench.model import Run
from tsbench.models.content_knn import ContentKnn, ContentKnnConfig
from tsbench.models.ease import Ease, EaseConfig
from tsbench.models.item_knn import ItemKnn, ItemKnnConfig
from tsbench.models.item_markov import ItemMarkov, ItemMarkovConfig
from tsbench.models.popularity import Popularity
from tsbench.rec.model import Recommender
from tsbench.rec.samples import HistorySamples, shuffled
from tsbench.rec.sparse import nearest
from tsbench.registry import find_datasets
from tsbench.run import fit
from tsbench.settings import NoSettings, parse_spec
from tsbench.tasks.next_item import NextItem

ITEMS, COLD = 40, 39  # the last is in no training interaction
TASK = NextItem(Histories(20, ITEMS, 30, {"text": 6, "image": 4}))
CASES: dict[type[Recommender], Any] = {
    Popularity: NoSettings(),
    ItemKnn: ItemKnnConfig(),
    ItemMarkov: ItemMarkovConfig(),
    Ease: EaseConfig(ridge=3.0),
    ContentKnn: ContentKnnConfig(neighbours=5),
}


def samples_of(paths: list[list[int]], features: dict[str, Tensor] | None = None) -> HistorySamples:
    """Users who took these, the last of which is the target."""
    size = torch.tensor([len(path) for path in paths])
    events = torch.tensor([item for path in paths for item in path])
    ends = size.cumsum(0)
    counts = torch.bincount(events, minlength=ITEMS)
    users = torch.arange(len(paths))
    return HistorySamples(users, events, ends - size, size - 1, events[ends - 1, None], counts, {}, features or {})


def made_paths(repeats: bool = True) -> list[list[int]]:
    """30 random users; some take an item twice, or one item only."""
    random = np.random.default_rng(3)
    popular = 1 / (1 + np.arange(COLD))
    sizes = [1, 2, *random.integers(3, 20, 28)]
    return [random.choice(COLD, size, repeats, popular / popular.sum()).tolist() for size in sizes]


def made_features() -> dict[str, Tensor]:
    """Two modalities of unlike scale and offset, a constant column, equal items, and one that is average in all."""
    generator = torch.Generator().manual_seed(4)
    text, image = torch.randn(ITEMS, 6, generator=generator), 50 + 9 * torch.rand(ITEMS, 4, generator=generator)
    text[:, 2] = 7
    text[5] = text[6]
    image[5] = image[6]
    image[:, 0] *= 100
    return {"text": text, "image": image}


def fitted(kind: type[Recommender], config: Any = None, samples: HistorySamples | None = None) -> Recommender:
    samples = samples or train()
    model = kind(TASK, CASES[kind] if config is None else config)
    model.fit(samples, samples, Run())
    return model


def train() -> HistorySamples:
    return replace(samples_of(made_paths()), features=made_features())


def asked() -> Batch:
    """Histories of a test: unlike lengths, one with a repeated and a cold item, and an empty one."""
    paths = [[1, 2, 3, 0], [0] * 3 + [4, COLD, 4, 0], [0], [*range(18, 0, -1), 0], [30, 0]]
    samples = samples_of(paths)
    return samples.batch(torch.arange(len(paths)))


def histories(batch: Batch) -> list[list[int]]:
    return [row[there].tolist() for row, there in zip(batch.inputs, batch.real, strict=True)]


# ---------------------------------------------------------------- formulas, by loops


def test_popularity_is_a_plain_count_however_often_an_item_repeats() -> None:
    """RecBole loses items that repeat in a batch (issues 1844, 2198): recall falls to half."""
    paths = [[7, 7, 7], [7, 3], [3, 7, 8], [8]]
    counts = fitted(Popularity, samples=samples_of(paths)).predict(asked())
    wanted = [sum(path.count(item) for path in paths) for item in range(ITEMS)]
    assert wanted[7] == 5
    for row in counts:
        assert row.tolist() == wanted
    assert fitted(Popularity).predict(asked())[0].tolist() == train().counts.tolist()


def cosines(vectors: np.ndarray) -> np.ndarray:
    """Of each with each other, 0 with itself, by loops."""
    found = np.zeros((len(vectors), len(vectors)))
    for i, a in enumerate(vectors):
        for j, b in enumerate(vectors):
            if i != j and a.any() and b.any():
                found[i, j] = a @ b / np.sqrt((a @ a) * (b @ b))
    return found


def summed(links: np.ndarray, batch: Batch) -> np.ndarray:
    return np.stack([sum((links[i] for i in set(path)), np.zeros(ITEMS)) for path in histories(batch)])


def test_item_knn_sums_cosines_of_users() -> None:
    taken = np.zeros((ITEMS, 30))
    for user, path in enumerate(made_paths()):
        for item in path:
            taken[item, user] = 1
    wanted = summed(cosines(taken), asked())
    np.testing.assert_allclose(fitted(ItemKnn).predict(asked()), wanted, atol=2e-5)
    assert (wanted[:, COLD] == 0).all()


def test_item_markov_weighs_gaps_and_ages() -> None:
    counts = np.zeros((ITEMS, ITEMS))
    for path in made_paths():
        for i, first in enumerate(path):
            for j in range(i + 1, min(i + 4, len(path))):
                counts[first, path[j]] += 1 / (j - i)
    links = np.array([row / max(row.sum(), 1e-9) ** 0.5 for row in counts])
    wanted = np.zeros((len(asked()), ITEMS))
    for row, path in enumerate(histories(asked())):
        for age, item in enumerate(path[::-1][:10]):
            wanted[row] += 0.8**age * links[item]
    assert max(map(len, histories(asked()))) > 10
    np.testing.assert_allclose(fitted(ItemMarkov).predict(asked()), wanted, rtol=1e-5)


def test_ease_minimises_what_the_paper_says() -> None:
    """At the minimum under diag(B) = 0 the gradient X'(XB - X) + ridge B vanishes off the diagonal."""
    model = fitted(Ease)
    assert isinstance(model, Ease)
    x = np.zeros((30, ITEMS))
    for user, path in enumerate(made_paths()):
        x[user, path] = 1
    gradient = x.T @ (x @ model.weight - x) + 3 * model.weight
    np.fill_diagonal(gradient, 0)
    assert np.abs(gradient).max() < 1e-4
    assert (np.diag(model.weight) == 0).all()
    assert np.abs(model.weight).max() > 0.1
    shown = np.zeros((len(asked()), ITEMS))
    for row, path in enumerate(histories(asked())):
        shown[row, path] = 1
    np.testing.assert_allclose(model.predict(asked()), shown @ model.weight, atol=1e-5)
    assert (model.predict(asked())[:, COLD] == 0).all()


@pytest.mark.parametrize("modality", ["text", "image", ""])
def test_content_knn_sums_cosines_of_the_nearest(modality: str) -> None:
    """Of each item of the history five, or more if the last of them are equal, to none of which it is opposed."""
    parts = []
    for name in [modality] if modality else ["image", "text"]:
        x = made_features()[name].double().numpy()
        x = x - x.mean(0)
        x = x / np.where(x.std(0) > 1e-9, x.std(0), 1)
        parts.append(x / np.linalg.norm(x, axis=1, keepdims=True))
    found = cosines(np.concatenate(parts, 1)).round(5)
    links = np.zeros_like(found)
    for i, row in enumerate(found):
        for j, value in enumerate(row):
            if value > 0 and sum(row > value) < 5:
                links[i, j] = value
    scores = fitted(ContentKnn, ContentKnnConfig(modality, 5)).predict(asked())
    np.testing.assert_allclose(scores, summed(links, asked()), atol=1e-4)
    assert (scores[1] > 0).any()
    torch.testing.assert_close(scores[:, 5], scores[:, 6], rtol=0, atol=0)  # neither is in a history alone


def test_content_reaches_cold_items_and_asks_for_features() -> None:
    batch = asked()
    scores = {kind: fitted(kind, ContentKnnConfig(neighbours=0) if kind is ContentKnn else None) for kind in CASES}
    reached = {kind.__name__ for kind, model in scores.items() if (model.predict(batch)[:, COLD] != 0).any()}
    assert reached == {"ContentKnn"}
    with pytest.raises(UsageError, match="no features of items"):
        fitted(ContentKnn, samples=samples_of(made_paths()))
    with pytest.raises(UsageError, match=r"unknown modality 'txt'.*Did you mean 'text'.*image, text"):
        fitted(ContentKnn, ContentKnnConfig("txt"))


def test_items_of_which_nothing_is_known_are_near_none_and_change_nothing() -> None:
    """Rows of zeros, as of items that a file of features leaves out; alike, they would be each other's nearest."""
    known = {name: x[:30] for name, x in made_features().items()}
    padded = {name: torch.cat([x, torch.zeros(ITEMS - 30, x.shape[1])]) for name, x in known.items()}
    for neighbours in (0, 5):
        model = ContentKnn(TASK, ContentKnnConfig(neighbours=neighbours))
        links = model.link(replace(train(), features=padded)).toarray()
        assert not links[30:].any()
        assert not links[:, 30:].any()
        np.testing.assert_allclose(links[:30, :30], model.link(replace(train(), features=known)).toarray(), atol=2e-6)
        assert links.any()
    half = {"text": padded["text"], "image": made_features()["image"]}  # of some, one modality is known
    assert model.link(replace(train(), features=half)).toarray()[30:].any()
    assert not model.link(replace(train(), features={"text": torch.zeros(ITEMS, 3)})).toarray().any()


@pytest.mark.parametrize("count", [0, 1, 3, 29, 100])
@pytest.mark.parametrize("block", [4, 512])
def test_nearest_keeps_ties_whole(count: int, block: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """And blocks, which save memory, change nothing."""
    monkeypatch.setattr("tsbench.rec.sparse.BLOCK", block)
    rows = np.random.default_rng(0).integers(-1, 2, (30, 4)).astype(float)
    rows[3] = 0
    found = nearest(rows, count).toarray()
    all_of = cosines(rows)
    for i, row in enumerate(all_of.round(6)):
        kept = [value if value > 0 and (not count or sum(row > value) < count) else 0 for value in row]
        np.testing.assert_allclose(found[i], kept, atol=1e-6)
    assert not found[3].any()


# ---------------------------------------------------------------- what must change nothing


@pytest.mark.parametrize("kind", CASES)
def test_other_users_of_the_batch_padding_and_repetition_change_nothing(kind: type[Recommender]) -> None:
    model, batch = fitted(kind), asked()
    whole = model.predict(batch)
    assert whole.dtype == torch.float32
    many = torch.tensor([3, 1, 1, 0, 3])
    assert torch.equal(model.predict(batch.map(lambda x: x[many])), whole[many])
    assert torch.equal(model.predict(replace(batch, inputs=batch.inputs.where(batch.real, 11))), whole)
    for i, row in enumerate(whole):
        steps = max(1, int(batch.steps[i]))
        alone = Batch(batch.inputs[[i], :steps], batch.target[[i]], batch.real[[i], :steps], more={})
        assert torch.equal(model.predict(alone)[0], row)


@pytest.mark.parametrize("kind", CASES)
def test_without_a_history_all_items_are_equal_but_for_popularity(kind: type[Recommender]) -> None:
    scores = fitted(kind).predict(asked())
    assert asked().steps[2] == 0
    assert (len(scores[2].unique()) == 1) == (kind is not Popularity)
    assert scores.isfinite().all()


@pytest.mark.parametrize("kind", CASES)
def test_only_markov_knows_the_order(kind: type[Recommender]) -> None:
    model, batch = fitted(kind), asked()
    assert torch.equal(model.predict(shuffled(batch)), model.predict(batch)) == (kind is not ItemMarkov)


@pytest.mark.parametrize("kind", CASES)
def test_a_second_fit_and_a_loaded_state_predict_the_same(kind: type[Recommender]) -> None:
    """And no state grows with the square of the catalogue unless its links do."""
    first, again, loaded = fitted(kind), fitted(kind), kind(TASK, CASES[kind])
    loaded.load_state(first.state())
    for other in (again, loaded):
        assert torch.equal(other.predict(asked()), first.predict(asked()))
    assert sum(x.numel() for x in first.state().values()) < ITEMS**2
    assert Ease(TASK, EaseConfig()).parameter_count() == ITEMS**2


@pytest.mark.parametrize("spec", ["popularity", "item_knn", "item_markov", "ease"])
def test_saved_models_of_generated_purchases_beat_chance(spec: str, tmp_path: Path) -> None:
    """Not so content: there, people go to another shelf than the last, so what is alike is not next."""
    (dataset,) = find_datasets("generated/shop")
    splits = dataset.load(Path(), "leave-one-out")
    cell = make_cell(dataset, dataset.name, None, *parse_spec(spec), seed=0)
    save_model(tmp_path / "model", cell, fit(cell, splits, Run()))
    values = score(load_model(tmp_path / "model"), splits.test).values
    assert isinstance(splits.task, NextItem)
    chance = Popularity(splits.task, NoSettings())  # not fitted: all scores are 0
    assert values["ndcg_10"] > 1.2 * score(chance, splits.test).values["ndcg_10"]


@pytest.mark.parametrize(
    ("kind", "settings", "said"),
    [
        (ItemKnnConfig, {"neighbours": -1}, "neighbours=-1"),
        (ContentKnnConfig, {"neighbours": -1}, "neighbours=-1"),
        (ItemMarkovConfig, {"gap": 0}, "gap=0"),
        (ItemMarkovConfig, {"recent": 0}, "recent=0"),
        (ItemMarkovConfig, {"decay": 1.5}, "decay=1.5"),
        (EaseConfig, {"ridge": 0.0}, "ridge=0.0"),
    ],
)
def test_settings_that_mean_nothing_are_refused(kind: Any, settings: dict[str, float], said: str) -> None:
    with pytest.raises(UsageError, match=said):
        kind(**settings)


# ---------------------------------------------------------------- the note


def near_the_note(data: Path, spec: str) -> None:
    """To 0.002, as shared/reference/rec.md has it, section 2."""
    (dataset,) = find_datasets(spec)
    if not (data / "rec").is_dir():
        pytest.skip(f"no real data: {data} has no rec")
    splits = dataset.load(data, next(iter(dataset.protocols)))
    for name, figures in rec_baselines.NOTE[spec].items():
        model = fit(make_cell(dataset, dataset.name, None, *parse_spec(name), seed=0), splits, Run())
        values = rec_baselines.tested(model, splits, as_note=True).values
        assert {metric: values[metric] for metric in figures} == pytest.approx(figures, abs=0.002), name


@pytest.mark.parametrize("spec", ["rec/movielens-100k:ties=file", "rec/lastfm-2k"])
def test_the_notes_figures(spec: str, real_data: Path) -> None:
    near_the_note(real_data, spec)


@pytest.mark.slow
@pytest.mark.parametrize("spec", ["rec/amazon-instruments", "rec/amazon-beauty", "rec/tiktok"])
def test_the_notes_figures_of_large_sets(spec: str, real_data: Path) -> None:
    near_the_note(real_data, spec)
