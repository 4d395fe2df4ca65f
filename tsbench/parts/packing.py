"""Packing: several short sequences share a row, so that little is computed for padding (Prepacking, Zhao et al. 2024).

Attention stays within a sequence (`Positions.segment`) and places restart in each: states are those of separate rows.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from tsbench.errors import UsageError
from tsbench.position import Positions


def pack(lengths: Sequence[int], capacity: int) -> list[list[int]]:
    """Indices of the sequences of each row, by first fit, longest first.

    Raises:
        UsageError: a sequence is longer than a row.
    """
    if max(lengths, default=0) > capacity:
        raise UsageError(f"a sequence of {max(lengths)} tokens does not fit into a packed row of {capacity}")
    rows: list[list[int]] = []
    room: list[int] = []
    for index in sorted(range(len(lengths)), key=lambda i: -lengths[i]):
        row = next((r for r, free in enumerate(room) if lengths[index] <= free), len(rows))
        if row == len(rows):
            rows.append([])
            room.append(capacity)
        rows[row].append(index)
        room[row] -= lengths[index]
    return rows


def pack_rows(x: Tensor, valid: Tensor, capacity: int) -> tuple[Tensor, Positions, Callable[[Tensor], Tensor]]:
    """Tokens in fewer rows, where they are, and the way back.

    Reads the lengths, which on a GPU waits for it; meta tensors count as all real.

    Args:
        x: `(batch, time, ...)`.
        valid: `(batch, time)`, False for padding, which may be anywhere.
        capacity: most tokens of a row; rows are as wide as the fullest.

    Returns:
        packed: `(row, place, ...)`, zero where there is no token.
        positions: of the packed tokens; a token's coordinate is its place in `x`.
        back: brings states `(row, place, ...)` to `(batch, time, ...)`, zero where `valid` is False.
    """
    batch, time = valid.shape
    lengths = [time] * batch if valid.is_meta else valid.sum(1).tolist()
    rows = pack(lengths, max(capacity, *lengths))  # a longer sequence has a row of its own
    width = max([1, *(sum(lengths[i] for i in row) for row in rows)])
    first, segment = [0] * batch, [0] * batch  # place of a sequence's first token among all rows; its number in the row
    for r, row in enumerate(rows):
        place = r * width
        for s, index in enumerate(row):
            first[index], segment[index] = place, s
            place += lengths[index]
    places = len(rows) * width
    home = torch.tensor(first, device=x.device)[:, None] + valid.cumsum(1) - 1
    home = torch.where(valid, home, places).flatten()  # padding goes to one place more, which is cut off

    def spread(values: Tensor, empty: int) -> Tensor:
        """Values of tokens, `(batch, time)`, to their places, `(row, place)`."""
        out = torch.full((places + 1,), empty, device=x.device)
        return out.scatter(0, home, values.expand(batch, time).flatten())[:-1].view(len(rows), width)

    source = spread(torch.arange(batch * time, device=x.device).view(batch, time), -1)
    filled = source >= 0
    coords = spread(torch.arange(time, device=x.device), 0)
    segments = spread(torch.tensor(segment, device=x.device)[:, None], -1)

    def back(states: Tensor) -> Tensor:
        """States of packed tokens in the rows they came from."""
        return _take(states, torch.where(valid, home.view(batch, time), 0), valid)

    return _take(x, source.clamp(min=0), filled), Positions(coords, filled, segments), back


def _take(x: Tensor, index: Tensor, real: Tensor) -> Tensor:
    """Entries of `x`, `(batch, time, ...)`, at `index` into its first two axes taken as one; zero where not `real`."""
    taken = x.flatten(0, 1).index_select(0, index.flatten()).unflatten(0, index.shape)
    return taken.masked_fill(~real.view(*real.shape, *[1] * (x.ndim - 2)), 0)
