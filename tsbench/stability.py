"""Do ranks change with the seed? A model that is first with one seed may not be with the next."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Stability:
    """Ranks of models with each seed that all of them share.

    Attributes:
        ranks: variant -> its rank with each of `seeds`, 1 being best; equal scores share the better rank.
        agreement: Kendall's W of the ranks, 1 if they are the same with each seed and 0 if seeds have nothing in
            common; None for two models, or if scores are all equal.
    """

    seeds: list[int]
    ranks: dict[str, list[int]]
    agreement: float | None

    @property
    def words(self) -> list[str]:
        """Whether the first model changes with the seed, and if ranks do, which."""
        moving = {variant: ranks for variant, ranks in self.ranks.items() if len(set(ranks)) > 1}
        if not moving:
            return [f"no rank changes with the seed ({len(self.seeds)} seeds)"]
        between = ", ".join(f"{variant} {min(ranks)} to {max(ranks)}" for variant, ranks in moving.items())
        measured = "" if self.agreement is None else f"; Kendall's W = {self.agreement:.2f} (1: none changes)"
        return [self._first, f"ranks that change with the seed: {between}{measured}"]

    @property
    def _first(self) -> str:
        """Who is first how often, the most frequent before others."""
        firsts = Counter(variant for variant, ranks in self.ranks.items() for rank in ranks if rank == 1)
        (often, times), *others = firsts.most_common()
        if not others:
            return f"{often} ranks first with each of {len(self.seeds)} seeds"
        rest = "".join(f", {variant} in {count}" for variant, count in others)
        shared = " (where scores are equal, all count)" if firsts.total() > len(self.seeds) else ""
        return f"the best model differs by seed: {often} in {times} of {len(self.seeds)}{rest}{shared}"


def stability(scores: Mapping[str, Mapping[int, float] | float], higher_is_better: bool) -> Stability | None:
    """Ranks with each common seed; None for fewer than two models or common seeds, or if no model has seeds.

    Args:
        scores: variant -> seed -> score, or the score alone of a model that no seed changes.
        higher_is_better: the direction of the scores.
    """
    from scipy.stats import rankdata

    seeded = [by_seed for by_seed in scores.values() if isinstance(by_seed, Mapping)]
    seeds = sorted(set.intersection(*(set(by_seed) for by_seed in seeded))) if seeded else []
    if len(scores) < 2 or len(seeds) < 2:
        return None
    table = np.array([[s[k] if isinstance(s, Mapping) else s for k in seeds] for s in scores.values()])  # (model, seed)
    badness = (-table if higher_is_better else table).round(12)
    ranks = rankdata(badness, method="min", axis=0).astype(int).tolist()
    return Stability(seeds, dict(zip(scores, ranks, strict=True)), _kendall(badness))


def _kendall(badness: np.ndarray) -> float | None:
    """Kendall's W (1939), corrected for ties, of `(model, seed)`: Friedman's statistic over its largest value."""
    from scipy.stats import friedmanchisquare

    models, seeds = badness.shape
    if models < 3 or (badness == badness[0]).all():
        return None
    return float(friedmanchisquare(*badness).statistic / (seeds * (models - 1)))
