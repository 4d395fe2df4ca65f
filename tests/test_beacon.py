"""BEACON on real files: sizes, first rows, leakage and splits without it, published scores."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import numpy as np
import pytest
import torch

from tests.test_beacon_files import load, parts, same
from tsbench.data import Splits
from tsbench.datasets.beacon import datasets
from tsbench.errors import UsageError
from tsbench.inputs import Nucleotides
from tsbench.leakage import Shared, leakage
from tsbench.rna.resplit import by_group, without_copies
from tsbench.rna.sequences import Ragged, Sequences, encode
from tsbench.tasks.regression import Regression


@pytest.fixture(scope="session")
def rna(real_data: Path) -> Path:
    if not (real_data / "rna" / "CRISPROnTarget").is_dir():
        pytest.skip(f"no RNA data below {real_data}")
    return real_data


def test_crispr(rna: Path) -> None:
    on = load(rna, "cri-on")
    assert [len(part) for part in parts(on)] == [1453, 207, 416]
    assert on.train.text(0) == "UUCACUGCGCAGCCUGGCAUUGG"  # type: ignore[attr-defined]  # the published file's first row
    assert on.train.batch(torch.arange(1)).target.item() == pytest.approx(0.261026, abs=1e-6)
    assert on.notes == ()
    off = load(rna, "cri-off")
    overlap = leakage(off)[0]
    assert (overlap.distinct, overlap.copies, overlap.groups["guide"]) == (271, 438, Shared(4064, 12, 12))
    assert leakage(off)[2].groups["guide"].groups == 12
    assert off.train.batch(torch.arange(2)).inputs.shape == (2, 2, 23)
    assert off.train.text(0, sequence=1) == "GGGUGGGGGGUGGUCGCCACUAG"  # type: ignore[attr-defined]


def test_split_by_guide_is_disjoint_and_repeatable(rna: Path) -> None:
    one, other = load(rna, "cri-off", "by-guide"), load(rna, "cri-off", "by-guide")
    assert same(one, other)
    guides = [set(part.groups["guide"]) for part in parts(one)]
    assert len(guides[0] | guides[1] | guides[2]) == sum(map(len, guides)) == 12
    sizes = np.array([len(part) for part in parts(one)])
    assert sizes.sum() == 14223 + 2032 + 4064
    assert np.allclose(sizes / sizes.sum(), (0.7, 0.1, 0.2), atol=0.02)
    rows = [Counter(zip(p.groups["guide"], p.target[:, 0].tolist(), strict=True)) for p in parts(one)]
    before = [
        Counter(zip(p.groups["guide"], p.target[:, 0].tolist(), strict=True)) for p in parts(load(rna, "cri-off"))
    ]
    assert sum(rows, Counter()) == sum(before, Counter())  # no row lost, none made


def test_noncoding_families(rna: Path) -> None:
    splits = load(rna, "ncrna")
    assert splits.notes[0] == "near: train has 5,670 of BEACON's 5,679 rows"
    to_test = {overlap.source: overlap for overlap in leakage(splits) if overlap.split == "test"}
    assert (to_test["train"].copies, to_test["train"].same_label, to_test["validation"].copies) == (309, 309, 38)
    assert splits.test.groups["family"][0] == "RF00001"  # type: ignore[attr-defined]
    counts = torch.bincount(splits.test.batch(torch.arange(2600)).target)
    assert counts.tolist() == [200] * 13
    clean = load(rna, "ncrna", "no-duplicates")
    assert [len(part) for part in parts(clean)] == [5670 - 309, 650 - 38, 2600]
    assert [overlap.copies for overlap in leakage(clean)] == [0, 0, 0]


@pytest.mark.slow
def test_structures_with_pseudoknots(rna: Path) -> None:
    splits = load(rna, "ssp")
    assert [len(part) for part in parts(splits)] == [10814, 1300, 1305]
    assert [overlap.copies for overlap in leakage(splits)] == [0, 0, 0]
    assert splits.notes == ("52 letters other than A, C, G, U, T, N read as N",)
    lines = (rna / "rna/Secondary_structure_prediction/bpRNA/TS0.dbn").read_text().split("\n")
    knotted = [0, *[i for i, line in enumerate(lines[2::3]) if "{" in line][:2]]
    batch = splits.test.batch(torch.tensor(knotted))
    for row, i in enumerate(knotted):
        structure, wanted = lines[3 * i + 2], np.zeros((len(lines[3 * i + 2]),) * 2)
        for opens, closes in ("()", "[]", "{}"):  # each kind on its own, by counting depth
            depth: list[int] = []
            for place, mark in enumerate(structure):
                if mark == opens:
                    depth.append(place)
                elif mark == closes:
                    wanted[place, depth.pop()] = 1
        n = len(structure)
        assert np.array_equal(batch.target[row, :n, :n].numpy(), wanted + wanted.T)
        assert batch.target[row, n:].isnan().all()


@pytest.mark.slow
def test_degradation(rna: Path) -> None:
    splits = load(rna, "vdp")
    assert [len(part) for part in parts(splits)] == [1678, 419, 3634]
    assert splits.notes[0].startswith("near: train has 1,678 of BEACON's 2,155 rows")
    assert "fold 4" in splits.notes[1]
    first = splits.test.batch(torch.arange(1)).target[0]
    assert first[0].tolist() == pytest.approx([0.416, 0.7202, 0.5443])  # id 00073f8be of Kaggle's test set
    scored = [int((~row[:, 0].isnan()).sum()) for row in splits.test.batch(torch.arange(3634)).target]
    assert Counter(scored) == {68: 629, 91: 3005}


# ---------------------------------------------------------------- leakage, on a few samples


def samples(*rows: tuple[str, float, str]) -> Sequences:
    codes = Ragged.of([encode(sequence) for sequence, _, _ in rows])
    target = torch.tensor([[label] for _, label, _ in rows])
    return Sequences((codes,), target, groups={"family": [family for _, _, family in rows]})


def test_leakage_tells_labels_and_groups() -> None:
    train = samples(("AA", 1, "a"), ("AA", 2, "a"), ("AC", 3, "b"))
    test = samples(("AA", 2, "a"), ("AC", 9, "c"), ("AAC", 1, "b"))
    validation = samples(("GA", 1, "d"))
    to_test, none, _ = leakage(Splits(Regression(Nucleotides(3)), train, validation, test))
    assert (to_test.copies, to_test.distinct, to_test.same_label, to_test.other_label) == (2, 2, 1, 1)
    assert to_test.groups["family"] == Shared(samples=2, groups=2, of=3)
    assert to_test.words.startswith("2 of 3 test samples occur in train (1 with the same label)")
    assert none.words == ""
    kept, _ = without_copies([samples(("AA", 1, "a"), ("GG", 1, "a")), validation, test])
    assert [part.text(i) for part in kept for i in range(len(part))] == ["GG", "GA", "AA", "AC", "AAC"]
    with pytest.raises(UsageError, match="nothing is left"):
        without_copies([train.select(torch.tensor([0])), validation, test])


def test_no_part_of_a_split_by_group_is_empty() -> None:
    many = samples(*[("AC", 1, "big")] * 50, ("AG", 1, "b"), ("AU", 1, "c"))
    dealt, words = by_group([many, many, many], "family")
    assert [set(part.groups["family"]) for part in dealt] == [{"big"}, {"c"}, {"b"}]
    assert words == "split by family, of which train has 1 (150 rows), validation 1 (3 rows), test 1 (3 rows)"
    with pytest.raises(UsageError, match="needs 3"):
        by_group([samples(("AC", 1, "a"))] * 3, "family")


def test_published_scores_are_of_our_metrics() -> None:
    golden = {
        ("ssp", "BEACON-B (pre-trained)"): 0.6418,
        ("cri-off", "literature SOTA"): 0.126,
        ("vdp", "BEACON LSTM"): 0.329,
        ("spl", "RNABERT"): 0.0018,
        ("ncrna", "BEACON-B single RoPE"): 0.3871,
    }
    found: dict[tuple[str, str], float] = {}
    for dataset in datasets():
        rows = dataset.published()
        assert len(rows) == 30
        assert all(row.metric in dataset.kind.metrics and 0 <= row.value < 1 for row in rows)
        found |= {(row.dataset.removeprefix("rna/"), row.model): row.value for row in rows}
    assert {key: found[key] for key in golden} == golden
