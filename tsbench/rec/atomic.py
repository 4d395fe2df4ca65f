"""Atomic files (RecBole): X.inter, who took what and when, and X.item, what is known of items.

The header names each column and its type, `item_id:token`, with tabs between: token (a word), token_seq (words, blanks
between), float, float_seq. MMRec's headers have no types, `userID itemID x_label`; its items are numbers, and arrays
with a row for each may lie beside the file. Users' own data (X.user: age, gender, zip code) are never read.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pandas as pd

from tsbench.errors import DataError
from tsbench.files import plain_or_gz, read_text
from tsbench.rec.arrays import RARE, Arrays, multi_hot, read_arrays
from tsbench.rec.files import distinct, stem
from tsbench.rec.interactions import Catalogue, Interactions

TYPES = ("token", "token_seq", "float", "float_seq")
USER = ("userid", "user", "uid", "sessionid")
ITEM = ("itemid", "item", "iid", "movieid", "artistid", "productid", "businessid", "venueid", "asin")
TIME = ("timestamp", "time", "unixtime", "ts")
RATING = ("rating", "ratings", "stars")
SPLIT = ("xlabel", "split")
TITLE = ("title", "movietitle", "itemtitle", "itemname", "name")
CALLED = {"class": "genre", "genres": "genre", "categories": "category", "releaseyear": "year"}  # column -> modality
YEAR = re.compile(r"[0-9]{4}")
LIKE = "The first line is like `user_id:token<tab>item_id:token<tab>timestamp:float`."


@dataclass(frozen=True)
class Table:
    """Columns of a file by name, as text, and their types, "" if the header has none."""

    path: Path
    columns: dict[str, list[str]]
    types: dict[str, str]

    def __len__(self) -> int:
        return len(next(iter(self.columns.values())))

    def find(self, *names: str) -> str | None:
        """The first of some columns, called by plain names, that is there."""
        there = {plain(name): name for name in self.columns}
        return next((there[name] for name in names if name in there), None)

    def words(self, name: str) -> np.ndarray:
        """A column of words, none empty, as objects."""
        cells = self.columns[name]
        if "" in cells:
            what = f"column `{name}` is empty"
            raise DataError(self.path, what, "Fill it, or leave the line out.", cells.index("") + 2)
        return np.array(cells, object)

    def numbers(self, name: str, gaps: bool = False, seq: bool = False) -> np.ndarray:
        """A column of finite numbers, `(line, width)` float64; where empty NaN if there may be `gaps`.

        `seq`: cells hold several, blanks between, all equally many.
        """
        cells, width = self.columns[name], 1
        if seq:
            rows = [cell.split() for cell in cells]
            width = max(1, *map(len, rows))
            for line, row in enumerate(rows, 2):
                if len(row) not in (width, 0):
                    what = f"column `{name}` has {len(row)} numbers, elsewhere {width}"
                    raise DataError(self.path, what, "Give all lines equally many.", line)
            cells = [cell for row in rows for cell in row or [""] * width]
        values = pd.to_numeric(pd.Series(cells, dtype=object), errors="coerce").to_numpy(np.float64)
        for i in np.flatnonzero(~np.isfinite(values)):
            if not (gaps and not cells[i].strip()):
                what = f"column `{name}`: {cells[i][:60]!r} is not a finite number"
                raise DataError(self.path, what, "Correct it, or leave the line out.", int(i) // width + 2)
        return values.reshape(-1, width)


def plain(name: str) -> str:
    """A name without case, blanks and `_`: some write user_id, others userID."""
    return re.sub(r"[\s_]", "", name).lower()


def read_table(path: Path, text: str | None = None) -> Table:
    """A file, or its first line if `text` is that.

    Raises:
        DataError: naming file, line and column.
    """
    text = (read_text(path) if text is None else text).rstrip("\n")
    header = text.split("\n", 1)[0].split("\t")
    names = [(name.rpartition(":")[0] or name).strip() for name in header]
    types = [name.rpartition(":")[2] if ":" in name else "" for name in header]
    if len(header) < 2:
        mark = next((f", but {mark!r} is" for mark in ",; " if mark in header[0]), "")
        raise DataError(path, f"no tab is in its first line{mark}", f"Columns are separated by tabs. {LIKE}", 1)
    if wrong := [n for n, t in zip(header, types, strict=True) if t not in TYPES and (t or any(types))]:
        raise DataError(path, f"column {wrong[0][:60]!r} has no known type", f"Types are {', '.join(TYPES)}. {LIKE}", 1)
    if len(set(map(plain, names))) < len(names) or "" in map(plain, names):
        raise DataError(path, f"columns {', '.join(names)}: one has no name, or that of another", "Rename it.", 1)
    letters = np.frombuffer(text.encode(), np.uint8)
    ends = np.concatenate([np.flatnonzero(letters == ord("\n")), [len(letters)]])
    tabs = np.diff(np.searchsorted(np.flatnonzero(letters == ord("\t")), ends), prepend=0)
    if (wrong_count := tabs != tabs[0]).any():
        line = int(wrong_count.argmax())
        what = f"has {tabs[line] + 1} columns, the header {len(header)}"
        raise DataError(path, what, "Give it a cell for each column, with tabs between.", line + 1)
    cells = text.replace("\n", "\t").split("\t")[len(header) :]
    columns = {name: cells[i :: len(header)] for i, name in enumerate(names)}
    return Table(path, columns, dict(zip(names, types, strict=True)))


def read_inter(path: Path, arrays: Sequence[Path] = (), ordered: bool = False) -> Interactions:
    """Interactions of X.inter and all items of X.item; of repeated ones the first is kept.

    Args:
        path: X.inter; X.item may lie beside it.
        arrays: with a row for each item, for files that call items 0, 1, ...
        ordered: lines are in the order of time, although no column tells the time.

    Raises:
        DataError: naming file, line or column.
    """
    table = read_table(path)
    beside = plain_or_gz(path.with_name(f"{stem(path)}.item"))
    known = read_table(beside) if beside else None
    columns = columns_of(table, known)
    if not len(table):
        raise DataError(path, "has no interaction", "Below the header, a line is one interaction.", 2)
    user, users = pd.factorize(table.words(columns["user"]))
    catalogue, item, notes = _catalogue(table.words(columns["item"]), known, read_arrays(arrays, stem(path)), path)
    time = table.numbers(columns["time"])[:, 0] if "time" in columns else None
    rating = table.numbers(columns["rating"])[:, 0] if "rating" in columns else None
    split = _labels(table, columns["split"]) if "split" in columns else None
    ordered = ordered or time is not None
    log = Interactions(user, item, time, split, tuple(users), catalogue, ordered, notes, rating)
    return distinct(log) if time is not None or not ordered else log


def columns_in(path: Path) -> dict[str, str]:
    """Which columns the header of X.inter has, see columns_of."""
    beside = plain_or_gz(path.with_name(f"{stem(path)}.item"))
    table, *known = [read_table(p, read_text(p).split("\n", 1)[0]) for p in (path, beside) if p]
    return columns_of(table, known[0] if known else None)


def columns_of(table: Table, known: Table | None = None) -> dict[str, str]:
    """Which column is which: user, item and, if they are there, time, rating and split."""
    if lists := [name for name in table.columns if plain(name).endswith("idlist")]:
        what = f"column `{lists[0]}`: its lines are histories, and repeat interactions"
        raise DataError(table.path, what, "Use the file that has a line for each interaction.", 1)
    own = [plain(name) for name in known.columns][:1] if known else []
    kinds = {"user": USER, "item": (*ITEM, *own), "time": TIME, "rating": RATING, "split": SPLIT}
    found = {kind: name for kind, names in kinds.items() if (name := table.find(*names))}
    if absent := [kind for kind in ("user", "item") if kind not in found]:
        what = f"no column tells the {absent[0]}; there are {', '.join(table.columns)}"
        raise DataError(table.path, what, f"Call it {absent[0]}_id. {LIKE}", 1)
    return found


def _labels(table: Table, column: str) -> np.ndarray:
    values = table.numbers(column)[:, 0]
    if (wrong := ~np.isin(values, (0, 1, 2))).any():
        what = f"column `{column}`: {values[wrong][0]:g} is no split"
        remedy = "Write 0 for training, 1 for validation, 2 for test."
        raise DataError(table.path, what, remedy, int(wrong.argmax()) + 2)
    return values.astype(np.int64)


# ---------------------------------------------------------------- items


def _catalogue(
    item: np.ndarray, known: Table | None, arrays: Arrays, path: Path
) -> tuple[Catalogue, np.ndarray, tuple[str, ...]]:
    """The items of all files, the number of each interaction's item, and notes."""
    listed, column = np.empty(0, object), ""
    if known:
        column = known.find(*ITEM) or next(iter(known.columns))
        listed = known.words(column)
        if len(pd.unique(listed)) < len(listed):
            row = int(pd.Series(listed).duplicated().argmax())
            raise DataError(known.path, f"item {listed[row][:60]!r} is there twice", "Leave one line out.", row + 2)
    number, names = pd.factorize(np.concatenate([listed, item, np.array([*map(str, range(arrays.rows))], object)]))
    features: dict[str, np.ndarray] = {}
    codes: dict[str, np.ndarray] = {}
    if arrays.rows:
        if strange := [name for name in names if not re.fullmatch(r"[0-9]{1,18}", name)]:
            file = next(iter(arrays.files.values())).name
            what = f"item {strange[0][:60]!r} is no number, so that it has no row in {file}"
            raise DataError(path, what, "Call items 0, 1, ... as rows are, or take the array out of this folder.")
        features, codes = arrays.take(np.array([*map(int, names)], np.int64))
    titles: tuple[str, ...] = ()
    notes: list[str] = []
    if known:
        own, said = _modalities(known, column)
        rest = len(names) - len(known)
        features |= {name: np.concatenate([x, np.zeros((rest, x.shape[1]), np.float32)]) for name, x in own.items()}
        told = _said(known)
        titles = tuple(title or name for title, name in zip([*told, *[""] * rest], names, strict=True)) if told else ()
        notes += said
        if rest:
            notes.append(f"{rest:,} of {len(names):,} items are not in {known.path.name}; what it tells is 0 for them")
    return Catalogue(tuple(names), titles, features, codes), number[len(listed) :][: len(item)], tuple(notes)


def _said(known: Table) -> list[str]:
    """Titles, with the year if there is one; empty if no column has them."""
    title = known.find(*TITLE) or next((name for name in known.columns if plain(name).endswith("title")), None)
    if title is None:
        return []
    year = known.find("releaseyear", "year")
    years = known.columns[year] if year else [""] * len(known)
    pairs = zip(known.columns[title], years, strict=True)
    return [f"{t} ({y})" if t and YEAR.fullmatch(y) and y not in t else t for t, y in pairs]


def _modalities(known: Table, item: str) -> tuple[dict[str, np.ndarray], list[str]]:
    """What the columns tell, `(item, width)` each: words that several items share, and numbers; and notes."""
    found: dict[str, np.ndarray] = {}
    counted, left, notes = [], [], []
    for column, kind in known.types.items():
        name = CALLED.get(plain(column), column)
        if column == item or plain(column) in TITLE or plain(column).endswith("title"):
            continue
        if name == "year":
            years = [cell if YEAR.fullmatch(cell) else "" for cell in known.columns[column]]
            found[name] = _scaled(replace(known, columns={column: years}), column)
        elif kind in ("float", "float_seq"):
            found[name] = _scaled(known, column, kind == "float_seq")
            counted.append(column)
        elif words := _words(known.columns[column], kind):
            found[name], rare = multi_hot(*words, len(known))
            notes += [RARE.format(name, rare)] if rare else []
        else:
            left.append(column)
    if left:
        notes.append(f"of items, {', '.join(left)} left out: text, or words that hardly two of them share")
    if counted:
        notes.append(f"of items, {', '.join(counted)}: if counted from interactions, those of the test are among them")
    return found, notes


def _words(cells: list[str], kind: str) -> tuple[np.ndarray, np.ndarray] | None:
    """Item and word of all pairs; None if it is text (over 20 words an item), or if items hardly share words."""
    lists = [[cell] if cell else [] for cell in cells]
    if kind == "token_seq":
        mark = next((mark for mark in (", ", "|") if any(mark in cell for cell in cells)), " ")
        lists = [[word for part in cell.split(mark) if (word := part.strip(" []'\""))] for cell in cells]
    words = np.array([word for some in lists for word in some], str)
    if not 2 * len(np.unique(words)) <= len(words) <= 20 * len(cells) or not len(words):
        return None
    return np.arange(len(cells)).repeat([*map(len, lists)]), words


def _scaled(known: Table, column: str, seq: bool = False) -> np.ndarray:
    """Numbers with mean 0 and deviation 1 over all items, `(item, width)` float32; 0 where there is none."""
    x = known.numbers(column, gaps=True, seq=seq)
    there = np.isfinite(x)
    with np.errstate(over="ignore", invalid="ignore"):
        x = np.where(there, x - x.sum(0, where=there) / there.sum(0).clip(1), 0)
        scale = np.sqrt((x * x).sum(0) / there.sum(0).clip(1))
        x = (x / np.where(scale > 0, scale, 1)).astype(np.float32)
    if not (np.isfinite(x).all() and np.isfinite(scale).all()):
        raise DataError(known.path, f"column `{column}`: its numbers are too large to be scaled", "Write smaller ones.")
    return x
