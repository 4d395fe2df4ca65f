"""Examples of labelled sequences: kept as plain lists, drawn as text, arc diagrams and maps in SVG."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from html import escape
from typing import Any

import torch

from tsbench.data import Batch
from tsbench.rna.sequences import decode
from tsbench.svg import COLOURS, NAMES, svg

WIDTH, HEIGHT = 420, 240  # of a drawing
_RIGHT, _WRONG, _MISSED = COLOURS[0], COLOURS[1], "#999999"
_LEVELS = 8  # shades of a map of values

Pair = Sequence[int]


def samples(examples: Mapping[str, Any]) -> Iterator[tuple[str, str, Any, Any]]:
    """Name, letters, truth and prediction of each sample that was kept."""
    yield from zip(NAMES, examples["letters"], examples["truth"], examples["prediction"], strict=False)


def letters(batch: Batch) -> list[str]:
    """The nucleotides of each sample, two sequences with a slash between them; empty if the inputs are numbers."""
    if batch.inputs.is_floating_point():
        return [""] * len(batch)
    valid = torch.ones_like(batch.inputs, dtype=torch.bool) if batch.valid is None else batch.valid
    return [
        " / ".join(decode(codes[real]) for codes, real in zip(sequences, reals, strict=True))
        for sequences, reals in zip(batch.inputs.cpu(), valid.cpu(), strict=True)
    ]


def text_lines(lines: Sequence[str]) -> str:
    """Lines of text in letters of equal width."""
    rows = "".join(
        f'<text x="4" y="{13 * (i + 1)}">{escape(line).replace(" ", chr(0xA0))}</text>' for i, line in enumerate(lines)
    )
    width = 8 + 6 * max(map(len, lines), default=0)
    return svg(f'<g font-family="monospace">{rows}</g>', width, 13 * len(lines) + 6)


def arc_diagram(title: str, sequence: str, truth: Sequence[Pair], prediction: Sequence[Pair]) -> str:
    """Base pairs as arcs over the sequence: the truth above the line, the prediction below it."""
    left, right, top = 8, 8, 34
    middle, radius = (HEIGHT + top) / 2, (HEIGHT - top) / 2 - 8
    step = (WIDTH - left - right) / max(len(sequence) - 1, 1)
    true, predicted = ({(i, j) for i, j in pairs} for pairs in (truth, prediction))
    flat = min(1.0, 2 * radius / (step * max((j - i for i, j in true | predicted), default=1)))

    def arcs(pairs: Iterable[tuple[int, int]], up: bool, colour: str) -> str:
        path = "".join(
            f"M{left + i * step:.1f} {middle:g}A{(rx := (j - i) * step / 2):.1f} {rx * flat:.1f} 0 0 {int(up)} "
            f"{left + j * step:.1f} {middle:g}"
            for i, j in sorted(pairs)
        )
        return f'<path d="{path}" fill="none" stroke="{colour}"/>' if path else ""

    parts = [
        _heading(title, (("right", _RIGHT), ("missed", _MISSED), ("wrong", _WRONG))),
        f'<path d="M{left} {middle:g}H{WIDTH - right}" stroke="#888"/>',
        arcs(true & predicted, True, _RIGHT),
        arcs(true - predicted, True, _MISSED),
        arcs(true & predicted, False, _RIGHT),
        arcs(predicted - true, False, _WRONG),
    ]
    if step >= 5:
        places = " ".join(f"{left + i * step:.1f}" for i in range(len(sequence)))
        halo = 'stroke="#fff" stroke-width="3" paint-order="stroke"'
        parts.append(f'<text x="{places}" y="{middle + 3:g}" text-anchor="middle" {halo}>{escape(sequence)}</text>')
    return svg("".join(parts), WIDTH, HEIGHT)


def pair_map(title: str, size: int, truth: Sequence[Pair], prediction: Sequence[Pair]) -> str:
    """Pairs of `size` nucleotides as a map: the truth in the upper right triangle, the prediction in the lower left."""
    true, predicted = ({(i, j) for i, j in pairs} for pairs in (truth, prediction))
    layers = [
        (_RIGHT, 1.0, sorted(true & predicted)),
        (_MISSED, 1.0, sorted(true - predicted)),
        (_RIGHT, 1.0, sorted((j, i) for i, j in true & predicted)),
        (_WRONG, 1.0, sorted((j, i) for i, j in predicted - true)),
    ]
    return _map(title, size, layers, (("right", _RIGHT), ("missed", _MISSED), ("wrong", _WRONG)))


def value_map(title: str, truth: Sequence[Sequence[float | None]], prediction: Sequence[Sequence[float | None]]) -> str:
    """Values from 0 (white) to 1 (dark): the truth in the upper right triangle, the prediction in the lower left."""
    shades: list[list[tuple[int, int]]] = [[] for _ in range(_LEVELS + 1)]
    for i in range(len(truth)):
        for j in range(len(truth)):
            value = (truth if i < j else prediction)[i][j]
            if value is not None and i != j:
                shades[round(min(max(value, 0.0), 1.0) * _LEVELS)].append((i, j))
    layers = [(COLOURS[0], level / _LEVELS, cells) for level, cells in enumerate(shades) if level]
    return _map(title, len(truth), layers, ())


def _map(
    title: str, size: int, layers: Sequence[tuple[str, float, list[tuple[int, int]]]], legend: Sequence[tuple[str, str]]
) -> str:
    """Cells `(row, column)` of a square, a colour and an opacity for each layer."""
    top = 34
    side = HEIGHT - top - 4
    mark = max(1.0, 2 * size / side)  # at least two pixels, or pairs of long RNAs would fade
    cells = "".join(
        f'<path d="{"".join(f"M{j} {i}h{mark:.3g}" for i, j in places)}" stroke="{colour}" '
        f'stroke-width="{mark:.3g}" stroke-opacity="{opacity:g}"/>'
        for colour, opacity, places in layers
        if places
    )
    frame = f'<rect x="8" y="{top}" width="{side}" height="{side}" fill="none" stroke="#888"/>'
    diagonal = f'<path d="M8 {top}l{side} {side}" stroke="#ccc" stroke-width="0.5"/>'
    # A stroke lies on both sides of its line: half a cell down puts each cell in its row.
    drawn = f'<g transform="translate(8,{top}) scale({side / max(size, 1):.4f}) translate(0,0.5)">{cells}</g>'
    words = f'<text x="{side + 16}" y="{top + 10}">truth</text><text x="{side + 16}" y="{HEIGHT - 8}">prediction</text>'
    return svg(_heading(title, legend) + diagonal + drawn + frame + words, WIDTH, HEIGHT)


def _heading(title: str, legend: Sequence[tuple[str, str]]) -> str:
    parts = [f'<text x="4" y="12" font-size="11" font-weight="bold">{escape(title)}</text>']
    for i, (label, colour) in enumerate(legend):
        parts.append(f'<rect x="{8 + 60 * i}" y="19" width="8" height="8" fill="{colour}"/>')
        parts.append(f'<text x="{20 + 60 * i}" y="26">{label}</text>')
    return "".join(parts)
