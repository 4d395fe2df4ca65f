"""LTSF files: the real ones, the user's own, and everything that can be wrong with a CSV."""

from __future__ import annotations

import gzip
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from tsbench.datasets.ltsf import UserCsv, infer_season, read_series
from tsbench.errors import DataError, MissingData, TsbenchError, UsageError
from tsbench.registry import all_datasets, find_datasets


def table(rows: int = 60, start: str = "2020-01-01", step: str = "h") -> pd.DataFrame:
    dates = pd.date_range(start, periods=rows, freq=step).strftime("%Y-%m-%d %H:%M:%S")
    return pd.DataFrame({"date": dates, "a": np.arange(rows) * 1.0, "b": np.sin(np.arange(rows))})


def write(path: Path, frame: pd.DataFrame) -> Path:
    frame.to_csv(path, index=False)
    return path


def test_nine_sets_at_four_horizons() -> None:
    names = [n for n in all_datasets() if n.startswith("ltsf/")]
    assert len(names) == 36
    assert {n.split("/")[1] for n in names} == set(
        ["etth1", "etth2", "ettm1", "ettm2", "electricity", "exchange", "ili", "traffic", "weather"]
    )


@pytest.mark.parametrize(
    ("name", "train", "validation", "test"),
    [
        ("ltsf/etth1/96", 8209, 2785, 2785),
        ("ltsf/ettm1/720", 33505, 10801, 10801),
        ("ltsf/exchange/720", 4256, 41, 798),
        ("ltsf/ili/60", 513, 38, 134),
    ],
)
def test_window_counts_of_the_protocol(real_data: Path, name: str, train: int, validation: int, test: int) -> None:
    """n - L - H + 1 training and n - H + 1 other windows, from the split rows of LTSF-Linear."""
    splits = find_datasets(name)[0].load(real_data, "full")
    assert [len(splits.train), len(splits.validation), len(splits.test)] == [train, validation, test]
    assert splits.train.batch(torch.tensor([0])).inputs.dtype == torch.float32


def test_plain_and_gzipped_copies_have_one_digest(real_data: Path, tmp_path: Path) -> None:
    (tmp_path / "ltsf" / "nested").mkdir(parents=True)
    content = (real_data / "ltsf" / "national_illness.csv").read_bytes()
    (tmp_path / "ltsf" / "nested" / "national_illness.csv.gz").write_bytes(gzip.compress(content))
    (dataset,) = find_datasets("ltsf/ili/24")
    assert dataset.digest(tmp_path) == dataset.digest(real_data)
    ours, theirs = dataset.load(tmp_path, "full"), dataset.load(real_data, "full")
    assert torch.equal(ours.test.batch(torch.tensor([3])).inputs, theirs.test.batch(torch.tensor([3])).inputs)


def test_absent_file_says_how_to_get_it(tmp_path: Path) -> None:
    with pytest.raises(MissingData, match=r"traffic\.csv.*tsbench data fetch"):
        find_datasets("ltsf/traffic/96")[0].load(tmp_path, "full")


def test_truncated_copy_is_refused(real_data: Path, tmp_path: Path) -> None:
    lines = (real_data / "ltsf" / "ETTh1.csv").read_text().splitlines()
    (tmp_path / "ltsf").mkdir()
    (tmp_path / "ltsf" / "ETTh1.csv").write_text("\n".join(lines[:15001]) + "\n")
    with pytest.raises(DataError, match=r"ETTh1\.csv: 15000 rows x 7 .* instead of 17420 x 7: a truncated copy"):
        find_datasets("ltsf/etth1/96")[0].load(tmp_path, "full")


def test_cut_gzip_is_refused(tmp_path: Path) -> None:
    whole = gzip.compress(table().to_csv(index=False).encode())
    path = tmp_path / "cut.csv.gz"
    path.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(DataError, match="cut or damaged"):
        read_series(path)


def spoil(frame: pd.DataFrame, how: str) -> pd.DataFrame:
    frame = frame.astype({"b": object})
    if how == "nan":
        frame.loc[7, "b"] = None
    elif how == "text":
        frame.loc[7, "b"] = "oops"
    elif how == "infinite":
        frame.loc[7, "b"] = "inf"
    elif how == "date":
        frame.loc[7, "date"] = "yesterday"
    elif how == "no date":
        frame.loc[7, "date"] = None
    elif how == "unsorted":
        frame = frame.iloc[[*range(7), 8, 7, *range(9, len(frame))]]
    elif how == "repeated":
        frame["date"] = [frame["date"][min(i, 6) if i <= 20 else i] for i in range(len(frame))]
    return frame


@pytest.mark.parametrize(
    ("how", "line", "said"),
    [
        ("nan", 9, "column `b`: empty or NaN"),
        ("text", 9, "column `b`: 'oops' is not a finite number"),
        ("infinite", 9, "is not a finite number"),
        ("date", 9, "cannot read date 'yesterday'"),
        ("no date", 9, "empty date"),
        ("unsorted", 10, "Sort the rows by date"),
        ("repeated", 9, "Give each series a column of its own"),
    ],
)
def test_bad_cells_are_named_by_file_and_line(tmp_path: Path, how: str, line: int, said: str) -> None:
    path = write(tmp_path / "bad.csv", spoil(table(), how))
    with pytest.raises(DataError) as error:
        read_series(path)
    assert f"bad.csv:{line}:" in str(error.value)
    assert said in str(error.value)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("time,a\n2020-01-01,1\n", "no column `date`"),
        ("date\n2020-01-01\n", "no column beside `date`"),
        ("", "not a table"),
        ("date,a\n2020-01-01,1\n2020-01-02,1,5\n", "broken.csv:3: not a table"),
    ],
)
def test_what_is_no_table_is_refused(tmp_path: Path, text: str, said: str) -> None:
    path = tmp_path / "broken.csv"
    path.write_text(text)
    with pytest.raises(DataError) as error:
        read_series(path)
    assert said in str(error.value)


def test_last_line_cut_in_the_middle(tmp_path: Path) -> None:
    path = write(tmp_path / "cut.csv", table())
    path.write_text(path.read_text().rstrip("\n").rsplit(",", 1)[0])
    with pytest.raises(DataError, match=r"cut\.csv:61: column `b`: empty or NaN"):
        read_series(path)


@settings(max_examples=150, deadline=None)
@given(st.binary(max_size=300))
def test_any_bytes_give_a_series_or_a_clear_error(tmp_path_factory: pytest.TempPathFactory, content: bytes) -> None:
    path = tmp_path_factory.mktemp("any") / "any.csv"
    path.write_bytes(b"date,a\n" + content)
    try:
        series = read_series(path)
    except TsbenchError as refusal:
        message = str(refusal)
    else:
        message = "any.csv"
        assert np.isfinite(series.values).all()
        assert len(series.values) == len(series.dates)
    assert "any.csv" in message


@pytest.mark.parametrize(
    ("step", "season"), [("h", 24), ("15min", 96), ("10min", 144), ("D", 7), ("W", 52), ("MS", 12)]
)
def test_season_is_inferred_from_the_dates(step: str, season: int) -> None:
    assert infer_season(pd.date_range("2020-01-01", periods=200, freq=step)) == season


def test_users_csv(tmp_path: Path) -> None:
    path = write(tmp_path / "mine.csv", table(400))
    (dataset,) = find_datasets(f"{path}:horizon=8,look_back=48")
    assert isinstance(dataset, UserCsv)
    assert dataset.name == "csv/mine/8"
    splits = dataset.load(tmp_path, "full")
    assert (splits.task.shape(splits.train.batch(torch.arange(3))), len(splits.train)) == ((3, 8, 2), 280 - 48 - 8 + 1)


def test_too_short_a_csv_says_what_to_set(tmp_path: Path) -> None:
    path = write(tmp_path / "short.csv", table(50))
    with pytest.raises(UsageError, match=r"set a smaller one after the data set's name"):
        find_datasets(str(path))[0].load(tmp_path, "full")


def test_more_cells_than_the_header_names_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "wide.csv"
    path.write_text("date,a\n2020-01-01,1,2\n2020-01-02,1,2\n")
    with pytest.raises(DataError, match=r"wide\.csv:1: its rows have more cells"):
        read_series(path)


def test_dates_written_as_numbers(tmp_path: Path) -> None:
    path = tmp_path / "numbers.csv"
    path.write_text("date,a\n" + "\n".join(f"202001{d:02d},{d}" for d in range(1, 29)) + "\n")
    series = read_series(path)
    assert series.dates[1] - series.dates[0] == pd.Timedelta(days=1)
    path.write_text("date,a\n1,1\n2,2\n")
    with pytest.raises(DataError, match="cannot read date"):
        read_series(path)
