"""Motifs and intervals: against plain slow references, on planted shapes, and what must change nothing."""

from __future__ import annotations

import itertools
import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from tsbench.datasets.generated import SHAPE_STEPS, SHAPES, shapes
from tsbench.series.intervals import bounds, information, statistics, value_prior
from tsbench.series.motifs import (
    Motifs,
    find_motifs,
    match,
    matrix_profile,
    pick,
    shape_prior,
    standardised,
    subsequences,
    window_lengths,
)
from tsbench.series.samples import SeriesSamples

ALL = 10**6  # no subsequence is left out


def walks(
    cases: int = 6, time: int = 20, channels: int = 2, classes: int = 2, ragged: bool = True, seed: int = 0
) -> SeriesSamples:
    """Random walks, the classes in turns, of unequal lengths."""
    random = torch.Generator().manual_seed(seed)
    values = torch.randn(cases, time, channels, generator=random).cumsum(1)
    lengths = torch.randint(time // 2, time + 1, (cases,), generator=random) if ragged else None
    samples = SeriesSamples(values, torch.arange(cases) % classes, lengths)
    return SeriesSamples(values * samples.valid[..., None], samples.target, lengths)


def znorm(x: np.ndarray) -> np.ndarray:
    return (x - x.mean()) / x.std() if x.std() > 1e-9 else 0 * x


def slow_profile(
    series: list[np.ndarray], window: int, zone: int, standardise: bool
) -> tuple[list[tuple[int, int]], np.ndarray]:
    """One pair after another: places `(case, start)` and the distance of each to its nearest neighbour."""
    places = [(i, p) for i, s in enumerate(series) for p in range(len(s) - window + 1)]
    cut = [series[i][p : p + window] for i, p in places]
    cut = [znorm(x) for x in cut] if standardise else cut
    nearest = np.full(len(places), np.inf)
    for a, (i, p) in enumerate(places):
        for b, (j, q) in enumerate(places):
            if i != j or abs(p - q) > zone:
                nearest[a] = min(nearest[a], np.sqrt(np.mean((cut[a] - cut[b]) ** 2)))
    return places, nearest


@pytest.mark.parametrize("standardise", [True, False])
@pytest.mark.parametrize(("window", "block"), [(3, 2**22), (7, 100), (12, 1)])
def test_profile_against_every_pair(
    window: int, block: int, standardise: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tsbench.series.motifs.BLOCK", block)
    samples, zone = walks(), window // 2
    case, start = subsequences(samples, 1, window)
    x = samples.values[case[:, None], start[:, None] + torch.arange(window)].permute(2, 0, 1)
    distance, neighbour = matrix_profile(standardised(x)[0] if standardise else x, case, start, zone)
    for channel in range(2):
        mine = [1, 3, 5]
        series = [samples.values[i, : samples.steps[i], channel].double().numpy() for i in mine]
        places, slow = slow_profile(series, window, zone, standardise)
        assert [(mine[i], p) for i, p in places] == list(zip(case.tolist(), start.tolist(), strict=True))
        np.testing.assert_allclose(distance[channel].numpy(), slow, atol=2e-3)
        finite = distance[channel].isfinite()
        to = neighbour[channel][finite]
        assert ((case[to] != case[finite]) | ((start[to] - start[finite]).abs() > zone)).all()


def test_picks_go_up_and_keep_apart() -> None:
    samples, window = walks(8, 40, ragged=False), 8
    case, start = subsequences(samples, 0, window)
    x = standardised(samples.values[case[:, None], start[:, None] + torch.arange(window)].permute(2, 0, 1))[0]
    distance, neighbour = matrix_profile(x, case, start, window // 2)
    picked = pick(distance, neighbour, case, start, window // 2, 6)
    assert (picked[:, 0] == distance.argmin(1)).all()
    for row, (chosen, neighbours) in enumerate(zip(picked, neighbour.gather(1, picked), strict=True)):
        assert distance[row][chosen].diff().min() >= 0
        for i in range(6):
            for other in (*chosen[:i], *neighbours[:i]):
                assert case[chosen[i]] != case[other] or (start[chosen[i]] - start[other]).abs() > window // 2


def test_no_more_picks_than_places() -> None:
    samples = walks(2, 8, ragged=False)  # one case a class: six places of three steps, two of them apart and paired
    found = find_motifs(samples, 2, 3, 5, ALL, True, 0)
    assert 2 <= len(found.label) < 2 * 2 * 5
    assert len(find_motifs(samples, 2, 8, 5, ALL, True, 0).label) == 0  # a single subsequence has no neighbour


def test_a_constant_stretch_is_no_shape() -> None:
    samples = walks(4, 30, 1, 1, ragged=False)
    samples.values[:, :12] = 1.5
    found = find_motifs(samples, 1, 6, 3, ALL, True, 0)
    assert (found.shapes.std(1) > 0.01).all()
    raw = find_motifs(samples, 1, 6, 1, ALL, False, 0)
    assert torch.equal(raw.shapes, torch.full((1, 6), 1.5))


def test_planted_shapes_are_found_with_a_high_prior() -> None:
    samples = shapes()
    found = find_motifs(samples, 3, SHAPE_STEPS, 1, ALL, True, 0)
    prior = shape_prior(samples, found)
    planted = 3 * torch.tensor(np.stack(list(SHAPES.values()))).float()
    for label in range(3):
        (index,) = ((found.label == label) & (found.channel == 0)).nonzero()[:, 0].tolist()
        overlap = best_correlation(found.shapes[index], planted[label])
        assert overlap > 0.9
        assert prior[index] > prior[found.channel == 1].max() + 0.1  # which is noise
    assert prior[found.channel == 1].sub(0.5).abs().max() < 0.1


def best_correlation(shape: Tensor, planted: Tensor) -> float:
    """Of a shape with a planted one, that may be some steps before or after it."""
    step = len(planted) // 2
    padded = torch.nn.functional.pad(planted, (step, step))
    return max(
        float(np.corrcoef(shape, window)[0, 1]) for window in padded.unfold(0, len(shape), 1) if window.std() > 0
    )


def test_order_of_channels_changes_nothing() -> None:
    samples, order = walks(6, 24, 4), torch.tensor([2, 0, 3, 1])
    moved = SeriesSamples(samples.values[..., order], samples.target, samples.lengths)
    a, b = (find_motifs(s, 2, 5, 2, 30, True, 0) for s in (samples, moved))
    keys = [sorted(zip(*rows, strict=True)) for rows in (
        [m.label.tolist(), (m.channel if m is a else order[m.channel]).tolist(), m.case.tolist(), m.start.tolist()]
        for m in (a, b)
    )]  # fmt: skip
    assert keys[0] == keys[1]


def test_order_of_cases_changes_no_distance() -> None:
    """Of a pair either may be the motif: which one is as arbitrary as their order."""
    samples, order = walks(8, 24, 2), torch.randperm(8, generator=torch.Generator().manual_seed(1))

    def pairs(given: SeriesSamples, names: Tensor) -> set[frozenset[tuple[int, int]]]:
        case, start = subsequences(given, 0, 6)
        x = standardised(given.values[case[:, None], start[:, None] + torch.arange(6)].permute(2, 0, 1))[0]
        distance, neighbour = matrix_profile(x, case, start, 3)
        picked = pick(distance, neighbour, case, start, 3, 1)
        both = torch.cat([picked, neighbour.gather(1, picked)], 1)
        return {frozenset((int(names[case[i]]), int(start[i])) for i in row) for row in both}

    assert pairs(samples, torch.arange(8)) == pairs(samples.select(order), order)


def test_scale_and_offset_of_a_series_change_no_shape() -> None:
    samples = walks(6, 30, 2, ragged=False)
    random = torch.Generator().manual_seed(4)
    scale, offset = torch.rand(6, 1, 2, generator=random) * 5 + 0.2, torch.randn(6, 1, 2, generator=random) * 3
    moved = SeriesSamples(samples.values * scale + offset, samples.target)
    a, b = (find_motifs(s, 2, 6, 2, ALL, True, 0) for s in (samples, moved))
    assert torch.equal(a.case, b.case)
    assert torch.equal(a.start, b.start)
    raw = find_motifs(moved, 2, 6, 2, ALL, False, 0)
    assert not (torch.equal(a.case, raw.case) and torch.equal(a.start, raw.start))
    near, far = (match(s.values, s.steps, a.shapes, a.channel, standardise=True) for s in (samples, moved))
    torch.testing.assert_close(near[1], far[1], atol=5e-3, rtol=0)


def test_a_motif_is_where_it_says_and_within_its_case() -> None:
    samples = walks(9, 20, 3, 3)
    for window in (3, 6, 10):
        found = find_motifs(samples, 3, window, 2, ALL, True, 0)
        assert len(found.label)
        assert torch.equal(samples.target[found.case], found.label)
        assert (found.start + window <= samples.steps[found.case]).all()
        for i in range(len(found.label)):
            part = slice(int(found.start[i]), int(found.start[i]) + window)
            assert torch.equal(samples.values[found.case[i], part, found.channel[i]], found.shapes[i])


def test_the_budget_bounds_what_is_compared() -> None:
    samples = walks(20, 50, 2, 1, ragged=False)
    a, b = (find_motifs(samples, 1, 5, 40, 30, True, seed) for seed in (0, 1))
    assert len(a.label) <= 2 * 30
    places = [set(zip(m.case.tolist(), m.start.tolist(), strict=True)) for m in (a, b)]
    assert len(places[0] | places[1]) > 30  # another seed draws others
    again = find_motifs(samples, 1, 5, 40, 30, True, 0)
    assert torch.equal(a.case, again.case)
    assert torch.equal(a.start, again.start)


@settings(deadline=None, max_examples=25)
@given(st.integers(0, 99), st.integers(1, 8), st.booleans(), st.booleans())
def test_match_against_every_place(seed: int, window: int, standardise: bool, small: bool) -> None:
    samples = walks(5, 16, 2, seed=seed)
    torch.manual_seed(seed)
    form, channel = torch.randn(4, window), torch.tensor([0, 1, 1, 0])
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("tsbench.series.motifs.BLOCK", 64 if small else 2**22)
        start, distance = match(samples.values, samples.steps, form, channel, standardise)
    change = znorm if standardise else (lambda x: x)
    for i in range(5):
        for m in range(4):
            series = samples.values[i, : samples.steps[i], channel[m]].double().numpy()
            wanted = [
                np.sqrt(np.mean((change(series[p : p + window]) - change(form[m].double().numpy())) ** 2))
                for p in range(len(series) - window + 1)
            ]
            assert distance[i, m].item() == pytest.approx(min(wanted), abs=5e-3)
            assert wanted[start[i, m]] == pytest.approx(min(wanted), abs=5e-3)


@pytest.mark.parametrize("standardise", [True, False])
def test_a_level_far_from_zero_changes_no_motif_and_no_match(standardise: bool) -> None:
    samples, level = walks(6, 30, 2), torch.tensor([1e4, -1e4])
    plain = replace(samples, values=(samples.values * 64).round() / 64)  # so that levels are added without rounding
    moved = replace(plain, values=(plain.values + level) * plain.valid[..., None])
    found, there = (find_motifs(s, 2, 8, 2, ALL, standardise, 0) for s in (plain, moved))
    assert torch.equal(found.case, there.case)
    assert torch.equal(found.start, there.start)
    start, distance = match(moved.values, moved.steps, there.shapes, there.channel, standardise)
    change = znorm if standardise else (lambda x: x)
    for i, steps in enumerate(plain.steps):
        for m, channel in enumerate(found.channel):
            parts = plain.values[i, :steps, channel].double().unfold(0, 8, 1).numpy()
            form = change(found.shapes[m].double().numpy())
            wanted = [np.sqrt(np.mean((change(part) - form) ** 2)) for part in parts]
            assert start[i, m] == np.argmin(wanted)
            assert distance[i, m].item() == pytest.approx(min(wanted), abs=2e-3)


def test_no_match_in_what_is_too_short_or_padding() -> None:
    x = torch.zeros(2, 9, 1)
    x[:, 6:] = 5.0  # beyond the true length of the second series
    form, channel = torch.full((1, 3), 5.0), torch.zeros(1, dtype=torch.int64)
    start, distance = match(x, torch.tensor([9, 6]), form, channel)
    assert (start[0, 0].item(), distance[0, 0].item()) == (6, 0)
    assert start[1, 0] + 3 <= 6
    assert distance[1, 0] == 5
    for steps in (2, 0):
        assert match(x[:, :2], torch.tensor([steps, 2]), form, channel)[1].isinf().all()


def test_prior_against_its_definition() -> None:
    samples = walks(7, 16, 2, 3)
    found = find_motifs(samples, 3, 4, 2, ALL, True, 0)
    distance = match(samples.values, samples.steps, found.shapes, found.channel)[1]
    for m, prior in enumerate(shape_prior(samples, found).tolist()):
        own = [distance[i, m].item() for i in range(7) if samples.target[i] == found.label[m] and i != found.case[m]]
        other = [distance[i, m].item() for i in range(7) if samples.target[i] != found.label[m]]
        within, between = np.mean(own), np.mean(other)
        assert prior == pytest.approx(between / (within + between), rel=1e-4)


def test_a_class_of_one_case_has_a_prior_that_says_nothing() -> None:
    samples = walks(2, 30, 1, 2, ragged=False)
    assert shape_prior(samples, find_motifs(samples, 2, 4, 2, ALL, True, 0)).tolist() == [0.5] * 4


@pytest.mark.parametrize(
    ("length", "windows"),
    [(100, (10, 20, 30)), (8, (3,)), (29, (3, 5, 8)), (2, (2,)), (206, (10, 20, 41)), (1000, (50, 100, 200)),
     (17984, (50, 100, 200)), (22, (3, 4, 6)), (1, (1,))],
)  # fmt: skip
def test_windows_follow_the_rule(length: int, windows: tuple[int, ...]) -> None:
    assert window_lengths(length) == windows


def test_best_keeps_the_highest_prior_in_order() -> None:
    count = torch.arange(5)
    motifs = Motifs(torch.randn(5, 3), count, count, count, count, torch.tensor([0.2, 0.9, 0.1, 0.9, 0.5]))
    assert motifs.best(3).case.tolist() == [1, 3, 4]
    assert motifs.best(9).case.tolist() == [0, 1, 2, 3, 4]


# ---------------------------------------------------------------- intervals


def test_intervals_cover_each_series_and_statistics_are_numpys() -> None:
    samples, granularities = walks(6, 23, 2), (1, 2, 4, 8)
    first, end = bounds(samples.steps, granularities)
    found = statistics(samples.values, samples.steps, granularities)
    for i, steps in enumerate(samples.steps.tolist()):
        place = 0
        for g in granularities:
            edges = [(int(first[i, place + k]), int(end[i, place + k])) for k in range(g)]
            assert edges[0][0] == 0
            assert edges[-1][1] == steps
            assert all(a[1] == b[0] for a, b in itertools.pairwise(edges))
            for k, (a, b) in enumerate(edges):
                for channel in range(2):
                    x = samples.values[i, a:b, channel].double().numpy()
                    rise = np.polyfit(np.arange(b - a), x, 1)[0] * (b - a) if b - a > 1 else 0.0
                    np.testing.assert_allclose(
                        found[i, channel, place + k].numpy(), [x.mean(), x.std(), rise], atol=1e-4
                    )
            place += g


def test_an_interval_without_a_step_is_empty_and_zero() -> None:
    x = torch.randn(1, 3, 1)
    first, end = bounds(torch.tensor([3]), (8,))
    found = statistics(x, torch.tensor([3]), (8,))
    assert int((end > first).sum()) == 3
    assert (found[0, 0][(end == first)[0]] == 0).all()
    assert found.isfinite().all()


def test_information_against_counts() -> None:
    random = np.random.default_rng(0)
    place, target = random.integers(0, 4, (3, 50)), random.integers(0, 3, 50)
    place[1] = target  # tells all
    place[2] = 2  # tells nothing
    known = random.random(50) < 0.8
    found = information(torch.tensor(place), torch.tensor(target), torch.tensor(known), 4, 3).tolist()
    y = target[known]

    def entropy(labels: np.ndarray) -> float:
        p = np.bincount(labels) / len(labels)
        return float(-(p[p > 0] * np.log(p[p > 0])).sum())

    bins = place[0][known]
    left = sum(entropy(y[bins == b]) * (bins == b).mean() for b in np.unique(bins))
    assert found == pytest.approx([1 - left / entropy(y), 1, 0], abs=1e-5)


def test_value_prior_finds_the_interval_that_tells() -> None:
    samples = walks(60, 16, 2, 3, ragged=False)
    samples.values[:] = torch.randn(60, 16, 2, generator=torch.Generator().manual_seed(0))
    samples.values[:, 8:, 1] += 4 * samples.target[:, None]
    prior, edges = value_prior(samples, 3, (2,), 8)
    assert prior.shape == (2, 2)
    assert edges.shape == (2, 2, 3, 7)
    assert prior.flatten().argmax() == 3  # second half of the second channel
    assert prior[1, 1] > 0.8  # the classes do not end where bins end
    assert prior.flatten()[:3].max() < 0.4
    assert (edges.diff(dim=-1) >= 0).all()


def test_value_prior_of_one_class_and_of_empty_intervals_is_zero() -> None:
    samples = SeriesSamples(torch.randn(4, 3, 1), torch.zeros(4, dtype=torch.int64))
    assert value_prior(samples, 1, (1, 2), 8)[0].tolist() == [[0, 0, 0]]
    both = SeriesSamples(torch.randn(4, 3, 1), torch.arange(4) % 2)
    prior, edges = value_prior(both, 2, (8,), 8)
    assert int((prior == 0).sum()) >= 5
    assert edges.isfinite().all()
    assert math.isfinite(prior.sum())
