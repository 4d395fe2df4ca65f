"""`tsbench explain`: the patterns a fitted model looks for, and what of some test cases it attended to."""

from __future__ import annotations

import argparse
import shlex
from collections.abc import Sequence
from dataclasses import replace
from html import escape
from pathlib import Path

import torch
from torch import Tensor

from tsbench.artifacts import load_model
from tsbench.cell import Cell, find_dataset
from tsbench.data import Batch, Samples, Splits
from tsbench.errors import TsbenchError, UsageError
from tsbench.explanation import Attended, Explanation, Found
from tsbench.model import Model
from tsbench.registry import find_datasets, find_model, model_names, names_of, own_dataset
from tsbench.settings import parse_spec
from tsbench.store import Store, read_json
from tsbench.svg import COLOURS, svg

FOUND_SHOWN = 3  # patterns of a class
ATTENDED_SHOWN = 8  # tokens of a case
CHANNELS_SHOWN = 4  # of a case
WIDTH, HEIGHT, POINTS = 460, 110, 500  # of a drawing

READING = (
    "Attention is averaged over layers, over heads and over the tokens that attend, and given as a multiple of an even "
    "share: 2 means that a token was read twice as much as the average one. It says what was read, not what decided."
)

HONESTY = (
    "Patterns and priors were found in the training cases alone. Test cases were read here for drawing only: nothing "
    "was fitted or chosen by them."
)
SELECTED_ON_TEST = "Patterns and priors were found in the training cases, but TEST chose the epoch: test-selected."


def command(args: argparse.Namespace) -> int:
    """Explain one finished cell, in the terminal and, with `--html`, as a page."""
    if args.model:
        _check_explains(parse_spec(args.model)[0])
    folder = find_cell(args)
    cell = Cell(**read_json(folder / "model.json")["cell"])
    _check_explains(cell.model)
    if args.dataset and own_dataset(args.dataset):  # the cell may have been run in another folder
        cell = replace(cell, dataset=args.dataset)
    model = load_model(folder)
    splits = _splits(cell, folder, args.data)
    fitting, test = (splits.refit.train, splits.refit.test) if splits.refit else (splits.train, splits.test)
    cases = args.case if args.case is not None else sorted({0, len(test) // 2, len(test) - 1})
    if wrong := [case for case in cases if not 0 <= case < len(test)]:
        raise UsageError(f"--case {wrong[0]}: the test set has cases 0 to {len(test) - 1}")
    honesty = SELECTED_ON_TEST if splits.validation is splits.test else HONESTY
    page = Page(cell, model, fitting, test.batch(torch.tensor(cases)), cases, honesty)
    if args.model and args.model != cell.variant:
        print(f"no finished cell is of {args.model} as it is by default; this is {cell.variant}")
    print(f"{page.text()}\n{honesty}")
    if args.html:
        args.html.write_text(page.html(), encoding="utf-8")
        print(f"wrote {args.html}")
    return 0


def _check_explains(name: str) -> None:
    """Refuse a model that explains nothing, naming those that do."""
    if find_model(name).explain is Model.explain:
        able = [name for name in model_names() if find_model(name).explain is not Model.explain]
        raise UsageError(f"{name} explains nothing of itself; models that do: {', '.join(able)}")


def find_cell(args: argparse.Namespace) -> Path:
    """The artifact folder that the arguments mean.

    Raises:
        UsageError: none is meant, or cells that differ in more than their seed.
    """
    if args.cell and (Path(args.cell) / "model.json").is_file():
        return Path(args.cell)
    store = Store(args.results)
    wanted = {"model": args.model, "protocol": args.protocol, "seed": args.seed}
    names = names_of(args.dataset) if args.dataset else set()
    if not args.cell and not (args.dataset and args.model):
        raise UsageError("name a cell: its key, its folder, or --dataset NAME --model NAME")
    found = [
        result
        for result in store.results()
        if result["key"].startswith(args.cell or "")
        and (not names or names & {result["cell"]["dataset"], result["data"]["label"]})
        and all(v is None or v in (result["cell"][k], result["variant"]) for k, v in wanted.items())
        and store.path("artifacts", result["key"]).is_dir()
    ]
    if not found and args.cell:
        raise UsageError(f"{store.root} holds no such finished cell with a model; tsbench report lists what there is")
    if not found:
        find_datasets(args.dataset)  # a wrong name is said first
        options = {"--dataset": args.dataset, "--model": args.model, "--protocol": args.protocol}
        options["--seeds"] = f"{args.seed}," if args.seed is not None else None
        told = " ".join(f"{option} {shlex.quote(value)}" for option, value in options.items() if value)
        raise UsageError(f"not run yet, or not into {store.root}; first: tsbench run {told}")
    if args.cell and len(found) > 1:
        raise UsageError(f"{args.cell} begins {len(found)} keys; give more of it")
    found = [result for result in found if result["variant"] == args.model] or found
    if len(meant := {f"{result['variant']} --protocol {result['cell']['protocol']}" for result in found}) > 1:
        raise UsageError(f"several cells are meant; say which: --model {' or --model '.join(sorted(meant))}")
    latest = max(found, key=lambda result: (-result["cell"]["seed"], result["finished"]))
    return store.path("artifacts", latest["key"])


def _splits(cell: Cell, folder: Path, data: Path) -> Splits:
    """The data as the run prepared them.

    Raises:
        TsbenchError: the data are not those of the run.
    """
    dataset = find_dataset(cell)
    result = Store(folder.parent.parent).read(folder.name)
    if result and result["data"]["digest"] != dataset.digest(data):
        raise TsbenchError(f"{cell.dataset}: its file changed since the cell ran, so nothing can be drawn from it")
    return dataset.load(data, cell.protocol)


class Page:
    """The explanation of a model on some test cases, as text and as HTML."""

    def __init__(
        self, cell: Cell, model: Model, fitting: Samples, batch: Batch, cases: Sequence[int], honesty: str
    ) -> None:
        self.title = f"{cell.title()}, protocol {cell.protocol}"
        self.fitting, self.batch, self.cases, self.honesty = fitting, batch, cases, honesty
        explanation = model.explain(batch)
        assert isinstance(explanation, Explanation)
        self.explanation = explanation
        self.probabilities = model.predict(batch).softmax(-1)
        self.labels = model.task.labels or tuple(map(str, range(model.task.classes)))

    def strongest(self) -> list[Found]:
        """The patterns of highest prior of each class."""
        ordered = sorted(self.explanation.found, key=lambda found: -found.prior)
        return [
            found
            for label in range(len(self.labels))
            for found in [f for f in ordered if f.label == label][:FOUND_SHOWN]
        ]

    def verdict(self, index: int) -> str:
        """True and predicted class of a case, with the probabilities of the likeliest."""
        p = self.probabilities[index]
        likely = p.argsort(descending=True)[:3].tolist()
        guesses = ", ".join(f"{self.labels[i]} {p[i]:.2f}" for i in likely)
        truth = int(self.batch.target[index])
        right = "right" if likely[0] == truth else "wrong"
        return f"test case {self.cases[index]}: is {self.labels[truth]}; predicted {guesses} ({right})"

    def text(self) -> str:
        """For the terminal."""
        lines = [self.title, "", "patterns, strongest of each class first"]
        lines += [f"  {self.origin(found)}" for found in self.strongest()]
        if not self.explanation.found:
            lines.append("  none: this configuration looks for no patterns")
        for index, tokens in enumerate(self.explanation.attended):
            lines += ["", self.verdict(index)]
            lines += [f"  {token.attention:6.2f} x  {token.where()}" for token in tokens[:ATTENDED_SHOWN]]
        return "\n".join([*lines, "", READING])

    def origin(self, found: Found) -> str:
        """What a pattern is and where it is from."""
        return (
            f"class {self.labels[found.label]}: channel {found.channel}, steps {found.first}-{found.end - 1} of "
            f"training case {found.case}, prior {found.prior:.2f}"
        )

    def html(self) -> str:
        """One self-contained page."""
        parts = [f"<h1>{escape(self.title)}</h1><p>{self.honesty}</p>"]
        parts.append("<h2>Patterns, on the training cases they are from</h2>")
        if not self.explanation.found:
            parts.append("<p>None: this configuration looks for no patterns.</p>")
        parts += [self._pattern(found) for found in self.strongest()]
        parts.append(f"<h2>What predictions attended to</h2><p>{READING}</p>")
        parts += [self._case(index, tokens) for index, tokens in enumerate(self.explanation.attended)]
        return PAGE.format(title=escape(self.title), body="\n".join(parts))

    def _pattern(self, found: Found) -> str:
        batch = self.fitting.batch(torch.tensor([found.case]))
        return drawing(self.origin(found), whole(batch, 0)[:, found.channel], [(found.first, found.end, 1.0)])

    def _case(self, index: int, tokens: list[Attended]) -> str:
        """Channels with the most attended tokens drawn on them, and these as a table."""
        series, shown = whole(self.batch, index), tokens[:ATTENDED_SHOWN]
        most = max((token.attention for token in shown), default=1.0)
        single = {token.channel for token in shown if token.channel is not None}
        channels = sorted([*single, *(c for c in range(series.shape[1]) if c not in single)][:CHANNELS_SHOWN])
        charts = [
            drawing(
                f"channel {channel}",
                series[:, channel],
                [(t.first, t.end, t.attention / most) for t in shown if t.channel in (None, channel)],
            )
            for channel in channels
        ]
        rows = "".join(f"<tr><td>{t.attention:.2f}</td><td>{escape(t.where())}</td></tr>" for t in shown)
        left_out = (
            f"<p>{len(channels)} of {series.shape[1]} channels drawn.</p>" if len(channels) < series.shape[1] else ""
        )
        table = f"<table><tr><th>attention</th><th>token</th></tr>{rows}</table>"
        return f"<h3>{escape(self.verdict(index))}</h3>{''.join(charts)}{left_out}{table}"


def whole(batch: Batch, index: int) -> Tensor:
    """A series of a batch without its padding, `(time, channel)`."""
    return batch.inputs[index, : int(batch.steps[index])]


def drawing(title: str, values: Tensor, marks: Sequence[tuple[int, int, float]]) -> str:
    """A series `(time,)` as a thin line, and on it parts `(first step, end, opacity)` as thick ones."""
    left, right, top, bottom = 8, 8, 20, 16
    low, span = float(values.min()), float(values.max() - values.min()) or 1.0
    x_scale = (WIDTH - left - right) / max(len(values) - 1, 1)
    every = max(1, len(values) // POINTS)

    def line(first: int, end: int, style: str) -> str:
        steps = sorted({*range(first, end, every), end - 1})
        points = " ".join(
            f"{left + i * x_scale:.1f},{top + (HEIGHT - top - bottom) * (1 - (float(values[i]) - low) / span):.1f}"
            for i in steps
        )
        return f'<polyline points="{points}" fill="none" {style}/>'

    parts = [f'<text x="4" y="12" font-size="11">{escape(title)}</text>']
    parts.append(line(0, len(values), 'stroke="#999"'))
    for first, end, opacity in marks:
        style = f'stroke="{COLOURS[1]}" stroke-width="3" stroke-linecap="round" stroke-opacity="{opacity:.2f}"'
        parts.append(line(first, min(end, len(values)), style))
    parts.append(f'<text x="{left}" y="{HEIGHT - 4}">0</text>')
    parts.append(f'<text x="{WIDTH - right}" y="{HEIGHT - 4}" text-anchor="end">{len(values) - 1} steps</text>')
    return svg("".join(parts), WIDTH, HEIGHT)


PAGE = """<!doctype html>
<html lang="en"><head><meta charset="utf-8"><title>{title}</title><style>
body {{ font: 15px/1.5 system-ui, sans-serif; max-width: 62rem; margin: 1rem auto; padding: 0 1rem; }}
svg {{ max-width: 100%; height: auto; }} h3 {{ margin-top: 2rem; }}
table {{ border-collapse: collapse; }} td, th {{ padding: .1rem .6rem; text-align: left; }}
</style></head><body>
{body}
</body></html>
"""
