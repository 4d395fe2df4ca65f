"""The page of a model: its scores, ranks and costs on all data sets, its settings, and where it comes from."""

from __future__ import annotations

import inspect
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from tsbench.errors import TsbenchError
from tsbench.model import Model
from tsbench.registry import find_model
from tsbench.settings import to_text
from tsbench.summary import Board, Row

Place = tuple[str, Board, Row]  # link to a table, the table, a row in it


@dataclass(frozen=True)
class ModelPage:
    """One model with all its variants; `about` and `source` are empty if its file is no longer here."""

    name: str
    id: str
    places: list[Place]
    about: str
    source: str

    def best(self) -> Iterator[Place]:
        """Of each table, the best ranked of its variants."""
        seen = set()
        for link, board, row in self.places:  # rows are best first
            if row.rank and link not in seen:
                seen.add(link)
                yield link, board, row

    @property
    def settings(self) -> dict[str, list[str]]:
        """Setting -> the values that it had in these runs, the most frequent first."""
        found: dict[str, list[str]] = {}
        for _, _, row in self.places:
            for name, value in row.results[0]["cell"]["settings"].items():
                found.setdefault(name, []).append(to_text(value))
        return {name: sorted(set(values), key=values.count, reverse=True) for name, values in found.items()}

    @property
    def told(self) -> str:
        """What it is told that others are not."""
        return next((row.told for _, _, row in self.places if row.told), "")


def model_pages(pages: Sequence[tuple[str, Board]]) -> list[ModelPage]:
    """One page a model, by name."""
    places: dict[str, list[Place]] = {}
    for link, board in pages:
        for row in board.rows:
            places.setdefault(row.model, []).append((link, board, row))
    return [
        ModelPage(name, f"model-{i}", found, *_origin(name))
        for i, (name, found) in enumerate(sorted(places.items()), 1)
    ]


def _origin(name: str) -> tuple[str, str]:
    """First paragraph of what its file says of a model, and its source."""
    try:
        model = find_model(name)
    except TsbenchError:
        return "", ""
    text = inspect.getdoc(model) if model.__doc__ and model.__doc__ != Model.__doc__ else ""
    return " ".join((text or "").split("\n\n")[0].split()), model.source
