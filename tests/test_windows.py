"""Windows and splits: counts, borders, scaling by training rows only, leaks."""

from __future__ import annotations

import numpy as np
import torch
from hypothesis import given
from hypothesis import strategies as st

from tsbench.tasks.forecasting import Forecasting
from tsbench.windows import Rows, Windows, forecasting_splits, fractions


@given(st.integers(1, 4), st.integers(1, 12), st.integers(1, 9), st.integers(0, 20), st.data())
def test_batch_equals_slices(channels: int, look_back: int, horizon: int, more: int, data: st.DataObject) -> None:
    series = torch.randn(channels, look_back + horizon + more)
    windows = Windows(series, look_back, horizon)
    assert len(windows) == more + 1
    indices = data.draw(st.lists(st.integers(0, more), min_size=1, max_size=5))
    batch = windows.batch(torch.tensor(indices))
    for i, start in enumerate(indices):
        assert torch.equal(batch.inputs[i], series[:, start : start + look_back].T)
        assert torch.equal(batch.target[i], series[:, start + look_back : start + look_back + horizon].T)


def test_published_window_counts_of_etth1() -> None:
    """8640/2880/2880 rows, look-back 336, horizon 96: 8209 training and 2785 test windows (LTSF-Linear)."""
    splits = forecasting_splits(np.random.rand(17420, 2), Rows(8640, 2880, 2880), Forecasting(336, 96, 2))  # noqa: NPY002
    assert [len(s) for s in (splits.train, splits.validation, splits.test)] == [8209, 2785, 2785]


def test_published_fractions() -> None:
    assert fractions(7588) == Rows(5311, 760, 1517)
    assert fractions(966) == Rows(676, 97, 193)
    assert fractions(26304) == Rows(18412, 2632, 5260)


def test_only_training_rows_decide_the_scale() -> None:
    """A leak planted in validation and test rows must not reach the training samples."""
    values = np.random.default_rng(0).normal(size=(200, 3))
    leaked = values.copy()
    leaked[140:] = 1e6
    task = Forecasting(10, 5, 3)
    clean, dirty = (forecasting_splits(v, Rows(140, 20, 40), task) for v in (values, leaked))
    every = torch.arange(len(clean.train))
    assert torch.equal(clean.train.batch(every).inputs, dirty.train.batch(every).inputs)
    assert torch.equal(clean.train.batch(every).target, dirty.train.batch(every).target)


def test_first_forecast_begins_right_after_the_border() -> None:
    values = np.arange(100.0)[:, None]
    splits = forecasting_splits(values, Rows(60, 20, 20), Forecasting(10, 5, 1))
    scale, mean = values[:60].std(), values[:60].mean()
    for samples, border in ((splits.validation, 60), (splits.test, 80)):
        first = samples.batch(torch.tensor([0])).target[0, :, 0].double().numpy() * scale + mean
        np.testing.assert_allclose(first, np.arange(border, border + 5), rtol=1e-5)
