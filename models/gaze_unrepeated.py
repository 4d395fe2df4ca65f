"""Random without repeats: a perfect memory, no knowledge, and a search that ends when it finds the target."""

from __future__ import annotations

from torch import Tensor

from tsbench.data import Batch
from tsbench.gaze.floors import Floor, uniformly, unseen


class GazeUnrepeated(Floor):
    """A uniform choice among objects not yet seen, until a target is fixated, or all of several.

    It is told the target at every fixation, so that it stops where it should: an oracle in this, even where the
    target is hidden from other models. Where nothing is searched for it ends when all objects were seen. As all paths
    that are made, its own are no longer than the longest training path.
    """

    told = "the target"
    stops, limited = True, False
    source = "random search without replacement; ends by oracle at a target"

    def choice(self, batch: Batch, last: Tensor, seen: Tensor) -> Tensor:
        """The same for all objects not yet seen, `(batch, step, token)`."""
        return uniformly(unseen(batch, seen))
