"""Labelled series as samples: padded to the longest, with their true lengths."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from tsbench.data import Batch


@dataclass(frozen=True)
class SeriesSamples:
    """Cases of one split.

    Attributes:
        values: `(case, time, channel)` float32; 0 beyond a case's length. While it is read, NaN is a missing value.
        target: the class of each case, `(case,)` int64.
        lengths: true steps of each case, `(case,)` int64; None means that all are whole.
    """

    values: Tensor
    target: Tensor
    lengths: Tensor | None = None

    @property
    def steps(self) -> Tensor:
        """True steps of each case, `(case,)` int64."""
        if self.lengths is not None:
            return self.lengths
        return torch.full((len(self),), self.values.shape[1], device=self.values.device)

    @property
    def sizes(self) -> Tensor:
        """Values of each case, its padding left out."""
        return self.steps * self.values.shape[2]

    @property
    def valid(self) -> Tensor:
        """True where a step is real, `(case, time)`."""
        return torch.arange(self.values.shape[1], device=self.values.device) < self.steps[:, None]

    def __len__(self) -> int:
        return len(self.values)

    def batch(self, indices: Tensor) -> Batch:
        """Inputs `(batch, time, channel)`, as long as the longest case of the batch, and classes `(batch,)`."""
        indices = indices.to(self.values.device)
        values, target = self.values[indices], self.target[indices]
        if self.lengths is None:
            return Batch(values, target)
        lengths = self.lengths[indices]
        longest = int(lengths.max())
        return Batch(
            values[:, :longest].contiguous(), target, torch.arange(longest, device=lengths.device) < lengths[:, None]
        )

    def keys(self) -> list[bytes]:
        """A digest of each case's values, its padding left out: equal for exact copies."""
        values = self.values.cpu().numpy()
        return [
            hashlib.blake2b(case[:steps].tobytes(), digest_size=16).digest()
            for case, steps in zip(values, self.steps.tolist(), strict=True)
        ]

    def select(self, indices: Tensor) -> SeriesSamples:
        """The cases at `indices`."""
        lengths = None if self.lengths is None else self.lengths[indices]
        return replace(self, values=self.values[indices], target=self.target[indices], lengths=lengths)

    def to(self, device: torch.device | str) -> SeriesSamples:
        """The same cases on another device."""
        lengths = None if self.lengths is None else self.lengths.to(device)
        return SeriesSamples(self.values.to(device), self.target.to(device), lengths)
