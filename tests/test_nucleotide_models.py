"""Models of nucleotides: values for every nucleotide, padding, packing, pre-training and what their keys depend on."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

from tests.conftest import Command
from tsbench.artifacts import load_model
from tsbench.cell import identity, make_cell
from tsbench.inputs import NucleotidePair, Nucleotides
from tsbench.models.rna_lstm import RnaLstm, RnaLstmConfig
from tsbench.models.rna_transformer import RnaTransformer, RnaTransformerConfig
from tsbench.registry import find_datasets
from tsbench.rna.tokenizer import make_tokenizer
from tsbench.store import Store
from tsbench.tasks.multilabel import MultiLabel
from tsbench.tasks.nucleotide import Imputation, NucleotideRegression
from tsbench.tasks.pairs import Structure
from tsbench.tasks.regression import RankRegression
from tsbench.tasks.task import Labelling

TOKENIZERS = ("single", "overlapping(k=3)", "blocks(k=4)", "bpe(vocabulary=40)")
TASKS: tuple[Labelling, ...] = (
    RankRegression(NucleotidePair(23), 1),
    MultiLabel(Nucleotides(23), 3),
    Imputation(Nucleotides(23, 2), 1),
    Structure(Nucleotides(23)),
)


def transformer(task: Labelling, **settings: Any) -> RnaTransformer:
    torch.manual_seed(0)
    model = RnaTransformer(task, RnaTransformerConfig(layers=1, width=16, heads=2, **settings))
    model.tokenizer.train(["ACGUACGGUUACGACGAUUUACGGCAUUUACGAC" * 3] * 4)
    return model.eval()


@pytest.mark.parametrize("tokenizer", TOKENIZERS)
@pytest.mark.parametrize("task", TASKS, ids=lambda task: type(task).__name__)
def test_padding_changes_nothing_at_any_level(task: Labelling, tokenizer: str) -> None:
    model = transformer(task, tokenizer=tokenizer)
    batch = task.random_batch(3)
    wider = batch.map(lambda t: t)
    pad = torch.nn.functional.pad
    assert wider.valid is not None
    wider.inputs, wider.valid = pad(batch.inputs, (0, 5)), pad(wider.valid, (0, 5))
    if wider.features is not None:
        wider.features = pad(wider.features, (0, 0, 0, 5))
    one, two = model.predict(batch), model.predict(wider)
    two = two[tuple(slice(size) for size in one.shape)]
    real = batch.valid[:, 0] if batch.valid is not None else None
    if one.ndim == 3 and real is not None:  # a value a nucleotide or pair: those of padding mean nothing
        inside = real[:, :, None] if one.shape[2] != one.shape[1] else real[:, :, None] & real[:, None, :]
        one, two = one * inside, two * inside
    torch.testing.assert_close(one, two, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("tokenizer", TOKENIZERS)
def test_packed_rows_predict_as_padded_ones(tokenizer: str) -> None:
    task = NucleotideRegression(Nucleotides(40), 2)
    batch = task.random_batch(5)
    padded = transformer(task, tokenizer=tokenizer)
    packed = transformer(task, tokenizer=tokenizer, packed=96)
    assert batch.valid is not None
    inside = batch.valid[:, 0, :, None]
    torch.testing.assert_close(padded.predict(batch) * inside, packed.predict(batch) * inside, rtol=1e-4, atol=1e-5)


def test_the_backward_lstm_begins_at_the_last_nucleotide() -> None:
    task = RankRegression(Nucleotides(12), 1)
    torch.manual_seed(0)
    model = RnaLstm(task, RnaLstmConfig(width=8, layers=1)).eval()
    batch = task.random_batch(1)
    batch.valid = None
    tokens = model.tokenizer(batch.inputs[:, 0], torch.ones(1, 12, dtype=torch.bool))
    x = model.embedding(tokens.ids)
    body: Any = model.body
    states = body(x, tokens.valid)
    back, _ = body.backwards[0](x.flip(1))
    ahead, _ = body.forwards[0](x)
    torch.testing.assert_close(states, body.join[0](torch.cat([ahead, back.flip(1)], -1)))


@pytest.mark.slow
def test_pretraining_is_taken_over_and_counts_in_the_key(tsbench: Command, tmp_path: Path) -> None:
    fasta = tmp_path / "some.fasta"
    random = torch.Generator().manual_seed(0)
    rows = ["".join("ACGU"[i] for i in torch.randint(0, 4, (30,), generator=random)) for _ in range(120)]
    fasta.write_text("".join(f">s{i}\n{row}\n" for i, row in enumerate(rows)))
    spec = "rna_transformer:epochs=1,layers=1,width=16,tokenizer=bpe(vocabulary=32)"
    first = tsbench("run", "--dataset", fasta, "--model", spec)
    assert first.returncode == 0, first.stderr
    (key,) = [r["key"] for r in Store(tmp_path / "results").results()]
    folder = tmp_path / "results" / "artifacts" / key
    tuned = tsbench("run", "--dataset", "generated/motif", "--model", f"{spec},pretrained={folder}")
    assert tuned.returncode == 0, tuned.stderr
    (again,) = [r for r in Store(tmp_path / "results").results() if r["key"] != key]
    model = load_model(tmp_path / "results" / "artifacts" / again["key"])
    source = load_model(folder)
    assert isinstance(model, RnaTransformer)
    assert isinstance(source, RnaTransformer)
    assert model.tokenizer.state().equal(source.tokenizer.state()), "the tokenizer comes with the weights"

    dataset = find_datasets("generated/motif")[0]
    cell = make_cell(dataset, dataset.name, None, "rna_transformer", {"pretrained": str(folder)}, 1)
    before = identity(cell, Path())
    (folder / "weights.pt").write_bytes(b"other")
    assert identity(cell, Path())["files"] != before["files"]

    refused = tsbench("run", "--dataset", "generated/motif", "--model", f"rna_transformer:width=32,pretrained={folder}")
    assert refused.returncode == 1


def test_code_of_the_chosen_parts_counts_in_the_key() -> None:
    dataset = find_datasets("generated/motif")[0]

    def code(**settings: Any) -> str:
        return str(identity(make_cell(dataset, dataset.name, None, "rna_transformer", settings, 1), Path())["code"])

    assert len({code(), code(positions="rope"), code(tokenizer="blocks"), code(positions="t5")}) == 4
    assert code(positions="rope") == code(positions="rope(layout=interleaved)")


def test_a_saved_bpe_is_the_same_tokenizer() -> None:
    model = transformer(MultiLabel(Nucleotides(23), 3), tokenizer="bpe(vocabulary=40)")
    other = RnaTransformer(model.task, model.config)
    other.load_state(model.state())
    codes = torch.randint(0, 4, (2, 20))
    valid = torch.ones_like(codes, dtype=torch.bool)
    assert other.tokenizer(codes, valid).ids.equal(model.tokenizer(codes, valid).ids)
    assert not make_tokenizer("bpe(vocabulary=40)").state().numel()
