"""The cheap rows of RNA tables: figures measured on the raw files before these models were written, and properties."""

from __future__ import annotations

import sys
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from sklearn.linear_model import Ridge

from tsbench.data import Batch
from tsbench.errors import UsageError
from tsbench.evaluate import score
from tsbench.inputs import NucleotidePair, Nucleotides
from tsbench.model import Model, Run
from tsbench.models.constant import Constant
from tsbench.models.gc_ridge import GCRidge
from tsbench.models.kmer_ridge import KmerRidge, KmerRidgeConfig, kmers
from tsbench.models.mismatches import Mismatches, mismatches
from tsbench.models.vienna_mfe import ViennaMFE
from tsbench.registry import find_datasets, find_model
from tsbench.rna.sequences import PairSequences, Ragged, Sequences, decode, encode
from tsbench.settings import configure, parse_spec
from tsbench.tasks.classification import Classification
from tsbench.tasks.multilabel import MultiLabel
from tsbench.tasks.nucleotide import MaskedNucleotides, NucleotideClassification, NucleotideRegression
from tsbench.tasks.pairs import Distances, Structure
from tsbench.tasks.regression import RankRegression, Regression
from tsbench.tasks.task import Labelling

ONE, TWO = Nucleotides(12), NucleotidePair(12)


class Repeated:
    """One batch as samples."""

    def __init__(self, batch: Batch) -> None:
        self.whole = batch
        self.sizes = torch.full((len(batch),), 12)

    def __len__(self) -> int:
        return len(self.whole)

    def batch(self, indices: torch.Tensor) -> Batch:
        return self.whole.map(lambda tensor: tensor[indices])

    def to(self, device: torch.device | str) -> Repeated:
        return Repeated(self.whole.to(device))


def fitted(kind: type[Model], task: Labelling, batch: Batch, **settings: Any) -> Model:
    model = kind(task, kind.Config(**settings))
    model.fit(Repeated(batch), Repeated(batch), Run())
    return model


# ---------------------------------------------------------------- real data


@lru_cache(maxsize=2)
def load(name: str, root: Path) -> Any:
    (dataset,) = find_datasets(name)
    return dataset.load(root, next(iter(dataset.protocols)))


@pytest.mark.parametrize(
    ("dataset", "spec", "metric", "expected"),
    [
        ("rna/cri-on", "constant", "spearman", 0.0),
        ("rna/cri-on", "gc_ridge", "spearman", 0.175),
        ("rna/cri-on", "kmer_ridge", "spearman", 0.352),
        ("rna/cri-off", "mismatches", "spearman", 0.199),
        ("rna-substitute/utr", "kmer_ridge", "r2", 0.306),  # of one length too, but here frequencies validate better
        ("rna/ncrna:unknown=N", "constant", "accuracy", 1 / 13),
        ("rna/ncrna:unknown=N", "kmer_ridge:k=3", "accuracy", 0.642),  # our figure, as is that of utr
    ],
)
def test_scores_on_beacon(dataset: str, spec: str, metric: str, expected: float, real_data: Path) -> None:
    splits = load(dataset, real_data)
    name, settings = parse_spec(spec)
    kind = find_model(name)
    model = kind(splits.task, configure(kind.Config, settings, name))
    model.fit(splits.train, splits.validation, Run())
    assert score(model, splits.test).values[metric] == pytest.approx(expected, abs=6e-4)


@pytest.mark.parametrize(("length", "constant", "ridge"), [(107, 0.478, 0.359), (130, 0.551, 0.508)])
def test_degradation(length: int, constant: float, ridge: float, real_data: Path) -> None:
    """A constant of each column scores .478 on the public and .551 on the private part of Kaggle's test set."""
    splits = load("rna/vdp", real_data)
    part = splits.test.select((splits.test.codes[0].lengths == length).nonzero()[:, 0])
    for model, expected in (
        (Constant(splits.task, None), constant),
        (KmerRidge(splits.task, KmerRidgeConfig()), ridge),
    ):
        model.fit(splits.train, splits.validation, Run())
        assert score(model, part).values["mcrmse"] == pytest.approx(
            expected, abs=1e-3 if expected == constant else 0.01
        )


@pytest.mark.parametrize(
    ("every", "f1", "pooled"), [(26, 0.494, 0.467), pytest.param(1, 0.492, 0.482, marks=pytest.mark.slow)]
)
def test_free_energy_structures(every: int, f1: float, pooled: float, real_data: Path) -> None:
    """48.2 % of pooled pairs and 49.2 % a RNA are right on all of TS0 (ViennaRNA 2.7.2)."""
    pytest.importorskip("RNA", reason='needs pip install "tsbench[vienna]"')
    splits = load("rna/ssp", real_data)
    part = splits.test.select(torch.arange(0, len(splits.test), every))
    scores = score(ViennaMFE(splits.task, None), part).values
    assert (scores["f1"], scores["f1_beacon"]) == pytest.approx((f1, pooled), abs=6e-4)


# ---------------------------------------------------------------- properties


@pytest.mark.parametrize(
    ("task", "target", "expected"),
    [
        (Regression(ONE, 2), [[1.0, 4.0], [3.0, 0.0]], [2.0, 2.0]),
        (Classification(ONE, 3), [0, 0, 2, 0], [np.log(0.75), np.log(1e-6), np.log(0.25)]),
        (MultiLabel(ONE, 2), [[1.0, 0.0], [1.0, 1.0], [0.0, 0.0], [1.0, 0.0]], [np.log(3), -np.log(3)]),
        (NucleotideRegression(ONE, 1), [[[1.0], [np.nan]], [[3.0], [5.0]]], [3.0]),
        (NucleotideClassification(ONE, 2), [[0, 0, 1], [0, -1, -1]], [np.log(0.75), np.log(0.25)]),
        (MaskedNucleotides(ONE), [[0, -1, 1], [2, -1, 3]], [np.log(0.25)] * 4),
        (Structure(ONE), [[[0.0, 1.0], [1.0, np.nan]]], [np.log(2)]),
        (Distances(ONE), [[[0.0, 0.5], [0.7, np.nan]]], [0.4]),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, Labelling) else "",
)
def test_the_constant_is_the_mean_of_what_is_scored(task: Any, target: Any, expected: list[float]) -> None:
    values = torch.tensor(target)
    time = values.shape[1] if values.ndim > 1 else 2
    batch = Batch(torch.zeros(len(values), 1, time, dtype=torch.int64), values)
    prediction = fitted(Constant, task, batch).predict(batch)
    assert prediction.shape == task.shape(batch)
    wanted = torch.tensor(expected, dtype=torch.float32).expand(prediction.shape)
    torch.testing.assert_close(prediction, wanted, rtol=1e-5, atol=1e-5)


def test_kmers_skip_unknown_letters_and_ends() -> None:
    batch = Batch(torch.from_numpy(encode("ACNUG")).long()[None, None], torch.zeros(1, 1))
    batch.valid = torch.tensor([[[True, True, True, True, False]]])
    found = [(place, column) for _, _, place, column in kmers(batch, 2).nonzero().tolist()]
    assert found == [(0, 0), (0, 4 + 1), (1, 1), (3, 3)]  # A, AC; C; U: CN, NU and UG are none


def test_ridge_equals_scikit_learn() -> None:
    """With the penalty that was chosen, in scikit-learn's units: times samples and variance of the mean feature."""
    torch.manual_seed(0)
    task = RankRegression(ONE, 1)
    batch = task.random_batch(60)
    run = Run()
    model = KmerRidge(task, KmerRidgeConfig(positional=True))
    model.fit(Repeated(batch), Repeated(batch), run)
    x, y = model.features(batch).double().numpy(), batch.target.double().numpy()
    reference = Ridge(alpha=run.measured["penalty"] * len(x) * x.var(0).mean()).fit(x, y)
    np.testing.assert_allclose(model.predict(batch)[:, 0].numpy(), reference.predict(x).reshape(-1), atol=1e-4)


def test_the_window_sees_its_width_and_no_further() -> None:
    """A nucleotide's label is the letter 2 places on: a window of 2 finds it, one of 1 cannot."""
    torch.manual_seed(0)
    task = NucleotideClassification(ONE, 4)
    inputs = torch.randint(0, 4, (200, 1, 12))
    target = torch.nn.functional.pad(inputs[:, 0, 2:], (0, 2), value=-1)
    batch = Batch(inputs, target)
    right = [
        (fitted(KmerRidge, task, batch, k=1, window=side).predict(batch).argmax(-1) == target)[target >= 0]
        .float()
        .mean()
        for side in (1, 2)
    ]
    assert right[0] < 0.5
    assert right[1] == 1


@pytest.mark.parametrize(
    ("guide", "site", "expected"), [("ACGU", "ACGT", 0), ("ACGU", "CCGA", 2), ("ACGUAC", "ACGA", 3), ("A", "ACG", 2)]
)
def test_mismatches_count_places_and_the_tail(guide: str, site: str, expected: int) -> None:
    codes = tuple(Ragged.of([encode(text), encode("AAAAAAAA")]) for text in (guide, site))  # beside a longer pair
    batch = Sequences(codes, torch.zeros(2, 1)).batch(torch.arange(2))
    assert mismatches(batch).tolist() == [expected, 0]


def test_mismatches_are_scaled_only_if_more_mean_less() -> None:
    torch.manual_seed(0)
    task = Regression(TWO, 2)
    batch = task.random_batch(50)
    count = mismatches(batch).float()
    batch.target = torch.stack([5 - 0.5 * count, 2 * count], 1)
    prediction = fitted(Mismatches, task, batch).predict(batch)
    torch.testing.assert_close(prediction, torch.stack([5 - 0.5 * count, -count], 1), rtol=1e-4, atol=1e-4)


TASKS = (
    (Constant, Structure(ONE)),
    (GCRidge, MultiLabel(TWO, 3)),
    (KmerRidge, Regression(TWO, 2)),
    (KmerRidge, Classification(ONE, 3)),
    (KmerRidge, NucleotideRegression(Nucleotides(12, features=2), 2)),
    (Mismatches, RankRegression(TWO, 1)),
)


@pytest.mark.parametrize(("kind", "task"), TASKS, ids=lambda value: getattr(value, "__name__", type(value).__name__))
def test_every_baseline_keeps_the_rules(kind: type[Model], task: Labelling) -> None:
    """A sample's prediction depends on nothing else, a loaded model predicts the same, on any device."""
    torch.manual_seed(0)
    batch = task.random_batch(30)
    model = fitted(kind, task, batch)
    whole = model.predict(batch)
    assert whole.shape == task.shape(batch)
    alone = torch.cat([model.predict(batch.map(lambda tensor, i=i: tensor[i : i + 1])) for i in range(30)])  # type: ignore[misc]
    torch.testing.assert_close(alone, whole)
    loaded = kind(task, kind.Config())
    loaded.load_state(model.state())
    assert torch.equal(loaded.predict(batch), whole)
    assert model.predict(batch.to("meta")).shape == whole.shape


def test_structures_are_symmetric_and_masked_letters_unknown() -> None:
    pytest.importorskip("RNA", reason='needs pip install "tsbench[vienna]"')
    texts = ["GGGGAAAACCCC", "GGGGAANACCCCAA", "AAAAA"]
    rows = [encode(text).copy() for text in texts]
    rows[1][6] = 5
    assert decode(rows[1]) == "GGGGAA?ACCCCAA"
    none = Ragged.of([np.zeros((0, 2), dtype=np.int64)] * 3)
    batch = PairSequences((Ragged.of(rows),), none).batch(torch.arange(3))
    logits = ViennaMFE(Structure(Nucleotides(14)), None).predict(batch)
    assert torch.equal(logits, logits.mT)
    pairs = [(i, 11 - i) for i in range(4)]
    for found, wanted in zip(logits, (pairs, pairs, []), strict=True):
        assert [tuple(pair) for pair in (found.triu() > 0).nonzero().tolist()] == wanted
    assert set(logits.unique().tolist()) == {-6.0, 6.0}


def test_without_vienna_it_says_how_to_get_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "RNA", None)
    with pytest.raises(UsageError, match=r"pip install \"tsbench\[vienna\]\""):
        ViennaMFE(Structure(ONE), None)


@pytest.mark.parametrize("settings", [{"k": 0}, {"k": 7}, {"window": -1}])
def test_settings_that_cannot_be(settings: dict[str, Any]) -> None:
    with pytest.raises(UsageError, match=next(iter(settings))):
        KmerRidgeConfig(**settings)
