"""Examples of labelled series: kept as plain lists, thinned out, and drawn as lines."""

from __future__ import annotations

import math
from collections.abc import Sequence
from html import escape
from typing import Any

from tsbench.data import Batch
from tsbench.svg import COLOURS, Line, line_chart, rounded, shortened, svg

MOST_CHANNELS, MOST_POINTS = 4, 200  # of a series that is kept
WIDTH, HEIGHT, TOP = 360, 180, 14


def thinned(batch: Batch) -> list[dict[str, Any]]:
    """The series of a batch `(batch, time, channel)` without padding: `values[channel][point]` and what is left out."""
    steps = [batch.inputs.shape[1]] * len(batch) if batch.valid is None else batch.valid.sum(1).tolist()
    kept = []
    for series, length in zip(batch.inputs, steps, strict=True):
        every = max(1, math.ceil(length / MOST_POINTS))
        values = rounded(series[:length:every, :MOST_CHANNELS].T)
        kept.append({"values": values, "every": every, "steps": length, "channels": series.shape[1]})
    return kept


def panel(title: str, words: str, series: dict[str, Any]) -> str:
    """One series that was `thinned`: a line a channel, by number, with a title and a line of words above."""
    lines = [Line(str(i), values, COLOURS[i], step=series["every"]) for i, values in enumerate(series["values"])]
    steps = f"steps, every {series['every']}th drawn" if series["every"] > 1 else "steps"
    channels = f"; {len(lines)} of {series['channels']} channels" if len(lines) < series["channels"] else ""
    chart = line_chart("", lines, WIDTH, HEIGHT - TOP, steps + channels)
    heading = f'<text x="4" y="12" font-size="11" font-weight="bold">{escape(shortened(title, 60))}</text>'
    heading += f'<text x="4" y="25">{escape(shortened(words, 75))}</text>'
    return svg(f'{heading}<g transform="translate(0,{TOP})">{chart}</g>', WIDTH, HEIGHT)


def class_words(labels: Sequence[str], probabilities: Sequence[float], most: int = 3) -> str:
    """The likeliest classes by name, with their probabilities."""
    likely = sorted(range(len(probabilities)), key=lambda i: -probabilities[i])[:most]
    return ", ".join(f"{labels[i]} ({probabilities[i]:.2f})" for i in likely)
