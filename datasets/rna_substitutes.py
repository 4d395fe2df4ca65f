"""Stand-ins for BEACON tasks whose data are not at hand: the same kind of task on other RNA, never to be called BEACON.

Their names begin with `rna-substitute/`, and the first note of each says what differs. Here are the labels of whole
sequences; structures, contacts and distances are in rna_substitutes_pairs.py.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

import numpy as np
import torch
from torch import Tensor

from tsbench.data import Splits
from tsbench.dataset import Dataset, Source, find_file
from tsbench.errors import UsageError
from tsbench.inputs import Nucleotides
from tsbench.leakage import with_leakage
from tsbench.rna.files import Column, Field, read_csv
from tsbench.rna.sequences import Ragged, Sequences, UnknownLetter, encode
from tsbench.splitting import grouped_split
from tsbench.tasks.classification import Classification
from tsbench.tasks.regression import Regression
from tsbench.tasks.task import Task

CLASSES = ("ei", "ie", "n")
DAMAGED = "The copy is cut or damaged: get the file again."
Parts = tuple[Tensor, Tensor, Tensor]


def made(file: str, sha256: str, licence: str, citation: str) -> Source:
    """A file that was made from the original by a conversion, so that there is no address to fetch it from."""
    return Source(f"rna/{file}", "", sha256, licence, citation)


UTR = made(
    "MeanRibosomeLoading/human_5utr_snv_50nt.csv",
    "dd12d9ad67c7915c6fd470a1d90893b1e32da1ac147fb912b1b64fa2adfaf178",
    "GPL-3.0",
    "Sample et al., Nat. Biotechnol. 2019",
)
RIBOSWITCHES = made(
    "ProgrammableRNASwitches/eternabench_riboswitch_26244.csv",
    "459ebcc297f59a3f7af63ffa94209246efd06598d929ba25b95c4f8a9d7b21bb",
    "MIT-style",
    "Wayment-Steele et al., EternaBench, Nat. Methods 2022",
)
SPLICE = made(
    "SpliceSite_uci/primate_splice_junctions_3186.csv",
    "eb0a0edd3f11a8eb8cfe0c93d0c4297f3e3092453a9c262e928bf3bd1fd1a5ae",
    "GPL-2 (package), UCI data",
    "Noordewier, Towell & Shavlik, NIPS 1990; UCI; mlbench",
)


@dataclass(frozen=True)
class Content:
    """What a set holds: `parts` are the samples of train, validation and test."""

    task: Task
    samples: Sequences
    parts: Parts
    notes: tuple[str, ...] = ()


class Substitute(Dataset):
    """Base of the sets below; `differs` is their first note."""

    inputs: ClassVar = Nucleotides
    protocols: ClassVar[Mapping[str, str]] = {"full": "every test sample counts"}
    differs: ClassVar[str]

    @abstractmethod
    def read(self, root: Path) -> Content:
        """Read the files and decide who is in which split."""

    def load(self, root: Path, protocol: str) -> Splits:
        """Read and split."""
        content = self.read(root)
        train, validation, test = (content.samples.select(part) for part in content.parts)
        return with_leakage(Splits(content.task, train, validation, test, notes=(self.differs, *content.notes)))


def columns(root: Path, source: Source, *names: str) -> list[Column]:
    """Columns of a table, by name."""
    nowhere = 1 << 30  # columns are found by their names only
    return read_csv(find_file(root, source.file)).columns(*(Field(nowhere, (name.lower(),)) for name in names))


def encoded(column: Column) -> list[np.ndarray]:
    """Codes of a column of sequences."""
    codes = []
    for row, letters in enumerate(column.cells):
        try:
            codes.append(encode(letters))
        except UnknownLetter as error:
            raise column.error(row, str(error), DAMAGED) from None
    return codes


def inputs_of(samples: Sequences) -> Nucleotides:
    """The inputs of some samples."""
    return Nucleotides(int(samples.codes[0].lengths.max()))


@dataclass(frozen=True)
class Utr(Substitute):
    """Mean ribosome load of 3,002 human 5'UTR of 50 nt: 867 natural ones, and variants of 945."""

    name = "rna-substitute/utr"
    kind: ClassVar = Regression
    differs: ClassVar = (
        "substitute for BEACON's MRL: 3,002 human 5'UTR variants of 50 nt instead of 91,519 random ones of 25-100 nt, "
        "measured alike"
    )

    @property
    def sources(self) -> tuple[Source, ...]:
        """One table."""
        return (UTR,)

    def read(self, root: Path) -> Content:
        """70/10/20 %; variants of one 5'UTR (`mother`) are in one split."""
        sequences, load, mother = columns(root, UTR, "utr", "rl", "mother")
        samples = _labelled(sequences, load.numbers()[:, None], {"mother": mother.cells})
        note = f"70/10/20 % at random by {len(set(mother.cells))} natural 5'UTR, whose variants stay together"
        return Content(Regression(inputs_of(samples), 1), samples, _thirds(mother.cells), (note,))


@dataclass(frozen=True)
class Riboswitches(Substitute):
    """Affinity (log Kd) of Eterna's riboswitches to the MS2 protein, without and with their ligand.

    `rows`: "filtered", the 7,228 that are unlike each other by CD-HIT, or "all" 26,244.
    """

    rows: str = "filtered"

    name = "rna-substitute/riboswitch"
    kind: ClassVar = Regression
    options: ClassVar = ("rows",)
    differs: ClassVar = (
        "substitute for BEACON's PRS: Eterna riboswitches and their two affinities (log Kd without and with ligand) "
        "instead of toehold switches and ON, OFF, ON-OFF"
    )

    def __post_init__(self) -> None:
        if self.rows not in ("filtered", "all"):
            raise UsageError(f"{self.name}: rows={self.rows}; write filtered or all")

    @property
    def sources(self) -> tuple[Source, ...]:
        """One table."""
        return (RIBOSWITCHES,)

    def read(self, root: Path) -> Content:
        """70/10/20 % at random."""
        names = ("sequence", "logkd_nolig", "logkd_lig", "dataset", "ligand", "passed_CDHIT_filter")
        sequences, without, with_, rounds, ligands, unlike = columns(root, RIBOSWITCHES, *names)
        target = np.stack([without.numbers(), with_.numbers()], axis=1)
        samples = _labelled(sequences, target, {"round": rounds.cells, "ligand": ligands.cells})
        if self.rows == "filtered":
            samples = samples.select(torch.tensor([i for i, cell in enumerate(unlike.cells) if cell == "True"]))
        letters = [samples.text(i) for i in range(len(samples))]
        note = f"{len(samples)} designs, 70/10/20 % at random; the ligand, one of three, is not an input"
        if self.rows == "all":
            note += "; designs that are nearly alike are on both sides, which is optimistic"
        return Content(Regression(inputs_of(samples), 2), samples, _thirds(letters), (note,))


@dataclass(frozen=True)
class SpliceJunctions(Substitute):
    """60 nt around the middle of primate genes: a donor site (ei), an acceptor site (ie) or neither (n)."""

    name = "rna-substitute/splice"
    kind: ClassVar = Classification
    differs: ClassVar = (
        "substitute for BEACON's SPL: one of three classes for 60 nt with the site in the middle, instead of a label "
        "for each nucleotide"
    )

    @property
    def sources(self) -> tuple[Source, ...]:
        """One table."""
        return (SPLICE,)

    def read(self, root: Path) -> Content:
        """70/10/20 %; equal sequences are in one split."""
        sequences, labels = columns(root, SPLICE, "sequence", "label")
        for row, label in enumerate(labels.cells):
            if label not in CLASSES:
                raise labels.error(row, f"{label!r} is none of {', '.join(CLASSES)}", DAMAGED)
        samples = _labelled(sequences, np.array([CLASSES.index(label) for label in labels.cells]), {})
        distinct = f"{len(set(sequences.cells))} of {len(samples)} sequences are distinct"
        note = f"70/10/20 % at random, equal sequences together; {distinct}; classes in order: {', '.join(CLASSES)}"
        return Content(Classification(inputs_of(samples), 3), samples, _thirds(sequences.cells), (note,))


def _labelled(sequences: Column, target: np.ndarray, groups: Mapping[str, Sequence[str]]) -> Sequences:
    return Sequences((Ragged.of(encoded(sequences)),), torch.from_numpy(target), groups=groups)


def _thirds(groups: Sequence[str]) -> Parts:
    train, validation, test = grouped_split(groups)
    return train, validation, test


def datasets() -> Iterator[Dataset]:
    """Three sets."""
    yield Utr()
    yield Riboswitches()
    yield SpliceJunctions()
