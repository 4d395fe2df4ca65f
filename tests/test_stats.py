"""Tests between models against scipy, their definitions and aeon; comparison over data sets and its diagram."""

from __future__ import annotations

import xml.etree.ElementTree as ET
from typing import Any

import numpy as np
import pytest
from scipy.stats import bootstrap, rankdata, wilcoxon

from tests.made import classified
from tsbench import stats
from tsbench.critical import Contest, contest_text, contests, diagram
from tsbench.stats import (
    Comparison,
    average_ranks,
    bayes,
    compare,
    friedman,
    groups,
    holm,
    least_units,
    rank_biserial,
    seed_interval,
)
from tsbench.summary import boards

# Published accuracies on the archive split: Le et al. 2024 (ShapeFormer), Table 1, with many ties.
PUBLISHED = {
    "DTW_D": [0.987, 0.22, 0.975, 1.0, 0.964, 0.323, 0.53, 0.286, 0.717, 0.87, 0.883, 0.903],
    "WEASEL+MUSE": [0.99, 0.333, 1.0, 1.0, 1.0, 0.43, 0.49, 0.605, 0.727, 0.878, 0.87, 0.916],
    "MiniRocket": [0.992, 0.133, 1.0, 0.986, 1.0, 0.468, 0.55, 0.507, 0.771, 0.922, 0.928, 0.938],
    "TapNet": [0.987, 0.333, 1.0, 0.958, 0.971, 0.323, 0.53, 0.357, 0.751, 0.85, 0.939, 0.894],
    "SVP-T": [0.993, 0.4, 1.0, 1.0, 0.986, 0.331, 0.6, 0.433, 0.79, 0.883, 0.906, 0.941],
}


def test_ranks_friedman_and_wilcoxon_against_aeon() -> None:
    """Golden values: aeon 1.6.0, `_compute_ranks(x, False).mean(0)`, `check_friedman` and `wilcoxon_test`, whose
    one-sided p were doubled; the pair tested has no equal scores, of which aeon makes something else."""
    ranks = average_ranks(PUBLISHED, higher_is_better=True)
    expected = {
        "SVP-T": 1.95833333,
        "MiniRocket": 2.25,
        "WEASEL+MUSE": 2.875,
        "TapNet": 3.70833333,
        "DTW_D": 4.20833333,
    }
    assert list(ranks) == list(expected), "best first"
    assert ranks == pytest.approx(expected)
    assert friedman(PUBLISHED) == pytest.approx(0.0008238214873683492)
    (pair,) = compare({name: PUBLISHED[name] for name in ("DTW_D", "MiniRocket")}, higher_is_better=True)
    assert pair.p == pytest.approx(0.0341796875)
    assert pair.wins == 2


def test_all_pairs_against_aeon() -> None:
    """Golden values: aeon 1.6.0 as above, on `default_rng(0).normal(size=(12, 4)) + (0, 0.6, 1.2, 3)`."""
    table = np.random.default_rng(0).normal(size=(12, 4)) + np.array([0, 0.6, 1.2, 3])
    scores = dict(zip("abcd", table.T.tolist(), strict=True))
    ranks = average_ranks(scores, True)
    assert ranks == pytest.approx({"d": 1.0, "c": 2.4166666666666665, "b": 2.75, "a": 3.8333333333333335})
    assert friedman(scores) == pytest.approx(1.758104455140068e-06)
    golden = {"ab": 0.00244140625, "ac": 0.0009765625, "ad": 0.00048828125, "bc": 0.10986328125, "bd": 0.00048828125,
              "cd": 0.00048828125}  # fmt: skip
    pairs = compare(scores, True)
    corrected = dict(zip(golden, holm(list(golden.values())), strict=True))
    assert {c.first + c.second: c.p for c in pairs} == pytest.approx(corrected)
    assert groups(list(ranks), pairs) == [["c", "b"]]


def test_ranks_and_friedman_against_sktime() -> None:
    """Its test says only whether p is below alpha, so alpha is set close to ours; its ranks stand in its diagram."""
    from matplotlib import pyplot as plt
    from sktime.benchmarking.critical_difference import _check_friedman, plot_critical_difference

    plt.switch_backend("Agg")
    table = np.array(list(PUBLISHED.values())).T  # (data set, model)
    p, ranks = friedman(PUBLISHED), rankdata(-table, axis=1)
    assert _check_friedman(5, 12, ranks, alpha=p * (1 + 1e-9))
    assert not _check_friedman(5, 12, ranks, alpha=p * (1 - 1e-9))
    figure, axes = plot_critical_difference(table, list(PUBLISHED), is_errors=False, return_fig=True)
    drawn = {text.get_text() for text in axes.texts}
    plt.close(figure)
    ours = average_ranks(PUBLISHED, higher_is_better=True)
    assert {f"{rank:.4f}" for rank in ours.values()} | set(ours) < drawn


def test_holm_against_statsmodels_and_scikit_posthocs() -> None:
    """Golden values: statsmodels 0.15.0, `multipletests(p, method="holm")`; the same numbers come from scikit-posthocs
    0.17.1, `posthoc_wilcoxon(table.T, p_adjust="holm")`, of the table in `test_all_pairs_against_aeon`."""
    raw = [0.00244140625, 0.0009765625, 0.00048828125, 0.10986328125, 0.00048828125, 0.00048828125]
    golden = [0.0048828125, 0.0029296875, 0.0029296875, 0.10986328125, 0.0029296875, 0.0029296875]
    assert holm(raw) == pytest.approx(golden)
    table = np.random.default_rng(0).normal(size=(12, 4)) + np.array([0, 0.6, 1.2, 3])
    pairs = compare(dict(zip("abcd", table.T.tolist(), strict=True)), True)
    assert [pair.p for pair in pairs] == pytest.approx(golden)


def test_effect_against_pingouin() -> None:
    """Golden values: pingouin 0.7.0, `wilcoxon(x, y)["RBC"]`, of the same table; no units are equal."""
    table = np.random.default_rng(0).normal(size=(12, 4)) + np.array([0, 0.6, 1.2, 3])
    scores = dict(zip("abcd", table.T.tolist(), strict=True))
    for higher, sign in ((True, 1), (False, -1)):
        found = {c.first + c.second: c.effect for c in compare(scores, higher)}
        assert found["ab"] == pytest.approx(sign * -0.9230769230769231), "positive where the first is better"
        assert found["bc"] == pytest.approx(sign * -0.5384615384615385)


def test_effect_by_its_definition() -> None:
    """The share of favourable ranks minus that of unfavourable ones; ties of the two favour neither."""
    random = np.random.default_rng(5)
    differences = np.round(random.normal(size=60) * 2) / 2
    ranks = [sum(abs(d) > abs(e) for e in differences) + (sum(abs(d) == abs(e) for e in differences) + 1) / 2
             for d in differences]  # fmt: skip
    favourable, unfavourable = (sum(r for r, d in zip(ranks, s * differences, strict=True) if d > 0) for s in (1, -1))
    assert rank_biserial(differences) == pytest.approx((favourable - unfavourable) / sum(ranks))
    assert rank_biserial(np.arange(1.0, 9)) == 1
    assert rank_biserial(np.zeros(9)) == 0
    assert abs(rank_biserial(np.array([0.0] * 98 + [1.0, 1.0]))) < 0.05, "two of a hundred are no large effect"


@pytest.mark.parametrize(("effect", "words"), [(0.09, "negligible"), (-0.1, "small"), (0.3, "medium"), (-0.8, "large")])
def test_an_effect_in_words(effect: float, words: str) -> None:
    assert Comparison("a", "b", 0.5, 0, 9, effect=effect).effect_words == words
    assert Comparison("a", "b", None, 0, 3).effect_words == ""


def test_the_probability_of_being_better_against_baycomp() -> None:
    """Golden values: baycomp 1.0.3, `SignedRankTest.probs(x, y, nsamples=200_000, random_state=1)[0]`."""
    pairs = [("SVP-T", "MiniRocket"), ("SVP-T", "WEASEL+MUSE"), ("MiniRocket", "WEASEL+MUSE")]
    for (a, b), golden in zip(pairs, (0.44659, 0.806955, 0.80181), strict=True):
        found = bayes(np.subtract(PUBLISHED[a], PUBLISHED[b]))
        assert found == pytest.approx(golden, abs=4 * 0.5 / np.sqrt(stats.DRAWS))
        assert found + bayes(np.subtract(PUBLISHED[b], PUBLISHED[a])) == pytest.approx(1)
    table = np.random.default_rng(0).normal(size=(12, 4)) + np.array([0, 0.6, 1.2, 3])
    assert bayes(table[:, 1] - table[:, 2]) == pytest.approx(0.03632, abs=0.02)
    assert bayes(np.zeros(8)) == 0.5


def test_the_probability_of_being_better_by_brute_force() -> None:
    """One difference and the prior's 0: ahead are all pairs but that of the prior with itself, whatever the weights."""
    assert bayes(np.array([0.3])) == 1
    differences = np.array([0.5, -0.2, 0.1])
    random = np.random.default_rng(11)
    wins = 0
    for _ in range(4000):
        gamma = random.gamma([1, 1, 1, 0.5])
        weights, values = gamma / gamma.sum(), [*differences, 0.0]
        balance = sum(w * v * np.sign(x + y) for w, x in zip(weights, values, strict=True)
                      for v, y in zip(weights, values, strict=True))  # fmt: skip
        wins += balance > 0
    assert bayes(differences) == pytest.approx(wins / 4000, abs=0.04)


def test_a_probability_is_said_no_more_exactly_than_it_is_known() -> None:
    said = {c: Comparison("a", "b", 0.5, 0, 9, chance=c).chance_words for c in (0.0, 0.5, 0.873, 0.9999, None)}
    assert said == {0.0: "< 0.01", 0.5: "0.50", 0.873: "0.87", 0.9999: "> 0.99", None: ""}


@pytest.mark.parametrize("values", [[0.37, 0.39, 0.38], [1.0, 2.0, 3.0, 4.0, 10.0]])
def test_the_interval_over_seeds_is_that_of_all_resamples(values: list[float]) -> None:
    """Few enough to enumerate: all n^n resamples, instead of 2,000 of them."""
    means = np.mean(np.array(np.meshgrid(*[values] * len(values))).reshape(len(values), -1), axis=0)
    found, exact = seed_interval(values), np.quantile(means, (0.025, 0.975), method="inverted_cdf")
    assert found is not None
    assert found == pytest.approx(tuple(exact), abs=0.1 * means.std())
    assert seed_interval(values[:2]) is None
    assert seed_interval([0.4, 0.4, 0.4]) == pytest.approx((0.4, 0.4))


def test_the_interval_over_few_seeds_is_as_poor_as_its_docs_say() -> None:
    """Nominal 95 %, of normal values: docs/comparing.md names 76 % for three seeds and 84 % for five."""
    random = np.random.default_rng(0)
    for seeds, promised in ((3, 0.76), (5, 0.84)):
        samples = random.normal(size=(1000, seeds))
        held = bootstrap((samples,), np.mean, axis=1, method="percentile", n_resamples=1000, rng=1).confidence_interval
        assert np.mean((held.low < 0) & (held.high > 0)) == pytest.approx(promised, abs=0.03)


@pytest.mark.parametrize(
    ("a", "b", "words"),
    [
        ([1.0] * 8, [1.0] * 8, "no significant difference: equal in every unit"),
        ([1.0] * 5, [2.0] * 5, "not tested: too few units (5, of 6 needed)"),
        ([1.0] * 8, [1.0] * 7, "not tested: scored on different units"),
        ([1.0, 2.0] * 8, [2.0, 1.0] * 8, "no significant difference (p = 1)"),
        ([1.0] * 8, [2.0] * 8, "significant difference in favour of a (p = 0.0078)"),
        ([2.0] * 8, [1.0] * 8, "significant difference in favour of b (p = 0.0078)"),
    ],
)
def test_every_finding_is_said_in_words(a: list[float], b: list[float], words: str) -> None:
    (found,) = compare({"a": a, "b": b}, higher_is_better=False)
    assert found.words == words


def test_it_is_said_that_no_difference_could_have_been_found() -> None:
    scores = {name: [float(i)] * 7 for i, name in enumerate("abcd")}
    assert {c.words for c in compare(scores, True)} == {
        "no significant difference, nor could one be found with fewer than 8 units (p = 0.094, Holm-corrected over "
        "6 pairs)"
    }


def test_a_comparison_turned_round_is_that_of_the_other_order() -> None:
    random = np.random.default_rng(2)
    a, b = (np.round(random.random((2, 30)) * 4 + [[0.5], [0]]) / 4).tolist()
    (one,), (other,) = compare({"a": a, "b": b}, True), compare({"b": b, "a": a}, True)
    turned = one.turned
    for name in ("first", "second", "p", "wins", "ties", "units", "words"):
        assert getattr(turned, name) == getattr(other, name), name
    for name in ("difference", "interval", "better", "effect"):
        assert getattr(turned, name) == pytest.approx(getattr(other, name)), name
    assert one.wins + other.wins + one.ties == 30
    assert compare({"a": [1.0], "b": [2.0]}, True)[0].turned.p is None


@pytest.mark.parametrize(
    ("alike", "expected"),
    [
        ([(0, 1), (1, 2), (1, 3), (2, 3)], [[0, 1], [1, 2, 3]]),
        ([(0, 1), (0, 2), (1, 2), (3, 4)], [[0, 1, 2], [3, 4]]),
        ([(0, 1), (1, 2), (2, 3), (3, 4)], [[0, 1], [1, 2], [2, 3], [3, 4]]),
        ([], []),
        ([(0, 1), (0, 2)], [[0, 1]]),  # aeon joins all three, though the last two differ
    ],
)
def test_groups(alike: list[tuple[int, int]], expected: list[list[int]]) -> None:
    """All but the last as aeon 1.6.0's `_build_cliques` finds them in the same pairs."""
    names = "abcde"
    pairs = [Comparison(names[i], names[j], 0.5 if (i, j) in alike else 0.01, 0, 9) for j in range(5) for i in range(j)]
    assert groups(names, pairs) == [[names[i] for i in group] for group in expected]


def test_least_units_is_where_p_can_be_small_enough() -> None:
    for comparisons in (1, 3, 10, 28):
        for units, enough in ((least_units(comparisons), True), (least_units(comparisons) - 1, False)):
            p = float(wilcoxon(np.arange(1, units + 1)).pvalue)
            assert (p * comparisons < 0.05) == enough


@pytest.mark.parametrize("units", [6, 11, 40, 80])
@pytest.mark.parametrize("step", [0.0, 0.5])  # the latter makes ties and zeros
def test_wilcoxon_is_exact_with_ties(units: int, step: float) -> None:
    """scipy enumerates signs up to 13 units with ties; for 40 with ties it has the approximation only."""
    random = np.random.default_rng(units)
    a, b = random.normal(size=(2, units)) + np.array([[0.4], [0.0]])
    if step:
        a, b = (np.round(v / step) * step for v in (a, b))
    approximate = bool(step) and units == 40
    (found,) = compare({"a": a.tolist(), "b": b.tolist()}, False)
    assert found.p == pytest.approx(wilcoxon(a - b, zero_method="pratt").pvalue, rel=0.05 if approximate else 1e-9)


def test_equal_differences_are_ties_whatever_their_rounding() -> None:
    tenths = [(0.6, 0.4), (0.4, 0.2), (0.8, 0.6), (0.3, 0.1), (0.2, 0.4), (0.9, 0.7), (0.5, 0.3)]
    found, exact = (
        compare({"a": [a * k for a, _ in tenths], "b": [b * k for _, b in tenths]}, True)[0].p for k in (1.0, 80.0)
    )
    assert found == exact == pytest.approx(2 * 8 / 2**7)  # a sign test: 6 of 7


def test_holm_against_its_definition_and_wilcoxon_against_scipy() -> None:
    assert holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])
    random = np.random.default_rng(0)
    a, b = random.normal(size=30), random.normal(size=30) + 0.8
    (only,) = compare({"a": a.tolist(), "b": b.tolist()}, False)
    assert only.p == pytest.approx(wilcoxon(a, b, zero_method="pratt").pvalue)
    assert only.words.startswith("significant")
    same, few = (
        compare({"a": a.tolist(), "b": a.tolist()}, False)[0],
        compare({"a": [1.0, 2.0], "b": [2.0, 3.0]}, False)[0],
    )
    assert "no significant difference" in same.words
    assert "too few units" in few.words


@pytest.mark.parametrize("units", [6, 40, 300])
def test_the_bootstrap_is_that_of_scipy(units: int) -> None:
    """Within Monte-Carlo error: both draw anew, 2,000 and 20,000 resamples."""
    random = np.random.default_rng(units)
    a, b = random.normal(size=units), random.normal(size=units) + 2 / np.sqrt(units)
    (found,) = compare({"a": a.tolist(), "b": b.tolist()}, False)
    expected = bootstrap(
        (a, b), lambda x, y, axis: (x - y).mean(axis), paired=True, method="percentile", n_resamples=20_000, rng=1
    )
    error = expected.standard_error
    assert found.difference == pytest.approx((a - b).mean())
    assert found.interval is not None
    assert found.interval == pytest.approx(tuple(expected.confidence_interval), abs=0.2 * error)
    assert found.better == pytest.approx((expected.bootstrap_distribution < 0).mean(), abs=0.05)
    assert found.interval[0] < (a - b).mean() < found.interval[1]


def test_units_are_resampled_in_pairs() -> None:
    """Scores vary widely, differences hardly: an unpaired interval would hold 0."""
    random = np.random.default_rng(0)
    a = random.normal(size=50) * 10
    scores = {"a": a.tolist(), "b": (a - 0.1 - random.random(50) / 100).tolist(), "few": [1.0, 2.0]}
    pair, few, _ = compare(scores, True)
    assert pair.interval is not None
    assert 0.1 < pair.interval[0] < pair.interval[1] < 0.11
    assert pair.better == 1.0
    assert (few.difference, few.interval, few.better) == (None, None, None)


def test_the_bootstrap_is_the_same_from_either_side_and_a_tie_is_even() -> None:
    random = np.random.default_rng(1)
    a, b = (random.random((2, 30)) < [[0.5], [0.4]]).astype(float).tolist()
    (one,), (other,) = compare({"a": a, "b": b}, True), compare({"b": b, "a": a}, True)
    assert one.better is not None
    assert one.better + (other.better or 0) == pytest.approx(1)
    assert 0.5 < one.better < 1
    assert compare({"a": a, "b": b}, False)[0].better == pytest.approx(1 - one.better)
    (tie,) = compare({"a": a, "b": a}, True)
    assert (tie.difference, tie.interval, tie.better) == (0, (0, 0), 0.5)


@pytest.mark.parametrize("block", [1, 70, 10**6])
def test_resamples_are_whole_whatever_the_blocks(monkeypatch: pytest.MonkeyPatch, block: int) -> None:
    monkeypatch.setattr(stats, "BLOCK", block)
    weights = np.concatenate(list(stats._weights(7)))
    assert weights.shape == (stats.RESAMPLES, 7)
    assert (weights.sum(1) == 7).all()
    assert weights.mean(0) == pytest.approx(np.ones(7), abs=0.1)
    assert weights.var() == pytest.approx(6 / 7, abs=0.1)  # binomial: 7 draws, each with a chance of 1/7


def test_a_finding_says_over_how_many_pairs_it_is_corrected() -> None:
    random = np.random.default_rng(0)
    scores = {name: (random.normal(size=30) + i).tolist() for i, name in enumerate("abc")}
    assert all("Holm-corrected over 3 pairs)" in c.words for c in compare(scores, True))
    assert {c.words for c in compare({**scores, "few": [1.0]}, True) if c.p} == {c.words for c in compare(scores, True)}
    assert "Holm" not in compare({"a": scores["a"], "b": scores["b"]}, True)[0].words


def held(scores: dict[str, list[float]], **more: Any) -> list[Contest]:
    """The comparison of models over made data sets `uea/set0`, `uea/set1` ..."""
    results = [
        classified(model, 1, value, f"uea/set{i}", **more)
        for model, values in scores.items()
        for i, value in enumerate(values)
    ]
    return contests(boards(results))


def test_no_pair_is_called_different_where_friedman_finds_nothing() -> None:
    """One model always just below another, among five that change places: the pair alone would be significant."""
    random = np.random.default_rng(1)
    scores = {name: random.uniform(0.2, 0.9, 10).round(3).tolist() for name in "abcd"}
    scores["e"] = [value - 0.01 for value in scores["a"]]
    (contest,) = held(scores)
    pair = next(c for c in contest.pairs if {c.first, c.second} == {"a", "e"})
    assert pair.significant
    assert contest.friedman > 0.05
    assert contest.words(pair) == "not called different: Friedman's test finds nothing"
    (real,) = held(PUBLISHED)
    assert all(real.words(c) == c.words for c in real.pairs)


def test_a_row_has_the_latest_run_of_the_newest_code_of_each_seed() -> None:
    """Runs of older code count for nothing, even where they ended later than the same seed's run of the newest."""
    new = {"code": "new"}
    made = [
        classified("m", 1, 0.9) | {"code": "old", "finished": "2026-01-03"},
        classified("m", 1, 0.5) | new | {"finished": "2026-01-02"},
        classified("m", 2, 0.7) | new | {"finished": "2026-01-04"},
    ]
    (board,) = boards(made)
    assert board.rows[0].scores["accuracy"].values == (0.5, 0.7)


def test_a_contest_of_published_scores() -> None:
    (contest,) = held(PUBLISHED)
    assert contest.ranks == pytest.approx(average_ranks(PUBLISHED, True))
    assert contest.means["SVP-T"] == pytest.approx(np.mean(PUBLISHED["SVP-T"]))
    assert contest.friedman == pytest.approx(friedman(PUBLISHED))
    assert contest.groups == groups(list(contest.ranks), contest.pairs) != []
    text = contest_text(contest)
    assert "12 data sets" in text
    assert "Friedman test over 12 data sets: p = 0.00082" in text
    assert "SVP-T against MiniRocket: no significant difference (p = 1" in text
    lines = {line.split()[-1]: line.split() for line in text.splitlines()[2:7]}
    assert lines["SVP-T"][:2] == ["1.96", "0.7719"], "the first is compared with nobody"
    pair = next(c for c in contest.pairs if (c.first, c.second) == ("SVP-T", "TapNet"))
    assert lines["TapNet"] == ["3.71", "0.7411", ">", "0.99", f"{pair.effect:+.2f}", "TapNet"]
    assert pair.effect is not None
    assert pair.effect > 0.5, "positive, as the better ranked is the first"
    assert pair.chance == pytest.approx(bayes(np.subtract(PUBLISHED["SVP-T"], PUBLISHED["TapNet"])), abs=0.01)


def test_nothing_is_left_out_silently() -> None:
    scores = {**PUBLISHED, "slow": [0.5] * 3}
    results = [classified(m, 1, v, f"uea/set{i}") for m, values in scores.items() for i, v in enumerate(values)]
    results.append(classified("DTW_D", 1, 0.9, "generated/shapes", generated=True))
    (contest,) = contests(boards(results))
    assert "slow" not in contest.ranks
    assert "slow (in 3)" in contest_text(contest)
    assert "generated/shapes" in contest_text(contest)
    assert len(contest.datasets) == 12


def test_too_few_data_sets_are_ranked_but_not_tested() -> None:
    (contest,) = held({name: values[:4] for name, values in PUBLISHED.items()})
    assert len(contest.ranks) == 5
    assert contest.groups == []
    assert all(pair.p is None and pair.chance is None for pair in contest.pairs)
    assert "first is better" not in contest_text(contest)
    assert "no difference between two of 5 models can be tested: 9 data sets are needed" in contest_text(contest)
    few = {name: values[:4] for name, values in PUBLISHED.items()}
    assert held(few, generated=True) == []
    assert held({name: values[:2] for name, values in PUBLISHED.items()}) == []
    assert held({name: PUBLISHED[name] for name in ("DTW_D", "TapNet")}) == []


def test_models_that_share_no_data_sets_are_not_compared() -> None:
    results = [classified(m, 1, 0.5, f"uea/set{i}") for i, m in enumerate(("a", "b", "c"))]
    (contest,) = contests(boards(results))
    assert contest.ranks == {}
    assert "fewer than 3 models are in every table" in contest_text(contest)
    assert diagram(contest.ranks, contest.groups) == ""


def test_protocols_are_apart_and_test_selection_is_said() -> None:
    few = {name: values[:3] for name, values in PUBLISHED.items()}
    results = [
        classified(m, 1, v, f"uea/set{i}", protocol=protocol)
        for protocol in ("validation", "test-selected")
        for m, values in few.items()
        for i, v in enumerate(values)
    ]
    first, second = contests(boards(results))
    assert len(first.datasets) == len(second.datasets) == 3
    assert ["SELECTED ON TEST" in c.title for c in (first, second)] == [
        "test-selected" in c.title for c in (first, second)
    ]
    assert {"SELECTED ON TEST" in c.title for c in (first, second)} == {True, False}


def test_tables_of_one_file_are_one_data_set() -> None:
    files = [{"file": "uea/a.ts", "sha256": "0", "url": ""}]
    results = [
        classified(m, 1, 0.5 + 0.1 * i + j / 10, f"uea/set{i}", sources=files if i < 2 else [])
        for i in range(4)
        for j, m in enumerate("abc")
    ]
    (contest,) = contests(boards(results))
    assert contest.datasets == ["uea/set0 + uea/set1", "uea/set2", "uea/set3"]
    assert contest.means["a"] == pytest.approx(np.mean([0.55, 0.7, 0.8]))
    assert "count once" in contest_text(contest)


def test_of_two_tables_of_one_name_the_newest_counts() -> None:
    old = [classified(m, 1, 0.1, "uea/set0") for m in "abc"]
    new = [classified(m, 2, 0.5, f"uea/set{i}") for i in range(3) for m in "abc"]
    for result in old:
        result["data"]["digest"] = "other"
    (contest,) = contests(boards([*new, *old]))
    assert contest.means["a"] == 0.5
    assert "only the newest counts" in contest_text(contest)
    assert "newest" not in contest_text(contests(boards(new))[0])


def test_the_diagram_shows_ranks_names_and_bars() -> None:
    ranks = {"best": 1.2, "second": 2.0, "third": 3.1, "worst": 3.7}
    drawn = ET.fromstring(diagram(ranks, [["best", "second"], ["third", "worst"]]))
    texts = [t.text for t in drawn.iter("{http://www.w3.org/2000/svg}text")]
    assert {"best 1.20", "second 2.00", "3.10 third", "3.70 worst"} < set(texts)
    bars = [p.get("d", "") for p in drawn.iter("{http://www.w3.org/2000/svg}path") if p.get("stroke-width") == "3"]
    ends = [(float(b.split()[0][1:]), float(b.split("H")[1])) for b in bars]
    assert len(ends) == 2
    assert ends[0][0] > ends[1][1], "the best are at the right, and these bars do not touch"
