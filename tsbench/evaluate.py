"""Score a model on samples, block by block, keeping no predictions."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor

from tsbench.data import Samples, like_size
from tsbench.errors import Diverged
from tsbench.tasks.task import Scores

if TYPE_CHECKING:
    from tsbench.model import Model


@torch.no_grad()
def score(model: Model, samples: Samples, order: Tensor | None = None, selecting: bool = False) -> Scores:
    """The task's metrics of `model` over `samples`: all of them, smallest first, or those in `order`.

    To select an epoch, drafts of predictions are enough; else the task may ask the model for more. Blocks depend
    on the model's kind and the samples only, so a score does not depend on the training batch size.
    """
    meter = model.task.meter()
    if order is None:
        blocks = like_size(samples.sizes, model.block_values)
    else:
        blocks = list(order.split(max(1, model.block_values // int(samples.sizes.max()))))
    for indices in blocks:
        batch = samples.batch(indices)
        prediction = model.draft(batch) if selecting else model.predict(batch)
        if not prediction.is_meta and not prediction.isfinite().all():  # argmax and ranks would hide it
            raise Diverged("predictions are not finite; try a lower lr or clip=1")
        meter.update(prediction if selecting else model.task.answer(model, prediction, batch), batch)
    scores: Scores = meter.scores()
    return scores
