"""Grids: variants of one model that differ in two settings, as a heat map of scores."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import Any

from tsbench.settings import to_text
from tsbench.summary import Board, Row, Spread
from tsbench.svg import heat_map


@dataclass(frozen=True)
class Grid:
    """Scores of one model over all values of two settings; `scores` lacks pairs that were not run."""

    model: str
    row_setting: str
    column_setting: str
    rows: list[str]
    columns: list[str]
    scores: dict[tuple[str, str], Spread]
    rest: str  # other settings that these variants share and others of the board do not


def grids(board: Board) -> list[Grid]:
    """All grids of at least two by two that a board holds."""
    found = []
    for model in dict.fromkeys(row.model for row in board.rows):
        rows = [row for row in board.rows if row.model == model]
        settings = [row.results[0]["cell"]["settings"] for row in rows]
        keys = dict.fromkeys(key for s in settings for key in s)  # rows of older code may lack a setting
        varying = [key for key in keys if len({to_text(s.get(key)) for s in settings}) > 1]
        for pair in combinations(varying, 2):
            found += _of_pair(board, model, rows, pair, [key for key in varying if key not in pair])
    return found


def _of_pair(board: Board, model: str, rows: Sequence[Row], pair: Sequence[str], others: Sequence[str]) -> list[Grid]:
    """One grid for each setting of the others."""
    groups: dict[str, dict[tuple[str, str], Spread]] = {}
    for row in rows:
        settings: dict[str, Any] = row.results[0]["cell"]["settings"]
        rest = ", ".join(f"{key}={to_text(settings.get(key))}" for key in others)
        at = (to_text(settings.get(pair[0])), to_text(settings.get(pair[1])))
        groups.setdefault(rest, {})[at] = row.scores[board.kind.primary]
    found = []
    for rest, scores in groups.items():
        row_values, column_values = (sorted({at[axis] for at in scores}, key=_number_first) for axis in (0, 1))
        full = len(scores) > max(len(row_values), len(column_values))  # more than one line of values
        if full and min(len(row_values), len(column_values)) > 1:
            found.append(Grid(model, pair[0], pair[1], row_values, column_values, scores, rest))
    return found


def _number_first(text: str) -> tuple[float, str]:
    """Sort numbers by value, words by letter."""
    try:
        return float(text), text
    except ValueError:
        return float("inf"), text


def drawn(grid: Grid, board: Board) -> str:
    """The heat map of a grid; dark is better."""
    primary = board.kind.primary
    title = f"{grid.model}: {primary} by {grid.row_setting} (rows), {grid.column_setting} (columns); darker is better"
    title += f" at {grid.rest}" if grid.rest else ""
    cells = {
        at: (s.mean, f"{s.mean:.3f}" + (f" ±{s.std:.3f}" if s.std is not None else "")) for at, s in grid.scores.items()
    }
    return heat_map(title, grid.rows, grid.columns, cells, board.kind.metrics[primary].higher_is_better)
