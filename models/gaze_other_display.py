"""Another display: the path that someone made elsewhere, laid over this display. The shuffled floor."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from tsbench.data import Batch
from tsbench.gaze.floors import FLOOR_SEED, Floor, GivenWalk, among, centre, present, repeated
from tsbench.gaze.samples import END
from tsbench.gaze.walk import Walk, luck
from tsbench.model import State
from tsbench.tasks.scanpath import Scanpath

CELLS = 2  # a unit, in which training fixations are counted


class GazeOtherDisplay(Floor):
    """A training path on another display, each fixation moved to the object nearest to where it was from the centre.

    As a distribution: how many training fixations, of all displays together, would fall to each object; the same at
    every step. It shows what paths share wherever they were made, such as a centre bias and reading order.
    """

    block_values = 2**18  # each object is compared with all cells
    source = "shuffled control: paths of other displays"

    def __init__(self, task: Scanpath, config: object) -> None:
        super().__init__(task, config)
        self.elsewhere = torch.zeros(0, task.steps, 2)  # (path, step, 2) units from the centre, then NaN
        self.display = torch.zeros(0).long()  # of each path, in order
        self.cells, self.counts = torch.zeros(0, 2), torch.zeros(0)  # places of training fixations, and how many

    def learn(self, batches: Sequence[Batch]) -> None:
        """Keep training paths as places relative to the centre, and count these."""
        elsewhere = torch.full((sum(map(len, batches)), self.task.steps, 2), torch.nan)
        begin = 0
        for batch in batches:
            assert batch.places is not None
            place = batch.places[..., :2].gather(1, batch.target.clamp(min=0)[..., None].expand(-1, -1, 2))
            place = (place - centre(batch)).masked_fill((batch.target <= END)[..., None], torch.nan)
            elsewhere[begin : begin + len(batch), : place.shape[1] - 1] = place[:, :-1]  # the last is END
            begin += len(batch)
        self.display, order = torch.cat([batch.more["display"] for batch in batches]).sort(stable=True)
        self.elsewhere = elsewhere[order]
        places = elsewhere[~elsewhere[..., 0].isnan()]
        cells, counts = (places * CELLS).round().unique(dim=0, return_counts=True)
        self.cells, self.counts = cells / CELLS, counts.float()

    def choice(self, batch: Batch, last: Tensor, seen: Tensor) -> Tensor:
        """Log of the share of training fixations nearest to each object, `(batch, step, token)`."""
        nearest = _nearest(batch, self.cells.to(batch.inputs).expand(len(batch), -1, -1))
        weight = torch.zeros(batch.inputs.shape[:2], device=nearest.device)
        weight = weight.scatter_add(1, nearest, self.counts.to(weight).expand_as(nearest))
        return among(weight.log()[:, None].expand(seen.shape), present(batch)[:, None])

    def walk(self, batch: Batch, copies: int) -> Walk:
        """Training paths of other displays, drawn; of any, if all were made on this one."""
        rows = repeated(batch, copies)
        paths, known = self.elsewhere.to(rows.inputs), self.display.to(rows.inputs.device)
        here = rows.more["display"]
        first, beyond = (torch.searchsorted(known, here, right=right) for right in (False, True))
        own = torch.where(beyond - first < len(known), beyond - first, 0)  # paths that are left out
        drawn = (luck(batch, copies, FLOOR_SEED) * (len(known) - own)).long()
        path = paths[drawn + own * (drawn >= first)]
        return GivenWalk(_nearest(rows, path).masked_fill(path[..., 0].isnan(), END), rows.inputs.shape[1])

    def state(self) -> State:
        """All training paths, too."""
        own = {name: getattr(self, name) for name in ("elsewhere", "display", "cells", "counts")}
        return {**super().state(), **own}


def _nearest(batch: Batch, places: Tensor) -> Tensor:
    """The object nearest to each place, `(batch, place, 2)` units from the centre; `(batch, place)`."""
    assert batch.places is not None
    distance = torch.cdist(places.nan_to_num(), batch.places[..., :2] - centre(batch))  # (batch, place, token)
    return distance.masked_fill(~present(batch)[:, None], torch.inf).argmin(-1)
