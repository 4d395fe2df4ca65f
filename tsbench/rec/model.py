"""What models of recommendation share."""

from __future__ import annotations

from typing import ClassVar

from torch import Tensor

from tsbench.data import Batch
from tsbench.inputs import Histories
from tsbench.model import Model
from tsbench.rec.metrics import top
from tsbench.tasks.next_item import NextItem


class Recommender(Model):
    """A model that scores items: `predict(batch)` gives `(batch, item)`; those in no list get UNLISTED.

    Items of the history need no attention: the task bars them if the protocol does.
    """

    inputs: ClassVar = (Histories,)
    tasks: ClassVar = (NextItem,)

    def lists(self, batch: Batch, scores: Tensor, size: int) -> Tensor:
        """The `size` best of what it made, best first, `(batch, size)` int64, before anything is barred; -1 is no item.

        Models whose output may be other than an item override it.
        """
        return top(scores, size)
