"""A user's own sequences, with labels and without."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest
import torch

from tests.conftest import Command
from tsbench.datasets.rna_user import UserSequences, open_path
from tsbench.errors import DataError, MissingData, TsbenchError, UsageError
from tsbench.registry import find_datasets
from tsbench.rna.sequences import decode
from tsbench.tasks.classification import Classification
from tsbench.tasks.nucleotide import MaskedNucleotides
from tsbench.tasks.regression import Regression


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """60 sequences, of which the last 20 repeat the first 20; label files of several kinds."""
    random = np.random.default_rng(5)
    texts = [decode(random.integers(0, 4, random.integers(8, 40)).astype(np.uint8)) for _ in range(40)]
    texts += texts[:20]
    (tmp_path / "mine.fa").write_text("".join(f">r{i} of mine\n{text}\n" for i, text in enumerate(texts)))
    table(tmp_path / "words.csv", "id,label", [f"r{i},{'abc'[i % 3]}" for i in reversed(range(60))])
    table(tmp_path / "grades.csv", "id,label", [f"r{i},{9 + i % 3}" for i in range(60)])
    table(tmp_path / "numbers.csv", "id,load", [f"r{i},{i / 7}" for i in range(60)])
    table(tmp_path / "two.csv", "id,on,off", [f"r{i},{i},{-i}" for i in range(60)])
    given = [f"r{i},{i % 2},{('train', 'test', 'validation')[i % 3]}" for i in range(60)]
    table(tmp_path / "split.csv", "id,label,split", given)
    return tmp_path


def table(path: Path, header: str, rows: list[str]) -> None:
    path.write_text("\n".join([header, *rows]) + "\n")


def open_(folder: Path, spec: str) -> UserSequences:
    (dataset,) = find_datasets(f"{folder}/{spec}".replace("labels=", f"labels={folder}/"))
    assert isinstance(dataset, UserSequences)
    return dataset


@pytest.mark.parametrize(
    ("spec", "kind", "width"),
    [
        ("mine.fa:labels=words.csv", Classification, 3),
        ("mine.fa:labels=grades.csv", Classification, 3),
        ("mine.fa:labels=grades.csv,task=regression", Regression, 1),
        ("mine.fa:labels=numbers.csv", Regression, 1),
        ("mine.fa:labels=numbers.csv,task=classification", Classification, 60),
        ("mine.fa:labels=two.csv", Regression, 2),
    ],
)
def test_labels_say_the_task(folder: Path, spec: str, kind: type, width: int) -> None:
    dataset = open_(folder, spec)
    splits = dataset.load(folder, "full")
    assert dataset.kind is kind is type(splits.task)
    assert dataset.name == "fasta/mine"
    assert (splits.task.classes if kind is Classification else splits.task.outputs) == width  # type: ignore[attr-defined]
    assert len(splits.train) + len(splits.validation) + len(splits.test) == 60
    wanted = splits.task.random_batch(2)
    batch = splits.train.batch(torch.arange(2))
    assert batch.target.shape == wanted.target.shape
    assert batch.target.dtype == wanted.target.dtype


def test_labels_find_their_sequences_and_equal_sequences_stay_together(folder: Path) -> None:
    splits = open_(folder, "mine.fa:labels=two.csv").load(folder, "full")
    lines = (folder / "mine.fa").read_text().splitlines()[1::2]
    seen = []
    for name in ("train", "validation", "test"):
        part = getattr(splits, name)
        numbers = part.batch(torch.arange(len(part))).target
        assert torch.equal(numbers[:, 0], -numbers[:, 1])
        assert [part.text(i) for i in range(len(part))] == [lines[int(n)] for n in numbers[:, 0]]
        seen.append({part.text(i) for i in range(len(part))})
    assert not seen[0] & seen[1]
    assert not (seen[0] | seen[1]) & seen[2]


def test_splits_that_are_given(folder: Path) -> None:
    splits = open_(folder, "mine.fa:labels=split.csv").load(folder, "full")
    assert [len(getattr(splits, name)) for name in ("train", "validation", "test")] == [20, 20, 20]
    assert splits.test.batch(torch.tensor([0, 1])).target.tolist() == [1, 0]  # r1, r4
    assert "as the labels file says" in splits.notes[0]


def test_without_labels_nucleotides_are_masked(folder: Path, real_data: Path) -> None:
    dataset = open_(folder, "mine.fa:rounds=2")
    splits = dataset.load(folder, "full")
    assert dataset.kind is MaskedNucleotides is type(splits.task)
    assert len(splits.train) == 2 * 54
    (reads,) = find_datasets(str(real_data / "rna" / "formats_pysam" / "ex1.bam"))
    assert reads.name == "fasta/ex1"
    told = reads.load(real_data, "full").notes[0]  # of 3,270 reads
    assert told.startswith("3267 sequences")
    assert told.endswith("3 without a known nucleotide left out")


def test_the_digest_follows_both_files(folder: Path) -> None:
    dataset = open_(folder, "mine.fa:labels=words.csv")
    first = dataset.digest(folder)
    table(folder / "words.csv", "id,label", [f"r{i},{'ab'[i % 2]}" for i in range(60)])
    assert dataset.digest(folder) != first
    assert dataset.load(folder, "full").task.classes == 2  # type: ignore[attr-defined]
    with pytest.raises(MissingData, match=r"nothing\.csv"):
        open_(folder, "mine.fa:labels=nothing.csv").digest(folder)


def test_unknown_letters(folder: Path) -> None:
    (folder / "iupac.fa").write_text((folder / "mine.fa").read_text().replace(">r7 of mine\n", ">r7 of mine\nAR"))
    with pytest.raises(DataError, match=r"iupac.fa:15: record r7: 'R' at place 2.*unknown=N"):
        open_(folder, "iupac.fa").load(folder, "full")
    splits = open_(folder, "iupac.fa:unknown=N,labels=numbers.csv").load(folder, "full")
    texts = {part.text(i) for part in (splits.train, splits.validation, splits.test) for i in range(len(part))}  # type: ignore[attr-defined]
    assert sum(text.startswith("AN") for text in texts) == 1


@pytest.mark.parametrize(
    ("header", "change", "told"),
    [
        ("id,load", {3: "r3,high"}, r"labels.csv:5: column `load`: 'high' is not a finite number"),
        ("id,load", {3: "r3,"}, r"labels.csv:5: column `load`: empty"),
        ("id,load", {3: "r3,inf"}, r"labels.csv:5: column `load`"),
        ("id,load", {3: "r3"}, r"labels.csv:5: 1 cells under a header of 2"),
        ("id,load", {3: "r2,0.5"}, r"labels.csv:5: column `id`: r2 is there twice, first at line 4"),
        ("id,load", {60: "other,0.5"}, r"labels.csv:62: column `id`: other is no record of .*mine.fa"),
        ("id,load", {59: ""}, r"mine.fa:119: record r59 has no label in .*labels.csv"),
        ("name,load", {}, r"labels.csv:1: its columns are name, load"),
        ("id,id", {}, r"labels.csv:1: its columns"),
        ("id,split", {}, r"labels.csv:1: its columns"),
    ],
)
def test_a_fault_of_the_labels_is_named(folder: Path, header: str, change: dict[int, str], told: str) -> None:
    rows = {i: f"r{i},{i / 7}" for i in range(60)} | change
    table(folder / "labels.csv", header, list(rows.values()))
    with pytest.raises(DataError, match=told):
        open_(folder, "mine.fa:labels=labels.csv").load(folder, "full")


def test_faults_of_splits_and_names(folder: Path) -> None:
    text = (folder / "split.csv").read_text()
    (folder / "bad.csv").write_text(text.replace("r2,0,validation", "r2,0,valid"))
    with pytest.raises(DataError, match=r"bad.csv:4: column `split`: 'valid' is no split"):
        open_(folder, "mine.fa:labels=bad.csv").load(folder, "full")
    (folder / "bad2.csv").write_text(text.replace("validation", "train"))
    with pytest.raises(DataError, match="no sequence for validation among 60"):
        open_(folder, "mine.fa:labels=bad2.csv").load(folder, "full")
    (folder / "twice.fa").write_text((folder / "mine.fa").read_text() + ">r0\nACGU\n")
    with pytest.raises(DataError, match=r"twice.fa:121: record r0 is there twice, first at line 1"):
        open_(folder, "twice.fa:labels=words.csv").load(folder, "full")
    (folder / "few.fa").write_text(">a\nACGU\n")
    with pytest.raises(UsageError, match=r"few.fa: 1 sequences"):
        open_(folder, "few.fa").load(folder, "full")


@pytest.mark.parametrize("options", ["task=ranking", "unknown=skip", "task=regression", "label=words.csv"])
def test_options_that_mean_nothing(folder: Path, options: str) -> None:
    with pytest.raises(TsbenchError):
        find_datasets(f"{folder}/mine.fa:{options}")


def test_which_files_are_sequences(folder: Path) -> None:
    for name in ("a.fa", "a.fasta.gz", "a.fna", "a.fq.gz", "a.fastq", "a.bam", "a.sam"):
        opened = open_path(Path(name))
        assert opened is not None
        assert opened.name == "fasta/a"
    for name in ("a.csv", "a.csv.gz", "a.bam.bai", "a.fai", "a.txt", "fa"):
        assert open_path(Path(name)) is None


@pytest.mark.slow
def test_from_the_command_line(folder: Path, tsbench: Command, tmp_path: Path) -> None:
    """From any folder: the labels' path is kept whole."""
    shutil.copy(folder / "words.csv", tmp_path / "here.csv")
    checked = tsbench("check", f"{folder}/mine.fa:labels=here.csv")
    assert checked.returncode == 0, checked.stdout + checked.stderr
