"""Files of interactions: real ones against the counts of their provenance, small ones read as written, faults told."""

from __future__ import annotations

import gzip
import json
import pickle
import random
import tracemalloc
from collections.abc import Callable
from dataclasses import fields
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.conftest import SHARED
from tsbench.datasets.rec import FAMILY, Rec
from tsbench.datasets.rec_user import UserInteractions, open_path
from tsbench.errors import DataError, MissingData, TsbenchError, UsageError
from tsbench.rec import arrays as beside
from tsbench.rec import tables
from tsbench.rec.atomic import columns_in, read_inter
from tsbench.rec.files import read_index, read_pairs, read_sequences
from tsbench.rec.interactions import Interactions
from tsbench.rec.samples import HistorySamples
from tsbench.rec.splits import Rules
from tsbench.registry import all_datasets, find_datasets

INTER = "user_id:token\titem_id:token\trating:float\ttimestamp:float\n"
ROWS = "ann\tb\t5\t30\nann\ta\t3\t10\nbob\ta\t4\t20\n"
ITEMS = "item_id:token\tmovie_title:token_seq\trelease_year:token\tclass:token_seq\tprice:float\tplace:float_seq\n"
FILMS = "a\tToy Story\t1995\tComedy Drama\t2\t0 1\nb\tGoldenEye (1995)\t1995\tDrama\t4\t1 1\nc\t\tV\tComedy\t\t\n"

# users, items, interactions, width of each modality, levels of each Rec-ID: shared/data/rec/*/PROVENANCE.md, rec.md
COUNTS: dict[str, tuple[int, int, int, dict[str, int], dict[str, int]]] = {
    "movielens-100k": (943, 1682, 100_000, {"year": 1, "genre": 19}, {}),
    "amazon-beauty": (22_363, 12_101, 198_502, {"attributes": 637}, {"letter": 4}),
    "amazon-toys": (19_412, 11_924, 167_597, {"attributes": 1027}, {}),
    "amazon-instruments": (17_112, 6250, 136_226, {}, {"text": 4, "image": 4}),
    "lastfm-2k": (1858, 1425, 56_345, {"text": 384, "audio": 128}, {}),
    "tiktok": (9308, 6710, 68_722, {"image": 128, "audio": 128}, {}),
}


def named(name: str) -> Rec:
    dataset = all_datasets()[f"{FAMILY}/{name}"]
    assert isinstance(dataset, Rec)
    return dataset


def real(name: str) -> Interactions:
    """A set as it is on disk; the test is skipped where it is not."""
    try:
        return named(name).read(SHARED)
    except MissingData as error:
        pytest.skip(f"no real data: {error}")


@pytest.mark.parametrize("name", COUNTS)
def test_real_files_have_the_counts_of_their_provenance(name: str) -> None:
    log = real(name)
    catalogue = log.catalogue
    widths = {key: x.shape[1] for key, x in catalogue.features.items()}
    levels = {key: x.shape[1] for key, x in catalogue.codes.items()}
    assert (len(log.users), len(catalogue), len(log), widths, levels) == COUNTS[name]
    assert all(len(x) == len(catalogue) for x in (*catalogue.features.values(), *catalogue.codes.values()))
    assert not any("left out" in note for note in log.notes)


def test_movielens_is_as_its_files_say() -> None:
    log = real("movielens-100k")
    assert log.time is not None
    assert log.rating is not None
    assert (log.time.max() - log.time.min()) // 86_400 == 214  # its provenance says 215 days
    sizes = np.bincount(log.user)
    assert [sizes.min(), np.median(sizes), sizes.max()] == [20, 65, 737]
    assert sorted(set(log.rating)) == [1, 2, 3, 4, 5]
    last = np.array([(log.time[log.user == u] == log.time[log.user == u].max()).sum() for u in range(943)])
    assert (last > 1).sum() == 415
    first = log.catalogue.names.index("1")
    assert log.catalogue.titles[first] == "Toy Story (1995)"
    assert log.catalogue.features["genre"][first].sum() == 3  # Animation, Children's, Comedy
    assert not any("11" in x or "zip" in x for x in log.catalogue.features)


def test_splits_that_sources_give() -> None:
    log = real("lastfm-2k")
    assert log.split is not None
    assert np.bincount(log.split).tolist() == [44_327, 4799, 7219]
    assert not log.ordered
    log = real("tiktok")
    assert log.split is not None
    assert np.bincount(log.split).tolist() == [59_541, 3051, 6130]
    train = np.bincount(log.item[log.split == 0], minlength=6710)
    assert (train == 0).sum() == 465
    assert (train[log.item[log.split == 2]] == 0).sum() == 449
    assert len(set(log.user[log.split == 2]) - set(log.user[log.split == 0])) == 5


def test_ready_made_codes_belong_to_their_items() -> None:
    beauty, instruments = real("amazon-beauty"), real("amazon-instruments")
    codes = np.load(SHARED / "rec" / "AmazonBeauty" / "letter_codes.npy", allow_pickle=False)
    for number in (1, 2, 12_101):  # row r is item r + 1
        item = beauty.catalogue.names.index(str(number))
        assert beauty.catalogue.codes["letter"][item].tolist() == codes[number - 1].tolist()
    assert len(np.unique(beauty.catalogue.codes["letter"], axis=0)) == 12_088
    assert len(np.unique(instruments.catalogue.codes["text"], axis=0)) == 5988
    assert len(np.unique(instruments.catalogue.codes["image"], axis=0)) == 6250
    first = instruments.item[instruments.user == instruments.users.index("0")]
    asins = (SHARED / "rec" / "AmazonInstruments" / "item2asin.tsv").read_text().split("\n")
    assert [instruments.catalogue.names[i] for i in first] == [line.split("\t")[0] for line in asins[:8]]
    assert any("LETTER" in note for note in beauty.notes)


def test_real_sets_load_by_path_as_by_name() -> None:
    for name, folder in (("movielens-100k", "MovieLens100K"), ("tiktok", "TikTok"), ("lastfm-2k", "LastFM2K")):
        log = real(name)
        (dataset,) = find_datasets(str(SHARED / "rec" / folder))
        assert isinstance(dataset, Rec)
        assert next(iter(dataset.protocols)) == next(iter(named(name).protocols))
        assert dataset.bar == named(name).bar
        same(dataset.read(SHARED), log)


def same(a: Interactions, b: Interactions) -> None:
    """The same interactions and items."""
    for one, other in ((a.user, b.user), (a.item, b.item), (a.time, b.time), (a.split, b.split), (a.rating, b.rating)):
        assert (one is None) == (other is None)
        assert one is None or np.array_equal(one, np.asarray(other))
    assert (a.users, a.catalogue.names, a.catalogue.titles) == (b.users, b.catalogue.names, b.catalogue.titles)
    for mine, theirs in ((a.catalogue.features, b.catalogue.features), (a.catalogue.codes, b.catalogue.codes)):
        assert set(mine) == set(theirs)
        assert all(np.array_equal(mine[key], theirs[key]) for key in mine)


# ---------------------------------------------------------------- atomic files


def write(path: Path, text: str) -> Path:
    path.write_text(text, encoding="utf-8")
    return path


def taken(log: Interactions) -> list[tuple[str, str]]:
    """Names of users and items, in the order of the file."""
    pairs = zip(log.user.tolist(), log.item.tolist(), strict=True)
    return [(log.users[u], log.catalogue.names[i]) for u, i in pairs]


def films(folder: Path) -> Path:
    write(folder / "x.item", ITEMS + FILMS)
    return write(folder / "x.inter", INTER + ROWS)


def test_atomic_files_are_read_as_written(tmp_path: Path) -> None:
    log = read_inter(films(tmp_path))
    assert taken(log) == [("ann", "b"), ("ann", "a"), ("bob", "a")]
    assert log.time is not None
    assert log.rating is not None
    assert (log.time.tolist(), log.rating.tolist()) == ([30, 10, 20], [5, 3, 4])
    assert log.ordered
    assert log.split is None
    assert log.catalogue.names == ("a", "b", "c")
    assert log.catalogue.titles == ("Toy Story (1995)", "GoldenEye (1995)", "c")
    features = log.catalogue.features
    assert set(features) == {"year", "genre", "price", "place"}
    assert features["genre"].tolist() == [[1, 1], [0, 1], [1, 0]]  # Comedy, Drama
    assert features["price"].ravel().tolist() == [-1, 1, 0]  # an empty cell is the mean
    assert features["place"].tolist() == [[-1, 0], [1, 0], [0, 0]]
    assert any("price" in note and "test" in note for note in log.notes)


def test_columns_come_in_any_order_and_some_may_be_absent(tmp_path: Path) -> None:
    columns = [("timestamp:float", "3"), ("x:token", "?"), ("item_id:token", "a"), ("user_id:token", "ann")]
    random.Random(0).shuffle(columns)
    header, cells = ("\t".join(part) for part in zip(*columns, strict=True))
    log = read_inter(write(tmp_path / "x.inter", f"{header}\n{cells}\n"))
    assert taken(log) == [("ann", "a")]
    assert log.rating is None
    untimed = write(tmp_path / "y.inter", "user_id:token\titem_id:token\nann\tb\nann\ta\nann\tb\n")
    assert columns_in(untimed) == {"user": "user_id", "item": "item_id"}
    assert taken(read_inter(untimed)) == [("ann", "b"), ("ann", "a")]
    assert not read_inter(untimed).ordered
    assert taken(read_inter(untimed, ordered=True)) == [("ann", "b"), ("ann", "a"), ("ann", "b")]
    assert read_inter(untimed, ordered=True).ordered


def test_the_first_column_of_the_item_file_tells_what_items_are_called(tmp_path: Path) -> None:
    write(tmp_path / "x.item", "song_id:token\tname:token_seq\ns1\tHelp!\n")
    log = read_inter(write(tmp_path / "x.inter", "song_id:token\tuser_id:token\ns1\tann\ns2\tann\n"))
    assert log.catalogue.names == ("s1", "s2")
    assert log.catalogue.titles == ("Help!", "s2")
    assert any("1 of 2 items are not in x.item" in note for note in log.notes)


def test_bom_crlf_and_gz_do_not_matter(tmp_path: Path) -> None:
    plain = read_inter(films(tmp_path))
    (tmp_path / "other").mkdir()
    for name, text in (("x.inter", INTER + ROWS), ("x.item", ITEMS + FILMS)):
        content = b"\xef\xbb\xbf" + text.replace("\n", "\r\n").encode()
        (tmp_path / "other" / f"{name}.gz").write_bytes(gzip.compress(content))
    same(read_inter(tmp_path / "other" / "x.inter.gz"), plain)


def test_repeated_interactions_are_dropped_and_counted(tmp_path: Path) -> None:
    log = read_inter(write(tmp_path / "x.inter", INTER + ROWS + "ann\ta\t1\t10\nann\ta\t1\t11\n"))
    assert len(log) == 4  # one at another time stays
    assert log.rating is not None
    assert log.rating.tolist() == [5, 3, 4, 1]  # the first one stays
    assert any("1 of 5 interactions left out" in note for note in log.notes)


def test_mmrec_files_have_no_types_and_features_beside(tmp_path: Path) -> None:
    text = "userID\titemID\trating\ttimestamp\tx_label\n7\t2\t1\t5\t1\n7\t0\t1\t4\t0\n3\t2\t1\t6\t2\n"
    path = write(tmp_path / "baby.inter", text)
    image = np.arange(8, dtype=np.float64).reshape(4, 2)
    np.save(tmp_path / "image_feat.npy", image)
    np.save(tmp_path / "text_a.npy", image[:, :1].astype(np.float16))
    np.save(tmp_path / "text_b.npy", image[:, :1].astype(np.float16))
    log = read_inter(path, beside.arrays_beside(path))
    assert set(log.catalogue.names) == set("0123")  # those that nobody took as well
    for name, row in zip(log.catalogue.names, log.catalogue.features["image"].tolist(), strict=True):
        assert row == image[int(name)].tolist()
    assert set(log.catalogue.features) == {"image", "text", "text_b"}
    assert log.catalogue.features["image"].dtype == np.float32
    assert log.split is not None
    assert log.split.tolist() == [1, 0, 2]
    assert list(UserInteractions(path=path).protocols) == ["given", "leave-one-out", "temporal"]


def test_quoted_lists_and_text_of_items(tmp_path: Path) -> None:
    cells = "x\t'Beauty', 'Hair Care'\thttp://x\t0\n" + "y\t'Beauty', 'Hair Care'\thttp://y\t0\n"
    write(tmp_path / "x.item", "item_id:token\tcategories:token_seq\turl:token\tflat:float\n" + cells)
    log = read_inter(write(tmp_path / "x.inter", "user_id:token\titem_id:token\nann\tx\n"))
    assert log.catalogue.features["category"].tolist() == [[1, 1], [1, 1]]
    assert log.catalogue.features["flat"].tolist() == [[0], [0]]
    assert any("url left out" in note for note in log.notes)


def test_columns_that_are_not_read_are_told(tmp_path: Path) -> None:
    header = "user_id:token\titem_id:token\tplayed:float\trating:float\n"
    log = read_inter(write(tmp_path / "x.inter", header + ROWS))
    assert not log.ordered
    assert any("not read: played; if one is the time, call it timestamp:float" in note for note in log.notes)
    log = read_inter(write(tmp_path / "x.inter", header.replace("rating", "time") + ROWS))
    assert any(note.startswith("- ") and note.endswith("not read: played") for note in log.notes)
    assert read_inter(write(tmp_path / "x.inter", INTER + ROWS)).notes == ()


@pytest.mark.parametrize("name", ["date", "reviewTime", "unix_review_time"])
def test_dates_are_times_if_they_are_numbers(tmp_path: Path, name: str) -> None:
    log = read_inter(write(tmp_path / "x.inter", INTER.replace("timestamp", name) + ROWS))
    assert log.time is not None
    assert log.time.tolist() == [30, 10, 20]
    log = read_inter(write(tmp_path / "x.inter", INTER.replace("timestamp:float", f"{name}:token") + ROWS))
    assert log.time is None
    assert any(f"not read: {name};" in note for note in log.notes)


def test_items_may_be_called_by_another_id(tmp_path: Path) -> None:
    header = INTER.replace("item_id", "track_id").replace("rating:float", "session_id:token")
    log = read_inter(write(tmp_path / "x.inter", header + ROWS))
    assert taken(log) == [("ann", "b"), ("ann", "a"), ("bob", "a")]
    assert "- items are those of column track_id" in log.notes


def thirds(folder: Path) -> Path:
    """A set in three files."""
    write(folder / "x.item", ITEMS + FILMS)
    write(folder / "x.valid.inter", INTER + "ann\tc\t2\t40\n")
    write(folder / "x.test.inter", INTER + "ann\ta\t2\t50\nbob\tb\t2\t60\n")
    return write(folder / "x.train.inter", INTER + ROWS)


def test_a_set_in_three_files_is_one_with_its_split(tmp_path: Path) -> None:
    path = thirds(tmp_path)
    dataset = open_path(tmp_path)
    assert dataset == open_path(path) == open_path(path.with_name("x.test.inter")) == UserInteractions(path=path)
    assert dataset.name == "histories/x"
    assert list(dataset.protocols) == ["given", "leave-one-out", "temporal"]
    log = dataset.read(tmp_path)
    pairs = [("ann", "b"), ("ann", "a"), ("bob", "a"), ("ann", "c"), ("ann", "a"), ("bob", "b")]
    assert taken(log) == pairs
    assert log.split is not None
    assert log.time is not None
    assert log.split.tolist() == [0, 0, 0, 1, 2, 2]
    assert log.time.tolist() == [30, 10, 20, 40, 50, 60]
    assert log.catalogue.titles == ("Toy Story (1995)", "GoldenEye (1995)", "c")  # x.item belongs to all three
    before = dataset.digest(tmp_path)
    write(tmp_path / "x.test.inter", INTER + "ann\ta\t2\tlate\n")
    assert dataset.digest(tmp_path) != before
    with pytest.raises(DataError, match=r"x.test.inter:2: column `timestamp`: 'late'"):
        dataset.read(tmp_path)
    write(tmp_path / "x.test.inter", "user_id:token\titem_id:token\nann\ta\n")
    with pytest.raises(DataError, match=r"x.test.inter:1: its columns are not those of x.train.inter"):
        dataset.read(tmp_path)
    (tmp_path / "x.test.inter").unlink()
    with pytest.raises(
        MissingData, match=r"x.test.inter is not there.*give a file that is no part of one another name"
    ):
        open_path(path)


def test_numbers_of_items_that_are_not_known_are_gaps(tmp_path: Path) -> None:
    for word in ("nan", "NaN", "NULL", "none", "NA"):
        write(tmp_path / "x.item", ITEMS + FILMS.replace("V\tComedy\t\t", f"V\tComedy\t{word}\t{word}"))
        log = read_inter(write(tmp_path / "x.inter", INTER + ROWS))
        assert log.catalogue.features["price"].ravel().tolist() == [-1, 1, 0]
        assert log.catalogue.features["place"].tolist() == [[-1, 0], [1, 0], [0, 0]]
        assert any("price, place: nan, null and the like" in note for note in log.notes)
    assert not any("null" in note for note in read_inter(films(tmp_path)).notes)  # blanks need no note


def test_one_long_cell_does_not_take_its_room_for_all(tmp_path: Path) -> None:
    rows = "".join(f"{i}\t{'y' * 50_000 if i == 7 else f'w{i % 5}'}\n" for i in range(2000))
    write(tmp_path / "x.item", "item_id:token\tabout:token\n" + rows)
    path = write(tmp_path / "x.inter", "user_id:token\titem_id:token\nann\t1\n")
    tracemalloc.start()
    log = read_inter(path)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert log.catalogue.features["about"].shape == (2000, 6)
    assert peak < 2e7  # an array of strings of one width has 4e8 bytes


def test_the_header_is_read_without_the_rest(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = films(tmp_path)
    whole = columns_in(path)
    packed = tmp_path / "y.inter.gz"
    packed.write_bytes(gzip.compress(b"\xef\xbb\xbf" + (INTER + ROWS).replace("\n", "\r\n").encode()))
    monkeypatch.setattr(tables, "read_text", None)
    assert columns_in(path) == columns_in(packed) == whole
    packed.write_bytes(packed.read_bytes()[:20])
    with pytest.raises(DataError, match=r"y.inter.gz: cannot be read"):
        columns_in(packed)


FAULTS: list[tuple[str, str, str]] = [
    ("", "", r"x.inter:1: no tab is in its first line"),
    ("user_id:token,item_id:token\nann,b\n", "", r"x.inter:1: no tab .* but ',' is. Columns are separated by tabs"),
    (INTER, "", r"x.inter:2: has no interaction"),
    (INTER + "ann\ta\t1\n", "", r"x.inter:2: has 3 columns, the header 4"),
    (INTER + ROWS + "ann\ta\t1\t2\t3\n", "", r"x.inter:5: has 5 columns, the header 4"),
    (INTER + "\n" + ROWS, "", r"x.inter:2: is blank. Leave the line out"),
    (INTER + ROWS + "  \nann\ta\t1\t2\n", "", r"x.inter:5: is blank. Leave the line out"),
    (INTER + "ann\ta\tgood\t2\n", "", r"x.inter:2: column `rating`: 'good' is not a finite number"),
    (INTER + ROWS + "ann\ta\t1\tnan\n", "", r"x.inter:5: column `timestamp`: 'nan' is not a finite number"),
    (INTER + "ann\ta\t1\t\n", "", r"x.inter:2: column `timestamp`: '' is not a finite number"),
    (INTER + "ann\t\t1\t2\n", "", r"x.inter:2: column `item_id` is empty"),
    (INTER.replace("token\t", "word\t") + ROWS, "", r"x.inter:1: column 'user_id:word' has no known type"),
    (INTER.replace("rating", "item_id") + ROWS, "", r"x.inter:1: .* one has no name, or that of another"),
    (INTER.replace("item_id", "thing") + ROWS, "", r"x.inter:1: no column tells the item; there are user_id, thing"),
    (INTER.replace("rating:float", "item_id_list:token_seq") + ROWS, "", r"`item_id_list`: its lines are histories"),
    ("userID\titemID\tx_label\n1\t1\t3\n", "", r"x.inter:2: column `x_label`: 3 is no split"),
    (INTER + ROWS, ITEMS + FILMS + FILMS, r"x.item:5: item 'a' is there twice"),
    (INTER + ROWS, ITEMS + FILMS.replace("\t2\t", "\tdear\t"), r"x.item:2: column `price`: 'dear' is not a finite"),
    (INTER + ROWS, ITEMS + FILMS.replace("\t2\t", "\tinf\t"), r"x.item:2: column `price`: 'inf' is not a finite"),
    (
        INTER.replace("item_id", "shop_id").replace("rating:float", "city_id:token") + ROWS,
        "",
        r"no column tells the item",
    ),
    (INTER + ROWS, ITEMS + FILMS.replace("1 1", "1"), r"x.item:3: column `place` has 1 numbers, elsewhere 2"),
    (INTER + ROWS, ITEMS + FILMS.replace("\t2\t", "\t1e308\t").replace("\t4\t", "\t-1e308\t"), r"`price`.* too large"),
]


@pytest.mark.parametrize(("inter", "item", "message"), FAULTS)
def test_a_fault_of_atomic_files_is_told_where_it_is(tmp_path: Path, inter: str, item: str, message: str) -> None:
    path = write(tmp_path / "x.inter", inter)
    if item:
        write(tmp_path / "x.item", item)
    with pytest.raises(DataError, match=message):
        read_inter(path)


# ---------------------------------------------------------------- lines, JSON and pairs


def test_sequences_are_read_as_written(tmp_path: Path) -> None:
    path = write(tmp_path / "Toys.txt", "2 3 1 3\n1 2 1\n")
    write(tmp_path / "Toys_item2attributes.json", json.dumps({"1": [9, 4], "3": [4], "5": [4]}))
    np.save(tmp_path / "letter_codes.npy", np.arange(10).reshape(5, 2))
    log = read_sequences(path, beside.arrays_beside(path))
    assert taken(log) == [("2", "3"), ("2", "1"), ("2", "3"), ("1", "2"), ("1", "1")]
    assert log.ordered
    assert log.time is None
    assert log.catalogue.names == tuple("12345")
    assert log.catalogue.features["attributes"].tolist() == [[1, 1], [0, 0], [1, 0], [0, 0], [1, 0]]  # 4 and 9
    assert log.catalogue.codes["letter"].tolist() == [[0, 1], [2, 3], [4, 5], [6, 7], [8, 9]]  # the first row is item 1


def test_an_item_0_makes_the_first_row_its_own(tmp_path: Path) -> None:
    path = write(tmp_path / "sequences.txt", "0 0 1\n0 2\n")  # lines of one user are joined
    np.save(tmp_path / "text_codes.npy", np.arange(6, dtype=np.uint8).reshape(3, 2))
    write(tmp_path / "item2asin.tsv", "B0\t0\nB1\t1\nB2\t2\n")
    log = read_sequences(path, beside.arrays_beside(path))
    assert taken(log) == [("0", "B0"), ("0", "B1"), ("0", "B2")]
    assert log.catalogue.codes["text"].tolist() == [[0, 1], [2, 3], [4, 5]]


def test_an_item_0_that_is_only_named_has_the_first_row(tmp_path: Path) -> None:
    path = write(tmp_path / "S.txt", "1 1 2 3\n2 3 1\n")
    write(tmp_path / "item2asin.tsv", "PAD\t0\nB1\t1\nB2\t2\nB3\t3\n")
    np.save(tmp_path / "text_codes.npy", np.arange(4)[:, None])
    catalogue = read_sequences(path, beside.arrays_beside(path)).catalogue
    assert catalogue.names == ("PAD", "B1", "B2", "B3")
    assert catalogue.codes["text"].ravel().tolist() == [0, 1, 2, 3]
    np.save(tmp_path / "text_codes.npy", np.arange(3)[:, None])
    with pytest.raises(DataError, match=r"text_codes.npy: has 3 rows, but there is an item whose row is number 4"):
        read_sequences(path, beside.arrays_beside(path))


@pytest.mark.parametrize("maker", ["mmrec", "sequences", "index", "pairs"])
def test_arrays_that_are_not_of_items_are_left_out_with_a_note(tmp_path: Path, maker: str) -> None:
    if maker == "mmrec":
        path = write(tmp_path / "baby.inter", "userID\titemID\n0\t1\n")
    else:
        path = write(tmp_path / "S.txt", "1 2 3\n2 3 1\n") if maker == "sequences" else MAKERS[maker](tmp_path)
    plainly = UserInteractions(path=path).read(tmp_path)
    np.save(tmp_path / "user_graph_dict.npy", np.array({0: [[1], [2]]}, object), allow_pickle=True)
    np.save(tmp_path / "ids.npy", np.arange(4))
    log = UserInteractions(path=path).read(tmp_path)
    same(log, plainly)
    assert any("ids.npy, user_graph_dict.npy not read" in note for note in log.notes)
    np.save(tmp_path / "sound.npy", np.full((9, 2), np.nan))
    with pytest.raises(DataError, match=r"sound.npy: row 1 has a value that is not finite"):
        UserInteractions(path=path).read(tmp_path)


def test_only_the_most_frequent_words_of_very_many_stay(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(beside, "WIDEST", 2)
    hot, rare = beside.multi_hot(np.array([0, 1, 1, 2, 2]), np.array(["z", "z", "a", "b", "a"]), 4)
    assert rare == 1
    assert hot.tolist() == [[0, 1], [1, 1], [1, 0], [0, 0]]  # a and z


def index(folder: Path) -> Path:
    write(
        folder / "X.index.json", json.dumps({"1": ["<a_3>", "<b_0>"], "0": ["<a_1>", "<b_2>"], "2": ["<a_9>", "<b_9>"]})
    )
    write(folder / "X.index_vitemb.json", json.dumps({str(i): [f"<A_{i}>"] for i in range(3)}))
    write(folder / "X.item.json", json.dumps({"0": {"title": " A  guitar "}, "1": {"brand": "x"}}))
    return write(folder / "X.inter.json", json.dumps({"4": [1, 0, 1], "2": [0]}))


def test_index_files_are_read_as_written(tmp_path: Path) -> None:
    log = read_index(index(tmp_path))
    assert taken(log) == [("4", "1"), ("4", "0"), ("4", "1"), ("2", "0")]
    assert log.ordered
    assert log.catalogue.names == ("0", "1", "2")
    assert log.catalogue.titles == ("A guitar", "1", "2")
    assert log.catalogue.codes["index"].tolist() == [[1, 2], [3, 0], [9, 9]]
    assert log.catalogue.codes["vitemb"].tolist() == [[0], [1], [2]]


def pairs(folder: Path) -> Path:
    for name, rows in zip(beside.PAIRS, ([[0, 5], [1, 2], [0, 2]], [[1, 5]], [[0, 3], [0, 5]]), strict=True):
        np.save(folder / name, np.array(rows, np.int32))
    np.save(folder / "image_feat.npy", np.arange(14, dtype=np.float16).reshape(7, 2))
    return folder / beside.PAIRS[0]


def test_pairs_are_read_as_written(tmp_path: Path) -> None:
    path = pairs(tmp_path)
    log = read_pairs(path, beside.arrays_beside(path))
    assert taken(log) == [("0", "5"), ("1", "2"), ("0", "2"), ("1", "5"), ("0", "3")]
    assert any("1 of 6 interactions left out" in note for note in log.notes)  # 0 took 5 in training
    assert log.split is not None
    assert log.split.tolist() == [0, 0, 0, 1, 2]
    assert not log.ordered
    assert log.catalogue.names == tuple("0123456")
    assert log.catalogue.features["image"][5].tolist() == [10, 11]


def _text(name: str, text: str) -> Callable[[Path], object]:
    return lambda folder: write(folder / name, text)


def _array(name: str, array: Any) -> Callable[[Path], object]:
    return lambda folder: np.save(folder / name, array)


def _pickled(folder: Path) -> None:
    (folder / "image_feat.npy").write_bytes(b"")
    np.save(folder / "image_feat.npy", np.array([{"a": 1}], object), allow_pickle=True)


SPOILT: list[tuple[Callable[[Path], object], str]] = [
    (_text("S.txt", " \n"), r"S.txt: is empty"),
    (_text("S.txt", "1 2\n1,2,3\n"), r"S.txt:2: ',' is no part of a whole number"),
    (_text("S.txt", "1 2\n\n2 -3\n"), r"S.txt:3: '-' is no part"),
    (_text("S.txt", "1 2\n\n2 3\n"), r"S.txt:2: is blank"),
    (_text("S.txt", "1 2\n2\n"), r"S.txt:2: has a user and no item"),
    (_text("S.txt", "1 2\n2 12345678901234567890\n"), r"S.txt:2: '1' is no part of a whole number, or of one too long"),
    (_text("S_item2attributes.json", '{"1": [1, 2}'), r"S_item2attributes.json:1: is no JSON"),
    (_text("S_item2attributes.json", '{"1": [1], "1": [2]}'), r"'1' is there twice in one record"),
    (_text("S_item2attributes.json", '{"one": [1]}'), r"field 'one' is no whole number"),
    (_text("S_item2attributes.json", '{"1": [1.5]}'), r"field '1' is no list of whole numbers"),
    (_text("S_item2attributes.json", '{"1": [-1]}'), r"field '1' is no list of whole numbers"),
    (_text("S_item2attributes.json", '{"1": [true]}'), r"field '1' is no list of whole numbers"),
    (_text("S_item2attributes.json", "[1]"), r"is no JSON object"),
    (_text("S_item2attributes.json", "[" * 100_000), r"S_item2attributes.json.*is no JSON"),
    (_text("item2asin.tsv", "B0 0\n"), r"item2asin.tsv:1: cannot read 'B0 0'"),
    (_text("item2asin.tsv", "B0\t0\nB1\t0\n"), r"item2asin.tsv:2: cannot read"),
    (_text("item2asin.tsv", "B0\t0\nB0\t1\n"), r"item2asin.tsv: has a name twice"),
    (_text("item2asin.tsv", "B1\t1\nB2\t2\n"), r"item2asin.tsv: has no name of item 3"),
    (_array("image_feat.npy", np.ones((2, 2))), r"image_feat.npy: has 2 rows, but there is an item .* number 3"),
    (_array("image_feat.npy", np.ones(9)), r"image_feat.npy: its shape is \(9,\)"),
    (_array("image_feat.npy", np.full((9, 2), np.nan)), r"image_feat.npy: row 1 has a value that is not finite"),
    (_array("image_feat.npy", np.full((9, 2), 1e300)), r"image_feat.npy: row 1 has a value that is not finite"),
    (_array("image_feat.npy", np.ones((9, 2), int)), r"image_feat.npy: is no table of features, but int64"),
    (_array("text_codes.npy", np.full((9, 2), -1)), r"text_codes.npy: is no table of codes"),
    (
        _array("text_codes.npy", np.array([[0], [1], [65_536]])),
        r"text_codes.npy: row 3 has the code 65,536. Codes above",
    ),
    (_array("text_codes.npy", np.ones((9, 2))), r"text_codes.npy: is no table of codes"),
    (_text("image_feat.npy", "no array"), r"image_feat.npy: is no NumPy array"),
    (_pickled, r"image_feat.npy: is no NumPy array .*allow_pickle=False"),
]


@pytest.mark.parametrize(("spoil", "message"), SPOILT)
def test_a_fault_of_sequences_is_told_where_it_is(
    tmp_path: Path, spoil: Callable[[Path], object], message: str
) -> None:
    path = write(tmp_path / "S.txt", "1 2 3\n2 3 1\n")
    read_sequences(path)
    spoil(tmp_path)
    with pytest.raises(DataError, match=message):
        read_sequences(path, beside.arrays_beside(path))


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (_text("X.inter.json", "{}"), r"X.inter.json: has no interaction"),
        (_text("X.inter.json", '{"1": {"2": 3}}'), r"X.inter.json: field '1' is no list of whole numbers"),
        (_text("X.inter.json", '{"1": [7]}'), r"X.index.json: has no item 7"),
        (_text("X.index.json", '{"1": ["<a_1>"], "2": ["<a_1>"]}'), r"X.index.json: has no item 0"),
        (_text("X.index.json", '{"0": ["<a_1>", "<b_1>"], "1": ["<a_1>"]}'), r"item 1 has 1 tokens, the first item 2"),
        (
            _text("X.index.json", '{"0": ["<a_65536>"]}'),
            r"X.index.json: item 0 has the code 65,536. Codes above 65,535",
        ),
        (_text("X.index.json", '{"0": ["a1"]}'), r"item 0: a token is not like <a_12>"),
        (_text("X.index.json", '{"0": [1]}'), r"field '0' is no list of texts"),
        (_text("X.item.json", '{"0": {"title": 1}}'), r"X.item.json: item 0: .* has no `title` that is text"),
    ],
)
def test_a_fault_of_index_files_is_told_where_it_is(
    tmp_path: Path, spoil: Callable[[Path], object], message: str
) -> None:
    path = index(tmp_path)
    spoil(tmp_path)
    with pytest.raises(DataError, match=message):
        read_index(path)


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (_array("train_pairs.npy", np.zeros((0, 2), int)), r"train_pairs.npy: is empty"),
        (_array("valid_pairs.npy", np.zeros((2, 3), int)), r"valid_pairs.npy: its shape is \(2, 3\)"),
        (_array("test_pairs.npy", np.array([[0, -1]])), r"test_pairs.npy: has values that are no whole numbers"),
        (_array("test_pairs.npy", np.array([[0, 1.0]])), r"test_pairs.npy: has values that are no whole numbers"),
        (lambda folder: (folder / "valid_pairs.npy").unlink(), r"valid_pairs.npy is not there"),
        (_array("image_feat.npy", np.ones((5, 2))), r"image_feat.npy: has 5 rows, but there is an item .* number 6"),
    ],
)
def test_a_fault_of_pairs_is_told_where_it_is(tmp_path: Path, spoil: Callable[[Path], object], message: str) -> None:
    path = pairs(tmp_path)
    spoil(tmp_path)
    with pytest.raises(TsbenchError, match=message):
        read_pairs(path, beside.arrays_beside(path))


def test_items_without_numbers_have_no_rows(tmp_path: Path) -> None:
    np.save(tmp_path / "image_feat.npy", np.ones((3, 1)))
    path = films(tmp_path)
    with pytest.raises(DataError, match=r"x.inter: item 'a' is no number, so that it has no row in image_feat.npy"):
        read_inter(path, beside.arrays_beside(path))


def test_no_pickle_is_ever_loaded(tmp_path: Path) -> None:
    class Bomb:
        def __reduce__(self) -> tuple[Any, ...]:
            return Path.touch, (tmp_path / "run",)

    for maker in (pairs, index, films):
        path = maker(tmp_path)
        (tmp_path / "image_feat.npy").write_bytes(pickle.dumps(Bomb()))
        with pytest.raises(DataError, match=r"image_feat.npy: is no NumPy array"):
            UserInteractions(path=path).read(tmp_path)
        np.save(tmp_path / "image_feat.npy", np.array([Bomb()], object), allow_pickle=True)
        with pytest.raises(DataError, match=r"image_feat.npy: is no NumPy array"):
            UserInteractions(path=path).read(tmp_path)
    assert not (tmp_path / "run").exists()


# ---------------------------------------------------------------- whatever is in a file


def sound(log: Interactions) -> None:
    """What splits rely on."""
    assert len(log) == len(log.user) == len(log.item) > 0
    assert 0 <= log.user.min() <= log.user.max() < len(log.users) == len(set(log.users))
    assert 0 <= log.item.min() <= log.item.max() < len(log.catalogue) == len(set(log.catalogue.names))
    assert len(log.catalogue.titles) in (0, len(log.catalogue))
    for array in (*log.catalogue.features.values(), *log.catalogue.codes.values()):
        assert len(array) == len(log.catalogue)
        assert np.isfinite(array).all()
    for values in (log.time, log.split, log.rating):
        assert values is None or (len(values) == len(log) and np.isfinite(values).all())


@settings(max_examples=60, deadline=None)
@given(
    st.lists(st.tuples(st.sampled_from("abc"), st.sampled_from("xyz"), st.integers(0, 3)), min_size=1, max_size=20),
    st.permutations(["user_id:token", "item_id:token", "timestamp:float"]),
)
def test_any_interactions_come_back(
    tmp_path_factory: pytest.TempPathFactory, rows: list[tuple[str, str, int]], header: list[str]
) -> None:
    order = [["user_id:token", "item_id:token", "timestamp:float"].index(name) for name in header]
    lines = ["\t".join(header), *("\t".join(str(row[i]) for i in order) for row in rows)]
    log = read_inter(write(tmp_path_factory.mktemp("any") / "x.inter", "\n".join(lines)))
    assert log.time is not None
    wanted = list(dict.fromkeys(rows))  # each once, in the order of the file
    assert [(*pair, int(t)) for pair, t in zip(taken(log), log.time.tolist(), strict=True)] == wanted


MAKERS: dict[str, Callable[[Path], Path]] = {"films": films, "index": index, "pairs": pairs}
BITS = [
    b"",
    b"\t",
    b"\n",
    b"0",
    b"-1",
    b"nan",
    b"1e999",
    b"9" * 40,
    b",",
    b'"',
    b"{",
    b"]",
    b"\xff",
    b"\x00",
    b"\xef\xbb\xbf",
]


@pytest.mark.parametrize("maker", [*MAKERS, "sequences"])
def test_a_mangled_file_is_read_or_refused(tmp_path: Path, maker: str) -> None:
    luck = random.Random(maker)
    if maker == "sequences":
        path = write(tmp_path / "S.txt", "1 2 3\n2 3 1\n")
        write(tmp_path / "S_item2attributes.json", '{"1": [4, 5], "2": [4]}')
        np.save(tmp_path / "letter_codes.npy", np.arange(6).reshape(3, 2))
    else:
        path = MAKERS[maker](tmp_path)
    files = {p: p.read_bytes() for p in tmp_path.iterdir()}
    read, told = 0, list[str]()
    for _ in range(200):
        file, content = luck.choice([*files.items()])
        start = luck.randrange(len(content))
        end = min(len(content), start + luck.choice([0, 0, 1, 1, 2, 5, 40]))
        file.write_bytes(content[:start] + luck.choice(BITS) + content[end:])
        try:
            sound(UserInteractions(path=path).read(tmp_path))
            read += 1
        except TsbenchError as error:
            told.append(str(error))
        file.write_bytes(content)
    assert read > 5
    assert len(told) > 20
    assert all(str(tmp_path) in message for message in told)  # each names a file


# ---------------------------------------------------------------- data sets by path


def test_files_and_folders_are_data_sets(tmp_path: Path) -> None:
    made = {}
    for name, maker in MAKERS.items():
        (tmp_path / name).mkdir()
        made[name] = maker(tmp_path / name)
        assert open_path(tmp_path / name) == open_path(made[name]) == UserInteractions(path=made[name].resolve())
    assert open_path(made["pairs"].with_name("test_pairs.npy")) == open_path(made["pairs"])
    assert {open_path(path).name for path in made.values()} == {  # type: ignore[union-attr]
        "histories/x",
        "histories/X",
        "histories/pairs",
    }
    (timed,), (sets,), (sequences,) = (find_datasets(str(made[name])) for name in ("films", "pairs", "index"))
    assert [list(d.protocols) for d in (timed, sets, sequences)] == [
        ["leave-one-out", "temporal"],
        ["given"],
        ["leave-one-out"],
    ]
    assert [d.bar for d in (timed, sets, sequences)] == ["item_markov", "ease", "item_markov"]
    assert open_path(tmp_path) is None
    assert open_path(tmp_path / "x.csv") is None
    write(tmp_path / "films" / "y.inter", INTER)
    with pytest.raises(UsageError, match=r"has several sets; name the file of one: x.inter, y.inter"):
        open_path(tmp_path / "films")


def test_a_folder_of_texts_is_a_set_only_if_one_is_known_to_be(tmp_path: Path) -> None:
    write(tmp_path / "readme.txt", "hello")
    assert open_path(tmp_path) is None
    path = write(tmp_path / "Toys.txt", "1 2\n")
    write(tmp_path / "Toys_item2attributes.json", "{}")
    assert open_path(tmp_path) == open_path(path)


def test_digests_follow_every_file_that_is_read(tmp_path: Path) -> None:
    dataset = UserInteractions(path=films(tmp_path))
    seen = {dataset.digest(tmp_path)}
    write(tmp_path / "x.user", "user_id:token\tzip_code:token\nann\t85711\n")
    assert dataset.digest(tmp_path) in seen  # never read
    write(tmp_path / "x.item", ITEMS + FILMS.replace("Toy", "Boy"))
    seen.add(dataset.digest(tmp_path))
    np.save(tmp_path / "image_feat.npy", np.ones((3, 1)))
    seen.add(dataset.digest(tmp_path))
    assert len(seen) == 3
    with pytest.raises(MissingData, match="is not there"):
        UserInteractions(path=tmp_path / "no.inter").digest(tmp_path)


def test_half_stars_are_a_least_rating(tmp_path: Path) -> None:
    rows = "".join(f"{u}\t{i}\t{3 + i % 4 / 2}\t{i}\n" for u in "ab" for i in range(16))
    path = write(tmp_path / "x.inter", INTER + rows)
    splits = UserInteractions(path=path, rating=3.5).load(tmp_path, "leave-one-out")
    assert len(splits.titles) == 16  # all are candidates
    assert "ratings below 3.5 left out: 8 of 32 interactions (25.0 %)" in splits.notes
    for wrong in (float("nan"), float("inf"), -0.5):
        with pytest.raises(UsageError, match=r"rating=.* is no number from 0 on; 0 keeps all"):
            UserInteractions(path=path, rating=wrong)


def test_lines_without_times_are_a_sequence_if_the_user_says_so(tmp_path: Path) -> None:
    text = "user_id:token\titem_id:token\n" + "".join(f"{u}\t{i}\n" for u in range(4) for i in (3, 1, 2, u + 4))
    path = write(tmp_path / "clicks.inter", text)
    sets, sequence = (find_datasets(f"{path}{option}")[0] for option in ("", ":lines=sequence"))
    assert (sets.bar, sequence.bar) == ("ease", "item_markov")
    splits = sequence.load(tmp_path, "leave-one-out")
    test = splits.test
    assert isinstance(test, HistorySamples)
    assert sorted(splits.titles[i] for i in test.targets[:, 0].tolist()) == [
        "4",
        "5",
        "6",
        "7",
    ]  # each user's last line
    with pytest.raises(UsageError, match="unknown value of lines 'row'"):
        find_datasets(f"{path}:lines=row")
    with pytest.raises(UsageError, match=r"is for X\.inter"):
        find_datasets(f"{index(tmp_path)}:lines=sequence")


# ---------------------------------------------------------------- tables that are shipped


def test_published_scores_belong_to_sets_protocols_and_metrics() -> None:
    for name, models in (("amazon-beauty", 8), ("amazon-toys", 7)):
        dataset = named(name)
        rows = dataset.published()
        assert len({(row.model, row.metric) for row in rows}) == len(rows) == 2 * models
        assert {row.protocol for row in rows} <= set(dataset.protocols)
        assert {row.metric for row in rows} == {"recall_10", "ndcg_10"} <= set(dataset.kind.metrics)
        assert all(0 < row.value < 1 and row.source for row in rows)
        (changed,) = find_datasets(f"rec/{name}:mask=none")
        assert changed.published() == []  # of other rules, nothing was published
    assert {(r.metric, r.value) for r in named("amazon-beauty").published() if r.model == "TIGER"} == {
        ("recall_10", 0.0648),
        ("ndcg_10", 0.0384),
    }
    assert named("tiktok").published() == []  # MMGRec and LightGT report on a larger set


def test_every_file_of_a_set_has_a_checksum() -> None:
    for name in COUNTS:
        sources = named(name).sources
        assert len(sources) >= 2
        assert all(s.sha256 and len(s.sha256) == 64 and s.licence and s.citation for s in sources)
        assert all("@" not in s.url and len(s.url.split("/")[5]) == 40 for s in sources if s.url)  # at a commit
    assert {f.name for f in fields(Rules)} <= set(UserInteractions.options)
