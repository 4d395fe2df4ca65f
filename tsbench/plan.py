"""Plan: which cells a command means, and which pairs of data set and model do not fit, with the reason."""

from __future__ import annotations

import fnmatch
import re
import tomllib
import zlib
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any

from tsbench.cell import Cell, identity, key_of, make_cell
from tsbench.dataset import Dataset
from tsbench.errors import DataError, MissingData, UsageError, unknown
from tsbench.model import Model
from tsbench.registry import all_datasets, dataset_options, find_datasets, find_model, model_names, suite_path
from tsbench.settings import configure, format_spec, parse_spec
from tsbench.store import Store

FIRST_SEED = 2021  # the seed of the LTSF papers, so that a single run is comparable with theirs
MANY = 3  # data sets whose absence is told one by one; of more, their names are


@dataclass(frozen=True)
class Suite:
    """What to compare: every model on every data set, where they fit.

    Attributes:
        datasets: names, globs or files, with options.
        models: names with settings, `dlinear:individual=true`, or globs: `*` is every model.
        seeds: how many; None is 1, or what the command line says.
    """

    title: str = ""
    datasets: tuple[str, ...] = ()
    models: tuple[str, ...] = ()
    protocol: str | None = None
    seeds: int = 1

    def __post_init__(self) -> None:
        """Each model that a glob means."""
        models = dict.fromkeys(spec for model in self.models for spec in find_models(model))
        object.__setattr__(self, "models", tuple(models))


@dataclass(frozen=True)
class Skipped:
    """A pair that does not run, and why; `absent` if its data are not there."""

    dataset: str
    model: str
    reason: str
    absent: bool = False


@dataclass
class Plan:
    """Cells to run, by key, in order."""

    cells: dict[str, Cell] = field(default_factory=dict)
    skipped: list[Skipped] = field(default_factory=list)

    def open_cells(self, store: Store) -> dict[str, Cell]:
        """Cells that are not finished."""
        return {key: cell for key, cell in self.cells.items() if not store.finished(key)}

    def left_out(self) -> list[str]:
        """Why pairs were left out, a line a reason; of many data sets that are absent, a line in all."""
        lines = []
        absent = list(dict.fromkeys(s.dataset for s in self.skipped if s.absent))
        if many := len(absent) > MANY:
            lines.append(
                f"left out, as data are not there (`tsbench data list NAME` says where from): {', '.join(absent)}"
            )
        for reason, pairs in Counter(s.reason for s in self.skipped if not (many and s.absent)).items():
            first = next(s for s in self.skipped if s.reason == reason)
            more = f" and {pairs - 1} more" if pairs > 1 else ""
            lines.append(f"left out: {first.dataset} x {first.model}{more}: {reason}")
        return lines


def read_suite(name: str) -> Suite:
    """Read a suite by name or path.

    Raises:
        UsageError: the file is not TOML or has a field that suites do not have.
    """
    path = suite_path(name)
    try:
        values: dict[str, Any] = tomllib.loads(path.read_text(encoding="utf-8"))
    except (ValueError, RecursionError) as error:  # no TOML, or no UTF-8
        raise UsageError(f"{path}: {error}") from None
    for key, value in values.items():
        if key not in Suite.__dataclass_fields__:
            raise unknown(f"field of {path}", key, Suite.__dataclass_fields__)
        right, words = isinstance(value, str), "text"
        if key in ("datasets", "models"):
            right = isinstance(value, list) and all(isinstance(name, str) for name in value)
            words = "a list of names"
        elif key == "seeds":
            right, words = isinstance(value, int), "a number"
        if not right:
            raise UsageError(f"{path}: `{key}` is {str(value)[:60]!r}; write {words}")
    lists = {key: tuple(value) for key, value in values.items() if isinstance(value, list)}
    return Suite(**{**values, **lists})


def parse_seeds(text: str) -> list[int]:
    """`5` means five seeds from 2021 on; `2021,7` or `7,` means these.

    >>> parse_seeds("3")
    [2021, 2022, 2023]
    >>> parse_seeds("7,")
    [7]
    """
    try:
        numbers = [int(part) for part in text.split(",") if part.strip()]
    except ValueError:
        raise UsageError(f"--seeds {text}: write a number (5) or a list (2021,2022)") from None
    if not numbers or ("," not in text and numbers[0] < 1):
        raise UsageError(f"--seeds {text!r}: at least one")
    if "," in text:
        return numbers
    return [FIRST_SEED + i for i in range(numbers[0])]


def make_plan(suite: Suite, seeds: Sequence[int], changed: dict[str, str], data: Path) -> Plan:
    """All cells of a suite.

    A pair that does not fit, or whose data are absent, becomes a `Skipped`; a model that uses no random numbers
    gets one cell, whatever the number of seeds.

    Raises:
        UsageError: an unknown name or setting.
    """
    plan = Plan()
    for pattern in suite.datasets:
        for dataset in find_datasets(pattern):
            spec = dataset_spec(dataset)
            problem, absent = _data_problem(dataset, data)
            if dataset.name not in all_datasets():  # a user's own file: tell what is wrong with it before all else
                dataset.load(data, suite.protocol or next(iter(dataset.protocols)))
            for model in suite.models:
                name, settings = parse_spec(model)
                kind = find_model(name)
                settings = {**settings, **own_settings(changed, kind, suite.models)}
                configure(kind.Config, settings, name)  # a typo is an error even where data are absent
                reason = problem or kind.refuses(dataset) or _protocol_problem(dataset, suite.protocol)
                if reason:
                    plan.skipped.append(Skipped(spec, model, reason, absent))
                    continue
                for seed in seeds if kind.stochastic else [FIRST_SEED]:
                    cell = make_cell(dataset, spec, suite.protocol, name, settings, seed)
                    plan.cells.setdefault(key_of(identity(cell, data)), cell)
    return plan


def find_models(spec: str) -> list[str]:
    """The models that a spec means: itself, or where its name is a glob, each that matches, with the same settings.

    >>> find_models("*_transformer:epochs=3")[0]
    'patch_transformer:epochs=3'

    Raises:
        UsageError: a glob matches no model.
    """
    name, settings = parse_spec(spec)
    if not re.search(r"[*?\[]", name):
        return [spec]
    found = fnmatch.filter(model_names(), name)
    if not found:
        raise UsageError(f"no model matches {name!r}; `tsbench list models` shows their names")
    return [format_spec(model, settings) for model in found]


def own_settings(changed: dict[str, str], kind: type[Model], models: Sequence[str]) -> dict[str, str]:
    """What `--set` changes of this model: settings that it has, if at least one model of the plan has them."""
    known = {f.name for model in models for f in fields(find_model(parse_spec(model)[0]).Config)}
    own = {f.name for f in fields(kind.Config)}
    return {key: value for key, value in changed.items() if key in own or key not in known}


def dataset_spec(dataset: Dataset) -> str:
    """The spec that finds exactly this data set again: its name, or its file's path, and its options."""
    path = getattr(dataset, "path", None)
    return format_spec(str(path) if path else dataset.name, dataset_options(dataset))


def _data_problem(dataset: Dataset, data: Path) -> tuple[str | None, bool]:
    """What is wrong with the files of a data set, and whether it is only that they are not there."""
    try:
        dataset.digest(data)
    except (MissingData, DataError) as error:
        return str(error), isinstance(error, MissingData)
    except (OSError, EOFError, zlib.error) as error:
        return f"{dataset.name}: its file cannot be read ({error}); fetch it again", False
    return None, False


def _protocol_problem(dataset: Dataset, protocol: str | None) -> str | None:
    if protocol is None or protocol in dataset.protocols:
        return None
    return f"it has no protocol {protocol!r}; it has {', '.join(dataset.protocols)}"
