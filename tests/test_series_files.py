"""Readers of .ts and relational .arff: whatever is written is read back, and nothing but a clear error otherwise."""

from __future__ import annotations

import contextlib
import gzip
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest
import torch
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from tsbench.datasets.uea import READERS
from tsbench.errors import DataError
from tsbench.series.arff_file import read_arff
from tsbench.series.cases import Cases, to_samples
from tsbench.series.ts_file import read_ts

HEAD = b"@classLabel true up down\n@data\n"
LABELS = ("a", "ab", "1", "1.0", "10", "é")  # some are the beginning of others


class Written(NamedTuple):
    """Cases as they are written: `(channel, time)` each, and labels."""

    series: list[np.ndarray]
    labels: list[str]


def cell(value: float, missing: str) -> str:
    return missing if np.isnan(value) else repr(float(value))


def ts(cases: Written, missing: str = "?", end: str = "\n", tags: bool = True, declared: bool = True) -> bytes:
    head = ["#a comment, \udce9 is no UTF-8", "@problemName made", "", "@timeStamps false"]
    head += ["@univariate false", f"@dimensions {len(cases.series[0])}", "@missing true"] if tags else []
    head += [f"@ClassLabel TRUE {' '.join(LABELS)}"] if declared else []
    rows = [
        ":".join(",".join(cell(v, missing) for v in channel) for channel in series) + f":{label}  "
        for series, label in zip(cases.series, cases.labels, strict=True)
    ]
    return (end.join([*head, "@Data", *rows]) + end).encode("utf-8", "surrogateescape")


def arff(cases: Written, missing: str = "?", end: str = "\n", quote: str = "'") -> bytes:
    longest = max(series.shape[1] for series in cases.series)
    head = ["% a comment, \udce9 is no UTF-8", "@relation 'made'", "@attribute relationalAtt relational"]
    head += [f"@attribute att{i} numeric" for i in range(longest)]
    head += ["@end relationalAtt", f"@attribute target {{{','.join(LABELS)}}}", "", "@data"]
    rows = []
    for series, label in zip(cases.series, cases.labels, strict=True):
        full = np.pad(series, ((0, 0), (0, longest - series.shape[1])), constant_values=np.nan)
        text = r"\n".join(",".join(cell(v, missing) for v in channel) for channel in full)
        rows.append(f"{quote}{text}{quote},{label}")
    return (end.join([*head, *rows]) + end).encode("utf-8", "surrogateescape")


def read(content: bytes, name: str = "made.ts") -> Cases:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / name
        path.write_bytes(gzip.compress(content) if name.endswith(".gz") else content)
        return READERS[Path(name.removesuffix(".gz")).suffix](path)


@st.composite
def written(draw: st.DrawFn) -> Written:
    channels = draw(st.integers(1, 4))
    values = st.one_of(st.floats(width=32, allow_infinity=False), st.integers(-9, 9).map(float))
    series = []
    for length in draw(st.lists(st.integers(1, 6), min_size=1, max_size=5)):
        cells = draw(st.lists(values, min_size=channels * length, max_size=channels * length))
        case = np.array(cells, dtype=np.float32).reshape(channels, length)
        if np.isnan(case[:, -1]).all():  # what is missing at the end in all channels is no step
            case[0, -1] = 1.0
        series.append(case)
    return Written(series, draw(st.lists(st.sampled_from(LABELS), min_size=len(series), max_size=len(series))))


def same(cases: Cases, expected: Written, count: int | None = None) -> bool:
    count = len(expected.series) if count is None else count
    return cases.labels == expected.labels[:count] and all(
        np.array_equal(a, b, equal_nan=True) for a, b in zip(cases.series, expected.series[:count], strict=True)
    )


MISSING, ENDS = st.sampled_from(["?", "NaN", "nan", " ? "]), st.sampled_from(["\n", "\r\n", "\n\n"])


@settings(deadline=None)
@given(written(), MISSING, ENDS, st.booleans(), st.booleans())
def test_ts_is_read_back_as_it_was_written(cases: Written, missing: str, end: str, tags: bool, declared: bool) -> None:
    found = read(ts(cases, missing, end, tags, declared))
    assert same(found, cases)
    assert found.classes == (LABELS if declared else ())


@settings(deadline=None)
@given(written(), MISSING, ENDS, st.sampled_from("'\""))
def test_arff_is_read_back_as_it_was_written(cases: Written, missing: str, end: str, quote: str) -> None:
    found = read(arff(cases, missing, end, quote), "made.arff")
    assert same(found, cases)
    assert found.classes == LABELS


@settings(deadline=None, max_examples=150)
@given(written(), st.sampled_from([(ts, "made.ts"), (arff, "made.arff")]), st.integers(1, 400), st.booleans())
def test_a_cut_file_is_an_error_or_its_first_cases(
    cases: Written, form: tuple[Callable[[Written], bytes], str], off: int, zipped: bool
) -> None:
    write, name = form
    content = write(cases)
    assume(off < len(content))
    try:
        found = read(content[:-off], name + ".gz" if zipped else name)
    except DataError:
        return
    # Of the very first case, a cut label may leave a number, of which nobody can tell that it was one.
    assert same(found, cases, len(found.series)) or len(found.series) == 1


@settings(deadline=None, max_examples=150)
@given(written(), st.sampled_from([(ts, "made.ts"), (arff, "made.arff")]), st.data())
def test_a_spoilt_file_is_read_or_refused_but_never_crashes(
    cases: Written, form: tuple[Callable[[Written], bytes], str], data: st.DataObject
) -> None:
    write, name = form
    content = bytearray(write(cases))
    for place in data.draw(st.lists(st.integers(0, len(content) - 1), min_size=1, max_size=6)):
        piece = data.draw(st.binary(max_size=3) | st.sampled_from([b":", b",", b"\n", b"'", b"?", b"e", b"_", b"inf"]))
        content[place : place + data.draw(st.integers(0, 3))] = piece
    try:
        found = read(bytes(content), name)
    except DataError:
        return
    assert len(found.series) == len(found.labels) == len(found.lines) > 0
    assert {len(series) for series in found.series} == {found.channels}
    assert not any(np.isinf(series).any() for series in found.series)


@given(
    st.binary(max_size=60) | st.binary(max_size=60).map(lambda tail: HEAD + tail),
    st.sampled_from(["made.ts", "made.arff", "made.ts.gz"]),
)
def test_any_bytes_are_refused_or_read(content: bytes, name: str) -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / name
        path.write_bytes(content)
        with contextlib.suppress(DataError):
            READERS[Path(name.removesuffix(".gz")).suffix](path)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"1,2:3,4:up\n", r"made\.ts: no line `@data`"),
        (HEAD, r"made\.ts: no case"),
        (b"", "no line `@data`"),
        (b"\x1c\n", "no line `@data`"),  # white space of text, but not of bytes
        (HEAD + b"1,2:3,4:up\n1,2:3,4:do", r"made\.ts:4: unknown label 'do'; the file declares up, down"),
        (HEAD + b"1,2:3,4:up\n1,2:3", r":4: 1 channels and a label, the cases before it have 2.*cut or damaged"),
        (HEAD + b"1,2:3,4:up\n1,2:3,4", ":4: the line does not end with a colon and a label"),
        (HEAD + b"1,2:3,4:up\n\n1,2:3,4:", ":5: the line does not end with a colon and a label"),
        (HEAD + b"1,2:3,4:up\n1,2:down\n", ":4: 1 channels and a label, the cases before it have 2"),
        (HEAD + b"1,2:3,4:up\n1,2:3:down\n", ":4: channel 1 has 2 steps, channel 2 has 1.*need as many"),
        (HEAD + b"1,2::up\n", ":3: channel 1 has 2 steps, channel 2 has 1"),
        (HEAD + b"1::up\n", ":3: channel 2 is empty"),
        (HEAD + b":up\n", ":3: channel 1 is empty"),
        (HEAD + b"1,2:3,x4:up\n", r":3: channel 2: 'x4' is no finite number\. Numbers, and \? for a missing"),
        (HEAD + b"1,2:3,:up\n", ":3: channel 2: '' is no finite number"),
        (HEAD + b"1,2:3,1_0:up\n", ":3: channel 2: '1_0' is no finite number"),
        (HEAD + b"1,2:3,inf:up\n", ":3: channel 2: 'inf' is no finite number"),
        (HEAD + b"1,2:3,1e39:up\n", ":3: channel 2: '1e39' is no finite number"),
        (HEAD + b"1 2:3 4:up\n", ":3: channel 1: '1 2' is no finite number"),
        (HEAD + b"?,?:?,?:up\n", ":3: no value of this case is known"),
        (b"@timeStamps TRUE\n" + HEAD + b"(0,1),(1,2):up\n", ":1: values have time stamps. Write values alone"),
        (b"@classLabel false\n@data\n1,2\n", ":1: cases have no labels"),
        (b"@targetLabel true\n@data\n1,2:0.5\n", ":1: targets are numbers"),
        (b"@classLabel true 1 10\n@data\n1,2:10\n1,2:1", ":4: the file ends without a line end after '1'.*'10'"),
    ],
)
def test_errors_name_file_line_and_remedy(content: bytes, message: str) -> None:
    with pytest.raises(DataError, match=message):
        read(content)


ARFF = b"@attribute r relational\n@attribute a numeric\n@end r\n@attribute c {up,'two words'}\n@data\n"


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (ARFF + rb"1,2\n3,4,up", r"made\.arff:6: not of the form"),
        (ARFF + rb"'1,2\n3,4',down" + b"\n", ":6: unknown label 'down'; the file declares up, two words"),
        (ARFF + rb"'1,2\n3',up" + b"\n", ":6: channel 1 has 2 steps, channel 2 has 1"),
        (ARFF.replace(b"relational", b"numeric") + b"1,2,up\n", "no relational attribute"),
        (ARFF.replace(b"{up,'two words'}", b"numeric") + b"'1,2',3\n", "no attribute `{class,class ...}`"),
        (ARFF[:-7], "no line `@data`"),
        (ARFF, "no case"),
    ],
)
def test_errors_of_arff(content: bytes, message: str) -> None:
    with pytest.raises(DataError, match=message):
        read(content, "made.arff")


def test_quoted_labels_of_arff_are_plain_names() -> None:
    found = read(ARFF + rb"'1,2\n3,4','two words'" + b"\n" + rb'"5,6\n7,8" , up ' + b"\n", "made.arff")
    assert found.labels == ["two words", "up"]
    assert found.series[0].tolist() == [[1, 2], [3, 4]]


def test_steps_at_which_nothing_is_known_at_the_end_are_no_steps() -> None:
    """So that the archives' .arff, which fills short cases up, gives the same as their .ts."""
    found = read(HEAD + b"1,2,?:3,?,?:up\n?,2:3,?:down\n")
    assert found.lengths == [2, 2]
    assert np.isnan(found.series[1][0, 0])


def test_header_tags_in_any_case_a_byte_order_mark_and_comments() -> None:
    found = read(b"\xef\xbb\xbf#\xe9\n@CLASSLABEL True up\tdown\n\n # x\n@DATA\n#no case\n 1,2:up \r\n")
    assert (found.classes, found.labels, found.lines) == (("up", "down"), ["up"], [7])


def pair(train: bytes, test: bytes, folder: Path) -> tuple[Cases, Cases]:
    (folder / "X_TRAIN.ts").write_bytes(train)
    (folder / "X_TEST.ts").write_bytes(test)
    return read_ts(folder / "X_TRAIN.ts"), read_ts(folder / "X_TEST.ts")


def test_classes_in_declared_order_else_sorted_numbers_by_value(tmp_path: Path) -> None:
    declared = b"@classLabel true z unused a\n@data\n1:a\n2:z\n"
    assert to_samples(*pair(declared, b"@data\n1:a\n", tmp_path))[2] == ("z", "a")
    plain = b"@data\n1:10\n2:9\n3:b\n4:9.5\n"
    train, test, labels = to_samples(*pair(plain, b"@data\n1:b\n", tmp_path))
    assert labels == ("9", "9.5", "10", "b")
    assert (train.target.tolist(), test.target.tolist()) == ([2, 0, 3, 1], [3])


def test_a_label_that_train_has_not_is_an_error_that_names_its_line(tmp_path: Path) -> None:
    head = b"@classLabel true a b c\n@data\n1:a\n"  # c is declared, but nothing can be learnt of it
    with pytest.raises(DataError, match=r"X_TEST\.ts:4: label 'c' has no case in X_TRAIN\.ts, which has a, b"):
        to_samples(*pair(head + b"2:b\n", head + b"2:c\n", tmp_path))


def test_files_that_do_not_belong_together(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"X_TEST\.ts:2: 2 channels, X_TRAIN\.ts has 1"):
        to_samples(*pair(b"@data\n1:a\n2:b\n", b"@data\n1:2:a\n", tmp_path))
    with pytest.raises(DataError, match="all cases are of class 'a'"):
        to_samples(*pair(b"@data\n1:a\n2:a\n", b"@data\n1:a\n", tmp_path))


def test_lengths_are_known_wherever_any_case_is_shorter(tmp_path: Path) -> None:
    train, test, _ = to_samples(*pair(b"@data\n1,2,3:a\n1,2,3:b\n", b"@data\n1,2:a\n", tmp_path))
    assert (train.steps.tolist(), test.steps.tolist()) == ([3, 3], [2])
    assert train.values.shape[1] == test.values.shape[1] == 3
    assert test.batch(torch.tensor([0])).valid is not None
    assert torch.equal(test.values[0, :, 0], torch.tensor([1.0, 2.0, 0.0]))
    train, test, _ = to_samples(*pair(b"@data\n1,2,3:a\n1,2,3:b\n", b"@data\n1,2,4:a\n", tmp_path))
    assert train.lengths is None
    assert test.lengths is None


@pytest.mark.parametrize("name", ["BasicMotions", "JapaneseVowels"])
def test_sktime_reads_the_same(name: str) -> None:
    from sktime.datasets import load_UCR_UEA_dataset

    from tsbench.datasets.uea import _sktime

    for split in ("train", "test"):
        found = read_ts(_sktime() / name / f"{name}_{split.upper()}.ts")
        frame, labels = load_UCR_UEA_dataset(name, split=split, return_X_y=True, return_type="nested_univ")
        assert [label.lower() for label in found.labels] == [str(label).lower() for label in labels]
        for series, (_, row) in zip(found.series, frame.iterrows(), strict=True):
            assert np.array_equal(series, np.stack([channel.to_numpy() for channel in row]).astype(np.float32))


def test_an_unreadable_file_is_a_data_error(tmp_path: Path) -> None:
    for reader, name in ((read_ts, "X.ts"), (read_arff, "X.arff")):
        with pytest.raises(DataError, match="cannot be read"):
            reader(tmp_path / name)
