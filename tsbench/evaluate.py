"""Score a model on samples, block by block, keeping no predictions."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor

from tsbench.data import Samples
from tsbench.tasks.task import Scores

if TYPE_CHECKING:
    from tsbench.model import Model

#: Values handled at once: blocks that stay in cache, however wide or long a sample is.
BLOCK_VALUES = 2**21


@torch.no_grad()
def score(model: Model, samples: Samples, order: Tensor | None = None) -> Scores:
    """The task's metrics of `model` over `samples` (all of them in order, or those in `order`).

    The block size depends on the samples only, so a score does not depend on the training batch size.
    """
    if order is None:
        order = torch.arange(len(samples))
    meter = model.task.meter()
    for indices in order.split(max(1, BLOCK_VALUES // samples.elements)):
        batch = samples.batch(indices)
        meter.update(model.predict(batch), batch)
    scores: Scores = meter.scores()
    return scores
