"""Find models, data sets, tasks and suites: every file in their folders, and entry points of other packages.

Another package adds its own with entry points, in its pyproject.toml:

    [project.entry-points."tsbench.models"]
    mymodel = "mypackage.mymodel"
    [project.entry-points."tsbench.datasets"]
    mydata = "mypackage.mydata"
"""

from __future__ import annotations

import dataclasses
import fnmatch
import importlib
import json
import re
import warnings
from collections.abc import Iterable
from functools import lru_cache
from pathlib import Path
from typing import Any, cast

import tsbench.inputs
from tsbench import plugins
from tsbench.dataset import Dataset
from tsbench.errors import UsageError, unknown
from tsbench.inputs import Inputs
from tsbench.model import Model
from tsbench.settings import format_spec, parse_spec
from tsbench.tasks.task import Task

MODELS, DATASETS = "tsbench.models", "tsbench.datasets"


def model_names() -> list[str]:
    """Names of all models."""
    return plugins.names(MODELS)


def find_model(name: str) -> type[Model]:
    """The model class called `name`.

    Raises:
        UsageError: there is none, or its file does not define exactly one.
    """
    return plugins.find(MODELS, name, Model)


@lru_cache(maxsize=1)
def _dataset_modules() -> list[Any]:
    modules: list[Any] = [importlib.import_module(f"{DATASETS}.{name}") for name in plugins.files(DATASETS)]
    for point in plugins.points(DATASETS).values():
        try:
            modules.append(point.load())
        except Exception as error:  # another package's fault must not take ours down
            warnings.warn(f"data sets of entry point {point.name} ({point.value}) left out: {error}", stacklevel=2)
    return modules


@lru_cache(maxsize=1)
def all_datasets() -> dict[str, Dataset]:
    """Every named data set; ours cannot be replaced by another package's of the same name."""
    found: dict[str, Dataset] = {}
    for module in _dataset_modules():
        try:
            for dataset in module.datasets():
                if found.setdefault(dataset.name, dataset) is not dataset:
                    warnings.warn(f"{module.__name__}: data set {dataset.name} exists already; left out", stacklevel=2)
        except Exception as error:
            if module.__name__.startswith("tsbench."):
                raise
            warnings.warn(f"data sets of {module.__name__} left out: {error}", stacklevel=2)
    return found


def find_datasets(spec: str) -> list[Dataset]:
    """The data sets that a name, glob (`'ltsf/*/96'`) or file path means, with options after a colon.

    Raises:
        UsageError: nothing matches (with the nearest names), or an option does not exist.
    """
    name, options = parse_spec(spec)
    known = all_datasets()
    if name in known:
        found = [known[name]]
    elif re.search(r"[*?\[]", name):
        found = [known[n] for n in fnmatch.filter(known, name)]
    else:
        found = [opened] if (opened := _open(name)) else []
    if not found:
        raise unknown("data set", name, _shown(name, known))
    return [_with_options(dataset, options) for dataset in found]


def own_dataset(spec: str) -> Dataset | None:
    """The data set of a user's file that is there, with options after a colon; None if `spec` is no such path."""
    name, options = parse_spec(spec)
    there = name not in all_datasets() and Path(name).expanduser().exists()
    found = _open(name) if there else None
    return _with_options(found, options) if found else None


def names_of(spec: str) -> set[str]:
    """What results call the data sets meant by `spec`: just so, and a user's file by its label as well."""
    own = own_dataset(spec)
    return {spec, dataset_label(own)} if own else {spec}


def _open(name: str) -> Dataset | None:
    path = Path(name).expanduser()
    openers = [m.open_path for m in _dataset_modules() if hasattr(m, "open_path")]
    found = next((d for opener in openers if (d := opener(path)) is not None), None)
    if found is not None and not path.exists():
        raise UsageError(f"file {name} is not there")
    return found


def _shown(name: str, known: Iterable[str]) -> list[str]:
    """Names worth listing: those of the same family if there are any."""
    names = sorted(known)
    return [n for n in names if n.split("/")[0] == name.split("/")[0]] or names


def _with_options(dataset: Dataset, options: dict[str, str]) -> Dataset:
    if not options:
        return dataset
    for key in options:
        if key not in dataset.options:
            raise unknown(f"option of {dataset.name}", key, dataset.options)
    number = r"-?\d+(\.\d+)?"
    texts = {key: json.loads(value) if re.fullmatch(number, value) else value for key, value in options.items()}
    for key, value in texts.items():
        now = getattr(dataset, key)
        if type(value) is not type(now) and not (isinstance(now, float) and isinstance(value, int)):
            raise UsageError(f"{dataset.name}: {key}={value} does not fit; it is a {type(now).__name__}, such as {now}")
    changed: Dataset = dataclasses.replace(cast(Any, dataset), **texts)
    return changed


def dataset_options(dataset: Dataset) -> dict[str, Any]:
    """The options of a data set that differ from the named set's, or from the defaults of a user's file."""
    plain: Any = all_datasets().get(dataset.name)
    if plain is None:
        defaults = {f.name: f.default for f in dataclasses.fields(cast(Any, dataset))}
    else:
        defaults = {key: getattr(plain, key) for key in dataset.options}
    return {k: getattr(dataset, k) for k in dataset.options if getattr(dataset, k) != defaults[k]}


def dataset_label(dataset: Dataset) -> str:
    """Name and changed options, as tables show it; a horizon that the name ends with is not said twice."""
    options = dataset_options(dataset)
    return format_spec(dataset.name, {k: v for k, v in options.items() if not dataset.name.endswith(f"/{v}")})


@lru_cache(maxsize=1)
def task_kinds() -> dict[str, type[Task]]:
    """Every task kind by class name."""
    modules = [importlib.import_module(f"tsbench.tasks.{name}") for name in plugins.files("tsbench.tasks")]
    kinds = {kind.__name__: kind for module in modules for kind in plugins.classes(module, Task)}  # type: ignore[type-abstract]
    return kinds | {dataset.kind.__name__: dataset.kind for dataset in all_datasets().values()}


@lru_cache(maxsize=1)
def input_kinds() -> dict[str, type[Inputs]]:
    """Every kind of inputs by class name: ours, and those of other packages' data sets."""
    ours = plugins.classes(tsbench.inputs, Inputs)  # type: ignore[type-abstract]
    return {kind.__name__: kind for kind in (*ours, *(dataset.inputs for dataset in all_datasets().values()))}


def task_from_record(record: dict[str, Any]) -> Task:
    """The inverse of `Task.record`."""
    fields = dict(record)
    if "inputs" in fields:
        given = dict(fields["inputs"])
        fields["inputs"] = input_kinds()[given.pop("kind")](**given)
    return task_kinds()[fields.pop("kind")](**fields)


def suite_path(name: str) -> Path:
    """The file of a suite: a name of ours, or the path of one's own."""
    folder = Path(__file__).parent / "suites"
    known = {path.stem: path for path in folder.glob("*.toml")}
    if name in known:
        return known[name]
    if Path(name).is_file():
        return Path(name)
    raise unknown("suite", name, known)
