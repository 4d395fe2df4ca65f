"""A small corpus of unlabelled RNA for tokenizers and pre-training; each sequence is kept once.

Three Rfam families, a sample of RNAcentral, and the seed alignments of 433 Rfam families with their gaps removed. It
is not what BEACON-B was pre-trained on: 523,934 ncRNA of RNAcentral, which are not at hand.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

from tsbench.data import Splits
from tsbench.dataset import Dataset, Source, find_file, open_content
from tsbench.errors import DataError
from tsbench.inputs import Nucleotides
from tsbench.rna.masking import masked_splits
from tsbench.rna.readers import Record, read_fasta
from tsbench.rna.sequences import encode
from tsbench.tasks.nucleotide import MaskedNucleotides

_RNA_FM = (
    "https://raw.githubusercontent.com/ml4bio/RNA-FM/348951516e0963d22bbb33b3c9fc18c89081d38e/tutorials/tutorial_data"
)
_GAPS = str.maketrans("", "", ".-_~")
_DAMAGED = "The copy is cut or damaged: get the file again."


def _fasta(name: str, sha256: str) -> Source:
    return Source(f"rna/corpus/{name}", f"{_RNA_FM}/{name}", sha256, "MIT", "Chen et al., RNA-FM, arXiv 2204.00300")


def _seeds(name: str, sha256: str) -> Source:
    # Part of the source distribution of ViennaRNA 2.7.2 on PyPI, in tests/data.
    return Source(f"rna/corpus/{name}", "", sha256, "CC0 (Rfam)", "Kalvari et al., Rfam 14, NAR 2021")


SOURCES = (
    _fasta("RF00001.fasta", "55f38738255627f15de8b541345e9417f2aae390d87545ceb119b706878d75fb"),
    _fasta("RF00005.fasta", "2c5842543f240365e58364335b4d0c59b1fc9025c059d73f3ea7287d53215630"),
    _fasta("RF00010.fasta", "2a45f0abfb8a481e3ac99d90edaf91616273bb1350be5b45b5f17f82b167c9c9"),
    _fasta("rnacentral_sample_1400.fasta", "4f45f90112a7ecf005c5435943da81a68fcd057635cde3c701f7ace490949be6"),
    _seeds("rfam_seed_many_short.stk", "c6736f4ba0d519e808cab9b988a435fe34e802d9967e1c0cfa8ecdcd080991c5"),
    _seeds("rfam_seed_selected.stk", "a6edddec509119e795bdadd92692db10e049bb4672b050c5f1e5e75ceed1018e"),
)


@dataclass(frozen=True)
class Corpus(Dataset):
    """All of the corpus; letters that are no nucleotide (IUPAC's R, Y ...) are read as N."""

    rounds: int = 4
    window: int = 512

    name = "rna/corpus"
    kind: ClassVar = MaskedNucleotides
    inputs: ClassVar = Nucleotides
    protocols: ClassVar = {"full": "every sequence counts"}
    options: ClassVar = ("rounds", "window")

    @property
    def sources(self) -> tuple[Source, ...]:
        """Six files."""
        return SOURCES

    def load(self, root: Path, protocol: str) -> Splits:
        """Read, leave out repeated sequences, and split."""
        codes = [encode(letters, "N") for letters in corpus(root)]
        return masked_splits(codes, self.rounds, self.window)


def corpus(root: Path) -> list[str]:
    """The distinct sequences, in upper case with U, in the order of the files.

    Raises:
        MissingData, DataError: a file is absent or damaged.
    """
    found: dict[str, None] = {}
    for source in SOURCES:
        path = find_file(root, source.file)
        records = read_stockholm(path) if source.file.endswith(".stk") else read_fasta(path)
        found.update((record.sequence.upper().replace("T", "U"), None) for record in records)
    return list(found)


def read_stockholm(path: Path) -> Iterator[Record]:
    """The sequences of the alignments of a Stockholm file, plain or gzipped, without their gaps.

    Raises:
        DataError: naming file, line and remedy.
    """
    rows: dict[str, Record] = {}
    number, inside = 0, False
    try:
        with open_content(path) as file:
            for number, raw in enumerate(file, 1):
                line = raw.decode("utf-8", errors="replace").strip()
                if line.startswith("# STOCKHOLM"):
                    inside = True
                elif line == "//":
                    yield from rows.values()
                    rows, inside = {}, False
                elif line and not line.startswith("#"):
                    name, *letters = line.split()
                    if not inside or len(letters) != 1:
                        raise DataError(path, "neither a comment nor `name sequence`", "Is it Stockholm?", number)
                    before = rows.get(name, Record(name, "", "", number))  # an alignment may be cut into blocks
                    rows[name] = Record(name, "", before.sequence + letters[0].translate(_GAPS), before.line)
    except (OSError, EOFError, zlib.error) as error:
        raise DataError(path, f"cannot be read after line {number} ({error})", _DAMAGED) from None
    if inside or not number:
        raise DataError(path, "the last alignment does not end with `//`", _DAMAGED, number)


def datasets() -> Iterator[Dataset]:
    """One set."""
    yield Corpus()
