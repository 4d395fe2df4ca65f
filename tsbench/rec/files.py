"""Readers of files that call users and items by whole numbers; every fault is a DataError with file, line or field.

X.txt                              a line is a user and items, oldest first (S3-Rec, SASRec)
X.inter.json, X.index*.json        items of each user, Rec-IDs of each item (LC-Rec, LETTER, MQL4GRec)
train_pairs.npy, valid_..., test_  users and items, split (MMSSL, DiffMM)

Arrays with a row for each item may lie beside them (see tsbench.rec.arrays). X.inter is read by tsbench.rec.atomic.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from tsbench.errors import DataError, MissingData
from tsbench.files import plain_or_gz, read_json, read_npy, read_text
from tsbench.rec.arrays import HIGHEST, RARE, TOO_HIGH, multi_hot, read_arrays
from tsbench.rec.interactions import Catalogue, Interactions

LINE = "A line is a user and items, whole numbers from 0 on with blanks between: `1 5 2 8`."
NUMBERED = re.compile(r"[0-9]{1,18}")
THIRD = re.compile(r"(^|\.)(train|valid|test)(_pairs\.npy|\.inter)$")
TOKEN = re.compile(r"<[A-Za-z]_([0-9]{1,9})>")


def stem(path: Path) -> str:
    """Name of a file, or of a set in three, up to the suffix that tells its format."""
    return re.sub(r"(\.(train|valid|test)(?=\.inter(\.gz)?$))?\.(inter|txt)(\.json)?(\.gz)?$", "", path.name)


def parts_of(path: Path) -> list[Path]:
    """Training, validation and test of a set in three files, of which `path` is one; else the file alone.

    Raises:
        MissingData: one of the three is absent.
    """
    name = path.name.removesuffix(".gz")
    if not THIRD.search(name):
        return [path]
    names = [THIRD.sub(rf"\1{part}\3", name) for part in ("train", "valid", "test")]
    files = [plain_or_gz(path.with_name(name)) for name in names]
    if None in files:
        what = f"{path.with_name(names[files.index(None)])} is not there"
        raise MissingData(f"{what}. Such a set is {', '.join(names)}; give a file that is no part of one another name.")
    return [file for file in files if file]


def read_sequences(path: Path, arrays: Sequence[Path] = ()) -> Interactions:
    """Lines of a user and items, oldest first; a user has one line (S3-Rec), or several, which are joined (SASRec).

    Items are numbered from 1, or from 0 if any file has an item 0. `X_item2attributes.json`, item -> attributes,
    becomes the modality `attributes`; `item2asin.tsv` or `X.item2id` name the items.

    Raises:
        DataError: naming file, line or field.
    """
    user, item = _lines(path)
    given = plain_or_gz(path.with_name(f"{stem(path)}_item2attributes.json"))
    attributes = _attributes(given) if given else np.empty((2, 0), np.int64)
    named = _numbered(path)
    beside = read_arrays(arrays, stem(path))
    told = _union(item, attributes[0], [*named])
    base = min(1, int(told[0]))  # 0 may be in no line, but named (a padding)
    numbers = _union(told, np.arange(base, base + beside.rows))
    features, codes = beside.take(numbers - base)
    hot, rare = multi_hot(np.searchsorted(numbers, attributes[0]), attributes[1], len(numbers))
    if hot.size:
        features["attributes"] = hot
    notes = (*beside.notes, *([RARE.format("attributes", rare)] if rare else []))
    catalogue = Catalogue(_names(path, named, numbers), (), features, codes)
    return _made(user, item, numbers, catalogue, notes)


def _lines(path: Path) -> tuple[np.ndarray, np.ndarray]:
    """User and item of all interactions, as the lines have them."""
    text = read_text(path).rstrip()
    if not text:
        raise DataError(path, "is empty", LINE)
    if wrong := re.search(r"[^0-9 \t\n]|[0-9]{19}", text):
        what = f"{wrong[0][:1]!r} is no part of a whole number, or of one too long"
        raise DataError(path, what, LINE, text.count("\n", 0, wrong.start()) + 1)
    letters = np.frombuffer(text.encode(), np.uint8)
    blank = letters <= ord(" ")
    starts = ~blank & np.concatenate([[True], blank[:-1]])
    counts = np.bincount(np.cumsum(letters == ord("\n"))[starts])  # numbers of each line
    if (short := counts < 2).any():
        what = "is blank" if counts[short][0] == 0 else "has a user and no item"
        raise DataError(path, what, "Leave the line out.", int(short.argmax()) + 1)
    values = np.fromstring(text, np.int64, sep=" ")
    first = counts.cumsum() - counts
    return values[first].repeat(counts - 1), np.delete(values, first)


def _attributes(path: Path) -> np.ndarray:
    """Item and attribute of all pairs, `(2, pair)`."""
    return np.array([(int(k), word) for k, words in _by_number(path, int) for word in words], np.int64).reshape(-1, 2).T


def _numbered(path: Path) -> dict[int, str]:
    """Names of items by number, from a table of names and numbers beside a file; empty if there is none."""
    table = _table(path)
    names: dict[int, str] = {}
    for line, row in enumerate(read_text(table).rstrip().split("\n") if table else [], 1):
        name, _, number = row.partition("\t")
        if table and not (name and NUMBERED.fullmatch(number) and int(number) not in names):
            remedy = "A line is an item's name, a tab and its number, and no number is there twice."
            raise DataError(table, f"cannot read {row[:60]!r}", remedy, line)
        names[int(number)] = name
    if table and len(set(names.values())) < len(names):
        raise DataError(table, "has a name twice", "Give each item a name of its own.")
    return names


def _table(path: Path) -> Path | None:
    return plain_or_gz(path.with_name("item2asin.tsv")) or plain_or_gz(path.with_name(f"{stem(path)}.item2id"))


def _names(path: Path, named: Mapping[int, str], numbers: np.ndarray) -> tuple[str, ...]:
    """Names of the items with these numbers; where nothing names them, the numbers."""
    if not named:
        return tuple(map(str, numbers.tolist()))
    if absent := [number for number in numbers.tolist() if number not in named]:
        raise DataError(_table(path) or path, f"has no name of item {absent[0]}", "Add it.")
    return tuple(named[number] for number in numbers.tolist())


def read_index(path: Path, arrays: Sequence[Path] = ()) -> Interactions:
    """`X.inter.json`: user -> items, oldest first, numbered from 0.

    `X.index.json`, `X.index_image.json` ...: item -> tokens `<a_12>`, are Rec-IDs `index`, `image` ...; `title`s come
    from `X.item.json`, names from `X.item2id`.

    Raises:
        DataError: naming file and field.
    """
    histories = _by_number(path, int)
    if not any(items for _, items in histories):
        raise DataError(path, "has no interaction", "It is {user: [items, oldest first], ...}.")
    user = np.array([int(name) for name, _ in histories], np.int64).repeat([len(items) for _, items in histories])
    item = np.array([number for _, items in histories for number in items], np.int64)
    beside = read_arrays(arrays, stem(path))
    named, titles = _numbered(path), _titles(path.with_name(f"{stem(path)}.item.json"))
    pattern = re.compile(re.escape(stem(path)) + r"\.index_?(.*)\.json(\.gz)?")
    tables = {table: _tokens(table) for table in sorted(path.parent.iterdir()) if pattern.fullmatch(table.name)}
    further = [number for table in tables.values() for number in table]
    numbers = _union(item, [*named], [*titles], further, np.arange(beside.rows))
    features, codes = beside.take(numbers)
    for table, tokens in tables.items():
        if absent := [n for n in numbers.tolist() if n not in tokens]:
            raise DataError(table, f"has no item {absent[0]}", "Each item needs its tokens.")
        name = pattern.sub(r"\1", table.name) or "index"
        codes[name] = np.array([tokens[n] for n in numbers.tolist()], np.int64)
    names = _names(path, named, numbers)
    said = tuple(titles.get(n, name) for n, name in zip(numbers.tolist(), names, strict=True)) if titles else ()
    return _made(user, item, numbers, Catalogue(names, said, features, codes), beside.notes)


def _tokens(path: Path) -> dict[int, list[int]]:
    """Codes of each item; all have the same count, one at least."""
    found: dict[int, list[int]] = {}
    for key, words in _by_number(path, str):
        codes = [TOKEN.fullmatch(word) for word in words]
        if None in codes:
            raise DataError(path, f"item {key}: a token is not like <a_12>: {str(words)[:60]}", "Correct it.")
        found[int(key)] = [int(code[1]) for code in codes if code]
        if (highest := max(found[int(key)], default=0)) > HIGHEST:
            raise DataError(path, f"item {key} has the code {highest:,}", TOO_HIGH)
        if len(words) != len(next(iter(found.values()))) or not words:
            what = f"item {key} has {len(words)} tokens, the first item {len(next(iter(found.values())))}"
            raise DataError(path, what, "Give all items equally many.")
    return found


def _titles(path: Path) -> dict[int, str]:
    """Titles of items by number; empty without the file."""
    found = plain_or_gz(path)
    content = _object(found) if found else {}
    titles = {}
    for key, record in content.items():
        if not isinstance(record, Mapping) or not isinstance(record.get("title", ""), str):
            raise DataError(path, f"item {key}: {str(record)[:60]} has no `title` that is text", "Correct it.")
        if title := " ".join(record.get("title", "").split()):
            titles[int(key)] = title
    return titles


def read_pairs(path: Path, arrays: Sequence[Path] = ()) -> Interactions:
    """`train_pairs.npy`, `valid_pairs.npy`, `test_pairs.npy`; `path` is the first: rows of user and item, from 0 on.

    Raises:
        MissingData: one is absent.
        DataError: naming the file.
    """
    parts = []
    for file in parts_of(path):
        part = read_npy(file, (-1, 2))
        if part.dtype.kind not in "iu" or part.min(initial=0) < 0 or part.max(initial=0) > 2**62:
            raise DataError(file, f"has values that are no whole numbers from 0 on ({part.dtype})", "Correct them.")
        parts.append(part.astype(np.int64))
    if not len(parts[0]):
        raise DataError(path, "is empty", "Training needs users and items.")
    beside = read_arrays(arrays)
    user, item = np.concatenate(parts).T
    numbers = _union(item, np.arange(beside.rows))
    catalogue = Catalogue(tuple(map(str, numbers.tolist())), (), *beside.take(numbers))
    log = _made(user, item, numbers, catalogue, beside.notes)
    return distinct(replace(log, split=np.arange(3).repeat([len(part) for part in parts]), ordered=False))


# ---------------------------------------------------------------- what they share


def distinct(log: Interactions) -> Interactions:
    """Without repetitions of user, item and time, with a note; of those in several splits the earliest stays."""
    nothing = np.zeros(len(log))
    time, split = (nothing if x is None else x for x in (log.time, log.split))
    order = np.lexsort([split, time, log.item, log.user])
    same = [x[order][1:] == x[order][:-1] for x in (log.user, log.item, time)]
    repeated = np.zeros(len(log), bool)
    repeated[order[1:]] = np.logical_and.reduce(same)
    if not repeated.any():
        return log
    what = "user and item" if log.time is None else "user, item and time"
    note = f"{repeated.sum():,} of {len(log):,} interactions left out: their {what} are those of another"
    return replace(log.select(~repeated), notes=(*log.notes, note))


def _union(*numbers: Sequence[int] | np.ndarray) -> np.ndarray:
    """All numbers, ascending, once each."""
    return np.unique(np.concatenate([np.asarray(some, np.int64) for some in numbers]))


def _made(
    user: np.ndarray, item: np.ndarray, numbers: np.ndarray, catalogue: Catalogue, notes: tuple[str, ...] = ()
) -> Interactions:
    """Ordered interactions; `numbers` are the items of the catalogue as the files call them, ascending."""
    users, who = np.unique(user, return_inverse=True)
    names = tuple(map(str, users.tolist()))
    return Interactions(who, np.searchsorted(numbers, item), None, None, names, catalogue, True, notes)


def _object(path: Path) -> dict[str, Any]:
    """A JSON object whose keys are whole numbers."""
    content = read_json(path)
    if not isinstance(content, dict):
        raise DataError(path, f"is no JSON object, but {str(content)[:60]}", "It is {number: ...}.")
    for key in content:
        if not NUMBERED.fullmatch(key) or str(int(key)) != key:
            raise DataError(path, f"field {key[:60]!r} is no whole number from 0 on", "Number users and items.")
    return content


def _by_number(path: Path, kind: type[int] | type[str]) -> list[tuple[str, list[Any]]]:
    """Fields of a JSON object: number -> list of whole numbers, or of texts."""
    content = _object(path)
    words = "whole numbers from 0 on" if kind is int else "texts"
    for key, values in content.items():
        fits = type(values) is list and all(type(x) is kind for x in values)
        if not fits or (kind is int and values and not 0 <= min(values) <= max(values) < 2**62):
            raise DataError(path, f"field {key!r} is no list of {words}: {str(values)[:60]}", "Correct it.")
    return list(content.items())
