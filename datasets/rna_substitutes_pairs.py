"""Stand-ins for BEACON's pair-level tasks: structures by family or in 3D, contacts and distances of other RNA."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

import numpy as np
import torch

from tsbench.dataset import Dataset, Source, find_file
from tsbench.datasets.rna_substitutes import DAMAGED, Content, Parts, Substitute, columns, encoded, inputs_of, made
from tsbench.errors import DataError
from tsbench.rna.sequences import PairSequences, Ragged, Sequences
from tsbench.splitting import grouped_split
from tsbench.tasks.pairs import Contacts, Distances, PairMap, Structure

FAMILIES = ("5s", "16s", "23s", "RNaseP", "grp1", "srp", "tRNA", "telomerase", "tmRNA")
FOLDS = 5
_ORIGIN = "https://raw.githubusercontent.com/sinc-lab/rna-llm-folding/278f5e3a9fe2551fca8819e6eb78b2785144f689/data"


def _folding(folder: str, name: str, sha256: str) -> Source:
    cite = "Sloma & Mathews, RNA 2016" if folder == "ArchiveII" else "Zablocki et al., Brief. Bioinform. 2025"
    return Source(
        f"rna/Secondary_structure_prediction/{folder}/{name}", f"{_ORIGIN}/{name}", sha256, "none stated", cite
    )


ARCHIVE = _folding("ArchiveII", "ArchiveII.csv", "2a14b79df8d593010abf7aa2c7e4327f72cb30dd8ef0e259287a3622841eb72a")
BY_FAMILY = _folding(
    "ArchiveII", "ArchiveII_famfold_splits.csv", "aedfdb66e74b87d768f2bc485779e9b1864fac263bbe3e4f9f8a86cbc46b20fc"
)
AT_RANDOM = _folding(
    "ArchiveII", "ArchiveII_kfold_splits.csv", "d844055303a24c64f77c39542e36fc2e889f3e0f8172a8d9e2f19a22f752aa45"
)
PDB = _folding("PDB-RNA", "PDB-RNA.csv", "0df3b4755234a1e078a6dc2ea5c71ab4bc8eee65fcf2d78b0cb3d85c3393d0b6")
PDB_SPLITS = _folding(
    "PDB-RNA", "PDB-RNA_splits.csv", "d82b5135de6e4d304c0d4b00221262dc0c29dc555daf6a73ccf8f9aec4706d17"
)
COCONET = "Zerihun et al., CoCoNet, NAR 2021"
CHAINS = made(
    "ContactMap_DistanceMap_coconet/coconet80.csv",
    "cf5c601bd3a0166a2a111327a2d849f7e7f73274aaaf11d63a78e03b8cfd9d5d",
    "MIT",
    COCONET,
)
ATOMS = made(
    "ContactMap_DistanceMap_coconet/min_heavy_atom_distance.npz",
    "52984a651009b504b0c9314127c5ee90e454a8d5f657e17ffff5b58bcfb0c282",
    "MIT",
    COCONET,
)


@dataclass(frozen=True)
class ArchiveII(Substitute):
    """Secondary structures of nine families; `fold` is the family that is tested on, or `kfold0` to `kfold4`."""

    fold: str

    kind: ClassVar = Structure
    differs: ClassVar = (
        "substitute for BEACON's SSP: ArchiveII (3,864 RNA of nine families) instead of bpRNA TR0/VL0/TS0"
    )

    @property
    def name(self) -> str:  # type: ignore[override]
        """`rna-substitute/archiveii/<fold>`."""
        return f"rna-substitute/archiveii/{self.fold}"

    @property
    def protocols(self) -> Mapping[str, str]:  # type: ignore[override]
        """One: whether families are shared between splits."""
        if self.fold in FAMILIES:
            return {"family": f"test on family {self.fold}, train and validate on the other eight"}
        return {"random": "a random fold: families, and equal sequences, are on both sides; optimistic"}

    @property
    def sources(self) -> tuple[Source, ...]:
        """Structures and folds."""
        return (ARCHIVE, BY_FAMILY if self.fold in FAMILIES else AT_RANDOM)

    def read(self, root: Path) -> Content:
        """The partitions of the file; without one for validation, 10 % of train, equal sequences together."""
        names, samples = _structures(root, ARCHIVE)
        folds, partitions, ids = columns(root, self.sources[1], "fold", "partition", "id")
        rows = zip(folds.cells, ids.cells, partitions.cells, strict=True)
        chosen = {name: part for fold, name, part in rows if fold == self.fold.removeprefix("kfold")}
        parts = _partitions(ids.path, chosen, names, samples)
        return Content(Structure(inputs_of(samples)), samples, parts)


@dataclass(frozen=True)
class Pdb(Substitute):
    """Base pairs in 203 RNA chains of known 3D structure; a nucleotide may be in several pairs."""

    name = "rna-substitute/pdb"
    kind: ClassVar = Structure
    differs: ClassVar = (
        "substitute for BEACON's SSP: base pairs of 203 chains in 3D, triples and unusual pairs included, instead of "
        "the nested and knotted pairs of bpRNA"
    )

    @property
    def sources(self) -> tuple[Source, ...]:
        """Pairs and partitions."""
        return (PDB, PDB_SPLITS)

    def read(self, root: Path) -> Content:
        """The partitions of the file: 141 train, of which 10 % validate, and 62 test."""
        names, samples = _structures(root, PDB)
        ids, partitions = columns(root, PDB_SPLITS, "id", "partition")
        parts = _partitions(ids.path, dict(zip(ids.cells, partitions.cells, strict=True)), names, samples)
        return Content(Structure(inputs_of(samples)), samples, parts)


def _structures(root: Path, source: Source) -> tuple[list[str], PairSequences]:
    ids, sequences, cells = columns(root, source, "id", "sequence", "base_pairs")
    codes = encoded(sequences)
    pairs = []
    for row, (cell, sequence) in enumerate(zip(cells.cells, codes, strict=True)):
        try:
            places = np.array(json.loads(cell), dtype=np.int64).reshape(-1, 2) - 1
        except ValueError as error:
            raise cells.error(row, f"no list of pairs ({error})", DAMAGED) from None
        if len(places) and not (places.min() >= 0 and places.max() < len(sequence)):
            raise cells.error(row, f"a pair outside the {len(sequence)} nucleotides", DAMAGED)
        pairs.append(np.sort(places, axis=1))
    groups = {"family": [name.split("_")[0] for name in ids.cells]} if source is ARCHIVE else {}
    return ids.cells, PairSequences((Ragged.of(codes),), Ragged.of(pairs), groups=groups)


def _partitions(path: Path, partition: Mapping[str, str], names: Sequence[str], samples: Sequences) -> Parts:
    if missing := [name for name in names if name not in partition]:
        raise DataError(path, f"{missing[0]} and {len(missing) - 1} more are in no partition", DAMAGED)
    where = np.array([partition[name] for name in names])
    train, validation, test = (torch.from_numpy(np.flatnonzero(where == p)) for p in ("train", "valid", "test"))
    if not len(validation):
        kept, taken = grouped_split([samples.text(i) for i in train.tolist()], (0.9, 0.1))
        train, validation = train[kept], train[taken]
    return train, validation, test


# ---------------------------------------------------------------- contacts and distances


@dataclass(frozen=True)
class Coconet(Substitute):
    """Maps of 80 RNA chains of 80 Rfam families: nucleotide pairs whose heavy atoms are near, or how far they are."""

    kind: type[PairMap]  # type: ignore[misc]

    @property
    def name(self) -> str:  # type: ignore[override]
        """`rna-substitute/coconet-contacts` or `-distances`."""
        return f"rna-substitute/coconet-{self.kind.__name__.lower()}"

    @property
    def differs(self) -> str:  # type: ignore[override]
        """What is not BEACON's."""
        task, target = ("CMP", "distance < 8 Å") if self.kind is Contacts else ("DMP", "min(distance / 20 Å, 1)")
        return (
            f"substitute for BEACON's {task}: CoCoNet's 57 training and 23 test chains instead of 188, 23 and 80; the "
            f"same target, {target} between the nearest heavy atoms"
        )

    @property
    def sources(self) -> tuple[Source, ...]:
        """Chains and their distances."""
        return (CHAINS, ATOMS)

    def read(self, root: Path) -> Content:
        """Test on RNA_TESTSET; the last ten chains of RNA_DATASET validate."""
        ids, sequences, families, sources = columns(root, CHAINS, "id", "sequence", "rfam", "source")
        codes = encoded(sequences)
        maps = _distances(find_file(root, ATOMS.file), ids.cells, codes)
        if self.kind is Contacts:
            rows = [np.argwhere(np.triu(distance < 8.0)) for distance in maps]
        else:
            rows = [np.minimum(distance / 20.0, 1.0).reshape(-1, 1) for distance in maps]
        groups = {"family": families.cells}
        samples = PairSequences((Ragged.of(codes),), Ragged.of(rows), groups=groups, dense=self.kind is Distances)
        test = np.array(sources.cells) == "RNA_TESTSET"
        known, unseen = (torch.from_numpy(np.flatnonzero(part)) for part in (~test, test))
        return Content(self.kind(inputs_of(samples)), samples, (known[:-10], known[-10:], unseen))


def _distances(path: Path, names: Sequence[str], codes: Sequence[np.ndarray]) -> list[np.ndarray]:
    """`(length, length)` float32 in Å for each chain."""
    try:
        with np.load(path, allow_pickle=False) as file:
            maps = [file[name].astype(np.float32) for name in names]
    except Exception as error:  # of the zip, or of the parser of Python that NumPy runs over each header
        raise DataError(path, f"cannot be read ({error})", DAMAGED) from None
    for name, distance, sequence in zip(names, maps, codes, strict=True):
        if distance.shape != (len(sequence), len(sequence)):
            raise DataError(path, f"map {name} is {distance.shape} for {len(sequence)} nucleotides", DAMAGED)
    return maps


def datasets() -> Iterator[Dataset]:
    """Structures by family and at random, structures in 3D, maps."""
    for fold in (*FAMILIES, *(f"kfold{i}" for i in range(FOLDS))):
        yield ArchiveII(fold)
    yield Pdb()
    yield Coconet(Contacts)
    yield Coconet(Distances)
