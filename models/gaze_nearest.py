"""Nearest neighbour: the next object is the nearest one not yet looked at."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from tsbench.data import Batch
from tsbench.gaze.floors import Floor, among, least, offsets, unseen

GRAIN = 1e-3  # of a unit: distances that differ by less count as equal


class GazeNearest(Floor):
    """Paths start nearest to the centre, go to the nearest object not yet seen, and end at a target or as drawn.

    Near is measured on the screen; of equally near objects the first is taken. As a distribution: softmax of minus
    distance over objects not yet seen; `learned` is its scale in units of the display, by maximum likelihood. Where to
    end it is told by the target, even if that is hidden from other models.
    """

    told = "the target"
    stops = True
    source = "nearest unvisited neighbour; ends by oracle at a target, else by the lengths of the training paths"

    def learn(self, batches: Sequence[Batch]) -> None:
        """The scale under which training fixations on unseen objects are most likely."""

        def cost(scale: float) -> float:
            self.learned = torch.tensor(scale)
            return self.surprise(batches)

        self.learned = torch.tensor(least(cost, 0.02, 50.0))

    def choice(self, batch: Batch, last: Tensor, seen: Tensor) -> Tensor:
        """The nearer the likelier, `(batch, step, token)`."""
        return among(-distances(batch, last) / self.learned.to(batch.inputs), unseen(batch, seen))

    def pick(self, batch: Batch, last: Tensor, seen: Tensor) -> Tensor:
        """The nearest, for certain."""
        distance = (distances(batch, last) / GRAIN).round().masked_fill(~unseen(batch, seen), torch.inf)
        return torch.full_like(distance, -torch.inf).scatter(2, distance.argmin(2, keepdim=True), 0.0)


def distances(batch: Batch, last: Tensor) -> Tensor:
    """From the last object to each on the screen, `(batch, step, token)`, in units: px over their mean of both axes."""
    unit = batch.more["unit"]
    return (offsets(batch, last) * (unit / unit.mean(1, keepdim=True))[:, None, None]).norm(dim=-1)
