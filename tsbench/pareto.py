"""Cost against score: which models no other beats in both, drawn with log axes."""

from __future__ import annotations

import math
import statistics
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from html import escape

from tsbench.critical import mean_ranks
from tsbench.summary import Board
from tsbench.svg import COLOURS, MARKS, shortened, svg

WIDTH, HEIGHT, LEFT, RIGHT, TOP, BOTTOM = 460, 320, 54, 16, 40, 40
LETTER, LINE = 5.0, 11  # width and height of a label's letter, in pixels
DECADES = 1.0  # scores whose largest is so many powers of ten above the smallest have a log axis


@dataclass(frozen=True)
class Point:
    """One model: its cost and its score; without a rank it is drawn, but is on no front."""

    name: str
    cost: float
    score: float
    ranked: bool = True


def front(points: Sequence[Point], higher_is_better: bool) -> list[Point]:
    """The ranked points that none beats in cost or score without being worse in the other, cheapest first.

    >>> [p.name for p in front([Point("a", 1, 5), Point("b", 2, 3), Point("c", 3, 4)], higher_is_better=False)]
    ['a', 'b']
    """
    sign = -1 if higher_is_better else 1
    best: list[Point] = []
    for point in sorted((p for p in points if p.ranked), key=lambda p: (p.cost, sign * p.score)):
        same = bool(best) and (point.cost, point.score) == (best[-1].cost, best[-1].score)
        if not best or same or sign * point.score < sign * best[-1].score:
            best.append(point)
    return best


def cost_charts(board: Board) -> dict[str, str]:
    """Cost -> chart of the primary score against it, for a table of two models or more."""
    if len(board.rows) < 2:
        return {}
    name, kind = board.kind.primary, board.kind
    costs = {
        "fit CPU s": [row.fit_cpu_seconds for row in board.rows],
        "process MB": [row.memory_mb for row in board.rows],
        "parameters": [float(row.parameters) for row in board.rows],
    }
    charts = {}
    for cost, values in costs.items():
        points = [
            Point(row.label, value, row.scores[name].mean, not row.told)
            for row, value in zip(board.rows, values, strict=True)
        ]
        charts[cost] = chart(
            f"{board.dataset}: {name} against {cost}", points, cost, name, kind.metrics[name].higher_is_better
        )
    return charts


def chart(title: str, points: Sequence[Point], cost: str, score: str, higher_is_better: bool) -> str:
    """Points with names, and the front as a line; models on it are filled, others hollow; cost is on a log axis."""
    points = [p for p in points if math.isfinite(p.score) and math.isfinite(p.cost)]
    if not points:
        return ""
    across = _Axis([p.cost for p in points], LEFT, WIDTH - RIGHT, log=True)
    scores = [p.score for p in points]
    log = min(scores) > 0 and math.log10(max(scores) / min(scores)) > DECADES
    up = _Axis(scores, HEIGHT - BOTTOM, TOP, log)
    best = front(points, higher_is_better)
    places = {id(p): (across(p.cost), up(p.score)) for p in points}
    arrow = "↑" if higher_is_better else "↓"
    heading = f'<text x="4" y="12" font-size="11" font-weight="bold">{escape(shortened(title, 70))}</text>'
    words = f"{score} {arrow} {'higher' if higher_is_better else 'lower'} is better{', log axis' if log else ''}"
    words += "; the line joins those that none beats in both"
    parts = [
        heading,
        f'<text x="4" y="27">{escape(words)}</text>',
        across.drawn(f"{cost}, log axis", False),
        up.drawn("", True),
    ]
    if len(best) > 1:
        corners = [
            f"{'M' if i == 0 else 'H'}{places[id(p)][0]:.1f}{' ' if i == 0 else 'V'}{places[id(p)][1]:.1f}"
            for i, p in enumerate(best)
        ]
        parts.append(f'<path d="{"".join(corners)}" fill="none" stroke="#555" stroke-dasharray="4 3"/>')
    taken = [(x - 5, y - 5, x + 5, y + 5) for x, y in places.values()]
    on_front = {id(p) for p in best}
    for i, point in enumerate(points):
        x, y = places[id(point)]
        colour = COLOURS[i % len(COLOURS)]
        fill = colour if id(point) in on_front else "#fff"
        tip = f"{point.name}: {score} {point.score:.4g}, {cost} {point.cost:.4g}"
        mark = f'<path d="{MARKS[i % len(MARKS)]}" transform="translate({x:.1f},{y:.1f})"'
        parts.append(f'{mark} fill="{fill}" stroke="{colour}" stroke-width="1.6"><title>{escape(tip)}</title></path>')
        parts.append(_label(shortened(point.name, 30), x, y, taken, bold=id(point) in on_front))
    return svg("".join(parts), WIDTH, HEIGHT)


def _label(text: str, x: float, y: float, taken: list[tuple[float, float, float, float]], bold: bool) -> str:
    """A name where it hides nothing: beside its mark, or further off with a line to it."""
    wide = LETTER * len(text)
    offsets = [(8, 3), (-8 - wide, 3), (-wide / 2, -8), (-wide / 2, 16)]
    offsets += [(dx, dy) for k in range(1, 12) for dy in (3 - LINE * k, 3 + LINE * k) for dx in (10, -10 - wide)]
    for dx, dy in offsets:
        box = (x + dx, y + dy - 8, x + dx + wide, y + dy + 2)
        inside = box[0] >= 2 and box[2] <= WIDTH - 2 and box[1] >= TOP - 10 and box[3] <= HEIGHT - BOTTOM + 2
        if inside and not any(_meet(box, other) for other in taken):
            break
    else:
        return ""  # the mark's title still says it
    taken.append(box)
    far = (dx, dy) not in offsets[:4]
    left = dx + wide < 0  # of its mark
    start, anchor = (x + dx + wide, "end") if left else (x + dx, "start")
    end = start + 1 if left else start - 1
    line = f'<path d="M{x:.1f} {y:.1f}L{end:.1f} {y + dy - 3:.1f}" stroke="#999" stroke-width=".6"/>' if far else ""
    weight = ' font-weight="bold"' if bold else ""
    halo = 'stroke="#fff" stroke-width="2.5" paint-order="stroke"'
    return f'{line}<text x="{start:.1f}" y="{y + dy:.1f}" text-anchor="{anchor}" {halo}{weight}>{escape(text)}</text>'


def _meet(a: tuple[float, float, float, float], b: tuple[float, float, float, float]) -> bool:
    return a[0] < b[2] and b[0] < a[2] and a[1] < b[3] and b[1] < a[3]


class _Axis:
    """Values to pixels between two ends, with a margin; on a log axis what is 0 stands at the start, marked `0`."""

    def __init__(self, values: Sequence[float], start: float, end: float, log: bool) -> None:
        self.start, self.end, self.log = start, end, log
        self.scale: Callable[[float], float] = math.log10 if log else float
        positive = [self.scale(v) for v in values if v > 0 or not log] or [0.0]
        low, high = min(positive), max(positive)
        margin = 0.06 * (high - low) or 0.5
        self.zero = log and min(values) <= 0
        self.low, self.high = low - margin * (4 if self.zero else 1), high + margin

    def __call__(self, value: float) -> float:
        place = self.scale(value) if value > 0 or not self.log else self.low
        return self.start + (self.end - self.start) * (place - self.low) / (self.high - self.low)

    def drawn(self, label: str, upright: bool) -> str:
        """Line, ticks and label."""
        parts = []
        for value in self._ticks():
            at, text = self(value), f"{value:.4g}" if abs(value) < 1e4 else f"{value:.0e}".replace("e+0", "e")
            if upright:
                parts.append(f'<path d="M{LEFT} {at:.1f}h-4" stroke="#555"/>')
                parts.append(f'<text x="{LEFT - 6}" y="{at + 3:.1f}" text-anchor="end">{text}</text>')
            else:
                parts.append(f'<path d="M{at:.1f} {HEIGHT - BOTTOM}v4" stroke="#555"/>')
                parts.append(f'<text x="{at:.1f}" y="{HEIGHT - BOTTOM + 14}" text-anchor="middle">{text}</text>')
        line = f"M{LEFT} {TOP}V{HEIGHT - BOTTOM}" if upright else f"M{LEFT} {HEIGHT - BOTTOM}H{WIDTH - RIGHT}"
        parts.append(f'<path d="{line}" stroke="#555"/>')
        middle = (LEFT + WIDTH - RIGHT) / 2
        parts.append(
            f'<text x="{middle}" y="{HEIGHT - 8}" text-anchor="middle">{escape(label)}</text>' if label else ""
        )
        return "".join(parts)

    def _ticks(self) -> list[float]:
        """Powers of ten, finer ones where there are too few of them; round steps on a linear axis."""
        if not self.log:
            step = 10 ** math.floor(math.log10((self.high - self.low) / 2))
            step *= next((k for k in (1, 2, 5) if (self.high - self.low) / (step * k) <= 6), 10)
            return [round(i * step, 12) for i in range(math.ceil(self.low / step), math.floor(self.high / step) + 1)]
        powers = range(math.floor(self.low), math.ceil(self.high) + 1)
        for factors in ((1,), (1, 3), (1, 2, 5), (1, 1.5, 2, 3, 4, 5, 6, 7, 8, 9)):
            ticks = [f * 10.0**k for k in powers for f in factors if self.low <= math.log10(f * 10.0**k) <= self.high]
            if len(ticks) >= 3:
                break
        if len(ticks) < 2:  # values that lie close together
            ticks = [float(f"{10**place:.3g}") for place in (self.low, (self.low + self.high) / 2, self.high)]
        most = max(1, math.ceil(len(ticks) / 7))
        return ([0.0] if self.zero else []) + ticks[::most]


def family_chart(name: str, boards: Sequence[Board]) -> str:
    """Mean rank against CPU time of the variants that are in every one of two tables or more; else nothing."""
    ranks = mean_ranks(boards)
    if len(boards) < 2 or len(ranks) < 2:
        return ""
    points = []
    for variant, rank in ranks.items():
        seconds = [row.fit_cpu_seconds for board in boards for row in board.ranked if row.variant == variant]
        points.append(Point(variant, statistics.geometric_mean([max(s, 1e-3) for s in seconds]), rank))
    return chart(f"{name}: mean rank against CPU time, {len(boards)} tables", points, "fit CPU s", "mean rank", False)
