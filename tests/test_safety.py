"""Nothing that is read is executed: no pickle, no archive that writes elsewhere, no server that others reach."""

from __future__ import annotations

import ast
import contextlib
import hashlib
import io
import pickle
import re
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from tests.conftest import ROOT
from tsbench.artifacts import load_model
from tsbench.cli import build_parser
from tsbench.datasets.rna_substitutes_pairs import _distances
from tsbench.download import _extract
from tsbench.errors import DataError, TsbenchError
from tsbench.files import read_npy
from tsbench.models.sklearn_regressor import unpack
from tsbench.rna.files import read_map
from tsbench.store import write_json
from tsbench.train import read_checkpoint

SOURCES = [path for folder in ("tsbench", "models", "datasets", "mlflow") for path in (ROOT / folder).rglob("*.py")]


class Bomb:
    """Writes a file when it is unpickled."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> Any:
        return Path.touch, (self.path,)


def calls() -> Iterator[tuple[str, str, set[str]]]:
    """Every call in our code: where, what is called, and `name=value` of its arguments."""
    for path in SOURCES:
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Call):
                named = {f"{word.arg}={ast.unparse(word.value)}" for word in node.keywords}
                yield f"{path}:{node.lineno}", ast.unparse(node.func), named


def test_no_code_loads_a_pickle() -> None:
    seen = set()
    for where, name, named in calls():
        package, _, function = name.rpartition(".")
        seen.add(name)
        assert package.split(".")[0] not in ("pickle", "cloudpickle", "joblib", "dill", "shelve", "marshal"), where
        assert function not in ("read_pickle", "Unpickler", "unsafe_load", "full_load"), where
        if name == "torch.load":
            assert "weights_only=True" in named, where
        if name in ("np.load", "numpy.load"):
            assert "allow_pickle=False" in named, where
        assert name != "yaml.load" or "Loader=yaml.SafeLoader" in named, where
    assert {"torch.load", "np.load"} <= seen, "else this test looks in the wrong place"


def pickled(path: Path, bomb: Bomb) -> None:
    path.write_bytes(pickle.dumps(bomb))


def of_torch(path: Path, bomb: Bomb) -> None:
    torch.save({"x": bomb}, path)


def of_numpy(path: Path, bomb: Bomb) -> None:
    with path.open("wb") as file:
        np.save(file, np.array([bomb], object), allow_pickle=True)


def of_numpys(path: Path, bomb: Bomb) -> None:
    with path.open("wb") as file:
        np.savez(file, a=np.array([bomb], object))


def _weights(path: Path) -> object:
    cell = {"dataset": "sktime/airline/12", "protocol": "full", "model": "linear", "settings": {}, "seed": 1}
    task = {"kind": "Forecasting", "look_back": 9, "horizon": 2, "channels": 1, "season": 1}
    write_json(path.parent / "model.json", {"cell": cell, "task": task})
    return load_model(path.parent)


def _skops(path: Path) -> object:
    state = {"skops": torch.from_numpy(np.frombuffer(path.read_bytes(), np.uint8).copy())}
    return unpack(state, "mine", ("sklearn", "numpy", "scipy"))


READERS: list[tuple[str, Callable[[Path], object], tuple[Callable[[Path, Bomb], None], ...]]] = [
    ("weights.pt", _weights, (pickled, of_torch)),
    ("x.pt", read_checkpoint, (pickled, of_torch)),
    ("x.npy", lambda path: read_npy(path, (-1,)), (pickled, of_numpy, of_numpys)),
    ("x.npy", lambda path: read_map(path, 1), (pickled, of_numpy, of_numpys)),
    ("x.npz", lambda path: _distances(path, ["a"], [np.zeros(1)]), (pickled, of_numpy, of_numpys)),
    ("x.skops", _skops, (pickled,)),
]


@pytest.mark.parametrize(
    ("name", "read", "make"), [(name, read, make) for name, read, makers in READERS for make in makers]
)
def test_what_is_pickled_is_refused_and_not_executed(
    name: str, read: Callable[[Path], object], make: Callable[[Path, Bomb], None], tmp_path: Path
) -> None:
    make(tmp_path / name, Bomb(tmp_path / "executed"))
    if read is read_checkpoint:  # as if there were none: the training begins anew
        assert read(tmp_path / name) is None
    else:
        with pytest.raises((TsbenchError, pickle.UnpicklingError, zipfile.BadZipFile)):
            read(tmp_path / name)
    assert not (tmp_path / "executed").exists()


@pytest.mark.parametrize("inside", ["../X.ts", "../../X.ts", "/tmp/X.ts", "a/../../X.ts", "..\\X.ts", "X.ts/../X.ts"])
def test_an_archive_cannot_write_outside_its_folder(inside: str, tmp_path: Path) -> None:
    folder = tmp_path / "data" / "uea" / "X"
    folder.mkdir(parents=True)
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w") as archive:
        archive.writestr(inside, b"hostile")
    (folder / "X.zip").write_bytes(content.getvalue())
    before = set(tmp_path.rglob("*"))
    with contextlib.suppress(TsbenchError):  # of Windows' separators we make no path
        _extract(folder / "X.zip", "X.ts", folder / "X.ts", hashlib.sha256(b"hostile").hexdigest())
    assert set(tmp_path.rglob("*")) - before <= {folder / "X.ts"}
    assert not Path("/tmp/X.ts").exists()


def test_a_link_in_an_archive_is_no_link(tmp_path: Path) -> None:
    member = zipfile.ZipInfo("X.ts")
    member.external_attr = 0o120777 << 16  # a symbolic link, as `zip -y` stores it
    with zipfile.ZipFile(tmp_path / "X.zip", "w") as archive:
        archive.writestr(member, b"/etc/passwd")
    _extract(tmp_path / "X.zip", "X.ts", tmp_path / "X.ts", None)
    assert not (tmp_path / "X.ts").is_symlink()
    assert (tmp_path / "X.ts").read_bytes() == b"/etc/passwd"


def test_no_code_unpacks_a_whole_archive() -> None:
    for where, name, _ in calls():
        assert name.rpartition(".")[2] not in ("extractall", "unpack_archive"), where


def test_servers_are_for_this_machine_only_unless_told_otherwise() -> None:
    assert build_parser().parse_args(["ui"]).host == "127.0.0.1"
    for path in SOURCES:
        text = path.read_text(encoding="utf-8")
        hosts = re.findall(r'"--host",\s*default=([^,\s)]+)', text)
        assert len(hosts) == text.count('add_argument("--host"') + text.count('add_argument(\n        "--host"'), path
        assert set(hosts) <= {'"127.0.0.1"'}, path
        assert not re.search(r"""bind\(\(["'](0\.0\.0\.0|::)?["']""", text), path


def test_a_data_error_of_a_pickle_names_the_file(tmp_path: Path) -> None:
    of_numpy(tmp_path / "x.npy", Bomb(tmp_path / "executed"))
    with pytest.raises(DataError, match=r"x\.npy: is no NumPy array of numbers"):
        read_npy(tmp_path / "x.npy", (-1,))
