"""Charts as SVG text: small, sharp at any size, and drawn in a millisecond, so that every run has its plots."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from html import escape
from typing import Any

from torch import Tensor

#: Okabe and Ito's colours, told apart by colour-blind readers, each with its own dash pattern for print.
COLOURS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#000000", "#7f7f7f")
DASHES = ("", "6 3", "2 2", "8 3 2 3", "1 2", "10 4", "4 1", "3 5")
#: Shapes about the origin, told apart without colour; seven, so that with eight colours no pair soon comes again.
MARKS = (
    "M-4 0a4 4 0 1 0 8 0a4 4 0 1 0 -8 0Z",
    "M-3.5 -3.5h7v7h-7Z",
    "M0 -4.5L4.5 3.5H-4.5Z",
    "M0 -5L5 0L0 5L-5 0Z",
    "M0 4.5L4.5 -3.5H-4.5Z",
    "M-1.6 -4.6h3.2v3h3v3.2h-3v3h-3.2v-3h-3v-3.2h3Z",
    "M-4.5 -3.5h9l-4.5 3.5l4.5 3.5h-9l4.5 -3.5Z",
)
NAMES = ("first", "middle", "last")  # samples of a test set that the runner keeps


@dataclass(frozen=True)
class Line:
    """One curve: y values at x = start, start + step, ..."""

    label: str
    values: Sequence[float]
    colour: str
    dash: str = ""
    start: float = 0
    step: float = 1


def line_chart(title: str, lines: Sequence[Line], width: int = 320, height: int = 150, x_label: str = "") -> str:
    """One chart with both axes labelled at their ends and a legend below its title; a long legend makes it higher."""
    legend, extra = _legend(lines, width)
    height += extra
    left, right, top, bottom = 42, 8, 34 + extra, 24
    ys = [v for line in lines for v in line.values if math.isfinite(v)]
    if not ys:
        return ""
    low, high = min(ys), max(ys)
    if low == high:
        low, high = low - 0.5, high + 0.5
    first = min(line.start for line in lines)
    last = max(line.start + (len(line.values) - 1) * line.step for line in lines)
    x_scale = (width - left - right) / max(last - first, 1)
    y_scale = (height - top - bottom) / (high - low)
    base = height - bottom
    parts = [f'<text x="4" y="12" font-size="11" font-weight="bold">{escape(title)}</text>', legend]
    for line in lines:
        start, step = left + (line.start - first) * x_scale, line.step * x_scale
        points = [
            f"{start + i * step:.1f},{base - (v - low) * y_scale:.1f}"
            for i, v in enumerate(line.values)
            if math.isfinite(v)
        ]
        parts.append(f'<polyline points="{" ".join(points)}" {_stroke(line)}/>')
    parts.append(f'<path d="M{left} {top}V{base}H{width - right}" fill="none" stroke="#888"/>')
    for value, y in ((high, top + 4), (low, base)):
        parts.append(f'<text x="{left - 4}" y="{y}" text-anchor="end">{value:.3g}</text>')
    parts.append(f'<text x="{left}" y="{height - 8}">{first:g}</text>')
    parts.append(f'<text x="{width - right}" y="{height - 8}" text-anchor="end">{last:g} {escape(x_label)}</text>')
    return svg("".join(parts), width, height)


def _stroke(line: Line) -> str:
    dash = f' stroke-dasharray="{line.dash}"' if line.dash else ""
    return f'fill="none" stroke="{line.colour}" stroke-width="1.4"{dash}'


def _legend(lines: Sequence[Line], width: int) -> tuple[str, int]:
    """Names of lines, in as many rows as they need, and the height beyond the first row."""
    parts, x, y, left = [], 42, 22, 42
    for line in lines:
        if not line.label:
            continue
        wide = 32 + 5 * len(line.label)
        if x + wide > width and x > left:
            x, y = left, y + 12
        parts.append(f'<line x1="{x}" y1="{y}" x2="{x + 16}" y2="{y}" {_stroke(line)}/>')
        parts.append(f'<text x="{x + 20}" y="{y + 3}">{escape(line.label)}</text>')
        x += wide
    return "".join(parts), y - 22


def heat_map(
    title: str,
    rows: Sequence[str],
    columns: Sequence[str],
    cells: Mapping[tuple[str, str], tuple[float, str]],
    higher_is_better: bool,
) -> str:
    """A table of coloured cells, `(row, column) -> (value, text)`; the darker the better, empty where there is none."""
    left = 12 + 6 * max(len(row) for row in rows)
    wide, high, top = max(84, 12 + 6 * max(len(column) for column in columns)), 24, 40
    values = [value for value, _ in cells.values()]
    low, span = min(values), (max(values) - min(values)) or 1.0
    parts = [f'<text x="4" y="12" font-size="11" font-weight="bold">{escape(title)}</text>']
    for j, column in enumerate(columns):
        parts.append(f'<text x="{left + (j + 0.5) * wide}" y="{top - 6}" text-anchor="middle">{escape(column)}</text>')
    for i, row in enumerate(rows):
        y = top + i * high
        parts.append(f'<text x="{left - 6}" y="{y + 15}" text-anchor="end">{escape(row)}</text>')
        for j, column in enumerate(columns):
            if (row, column) not in cells:
                continue
            value, text = cells[row, column]
            share = (value - low) / span if higher_is_better else 1 - (value - low) / span
            ink = "#ffffff" if share > 0.55 else "#000000"
            x = left + j * wide
            parts.append(
                f'<rect x="{x}" y="{y}" width="{wide - 1}" height="{high - 1}" fill="#0072b2" '
                f'fill-opacity="{0.06 + 0.9 * share:.2f}"/>'
                f'<text x="{x + wide / 2}" y="{y + 15}" text-anchor="middle" fill="{ink}">{escape(text)}</text>'
            )
    width = max(left + wide * len(columns) + 8, 12 + 7 * len(title))
    return svg("".join(parts), width, top + high * len(rows) + 8)


def confusion_map(names: Sequence[str], counts: Sequence[Sequence[int]]) -> str:
    """Counts `[true][predicted]` of classes, coloured by their share of the true class; nothing where it is 0."""
    short = [name if len(name) <= 24 else name[:23] + "…" for name in names]
    side = max(22, 8 + 6 * len(str(max(map(max, counts)))))
    left = top = 24 + 6 * max(map(len, short))
    end = left + side * len(names)
    parts = [
        '<text x="4" y="12" font-size="11" font-weight="bold">rows: true class, columns: predicted class</text>',
        f'<rect x="{left}" y="{top}" width="{end - left}" height="{end - left}" fill="none" stroke="#888"/>',
    ]
    cells = []
    for i, (name, row) in enumerate(zip(short, counts, strict=True)):
        middle = (i + 0.5) * side
        parts.append(f'<text x="{left - 6}" y="{top + middle + 3}" text-anchor="end">{escape(name)}</text>')
        parts.append(f'<text transform="translate({left + middle + 3},{top - 6}) rotate(-90)">{escape(name)}</text>')
        for j, count in enumerate(row):
            if not count:
                continue
            share, x, y = count / sum(row), left + j * side, top + i * side
            colour, ink = COLOURS[i != j], ' fill="#fff"' if share > 0.55 else ""
            cells.append(
                f'<rect x="{x}" y="{y}" width="{side - 1}" height="{side - 1}" fill="{colour}" '
                f'fill-opacity="{0.1 + 0.9 * share:.2g}"/>'
                f'<text x="{x + side // 2}" y="{y + side // 2 + 3}"{ink}>{count}</text>'
            )
    parts.append(f'<g text-anchor="middle">{"".join(cells)}</g>')
    return svg("".join(parts), max(end + 8, 260), end + 8)


def grid(charts: Sequence[str], columns: int, width: int = 320, height: int = 150) -> str:
    """Charts side by side in one SVG, all of the size given."""
    placed = [
        f'<g transform="translate({(i % columns) * width},{(i // columns) * height})">{chart}</g>'
        for i, chart in enumerate(charts)
    ]
    rows = math.ceil(len(charts) / columns)
    return svg("".join(placed), width * min(columns, len(charts)), height * rows)


def titled(drawing: str, title: str) -> str:
    """An SVG with a title that screen readers say; what is drawn inside it is one image to them."""
    return drawing.replace("<svg ", '<svg role="img" ', 1).replace(">", f"><title>{escape(title)}</title>", 1)


def rounded(values: Any, digits: int = 4) -> Any:
    """A tensor as nested lists of numbers with `digits` digits; NaN is None, for which JSON has a word."""
    if isinstance(values, Tensor):
        values = values.tolist()
    if isinstance(values, list):
        return [rounded(value, digits) for value in values]
    return float(f"{values:.{digits}g}") if math.isfinite(values) else None


def shortened(text: str, limit: int = 90) -> str:
    """At most `limit` letters of a text."""
    return text if len(text) <= limit else text[: limit - 1] + "…"


def svg(content: str, width: int, height: int) -> str:
    """Wrap shapes into an SVG element."""
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="{height}" viewBox="0 0 {width} {height}" '
        f'font-family="sans-serif" font-size="9">{content}</svg>'
    )
