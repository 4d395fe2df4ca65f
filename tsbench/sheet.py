"""Leaderboards as CSV."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from typing import Any

from tsbench.dataset import Published
from tsbench.stats import Comparison
from tsbench.summary import Board, Row


def as_csv(shown: Sequence[Board]) -> str:
    """One line for each data set, protocol, variant and metric.

    Of the primary metric only: `seeds_low`, `seeds_high`, the bootstrap interval of the mean over seeds; `behind`, the
    mean over units of this model minus that of the first-ranked one, with its bootstrap interval; `effect`
    (rank-biserial, negative if this model is worse) and `p` of the same comparison.
    """
    lines = [_line(board, row, metric) for board in shown for row in board.rows for metric in row.scores]
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    if lines:
        writer.writerow(lines[0])
    writer.writerows(["" if value is None else value for value in line.values()] for line in lines)
    return out.getvalue()


def _line(board: Board, row: Row, metric: str) -> dict[str, Any]:
    """Column -> value, None for what there is not."""
    score, published, primary = row.scores[metric], row.published.get(metric), metric == board.kind.primary
    return {
        "dataset": board.dataset,
        "protocol": board.protocol,
        "selected_on_test": board.selected_on_test,
        "generated": board.generated,
        "model": row.model,
        "variant": row.variant,
        "metric": metric,
        "mean": score.mean,
        "std": score.std,
        **_bounds("interval", row.interval if primary else None),
        **_bounds("seeds", row.over_seeds if primary else None),
        "seeds": " ".join(map(str, row.seeds)),
        "rank": row.rank or None,
        **_behind(board.against_first(row) if primary else None),
        "told": row.told,
        "below_bar": row.below,
        **_published(published, row.difference(metric)),
        "fit_seconds": row.fit_seconds,
        "fit_cpu_seconds": row.fit_cpu_seconds,
        "peak_memory_mb": row.memory_mb,
        "parameters": row.parameters,
    }


def _bounds(name: str, interval: tuple[float, float] | None) -> dict[str, float | None]:
    low, high = interval or (None, None)
    return {f"{name}_low": low, f"{name}_high": high}


def _behind(pair: Comparison | None) -> dict[str, Any]:
    """The comparison with the first-ranked model."""
    return {
        "behind": pair.difference if pair else None,
        **_bounds("behind", pair.interval if pair else None),
        "effect": pair.effect if pair else None,
        "p": pair.p if pair else None,
    }


def _published(published: Published | None, difference: float | None) -> dict[str, Any]:
    return {
        "published": published.value if published else None,
        "difference": difference,
        "source": published.source if published else None,
        "defect": published.defect if published else None,
    }
