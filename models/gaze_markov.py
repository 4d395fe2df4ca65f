"""Markov: where the next fixation goes, relative to the last one, counted in training paths."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from tsbench.data import Batch
from tsbench.gaze.floors import Floor, among, history, offsets, present

REACH = 7  # units along each axis, beyond which all offsets count as this
SIDE = 2 * REACH + 1


class GazeMarkov(Floor):
    """P(object) goes as how much more often people move by its offset than a uniform choice would.

    `learned` is that ratio, `(2, SIDE * SIDE)`: for the first fixation, from the display's centre, and for later ones,
    from the object before; offsets are rounded to whole units, and each count has one added.
    """

    source = "first-order Markov chain over relative positions"

    def learn(self, batches: Sequence[Batch]) -> None:
        """Count offsets taken, and how often chance would have taken them."""
        taken, chance = torch.ones(2, 2 * SIDE * SIDE, dtype=torch.float64)
        for batch in batches:
            last, _ = history(batch)
            real, cell = batch.target > 0, self._cell(batch, last)
            there = present(batch)
            share = (there / there.sum(1, keepdim=True))[:, None] * real[..., None]  # (batch, step, token)
            chance.index_add_(0, cell.flatten(), share.double().flatten())
            fixated = cell.gather(2, batch.target.clamp(min=0)[..., None])[..., 0]
            taken += torch.bincount(fixated[real], minlength=len(taken))
        self.learned = (taken / chance).float()

    def choice(self, batch: Batch, last: Tensor, seen: Tensor) -> Tensor:
        """Log of the ratio, over objects, `(batch, step, token)`."""
        ratio = self.learned.to(last.device)[self._cell(batch, last)]
        return among(ratio.log(), present(batch)[:, None])

    def _cell(self, batch: Batch, last: Tensor) -> Tensor:
        """The entry of `learned` that each move to a token falls in, `(batch, step, token)`."""
        x, y = (offsets(batch, last).round().clamp(-REACH, REACH).long() + REACH).unbind(-1)
        return (last > 0)[..., None] * SIDE**2 + y * SIDE + x
