"""GC content: ridge regression on the share of G and C in each sequence, the least that a sequence model must beat."""

from __future__ import annotations

from torch import Tensor

from tsbench.data import Batch
from tsbench.models.kmer_ridge import FeatureRidge
from tsbench.rna.sequences import LETTERS


class GCRidge(FeatureRidge):
    """Prediction = w (GC content) + b; of a pair, both contents."""

    def features(self, batch: Batch) -> Tensor:
        """GC content of each sequence, `(batch, sequences)`."""
        valid = batch.real
        strong = (batch.inputs == LETTERS.index("G")) | (batch.inputs == LETTERS.index("C"))
        return (strong & valid).sum(-1) / valid.sum(-1).clamp(min=1)
