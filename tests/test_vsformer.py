"""VSFormer: weighted attention against the product written out, tokens, odd series, ablations, and no leak."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import Tensor

from tests.positions_cases import WIDTH, encoder, ragged, tokens
from tests.test_motifs import walks
from tsbench.data import Batch
from tsbench.datasets.generated import SHAPES, shapes
from tsbench.errors import UsageError
from tsbench.evaluate import score
from tsbench.inputs import Series
from tsbench.model import Run
from tsbench.models.vsformer import VSFormer, VSFormerConfig
from tsbench.parts.attention import Attention, Scope
from tsbench.position import Positions, make_encoding
from tsbench.series.samples import SeriesSamples
from tsbench.series.splits import HELD_OUT, classification_splits
from tsbench.splitting import stratified
from tsbench.tasks.classification import Classification

BUFFERS = ("shapes", "channel", "label", "case", "start", "prior", "found", "kept", "edges")


def task_of(samples: SeriesSamples, classes: int = 3) -> Classification:
    return Classification(Series(samples.values.shape[1], samples.values.shape[2]), classes)


def fitted(
    samples: SeriesSamples, classes: int = 3, validation: SeriesSamples | None = None, **settings: Any
) -> VSFormer:
    torch.manual_seed(0)
    config = VSFormerConfig(**{"epochs": 1, **settings})
    model = VSFormer(task_of(samples, classes), config)
    model.fit(samples, validation or samples, Run(seed=3))
    return model


def whole(samples: SeriesSamples) -> Batch:
    return samples.batch(torch.arange(len(samples)))


def buffers(model: VSFormer) -> dict[str, Tensor]:
    """What was found in the data, weights left out."""
    return {name: value for name, value in model.state().items() if name.rsplit(".", 1)[1] in BUFFERS}


# ---------------------------------------------------------------- attention with priors


@pytest.mark.parametrize("spec", ["none", "alibi", "rope", "shaw"])
@pytest.mark.parametrize("form", ["plain", "padded", "packed", "causal"])
def test_weighted_attention_is_the_product_with_rows_renormalised(spec: str, form: str) -> None:
    """softmax(s) * p_i p_j, each row divided by its sum, as the summaries of the paper describe it."""
    x, weight = tokens(3, 7, dtype=torch.float64), torch.rand(3, 7, dtype=torch.float64) + 0.05
    positions = Positions.along(x, causal=form == "causal")
    if form == "padded":
        positions = Positions.along(x, ragged(7, 4, 2))
    if form == "packed":
        positions = replace(positions, segment=torch.tensor([[0, 0, 0, 1, 1, 1, 1]]).expand(3, -1))
    torch.manual_seed(1)
    attention, encoding = Attention(WIDTH, 4).double(), make_encoding(spec, WIDTH, 4).double()
    q, k, v = attention.inward(x).unflatten(-1, (3, 4, -1)).transpose(1, 3).unbind(2)
    q, k = encoding.transform(q, k, positions)
    scores = q @ k.transpose(-1, -2) / math.sqrt(WIDTH / 4)
    for more in (encoding.bias(positions), encoding.relate(q, positions)):
        scores = scores if more is None else scores + more
    if (mask := positions.mask()) is not None:
        scores = scores.masked_fill(~mask, -torch.inf)
    product = scores.softmax(-1) * weight[:, None, :, None] * weight[:, None, None, :]
    rows = product / product.sum(-1, keepdim=True)
    y = rows @ v
    if (more := encoding.read(rows, positions)) is not None:
        y = y + more
    wanted = attention.outward(y.transpose(1, 2).flatten(2))
    weighted = replace(positions, weight=weight)
    for explicit in (False, True):
        got = attention(x, encoding, Scope.of(weighted, encoding), explicit)
        torch.testing.assert_close(got, wanted, atol=1e-10, rtol=1e-10)
    plain = attention(x, encoding, Scope.of(positions, encoding))
    assert (plain - wanted).abs().max() > 1e-3


@pytest.mark.parametrize("spec", ["none", "learned", "t5"])
def test_equal_weights_change_nothing_and_no_weights_cost_nothing(spec: str) -> None:
    model, x = encoder(spec), tokens(2, 9)
    positions = Positions.along(x, ragged(9, 6))
    plain = model(x, positions)
    even = model(x, replace(positions, weight=torch.full((1, 9), 0.3)))
    torch.testing.assert_close(even, plain, atol=1e-6, rtol=1e-5)
    bare = Scope.of(Positions.along(x), make_encoding("none", 16, 4))
    assert bare.scores is None  # the kernel gets what it got before there were weights
    assert bare.mask is None


# ---------------------------------------------------------------- tokens


@pytest.mark.parametrize("across", [True, False])
@pytest.mark.parametrize("steps", [12, 60])  # more and fewer motifs than places
def test_a_shape_token_is_a_linear_map_of_the_nearest_part(steps: int, across: bool) -> None:
    samples = walks(9, steps, 2, 3)
    model = fitted(samples, across=across, motifs=2)
    batch = whole(samples)
    for part in model.branches["shape"].tokens.windows:
        got, window = part(batch.inputs, samples.steps), part.shapes.shape[1]
        for case in range(9):
            for token in range(part.shapes.shape[0]):
                channel = int(part.channel[token])
                series = samples.values[case, : samples.steps[case]]
                if len(series) < window or not part.found[token]:
                    assert not got.real[case, token]
                    continue
                inside = series[:, channel].unfold(0, window, 1)
                nearest = int((inside - part.shapes[token]).square().sum(1).argmin())
                assert got.first[case, token] == nearest
                cut = series[nearest : nearest + window]
                held = cut if across else cut[:, channel : channel + 1]
                wanted = torch.einsum("tc,wct->w", held, part.embedding.weight) + part.embedding.bias
                torch.testing.assert_close(got.values[case, token], wanted, atol=1e-5, rtol=1e-4)


def test_a_token_across_channels_sees_the_others_and_one_of_its_own_does_not() -> None:
    samples = walks(6, 30, 3, 3, ragged=False)
    other = samples.values.clone()
    other[..., 2] += 1.0
    for across in (True, False):
        model = fitted(samples, across=across)
        for branch in model.branches.values():
            a, b = (branch.tokens(x, samples.steps) for x in (samples.values, other))
            still = (a.channel != 2) if not across or a.channel.any() else torch.ones_like(a.channel, dtype=torch.bool)
            same = torch.equal(a.values[:, still], b.values[:, still])
            assert same is not across


def test_nothing_is_matched_or_counted_beyond_the_end_of_a_series() -> None:
    samples = walks(9, 24, 2, 3)
    samples = replace(samples, lengths=samples.steps.where(torch.arange(9) > 2, torch.tensor(6)))
    model = fitted(samples)
    batch = whole(samples)
    assert batch.valid is not None
    junk = replace(batch, inputs=torch.where(batch.valid[..., None], batch.inputs, 50.0))
    torch.testing.assert_close(model.predict(junk), model.predict(batch), atol=1e-5, rtol=1e-5)
    for branch in model.branches.values():
        found = branch.tokens(batch.inputs, samples.steps)
        assert (found.end <= samples.steps[:, None])[found.real].all()
        assert (found.end > found.first)[found.real].all()
    assert not model.branches["shape"].tokens(batch.inputs, samples.steps).real.all()  # some are too short for a window


@pytest.mark.parametrize(
    ("length", "channels", "classes", "settings", "shape", "value"),
    [
        (100, 6, 4, {"motifs": 0}, 864, 15),
        (100, 6, 4, {}, 72, 15),
        (100, 6, 4, {"across": False}, 72, 90),
        (144, 9, 25, {"motifs": 0}, 675, 15),
        (8, 2, 10, {"motifs": 0}, 900, 15),
        (144, 963, 7, {"across": False}, 900, 900),
        (22, 200, 10, {"tokens": 100, "across": False}, 99, 100),
    ],
)
def test_how_many_tokens_there_are_follows_from_task_and_settings(
    length: int, channels: int, classes: int, settings: dict[str, Any], shape: int, value: int
) -> None:
    with torch.device("meta"):
        model = VSFormer(
            Classification(Series(length, channels), classes), VSFormerConfig(**{"tokens": 900, **settings})
        )
    counts = {name: branch.tokens.count for name, branch in model.branches.items()}
    assert counts == {"shape": shape, "value": value}
    assert model.head.in_features == (shape + value) * 16


def test_the_best_priors_are_kept_where_the_budget_is_short() -> None:
    samples = walks(24, 40, 5, 3, ragged=False)
    every, few = (fitted(samples, across=False, tokens=tokens) for tokens in (900, 12))
    for branch in ("shape", "value"):
        parts = [
            (m.branches[branch].tokens.windows if branch == "shape" else [m.branches[branch].tokens])
            for m in (every, few)
        ]
        for a, b in zip(*parts, strict=True):
            assert len(b.prior) < len(a.prior)
            assert b.prior.sort().values.tolist() == a.prior.sort().values[-len(b.prior) :].tolist()


# ---------------------------------------------------------------- odd series


ODD: dict[str, Callable[[], tuple[SeriesSamples, int]]] = {
    "eight steps": lambda: (walks(20, 8, 2, 10, ragged=False), 10),
    "one case a class": lambda: (walks(3, 30, 2, 3, ragged=False), 3),
    "one case a class, unequal": lambda: (walks(3, 12, 1, 3), 3),
    "two steps": lambda: (walks(6, 2, 1, 3, ragged=False), 3),
    "one step": lambda: (walks(6, 1, 2, 3, ragged=False), 3),
    "constant": lambda: (SeriesSamples(torch.zeros(6, 20, 2), torch.arange(6) % 3), 3),
    "a class without a case": lambda: (walks(6, 20, 2, 2), 3),
}


@pytest.mark.parametrize("branches", ["both", "shape", "value"])
@pytest.mark.parametrize("name", ODD)
def test_odd_series_are_fitted_and_predicted(name: str, branches: str) -> None:
    samples, classes = ODD[name]()
    model = fitted(samples, classes, branches=branches, epochs=2)
    assert model.predict(whole(samples)).isfinite().all()
    assert all(p.isfinite().all() for p in model.parameters())
    short = Batch(samples.values[:2, :1], samples.target[:2])  # below every window
    assert model.predict(short).isfinite().all()


def test_a_series_shorter_than_every_window_has_no_shape_token() -> None:
    samples = walks(9, 60, 2, 3, ragged=False)
    model = fitted(samples, branches="shape")
    short = Batch(samples.values[:4, :5], samples.target[:4])
    torch.testing.assert_close(model.predict(short), model.head.bias.expand(4, -1))
    model.train()
    model.loss_and_gradient(short)
    assert all(p.grad is None or p.grad.isfinite().all() for p in model.parameters())


def test_a_batch_cut_to_its_own_longest_case_is_predicted_as_if_it_were_not() -> None:
    samples = walks(9, 30, 2, 3)
    model = fitted(samples)
    short = samples.steps.argsort()[:3]
    cut, among = samples.batch(short), whole(samples)
    assert cut.inputs.shape[1] < 30
    torch.testing.assert_close(model.predict(cut), model.predict(among)[short], atol=1e-5, rtol=1e-5)


# ---------------------------------------------------------------- settings


@pytest.mark.parametrize(
    "settings",
    [{"positions": "rope"}, {"positions": "learned(length=900)"}, {"positions": "shaw"}, {"layers": 2},
     {"prior_in_encoding": False}, {"prior_in_attention": False}, {"branches": "shape"}, {"branches": "value"},
     {"across": False}, {"standardise_discovery": False}, {"standardise_matching": True}, {"motifs": 2},
     {"granularities": "1,3"}, {"bins": 3}],
    ids=str,
)  # fmt: skip
def test_every_setting_changes_the_prediction_and_trains(settings: dict[str, Any]) -> None:
    samples = shapes(24)
    plain, changed = fitted(samples), fitted(samples, **settings)
    batch = whole(samples)
    assert not torch.allclose(changed.predict(batch), plain.predict(batch), atol=1e-4)
    changed.loss_and_gradient(batch)
    still = [name for name, p in changed.named_parameters() if p.grad is None or not p.grad.abs().sum() > 0]
    assert not still


def test_without_its_prior_a_token_is_the_same_whatever_its_prior() -> None:
    samples = shapes(24)
    without: dict[str, Any] = {"prior_in_encoding": False, "prior_in_attention": False}
    for settings in ({}, without):
        model = fitted(samples, **settings)
        before = model.predict(whole(samples))
        for branch in model.branches.values():
            for name, value in branch.tokens.named_buffers():
                if name.endswith("prior"):
                    value.copy_(torch.rand_like(value))
        assert torch.equal(before, model.predict(whole(samples))) is bool(settings)


@pytest.mark.parametrize(
    ("settings", "word"),
    [({"branches": "shapes"}, "Did you mean 'shape'"), ({"granularities": "1,0"}, "granularities"),
     ({"bins": 1}, "bins"), ({"tokens": 0}, "tokens"), ({"motifs": -1}, "motifs"),
     ({"granularities": "one"}, "such as 1,2,4")],
)  # fmt: skip
def test_settings_that_give_no_tokens_are_refused(settings: dict[str, Any], word: str) -> None:
    with pytest.raises(UsageError, match=word):
        VSFormerConfig(**settings)


# ---------------------------------------------------------------- no leak


def found_by(train: SeriesSamples, test: SeriesSamples, fitting: str = "train") -> dict[str, Tensor]:
    """What a fit finds under the protocol, given TRAIN and TEST; `fitting` plants a leak."""
    splits = classification_splits(train, test, tuple(SHAPES), "validation")
    assert isinstance(splits.train, SeriesSamples)
    assert isinstance(splits.validation, SeriesSamples)
    parts = {
        "train": splits.train,
        "train and validation": SeriesSamples(
            torch.cat([splits.train.values, splits.validation.values]),
            torch.cat([splits.train.target, splits.validation.target]),
            torch.cat([splits.train.steps, splits.validation.steps]),
        ),
    }
    return buffers(fitted(parts[fitting], validation=splits.validation))


def same(a: dict[str, Tensor], b: dict[str, Tensor]) -> bool:
    return a.keys() == b.keys() and all(torch.equal(a[name], b[name]) for name in a)


@pytest.mark.parametrize(("fitting", "clean"), [("train", True), ("train and validation", False)])
def test_no_validation_or_test_case_touches_motifs_priors_or_bins(fitting: str, clean: bool) -> None:
    """The check itself is checked: fitted to train and validation, it finds the leak."""
    cases = shapes()
    train, test = cases.select(torch.arange(60)), cases.select(torch.arange(60, 120))
    before = found_by(train, test, fitting)
    assert {name.rsplit(".", 1)[1] for name in before} == set(BUFFERS)
    assert same(before, found_by(train, replace(test, values=test.values * 3 + 1), fitting))
    _, held_out = stratified(train.target, HELD_OUT)
    changed = train.values.clone()
    changed[held_out] = changed[held_out] * -2 + 1
    assert same(before, found_by(replace(train, values=changed), test, fitting)) is clean


def test_the_seed_draws_subsequences_and_nothing_of_the_global_generator() -> None:
    samples = shapes(24)
    states = []
    for pairs in (1e3, 5e9):
        torch.manual_seed(5)
        model = VSFormer(task_of(samples), VSFormerConfig(pairs=pairs))
        for branch in model.branches.values():
            branch.tokens.find(samples, 3)
        states.append(torch.get_rng_state())
    assert torch.equal(*states)


def test_what_finding_motifs_cost_is_of_both_fits() -> None:
    samples, run = shapes(24), Run(measured={"motif_seconds": 1000.0})  # as a first fit left it
    VSFormer(task_of(samples), VSFormerConfig(epochs=1)).fit(samples, samples, run)
    assert 1000 < run.measured["motif_seconds"] < 1060


def test_it_learns_and_says_what_finding_motifs_cost() -> None:
    cases = shapes()
    splits = classification_splits(
        cases.select(torch.arange(60)), cases.select(torch.arange(60, 120)), tuple(SHAPES), "validation"
    )
    torch.manual_seed(1)
    model, run = VSFormer(splits.task, VSFormerConfig(epochs=25)), Run()  # type: ignore[arg-type]
    model.fit(splits.train, splits.validation, run)
    assert score(model, splits.test).values["accuracy"] > 0.85
    assert 0 < run.measured["motif_seconds"] < 60
