"""BEACON's thirteen tasks from files: its layout in small, other forms of the same, and bad files."""

from __future__ import annotations

import gzip
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from tsbench.data import Splits
from tsbench.datasets.beacon import Beacon, datasets
from tsbench.errors import DataError, MissingData, UsageError
from tsbench.registry import find_datasets
from tsbench.rna.files import base_pairs

NAMES = ["ssp", "cmp", "dmp", "ssi", "spl", "apa", "ncrna", "modif", "mrl", "vdp", "prs", "cri-on", "cri-off"]
SPLITS = ("train", "val", "test")
SEQS = {"train": ["GGGAAACCC", "acgtn"], "val": ["GCGAAACGC"], "test": ["CCAAAAGG", "GGGAAACCC"]}


def load(root: Path, spec: str, protocol: str = "beacon") -> Splits:
    (dataset,) = find_datasets(f"rna/{spec}")
    return dataset.load(root, protocol)


def parts(splits: Splits) -> list[Any]:
    return [splits.train, splits.validation, splits.test]


def everything(samples: Any) -> list[Tensor]:
    batch = samples.batch(torch.arange(len(samples)))
    return [t for t in (batch.inputs, batch.target, batch.valid, batch.features) if t is not None]


def same(one: Splits, other: Splits) -> bool:
    pairs = zip(parts(one), parts(other), strict=True)
    return all(
        torch.equal(a.nan_to_num(9), b.nan_to_num(9)) for p in pairs for a, b in zip(*map(everything, p), strict=True)
    )


# ---------------------------------------------------------------- the layout in small


def csv_rows(split: str) -> dict[str, str]:
    """For each CSV task its file, by task."""
    seqs = SEQS[split]
    table = {
        "ssi": ("seq,struct,label", [f"{s},{' '.join(['0.5', '-1'] + ['0.25'] * (len(s) - 2))},0.75" for s in seqs]),
        "spl": ("seq,label", [f"{s},01{'0' * (len(s) - 3)}2" for s in seqs]),
        "apa": ("id,seq,proportion,library", [f"{i},{s},0.25,x" for i, s in enumerate(seqs)]),
        "ncrna": ("seq,label", [f"{s},{i * 12}" for i, s in enumerate(seqs)]),
        "modif": ("sequence,label", [f"{s},{' '.join('010000000000'[i:] + '0' * i)}" for i, s in enumerate(seqs)]),
        "mrl": ("utr,rl", [f"{s},{i + 0.5}" for i, s in enumerate(seqs)]),
        "prs": ("seq,ON,OFF,ON_OFF", [f"{s},0.9,0.2,0.7" for s in seqs]),
        "cri-on": ("seq,label", [f"{s},0.{i}" for i, s in enumerate(seqs)]),
        "cri-off": ("sgrna,target,label", [f"{s},{s[::-1]},0.{i}" for i, s in enumerate(seqs)]),
    }  # fmt: skip
    return {task: "\n".join([header, *rows]) + "\n" for task, (header, rows) in table.items()}


def degradation(split: str) -> list[dict[str, Any]]:
    noise = {"train": [0.7, 0.5], "val": [1.2], "test": [-9.0, -9.0]}[split]  # the second of train is left out
    return [
        {"id": f"id_{i}", "sequence": s, "signal_to_noise": noise[i], "seq_scored": 4}
        | {name: [0.1 * k + j for k in range(4)] for j, name in enumerate(("reactivity", "deg_Mg_pH10", "deg_Mg_50C"))}
        for i, s in enumerate(SEQS[split])
    ]


@pytest.fixture
def official(tmp_path: Path) -> Path:
    """BEACON's layout with two training, one validation and two test samples."""
    folders = {b.collection.stem: tmp_path / "rna" / b.collection.folder for b in datasets() if isinstance(b, Beacon)}
    for folder in folders.values():
        folder.mkdir(parents=True)
    for split in SPLITS:
        for task, text in csv_rows(split).items():
            (folders[task] / f"{split}.csv").write_text(text)
        (folders["vdp"] / "train-val-test").mkdir(exist_ok=True)
        table = {key: {str(i): row[key] for i, row in enumerate(degradation(split))} for key in degradation(split)[0]}
        (folders["vdp"] / "train-val-test" / f"{split}_1.json").write_text(json.dumps(table))
        for task, maps in (("cmp", "contact_map"), ("dmp", "distance_map")):
            (folders[task] / maps).mkdir(exist_ok=True)
            ids = [f"{split}{i}_A" for i in range(len(SEQS[split]))]
            rows = [f"{name},{s}" for name, s in zip(ids, SEQS[split], strict=True)]
            (folders[task] / f"{split}.csv").write_text("\n".join(["id,sequence", *rows]))
            for name, s in zip(ids, SEQS[split], strict=True):
                distance = np.minimum(abs(np.subtract.outer(np.arange(len(s)), np.arange(len(s)))) * 0.2, 1)
                np.save(folders[task] / maps / f"{name}.npy", distance if task == "dmp" else distance < 0.5)
    lines = ["seq,file_name,data_name"]
    for split, part in zip(SPLITS, ("TR0", "VL0", "TS0"), strict=True):
        (folders["ssp"] / part).mkdir()
        for i, s in enumerate(SEQS[split]):
            pairs = np.zeros((len(s), len(s)), dtype=int)
            pairs[0, -1] = pairs[-1, 0] = 1
            np.save(folders["ssp"] / part / f"{split}{i}.npy", pairs)
            lines.append(f"{s},{split}{i},{part}")
    (folders["ssp"] / "bpRNA.csv").write_text("\n".join(lines))
    return tmp_path


@pytest.mark.parametrize("name", NAMES)
def test_official_layout(official: Path, name: str) -> None:
    splits = load(official, name)
    wanted = [1 if name == "vdp" else 2, 1, 2]
    assert [len(part) for part in parts(splits)] == wanted
    for part in parts(splits):
        batch = part.batch(torch.arange(len(part)))
        prediction = torch.zeros(splits.task.shape(batch))
        if batch.target.is_floating_point():
            assert prediction.shape == batch.target.shape
        else:
            assert prediction.shape[:-1] == batch.target.shape
            assert int(batch.target.max()) < prediction.shape[-1]
        assert splits.task.loss(prediction, batch).isfinite()
    assert any("not BEACON's data: train has 2 of BEACON's" in note for note in splits.notes)
    assert any("1 of 2 test samples occur in train" in note for note in splits.notes)
    assert splits.train.text(0) == "GGGAAACCC"  # type: ignore[attr-defined]


def test_targets(official: Path) -> None:
    def target(name: str) -> Tensor:
        return load(official, name).train.batch(torch.arange(1)).target[0]

    assert target("spl").tolist() == [0, 1, 0, 0, 0, 0, 0, 0, 2]
    assert target("ssi")[:, 0].nan_to_num(-1).tolist() == [-1, 0.75] + [-1] * 7
    assert target("ssp").nonzero().tolist() == [[0, 8], [8, 0]]
    assert target("cmp").sum() == 9 + 2 * (8 + 7)
    assert torch.allclose(target("dmp")[0, :6], torch.tensor([0, 0.2, 0.4, 0.6, 0.8, 1.0]))
    assert torch.allclose(target("vdp")[3], torch.tensor([0.3, 1.3, 2.3]))
    assert torch.equal(target("vdp")[4:].isnan(), torch.full((5, 3), True))
    assert target("modif").tolist() == [0.0, 1.0] + [0.0] * 10
    assert torch.allclose(target("prs"), torch.tensor([0.9, 0.2, 0.7]))
    batch = load(official, "ssi").train.batch(torch.arange(1))
    assert batch.features is not None
    assert batch.features[0, :3].tolist() == [[0.5, 1], [0, 0], [0.25, 1]]
    padded = load(official, "dmp").train.batch(torch.arange(2)).target[1]
    assert padded[5:].isnan().all()
    assert padded[:5, :5].isfinite().all()


@pytest.mark.parametrize("name", NAMES)
def test_gzip_line_ends_and_byte_order_mark_do_not_matter(official: Path, name: str) -> None:
    plain, (dataset,) = load(official, name), find_datasets(f"rna/{name}")
    digest = dataset.digest(official)
    for path in [p for p in (official / "rna").rglob("*") if p.is_file()]:
        with gzip.open(f"{path}.gz", "wb") as file:
            file.write(path.read_bytes())
        path.unlink()
    assert same(load(official, name), plain)
    assert dataset.digest(official) == digest
    for path in (official / "rna").rglob("*.csv.gz"):
        text = b"\xef\xbb\xbf" + gzip.decompress(path.read_bytes()).replace(b"\n", b"\r\n\r\n")
        path.with_suffix("").write_bytes(text)
        path.unlink()
    assert same(load(official, name), plain)


def test_columns_by_name_or_place(official: Path) -> None:
    plain, folder = load(official, "cri-on"), official / "rna" / "CRISPROnTarget"
    for split in SPLITS:
        rows = [line.split(",") for line in csv_rows(split)["cri-on"].split()[1:]]
        (folder / f"{split}.csv").write_text("guide RNA,efficacy\n" + "".join(f'"{s}", {y}\n' for s, y in rows))
    assert same(load(official, "cri-on"), plain)
    for split in SPLITS:
        rows = [line.split(",") for line in csv_rows(split)["cri-on"].split()[1:]]
        (folder / f"{split}.csv").write_text("no,LABEL,Seq\n" + "".join(f'"a, b",{y},{s}\n' for s, y in rows))
    assert same(load(official, "cri-on"), plain)


def test_forms_of_one_set_agree(official: Path) -> None:
    ssp, vdp = load(official, "ssp"), load(official, "vdp")
    folder = official / "rna" / "Secondary_structure_prediction" / "bpRNA"
    (folder / "bpRNA.csv").unlink()
    for split, part in zip(SPLITS, ("TR0", "VL0", "TS0"), strict=True):
        records = [f">{split}{i}\n{s}\n({'.' * (len(s) - 2)})\n" for i, s in enumerate(SEQS[split])]
        (folder / f"{part}.dbn").write_text("".join(records))
    assert same(load(official, "ssp"), ssp)
    for split in SPLITS:
        file = official / "rna" / "Degradation" / "train-val-test" / f"{split}_1.json"
        file.write_text("\n".join(json.dumps(row) for row in degradation(split)))
        assert same(load(official, "vdp"), vdp)
        file.write_text(json.dumps(degradation(split), indent=1))
        assert same(load(official, "vdp"), vdp)
    assert "1 of 2 train rows left out: signal_to_noise below 0.6, as in BEACON's loader" in vdp.notes


BAD = [
    ("cri-on", "train.csv", "seq,label\nACGU,0.1\nACXU,0.2\n", ":3: column `seq`: 'X' at place 3", "unknown=N"),
    ("cri-on", "val.csv", "seq,label\nACGU,high\n", ":2: column `label`: 'high' is not a finite number", "Fill in"),
    ("cri-on", "val.csv", "seq,label\n\nACGU,nan\n", ":3: column `label`: 'nan'", "Fill in"),
    ("cri-on", "test.csv", "seq,label\nACGU\n", ":2: 1 cells under a header of 2", "as many cells"),
    ("cri-on", "test.csv", "seq,label\n,0.5\n", ":2: column `seq`: empty sequence", "leave the whole row out"),
    ("cri-on", "test.csv", "ACGUACGUACGU,0.5\nACGU,0.5\n", ":1: its first line is a row", "names of the columns"),
    ("cri-on", "test.csv", "seq\nACGU\n", ":1: no column `label` among seq", "Name a column `label`"),
    ("cri-on", "test.csv", "", "it holds no rows", "a header and a row"),
    ("apa", "train.csv", "id,seq,proportion,n\n1,AC,1.5,2\n", ":2: column `proportion`: 1.5 is not between 0", "Cor"),
    ("ncrna", "train.csv", "seq,label\nACGU,1.5\n", ":2: column `label`: 1.5 is no class", "0, 1, 2"),
    ("spl", "train.csv", "seq,label\nACGU,0123\n", ":2: column `label`: '0123' is not made of the digits", "digit"),
    ("spl", "train.csv", "seq,label\nACGU,012\n", ":2: column `label`: 3 values for 4 nucleotides", "each nucleotide"),
    ("ssi", "train.csv", "seq,struct,y\nAC,-1 -1,0.5\n", ":2: column `y`: 1 values for 2 missing scores", "each -1"),
    ("modif", "train.csv", "sequence,label\nAC,0 1\nGG,0\n", ":3: column `label`: 1 labels where others have", "Every"),
    ("modif", "train.csv", "sequence,label\nAC,0 2\n", ":2: column `label`: '0 2' is not made of 0 and 1", "there (1)"),
    ("cmp", "train.csv", "id,sequence\n1xyz_A,ACGU\n", ":2: column `id`: there is no", "whole folder"),
    ("dmp", "distance_map/train0_A.npy", np.eye(4), "shape (4, 4) instead of 9 x 9", "the same RNA"),
    ("dmp", "distance_map/train0_A.npy", np.triu(np.ones((9, 9))), "not symmetric: 1 at row 1, column 2", "both"),
    ("dmp", "distance_map/train0_A.npy", np.full((9, 9), 7.7), "values outside 0 to 1", "min(d / 20"),
    ("cmp", "contact_map/train0_A.npy", np.full((9, 9), 0.5), "values other than 0 and 1", "pair (1)"),
    ("cmp", "contact_map/train0_A.npy", np.array([{}] * 81, dtype=object), "not a plain .npy matrix", "numpy.save"),
    ("vdp", "train-val-test/val_1.json", '{"sequence": "ACGU"}\n{"seq', ":2: no JSON", "cut or damaged"),
    ("vdp", "train-val-test/test_1.json", '[{"sequence": "ACGU"}]', "record 1, `reactivity`: the record", "needs it"),
]  # fmt: skip


@pytest.mark.parametrize(("task", "file", "content", "problem", "remedy"), BAD)
def test_bad_file(official: Path, task: str, file: str, content: Any, problem: str, remedy: str) -> None:
    (dataset,) = find_datasets(f"rna/{task}")
    assert isinstance(dataset, Beacon)
    path = official / "rna" / dataset.collection.folder / file
    path.write_text(content) if isinstance(content, str) else np.save(path, content)
    with pytest.raises(DataError) as caught:
        dataset.load(official, "beacon")
    assert f"{path}{problem if problem.startswith(':') else ': ' + problem}" in str(caught.value)
    assert remedy in str(caught.value)


@pytest.mark.parametrize(
    ("record", "problem"),
    [
        (">a\nACGU\n((.)\n", "structure: '(' at place 1 is never closed"),
        (">a\nACGU\n(.])\n", "structure: ']' at place 3 closes nothing"),
        (">a\nACGU\n(.)\n", "4 nucleotides but 3 places of structure"),
        ("ACGU\n....\n", "text before the first header"),
    ],
)
def test_bad_dot_brackets(official: Path, record: str, problem: str) -> None:
    folder = official / "rna" / "Secondary_structure_prediction" / "bpRNA"
    (folder / "bpRNA.csv").unlink()
    for part in ("TR0", "VL0", "TS0"):
        (folder / f"{part}.dbn").write_text(record)
    with pytest.raises(DataError) as caught:
        load(official, "ssp")
    assert f"TR0.dbn:1: {problem}. " in str(caught.value)


def test_absent_files_and_options(tmp_path: Path, official: Path) -> None:
    with pytest.raises(MissingData, match=r"bpRNA.csv \(missing\).*TR0.dbn \(missing\).*data fetch rna/ssp.*--data"):
        load(tmp_path / "nowhere", "ssp")
    with pytest.raises(UsageError, match="write error or N"):
        load(official, "mrl:unknown=X")
    (official / "rna" / "MeanRibosomeLoading" / "val.csv").write_text("utr,rl\nACGURYn,1\n")
    splits = load(official, "mrl:unknown=N")
    assert splits.validation.text(0) == "ACGUNNN"  # type: ignore[attr-defined]
    assert "2 letters other than A, C, G, U, T, N read as N" in splits.notes


def test_brackets() -> None:
    assert base_pairs("(([[))]]").tolist() == [[0, 5], [1, 4], [2, 7], [3, 6]]
    assert base_pairs("(A.<)a>").tolist() == [[0, 4], [1, 5], [3, 6]]
    assert base_pairs("....").shape == (0, 2)
