"""Is a difference real? Paired tests between models."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations

LEAST_UNITS = 6  # with fewer, no two-sided Wilcoxon test can reach p < 0.05


@dataclass(frozen=True)
class Comparison:
    """A paired test of two models.

    Attributes:
        p: two-sided, corrected for all comparisons made together; None if there are too few units.
        wins: units on which `first` is better.
    """

    first: str
    second: str
    p: float | None
    wins: int
    units: int

    @property
    def words(self) -> str:
        """The finding in words."""
        if self.p is None:
            return f"not tested: too few units ({self.units}), or different ones"
        if self.p >= 0.05:
            return f"no significant difference (p = {self.p:.2g})"
        return f"significant (p = {self.p:.2g})"


def compare(units: Mapping[str, Sequence[float]], higher_is_better: bool) -> list[Comparison]:
    """Wilcoxon signed-rank test of every pair of models over their common units, Holm-corrected.

    Args:
        units: model -> one score for each unit, in the same order for all.
        higher_is_better: the direction of the scores.
    """
    pairs = list(combinations(units, 2))
    raw = [_wilcoxon(units[a], units[b]) for a, b in pairs]
    corrected = holm([p for p in raw if p is not None])
    found = []
    for (a, b), p in zip(pairs, raw, strict=True):
        wins = sum(x > y if higher_is_better else x < y for x, y in zip(units[a], units[b], strict=False))
        found.append(Comparison(a, b, None if p is None else corrected.pop(0), wins, len(units[a])))
    return found


def _wilcoxon(a: Sequence[float], b: Sequence[float]) -> float | None:
    from scipy.stats import wilcoxon

    if len(a) != len(b) or len(a) < LEAST_UNITS:
        return None
    if all(x == y for x, y in zip(a, b, strict=True)):
        return 1.0
    return float(wilcoxon(a, b, zero_method="pratt").pvalue)


def holm(p_values: Sequence[float]) -> list[float]:
    """Holm's step-down correction (Holm 1979), in the order given.

    >>> holm([0.01, 0.04, 0.03])
    [0.03, 0.06, 0.06]
    """
    order = sorted(range(len(p_values)), key=lambda i: p_values[i])
    corrected = [0.0] * len(p_values)
    highest = 0.0
    for position, i in enumerate(order):
        highest = max(highest, min(1.0, (len(p_values) - position) * p_values[i]))
        corrected[i] = highest
    return corrected
