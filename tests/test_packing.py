"""Packed rows: the same states as separate ones, for every position encoding."""

from __future__ import annotations

import dataclasses

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from tests.positions_cases import CASES, encoder, ragged, tokens
from tsbench.errors import UsageError
from tsbench.parts.packing import pack, pack_rows
from tsbench.position import Positions

LENGTHS = (11, 3, 7, 1, 12, 5)


@pytest.mark.parametrize(("spec", "causal"), CASES)
def test_packed_equals_separate(spec: str, causal: bool) -> None:
    model, x, valid = encoder(spec), tokens(len(LENGTHS), max(LENGTHS)), ragged(*LENGTHS)
    packed, positions, back = pack_rows(x, valid, capacity=14)
    assert len(packed) == 3
    for explicit in (False, True):
        together = back(model(packed, dataclasses.replace(positions, causal=causal), explicit))
        for row, alone, length in zip(together, x, LENGTHS, strict=True):
            sequence = alone[None, :length]
            expected = model(sequence, Positions.along(sequence, causal=causal), explicit)[0]
            torch.testing.assert_close(row[:length], expected, atol=1e-5, rtol=1e-5)
            assert (row[length:] == 0).all()


@pytest.mark.parametrize(("spec", "causal"), CASES)
def test_packed_gradients_equal_those_of_padded_rows(spec: str, causal: bool) -> None:
    valid = ragged(*LENGTHS)
    gradients = []
    for packs in (False, True):
        model, x = encoder(spec, torch.float64), tokens(len(LENGTHS), max(LENGTHS), dtype=torch.float64)
        x.requires_grad_()
        if packs:
            packed, positions, back = pack_rows(x, valid, capacity=14)
            states = back(model(packed, dataclasses.replace(positions, causal=causal)))
        else:
            states = model(x, Positions.along(x, valid, causal))
        states[valid].square().sum().backward()
        gradients.append([x.grad, *(p.grad for p in model.parameters())])
    for padded, packed in zip(*gradients, strict=True):
        torch.testing.assert_close(padded, packed, atol=1e-8, rtol=1e-8)


def test_first_fit_longest_first() -> None:
    assert pack([3, 9, 5, 2, 10, 7, 1], 10) == [[4], [1, 6], [5, 0], [2, 3]]
    assert pack([], 10) == []
    with pytest.raises(UsageError, match="11 tokens does not fit into a packed row of 10"):
        pack([3, 11], 10)


@given(st.lists(st.integers(0, 30), min_size=1, max_size=40), st.integers(30, 60))
def test_packing_loses_nothing_and_comes_back(lengths: list[int], capacity: int) -> None:
    rows = pack(lengths, capacity)
    assert sorted(i for row in rows for i in row) == list(range(len(lengths)))
    assert all(sum(lengths[i] for i in row) <= capacity for row in rows)
    # First fit leaves at most one row half empty.
    assert sum(2 * sum(lengths[i] for i in row) <= capacity for row in rows) <= 1

    valid = torch.arange(31)[None] < torch.tensor(lengths)[:, None]
    x = torch.arange(1, 1 + valid.numel(), dtype=torch.float64).view_as(valid)
    packed, positions, back = pack_rows(x, valid, capacity)
    assert positions.valid is not None
    assert torch.equal(packed[positions.valid].sort().values, x[valid])
    assert torch.equal(back(packed), x * valid)


def test_where_packed_tokens_are() -> None:
    valid = torch.tensor([[True, True, False, False], [False, True, True, True]])  # padding may come first
    x = torch.tensor([[1, 2, 0, 0], [0, 3, 4, 5]])
    packed, positions, back = pack_rows(x, valid, 6)
    assert positions.segment is not None
    assert positions.valid is not None
    assert packed.tolist() == [[3, 4, 5, 1, 2]]
    assert positions.coords.tolist() == [[1, 2, 3, 0, 1]]
    assert positions.segment.tolist() == [[0, 0, 0, 1, 1]]
    assert positions.valid.all()
    assert back(packed).tolist() == x.tolist()
    assert back(packed[..., None].expand(-1, -1, 2)).shape == (2, 4, 2)


def test_packing_follows_the_device() -> None:
    x, valid = tokens(3, 8).to("meta"), ragged(8, 5, 3).to("meta")
    packed, positions, back = pack_rows(x, valid, 16)
    assert back(encoder("alibi").to("meta")(packed, positions)).shape == x.shape
