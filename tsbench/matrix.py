"""Matrix: which model runs on which family, and why not where it does not. Nothing is trained, no data are read."""

from __future__ import annotations

import argparse
import csv
from collections import Counter
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path

from tsbench.dataset import Dataset
from tsbench.errors import UsageError
from tsbench.inputs import Codes, Histories, Inputs, Objects, Series
from tsbench.model import Model
from tsbench.registry import all_datasets, find_model, model_names
from tsbench.settings import parse_spec
from tsbench.tasks.forecasting import Forecasting
from tsbench.tasks.task import Labelling, Task

#: Family -> its inputs and tasks.
FAMILIES: dict[str, tuple[type[Inputs], type[Task]]] = {
    "ltsf": (Series, Forecasting),
    "uea": (Series, Labelling),
    "rna": (Codes, Task),
    "gaze": (Objects, Task),
    "rec": (Histories, Task),
}
OTHER = "other"  # data sets of other packages that are of none of these


@dataclass
class Fit:
    """One model and one family.

    Attributes:
        takes: data sets of the family that the model takes.
        of: data sets of the family.
        reasons: why it does not take the others -> how many.
    """

    takes: int = 0
    of: int = 0
    reasons: Counter[str] = field(default_factory=Counter)

    @property
    def words(self) -> str:
        """`all`, `3 of 13`, or `-`."""
        return "-" if not self.takes else "all" if self.takes == self.of else f"{self.takes} of {self.of}"


def family_of(dataset: Dataset) -> str:
    """The family of a data set, by what is predicted from what; generated sets and files of a user have one too."""
    fits = (
        name
        for name, (inputs, task) in FAMILIES.items()
        if issubclass(dataset.inputs, inputs) and issubclass(dataset.kind, task)
    )
    return next(fits, OTHER)


@lru_cache(maxsize=1)
def families() -> dict[str, list[Dataset]]:
    """The data sets of each family."""
    found: dict[str, list[Dataset]] = {name: [] for name in FAMILIES}
    for dataset in all_datasets().values():
        found.setdefault(family_of(dataset), []).append(dataset)
    return found


def fits(kind: type[Model]) -> dict[str, Fit]:
    """What a model takes of each family."""
    found: dict[str, Fit] = {}
    for family, datasets in families().items():
        fit = found[family] = Fit(of=len(datasets))
        for dataset in datasets:
            if reason := kind.refuses(dataset):
                fit.reasons[reason] += 1
            else:
                fit.takes += 1
    return found


def is_general(fits: dict[str, Fit]) -> bool:
    """Whether a model runs in all five families."""
    return all(fits[family].takes for family in FAMILIES)


def matrix() -> dict[str, dict[str, Fit]]:
    """Every model by name, general ones first."""
    found = {name: fits(find_model(name)) for name in model_names()}
    return dict(sorted(found.items(), key=lambda item: (not is_general(item[1]), item[0])))


def command(args: argparse.Namespace) -> int:
    """Print the matrix, or why a model does not run; write the file asked for."""
    if args.why:
        name = parse_spec(args.why)[0]
        print("\n".join(why(name, fits(find_model(name)))))
        return 0
    table = matrix()
    print("\n".join(lines(table)))
    if args.csv:
        write(table, args.csv)
        print(f"written: {args.csv}")
    return 0


def lines(table: dict[str, dict[str, Fit]]) -> list[str]:
    """The matrix as text."""
    names = list(families())
    heads = [f"{name} ({len(families()[name])})" for name in names]
    width = max(map(len, table)) + 2
    shown = [f"{'model':{width}}" + "".join(f"{head:>11}" for head in heads)]
    for model, row in table.items():
        mark = "*" if is_general(row) else ""
        shown.append(f"{model + mark:{width}}" + "".join(f"{row[name].words:>11}" for name in names))
    return [
        *shown,
        "",
        "* general: runs in all five families. In brackets: data sets, generated ones included.",
        "Why a model does not run somewhere: tsbench matrix --why MODEL",
    ]


def why(model: str, row: dict[str, Fit]) -> list[str]:
    """A line for each family, and for each reason."""
    told = [f"{model}: {'general, runs in all five families' if is_general(row) else 'not general'}"]
    for family, fit in row.items():
        told.append(f"  {family:6} {fit.takes} of {fit.of} data sets")
        told += [f"           {count} not: {reason}" for reason, count in fit.reasons.most_common()]
    return told


def write(table: dict[str, dict[str, Fit]], path: Path) -> None:
    """A row for each model and family: model, general, family, takes, of, reasons."""
    try:
        with path.open("w", newline="", encoding="utf-8") as file:
            rows = csv.writer(file)
            rows.writerow(("model", "general", "family", "takes", "of", "reasons"))
            for model, row in table.items():
                for family, fit in row.items():
                    reasons = "; ".join(fit.reasons)
                    rows.writerow((model, str(is_general(row)).lower(), family, fit.takes, fit.of, reasons))
    except OSError as error:
        raise UsageError(f"--csv {path}: {error.strerror}; name a file in a folder that is there") from None
