"""OLS by lagged products against the full design matrix."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from tsbench.model import Run
from tsbench.models.ols import OLS, OLSConfig, window_moments
from tsbench.tasks.forecasting import Forecasting
from tsbench.windows import Rows, Windows, forecasting_splits


@given(st.integers(1, 3), st.integers(1, 12), st.integers(0, 30), st.integers(0, 5))
def test_moments_equal_those_of_all_windows(channels: int, length: int, more: int, seed: int) -> None:
    series = np.random.default_rng(seed).normal(size=(channels, length + more))
    windows = np.lib.stride_tricks.sliding_window_view(series, length, axis=1).reshape(-1, length)
    gram, sums, count = window_moments(series, length)
    assert count == len(windows)
    np.testing.assert_allclose(gram, windows.T @ windows, rtol=1e-9, atol=1e-9)
    np.testing.assert_allclose(sums, windows.sum(0), rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("variant", ["plain", "last"])
def test_equals_least_squares_on_the_design_matrix(variant: str) -> None:
    values = np.random.default_rng(1).normal(size=(300, 2)).cumsum(0)
    task = Forecasting(12, 5, 2)
    splits = forecasting_splits(values, Rows(200, 50, 50), task)
    model = OLS(task, OLSConfig(variant=variant))
    model.fit(splits.train, splits.validation, Run())

    assert isinstance(splits.train, Windows)
    batch = splits.train.batch(torch.arange(len(splits.train)))
    x = batch.inputs.transpose(1, 2).reshape(-1, 12).double().numpy()
    y = batch.target.transpose(1, 2).reshape(-1, 5).double().numpy()
    last = x[:, -1:] * (variant == "last")
    design = np.hstack([x - last, np.ones((len(x), 1))])
    solution = np.linalg.lstsq(design, y - last, rcond=None)[0]
    fitted = design @ solution + last
    ours = model.predict(batch).transpose(1, 2).reshape(-1, 5).double().numpy()
    np.testing.assert_allclose(ours, fitted, atol=2e-5)


def test_variant_is_chosen_on_validation() -> None:
    """Beyond a change of level, only the variant that subtracts the last value can follow."""
    values = np.random.default_rng(2).normal(size=(400, 1)) * 0.1
    values[280:] += 5
    splits = forecasting_splits(values, Rows(280, 60, 60), Forecasting(8, 2, 1))
    model = OLS(splits.task, OLSConfig())  # type: ignore[arg-type]
    model.fit(splits.train, splits.validation, Run())
    assert bool(model.subtract_last)


def test_a_constant_series_has_a_solution() -> None:
    splits = forecasting_splits(np.ones((100, 1)), Rows(60, 20, 20), Forecasting(8, 2, 1))
    model = OLS(splits.task, OLSConfig())  # type: ignore[arg-type]
    model.fit(splits.train, splits.validation, Run())
    assert model.predict(splits.test.batch(torch.tensor([0]))).isfinite().all()
