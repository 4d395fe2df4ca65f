"""Differences: what two results of one cell do not have in common, to the last bit."""

from __future__ import annotations

import json
import math
import pickle
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from tsbench.store import Result

#: What a result holds for each split, beyond its scores.
BLOCKS = ("units", "tables", "groups")


def differences(old: Result, new: Result, others: Sequence[Result] = ()) -> list[str]:
    """What differs, a line each; empty if both say the same. Times, memory and machines do not count.

    Args:
        others: results of the same cell with other seeds, which say how much a difference means.
    """
    if (told := outcome(old)) != outcome(new):
        return [f"outcome: {told} → {outcome(new)}"]
    found = [*_scores(old, new, others), *_blocks(old, new), *_curves(old["curves"], new["curves"])]
    if old.get("parameters") != new.get("parameters"):
        found.append(f"parameters: {old.get('parameters')} → {new.get('parameters')}")
    return found


def outcome(result: Result) -> str:
    """`finished`, or how it ended otherwise and why."""
    return ": ".join([result["status"], *([result["reason"]] if "reason" in result else [])])


def compared(old: Result) -> str:
    """What `differences` compares of a result, in words for people."""
    counts = [f"{len(scores)} scores of {split}" for split, scores in old.get("scores", {}).items()]
    units = sum(len(_leaves(block)) for block in old.get("units", {}).values())
    counts += [f"{units} scores of units"] if units else []
    counts += [f"{len(old['curves'])} epochs"] if old["curves"] else []
    return ", ".join(counts) or outcome(old)


def _scores(old: Result, new: Result, others: Sequence[Result]) -> list[str]:
    found = []
    for split, scores in old.get("scores", {}).items():
        for metric, value in scores.items():
            now = new["scores"].get(split, {}).get(metric)
            if _text(now) == _text(value):
                continue
            told = f"{split} {metric}: {value!r} → {now!r}"
            seeds = [value, *(other["scores"][split][metric] for other in others)]
            if now is not None:
                told += f", difference {now - value:+.2g}"
            if now is not None and len(seeds) > 1:
                place = "within" if min(seeds) <= now <= max(seeds) else "outside"
                spread = f"({min(seeds):.6g} to {max(seeds):.6g})"
                told += f", {place} the spread of {len(seeds)} recorded seeds {spread}"
            found.append(told)
    return found


def _blocks(old: Result, new: Result) -> list[str]:
    found = []
    for block in BLOCKS:
        for split, parts in old.get(block, {}).items():
            for name, values in parts.items():
                now = new.get(block, {}).get(split, {}).get(name)
                if _text(now) != _text(values):
                    found.append(f"{split} {name}, {block}: {_how_many(_leaves(values), _leaves(now))}")
    return found


def _curves(old: list[dict[str, float]], new: list[dict[str, float]]) -> list[str]:
    for epoch, (before, now) in enumerate(zip(old, new, strict=False), 1):
        if _text(before) != _text(now):
            told = ", ".join(f"{name} {before[name]!r} → {now.get(name)!r}" for name in before)
            return [f"curves: from epoch {epoch} on ({told})"]
    return [f"curves: {len(old)} → {len(new)} epochs"] if len(old) != len(new) else []


def weights_differences(old: Path, new: Path) -> list[str]:
    """What differs between the tensors of two artifact folders, a line each."""
    import torch

    try:
        kept, now = (torch.load(folder / "weights.pt", weights_only=True, map_location="cpu") for folder in (old, new))
    except (OSError, EOFError, RuntimeError, pickle.UnpicklingError):  # cut off, or more than tensors
        return [f"weights: {old / 'weights.pt'} holds no tensors that can be read safely"]
    if kept.keys() != now.keys():
        return [f"weights: other names: {', '.join(sorted(kept.keys() ^ now.keys()))}"]
    found = []
    for name, value in kept.items():
        if value.dtype != now[name].dtype or value.shape != now[name].shape:
            found.append(f"weights {name}: {value.dtype} {tuple(value.shape)} → other type or shape")
        elif not torch.equal(*(tensor.flatten().view(torch.uint8) for tensor in (value, now[name]))):
            step = (value.double() - now[name].double()).abs()
            found.append(
                f"weights {name}: {int((step != 0).sum())} of {step.numel()} values differ, by at most {step.max():.2g}"
            )
    return found


def _how_many(old: list[Any], new: list[Any]) -> str:
    """How many of two lists' values differ, and by how much at most."""
    if len(old) != len(new):
        return f"{len(old)} → {len(new)} values"
    unlike = [(a, b) for a, b in zip(old, new, strict=True) if _text(a) != _text(b)]
    told = f"{len(unlike)} of {len(old)} values differ"
    steps = [abs(a - b) for a, b in unlike if isinstance(a, float | int) and isinstance(b, float | int)]
    finite = [step for step in steps if math.isfinite(step)]
    return f"{told}, by at most {max(finite):.2g}" if finite else told


def _leaves(value: Any) -> list[Any]:
    """The values inside lists and dictionaries, in order."""
    if isinstance(value, dict):
        return [leaf for key in sorted(value) for leaf in _leaves(value[key])]
    if isinstance(value, list):
        return [leaf for item in value for leaf in _leaves(item)]
    return [] if value is None else [value]


def _text(value: Any) -> str:
    """As a result file has it: NaN is equal to itself, -0.0 is not 0.0."""
    return json.dumps(value, sort_keys=True)
