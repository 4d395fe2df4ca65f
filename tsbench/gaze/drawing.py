"""Drawings of scanpaths as SVG: paths over boxes, search curves, and how long, wide and forgetful paths are.

`scanpath_examples` and `tallies` give what is drawn as plain lists; the rest draws them. A table has a row of counts of
human paths and one of the model's, with the same bins for all data, so that those of several runs can be added.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from html import escape
from itertools import pairwise
from typing import Any

import torch
from torch import Tensor

from tsbench.data import Batch
from tsbench.gaze.samples import END
from tsbench.svg import COLOURS, DASHES, NAMES, Line, grid, line_chart, rounded, svg
from tsbench.tasks.task import Counts

FOUND = 60  # fixations of the search curve; later counts as never
LENGTHS = (1, 2, 3, 4, 5, 6, 8, 10, 13, 16, 20, 25, 32, 40, 50, 64)  # least fixations in each bin; the last is open
RETURNS = (0, 1, 2, 3, 4, 6, 8, 11, 16, 24, 32)  # least fixations on objects seen before; the last is open
AMPLITUDES, WIDE = 20, 0.5  # bins of saccade length, and their width in units; the last is open
DIRECTIONS = 12  # sectors, the first around the right, counter-clockwise as seen

WIDTH, HEIGHT, TOP = 300, 230, 30  # of a drawn path
_KINDS = {"human": "human", "greedy": "model, most probable", "drawn": "model, drawn"}
_ROWS = ("human", "model")
_LEFT, _RIGHT, _BOTTOM = 38, 8, 26
_CHART = (320, 160)


# ---------------------------------------------------------------- what is drawn


def scanpath_examples(batch: Batch, greedy: Tensor, drawn: Tensor) -> dict[str, Any]:
    """Displays, targets and paths of some trials as plain lists.

    Args:
        batch: the trials.
        greedy: the most probable path of each, `(batch, 1, step)` tokens, END included.
        drawn: paths drawn for each, `(batch, copy, step)`; the first is kept.
    """
    assert batch.places is not None
    middle, extent = (batch.places * batch.more["unit"].repeat(1, 2)[:, None]).split(2, -1)
    boxes = torch.cat([middle - extent / 2, middle + extent / 2], -1)
    real = batch.real.sum(1).tolist()
    targets = [(row.nonzero()[:, 0] - 1).tolist() for row in batch.more["targets"]]
    paths = {"human": batch.target, "greedy": greedy[:, 0], "drawn": drawn[:, 0]}
    return {
        "size": rounded(batch.more["size"]),
        "boxes": [rounded(own[1:tokens]) for own, tokens in zip(boxes, real, strict=True)],
        "targets": targets,
        **{name: [(row[row > END] - 1).tolist() for row in path] for name, path in paths.items()},
    }


def tallies(batch: Batch, paths: Tensor) -> dict[str, list[int]]:
    """Counts of paths in the bins above; fixations count at the centre of their object.

    `found`: paths that fixate a target first at fixation 1, 2, ... FOUND, and that do not, of those that have a target.

    Args:
        batch: the trials.
        paths: of each, `(batch, step)` tokens, END included or not, then -1.
    """
    assert batch.places is not None
    real = paths > END
    tokens = paths.clamp(min=END)
    length = real.sum(1)
    ordered = paths.masked_fill(~real, -1).sort(1).values
    objects = length.clamp(max=1) + ((ordered.diff(dim=1) > 0) & (ordered[:, :-1] > END)).sum(1)
    targets = batch.more["targets"]
    hit = targets.gather(1, tokens) & real
    first = torch.where(hit.any(1), hit.int().argmax(1), FOUND)[targets.any(1)].clamp(max=FOUND)
    unit = batch.more["unit"]
    px = batch.places[..., :2] * unit[:, None]
    move = px.gather(1, tokens[..., None].expand(-1, -1, 2)).diff(dim=1)[real[:, 1:]]  # (saccade, 2)
    mean = unit.mean(1)[:, None].expand(-1, paths.shape[1] - 1)[real[:, 1:]]
    amplitude = (move.norm(dim=1) / mean / WIDE).long().clamp(max=AMPLITUDES - 1)
    turn = torch.atan2(-move[:, 1], move[:, 0]) / (2 * torch.pi) * DIRECTIONS  # y goes down on a screen
    direction = (turn.round().long() % DIRECTIONS)[move.norm(dim=1) > 0]
    return {
        "found": torch.bincount(first, minlength=FOUND + 1).tolist(),
        "length": _binned(length[length > 0], LENGTHS),
        "returns": _binned((length - objects)[length > 0], RETURNS),
        "amplitude": torch.bincount(amplitude, minlength=AMPLITUDES).tolist(),
        "direction": torch.bincount(direction, minlength=DIRECTIONS).tolist(),
    }


def _binned(values: Tensor, edges: Sequence[int]) -> list[int]:
    at = torch.searchsorted(torch.tensor(edges, device=values.device), values, right=True) - 1
    counts: list[int] = torch.bincount(at, minlength=len(edges)).tolist()
    return counts


# ---------------------------------------------------------------- paths


def scanpath_figure(examples: Mapping[str, Any]) -> str:
    """Paths over the boxes of their displays, a row for each trial: human, most probable, drawn."""
    panels = []
    for i, name in zip(range(len(examples["boxes"])), NAMES, strict=False):
        for kind, words in _KINDS.items():
            display = (examples["size"][i], examples["boxes"][i], examples["targets"][i])
            panels.append(_path_panel(f"{name} test trial: {words}", *display, examples[kind][i]))
    return grid(panels, len(_KINDS), WIDTH, HEIGHT) if panels else ""


def _path_panel(
    title: str, size: Sequence[float], boxes: Sequence[Sequence[float]], targets: Sequence[int], path: Sequence[int]
) -> str:
    """One path: numbered dots joined by lines; the target has a thick frame."""
    scale = min((WIDTH - 8) / size[0], (HEIGHT - TOP - 4) / size[1])
    middles = [((b[0] + b[2]) / 2 * scale, (b[1] + b[3]) / 2 * scale) for b in boxes]
    frames = "".join(
        f'<rect x="{b[0] * scale:.1f}" y="{b[1] * scale:.1f}" width="{(b[2] - b[0]) * scale:.1f}" '
        f'height="{(b[3] - b[1]) * scale:.1f}"'
        + (f' class="target" stroke="{COLOURS[1]}" stroke-width="2.5"/>' if i in targets else "/>")
        for i, b in enumerate(boxes)
    )
    points = " ".join(f"{middles[o][0]:.1f},{middles[o][1]:.1f}" for o in path)
    visits: dict[int, list[int]] = {}
    for step, o in enumerate(path, 1):
        visits.setdefault(o, []).append(step)
    dots = "".join(
        f'<circle cx="{middles[o][0]:.1f}" cy="{middles[o][1]:.1f}" r="{5 if 1 in steps else 3}"/>'
        for o, steps in visits.items()
    )
    numbers = ""
    for o, steps in visits.items():
        x, y = middles[o]
        side, anchor = (-4, ' text-anchor="end"') if x > 0.85 * size[0] * scale else (4, "")  # or it would be cut off
        numbers += f'<text x="{x + side:.1f}" y="{max(y - 4, 7):.1f}"{anchor}>{_steps(steps)}</text>'
    end = "" if not targets else ", ends at a target" if path and path[-1] in targets else ", ends elsewhere"
    words = f"{len(path)} fixation{'s' * (len(path) != 1)}{end}"
    return svg(
        f'<text x="4" y="12" font-size="11" font-weight="bold">{escape(title)}</text><text x="4" y="24">{words}</text>'
        f'<g transform="translate(4,{TOP})">'
        f'<rect width="{size[0] * scale:.1f}" height="{size[1] * scale:.1f}" fill="#f7f7f7" stroke="#ccc"/>'
        f'<g fill="none" stroke="#aaa" stroke-width="0.8">{frames}</g>'
        f'<polyline points="{points}" fill="none" stroke="{COLOURS[0]}" stroke-width="1.2" stroke-opacity="0.7"/>'
        f'<g fill="{COLOURS[0]}">{dots}</g>'
        f'<g font-size="9" stroke="#fff" stroke-width="2.5" paint-order="stroke">{numbers}</g></g>',
        WIDTH,
        HEIGHT,
    )


def _steps(steps: Sequence[int]) -> str:
    """Steps at which an object was fixated, runs as first-last: 1, 4-6, and no more than three of them."""
    runs: list[list[int]] = []
    for step in steps:
        if runs and step == runs[-1][1] + 1:
            runs[-1][1] = step
        else:
            runs.append([step, step])
    words = [f"{a}" if a == b else f"{a}-{b}" for a, b in runs]
    return ", ".join(words[:3]) + ("…" if len(words) > 3 else "")


# ---------------------------------------------------------------- charts of tallies


def search_curve(tables: Mapping[str, Counts]) -> str:
    """Share of searches in which a target was fixated within k fixations; nothing where nothing is searched."""
    rows = tables["found"]
    if not sum(rows[0]):
        return ""
    most = max((k + 1 for row in rows for k, count in enumerate(row[:FOUND]) if count), default=1)
    lines = []
    for i, (name, row) in enumerate(zip(_ROWS, rows, strict=True)):
        total = max(1, sum(row))
        shares = [sum(row[: k + 1]) / total for k in range(most)]
        lines.append(Line(name, [0.0, *shares], COLOURS[i], DASHES[i]))
    return line_chart("target fixated within k fixations, share of paths", lines, *_CHART, "fixations")


def saccade_histograms(tables: Mapping[str, Counts]) -> str:
    """Length and direction of the steps from object to object."""
    widths = [f"{i * WIDE:g}" if i % 4 == 0 else "" for i in range(AMPLITUDES)]
    sectors = {0: "right", DIRECTIONS // 4: "up", DIRECTIONS // 2: "left", 3 * DIRECTIONS // 4: "down"}
    charts = [
        _histogram("step length, units from object to object", tables["amplitude"], widths),
        _histogram("step direction", tables["direction"], [sectors.get(i, "") for i in range(DIRECTIONS)]),
    ]
    return grid(charts, 2, *_CHART)


def length_histograms(tables: Mapping[str, Counts]) -> str:
    """Fixations of a path, and how many of them were on objects seen before."""
    charts = [
        _histogram("fixations of a path", tables["length"], _ranges(LENGTHS)),
        _histogram("fixations on objects seen before", tables["returns"], _ranges(RETURNS)),
    ]
    return grid(charts, 2, *_CHART)


def _ranges(edges: Sequence[int]) -> list[str]:
    """Names of bins; every one has its least value, the last is open."""
    return [str(a) for a, _ in pairwise(edges)] + [f"{edges[-1]}+"]


def _histogram(title: str, rows: Counts, names: Sequence[str]) -> str:
    """Shares of each bin: people as bars, the model as a line of steps; empty bins at the end are left out."""
    used = max((i + 1 for row in rows for i, count in enumerate(row) if count), default=1)
    shares = [[count / max(1, sum(row)) for count in row[:used]] for row in rows]
    high = max(max(row) for row in shares) or 1.0
    width, height = _CHART
    base, step = height - _BOTTOM, (width - _LEFT - _RIGHT) / used
    scale = (base - TOP - 8) / high
    human, model = shares
    bars = "".join(
        f'<rect x="{_LEFT + i * step + 0.5:.1f}" y="{base - s * scale:.1f}" width="{max(step - 1, 0.5):.1f}" '
        f'height="{s * scale:.1f}"/>'
        for i, s in enumerate(human)
    )
    steps = "".join(f"V{base - s * scale:.1f}H{_LEFT + (i + 1) * step:.1f}" for i, s in enumerate(model))
    labels = "".join(
        f'<text x="{_LEFT + (i + 0.5) * step:.1f}" y="{base + 11}" text-anchor="middle">{escape(name)}</text>'
        for i, name in enumerate(names[:used])
        if name
    )
    return svg(
        f'<text x="4" y="12" font-size="11" font-weight="bold">{escape(title)}</text>'
        f'<rect x="{_LEFT}" y="18" width="12" height="8" fill="{COLOURS[0]}" fill-opacity="0.45"/>'
        f'<text x="{_LEFT + 16}" y="25">human</text>'
        f'<path d="M{_LEFT + 56} 22h14" stroke="{COLOURS[1]}" stroke-width="1.8"/>'
        f'<text x="{_LEFT + 74}" y="25">model</text>'
        f'<g fill="{COLOURS[0]}" fill-opacity="0.45">{bars}</g>'
        f'<path class="model" d="M{_LEFT} {base}{steps}V{base}" fill="none" stroke="{COLOURS[1]}" stroke-width="1.8"/>'
        f'<path d="M{_LEFT} {TOP + 4}V{base}H{width - _RIGHT}" fill="none" stroke="#888"/>'
        f'<text x="{_LEFT - 4}" y="{base - high * scale + 4:.1f}" text-anchor="end">{high:.0%}</text>'
        f'<text x="{_LEFT - 4}" y="{base}" text-anchor="end">0</text>{labels}',
        width,
        height,
    )
