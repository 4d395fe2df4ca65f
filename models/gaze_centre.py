"""Centre bias: people look near the middle of a display, wherever they looked before."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from tsbench.data import Batch
from tsbench.gaze.floors import Floor, among, centre, least, present


class GazeCentre(Floor):
    """P(object) goes as a Gaussian around the display's centre.

    `learned` is its deviation, as a share of the display's width and height, by maximum likelihood on training paths.
    """

    source = "Tatler, The central fixation bias in scene viewing, Journal of Vision 2007"

    def learn(self, batches: Sequence[Batch]) -> None:
        """The deviation under which training fixations are most likely."""

        def cost(deviation: float) -> float:
            self.learned = torch.tensor(deviation)
            return self.surprise(batches)

        self.learned = torch.tensor(least(cost, 0.02, 5.0))

    def choice(self, batch: Batch, last: Tensor, seen: Tensor) -> Tensor:
        """The same at every step, `(batch, step, token)`."""
        assert batch.places is not None
        middle = centre(batch)
        away = (batch.places[..., :2] - middle) / (2 * middle * self.learned.to(middle))
        return among(away.square().sum(-1).mul(-0.5)[:, None].expand(seen.shape), present(batch)[:, None])
