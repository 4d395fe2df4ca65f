"""Atomic files (RecBole): X.inter, who took what and when, and X.item, what is known of items.

The header names each column and its type, `item_id:token`, with tabs between: token (a word), token_seq (words, blanks
between), float, float_seq. MMRec's headers have no types, `userID itemID x_label`; its items are numbers, and arrays
with a row for each may lie beside the file. X.train.inter, X.valid.inter and X.test.inter are one set with its split.
Users' own data (X.user: age, gender, zip code) are never read.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd

from tsbench.errors import DataError
from tsbench.files import plain_or_gz
from tsbench.rec.arrays import RARE, Arrays, multi_hot, read_arrays
from tsbench.rec.files import distinct, parts_of, stem
from tsbench.rec.interactions import Catalogue, Interactions
from tsbench.rec.tables import LIKE, Table, gap, plain, read_table

USER = ("userid", "user", "uid", "sessionid")
ITEM = ("itemid", "item", "iid", "movieid", "artistid", "productid", "businessid", "venueid", "asin")
TIME = ("timestamp", "time", "unixtime", "ts")
DATED = ("date", "reviewtime", "unixreviewtime")  # the time only if their type is float
RATING = ("rating", "ratings", "stars")
SPLIT = ("xlabel", "split")
TITLE = ("title", "movietitle", "itemtitle", "itemname", "name")
CALLED = {"class": "genre", "genres": "genre", "categories": "category", "releaseyear": "year"}  # column -> modality
YEAR = re.compile(r"[0-9]{4}")


def read_inter(path: Path, arrays: Sequence[Path] = (), ordered: bool = False) -> Interactions:
    """Interactions of X.inter and all items of X.item; of repeated ones the first is kept.

    Args:
        path: X.inter, or X.train.inter; X.item may lie beside it.
        arrays: with a row for each item, for files that call items 0, 1, ...
        ordered: lines are in the order of time, although no column tells the time.

    Raises:
        DataError: naming file, line or column.
    """
    tables = [read_table(part) for part in parts_of(path)]
    beside = plain_or_gz(path.with_name(f"{stem(path)}.item"))
    known = read_table(beside) if beside else None
    columns = columns_of(tables[0], known)
    for table in tables:
        if table.types != tables[0].types:
            what = f"its columns are not those of {tables[0].path.name}, {', '.join(tables[0].columns)}"
            raise DataError(table.path, what, "Give all parts the same header.", 1)
        if not len(table):
            raise DataError(table.path, "has no interaction", "Below the header, a line is one interaction.", 2)
    user, users = pd.factorize(_joined(tables, Table.words, columns["user"]))
    taken = _joined(tables, Table.words, columns["item"])
    catalogue, item, notes = _catalogue(taken, known, read_arrays(arrays, stem(path)), path)
    time, rating = (_joined(tables, _numbers, columns[k]) if k in columns else None for k in ("time", "rating"))
    split = _joined(tables, _labels, columns["split"]) if "split" in columns else None
    if len(tables) > 1:
        split = np.arange(3).repeat([*map(len, tables)])
    ordered = ordered or time is not None
    notes = (*_notes_of(tables[0], columns), *notes)
    log = Interactions(user, item, time, split, tuple(users), catalogue, ordered, notes, rating)
    return distinct(log) if time is not None or not ordered else log


def columns_in(path: Path) -> dict[str, str]:
    """Which columns the header of X.inter has, see columns_of; of a set in three files the split is their names."""
    beside = plain_or_gz(path.with_name(f"{stem(path)}.item"))
    table, *known = [read_table(p, header=True) for p in (path, beside) if p]
    found = columns_of(table, known[0] if known else None)
    return found | ({"split": "file"} if len(parts_of(path)) > 1 else {})


def columns_of(table: Table, known: Table | None = None) -> dict[str, str]:
    """Which column is which: user, item and, if they are there, time, rating and split."""
    if lists := [name for name in table.columns if plain(name).endswith("idlist")]:
        what = f"column `{lists[0]}`: its lines are histories, and repeat interactions"
        raise DataError(table.path, what, "Use the file that has a line for each interaction.", 1)
    own = [plain(name) for name in known.columns][:1] if known else []
    dates = [plain(n) for n, kind in table.types.items() if plain(n) in DATED and kind == "float"]
    ids = [plain(n) for n, kind in table.types.items() if n.lower().endswith("_id") and kind == "token"]
    own += others if len(others := [name for name in ids if name not in USER]) == 1 else []
    kinds = {"user": USER, "item": (*ITEM, *own), "time": (*TIME, *dates), "rating": RATING, "split": SPLIT}
    found = {kind: name for kind, names in kinds.items() if (name := table.find(*names))}
    if absent := [kind for kind in ("user", "item") if kind not in found]:
        what = f"no column tells the {absent[0]}; there are {', '.join(table.columns)}"
        raise DataError(table.path, what, f"Call it {absent[0]}_id. {LIKE}", 1)
    return found


def _joined(tables: Sequence[Table], read: Callable[[Table, str], np.ndarray], column: str) -> np.ndarray:
    """A column of all tables, one after another."""
    return np.concatenate([read(table, column) for table in tables])


def _notes_of(table: Table, columns: dict[str, str]) -> Iterator[str]:
    """Which columns are not read, and what items are if a name had to be guessed."""
    if plain(columns["item"]) not in ITEM:
        yield f"- items are those of column {columns['item']}"
    if unread := [name for name in table.columns if name not in columns.values()]:
        timed = "time" in columns
        rest = "" if timed else "; if one is the time, call it timestamp:float, else histories have no times"
        yield f"{'- ' if timed else ''}columns of interactions that are not read: {', '.join(unread)}{rest}"


def _numbers(table: Table, column: str) -> np.ndarray:
    return table.numbers(column)[:, 0]


def _labels(table: Table, column: str) -> np.ndarray:
    values = _numbers(table, column)
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
    notes = [*arrays.notes]
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
    counted, left, notes, gappy = [], [], [], []
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
            gappy += [column] if any(cell and gap(cell) for cell in known.columns[column]) else []
        elif words := _words(known.columns[column], kind):
            found[name], rare = multi_hot(*words, len(known))
            notes += [RARE.format(name, rare)] if rare else []
        else:
            left.append(column)
    if left:
        notes.append(f"of items, {', '.join(left)} left out: text, or words that hardly two of them share")
    if gappy:
        notes.append(f"of items, {', '.join(gappy)}: nan, null and the like are taken for the mean, as blanks are")
    if counted:
        notes.append(f"of items, {', '.join(counted)}: if counted from interactions, those of the test are among them")
    return found, notes


def _words(cells: list[str], kind: str) -> tuple[np.ndarray, np.ndarray] | None:
    """Item and word of all pairs; None if it is text (over 20 words an item), or if items hardly share words."""
    lists = [[cell] if cell else [] for cell in cells]
    if kind == "token_seq":
        mark = next((mark for mark in (", ", "|") if any(mark in cell for cell in cells)), " ")
        lists = [[word for part in cell.split(mark) if (word := part.strip(" []'\""))] for cell in cells]
    words = np.array([word for some in lists for word in some], object)  # str would give all the room of the longest
    number, known = pd.factorize(words, sort=True)
    if not 2 * len(known) <= len(words) <= 20 * len(cells) or not len(words):
        return None
    return np.arange(len(cells)).repeat([*map(len, lists)]), number


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
