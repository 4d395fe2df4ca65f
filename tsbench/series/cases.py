"""The cases of a file of labelled series as they were read, and a TRAIN and a TEST file as samples."""

from __future__ import annotations

import math
import zlib
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch

from tsbench.dataset import open_content
from tsbench.errors import DataError
from tsbench.series.samples import SeriesSamples

SHOWN = 10  # labels that a message lists
LARGEST = float(np.finfo(np.float32).max)
DAMAGED = "The copy is cut or damaged: get the file again."


@dataclass(frozen=True)
class Cases:
    """The cases of one file.

    Attributes:
        series: `(channel, time)` float32 of each case, all of as many channels; NaN is a missing value.
        labels: of each case.
        lines: of the file on which each case stands, from 1.
        classes: labels in the order in which the file declares them; empty if it declares none.
    """

    path: Path
    series: list[np.ndarray]
    labels: list[str]
    lines: list[int]
    classes: tuple[str, ...]

    @property
    def channels(self) -> int:
        """Of each case."""
        return len(self.series[0])

    @property
    def lengths(self) -> list[int]:
        """Steps of each case."""
        return [series.shape[1] for series in self.series]


class Line(NamedTuple):
    """A line of a file without blanks at its ends; `ended` is False for a last one without a line end."""

    number: int
    text: bytes
    ended: bool


def read_lines(path: Path, comment: bytes) -> Iterator[Line]:
    """The lines of a file, plain or gzipped, that are neither blank nor comments.

    Raises:
        DataError: it cannot be read to its end.
    """
    number = 0
    try:
        with open_content(path) as file:
            for number, raw in enumerate(file, 1):
                text = raw.removeprefix(b"\xef\xbb\xbf").strip()
                if text and not text.startswith(comment):
                    yield Line(number, text, raw.endswith(b"\n"))
    except (OSError, EOFError, zlib.error) as error:
        raise DataError(path, f"cannot be read after line {number} ({error})", DAMAGED) from None


def decoded(text: bytes) -> str:
    """Text for people and labels; bytes that are no UTF-8 are kept as escapes."""
    return text.strip().decode("utf-8", errors="backslashreplace")


def collect(path: Path, classes: Sequence[str], rows: Iterable[tuple[Line, bytes, str]], separator: bytes) -> Cases:
    """The cases of a file from its data lines: line, numbers (a comma between steps) and label of each.

    Raises:
        DataError: naming file, line and remedy.
    """
    cases = Cases(path, [], [], [], tuple(classes))
    known, line = set(classes), None
    for line, numbers, label in rows:
        series = _series(path, line.number, numbers.split(separator))
        if cases.series and len(series) != cases.channels:
            problem = f"{len(series)} channels and a label, the cases before it have {cases.channels} channels"
            raise DataError(path, problem, DAMAGED, line.number)
        if known and label not in known:
            problem = f"unknown label {label!r}; the file declares {_listed(classes)}"
            raise DataError(path, problem, "Correct the label or the declaration, or get the file again.", line.number)
        cases.series.append(series)
        cases.labels.append(label)
        cases.lines.append(line.number)
    if line is None:
        raise DataError(path, "no case after `@data`", DAMAGED)
    longer = [name for name in known | set(cases.labels) if name != label and name.startswith(label)]
    if longer and not line.ended:
        problem = f"the file ends without a line end after {label!r}, which may be the beginning of {longer[0]!r}"
        raise DataError(path, problem, "Add a line end if the file is whole; else get it again.", line.number)
    return cases


def _series(path: Path, line: int, channels: list[bytes]) -> np.ndarray:
    """`(channel, time)`; steps at the end at which nothing is known are no steps."""
    counts = [channel.count(b",") + 1 for channel in channels]
    if min(counts) != max(counts):
        other = next(i for i, count in enumerate(counts) if count != counts[0])
        problem = f"channel 1 has {counts[0]} steps, channel {other + 1} has {counts[other]}"
        raise DataError(path, problem, "All channels of a case need as many; fill with ? what is missing.", line)
    text = b",".join(channels).replace(b"?", b"nan")
    try:
        values = np.fromstring(text, sep=",")
    except ValueError:
        values = np.empty(0)
    with np.errstate(over="ignore"):
        series = values.astype(np.float32)
    if len(series) != len(channels) * counts[0] or np.isinf(series).any():
        raise DataError(path, _fault(channels), "Numbers, and ? for a missing one, are what is read.", line)
    series = series.reshape(len(channels), counts[0])
    if np.isnan(series[:, -1]).all():
        known = np.flatnonzero(~np.isnan(series).all(0))
        if not len(known):
            raise DataError(path, "no value of this case is known", "Leave the case out.", line)
        series = series[:, : known[-1] + 1]
    return series


def _fault(channels: list[bytes]) -> str:
    """What is wrong with the first cell that is no number."""
    for number, channel in enumerate(channels, 1):
        if not channel.strip():
            return f"channel {number} is empty"
        for cell in channel.split(b","):
            try:
                good = b"_" not in cell and not abs(float(cell.replace(b"?", b"nan"))) > LARGEST
            except ValueError:
                good = False
            if not good:
                return f"channel {number}: {decoded(cell)[:40]!r} is no finite number"
    return "a cell is no finite number"


def to_samples(train: Cases, test: Cases) -> tuple[SeriesSamples, SeriesSamples, tuple[str, ...]]:
    """Samples of both files, as wide as the longest case of either, and the classes that occur in TRAIN, in order.

    Raises:
        DataError: the files do not belong together: other channels, or a label that TRAIN has not.
    """
    if test.channels != train.channels:
        problem = f"{test.channels} channels, {train.path.name} has {train.channels}"
        raise DataError(test.path, problem, "Both files need the same channels.", test.lines[0])
    occurring = set(train.labels)
    classes = [name for name in train.classes if name in occurring] or sorted(occurring, key=_numeric)
    if len(classes) < 2:
        raise DataError(train.path, f"all cases are of class {classes[0]!r}", "Two classes are the least.")
    code = {name: i for i, name in enumerate(classes)}
    for label, line in zip(test.labels, test.lines, strict=True):
        if label not in code:
            problem = f"label {label!r} has no case in {train.path.name}, which has {_listed(classes)}"
            raise DataError(test.path, problem, "Correct it, or leave these cases out.", line)
    lengths = [torch.tensor(cases.lengths) for cases in (train, test)]
    longest = int(torch.cat(lengths).max())
    whole = all(bool((part == longest).all()) for part in lengths)
    parts = [
        SeriesSamples(
            _padded(cases.series, longest),
            torch.tensor([code[label] for label in cases.labels]),
            None if whole else part,
        )
        for cases, part in zip((train, test), lengths, strict=True)
    ]
    return parts[0], parts[1], tuple(classes)


def _padded(series: list[np.ndarray], longest: int) -> torch.Tensor:
    """`(case, time, channel)`, 0 beyond a case's end."""
    values = torch.zeros(len(series), longest, len(series[0]))
    for row, case in zip(values, series, strict=True):
        row[: case.shape[1]] = torch.from_numpy(case.T)
    return values


def _numeric(label: str) -> tuple[float, str]:
    """Sort key: numbers by value, before words."""
    try:
        value = float(label)
    except ValueError:
        value = math.inf
    return value, label


def _listed(names: Sequence[str]) -> str:
    return ", ".join(names[:SHOWN]) + (" ..." if len(names) > SHOWN else "")
