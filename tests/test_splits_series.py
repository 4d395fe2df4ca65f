"""Splits of labelled series: what is fitted sees its fitting part only, what is held out, what TEST may choose."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from tsbench.data import Splits
from tsbench.datasets.generated import shapes
from tsbench.datasets.uea import READERS, Uea, archives
from tsbench.series import splits as series_splits
from tsbench.series.cases import to_samples
from tsbench.series.samples import SeriesSamples
from tsbench.series.splits import HELD_OUT, SCALINGS, classification_splits, filled, scaled
from tsbench.splitting import stratified

LABELS = ("bump", "step", "wave")
Make = Callable[[SeriesSamples, SeriesSamples, str], Splits]


def parts() -> tuple[SeriesSamples, SeriesSamples]:
    """TRAIN and TEST of unequal lengths, a tenth of their values missing."""
    samples = shapes()
    gone = torch.rand(samples.values.shape, generator=torch.Generator().manual_seed(5)) < 0.1
    samples = replace(samples, values=samples.values.masked_fill(gone & samples.valid[..., None], torch.nan))
    return samples.select(torch.arange(60)), samples.select(torch.arange(60, 120))


def wildly(samples: SeriesSamples, which: Tensor) -> SeriesSamples:
    """Other values, lengths and missing values in the cases `which`; their classes stay."""
    generator = torch.Generator().manual_seed(9)
    values, lengths = samples.values.clone(), samples.steps.clone()
    lengths[which] = torch.randint(3, values.shape[1], (len(which),), generator=generator)
    new = 1e4 * torch.randn(values[which].shape, generator=generator) - 500
    values[which] = new.masked_fill(torch.rand(new.shape, generator=generator) < 0.3, torch.nan)
    values[~replace(samples, lengths=lengths).valid] = 0.0
    return replace(samples, values=values, lengths=lengths)


def equal(a: SeriesSamples, b: SeriesSamples) -> bool:
    """To the last bit."""
    return torch.equal(a.values, b.values) and torch.equal(a.target, b.target) and torch.equal(a.steps, b.steps)


def assert_blind(make: Make, scaling: str) -> None:
    """What is fitted to sees neither validation nor TEST; what is fitted to again does not see TEST."""
    train, test = parts()
    held_out = stratified(train.target, HELD_OUT)[1]
    splits = make(train, test, scaling)
    everywhere = torch.arange(len(test))
    other = make(wildly(train, held_out), wildly(test, everywhere), scaling)
    assert len(splits.validation) == len(held_out)
    assert not torch.equal(splits.validation.values, other.validation.values), "the change must reach validation"  # type: ignore[attr-defined]
    assert equal(splits.train, other.train), "train depends on validation or TEST"  # type: ignore[arg-type]
    again, after = splits.refit, make(train, wildly(test, everywhere), scaling)
    assert again is not None
    assert after.refit is not None
    assert equal(again.train, after.refit.train), "the second training set depends on TEST"  # type: ignore[arg-type]
    assert equal(splits.validation, after.validation), "validation depends on TEST"  # type: ignore[arg-type]
    # One case of TEST does not depend on the others.
    one = make(train, wildly(test, everywhere[1:]), scaling)
    assert torch.equal(splits.test.batch(everywhere[:1]).inputs, one.test.batch(everywhere[:1]).inputs)


def ours(train: SeriesSamples, test: SeriesSamples, scaling: str) -> Splits:
    return classification_splits(train, test, LABELS, "validation", scaling)


@pytest.mark.parametrize("scaling", SCALINGS)
def test_scaling_and_filling_see_the_fitting_part_only(scaling: str) -> None:
    assert_blind(ours, scaling)


def scaled_by_all(scaling: str, fitting: SeriesSamples, *others: SeriesSamples) -> tuple[SeriesSamples, ...]:
    """The leak of much published code: moments of all cases together."""
    names = ("values", "target", "steps")
    together = [torch.cat([getattr(part, name) for part in (fitting, *others)]) for name in names]
    return scaled(scaling, SeriesSamples(*together), fitting, *others)[1:]


def filled_by_all(samples: SeriesSamples) -> SeriesSamples:
    """Missing values become their channel's mean over all cases of the file."""
    mean = samples.values.nanmean((0, 1), keepdim=True)
    return replace(samples, values=torch.where(samples.values.isnan(), mean, samples.values))


@pytest.mark.parametrize(("name", "leak"), [("scaled", scaled_by_all), ("filled", filled_by_all)])
def test_a_planted_leak_is_found(name: str, leak: object, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(series_splits, name, leak)
    with pytest.raises(AssertionError, match="depends on"):
        assert_blind(ours, "channel")


def test_real_archive_is_scaled_by_its_fitting_part() -> None:
    dataset = next(Uea(archive) for archive in archives() if archive.name == "BasicMotions")
    read = [READERS[".ts"](path) for path in dataset.files(Path())]
    train, _, _ = to_samples(read[0], read[1])
    splits = dataset.load(Path(), "validation")
    raw = train.select(stratified(train.target, HELD_OUT)[0]).values.double()
    by_hand = (raw - raw.mean((0, 1))) / raw.std((0, 1), correction=0)
    assert torch.allclose(splits.train.values.double(), by_hand, atol=1e-5)  # type: ignore[attr-defined]
    assert splits.refit is not None
    whole = splits.refit.train.batch(torch.arange(len(train))).inputs.double()
    assert torch.allclose(whole.mean((0, 1)), torch.zeros(6, dtype=torch.float64), atol=1e-6)
    assert torch.allclose(whole.std((0, 1), correction=0), torch.ones(6, dtype=torch.float64), atol=1e-6)


# ---------------------------------------------------------------- scaling and filling, by hand


def test_missing_values_are_interpolated_within_case_and_channel() -> None:
    gap = float("nan")
    values = torch.tensor([[[gap, gap], [2.0, gap], [gap, gap], [4.0, gap], [0.0, 0.0]], [[1.0, 7.0]] * 5])
    found = filled(SeriesSamples(values, torch.tensor([0, 1]), torch.tensor([4, 5]))).values
    assert found[0, :4, 0].tolist() == [2.0, 2.0, 3.0, 4.0]
    assert found[0, :4, 1].isnan().all(), "nothing is known of this channel"
    assert torch.equal(found[1], values[1])


def test_what_is_not_known_and_padding_are_0_after_scaling() -> None:
    values = torch.tensor([[[5.0, torch.nan], [7.0, torch.nan], [0.0, 0.0]], [[9.0, 1.0], [9.0, 3.0], [9.0, 2.0]]])
    samples = SeriesSamples(values, torch.tensor([0, 1]), torch.tensor([2, 3]))
    for scaling in SCALINGS:
        (found,) = scaled(scaling, filled(samples))
        assert found.values[0, 2].tolist() == [0.0, 0.0]
        assert found.values[0, :, 1].tolist() == [0.0, 0.0, 0.0]
        assert found.values.isfinite().all()
    case = scaled("case", samples)[0].values
    assert case[0, :2, 0].tolist() == [-1.0, 1.0]
    assert case[1, :, 0].tolist() == [0.0, 0.0, 0.0], "a constant channel is only centred"
    assert torch.equal(scaled("none", samples)[0].values, values.nan_to_num(0.0))


def test_missing_values_are_told() -> None:
    train, test = parts()
    gone = sum(int((part.values.isnan() & part.valid[..., None]).sum()) for part in (train, test))
    assert f"{gone:,} missing values" in ours(train, test, "channel").notes[0]


# ---------------------------------------------------------------- what is held out


@given(st.lists(st.integers(0, 4), min_size=1, max_size=60), st.sampled_from([0.1, 0.2, 0.5]))
def test_a_share_of_every_class_is_held_out(classes: list[int], share: float) -> None:
    target = torch.tensor(classes)
    kept, held_out = stratified(target, share)
    assert sorted([*kept.tolist(), *held_out.tolist()]) == list(range(len(classes)))
    assert kept.tolist() == sorted(kept.tolist())
    assert held_out.tolist() == sorted(held_out.tolist())
    counts = Counter(target[held_out].tolist())
    for c, size in Counter(classes).items():
        assert counts[c] == max(round(share * size), 1 if size > 1 else 0)
        assert size == 1 or counts[c] < size
    assert all(map(torch.equal, stratified(target, share), (kept, held_out))), "the same everywhere"


@given(st.lists(st.tuples(st.integers(0, 2), st.integers(0, 8)), min_size=1, max_size=40))
def test_copies_never_part(cases: list[tuple[int, int]]) -> None:
    target, keys = torch.tensor([c for c, _ in cases]), [key for _, key in cases]
    kept, held_out = stratified(target, 0.2, keys)
    assert sorted([*kept.tolist(), *held_out.tolist()]) == list(range(len(cases)))
    assert not {keys[i] for i in kept.tolist()} & {keys[i] for i in held_out.tolist()}
    assert set(held_out.tolist()) <= set(stratified(target, 0.2)[1].tolist())
    if len(set(keys)) == len(keys):
        assert torch.equal(held_out, stratified(target, 0.2)[1])


def test_train_and_validation_are_train_cut_in_two_and_refit_is_all_of_it() -> None:
    train, test = parts()
    splits = classification_splits(train, test, LABELS, "validation", "none")
    kept, held_out = stratified(train.target, HELD_OUT)
    assert (len(kept), len(held_out)) == (48, 12)
    assert equal(splits.train, scaled("none", filled(train.select(kept)))[0])  # type: ignore[arg-type]
    assert equal(splits.validation, scaled("none", filled(train.select(held_out)))[0])  # type: ignore[arg-type]
    assert splits.refit is not None
    assert equal(splits.refit.train, scaled("none", filled(train))[0])  # type: ignore[arg-type]
    assert (len(splits.test), len(splits.refit.test)) == (60, 60)
    assert splits.selects
    assert splits.shared == frozenset()


@pytest.mark.parametrize(("smallest", "selects"), [(5, True), (4, False), (1, False)])
def test_a_class_of_under_five_cases_leaves_nothing_to_choose_by(smallest: int, selects: bool) -> None:
    train, test = parts()
    rare = torch.nonzero(train.target == 2).flatten()[smallest:]
    left = torch.ones(len(train), dtype=torch.bool)
    left[rare] = False
    splits = ours(train.select(torch.nonzero(left).flatten()), test, "channel")
    assert splits.selects == selects
    assert any("no epoch is chosen, the last one counts" in note for note in splits.notes) == (not selects)


@pytest.mark.parametrize("cases", [[0, 1, 2], [0, 0, 0, 1]])
def test_where_nothing_can_be_held_out_the_training_part_is_validation_and_chooses_nothing(cases: list[int]) -> None:
    train, test = parts()
    splits = ours(train.select(torch.tensor(cases)), test, "channel")
    assert len(splits.train) == len(splits.validation) == len(cases)
    assert not splits.selects
    assert ("train", "validation") in splits.shared
    assert any("validation is the training part" in note for note in splits.notes)


def test_a_channel_that_the_fitting_part_does_not_know_is_zero_everywhere() -> None:
    train, test = parts()
    train.values[..., 1] = torch.nan
    splits = ours(train, test, "channel")
    assert splits.refit is not None
    assert not splits.refit.test.batch(torch.arange(len(test))).inputs[..., 1].any()
    assert splits.refit.test.batch(torch.arange(len(test))).inputs[..., 0].any()


# ---------------------------------------------------------------- what TEST may choose, and what is in two splits


def test_test_selected_chooses_by_test_and_says_so() -> None:
    train, test = parts()
    splits = classification_splits(train, test, LABELS, "test-selected")
    assert splits.validation is splits.test
    assert splits.selects
    assert splits.refit is None
    assert ("validation", "test") in splits.shared
    assert any(note.startswith("test-selected: TEST chose the epoch") for note in splits.notes)
    honest = ours(train, test, "channel")
    assert honest.refit is not None
    assert equal(splits.train, honest.refit.train), "both protocols end in a fit to the same cases"  # type: ignore[arg-type]
    assert equal(splits.test, honest.refit.test)  # type: ignore[arg-type]


def with_copies() -> tuple[SeriesSamples, SeriesSamples]:
    """Two cases of TEST are in TRAIN, one of them under another label; six cases of TRAIN are there twice."""
    train, test = (samples.select(torch.arange(60)) for samples in parts())
    values, lengths, target = test.values.clone(), test.steps.clone(), test.target.clone()
    values[:2], lengths[:2], target[0] = train.values[:2], train.steps[:2], (train.target[0] + 1) % 3
    target[1] = train.target[1]
    return train.select(torch.cat([torch.arange(60), torch.arange(6)])), SeriesSamples(values, target, lengths)


@pytest.mark.parametrize("scaling", SCALINGS)
def test_copies_in_test_are_told(scaling: str) -> None:
    train, test = with_copies()
    splits = ours(train, test, scaling)
    told = [note for note in splits.notes if "test samples occur in" in note]
    assert len(told) == 1
    assert "2 of 60 test samples occur in train (1 with the same label)" in told[0]
    assert ("train", "test") in splits.shared
    assert ("train", "validation") not in splits.shared, "copies within TRAIN are kept on one side"
    selected = classification_splits(train, test, LABELS, "test-selected", scaling)
    assert {("train", "test"), ("validation", "test")} <= selected.shared
    assert sum("test samples occur in" in note for note in selected.notes) == 1


def test_keys_are_equal_for_copies_only() -> None:
    values = torch.tensor([[[1.0], [0.0]], [[1.0], [0.0]], [[1.0], [0.0]], [[1.0], [2.0]]])
    samples = SeriesSamples(values, torch.tensor([0, 1, 0, 1]), torch.tensor([2, 2, 1, 2]))
    first, second, shorter, other = samples.keys()
    assert first == second, "labels do not count"
    assert len({first, shorter, other}) == 3, "a step of 0 is no padding"
    wider = replace(samples, values=torch.nn.functional.pad(values, (0, 0, 0, 3)))
    assert wider.keys() == samples.keys(), "padding does not count"
