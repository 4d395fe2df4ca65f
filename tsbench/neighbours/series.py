"""Labelled series: the labels of the most similar training series."""

from __future__ import annotations

import torch
from torch import Tensor

from tsbench.data import Batch
from tsbench.inputs import Series
from tsbench.neighbour import Neighbours
from tsbench.tasks.classification import Classification
from tsbench.tasks.multilabel import MultiLabel
from tsbench.tasks.regression import Regression

STEPS = 128  # to which series are resampled, at most


class NearestSeries(Neighbours):
    """All channels of a series, resampled to one length by linear interpolation between its first and last step."""

    tasks = (Classification, Regression, MultiLabel)
    inputs = (Series,)
    block_values = 2**18

    def describe(self, batch: Batch) -> Tensor:
        """`(batch, step * channel)`."""
        x, steps = batch.inputs, min(STEPS, self.task.inputs.length)
        last = (batch.steps.clamp(min=1) - 1)[:, None]
        places = torch.arange(steps, device=x.device) / max(1, steps - 1) * last  # (batch, step)
        before = places.floor().long()
        after = torch.minimum(before + 1, last)
        share = (places - before)[..., None]
        low, high = (x.gather(1, i[..., None].expand(-1, -1, x.shape[2])) for i in (before, after))
        return (low + share * (high - low)).flatten(1)
