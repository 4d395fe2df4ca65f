"""Cell: the unit of work and of caching, and the key that names its result."""

from __future__ import annotations

import ast
import fnmatch
import hashlib
import importlib.util
import json
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import Any

from tsbench.dataset import Dataset, file_digest
from tsbench.errors import UsageError, unknown
from tsbench.model import Model
from tsbench.registry import dataset_options, find_datasets, find_model
from tsbench.settings import as_dict, configure, format_spec

#: Modules every result depends on, beside those of its model, data set and task.
ENGINE = ("tsbench.run", "tsbench.train", "tsbench.optim", "tsbench.evaluate", "tsbench.data")


@dataclass(frozen=True)
class Cell:
    """One model on one data set under one protocol with one seed.

    Attributes:
        dataset: its spec, `ltsf/etth1/96` or `my.csv:horizon=24`.
        settings: every setting of the model, resolved.
        changed: those the user set, which tell variants of a model apart in tables.
        test: False for a trial of a study, which never sees the test set.
        study: the study it is a trial of.
    """

    dataset: str
    protocol: str
    model: str
    settings: dict[str, Any]
    seed: int
    changed: dict[str, Any] = field(default_factory=dict)
    test: bool = True
    study: str | None = None

    @property
    def variant(self) -> str:
        """The model's name with the settings the user changed: one row of a table."""
        return format_spec(self.model, self.changed)

    def title(self) -> str:
        """One line for people."""
        return f"{self.dataset} {self.variant} seed {self.seed}"


def make_cell(
    dataset: Dataset,
    spec: str,
    protocol: str | None,
    model: str,
    changed: dict[str, Any],
    seed: int,
    **more: Any,
) -> Cell:
    """Resolve a cell's settings: the model's defaults, then its recipe for the data set, then `changed`."""
    protocol = protocol or next(iter(dataset.protocols))
    if protocol not in dataset.protocols:
        raise unknown(f"protocol of {dataset.name}", protocol, dataset.protocols)
    kind = find_model(model)
    published = recipe(kind, dataset, protocol, changed)
    typed = as_dict(configure(kind.Config, {**published, **changed}, model))
    shown = {k: typed[k] for k in changed if typed[k] != as_dict(configure(kind.Config, published, model))[k]}
    return Cell(spec, protocol, model, typed, seed, shown, **more)


def recipe(kind: type[Model], dataset: Dataset, protocol: str, changed: dict[str, Any]) -> dict[str, Any]:
    """The published settings of a model; later and thus more special patterns win.

    Patterns are matched against `data set@protocol`, followed by the settings the user chose:
    `ltsf/weather/96@full:individual=true`. They may also name a kind of task or inputs: `pairmap`, `histories`.
    """
    settings: dict[str, Any] = {}
    kinds = [base.__name__.lower() for base in (*dataset.kind.__mro__, *dataset.inputs.__mro__)]
    names = [*kinds, format_spec(f"{dataset.name}@{protocol}", changed)]
    for pattern, values in kind.recipes.items():
        if any(fnmatch.fnmatchcase(name, pattern) for name in names):
            settings.update(values)
    return settings


def find_dataset(cell: Cell) -> Dataset:
    """The data set of a cell."""
    (dataset,) = find_datasets(cell.dataset)
    return dataset


def identity(cell: Cell, data: Path) -> dict[str, Any]:
    """Everything that can change a cell's result, and nothing else (device, threads and workers stay out)."""
    dataset, kind = find_dataset(cell), find_model(cell.model)
    config = kind.Config(**cell.settings)
    return {
        "dataset": dataset.name,
        "options": dataset_options(dataset),
        "content": dataset.digest(data),
        "protocol": cell.protocol,
        "model": cell.model,
        "settings": cell.settings,
        "seed": cell.seed,
        "study": cell.study,  # a trial has no test score, and other trials decide whether it is pruned
        "files": [_settings_file(path) for path in kind.files(config)],
        "code": code_digest(kind, type(dataset), dataset.kind, dataset.inputs, *kind.parts(config)),
    }


def _settings_file(path: Path) -> str:
    if not path.is_file():
        raise UsageError(f"{path}, which a setting names, is not there")
    return file_digest(path)


def key_of(identity: dict[str, Any]) -> str:
    """The key: a hash of the identity."""
    text = json.dumps(identity, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()[:32]


#: Modules that only name, find, store or draw things: what they do shows in no result.
NEUTRAL = {"artifacts", "arcs", "errors", "explanation", "panels", "plugins", "registry", "settings", "svg"}


@lru_cache(maxsize=1024)
def code_digest(*classes: type) -> str:
    """Fingerprint of the code behind classes and the engine; comments, docstrings and layout do not count.

    Covers the files of the classes and of all their bases, and what these import of tsbench or of their own package.
    """
    roots = {c.__module__ for kind in classes for c in kind.__mro__ if _is_ours(c)}
    modules = set(ENGINE).union(*map(_imported, roots))
    texts = sorted(_normalised(_file(name)) for name in modules)
    return hashlib.sha256("\n".join(texts).encode()).hexdigest()[:16]


def _is_ours(kind: type) -> bool:
    """Not of Python, torch or another library that every result depends on anyway."""
    return kind.__module__.split(".")[0] not in {"builtins", "abc", "typing", "torch", "sklearn", "sktime"}


@lru_cache(maxsize=1024)
def _imported(root: str) -> frozenset[str]:
    """A module and all that it imports, directly or not, of tsbench or of its own top-level package."""
    seen: set[str] = set()
    todo = [root]
    while todo:
        name = todo.pop()
        if name in seen or (name.startswith("tsbench.") and name.split(".")[1] in NEUTRAL):
            continue
        seen.add(name)
        for node in ast.walk(ast.parse(_file(name).read_text(encoding="utf-8"))):
            if isinstance(node, ast.ImportFrom):
                package = name if _file(name).name == "__init__.py" else name.rpartition(".")[0]
                base = importlib.util.resolve_name("." * node.level + (node.module or ""), package)
                todo += [base, *(f"{base}.{alias.name}" for alias in node.names)]
            elif isinstance(node, ast.Import):
                todo += [alias.name for alias in node.names]
        todo = [m for m in todo if m.split(".")[0] in ("tsbench", root.split(".")[0]) and _is_module(m)]
    return frozenset(seen)


@lru_cache(maxsize=4096)
def _is_module(name: str) -> bool:
    try:
        found = importlib.util.find_spec(name)
    except ModuleNotFoundError:  # a class of a module
        return False
    return found is not None and bool(found.origin and found.origin.endswith(".py"))


def _file(module: str) -> Path:
    found = importlib.util.find_spec(module)
    assert found is not None
    assert found.origin is not None
    return Path(found.origin)


@lru_cache(maxsize=4096)
def _normalised(path: Path) -> str:
    tree = ast.parse(path.read_text(encoding="utf-8"))
    for node in ast.walk(tree):
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef) and ast.get_docstring(node) is not None:
            node.body = node.body[1:] or [ast.Pass()]
    return ast.unparse(tree)
