"""What a wider beam buys: recall and time for beams of several widths, on validation users."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from tsbench.data import Batch, Samples
from tsbench.svg import COLOURS, Line, line_chart
from tsbench.tasks.next_item import NextItem

WIDTHS = (1, 2, 4, 8, 16, 32, 64, 128)
USERS = 256  # of validation, spread evenly
BLOCK = 64  # users at once


@dataclass(frozen=True)
class Width:
    """Of a beam: its width, recall_10 and ndcg_10, and milliseconds of CPU that a user takes."""

    beam: int
    recall: float
    ndcg: float
    milliseconds: float


@torch.no_grad()
def by_width(
    task: NextItem, predict: Callable[[Batch, int], Tensor], samples: Samples, widths: Sequence[int] = WIDTHS
) -> list[Width]:
    """Measure some users with beams of all widths; `predict(batch, width)` gives scores `(batch, item)`."""
    users = torch.linspace(0, len(samples) - 1, min(USERS, len(samples))).long()
    found = []
    for width in widths:
        meter, spent = task.meter(), 0.0
        for indices in users.split(BLOCK):
            batch = samples.batch(indices)
            begun = time.process_time()
            scores = predict(batch, width)
            spent += time.process_time() - begun
            meter.update(scores, batch)
        values = meter.scores().values
        found.append(Width(width, values["recall_10"], values["ndcg_10"], 1000 * spent / len(users)))
    return found


def width_charts(found: Sequence[Width]) -> str:
    """Recall and time by the width of the beam, which doubles from point to point."""
    charts = []
    for title, values in (
        ("recall_10 on validation", [w.recall for w in found]),
        ("ms of CPU a user", [w.milliseconds for w in found]),
    ):
        label = "times that the beam is doubled, from width 1"
        charts.append(line_chart(title, [Line("beam", values, COLOURS[0])], width=420, height=180, x_label=label))
    return "".join(charts)
