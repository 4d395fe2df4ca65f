"""Masked nucleotides: hidden by a hash, alike in any batch; equal sequences in one split."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from tsbench.data import Batch
from tsbench.datasets.rna_corpus import Corpus, corpus, read_stockholm
from tsbench.errors import DataError, UsageError
from tsbench.rna.masking import Masked, masked_splits, scramble
from tsbench.rna.sequences import MASKED, Ragged, encode
from tsbench.splitting import grouped_split


def some(number: int, lowest: int = 1, highest: int = 300) -> list[np.ndarray]:
    random = np.random.default_rng(3)
    return [random.integers(0, 4, random.integers(lowest, highest + 1)).astype(np.uint8) for _ in range(number)]


def one(batch: Batch, i: int) -> tuple[list[int], list[int]]:
    assert batch.valid is not None
    valid = batch.valid[i, 0]
    return batch.inputs[i, 0][valid].tolist(), batch.target[i][valid].tolist()


def test_a_sample_does_not_depend_on_its_batch() -> None:
    samples = Masked(Ragged.of(some(20)), rounds=3)
    whole = samples.batch(torch.arange(len(samples)))
    order = torch.randperm(len(samples), generator=torch.Generator().manual_seed(1))
    mixed = samples.batch(order)
    for place, i in enumerate(order.tolist()):
        assert one(mixed, place) == one(whole, i) == one(samples.batch(torch.tensor([i])), 0)


def test_what_is_hidden() -> None:
    """15 % of the nucleotides, at least one of each sequence, never an N, otherwise in each round."""
    codes = [*some(400), encode("NNNNGNNNN"), encode("A")]
    samples = Masked(Ragged.of(codes), rounds=4)
    batch = samples.batch(torch.arange(len(samples)))
    assert batch.valid is not None
    hidden = batch.inputs[:, 0] == MASKED
    assert torch.equal(hidden, batch.target >= 0)
    assert (hidden.sum(1) >= 1).all()
    assert not (hidden & ~batch.valid[:, 0]).any()
    truth, _ = samples.codes.padded(torch.arange(len(samples)) // 4)
    assert torch.equal(torch.where(hidden, batch.target, batch.inputs[:, 0]), truth.long())
    assert hidden.sum().item() / batch.valid.sum().item() == pytest.approx(0.15, abs=0.005)
    assert hidden[-5].nonzero().tolist() == [[4]]  # the only G among N
    long = hidden[: 4 * 400].view(400, 4, -1)[[len(c) > 100 for c in codes[:400]]]
    assert (long[:, 0] != long[:, 1]).any(-1).all()


def test_sizes_and_letters() -> None:
    samples = Masked(Ragged.of([encode("ACGU"), encode("GG")]), rounds=2)
    assert samples.sizes.tolist() == [8, 8, 4, 4]
    assert [samples.text(i) for i in range(4)] == ["ACGU", "ACGU", "GG", "GG"]


def test_scramble_spreads() -> None:
    """Neighbours differ in about half of their 32 bits, and every bit is set as often as not."""
    numbers = scramble(torch.arange(20000))
    bits = numbers[:, None] >> torch.arange(32) & 1
    assert bits.double().mean(0) == pytest.approx(0.5, abs=0.02)
    assert (bits[1:] ^ bits[:-1]).double().mean().item() == pytest.approx(0.5, abs=0.01)
    assert len(numbers.unique()) == 20000


def test_splits_share_no_sequence_and_windows_keep_every_nucleotide() -> None:
    codes = some(150, 30, 1300)
    splits = masked_splits([*codes, *codes[:50], encode("NNN")], rounds=2, window=100)
    parts, kept = {}, 0
    for name, rounds in (("train", 2), ("validation", 1), ("test", 1)):
        samples = getattr(splits, name)
        assert samples.codes.lengths.max() <= 100
        assert len(samples) == rounds * len(samples.codes.ends)
        kept += len(samples.codes.values)
        parts[name] = {samples.text(i) for i in range(0, len(samples), rounds)}
    assert not parts["train"] & parts["validation"]
    assert not (parts["train"] | parts["validation"]) & parts["test"]
    assert kept == sum(map(len, [*codes, *codes[:50]]))
    assert "200 sequences" in splits.notes[0]
    assert "1 without a known nucleotide left out" in splits.notes[0]


@pytest.mark.parametrize(("few", "rounds", "window"), [(2, 1, 512), (100, 0, 512), (100, 1, 0)])
def test_what_cannot_be_split(few: int, rounds: int, window: int) -> None:
    with pytest.raises(UsageError):
        masked_splits(some(few), rounds, window)


@given(st.lists(st.text("ABC", max_size=3), max_size=60), st.randoms())
def test_groups_stay_together(groups: list[str], random: object) -> None:
    """Every sample is in one split, with all of its group, and the order of the samples does not matter."""
    parts = grouped_split(groups)
    where = {i: split for split, part in enumerate(parts) for i in part.tolist()}
    assert sorted(where) == list(range(len(groups)))
    split = {group: where[i] for i, group in enumerate(groups)}
    assert all(split[group] == where[i] for i, group in enumerate(groups))
    order = list(range(len(groups)))
    random.shuffle(order)  # type: ignore[attr-defined]
    again = grouped_split([groups[i] for i in order])
    assert {groups[order[i]]: s for s, part in enumerate(again) for i in part.tolist()} == split


def test_shares() -> None:
    parts = grouped_split([str(i) for i in range(1000)])
    assert [len(part) for part in parts] == [700, 100, 200]


def test_stockholm(tmp_path: Path) -> None:
    path = tmp_path / "two.stk"
    text = (
        "# STOCKHOLM 1.0\n#=GF ID x\na/1-4  AC-.\nb/1-3  .CG-\n\na/1-4  GU\nb/1-3  U-\n//\n# STOCKHOLM 1.0\na  GG\n//\n"
    )
    path.write_text(text)
    assert [(r.name, r.sequence, r.line) for r in read_stockholm(path)] == [
        ("a/1-4", "ACGU", 3),
        ("b/1-3", "CGU", 4),
        ("a", "GG", 10),
    ]
    path.write_text(text.rsplit("//", 1)[0])
    with pytest.raises(DataError, match="does not end"):
        list(read_stockholm(path))


def test_the_corpus(real_data: Path) -> None:
    splits = Corpus().load(real_data, "full")
    letters = corpus(real_data)
    assert len(letters) == len(set(letters)) == 12541
    assert sum(text.count("GGUUCGAAUC") for text in letters) > 100  # the T arm of tRNA: gaps are gone
    assert f"{len(letters)} sequences" in splits.notes[0]
    assert len(splits.train) == 4 * 11356
