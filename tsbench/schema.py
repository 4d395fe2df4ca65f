"""Schema: which fields a result or a study must have, and of which type, so that reports and MLflow can read them."""

from __future__ import annotations

import math
from collections.abc import Iterator
from datetime import datetime
from typing import Any

Fields = dict[Any, Any]
#: A kind is a type (float takes 1, too; datetime a time in ISO format), FINITE, a tuple of kinds of which one must
#: hold, [kind] for a list, or {name: kind} for an object, where `name?` may lack and `str` stands for all others.
FINITE = object()
NUMBERS: Fields = {str: float}
SCORES: Fields = {str: {str: FINITE}}

CELL: Fields = {
    "dataset": str, "protocol": str, "model": str, "settings": {"epochs?": float, str: object}, "seed": int,
    "changed": dict, "test": bool, "study": (str, None),
}  # fmt: skip
#: Of every result.
RESULT: Fields = {
    "key": str, "status": str, "cell": CELL, "variant": str, "suite": (str, None), "started": datetime,
    "finished": datetime, "device": str, "threads": int, "invocation": str, "seconds": NUMBERS,
    "cpu_seconds": NUMBERS, "curves": [NUMBERS], "measured?": NUMBERS, "parameters?": int,
    "peak_memory_mb?": float, "gpu_memory_mb?": (float, None), "environment": {"git?": (str, None), str: object},
    "data?": {
        "name": str, "label": str, "family": str, "digest": str, "generated": bool, "samples": {str: int},
        "sources": [{"file": str, "sha256": (str, None), "url": (str, None), str: object}],
        "notes?": [str], "files?": {str: str}, str: object,
    },
    "task?": {"kind": str, str: object}, "scores?": SCORES, "units?": {str: {str: [float]}},
    "tables?": {str: {str: [[float]]}}, "groups?": {str: {str: {str: {str: (float, None)}}}}, "drawings?": {str: str},
    "code?": str, "reason?": str, "command?": str, str: object,
}  # fmt: skip
#: Of one that ended so, beyond these.
ENDED: dict[str, Fields] = {
    "finished": {"code": str, "data": dict, "task": dict, "scores": dict, "units": dict, "parameters": int},
    "pruned": {"code": str, "data": dict, "task": dict, "reason": str},
    "failed": {"reason": str},
}
#: Of one that was scored on test, beyond these.
TESTED: Fields = {
    "data": {"samples": {"test": int}}, "scores": {"validation": dict, "test": dict}, "units": {"test": dict},
    "seconds": {"fit": float}, "cpu_seconds": {"fit": float}, "peak_memory_mb": float,
    "environment": {"torch": str, "tsbench": str, "python": str, "processor": str},
}  # fmt: skip

TRIAL: Fields = {
    "number": int, "state": str, "value": (FINITE, None), "params": dict, "epochs": int, "seconds": FINITE,
    "cpu_seconds": FINITE, "key": str, "reason": str,
}  # fmt: skip
STUDY: Fields = {
    "family": str, "dataset": str, "label?": str, "model": str, "protocol": str, "trials": int, "pruned": int,
    "best_value": FINITE, "best": dict, "finished": bool, str: object,
}  # fmt: skip
#: Of a study that names its trials, beyond these; those of older versions do not.
STUDY_OF_TRIALS: Fields = {
    "label": str, "content": str, "metric": str, "higher_is_better": bool, "fixed": {str: str}, "killed": int,
    "trial_seed": int, "seeds": [int], "budget": {"trials": (float, None), "cpu_minutes": (float, None)},
    "importance": NUMBERS, "history": [TRIAL], "variants": {"default": str, "tuned": str},
    "distributions": {str: {"attributes": dict, str: object}},
}  # fmt: skip


def faults(value: Any, kind: Any, name: str = "") -> Iterator[str]:
    """What in `value` is not of a kind, in words: "`scores.test.mse` is no finite number"."""
    if isinstance(kind, tuple):
        if all(any(faults(value, one, name)) for one in kind):
            yield f"`{name}` is no {_noun(kind)}"
    elif isinstance(kind, list) and isinstance(value, list):
        for index, part in enumerate(value):
            yield from faults(part, kind[0], f"{name}.{index}")
    elif isinstance(kind, dict) and isinstance(value, dict):
        begin = f"{name}." if name else ""
        named = {str(field).removesuffix("?"): wanted for field, wanted in kind.items() if field is not str}
        for field in named.keys() - value.keys():
            if f"{field}?" not in kind:
                yield f"`{begin}{field}` is no {_noun(named[field])}"
        for field, part in value.items():
            yield from faults(part, named.get(field, kind.get(str, object)), f"{begin}{field}")
    elif not _is(value, kind):
        yield f"`{name}` is no {_noun(kind)}"


def _is(value: Any, kind: Any) -> bool:
    """True if a plain value is of a kind; True is no number."""
    if kind is None:
        return value is None
    if kind is datetime:
        return isinstance(value, str) and _is_time(value)
    if kind is float or kind is FINITE:
        number = isinstance(value, int | float) and not isinstance(value, bool)
        return number and (isinstance(value, int) or kind is float or math.isfinite(value))
    if isinstance(kind, type):
        return isinstance(value, kind) and (kind in (bool, object) or not isinstance(value, bool))
    return False  # a list or an object is wanted


def _is_time(text: str) -> bool:
    try:
        return bool(datetime.fromisoformat(text))
    except ValueError:
        return False


def _noun(kind: Any) -> str:
    if isinstance(kind, tuple):
        return " or ".join(map(_noun, kind))
    if isinstance(kind, list | dict):
        return type(kind).__name__
    nouns = {FINITE: "finite number", float: "number", datetime: "time", None: "null"}
    return nouns.get(kind) or kind.__name__
