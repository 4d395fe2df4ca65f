"""Drawings of recommendations: histories beside lists, where targets rank, and how popular recommended items are."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from html import escape
from typing import Any

from tsbench.data import Batch
from tsbench.rec.metrics import candidates, top
from tsbench.rec.samples import barred
from tsbench.rec.scores import LIST, PARTS, RANKS, Ranked
from tsbench.svg import COLOURS, DASHES, NAMES, Line, line_chart, shortened, svg
from tsbench.tasks.task import Counts

SHOWN = 8  # items at the end of a history that are drawn
_COLUMN, _ROW, _LETTERS = 250, 14, 40
_CHART = (420, 180)


# ---------------------------------------------------------------- examples


def history_examples(answer: Ranked, batch: Batch, mask: bool) -> dict[str, Any]:
    """Ends of histories, targets, and the best items; `items` lists all numbers, for their titles.

    Args:
        answer: of a model to the batch.
        batch: some users.
        mask: items of the history are not recommended.
    """
    shown = top(candidates(answer.scores, barred(batch, answer.scores.shape[1]) if mask else None), LIST)
    made = {
        "histories": [row[real][-SHOWN:].tolist() for row, real in zip(batch.inputs, batch.real, strict=True)],
        "targets": [row[row >= 0].tolist() for row in batch.target],
        "lists": [row[row >= 0].tolist() for row in shown],
    }
    items = sorted({item for rows in made.values() for row in rows for item in row})
    return {"items": items, "steps": batch.steps.tolist(), **made}


def history_figure(examples: Mapping[str, Any]) -> str:
    """Histories, targets and lists beside each other, by title; a tick and bold letters mark targets in the list."""
    titles = examples.get("titles", {})
    users = zip(NAMES, *(examples[key] for key in ("steps", "histories", "targets", "lists")), strict=False)
    parts, y = [], 0
    for name, steps, history, targets, best in users:
        hits = set(targets) & set(best)
        first = sorted(targets, key=lambda item: item not in hits)[:LIST]
        columns = (
            (f"took before ({len(history)} of {steps})", history),
            (f"took next ({len(first)} of {len(targets)})", first),
            (f"recommended, {len(hits)} of them right", best),
        )
        parts.append(f'<text x="4" y="{y + 12}" font-size="11" font-weight="bold">{name} test user</text>')
        for i, (head, items) in enumerate(columns):
            parts.append(f'<text x="{4 + i * _COLUMN}" y="{y + 26}" font-style="italic">{head}</text>')
            for row, item in enumerate(items):
                title = f"{row + 1}. " * (i == 2) + titles.get(str(item), f"item {item}")
                hit = i > 0 and item in hits
                look = f' font-weight="bold" fill="{COLOURS[2]}"' if hit else ""
                words = escape("✓ " * hit + shortened(title, _LETTERS))
                parts.append(f'<text x="{4 + i * _COLUMN}" y="{y + 26 + (row + 1) * _ROW}"{look}>{words}</text>')
        y += 40 + _ROW * max(len(items) for _, items in columns)
    return svg("".join(parts), 3 * _COLUMN, y)


# ---------------------------------------------------------------- charts of counts


def rank_histogram(tables: Mapping[str, Counts]) -> str:
    """Share of targets in each band of ranks; of equal scores the middle rank counts."""
    counts = tables["ranks"][0]
    lows = [1, *(rank + 1 for rank in RANKS)]
    names = [f"{low}-{high}" if low < high else f"{low}" for low, high in zip(lows, RANKS, strict=False)]
    names += [f"over {RANKS[-1]}", "in no list"]
    return _bars(f"ranks of {sum(counts)} targets", names, [count / max(1, sum(counts)) for count in counts])


def popularity_chart(tables: Mapping[str, Counts]) -> str:
    """How much of what users took before, took next, and were recommended is popular: shares of parts of the items."""
    kinds = ("took before", "took next", f"first {LIST} recommended")
    lines = [
        Line(name, [count / max(1, sum(row)) for count in row], COLOURS[i], DASHES[i], start=1)
        for i, (name, row) in enumerate(zip(kinds, tables["popularity"], strict=True))
    ]
    title = (
        f"share of each of {PARTS} parts of the items, from those that most histories have to those that fewest have"
    )
    return line_chart(title, lines, 580, 200, f"of {PARTS} parts")


def _bars(title: str, names: Sequence[str], shares: Sequence[float]) -> str:
    """A bar for each share, with its name below and its value above."""
    width, height = _CHART
    base, step, scale = height - 22, (width - 16) / len(names), (height - 52) / (max(shares) or 1)
    parts = [f'<text x="4" y="12" font-size="11" font-weight="bold">{escape(title)}</text>']
    for i, (name, share) in enumerate(zip(names, shares, strict=True)):
        x, tall = 8 + i * step, share * scale
        parts.append(
            f'<rect x="{x + 3:.1f}" y="{base - tall:.1f}" width="{step - 6:.1f}" height="{tall:.1f}" '
            f'fill="{COLOURS[0]}"/>'
            f'<g text-anchor="middle"><text x="{x + step / 2:.1f}" y="{base - tall - 3:.1f}">{share:.1%}</text>'
            f'<text x="{x + step / 2:.1f}" y="{base + 12}">{escape(name)}</text></g>'
        )
    parts.append(f'<path d="M8 {base}H{width - 8}" fill="none" stroke="#888"/>')
    return svg("".join(parts), width, height)
