"""Do ranks change with the seed? Ranks, Kendall's W and words against hand-made scores and definitions."""

from __future__ import annotations

import numpy as np
import pytest

from tests.made import classified
from tsbench.report import terminal
from tsbench.stability import Stability, stability
from tsbench.summary import boards


def found(scores: dict[str, list[float] | float], higher_is_better: bool = False) -> Stability:
    """Stability of scores of seeds 1, 2, 3 ..."""
    by_seed = {m: dict(enumerate(s, 1)) if isinstance(s, list) else s for m, s in scores.items()}
    result = stability(by_seed, higher_is_better)
    assert result is not None
    return result


def test_the_first_model_differs_by_seed() -> None:
    result = found({"dlinear": [1, 1, 1, 3, 3], "nlinear": [2, 2, 2, 2, 2], "linear": [9, 9, 9, 9, 9]})
    assert result.ranks == {"dlinear": [1, 1, 1, 2, 2], "nlinear": [2, 2, 2, 1, 1], "linear": [3, 3, 3, 3, 3]}
    first, moving = result.words
    assert first == "the best model differs by seed: dlinear in 3 of 5, nlinear in 2"
    assert moving.startswith("ranks that change with the seed: dlinear 1 to 2, nlinear 1 to 2; Kendall's W = 0.76 (1:")


def test_lower_ranks_that_change_are_told_apart_from_the_first() -> None:
    result = found({"a": [5, 6, 7], "b": [4, 3, 4], "c": [3, 4, 3]}, higher_is_better=True)
    assert result.words[0] == "a ranks first with each of 3 seeds"
    assert "b 2 to 3, c 2 to 3" in result.words[1]


def test_ranks_that_stay_are_said_to_stay() -> None:
    assert found({"a": [1.0, 1.1], "b": [2.0, 2.1]}).words == ["no rank changes with the seed (2 seeds)"]
    assert found({"a": [1.0, 1.0], "b": [1.0, 1.0]}).ranks == {"a": [1, 1], "b": [1, 1]}


def test_equal_scores_share_the_better_rank_and_both_count_as_first() -> None:
    result = found({"a": [1.0, 1.0, 2.0], "b": [1.0, 2.0, 1.0], "c": [3.0, 3.0, 3.0]})
    assert result.ranks == {"a": [1, 1, 2], "b": [1, 2, 1], "c": [3, 3, 3]}
    assert result.words[0].endswith("a in 2 of 3, b in 2 (where scores are equal, all count)")


@pytest.mark.parametrize("step", [0.0, 0.5])  # the latter makes ties
def test_agreement_is_kendalls_w_by_its_definition(step: float) -> None:
    """Without ties W is (1 + (m - 1) rho) / m, rho being the mean Spearman correlation of all pairs of seeds (Kendall
    and Smith 1939); with ties, 12 S / (m^2 (n^3 - n) - m T), S of summed ranks and T of ties (Siegel 1956)."""
    table = np.random.default_rng(3).normal(size=(6, 4)) + np.arange(6)[:, None] / 2
    table = np.round(table / step) * step if step else table
    result = found({name: row.tolist() for name, row in zip("abcdef", table, strict=True)})
    assert result.agreement is not None
    if step:
        from scipy.stats import rankdata

        ranks = rankdata(table, axis=0)  # (model, seed)
        ties = sum((n**3 - n) for column in ranks.T for n in np.unique(column, return_counts=True)[1])
        squares = ((ranks.sum(1) - ranks.sum() / 6) ** 2).sum()
        assert result.agreement == pytest.approx(12 * squares / (4**2 * (6**3 - 6) - 4 * ties))
    else:
        from scipy.stats import spearmanr

        rho = spearmanr(table).statistic[np.triu_indices(4, 1)].mean()
        assert result.agreement == pytest.approx((1 + 3 * rho) / 4)


def test_agreement_of_the_same_order_is_one_and_of_opposite_ones_nought() -> None:
    same = found({name: [i, i, i] for i, name in enumerate("abcd")})
    turned = found({name: [float(i), float(-i)] for i, name in enumerate("abcd")})
    assert same.agreement == pytest.approx(1)
    assert turned.agreement == pytest.approx(0)
    assert found({"a": [1, 2], "b": [2, 1]}).agreement is None, "two models have an order, no agreement"
    assert found({name: [1.0, 1.0] for name in "abc"}).agreement is None


def test_only_common_seeds_count_and_a_model_without_seeds_meets_all() -> None:
    result = stability({"a": {1: 0.1, 2: 0.3, 7: 0.0}, "b": {2: 0.2, 1: 0.2, 9: 0.0}, "ols": 0.25}, False)
    assert result is not None
    assert result.seeds == [1, 2]
    assert result.ranks == {"a": [1, 3], "b": [2, 1], "ols": [3, 2]}
    assert stability({"a": {1: 0.1, 2: 0.2}, "b": {3: 0.1, 4: 0.2}}, False) is None, "no seed in common"
    assert stability({"a": {1: 0.1}, "b": {1: 0.2}}, False) is None, "one seed says nothing"
    assert stability({"a": {1: 0.1, 2: 0.2}}, False) is None
    assert stability({"ols": 0.1, "repeat": 0.2}, False) is None
    assert stability({}, False) is None


def test_a_table_says_in_one_line_who_is_first_how_often() -> None:
    scores = {"dlinear": [0.9, 0.9, 0.5], "nlinear": [0.7, 0.7, 0.7], "constant": [0.2]}
    (board,) = boards([classified(m, s, v) for m, values in scores.items() for s, v in enumerate(values, 1)])
    assert board.stability is not None
    assert board.stability.ranks["constant"] == [3, 3, 3], "no seed changes it, so one run is enough"
    said = [line.strip() for line in terminal([board], []).splitlines()]
    assert "the best model differs by seed: dlinear in 2 of 3, nlinear in 1" in said
    (alone,) = boards([classified("dlinear", s, 0.5) for s in (1, 2)])
    assert alone.stability is None
    assert "seeds)" not in terminal([alone], [])
