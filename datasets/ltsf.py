"""Long-term forecasting: the nine LTSF sets at their four horizons, and any CSV with a date column.

Protocol: LTSF-Linear (Zeng et al., AAAI 2023; cure-lab/LTSF-Linear @ 0c113668). All columns but `date`,
standardised by the training rows; windows at stride 1; scores on scaled data.
"""

from __future__ import annotations

import csv
import io
import re
import warnings
import zlib
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import ClassVar

import numpy as np
import pandas as pd

from tsbench.data import Splits
from tsbench.dataset import Dataset, Published, Source, find_file, open_content, read_published
from tsbench.errors import DataError, MissingData
from tsbench.tasks.forecasting import Forecasting
from tsbench.windows import Rows, forecasting_splits, fractions

PROTOCOLS = {
    "full": "every test window counts",
    "paper": "as published: the last partial test batch is left out, and models use the recipe of the paper's table",
}
_BAD_VALUE = "Fill such cells: a forecast cannot be scored on a missing value, and leaving rows out makes gaps."


@dataclass(frozen=True)
class Collection:
    """One of the nine series. `rows` is None where the split is 70/10/20 %."""

    stem: str
    source: Source
    shape: tuple[int, int]  # rows, channels
    season: int
    rows: Rows | None = None
    look_back: int = 336
    horizons: tuple[int, ...] = (96, 192, 336, 720)


def _ett(name: str, sha256: str) -> Source:
    url = f"https://raw.githubusercontent.com/zhouhaoyi/ETDataset/1d16c8f4f943005d613b5bc962e9eeb06058cf07/ETT-small/{name}.csv"
    return Source(f"ltsf/{name}.csv", url, sha256, "CC BY-ND 4.0", "Zhou et al., Informer, AAAI 2021")


def _mirror(path: str, sha256: str | None, origin: str) -> Source:
    url = f"https://huggingface.co/datasets/thuml/Time-Series-Library/resolve/main/{path}"
    licence = "none stated for the data"
    return Source(f"ltsf/{Path(path).name}", url, sha256, licence, f"{origin}; Wu et al., Autoformer, NeurIPS 2021")


_HOURS, _QUARTERS = Rows(8640, 2880, 2880), Rows(34560, 11520, 11520)  # 12, 4 and 4 months of 30 days
COLLECTIONS = (
    Collection(
        "etth1",
        _ett("ETTh1", "f18de3ad269cef59bb07b5438d79bb3042d3be49bdeecf01c1cd6d29695ee066"),
        (17420, 7),
        24,
        _HOURS,
    ),
    Collection(
        "etth2",
        _ett("ETTh2", "a3dc2c597b9218c7ce1cd55eb77b283fd459a1d09d753063f944967dd6b9218b"),
        (17420, 7),
        24,
        _HOURS,
    ),
    Collection(
        "ettm1",
        _ett("ETTm1", "6ce1759b1a18e3328421d5d75fadcb316c449fcd7cec32820c8dafda71986c9e"),
        (69680, 7),
        96,
        _QUARTERS,
    ),
    Collection(
        "ettm2",
        _ett("ETTm2", "db973ca252c6410a30d0469b13d696cf919648d0f3fd588c60f03fdbdbadd1fd"),
        (69680, 7),
        96,
        _QUARTERS,
    ),
    Collection(
        "electricity",
        _mirror("electricity/electricity.csv", None, "UCI ElectricityLoadDiagrams; Lai et al., SIGIR 2018"),
        (26304, 321),
        24,
    ),
    Collection(
        "exchange",
        _mirror(
            "exchange_rate/exchange_rate.csv",
            "d55e7aa2641009814a18ba3279431b13f6d413b0eab195b9ff21988d8cf94e97",
            "Lai et al., SIGIR 2018",
        ),
        (7588, 8),
        7,
    ),
    Collection(
        "ili",
        _mirror(
            "illness/national_illness.csv",
            "8594cecb98c6f2f9dc014eca11c4d5d1e38ad5ce6ed0592d4abe65b146fce395",
            "US CDC ILINet",
        ),
        (966, 7),
        52,
        look_back=104,
        horizons=(24, 36, 48, 60),
    ),
    Collection(
        "traffic",
        _mirror("traffic/traffic.csv", None, "Caltrans PeMS; Lai et al., SIGIR 2018"),
        (17544, 862),
        24,
    ),
    Collection(
        "weather",
        _mirror(
            "weather/weather.csv",
            "34ee981d07313e51da2a50bb600072c8ae4a69cb4b0651f4cb93a069d7a2ba63",
            "Max-Planck-Institut Jena",
        ),
        (52696, 21),
        144,
    ),
)


@dataclass(frozen=True)
class Ltsf(Dataset):
    """One of the nine series at one horizon."""

    collection: Collection
    horizon: int
    look_back: int

    kind: ClassVar = Forecasting
    protocols: ClassVar = PROTOCOLS
    options: ClassVar = ("look_back",)

    @property
    def name(self) -> str:  # type: ignore[override]
        """`ltsf/etth1/96`."""
        return f"ltsf/{self.collection.stem}/{self.horizon}"

    @property
    def sources(self) -> tuple[Source, ...]:
        """The CSV file."""
        return (self.collection.source,)

    def load(self, root: Path, protocol: str) -> Splits:
        """Read the file, check its shape, scale and cut."""
        path = find_file(root, self.collection.source.file)
        values = read_series(path).values
        _check_shape(path, values.shape, self.collection)
        rows = self.collection.rows or fractions(len(values))
        return _splits(values, rows, self.look_back, self.horizon, self.collection.season, protocol)

    def published(self) -> list[Published]:
        """Table 2 of the paper, and the corrected scores that FITS logged."""
        if self.look_back != self.collection.look_back:
            return []  # published with the default look-back only
        table = read_published(Path(__file__).with_name("ltsf_published.csv"))
        return [row for row in table if row.dataset == self.name]


@dataclass(frozen=True)
class UserCsv(Dataset):
    """A CSV file of the user's with a `date` column and numbers in all others; split 70/10/20 % in time order."""

    path: Path
    horizon: int = 24
    look_back: int = 96
    season: int = 0  # steps; 0 infers it from the dates

    kind: ClassVar = Forecasting
    protocols: ClassVar = {"full": PROTOCOLS["full"]}
    options: ClassVar = ("horizon", "look_back", "season")

    @property
    def name(self) -> str:  # type: ignore[override]
        """`csv/<file name>/<horizon>`."""
        return f"csv/{self.path.name.removesuffix('.gz').removesuffix('.csv')}/{self.horizon}"

    @property
    def sources(self) -> tuple[Source, ...]:
        """The file, by its own path."""
        return (Source(str(self.path), "", None, "the user's", ""),)

    def digest(self, root: Path) -> str:
        """Fingerprint of the file, its options and the way it is read."""
        from tsbench.dataset import file_digest

        if not self.path.is_file():
            raise MissingData(f"{self.path} is not there. Check the path given to --dataset.")
        return f"{file_digest(self.path)}-{self.version}"

    def load(self, root: Path, protocol: str) -> Splits:
        """Read the file, scale and cut."""
        series = read_series(self.path)
        rows = fractions(len(series.values))
        season = self.season or infer_season(series.dates)
        splits = _splits(series.values, rows, self.look_back, self.horizon, season, protocol)
        return replace(splits, notes=_irregular(series.dates))


def _irregular(dates: pd.DatetimeIndex) -> tuple[str, ...]:
    """A note if steps differ so much that models which count steps may be misled (months differ by a tenth)."""
    steps = np.diff(dates.asi8)
    usual = np.median(steps)
    odd = np.flatnonzero(np.abs(steps - usual) > 0.15 * usual)
    if not len(odd):
        return ()
    where = f"first between {dates[odd[0]]} and {dates[odd[0] + 1]}"
    return (f"{len(odd)} irregular steps in the dates, {where}; models take all steps as equal",)


def datasets() -> Iterator[Dataset]:
    """The nine sets at their published horizons."""
    for collection in COLLECTIONS:
        for horizon in collection.horizons:
            yield Ltsf(collection, horizon, collection.look_back)


def open_path(path: Path) -> Dataset | None:
    """A data set made of a user's file, if it is a CSV."""
    return UserCsv(path.resolve()) if re.search(r"\.csv(\.gz)?$", path.name) else None


def _splits(values: np.ndarray, rows: Rows, look_back: int, horizon: int, season: int, protocol: str) -> Splits:
    task = Forecasting(look_back, horizon, values.shape[1], max(1, min(season, look_back)))
    left_out = {"full": {"validation"}, "paper": {"validation", "test"}}[protocol]
    return forecasting_splits(values, rows, task, frozenset(left_out))


def _check_shape(path: Path, shape: tuple[int, ...], collection: Collection) -> None:
    if shape == collection.shape:
        return
    rows, channels = collection.shape
    kind = "a truncated copy; several circulate" if shape[0] < rows else "not the file that tables are made from"
    raise DataError(
        path,
        f"{shape[0]} rows x {shape[1]} value columns instead of {rows} x {channels}: {kind}",
        f"Delete it and run `tsbench data fetch ltsf/{collection.stem}`, or use it as your own: --dataset {path}",
    )


@dataclass(frozen=True)
class Series:
    """A table read from CSV: `values` is `(time, channel)` float64."""

    dates: pd.DatetimeIndex
    values: np.ndarray


def read_series(path: Path) -> Series:
    """Read a CSV (or `.csv.gz`) with a `date` column in time order and numbers in all others.

    Raises:
        DataError: naming file, line and remedy, for a cut or unreadable file, a missing `date` column, a cell that
            is empty or no finite number, dates that cannot be read, go backwards or repeat.
    """
    text = _read_text(path)
    try:
        table = pd.read_csv(io.StringIO(text), low_memory=False)
    except (pd.errors.ParserError, pd.errors.EmptyDataError) as error:
        found = re.search(r"line (\d+)", str(error))
        line = int(found[1]) if found else None
        raise DataError(path, f"not a table: {error}", "Every line needs as many cells as the header.", line) from None
    if not isinstance(table.index, pd.RangeIndex):
        raise DataError(path, "its rows have more cells than its header", "Name every column in the header.", 1)
    if "date" not in table.columns:
        seen = ", ".join(map(str, table.columns[:5])) + (" ..." if len(table.columns) > 5 else "")
        raise DataError(path, f"no column `date` among {seen}", "Name the time column `date`.", 1)
    if table.shape[1] < 2:
        raise DataError(path, "no column beside `date`", "Add the values to forecast as further columns.", 1)
    dates = _dates(path, text, table.pop("date"))
    return Series(dates, _numbers(path, text, table))


def _read_text(path: Path) -> str:
    if not path.is_file():
        raise MissingData(f"{path} is not there.")
    try:
        with open_content(path) as file:
            text = str(file.read().decode("utf-8", errors="replace"))
    except (EOFError, OSError, zlib.error) as error:
        raise DataError(path, f"cannot be read ({error})", "The copy is cut or damaged: fetch it again.") from None
    return text.replace("\r\n", "\n").replace("\r", "\n")


def _line(text: str, row: int) -> int:
    """The line of the file on which data row `row` (from 0) stands; blank lines and quoted line breaks count."""
    reader = csv.reader(io.StringIO(text))
    seen = -2  # the header is the first record
    for record in reader:
        seen += bool(record)
        if seen == row:
            break
    return reader.line_num


def _dates(path: Path, text: str, column: pd.Series) -> pd.DatetimeIndex:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # mixed formats: what cannot be read is reported below
        if column.dtype.kind in "iuf":  # 20160701; any other number would be taken for nanoseconds since 1970
            dates = pd.DatetimeIndex(pd.to_datetime(column.astype(str), format="%Y%m%d", errors="coerce"))
        else:
            dates = pd.DatetimeIndex(pd.to_datetime(column, errors="coerce"))
    bad = np.flatnonzero(dates.isna())
    if len(bad):
        cell = column.iloc[bad[0]]
        what = "empty date" if pd.isna(cell) else f"cannot read date {cell!r}"
        raise DataError(path, what, "Write every date alike, as in 2016-07-01 00:00:00.", _line(text, bad[0]))
    steps = np.diff(dates.asi8)
    back = np.flatnonzero(steps < 0)
    if len(back):
        what = f"date {column.iloc[back[0] + 1]} comes after {column.iloc[back[0]]}"
        raise DataError(path, what, "Sort the rows by date.", _line(text, back[0] + 1))
    same = np.flatnonzero(steps == 0)
    if len(same) > max(1, len(steps) // 1000):  # the canonical weather file repeats one date
        what = f"date {column.iloc[same[0]]} repeats, as do {len(same)} in all"
        raise DataError(path, what, "Give each series a column of its own, one row a date.", _line(text, same[0] + 1))
    return dates


def _numbers(path: Path, text: str, table: pd.DataFrame) -> np.ndarray:
    if all(kind.kind in "iuf" for kind in table.dtypes):
        numbers = table.to_numpy(dtype=np.float64)
    else:  # a cell that is no number made its column text
        numbers = table.apply(pd.to_numeric, errors="coerce").to_numpy(dtype=np.float64)
    bad = np.argwhere(~np.isfinite(numbers))
    if len(bad):
        row, column = bad[0]
        cell = table.iloc[row, column]
        what = "empty or NaN" if pd.isna(cell) else f"{cell!r} is not a finite number"
        what = f"column `{table.columns[column]}`: {what} ({len(bad)} such cells)"
        raise DataError(path, what, _BAD_VALUE, _line(text, int(row)))
    return numbers


def infer_season(dates: pd.DatetimeIndex) -> int:
    """Steps of the dominant season, from the median distance of dates: a day, week or year, whichever is next."""
    step = float(np.median(np.diff(dates.asi8))) if len(dates) > 1 else 0.0
    scale = {"s": 1, "ms": 1e3, "us": 1e6, "ns": 1e9}[dates.unit]
    seconds = step / scale
    day = 86400.0
    for period in (day, 7 * day, 365.25 * day):
        if 0 < seconds <= period / 2:
            return round(period / seconds)
    return 1
