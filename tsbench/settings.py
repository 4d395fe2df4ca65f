"""Settings from the command line: the grammar `name:key=value,key=value` and typed dataclass fields."""

from __future__ import annotations

import dataclasses
import json
import re
import types
import typing
from collections.abc import Mapping
from typing import Any, TypeVar

from tsbench.errors import UsageError, unknown

T = TypeVar("T")


@dataclasses.dataclass(frozen=True)
class NoSettings:
    """The settings of what has none."""


_KEY = re.compile(r"(?:^|,)\s*([A-Za-z_]\w*)=")


def parse_spec(spec: str) -> tuple[str, dict[str, str]]:
    """Split `name:key=value,...` into the name and its settings.

    >>> parse_spec("dlinear:individual=true,lr=0.01")
    ('dlinear', {'individual': 'true', 'lr': '0.01'})
    >>> parse_spec("ltsf/etth1/96")
    ('ltsf/etth1/96', {})
    """
    found = re.search(r":(?=\s*[A-Za-z_]\w*=)", spec)
    if not found:
        return spec, {}
    return spec[: found.start()], parse_assignments(spec[found.end() :])


def parse_assignments(text: str) -> dict[str, str]:
    """Parse `key=value,key=value`; commas inside a value are fine unless `word=` follows outside its brackets."""
    keys = [k for k in _KEY.finditer(text) if text.count("(", 0, k.start()) == text.count(")", 0, k.start())]
    if not keys or keys[0].start() != 0:
        raise UsageError(f"cannot read setting {text!r}; write key=value, for example lr=0.005")
    ends = [k.start() for k in keys[1:]] + [len(text)]
    return {k[1]: text[k.end() : end].strip() for k, end in zip(keys, ends, strict=True)}


def format_spec(name: str, settings: Mapping[str, Any]) -> str:
    """The inverse of `parse_spec`, with keys sorted: one spelling for each combination."""
    if not settings:
        return name
    return name + ":" + ",".join(f"{k}={to_text(v)}" for k, v in sorted(settings.items()))


def to_text(value: Any) -> str:
    """Write a setting the way `configure` reads it."""
    return value if isinstance(value, str) else json.dumps(value)


def configure(config: type[T], settings: Mapping[str, Any], what: str) -> T:
    """Build dataclass `config` from settings, text values being read as the field's type.

    Raises:
        UsageError: an unknown field (with the nearest match) or a value that does not fit.
    """
    fields = typing.get_type_hints(config)
    for key in settings:
        if key not in fields:
            raise unknown(f"setting of {what}", key, fields)
    values = {key: _read(fields[key], value, f"{what}: {key}") for key, value in settings.items()}
    return config(**values)


def _read(kind: Any, value: Any, where: str) -> Any:
    """Convert `value` (text, or already typed as in a TOML suite or a recipe) to `kind`."""
    if isinstance(kind, types.UnionType):
        if value is None or value in ("none", "null"):
            return None
        kind = next(k for k in typing.get_args(kind) if k is not type(None))
    try:
        if kind is bool:
            return _read_bool(value)
        if kind is int and isinstance(value, str | int | float) and float(value) == int(float(value)):
            return int(float(value))
        if kind is float and isinstance(value, str | int | float):
            return float(value)
        if kind is str and isinstance(value, str):
            return value
        if dict in (kind, typing.get_origin(kind)):
            value = json.loads(value) if isinstance(value, str) else value
            if isinstance(value, dict):
                return value
    except ValueError as error:
        raise UsageError(f"{where}: cannot read {value!r} as {_kind_name(kind)} ({error})") from error
    raise UsageError(f"{where}: cannot read {value!r} as {_kind_name(kind)}")


def _read_bool(value: Any) -> bool:
    if isinstance(value, bool):
        return value
    words = {"true": True, "yes": True, "1": True, "false": False, "no": False, "0": False}
    if str(value).lower() not in words:
        raise ValueError("write true or false")
    return words[str(value).lower()]


def _kind_name(kind: Any) -> str:
    return str(getattr(kind, "__name__", kind))


def as_dict(config: Any) -> dict[str, Any]:
    """A dataclass instance as a plain dictionary, ready for JSON."""
    return dataclasses.asdict(config)
