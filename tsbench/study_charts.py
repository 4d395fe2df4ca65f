"""Charts of a study as SVG: how the search went, which settings matter, which combinations are good."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from html import escape
from typing import TYPE_CHECKING, Any

from tsbench.svg import COLOURS, shortened, svg

if TYPE_CHECKING:
    from tsbench.studies import Trial

BLUE, RED, GREEN = COLOURS[:3]
GREY = "#888888"


@dataclass(frozen=True)
class Axis:
    """What a setting is chosen from: a range, or a few choices."""

    low: float = 0.0
    high: float = 1.0
    log: bool = False
    choices: tuple[Any, ...] = ()

    @staticmethod
    def of(attributes: Mapping[str, Any]) -> Axis:
        """From the attributes of an Optuna distribution."""
        if "choices" in attributes:
            return Axis(choices=tuple(attributes["choices"]))
        return Axis(attributes["low"], attributes["high"], attributes["log"])

    def __str__(self) -> str:
        if self.choices:
            return ", ".join(map(_text, self.choices))
        return f"{self.low:g} to {self.high:g}{', log' if self.log else ''}"

    def place(self, value: Any) -> float:
        """Where a value is, from 0 to 1."""
        if self.choices:
            return (self.choices.index(value) + 0.5) / len(self.choices)
        scale = math.log if self.log else float
        span = scale(self.high) - scale(self.low)
        return (scale(value) - scale(self.low)) / span if span else 0.5


def _text(value: Any) -> str:
    return f"{value:g}" if isinstance(value, float) else str(value).lower() if isinstance(value, bool) else str(value)


def _title(text: str) -> str:
    return f'<text x="4" y="12" font-size="11" font-weight="bold">{escape(text)}</text>'


def history(trials: Sequence[Trial], metric: str, higher_is_better: bool) -> str:
    """Validation score by trial, and the best so far; pruned trials are crosses, at the last score they reported.

    The axis ends where three quarters of the trials do, lest one that diverged flatten all others; what lies beyond
    is drawn hollow at its end.
    """
    width, height, left, right, top, bottom = 420, 200, 52, 10, 46, 26
    scored = [(t, t.value) for t in trials if t.value is not None]
    if not scored:
        return ""
    order = sorted((value for _, value in scored), reverse=higher_is_better)
    best, worst = order[0], order[min(len(order) - 1, math.ceil(0.75 * len(order)))]
    span, last = (worst - best) or 1.0, max(1, max(t.number for t in trials))

    def x(number: int) -> float:
        return left + (width - left - right) * number / last

    def y(value: float) -> float:
        """The best at the edge that is better: the top for scores, the bottom for errors."""
        share = min(1.05, (value - best) / span)
        return top + (height - top - bottom) * (0.05 + 0.9 * (share if higher_is_better else 1 - share))

    leader: float | None = None
    parts: list[str] = []
    path: list[str] = []
    for trial, value in scored:
        at_x, at_y, beyond = x(trial.number), y(value), (value - best) / span > 1.05
        if trial.state == "pruned":
            shape = f"M{at_x - 3:.1f} {at_y - 3:.1f}l6 6m0 -6l-6 6"
            parts.append(f'<path d="{shape}" stroke="{RED}" stroke-width="1.4" fill="none"/>')
            continue
        fill = "none" if beyond else BLUE
        parts.append(f'<circle cx="{at_x:.1f}" cy="{at_y:.1f}" r="3" fill="{fill}" stroke="{BLUE}"/>')
        if leader is None or (value > leader if higher_is_better else value < leader):
            path.append(f"{'H' if path else 'M'}{at_x:.1f}{'V' if path else ' '}{at_y:.1f}")
            leader = value
    step = f"{''.join(path)}H{x(last):.1f}"
    base = height - bottom
    near, far = (f"{best:.4g}", top + 10), (f"{worst:.4g}", base - 2)
    marks = (near, far) if higher_is_better else ((near[0], far[1]), (far[0], near[1]))
    hollow = sum((value - best) / span > 1.05 for trial, value in scored if trial.state != "pruned")
    return svg(
        _title(f"validation {metric} of {len(trials)} trials, {'higher' if higher_is_better else 'lower'} is better")
        + _legend(sum(t.state == "pruned" for t in trials), sum(t.state == "failed" for t in trials), hollow)
        + f'<path d="M{left} {top}V{base}H{width - right}" fill="none" stroke="{GREY}"/>'
        + "".join(f'<text x="{left - 4}" y="{at:.0f}" text-anchor="end">{text}</text>' for text, at in marks)
        + f'<text x="{left}" y="{height - 8}">0</text>'
        + f'<text x="{width - right}" y="{height - 8}" text-anchor="end">trial {last}</text>'
        + f'<path d="{step}" fill="none" stroke="{GREEN}" stroke-width="1.6"/>{"".join(parts)}',
        width,
        height,
    )


def _legend(pruned: int, failed: int, hollow: int) -> str:
    """What the marks mean; those that do not occur are left out."""
    parts = [
        f'<circle cx="10" cy="26" r="3" fill="{BLUE}"/><text x="18" y="29">completed</text>',
        f'<path d="M74 26h16" stroke="{GREEN}" stroke-width="1.6"/><text x="94" y="29">best so far</text>',
    ]
    if pruned:
        parts.append(f'<path d="M152 23l6 6m0 -6l-6 6" stroke="{RED}" stroke-width="1.4"/>')
        parts.append(f'<text x="164" y="29">pruned ({pruned})</text>')
    if hollow:
        parts.append(f'<circle cx="230" cy="26" r="3" fill="none" stroke="{BLUE}"/>')
        parts.append(f'<text x="238" y="29">beyond the axis ({hollow})</text>')
    if failed:
        parts.append(f'<text x="340" y="29">failed: {failed}</text>')
    return "".join(parts)


def importance(shares: Mapping[str, float], completed: int, enough: int) -> str:
    """A bar a setting: its share in what tells the best tenth of the completed trials from the rest."""
    if not shares:
        return ""
    width, left, top, high = 420, 12 + 6 * max(map(len, shares)), 40, 20
    parts = [_title("importance of settings, in reaching the best tenth of trials")]
    few = f"; rough, for it takes {enough}" if completed < enough else ""
    parts.append(f'<text x="4" y="27">PED-ANOVA over {completed} completed trials{few}</text>')
    for i, (name, share) in enumerate(sorted(shares.items(), key=lambda item: -item[1])):
        y, length = top + i * high, max(1.0, (width - left - 50) * share)
        parts.append(f'<text x="{left - 6}" y="{y + 12}" text-anchor="end">{escape(name)}</text>')
        parts.append(f'<rect x="{left}" y="{y + 2}" width="{length:.1f}" height="{high - 6}" fill="{BLUE}"/>')
        parts.append(f'<text x="{left + length + 4:.1f}" y="{y + 12}">{100 * share:.0f} %</text>')
    return svg("".join(parts), width, top + high * len(shares) + 6)


def parallel(trials: Sequence[Trial], space: Mapping[str, Axis], metric: str, higher_is_better: bool) -> str:
    """Parallel coordinates: a line a completed trial through its settings to its rank, the best fifth drawn strong."""
    order = sorted((t for t in trials if t.state == "completed"), key=lambda t: t.value or 0.0)
    order = order[::-1] if higher_is_better else order
    if len(order) < 2:
        return ""
    wide, top, bottom, high, left = 110, 46, 18, 150, 40
    names, strong = list(space), math.ceil(len(order) / 5)
    width = left * 2 + wide * len(names)
    parts = [
        _title(f"settings of {len(order)} completed trials"),
        f'<path d="M4 26h16" stroke="{RED}" stroke-width="2"/><text x="24" y="29">best fifth ({strong})</text>',
        f'<path d="M120 26h16" stroke="{BLUE}" stroke-opacity="0.35"/><text x="140" y="29">others</text>',
    ]
    for rank in reversed(range(len(order))):
        places = [space[name].place(order[rank].params[name]) for name in names] + [1 - rank / (len(order) - 1)]
        points = " ".join(f"{left + i * wide},{top + high * (1 - place):.1f}" for i, place in enumerate(places))
        style = f'stroke="{RED}" stroke-width="2"' if rank < strong else f'stroke="{BLUE}" stroke-opacity="0.35"'
        parts.append(f'<polyline points="{points}" fill="none" {style}/>')
    for i, name in enumerate(names):
        parts.append(_axis(left + i * wide, top, high, name, _ticks(space[name])))
    ends = [(1.0, f"{order[0].value:.4g}"), (0.0, f"{order[-1].value:.4g}")]
    parts.append(_axis(left + len(names) * wide, top, high, f"rank by {metric}", ends))
    return svg("".join(parts), max(width, 240), top + high + bottom)


def _ticks(axis: Axis) -> list[tuple[float, str]]:
    """Place and text of what an axis is marked with."""
    if axis.choices:
        return [(axis.place(choice), shortened(_text(choice), 18)) for choice in axis.choices]
    return [(0.0, f"{axis.low:g}"), (1.0, f"{axis.high:g}{' (log)' if axis.log else ''}")]


def _axis(x: float, top: int, high: int, name: str, ticks: Sequence[tuple[float, str]]) -> str:
    parts = [
        f'<path d="M{x} {top}v{high}" stroke="#000"/>',
        f'<text x="{x}" y="{top + high + 14}" text-anchor="middle" font-weight="bold">{escape(name)}</text>',
    ]
    halo = 'stroke="#fff" stroke-width="3" paint-order="stroke"'
    for at, text in ticks:
        parts.append(f'<text x="{x + 4}" y="{top + high * (1 - at) + 3:.1f}" {halo}>{escape(text)}</text>')
    return "".join(parts)
