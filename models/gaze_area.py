"""Area: large objects are looked at more, in proportion to their area; what stands for saliency where no picture is."""

from __future__ import annotations

from torch import Tensor

from tsbench.data import Batch
from tsbench.gaze.floors import Floor, among, present


class GazeArea(Floor):
    """P(object) = its share of the area of all boxes of the display."""

    source = "area-proportional choice; lengths of the training paths"

    def choice(self, batch: Batch, last: Tensor, seen: Tensor) -> Tensor:
        """Log of the share of the area, `(batch, step, token)`."""
        assert batch.places is not None
        area = batch.places[..., 2:].clamp(min=1e-6).prod(-1)
        return among(area.log()[:, None].expand(seen.shape), present(batch)[:, None])
