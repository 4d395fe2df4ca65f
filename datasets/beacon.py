"""BEACON: thirteen RNA tasks (Ren et al., NeurIPS 2024; terry-r123/RNABenchmark @ da7f9c7), from files of its layout.

The official files are on Google Drive only; where the same rows can be had elsewhere, that form is read as well.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import ClassVar

import torch

from tsbench.data import Splits
from tsbench.dataset import Dataset, Published, Source, read_published
from tsbench.errors import MissingData, UsageError
from tsbench.inputs import Codes, NucleotidePair, Nucleotides
from tsbench.leakage import with_leakage
from tsbench.rna.files import Field
from tsbench.rna.layout import Layout
from tsbench.rna.maps import maps, structure_maps, structures
from tsbench.rna.resplit import Parts, by_group, without_copies
from tsbench.rna.samples import (
    SPLITS,
    Read,
    Reading,
    class_names,
    classes,
    degradation,
    degradation_folds,
    digits,
    labels,
    missing_scores,
    numbers,
)
from tsbench.rna.sequences import Sequences
from tsbench.tasks.classification import Classification
from tsbench.tasks.multilabel import MultiLabel
from tsbench.tasks.nucleotide import Imputation, NucleotideClassification, NucleotideRegression
from tsbench.tasks.pairs import Contacts, Distances, Structure
from tsbench.tasks.regression import ProportionRegression, RankRegression, Regression
from tsbench.tasks.task import Labelling

FAMILY = "rna"
DRIVE = "https://drive.google.com/drive/folders/19ddrwI8ycvIxkgSV3gDo_VunLofYd4-6"
NCRNA = (
    *("5S_rRNA", "5_8S_rRNA", "CD-box", "HACA-box", "IRES", "Intron_gpI", "Intron_gpII"),
    *("leader", "miRNA", "riboswitch", "ribozyme", "scaRNA", "tRNA"),
)


@dataclass(frozen=True)
class Collection:
    """One of the thirteen.

    Attributes:
        rows: sizes of BEACON's splits.
        origin: whom to cite for the data.
        outputs: classes, labels or numbers to predict.
        features: numbers that come with each nucleotide.
        unknown: what becomes of letters that are no nucleotides unless the user says otherwise.
        protocols: further protocols: name -> meaning, and what splits anew.
        mirror: files that can be fetched, with url and sha256; those of the last layout if there are none.
    """

    stem: str
    folder: str
    kind: type[Labelling]
    rows: tuple[int, int, int]
    layouts: tuple[Layout, ...]
    origin: str
    licence: str = "none stated"
    outputs: int = 0
    features: int = 0
    inputs: type[Codes] = Nucleotides
    unknown: str = "error"
    protocols: Mapping[str, tuple[str, Callable[[Parts], tuple[Parts, str]]]] = field(default_factory=dict)
    mirror: Mapping[str, tuple[str, str | None]] = field(default_factory=dict)


def _csv(read: Read, train: str = "train", folders: tuple[str, ...] = ()) -> Layout:
    return Layout((f"{train}.csv", "val.csv", "test.csv"), read, folders)


def _either(read: Read) -> tuple[Layout, Layout]:
    return _csv(read, "train_new"), _csv(read)


_SEQUENCE = ("seq", "sequence", "rna", "utr", "sgrna")
_LABEL = ("label", "value", "target", "y")
_SEQ, _ID = Field(0, _SEQUENCE), Field(0, ("id", "name"))
_JSON = ("train-val-test/train_1.json", "train-val-test/val_1.json", "train-val-test/test_1.json")
_PARTS = ("TR0", "VL0", "TS0")
_BPRNA_CSV = structure_maps(_SEQ, Field(1, ("file_name",)), Field(2, ("data_name",)), _PARTS)
_PAIR = (Field(0, ("sgrna", "guide")), Field(1, ("target",)))
_SWITCH = tuple(Field(i, (name,)) for i, name in enumerate(("on", "off", "on_off"), 1))
_3D = "Sun et al., RNAcontact, RNA 2021; PDB"
_CRISPR = "Chuai et al., DeepCRISPR, Genome Biol. 2018"
_KIRIGAMI = "https://raw.githubusercontent.com/marc-harary/kirigami/49e61ffdb2a8434142645b09e0122c8e21041d12/data/"
_NCRNA = "https://raw.githubusercontent.com/emalgorithm/ncRNA-family-prediction/91924d03bd279ac8c1f7c6c94ae10570460ab7e4/data/"

COLLECTIONS = (
    Collection(
        "ssp",
        "Secondary_structure_prediction/bpRNA",
        Structure,
        (10814, 1300, 1305),
        (Layout(("bpRNA.csv",) * 3, _BPRNA_CSV, _PARTS), Layout(("TR0.dbn", "VL0.dbn", "TS0.dbn"), structures)),
        "Danaee et al., bpRNA, NAR 2018; split of Singh et al., SPOT-RNA, Nat. Commun. 2019",
        "MIT (of the repository)",
        unknown="N",  # bpRNA has a few Y, R, K ...
        mirror={
            "TR0.dbn": (_KIRIGAMI + "TR0.dbn", "c426a4dd6475d83ccef935c6c3efe2d28a7967af44d2d5d140258a0cb87a5acb"),
            "VL0.dbn": (_KIRIGAMI + "VL0.dbn", "801a83d4d8ada7bd8d37487e955ffd3e7bbcbcdd94757bcb8a69551efef132f8"),
            "TS0.dbn": (_KIRIGAMI + "TS0.dbn", "ad9ef4b4ad3aa1463a1f8449fbfed18a622147f1e2e57fc32125c5ac96d4fd27"),
        },
    ),
    Collection(
        "cmp",
        "ContactMap",
        Contacts,
        (188, 23, 80),
        (_csv(maps(Field(1, _SEQUENCE), _ID, "contact_map", dense=False), folders=("contact_map",)),),
        _3D,
    ),
    Collection(
        "dmp",
        "DistanceMap",
        Distances,
        (188, 23, 80),
        (_csv(maps(Field(1, _SEQUENCE), _ID, "distance_map", dense=True), folders=("distance_map",)),),
        _3D,
    ),
    Collection(
        "ssi",
        "StructuralScoreImputation",
        Imputation,
        (14049, 1756, 3095),
        (_csv(missing_scores(_SEQ, Field(1, ("struct",)), Field(2, _LABEL))),),
        "Gong et al., Nat. Mach. Intell. 2021",
        outputs=1,
        features=2,
    ),
    Collection(
        "spl",
        "SpliceAI",
        NucleotideClassification,
        (144628, 18078, 16505),
        (_csv(digits(_SEQ, Field(1, _LABEL), most=2)),),
        "Jaganathan et al., SpliceAI, Cell 2019",
        outputs=3,
    ),
    Collection(
        "apa",
        "Isoform",
        ProportionRegression,
        (145463, 33170, 49755),
        _either(numbers((Field(1, _SEQUENCE),), (Field(2, ("proportion", "label")),), low=0, high=1)),
        "Bogard et al., APARENT, Cell 2019",
        outputs=1,
    ),
    Collection(
        "ncrna",
        "NoncodingRNAFamily",
        Classification,
        (5679, 650, 2600),
        (
            *_either(classes(_SEQ, Field(1, _LABEL), least=13)),
            Layout(("train.fasta", "val.fasta", "test*.fasta"), class_names(NCRNA)),
        ),
        "Fiannaca et al., nRC, BioData Mining 2017; Rfam",
        "none stated (Rfam: CC0)",
        outputs=13,
        unknown="N",
        protocols={"no-duplicates": ("BEACON's split less sequences that occur in a later split", without_copies)},
        mirror={
            "train.fasta": (
                _NCRNA + "train.fasta",
                "ab30163af4027637459d4af4e22a6eef59d5763c9491eda0b0450480f60350ba",
            ),
            "val.fasta": (_NCRNA + "val.fasta", "082163b33e02ce577013c55bae79f7c289b89d2df7aaaead1e555af22d29bc40"),
            "test_13_classes.fasta": (
                _NCRNA + "test_13_classes.fasta",
                "4af288aa17dc5cbe05aecd49bce23462610831f495cc5adf1006c1bfd577b8f2",
            ),
        },
    ),
    Collection(
        "modif",
        "Modification",
        MultiLabel,
        (304661, 3599, 1200),
        (_csv(labels(_SEQ, Field(1, _LABEL))),),
        "Song et al., MultiRM, Nat. Commun. 2021",
        outputs=12,
    ),
    Collection(
        "mrl",
        "MeanRibosomeLoading",
        Regression,
        (76319, 7600, 7600),
        (_csv(numbers((_SEQ,), (Field(1, ("rl", *_LABEL)),))),),
        "Sample et al., Nat. Biotechnol. 2019",
        outputs=1,
    ),
    Collection(
        "vdp",
        "Degradation",
        NucleotideRegression,
        (2155, 245, 3634),
        (
            Layout((_JSON[0], _JSON[1], "test_3634.jsonl"), degradation),  # BEACON's own test file has no measurements
            Layout(_JSON, degradation),
            Layout(("train_2097.jsonl", "train_2097.jsonl", "test_3634.jsonl"), degradation_folds),
        ),
        "Wayment-Steele et al., OpenVaccine, Nat. Mach. Intell. 2022",
        "MIT (test), none stated (train)",
        outputs=3,
    ),
    Collection(
        "prs",
        "ProgrammableRNASwitches",
        Regression,
        (73227, 9153, 9154),
        (_csv(numbers((_SEQ,), _SWITCH)),),
        "Angenent-Mari et al., Nat. Commun. 2020",
        outputs=3,
    ),
    Collection(
        "cri-on",
        "CRISPROnTarget",
        RankRegression,
        (1453, 207, 416),
        (_csv(numbers((_SEQ,), (Field(1, _LABEL),))),),
        _CRISPR,
        "Apache-2.0 (of DeepCRISPR)",
        outputs=1,
    ),
    Collection(
        "cri-off",
        "CRISPROffTarget",
        RankRegression,
        (14223, 2032, 4064),
        (_csv(numbers(_PAIR, (Field(2, ("label", "value", "y")),), group="guide")),),
        _CRISPR,
        "Apache-2.0 (of DeepCRISPR)",
        outputs=1,
        inputs=NucleotidePair,
        protocols={
            "by-guide": ("no guide in two splits; about 70/10/20 % of all rows", partial(by_group, name="guide"))
        },
    ),
)


@dataclass(frozen=True)
class Beacon(Dataset):
    """One of the thirteen tasks, or a stated subset of it for small machines.

    Attributes:
        unknown: "error", or "N" to read letters that are no nucleotides as N.
        longest: leave out RNAs of more nucleotides, in all splits; 0 leaves out none.
        samples: train on so many, evenly spaced over the file; 0 trains on all.
    """

    collection: Collection
    unknown: str = "error"
    longest: int = 0
    samples: int = 0

    options: ClassVar = ("unknown", "longest", "samples")

    def __post_init__(self) -> None:
        if self.unknown not in ("error", "N"):
            raise UsageError(f"{self.name}: unknown={self.unknown!r} does not fit; write error or N")
        if self.longest < 0 or self.samples < 0:
            raise UsageError(f"{self.name}: longest={self.longest} and samples={self.samples} must be at least 0")

    @property
    def name(self) -> str:  # type: ignore[override]
        """`rna/ssp`."""
        return f"{FAMILY}/{self.collection.stem}"

    @property
    def kind(self) -> type[Labelling]:  # type: ignore[override]
        """Its task kind."""
        return self.collection.kind

    @property
    def inputs(self) -> type[Codes]:  # type: ignore[override]
        """One sequence or two."""
        return self.collection.inputs

    @property
    def protocols(self) -> Mapping[str, str]:  # type: ignore[override]
        """BEACON's, and those without its leakage."""
        return {"beacon": "BEACON's own split"} | {k: words for k, (words, _) in self.collection.protocols.items()}

    @property
    def sources(self) -> tuple[Source, ...]:
        """The files that can be fetched; where none can, those that someone has to put there."""
        known = self.collection
        files = known.mirror or {file: ("", None) for file in known.layouts[-1].files}
        return tuple(
            Source(f"{FAMILY}/{known.folder}/{file}", url, sha256, known.licence, known.origin)
            for file, (url, sha256) in files.items()
        )

    def digest(self, root: Path) -> str:
        """Fingerprint of all files that are read."""
        layout, paths = self._files(root)
        parts = [self.name, str(self.version), *layout.digests(paths)]
        return hashlib.sha256("\n".join(parts).encode()).hexdigest()

    def load(self, root: Path, protocol: str) -> Splits:
        """Read, check and split."""
        layout, paths = self._files(root)
        reading = Reading(self.unknown)
        parts = layout.read(paths, reading)
        rows = [len(part) + left for part, left in zip(parts, reading.left_out, strict=True)]
        notes = [*_status(rows, self.collection.rows), *reading.report()]
        if protocol != "beacon":
            parts, told = self.collection.protocols[protocol][1](parts)
            notes.append(told)
        parts, cut = self._subset(parts)
        notes += cut
        length = max(int(codes.lengths.max()) for part in parts for codes in part.codes)
        outputs = reading.outputs or self.collection.outputs
        inputs = self.inputs(length, self.collection.features)
        task = self.kind(inputs, *([outputs] if outputs else []))
        train, validation, test = parts
        return with_leakage(Splits(task, train, validation, test, notes=tuple(notes)))

    def published(self) -> list[Published]:
        """The main table of the paper, and its study of tokenizers and position encodings."""
        if self.longest or self.samples:
            return []  # published on the whole set only
        table = read_published(Path(__file__).with_name("beacon_published.csv"))
        return [row for row in table if row.dataset == self.name]

    def _subset(self, parts: Sequence[Sequences]) -> tuple[list[Sequences], list[str]]:
        """What `longest` and `samples` leave, and the note that says so."""
        left, notes = list(parts), []
        if self.longest:
            kept = [(p.codes[0].lengths <= self.longest).nonzero()[:, 0] for p in left]
            if not all(map(len, kept)):
                raise UsageError(f"{self.name}: longest={self.longest} leaves a split empty")
            left = [p.select(indices) for p, indices in zip(left, kept, strict=True)]
            told = ", ".join(f"{len(a):,} of {len(b):,} {s}" for a, b, s in zip(left, parts, SPLITS, strict=True))
            notes.append(f"subset: RNAs of at most {self.longest} nt: {told}")
        if 0 < self.samples < len(left[0]):
            notes.append(f"subset: {self.samples:,} of {len(left[0]):,} training samples, evenly spaced over the file")
            left[0] = left[0].select(torch.linspace(0, len(left[0]) - 1, self.samples).long())
        return left, notes

    def _files(self, root: Path) -> tuple[Layout, list[Path]]:
        """The first layout of which all files are there."""
        folder = root / FAMILY / self.collection.folder
        seen = []
        for layout in self.collection.layouts:
            found = layout.find(folder)
            paths = [path for path in found if path is not None]
            if len(paths) == len(found):
                return layout, paths
            there = dict(zip(layout.files, found, strict=True))
            files = ", ".join(f"{name} ({'there' if path else 'missing'})" for name, path in there.items())
            seen.append(files + "".join(f", with a folder {name}/ of .npy files" for name in layout.folders))
        fetch = f" Get them with `tsbench data fetch {self.name}`." if self.collection.mirror else ""
        raise MissingData(
            f"{self.name}: {folder} has no complete set of files, plain or .gz. Wanted: {'; or '.join(seen)}.{fetch} "
            f"BEACON's own are at {DRIVE}; --data or TSBENCH_DATA names the folder that holds {FAMILY}/."
        )


def _status(rows: Sequence[int], official: Sequence[int]) -> Iterator[str]:
    """A note unless all splits have BEACON's sizes; "near" if they have 80 to 120 % of its rows in all."""
    other = [
        f"{split} has {here:,} of BEACON's {there:,} rows"
        if here < there
        else f"{split} has {here:,} rows, BEACON {there:,}"
        for split, here, there in zip(SPLITS, rows, official, strict=True)
        if here != there
    ]
    if other:
        near = abs(sum(rows) - sum(official)) <= 0.2 * sum(official)
        yield ("near: " if near else "not BEACON's data: ") + ", ".join(other)


def datasets() -> Iterator[Dataset]:
    """The thirteen tasks."""
    for collection in COLLECTIONS:
        yield Beacon(collection, collection.unknown)
