"""Plug-ins: classes found by name, one a file in a folder of ours or behind another package's entry point."""

from __future__ import annotations

import importlib
import inspect
import pkgutil
import re
from functools import lru_cache
from importlib.metadata import EntryPoint, entry_points
from typing import Any, TypeVar

from tsbench.errors import UsageError, unknown
from tsbench.settings import parse_assignments

T = TypeVar("T")


@lru_cache(maxsize=16)
def files(package: str) -> list[str]:
    """Names of a package's modules."""
    path = importlib.import_module(package).__path__
    return sorted(m.name for m in pkgutil.iter_modules(path) if not m.name.startswith("_"))


@lru_cache(maxsize=16)
def points(group: str) -> dict[str, EntryPoint]:
    """Other packages' entry points of a group; groups are called as our packages."""
    return {point.name: point for point in entry_points(group=group)}


def names(package: str) -> list[str]:
    """Names of all plug-ins, ours and others'."""
    return sorted({*files(package), *points(package)})


@lru_cache(maxsize=256)
def find(package: str, name: str, base: type[T]) -> type[T]:
    """The class called `name`: the one subclass of `base` that its module defines.

    Raises:
        UsageError: there is none, or its file does not define exactly one.
    """
    what = " ".join(re.findall("[A-Z][a-z]+", base.__name__)).lower()  # PositionEncoding: position encoding
    if name in files(package):
        loaded: Any = importlib.import_module(f"{package}.{name}")
    elif name in points(package):
        loaded = points(package)[name].load()
    else:
        raise unknown(what, name, names(package))
    if inspect.isclass(loaded) and issubclass(loaded, base):
        return loaded
    own = [c for c in classes(loaded, base) if c.__module__ == loaded.__name__]
    if len(own) != 1:
        raise UsageError(f"{what} {name!r}: {loaded.__name__} defines {len(own)} such classes, not one")
    return own[0]


def classes(module: Any, base: type[T]) -> list[type[T]]:
    """Concrete subclasses of `base` that a module holds."""
    return [
        c for _, c in inspect.getmembers(module, inspect.isclass) if issubclass(c, base) and not inspect.isabstract(c)
    ]


def part_spec(text: str) -> tuple[str, dict[str, str]]:
    """Name and settings of a part chosen inside a setting.

    >>> part_spec("rope(layout=half,base=500)")
    ('rope', {'layout': 'half', 'base': '500'})
    >>> part_spec("alibi")
    ('alibi', {})
    """
    found = re.fullmatch(r"\s*([\w-]+)\s*(?:\((.*)\))?\s*", text)
    if not found:
        raise UsageError(f"cannot read {text!r}; write name or name(key=value,key=value)")
    return found[1], parse_assignments(found[2]) if found[2] else {}
