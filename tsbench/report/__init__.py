"""Reports from the results: leaderboards for the terminal, CSV, LaTeX, figures and one self-contained HTML page."""

from __future__ import annotations

import argparse
import fnmatch
import gc
from collections.abc import Iterable
from pathlib import Path

from tsbench.errors import TsbenchError
from tsbench.latex import as_latex
from tsbench.registry import names_of
from tsbench.report.page import as_html
from tsbench.report.terminal import terminal
from tsbench.sheet import as_csv
from tsbench.store import Store
from tsbench.studies import studies
from tsbench.summary import boards

__all__ = ["as_html", "leaderboard", "terminal", "write_reports"]


def write_reports(args: argparse.Namespace) -> int:
    """Print the leaderboards and write the files asked for."""
    store = Store(args.results)
    wanted = [name for spec in args.dataset for name in sorted(names_of(spec))]
    gc.disable()  # results are millions of small objects that all stay: to look for garbage there takes seconds
    shown = boards(store.results(), wanted, args.protocol, args.model)
    gc.freeze()
    gc.enable()
    known = ((failure, names_of(failure["cell"]["dataset"])) for failure in store.failures())
    failures = [f for f, names in known if not wanted or any(fnmatch.filter(names, w) for w in wanted)]
    if not shown and not failures:
        raise TsbenchError(
            f"no results in {store.root} match; run something first, for example tsbench run --suite quick"
        )
    print(terminal(shown, failures))
    for path, make in ((args.csv, as_csv), (args.latex, as_latex)):
        if path:
            _write(path, make(shown))
    if args.html or args.figures:
        of_these = {(board.dataset, board.protocol) for board in shown}
        searched = [study for study in studies(store) if (study.dataset, study.protocol) in of_these]
        if args.html:
            _write(args.html, as_html(shown, failures, searched))
        if args.figures:
            from tsbench.figures import write_figures

            print(f"written: {write_figures(args.figures, shown, searched)} figures in {args.figures}")
    return 0


def leaderboard(store: Store, datasets: Iterable[str], protocol: str | None) -> str:
    """The terminal tables of some data sets."""
    return terminal(boards(store.results(), list(datasets), protocol), [])


def _write(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")
    print(f"written: {path}")
