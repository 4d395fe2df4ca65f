"""Learned: a vector for each place, added to the tokens (Gehring et al. 2017; BERT, Devlin et al. 2019).

    x_i + E[p_i],  E of shape (length, width), drawn from N(0, 0.02²)

A place beyond the table is an error, or the last row, or the whole sequence is shrunk to fit the table. Of several
axes, each has an equal share of the columns.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from tsbench.errors import UsageError, unknown
from tsbench.position import PositionEncoding, Positions

BEYOND = ("error", "clamp", "interpolate")


@dataclass(frozen=True)
class LearnedConfig:
    """Settings of learned positions."""

    length: int = 512  # rows of the table
    beyond: str = "error"  # or clamp, or interpolate: a longer sequence spreads over the table, evenly

    def __post_init__(self) -> None:
        """Refuse what means nothing."""
        if self.beyond not in BEYOND:
            raise unknown("value of learned positions' beyond", self.beyond, BEYOND)
        if self.length < 1:
            raise UsageError(f"learned positions: length={self.length} must be at least 1")


class Learned(PositionEncoding):
    """Absolute; it knows nothing of places it was not trained on."""

    Config = LearnedConfig
    config: LearnedConfig
    several = True

    def __init__(self, width: int, heads: int, config: LearnedConfig, head_width: int = 0) -> None:
        super().__init__(width, heads, config, head_width)
        self.table = nn.Parameter(torch.empty(config.length, width).normal_(std=0.02))

    def embed(self, x: Tensor, positions: Positions) -> Tensor:
        """Tokens `(batch, time, width)` plus the vectors of their places; real ones lie between two rows.

        Raises:
            UsageError: a place is beyond the table, and `beyond` is error.
        """
        axes = positions.axes.unbind(-1)
        tables = self.table.split(self.width // len(axes), 1)  # columns that are left over belong to none
        rows = [self._rows(replace(positions, coords=c), t) for c, t in zip(axes, tables, strict=False)]
        found = torch.cat(rows, -1)
        return x + F.pad(found, (0, self.width - found.shape[-1]))

    def _rows(self, positions: Positions, table: Tensor) -> Tensor:
        """Rows of a table `(place, share)` for places along one axis, `(batch or 1, time, share)`."""
        length, beyond = self.config.length, self.config.beyond
        if beyond == "error":
            place = self._checked(positions)
        else:
            shrink = self._shrink(positions) if beyond == "interpolate" else 1
            place = (positions.coords * shrink).clamp(0, length - 1)
        if not place.is_floating_point():
            return F.embedding(place, table)
        low = place.floor()
        share = (place - low)[..., None].to(table.dtype)
        low_row, high_row = F.embedding(low.long(), table), F.embedding(place.ceil().long(), table)
        return torch.lerp(low_row, high_row, share)

    def _checked(self, positions: Positions) -> Tensor:
        """Coordinates, refused where a real token's is outside the table."""
        coords, length = positions.coords, self.config.length
        # Off the CPU, looking at values waits for the device. There, a row no longer than the table is taken on trust,
        # and a place outside all the same makes the gather fail.
        if coords.is_meta or (coords.device.type != "cpu" and coords.shape[1] <= length):
            return coords
        inside = (coords >= 0) & (coords <= length - 1)
        if positions.valid is not None:
            inside = inside | ~positions.valid
        if not inside.all():
            raise UsageError(
                f"learned positions: a token's place is outside 0..{length - 1}; "
                f"set length to the longest sequence at least, or beyond to clamp or interpolate"
            )
        return coords.clamp(0, length - 1)  # padding may be anywhere

    def _shrink(self, positions: Positions) -> Tensor:
        """Factor of coordinates, `(batch or 1, time or 1)`, that brings the end of each sequence into the table."""
        end = positions.coords if positions.valid is None else positions.coords * positions.valid
        if positions.segment is None:
            end = end.amax(1, keepdim=True)
        else:  # each segment has its own end, so that packing changes nothing
            same = positions.segment[:, None, :] == positions.segment[:, :, None]
            end = (end[:, None, :] * same).amax(2)
        return ((self.config.length - 1) / end.clamp(min=1)).clamp(max=1)
