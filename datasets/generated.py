"""Generated series, labelled series and RNA: no file needed, and named as generated wherever they show."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

import numpy as np
import torch

from tsbench.data import Splits
from tsbench.dataset import Dataset
from tsbench.inputs import NucleotidePair, Nucleotides
from tsbench.rna.sequences import PairSequences, Ragged, Sequences, decode, encode
from tsbench.series.samples import SeriesSamples
from tsbench.series.splits import PROTOCOLS, classification_splits
from tsbench.tasks.classification import Classification
from tsbench.tasks.forecasting import Forecasting
from tsbench.tasks.pairs import Structure
from tsbench.tasks.regression import RankRegression
from tsbench.tasks.task import Task
from tsbench.windows import forecasting_splits, fractions


@dataclass(frozen=True)
class Seasonal(Dataset):
    """Three channels: daily and weekly seasons, a trend and autoregressive noise, 1000 hourly steps."""

    horizon: int = 24
    look_back: int = 96

    kind: ClassVar = Forecasting
    protocols: ClassVar = {"full": "every test window counts"}
    options: ClassVar = ("look_back",)
    generated: ClassVar = True  # type: ignore[misc]

    @property
    def name(self) -> str:  # type: ignore[override]
        """`generated/seasonal/24`."""
        return f"generated/seasonal/{self.horizon}"

    def digest(self, root: Path) -> str:
        """Fingerprint of the generated values."""
        return hashlib.sha256(np.round(seasonal_series(), 9).tobytes()).hexdigest()

    def load(self, root: Path, protocol: str) -> Splits:
        """Generate and cut; 70/10/20 % in time order."""
        values = seasonal_series()
        return forecasting_splits(
            values, fractions(len(values)), Forecasting(self.look_back, self.horizon, values.shape[1], 24)
        )


def seasonal_series(steps: int = 1000, seed: int = 7) -> np.ndarray:
    """`(time, channel)`: what `Seasonal` describes."""
    random = np.random.default_rng(seed)
    hour = np.arange(steps)[:, None]
    phase = np.array([0.0, 1.0, 2.5])
    noise = random.normal(size=(steps, 3)) * 0.3
    for t in range(1, steps):
        noise[t] += 0.8 * noise[t - 1]
    daily = np.sin(2 * np.pi * hour / 24 + phase)
    weekly = np.sin(2 * np.pi * hour / 168 + 2 * phase)
    return np.asarray(daily * np.array([1.0, 2.0, 0.5]) + 0.5 * weekly + hour * 0.001 + noise)


RNA_SIZES = (240, 40, 80)  # samples of train, validation and test
MOTIFS = ("AAUAAA", "GGACUC", "CUGCUG")


@dataclass(frozen=True)
class Hairpins(Dataset):
    """RNA of 20-40 nt with one hairpin, a stem of 4-8 Watson-Crick pairs and a loop of 3-8 nt; all else is random."""

    name = "generated/hairpins"
    kind: ClassVar = Structure
    inputs: ClassVar = Nucleotides
    protocols: ClassVar = {"full": "every test sample counts"}
    generated: ClassVar = True  # type: ignore[misc]

    def digest(self, root: Path) -> str:
        """Fingerprint of the generated sequences and pairs."""
        return _fingerprint(hairpins())

    def load(self, root: Path, protocol: str) -> Splits:
        """Generate and cut."""
        return _cut(Structure(Nucleotides(40)), hairpins())


@dataclass(frozen=True)
class Motif(Dataset):
    """RNA of 20-60 random nt; the class is which of three motifs of 6 nt was planted, at a random place."""

    name = "generated/motif"
    kind: ClassVar = Classification
    inputs: ClassVar = Nucleotides
    protocols: ClassVar = {"full": "every test sample counts"}
    generated: ClassVar = True  # type: ignore[misc]

    def digest(self, root: Path) -> str:
        """Fingerprint of the generated sequences and classes."""
        return _fingerprint(motifs())

    def load(self, root: Path, protocol: str) -> Splits:
        """Generate and cut."""
        return _cut(Classification(Nucleotides(60), len(MOTIFS)), motifs())


@dataclass(frozen=True)
class Guides(Dataset):
    """Pairs of a guide and a target of 23 nt; the number is minus the share of the places in which they differ."""

    name = "generated/guides"
    kind: ClassVar = RankRegression
    inputs: ClassVar = NucleotidePair
    protocols: ClassVar = {"full": "every test sample counts"}
    generated: ClassVar = True  # type: ignore[misc]

    def digest(self, root: Path) -> str:
        """Fingerprint of the generated pairs and numbers."""
        return _fingerprint(guides())

    def load(self, root: Path, protocol: str) -> Splits:
        """Generate and cut."""
        return _cut(RankRegression(NucleotidePair(23), 1), guides())


@dataclass(frozen=True)
class Shapes(Dataset):
    """Noise of 40-60 steps in two channels; the class is which of three shapes was planted in the first one."""

    name = "generated/shapes"
    kind: ClassVar = Classification
    protocols: ClassVar = PROTOCOLS
    generated: ClassVar = True  # type: ignore[misc]

    def digest(self, root: Path) -> str:
        """Fingerprint of the generated cases and classes."""
        samples = shapes()
        parts = (samples.values.double().round(decimals=4), samples.target, samples.steps)
        return hashlib.sha256(b"".join(part.numpy().tobytes() for part in parts)).hexdigest()

    def load(self, root: Path, protocol: str) -> Splits:
        """Generate and cut: 60 cases to learn from, 60 to be tested on."""
        train, test = (shapes().select(part) for part in torch.arange(120).split(60))
        return classification_splits(train, test, tuple(SHAPES), protocol)


SHAPE_STEPS = 12
SHAPES = {
    "bump": np.sin(np.linspace(0, np.pi, SHAPE_STEPS)),
    "step": np.repeat([-0.5, 0.5], SHAPE_STEPS // 2),
    "wave": np.sin(np.linspace(0, 4 * np.pi, SHAPE_STEPS)),
}


def shapes(cases: int = 120, seed: int = 7) -> SeriesSamples:
    """What `Shapes` describes; the classes take turns."""
    random = np.random.default_rng(seed)
    lengths = random.integers(40, 61, cases)
    values = np.zeros((cases, 60, 2))
    for i, length in enumerate(lengths):
        values[i, :length] = 0.3 * random.normal(size=(length, 2))
        place = random.integers(0, length - SHAPE_STEPS + 1)
        values[i, place : place + SHAPE_STEPS, 0] += 3 * list(SHAPES.values())[i % 3]
    target = torch.arange(cases) % 3
    return SeriesSamples(torch.from_numpy(values).float(), target, torch.from_numpy(lengths))


def guides(seed: int = 7) -> Sequences:
    """What `Guides` describes."""
    random = np.random.default_rng(seed)
    guide = random.integers(0, 4, (sum(RNA_SIZES), 23)).astype(np.uint8)
    changed = random.random(guide.shape) < random.random((len(guide), 1))
    target = np.where(changed, (guide + random.integers(1, 4, guide.shape)) % 4, guide).astype(np.uint8)
    number = -(guide != target).mean(1, keepdims=True).astype(np.float32)
    return Sequences((Ragged.of(list(guide)), Ragged.of(list(target))), torch.from_numpy(number))


def hairpins(seed: int = 7) -> PairSequences:
    """What `Hairpins` describes."""
    random = np.random.default_rng(seed)
    codes, pairs = [], []
    for _ in range(sum(RNA_SIZES)):
        stem, loop = int(random.integers(4, 9)), int(random.integers(3, 9))
        length = random.integers(max(20, 2 * stem + loop), 41)
        first = random.integers(0, length - 2 * stem - loop + 1) + np.arange(stem)
        last = 2 * first[0] + 2 * stem + loop - 1 - first
        sequence = random.integers(0, 4, length).astype(np.uint8)
        sequence[last] = 3 - sequence[first]  # A 0 pairs with U 3, C 1 with G 2
        codes.append(sequence)
        pairs.append(np.stack([first, last], axis=1))
    return PairSequences((Ragged.of(codes),), Ragged.of(pairs))


def motifs(seed: int = 7) -> Sequences:
    """What `Motif` describes; no sequence holds a second motif."""
    random = np.random.default_rng(seed)
    codes: list[np.ndarray] = []
    classes = random.integers(0, len(MOTIFS), sum(RNA_SIZES))
    while len(codes) < len(classes):
        sequence = random.integers(0, 4, random.integers(20, 61)).astype(np.uint8)
        planted = encode(MOTIFS[classes[len(codes)]])
        place = random.integers(0, len(sequence) - len(planted) + 1)
        sequence[place : place + len(planted)] = planted
        text = decode(sequence)
        if sum(text.startswith(motif, i) for motif in MOTIFS for i in range(len(text))) == 1:
            codes.append(sequence)
    return Sequences((Ragged.of(codes),), torch.from_numpy(classes))


def _cut(task: Task, samples: Sequences) -> Splits:
    train, validation, test = (samples.select(part) for part in torch.arange(len(samples)).split(RNA_SIZES))
    return Splits(task, train, validation, test)


def _fingerprint(samples: Sequences) -> str:
    target = [samples.target.values, samples.target.ends] if isinstance(samples.target, Ragged) else [samples.target]
    parts = (*(part for codes in samples.codes for part in (codes.values, codes.ends)), *target)
    return hashlib.sha256(b"".join(part.numpy().tobytes() for part in parts)).hexdigest()


def datasets() -> Iterator[Dataset]:
    """Series at three horizons, labelled series, and RNA of each level."""
    yield Seasonal(12)
    yield Seasonal(24)
    yield Seasonal(48)
    yield Shapes()
    yield Motif()
    yield Guides()
    yield Hairpins()
