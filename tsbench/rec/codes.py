"""Rec-IDs: semantic codes and a popularity token; how the codes are used."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from tsbench.svg import COLOURS, DASHES, Line, line_chart


def rec_ids(semantic: Tensor, counts: Tensor) -> Tensor:
    """Semantic codes `(item, level)` with a popularity token behind them, `(item, level + 1)` int64: no two are alike.

    The token is the rank by training interactions, `counts` `(item,)`, among the items that have the same semantic
    codes: 0 is the most popular one, of equals the one with the lower number (MMGRec; there from 1).
    """
    _, group = semantic.unique(dim=0, return_inverse=True)
    order = counts.argsort(descending=True, stable=True)
    order = order[group[order].argsort(stable=True)]  # group by group, the most popular first
    sizes = torch.bincount(group)
    first = sizes.cumsum(0) - sizes
    rank = torch.empty_like(group)
    rank[order] = torch.arange(len(group), device=group.device) - first[group[order]]
    return torch.cat([semantic, rank[:, None]], 1)


def usage(ids: Tensor, sizes: Sequence[int]) -> dict[str, float]:
    """How Rec-IDs `(item, level)` use their tokens, `sizes` of them at each level, the last one being popularity.

    Returns:
        `codes_1_used`, ...: share of the codes of a semantic level that any item has; `codes_1_perplexity`, ...: exp of
        the entropy of their shares of items; `collisions`: share of items whose semantic codes another has, too;
        `popularity_tokens`: how many there are, that is the most items with the same semantic codes.
    """
    values = {}
    for level, size in enumerate(sizes[:-1], 1):
        share = torch.bincount(ids[:, level - 1], minlength=size).double() / len(ids)
        values[f"codes_{level}_used"] = float((share > 0).double().mean())
        values[f"codes_{level}_perplexity"] = float(torch.special.entr(share).sum().exp())
    alike = ids[:, :-1].unique(dim=0, return_counts=True)[1]
    values["collisions"] = float(alike[alike > 1].sum()) / len(ids)
    values["popularity_tokens"] = float(ids[:, -1].max() + 1)
    return values


def usage_chart(ids: Tensor, sizes: Sequence[int]) -> str:
    """Items of each code, from the code that most have to the one that fewest have, a curve for each semantic level."""
    lines = []
    for level, size in enumerate(sizes[:-1]):
        counts = torch.bincount(ids[:, level], minlength=size).sort(descending=True).values
        lines.append(Line(f"level {level + 1}", counts.tolist(), COLOURS[level % 8], DASHES[level % 8], start=1))
    return line_chart("items of each code, sorted", lines, width=420, height=180, x_label="codes")
