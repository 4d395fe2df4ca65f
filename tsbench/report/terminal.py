"""Leaderboards as plain text."""

from __future__ import annotations

from collections.abc import Sequence

from tsbench.caveats import PLAIN
from tsbench.critical import contest_text, contests, mean_ranks
from tsbench.report.tables import duel, honest, leaderboard_cells
from tsbench.store import Result
from tsbench.summary import Board

COLUMNS = (
    "↑ higher is better, ↓ lower; all columns, and under 'What is measured' what they are: tsbench report --html FILE"
)


def terminal(shown: Sequence[Board], failures: Sequence[Result]) -> str:
    """All leaderboards as plain text."""
    parts = [_board_text(board) for board in shown]
    if shown:
        parts[-1] += f"\n{COLUMNS}"
    compared = contests(shown)
    parts += map(contest_text, compared)
    counted = honest(shown)
    if len(ranks := mean_ranks(counted)) > 1 and len(counted) > 1 and not any(c.ranks for c in compared):
        lines = [f"  {rank:5.2f}  {variant}" for variant, rank in ranks.items()]
        parts.append(f"mean rank of the models in all {len(counted)} tables\n" + "\n".join(lines))
    if failures:
        lines = [f"  {r['cell']['dataset']} {r['variant']} seed {r['cell']['seed']}: {r['reason']}" for r in failures]
        parts.append(f"{len(failures)} failed cells (they run again with their command)\n" + "\n".join(lines))
    return "\n\n".join(parts)


def _board_text(board: Board) -> str:
    header, *body = leaderboard_cells(board)
    metrics = board.kind.metrics
    header = [f"{name}{'↑' if metrics[name].higher_is_better else '↓'}" if name in metrics else name for name in header]
    widths = [max(len(line[i]) for line in (header, *body)) for i in range(len(header))]

    def line(cells: Sequence[str]) -> str:
        padded = [c.ljust(w) if i == 1 else c.rjust(w) for i, (c, w) in enumerate(zip(cells, widths, strict=True))]
        return "  " + "  ".join(padded).rstrip()

    lines = [
        f"{board.title}, {board.test_samples} test samples, ranked by {board.kind.primary}",
        line(header),
        *(line(cells) for cells in body),
    ]
    if words := duel(board):
        lines.append(f"  {words}")
    if board.stability:
        lines.append(f"  {board.stability.words[0]}")
    flagged = dict.fromkeys(p.defect for row in board.rows for p in row.published.values() if p.defect)
    lines += [f"  † {defect}" for defect in flagged]
    if others := {p.model for p in board.absent}:
        lines.append(f"  {len(others)} published models that were not run here are in the HTML report")
    lines += [f"  {warning}" if warning.startswith(PLAIN) else f"  ! {warning}" for warning in board.warnings]
    return "\n".join(lines)
