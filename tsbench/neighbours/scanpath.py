"""Scanpaths: where people went on from the most similar situations."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn import functional as F

from tsbench.data import Batch, Samples, like_size
from tsbench.gaze.floors import Floor, among, history, offsets, present
from tsbench.model import Run
from tsbench.neighbour import averages, chosen
from tsbench.tasks.scanpath import Scanpath


class NearestSteps(Floor):
    """P(object) goes as the share of the nearest objects of training steps that were fixated next.

    An object is where it lies from the last fixation or, at first, from the display's centre, how like what is searched
    for it looks (cosine), whether it was seen before, whether it was seen just now, and whether this is the first
    fixation; each is divided by its deviation. `learned` holds these deviations, then an object a row, with 1 behind it
    if it was fixated. How much to trust it, against a uniform choice, is chosen on validation. Paths end as those of
    other floors do.
    """

    def __init__(self, task: Scanpath, config: object) -> None:
        super().__init__(task, config)
        self.learned = torch.ones(2, 7)
        self.held: Sequence[Batch] = ()

    def fit(self, train: Samples, validation: Samples, run: Run) -> None:
        """As every floor, but weighed on paths that it has not kept."""
        self.held = [validation.batch(i) for i in like_size(validation.sizes.cpu(), self.block_values)]
        super().fit(train, validation, run)
        self.held = ()

    def _uniform_share(self, batches: Sequence[Batch]) -> Tensor:
        return super()._uniform_share(self.held)

    def learn(self, batches: Sequence[Batch]) -> None:
        """Keep objects of training steps, fixated or not."""
        rows = []
        for batch in batches:
            there = present(batch)[:, None] & (batch.target > 0)[..., None]  # (batch, step, token)
            next_one = F.one_hot(batch.target.clamp(min=0), batch.inputs.shape[1])[..., None].float()
            rows.append(torch.cat([self.describe(batch, *history(batch)), next_one], -1)[there].cpu())
        kept = torch.cat(rows)
        scale = F.pad(kept[:, :-1].std(0, correction=0).clamp(min=1e-6), (0, 1), value=1.0)
        kept = kept[chosen(len(kept), self.config.entries)] / scale
        self.learned = torch.cat([scale[None], kept])

    def choice(self, batch: Batch, last: Tensor, seen: Tensor) -> Tensor:
        """Log of the share, over objects, `(batch, step, token)`."""
        learned = self.learned.to(last.device)
        scale, entries, taken = learned[0, :-1], learned[1:, :-1], learned[1:, -1:]
        x = self.describe(batch, last, seen) / scale
        near = averages(x.flatten(0, 2), entries, taken, self.config.neighbours).view(x.shape[:3])
        count = min(self.config.neighbours, len(entries))
        return among(((count * near + taken.mean()) / (count + 1)).log(), present(batch)[:, None])

    def describe(self, batch: Batch, last: Tensor, seen: Tensor) -> Tensor:
        """Each object before each step, `(batch, step, token, 6)`."""
        features = batch.inputs[..., :-1]
        alike = F.cosine_similarity(features, features[:, :1], dim=-1)[:, None].expand(seen.shape)
        just = F.one_hot(last, seen.shape[2])
        first = (last == 0)[..., None].expand(seen.shape)
        return torch.cat([offsets(batch, last), torch.stack([alike, seen, just, first], -1)], -1)
