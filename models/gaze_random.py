"""Random objects: each as likely as any other, at every step."""

from __future__ import annotations

from torch import Tensor

from tsbench.data import Batch
from tsbench.gaze.floors import Floor, present, uniformly


class GazeRandom(Floor):
    """A uniform choice among all objects, the last one included."""

    source = "uniform choice; lengths of the training paths"

    def choice(self, batch: Batch, last: Tensor, seen: Tensor) -> Tensor:
        """The same for all objects, `(batch, step, token)`."""
        return uniformly(present(batch)[:, None].expand_as(seen))
