"""Stand-ins for BEACON tasks on real files: sizes, targets, and that groups are in one split."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch

from tsbench.contract_data import dataset_checks
from tsbench.data import Splits
from tsbench.dataset import Dataset
from tsbench.datasets import rna_substitutes, rna_substitutes_pairs
from tsbench.datasets.generated import MOTIFS, Hairpins, Motif
from tsbench.errors import MissingData
from tsbench.registry import find_datasets
from tsbench.rna.files import base_pairs
from tsbench.rna.sequences import Sequences

FOLDS = [rna_substitutes_pairs.ArchiveII(fold) for fold in ("23s", "kfold4")]
OTHERS = [s for s in rna_substitutes_pairs.datasets() if not isinstance(s, rna_substitutes_pairs.ArchiveII)]


def parts(splits: Splits) -> list[Sequences]:
    found = [getattr(splits, name) for name in ("train", "validation", "test")]
    assert all(isinstance(part, Sequences) for part in found)
    return found


def load(name: str, root: Path) -> list[Sequences]:
    (dataset,) = find_datasets(f"rna-substitute/{name}")
    try:
        return parts(dataset.load(root, next(iter(dataset.protocols))))
    except MissingData as error:
        pytest.skip(str(error))


@pytest.mark.parametrize(
    "dataset", [*rna_substitutes.datasets(), *FOLDS, *OTHERS], ids=lambda d: d.name.removeprefix("rna-substitute/")
)
def test_every_set_says_that_it_is_a_substitute(dataset: Dataset, real_data: Path) -> None:
    try:
        splits = dataset.load(real_data, next(iter(dataset.protocols)))
    except MissingData as error:
        pytest.skip(str(error))
    assert splits.notes[0].startswith("substitute for BEACON's ")
    assert dataset.name.startswith("rna-substitute/")
    assert type(splits.task) is dataset.kind
    wanted = splits.task.random_batch(2)
    for part in parts(splits):
        shortest = part.sizes.argsort()[:2]
        batch = part.batch(shortest)
        assert batch.inputs.dtype == wanted.inputs.dtype
        assert batch.target.dtype == wanted.target.dtype
        assert batch.target.shape[1:].numel() == wanted.target.shape[1:].numel() or batch.target.ndim == 3
        assert part.codes[0].lengths.max() <= splits.task.inputs.length  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    ("name", "sizes"),
    [
        ("archiveii/5s", (2323, 258, 1283)),
        ("archiveii/telomerase", (3446, 383, 35)),
        ("archiveii/kfold0", (2782, 309, 773)),
        ("pdb", (127, 14, 62)),
        ("coconet-contacts", (47, 10, 23)),
        ("utr", (2101, 301, 600)),
        ("riboswitch", (5060, 722, 1446)),
        ("riboswitch:rows=all", (18371, 2624, 5249)),
        ("splice", (2230, 319, 637)),
    ],
)
def test_sizes(name: str, sizes: tuple[int, int, int], real_data: Path) -> None:
    assert tuple(len(part) for part in load(name, real_data)) == sizes


def test_families_and_sequences_part_cleanly(real_data: Path) -> None:
    train, validation, test = load("archiveii/srp", real_data)
    assert set(test.groups["family"]) == {"srp"}
    assert set(train.groups["family"]) | set(validation.groups["family"]) == set(rna_substitutes_pairs.FAMILIES) - {
        "srp"
    }
    texts = [{part.text(i) for i in range(len(part))} for part in (train, validation, test)]
    assert not texts[0] & texts[1]
    assert not (texts[0] | texts[1]) & texts[2]


def test_random_folds_share_sequences_and_say_so(real_data: Path) -> None:
    (dataset,) = find_datasets("rna-substitute/archiveii/kfold0")
    splits = dataset.load(real_data, "random")
    assert splits.notes[1].startswith("137 of 773 test samples occur in train")


def test_structures_are_those_of_the_brackets(real_data: Path) -> None:
    """The file gives pairs and brackets; of the tmRNA most have pseudoknots."""
    table = pd.read_csv(real_data / "rna/Secondary_structure_prediction/ArchiveII/ArchiveII.csv.gz")
    table = table.drop_duplicates("sequence", keep=False)
    wanted = dict(zip(table["sequence"], table["structure"], strict=True))
    test = load("archiveii/tmRNA", real_data)[2]
    checked = [i for i in range(len(test)) if test.text(i) in wanted]
    assert len(checked) == 370
    for i in checked:
        assert np.array_equal(test.target[i].numpy(), base_pairs(wanted[test.text(i)]))


def test_maps_are_those_of_the_atoms(real_data: Path) -> None:
    folder = real_data / "rna/ContactMap_DistanceMap_coconet"
    table = pd.read_csv(folder / "coconet80.csv")
    with np.load(folder / "min_heavy_atom_distance.npz", allow_pickle=False) as file:
        wanted = {s: file[i].astype(np.float32) for i, s in zip(table["id"], table["sequence"], strict=True)}
    contacts, distances = (load(f"coconet-{kind}", real_data) for kind in ("contacts", "distances"))
    for near, far in zip(contacts, distances, strict=True):
        for i in range(0, len(near), 5):
            index = torch.tensor([i])
            distance = wanted[near.text(i)]
            assert np.array_equal(near.batch(index).target[0].numpy(), distance < 8)
            assert np.allclose(far.batch(index).target[0].numpy(), np.minimum(distance / 20, 1))
    groups = [set(part.groups["family"]) for part in contacts]
    assert not groups[0] & groups[1]
    assert not (groups[0] | groups[1]) & groups[2]


def test_variants_of_a_utr_stay_together(real_data: Path) -> None:
    mothers = [set(part.groups["mother"]) for part in load("utr", real_data)]
    assert sum(map(len, mothers)) == len(set.union(*mothers)) == 945


@pytest.mark.parametrize("name", ["riboswitch", "splice"])
def test_equal_sequences_stay_together(name: str, real_data: Path) -> None:
    texts = [{part.text(i) for i in range(len(part))} for part in load(name, real_data)]
    assert sum(map(len, texts)) == len(set.union(*texts))


def test_generated_hairpins_pair() -> None:
    for part in parts(Hairpins().load(Path(), "full")):
        for i in range(len(part)):
            text, pairs = part.text(i), part.target[i].tolist()
            assert 20 <= len(text) <= 40
            assert 4 <= len(pairs) <= 8
            assert all(text[a] + text[b] in ("AU", "UA", "CG", "GC") for a, b in pairs)
            assert all(b - a >= 4 for a, b in pairs)
            assert len({a + b for a, b in pairs}) == 1  # one stem


def test_generated_motifs_are_there() -> None:
    for part in parts(Motif().load(Path(), "full")):
        labels = part.batch(torch.arange(len(part))).target.tolist()
        for i, label in enumerate(labels):
            assert [motif in part.text(i) for motif in MOTIFS] == [k == label for k in range(3)]


@pytest.mark.parametrize("dataset", [Hairpins(), Motif()], ids=lambda d: d.name)
def test_generated_sets_keep_the_contract(dataset: Dataset) -> None:
    for _, check in dataset_checks(dataset, Path()):
        check()
