"""Leaderboards as LaTeX tables."""

from __future__ import annotations

from collections.abc import Sequence

from tsbench.caveats import units_of
from tsbench.dataset import Published
from tsbench.summary import Board, Row


def as_latex(shown: Sequence[Board]) -> str:
    """One booktabs table a task kind, protocol and metric: data sets in rows, models in columns, the best in bold.

    Where scores were published, they stand in a line of their own below ours. Then one table a data set: intervals over
    seeds, and each model against the first-ranked one.
    """
    tables = []
    for kind, protocol in sorted({(b.kind.__name__, b.protocol) for b in shown}):
        chosen = [b for b in shown if (b.kind.__name__, b.protocol) == (kind, protocol)]
        tables += [_table(chosen, metric) for metric in chosen[0].kind.metrics]
        tables += [_details(board) for board in chosen]
    return "% Made by tsbench; needs \\usepackage{booktabs}\n" + "\n".join(tables)


def _table(chosen: Sequence[Board], metric: str) -> str:
    variants = list(dict.fromkeys(row.variant for board in chosen for row in board.rows))
    labels = {row.variant: row.label for board in chosen for row in board.rows}
    lines = [" & ".join([_safe(metric.upper()), *(_safe(labels[v]) for v in variants)]) + r" \\", r"\midrule"]
    for board in chosen:
        rows = {row.variant: row for row in board.rows}
        sign = -1 if board.kind.metrics[metric].higher_is_better else 1
        best = min((sign * row.scores[metric].mean for row in board.ranked if metric in row.scores), default=0.0)
        cells = [_score(rows.get(variant), board, metric, sign * best) for variant in variants]
        mark = "$^*$" if board.generated else ""
        lines.append(" & ".join([_safe(board.dataset) + mark, *cells]) + r" \\")
        published = [rows[v].published.get(metric) if v in rows else None for v in variants]
        if any(published):
            lines.append(" & ".join([r"\quad published", *map(_published, published)]) + r" \\")
    return _framed(lines, f"l{'r' * len(variants)}", _caption(chosen, metric))


def _framed(lines: Sequence[str], columns: str, caption: str) -> str:
    body = "\n".join(lines)
    return (
        f"\\begin{{table}}\n\\centering\n\\begin{{tabular}}{{{columns}}}\n\\toprule\n{body}\n"
        f"\\bottomrule\n\\end{{tabular}}\n\\caption{{{caption}}}\n\\end{{table}}\n"
    )


def _details(board: Board) -> str:
    """The primary metric of one data set: a line a model."""
    header = ["", "mean", r"95\,\% over seeds", r"behind the first", r"95\,\%", "effect", "$p$"]
    lines = [" & ".join(header) + r" \\", r"\midrule"]
    for row in board.rows:
        pair = board.against_first(row)
        cells = [_safe(row.label), f"{row.scores[row.primary].mean:.4f}", _bounds(row.over_seeds)]
        if pair is None or pair.p is None or pair.difference is None:
            cells += ["--"] * 4
        else:
            cells += [f"${pair.difference:+.4f}$", _bounds(pair.interval), f"${pair.effect:+.2f}$", f"{pair.p:.2g}"]
        lines.append(" & ".join(cells) + r" \\")
    about = (
        r"95\,\% percentile bootstrap intervals of the mean over seeds (of three or more) and of the difference over "
        f"{_safe(units_of(board.kind))}; effect: matched-pairs rank-biserial correlation, negative where the first is "
        "better; $p$: Wilcoxon signed-rank test, Holm-corrected over all pairs; --: not tested."
    )
    return _framed(lines, "lrrrrrr", f"{_safe(board.dataset)}, {_safe(board.kind.primary.upper())}: {about}")


def _bounds(interval: tuple[float, float] | None) -> str:
    return "$[{:.4f}, {:.4f}]$".format(*interval) if interval else "--"


def _caption(chosen: Sequence[Board], metric: str) -> str:
    rows = [row for board in chosen for row in board.rows]
    seeds = ", ".join(map(str, sorted({len(row.seeds) for row in rows})))
    parts = [f"{_safe(metric.upper())}, protocol {_safe(chosen[0].protocol)}."]
    if any(board.selected_on_test for board in chosen):
        parts.append(r"\textbf{Selected on TEST: scores too good.}")
    parts.append(f"Mean and standard deviation over seeds ({seeds} a cell).")
    if metric != chosen[0].kind.primary:
        parts.append("Bold: the best mean; this metric is not tested.")
    else:
        parts.append(
            r"Bold: the best mean; $^\circ$ no significant difference from it, or not tested "
            "(Wilcoxon signed-rank test, Holm-corrected)."
        )
        if any(row.interval for row in rows):
            parts.append(r"In brackets: 95\,\% interval (Wilson 1927) of test sets this small.")
        if any(row.below for row in rows):
            bars = sorted({board.bar for board in chosen if board.bar})
            parts.append(rf"$^\downarrow$ a trained model below {_safe(', '.join(bars))}.")
    if any(row.told for row in rows):
        parts.append("A model that is told more than others may know is never the best.")
    if any(board.generated for board in chosen):
        parts.append("$^*$ generated data.")
    if any(p.defect for row in rows for p in row.published.values()):
        parts.append(r"$^\dagger$ published by code that is known to be wrong.")
    return " ".join(parts)


def _published(published: Published | None) -> str:
    if published is None:
        return "--"
    return f"{published.value:g}" + (r"$^\dagger$" if published.defect else "")


def _score(row: Row | None, board: Board, metric: str, best: float) -> str:
    if row is None or metric not in row.scores:
        return "--"
    score = row.scores[metric]
    text = f"{score.mean:.4f}" if score.std is None else f"{score.mean:.4f} \\pm {score.std:.4f}"
    text = f"\\mathbf{{{text}}}" if score.mean == best and not row.told else text
    if metric == board.kind.primary:
        pair = board.against_first(row)
        marks = (r"\circ" if pair and not pair.significant else "") + (r"\downarrow" if row.below else "")
        text += f"^{{{marks}}}" if marks else ""
        text += r"\;[{:.2f}, {:.2f}]".format(*row.interval) if row.interval else ""
    return f"${text}$"


def _safe(text: str) -> str:
    for plain, safe in (
        ("\\", r"\textbackslash "),
        ("_", r"\_"),
        ("%", r"\%"),
        ("&", r"\&"),
        ("#", r"\#"),
        ("$", r"\$"),
        ("{", r"\{"),
        ("}", r"\}"),
    ):
        text = text.replace(plain, safe)
    return text
