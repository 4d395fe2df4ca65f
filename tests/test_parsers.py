"""Every parser of outside files: a mangled file is read or refused, and what refuses it names the file.

Those of series (test_series_files.py, test_ltsf.py) and of recommendation (test_rec_files.py) have their own.
"""

from __future__ import annotations

import contextlib
import io
import json
import tempfile
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import scipy.io
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.test_gaze_files import LINES, SHELVES
from tsbench.datasets.rna_corpus import read_stockholm
from tsbench.datasets.rna_substitutes_pairs import _distances
from tsbench.datasets.rna_user import read_labels
from tsbench.errors import TsbenchError, UsageError
from tsbench.files import read_json, read_npy
from tsbench.gaze.files import FIXATIONS, SCENES, read_folder
from tsbench.gaze.readers import read_mat, read_table
from tsbench.plan import read_suite
from tsbench.registry import find_datasets
from tsbench.rna import files as rna
from tsbench.rna.readers import read_sequences
from tsbench.settings import configure, parse_spec
from tsbench.store import Store

FASTA = b">a first\nACGU\nGG\n>b\nGGNN\n"
FASTQ = b"@a\nACGU\n+\nIIII\n@b\nGG\n+a\nII\n"
SAM = b"@HD\tVN:1.6\n@SQ\tSN:c\tLN:9\nr\t0\tc\t1\t9\t4M\t*\t0\t0\tACGT\tIIII\ns\t4\t*\t0\t0\t*\t*\t0\t0\tGG\tII\n"
STOCKHOLM = b"# STOCKHOLM 1.0\n#=GF ID x\na/1-4 AC.GU\nb ACCGU\n\na/1-4 GG\nb GG\n//\n"
SUITE = b'title = "t"\ndatasets = ["sktime/airline/12"]\nmodels = ["repeat", "dlinear:lr=0.1"]\nseeds = 2\n'
RESULT = json.dumps({"key": "k", "status": "finished", "cell": {"dataset": "d"}, "scores": {"test": {"mse": 1.5}}})


def _saved(save: Callable[..., object], *values: Any, **named: Any) -> bytes:
    save(content := io.BytesIO(), *values, **named)
    return content.getvalue()


def _gaze(name: str, other: bytes) -> Callable[[Path], object]:
    def read(path: Path) -> object:
        (path.parent / (FIXATIONS if name == SCENES else SCENES)).write_bytes(other)
        return read_folder(path.parent)

    return read


def _whole(read: Callable[[Path], Iterable[Any]]) -> Callable[[Path], object]:
    return lambda path: list(read(path))


def _results(path: Path) -> object:
    return [result["key"] for result in Store(path.parent.parent).results()]


def _suite(path: Path) -> object:
    suite = read_suite(str(path))
    assert isinstance(suite.seeds, int)
    assert all(isinstance(name, str) for name in (*suite.datasets, *suite.models, suite.title))
    return suite


COLUMNS = (rna.Field(0, ("seq",)), rna.Field(1, ("label",)))
DISPLAYS, LOOKS = json.dumps(SHELVES).encode(), "\n".join(LINES).encode()
MAP = _saved(np.save, np.eye(3, dtype=np.float32))
STRUCT = np.array([(1.0, "x"), (2.0, "y")], dtype=[("a", object), ("b", object)])
PARSERS: dict[str, tuple[str, bytes, Callable[[Path], object]]] = {
    "FASTA": ("x.fa", FASTA, _whole(read_sequences)),
    "FASTQ": ("x.fq", FASTQ, _whole(read_sequences)),
    "SAM": ("x.sam", SAM, _whole(read_sequences)),
    "Stockholm": ("x.stk", STOCKHOLM, _whole(read_stockholm)),
    "labels": ("x.csv", b"id,on,split\na,1,train\nb,2.5,test\n", lambda path: read_labels(path, 0)),
    "RNA table": ("x.csv", b"seq,label\nACGU,1\nGG,2\n", lambda path: rna.read_csv(path).columns(*COLUMNS)),
    "RNA records": ("x.json", b'{"seq": "ACGU", "y": [1, 2]}\n{"seq": "G", "y": [3]}\n', rna.read_json),
    "dot-bracket": ("x.db", b">a\nACGUAC\n((..))\n>b\nGGA\n...\n", rna.read_dot_bracket),
    "RNA map": ("x.npy", MAP, lambda path: rna.read_map(path, 3)),
    "RNA distances": ("x.npz", _saved(np.savez, a=np.eye(4)), lambda path: _distances(path, ["a"], [np.zeros(4)])),
    "array": ("x.npy", MAP, lambda path: read_npy(path, (-1, 3))),
    "JSON": ("x.json", DISPLAYS, read_json),
    "gaze displays": (SCENES, DISPLAYS, _gaze(SCENES, LOOKS)),
    "gaze fixations": (FIXATIONS, LOOKS, _gaze(FIXATIONS, DISPLAYS)),
    "gaze table": ("x.csv", LOOKS, lambda path: read_table(path, ["x", "y"], ["display"], ["order"])),
    "MATLAB": ("x.mat", _saved(scipy.io.savemat, {"v": STRUCT}), lambda path: read_mat(path, "v", ("a", "b"))),
    "suite": ("x.toml", SUITE, _suite),
    "result": ("cells/x.json", RESULT.encode(), _results),
}
BITS = [b"", b"\0", b"\n", b"\xff", b'"', b"[" * 20_000, b"{", b"}", b",", b"9" * 5000, b"-1", b"nan", b"1e999", b"\t"]


@pytest.mark.parametrize("name", PARSERS)
def test_a_sound_file_is_read(name: str, tmp_path: Path) -> None:
    file, content, read = PARSERS[name]
    path = tmp_path / file
    path.parent.mkdir(exist_ok=True)
    path.write_bytes(content)
    read(path)


@pytest.mark.parametrize("name", PARSERS)
@settings(max_examples=25, deadline=None)
@given(data=st.data())
def test_a_mangled_file_is_read_or_refused(name: str, data: st.DataObject) -> None:
    file, sound, read = PARSERS[name]
    content = bytearray(sound)
    for _ in range(data.draw(st.integers(1, 3))):
        place = data.draw(st.integers(0, len(content)))
        cut = data.draw(st.sampled_from([0, 1, 2, 7, len(content)]))
        content[place : place + cut] = data.draw(st.sampled_from(BITS) | st.binary(max_size=4))
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / file
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(content)
        said = folder
        try:
            read(path)
        except TsbenchError as error:
            said = str(error)
        assert folder in said, "the error names no file"


@pytest.mark.parametrize("content", ["-1", "[]", "{}", '{"key": 1}', "null"])
def test_what_is_json_but_no_result_is_named(content: str, tmp_path: Path) -> None:
    path = tmp_path / "cells" / "x.json"
    path.parent.mkdir()
    path.write_text(content)
    with pytest.raises(TsbenchError, match=r"x\.json: not a result of tsbench"):
        _results(path)


@pytest.mark.parametrize("line", ["seeds = '3'", "datasets = 'a'", "models = [1]", "title = 4"])
def test_a_suite_with_values_of_the_wrong_kind_is_refused(line: str, tmp_path: Path) -> None:
    (tmp_path / "x.toml").write_text(line + "\n")
    with pytest.raises(UsageError, match=r"x\.toml: `(seeds|datasets|models|title)` is .*; write"):
        read_suite(str(tmp_path / "x.toml"))


@settings(max_examples=60, deadline=None)
@given(st.text(max_size=20) | st.from_regex(r"[a-z]{1,4}:([a-z_]{1,9}=[a-z0-9.(),]{0,6},?){0,3}", fullmatch=True))
def test_any_name_with_settings_is_read_or_refused(text: str) -> None:
    """Names and settings come from a command line or a suite; what is no name is told, with those there are."""
    from tsbench.models.dlinear import DLinear

    with contextlib.suppress(UsageError):
        name, given_settings = parse_spec(text)
        configure(DLinear.Config, given_settings, name)
    for looked_up in (f"sktime/airline/12:{text}", text.replace("/", "").replace("~", "") or "x"):
        with contextlib.suppress(TsbenchError):
            find_datasets(looked_up)
