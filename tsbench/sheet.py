"""Leaderboards as CSV."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence

from tsbench.summary import Board


def as_csv(shown: Sequence[Board]) -> str:
    """One line for each data set, protocol, variant and metric."""
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(
        [
            "dataset",
            "protocol",
            "selected_on_test",
            "generated",
            "model",
            "variant",
            "metric",
            "mean",
            "std",
            "interval_low",
            "interval_high",
            "seeds",
            "rank",
            "told",
            "below_bar",
            "published",
            "difference",
            "source",
            "defect",
            "fit_seconds",
            "fit_cpu_seconds",
            "peak_memory_mb",
            "parameters",
        ]
    )
    for board in shown:
        for row in board.rows:
            for metric, score in row.scores.items():
                published = row.published.get(metric)
                interval = row.interval if metric == board.kind.primary else None
                writer.writerow(
                    [
                        board.dataset,
                        board.protocol,
                        board.selected_on_test,
                        board.generated,
                        row.model,
                        row.variant,
                        metric,
                        score.mean,
                    ]
                    + ["" if score.std is None else score.std, *(interval or ("", ""))]
                    + [" ".join(map(str, row.seeds)), row.rank or "", row.told, row.below]
                    + (
                        [published.value, row.difference(metric), published.source, published.defect]
                        if published
                        else [""] * 4
                    )
                    + [row.fit_seconds, row.fit_cpu_seconds, row.memory_mb, row.parameters]
                )
    return out.getvalue()
