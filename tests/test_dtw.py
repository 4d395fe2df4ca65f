"""Dynamic time warping of all pairs at once, against the textbook's loop and aeon's distances."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from sktime.datasets import load_basic_motions, load_japanese_vowels
from torch import Tensor

from tsbench.data import Batch
from tsbench.errors import UsageError
from tsbench.inputs import Series
from tsbench.model import Run
from tsbench.models import dtw_d
from tsbench.models.dtw_d import DtwConfig, DtwD
from tsbench.models.dtw_i import DtwI
from tsbench.series.dtw import dtw
from tsbench.series.samples import SeriesSamples
from tsbench.tasks.classification import Classification

AEON: dict[str, Any] = json.loads((Path(__file__).parent / "dtw_aeon.json").read_text())
KINDS = {"dependent": DtwD, "independent": DtwI}


def series(cases: list[np.ndarray]) -> tuple[Tensor, Tensor]:
    """`(case, time, channel)` with zeros after the end, and lengths, of arrays `(channel, time)`."""
    steps = torch.tensor([case.shape[1] for case in cases])
    values = torch.zeros(len(cases), int(steps.max()), len(cases[0]))
    for row, case in zip(values, cases, strict=True):
        row[: case.shape[1]] = torch.from_numpy(case.T)
    return values, steps


def loop(x: Tensor, y: Tensor, radius: int) -> float:
    """The distance of two series `(time, channel)`, cell by cell."""
    table = np.full((len(x) + 1, len(y) + 1), np.inf)
    table[0, 0] = 0
    for i in range(len(x)):
        for j in range(len(y)):
            if -radius - max(0, len(y) - len(x)) <= i - j <= radius + max(0, len(x) - len(y)):
                best = min(table[i, j], table[i, j + 1], table[i + 1, j])
                table[i + 1, j + 1] = best + float((x[i] - y[j]).square().sum())
    return float(table[-1, -1])


lengths = st.lists(st.integers(1, 7), min_size=1, max_size=4)


@settings(deadline=None)
@given(lengths, lengths, st.integers(1, 3), st.integers(0, 7), st.integers(0, 9))
def test_all_pairs_equal_the_loop(first: list[int], second: list[int], channels: int, radius: int, seed: int) -> None:
    random = np.random.default_rng(seed)
    (x, x_steps), (y, y_steps) = (series([random.normal(size=(channels, n)) for n in ns]) for ns in (first, second))
    wanted = [
        [loop(a[:n].double(), b[:m].double(), radius) for b, m in zip(y, y_steps, strict=True)]
        for a, n in zip(x, x_steps, strict=True)
    ]
    for padded in (x, x.masked_fill(torch.arange(x.shape[1])[:, None] >= x_steps[:, None, None], 1e3)):
        found = dtw(padded, y, x_steps, y_steps, radius)
        torch.testing.assert_close(found, torch.tensor(wanted), rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("window", [1.0, 0.1, 0.0])
@pytest.mark.parametrize("kind", KINDS)
def test_distances_are_aeons(kind: str, window: float) -> None:
    train, test = (load_basic_motions(split=split, return_type="numpy3D")[0] for split in ("train", "test"))
    (x, x_steps), (y, y_steps) = series(list(test[[5, 35]])), series(list(train[[0, 11, 22]]))
    model = KINDS[kind](Classification(Series(100, 6), 4), DtwConfig(window))
    wanted = torch.tensor(AEON[f"BasicMotions {kind} {window}"])
    torch.testing.assert_close(model.distances(x, y, x_steps, y_steps), wanted, rtol=1e-5, atol=1e-3)


@pytest.mark.parametrize("kind", KINDS)
def test_distances_of_unequal_length_are_aeons(kind: str) -> None:
    frames, _ = load_japanese_vowels(split="train", return_type="df-list")
    (x, x_steps), (y, y_steps) = (series([frames[i].to_numpy().T for i in part]) for part in ((0, 50), (100, 269)))
    model = KINDS[kind](Classification(Series(29, 12), 9), DtwConfig())
    wanted = torch.tensor(AEON[f"JapaneseVowels {kind} 1.0"])
    torch.testing.assert_close(model.distances(x, y, x_steps, y_steps), wanted, rtol=1e-5, atol=1e-5)


def test_a_large_level_costs_little_precision() -> None:
    torch.manual_seed(0)
    x, y, steps = torch.randn(2, 20, 3), torch.randn(4, 20, 3), torch.full((4,), 20)
    near, far = (dtw(x + level, y + level, steps[:2], steps, 20) for level in (0, 1000))
    torch.testing.assert_close(near, far, rtol=1e-3, atol=1e-3)


def fitted(kind: type[DtwD], values: Tensor, target: list[int], window: float = 1.0) -> DtwD:
    samples = SeriesSamples(values, torch.tensor(target))
    model = kind(Classification(Series(*values.shape[1:]), max(target) + 1), DtwConfig(window))
    model.fit(samples, samples, Run())
    return model


def test_one_class_gets_nearly_all() -> None:
    model = fitted(DtwD, torch.tensor([[[0.0], [1.0]], [[5.0], [6.0]]]), [2, 0])
    prediction = model.predict(Batch(torch.tensor([[[0.1], [1.1]], [[9.0], [9.0]]]), torch.zeros(2).long()))
    expected = torch.tensor([[1e-6, 1e-6, 1.0], [1.0, 1e-6, 1e-6]]).log()
    torch.testing.assert_close(prediction, expected)


def test_the_first_of_equally_near_cases_counts() -> None:
    values = torch.randn(1, 6, 2).expand(4, 6, 2)
    for order in ([1, 0, 2, 0], [2, 1, 0, 1]):
        prediction = fitted(DtwD, values, order).predict(Batch(values[:1] + 1, torch.zeros(1).long()))
        assert prediction.argmax() == order[0]


def test_channels_are_warped_together_or_apart() -> None:
    """Two pulses, each shifted another way: only warped apart do they match."""
    values = torch.zeros(3, 12, 2)
    values[0, 4, 0] = values[0, 6, 1] = 1  # first channel first
    values[1, 6, 0] = values[1, 4, 1] = 1  # second channel first
    values[2, 5] = 0.7  # both at once, lower
    query = Batch(values[:1].roll(2, 1), torch.zeros(1).long())
    query.inputs[0, :, 1] = values[1, :, 1]
    steps = torch.full((3,), 12)
    apart, together = (
        fitted(kind, values, [0, 1, 2]).distances(query.inputs, values, steps[:1], steps) for kind in (DtwI, DtwD)
    )
    torch.testing.assert_close(apart[0, :2], torch.zeros(2), rtol=0, atol=1e-5)
    assert together[0, 0] > 0.5 > together[0, 1]


def test_without_a_window_nothing_is_warped() -> None:
    torch.manual_seed(0)
    x, y, steps = torch.randn(3, 9, 2), torch.randn(4, 9, 2), torch.full((4,), 9)
    euclidean = (x[:, None] - y).square().sum((2, 3))
    torch.testing.assert_close(dtw(x, y, steps[:3], steps, 0), euclidean, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("kind", [DtwD, DtwI])
def test_blocks_change_nothing(kind: type[DtwD], monkeypatch: pytest.MonkeyPatch) -> None:
    torch.manual_seed(0)
    samples = SeriesSamples(torch.randn(9, 7, 2), torch.arange(9) % 3, torch.tensor([7, 3, 5] * 3))
    model = kind(Classification(Series(7, 2), 3), DtwConfig(0.3))
    model.fit(samples, samples, Run())
    batch = SeriesSamples(torch.randn(20, 7, 2), torch.zeros(20).long(), torch.arange(20) % 7 + 1).batch(
        torch.arange(20)
    )
    whole = model.predict(batch)
    monkeypatch.setattr(dtw_d, "CELLS", 1)
    assert torch.equal(model.predict(batch), whole)


@pytest.mark.parametrize("window", [-0.1, 1.1])
def test_a_window_is_a_share(window: float) -> None:
    with pytest.raises(UsageError, match="from 0 to 1"):
        DtwConfig(window)
