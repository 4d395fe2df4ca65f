"""Results from one folder to another: what arrives, what is never replaced, and archives that mean harm."""

from __future__ import annotations

import contextlib
import copy
import functools
import gzip
import hashlib
import io
import itertools
import json
import math
import multiprocessing
import operator
import os
import pickle
import shutil
import signal
import stat
import tarfile
import time
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, cast

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.conftest import Command
from tsbench import archive
from tsbench.archive import read_archive, write_archive
from tsbench.cell import Cell, identity, key_of, make_cell
from tsbench.errors import TsbenchError, UsageError
from tsbench.mlflow_runs import fill, milliseconds, parents_of, tags
from tsbench.receiver import Receiver
from tsbench.record import check_record, check_study
from tsbench.registry import find_datasets
from tsbench.report import as_html, terminal
from tsbench.run import Options, run_cell
from tsbench.store import Result, Store, read_json, write_json
from tsbench.studies import study_of
from tsbench.summary import boards
from tsbench.transfer import chosen

KEY = "0123456789abcdef" * 2
CELL = f"cells/{KEY}.json"
SUFFIXES = [".tar.gz", ".zip"]
TRIALS = [
    {"number": i, "state": state, "value": value, "params": {"lr": 10.0**-i}, "epochs": 2, "seconds": 1.0,
     "cpu_seconds": 1.0, "key": f"{i}", "reason": ""}
    for i, (state, value) in enumerate((("completed", 0.5), ("pruned", 0.7), ("failed", None)))
]  # fmt: skip
STUDY: dict[str, Any] = {
    "family": "sktime", "dataset": "sktime/airline/12", "label": "sktime/airline/12", "content": "d",
    "model": "dlinear", "protocol": "full", "code": "c", "metric": "mse", "higher_is_better": False,
    "storage": "sqlite:///s.db", "fixed": {}, "space": {"lr": "0.01 to 1"},
    "distributions": {"lr": {"name": "FloatDistribution", "attributes": {"low": 0.01, "high": 1.0, "log": True}}},
    "budget": {"trials": 3, "cpu_minutes": None}, "trial_seed": 2021, "seeds": [2021],
    "variants": {"default": "dlinear", "tuned": "dlinear:lr=1"}, "trials": 3, "pruned": 1, "failed": 1, "killed": 0,
    "best_value": 0.5, "best": {"lr": 1.0}, "history": TRIALS, "importance": {"lr": 1.0}, "finished": True,
}  # fmt: skip


def airline(model: str, **changed: Any) -> Cell:
    (dataset,) = find_datasets("sktime/airline/12")
    return make_cell(dataset, dataset.name, None, model, changed, 2021)


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Store:
    """A results folder with two finished cells, a failed one and a study."""
    store = Store(tmp_path_factory.mktemp("made") / "results")
    cells = (airline("dlinear", epochs=2), airline("repeat"), airline("nlinear", lr=1e30, epochs=1))
    ends = [run_cell(c, key_of(identity(c, Path())), store, Options(Path(), suite="quick")) for c in cells]
    assert ends == ["finished", "finished", "failed"]
    write_json(store.path("studies", "s-1.json"), STUDY)
    return store


@pytest.fixture(scope="module", params=SUFFIXES)
def packed(made: Store, request: pytest.FixtureRequest) -> Path:
    path = made.root.parent / f"a{request.param}"
    write_archive(path, chosen(made, [], [], failures=True))
    return path


def tree(folder: Path) -> dict[str, bytes]:
    """All files but locks, which say nothing."""
    files = (path for path in folder.rglob("*") if path.is_file() and path.suffix != ".lock")
    return {str(path.relative_to(folder)): path.read_bytes() for path in files}


def take(path: Path, results: Path) -> Receiver:
    into = Receiver(Store(results), [])
    into.take_archive(path)
    return into


def test_what_is_exported_arrives_as_it_was_and_only_once(made: Store, packed: Path, tmp_path: Path) -> None:
    first = take(packed, tmp_path)
    assert tree(tmp_path) == tree(made.root)
    assert (len(first.taken), first.there, first.left) == (8, [], [])
    again = take(packed, tmp_path)
    assert (again.taken, len(again.there), again.left) == ([], 8, [])
    assert tree(tmp_path) == tree(made.root)


def test_equal_results_give_equal_archives(made: Store, packed: Path, tmp_path: Path) -> None:
    again = tmp_path / packed.name
    write_archive(again, chosen(made, [], [], failures=True))
    assert again.read_bytes() == packed.read_bytes()
    with pytest.raises(UsageError, match="exists"):
        write_archive(again, {})
    with pytest.raises(UsageError, match=r"\.tar\.gz"):
        write_archive(tmp_path / "a.rar", {})


def test_filters_choose(made: Store) -> None:
    assert {n.split("/")[0] for n in chosen(made, [], [], artifacts=False)} == {"cells", "studies"}
    assert len(chosen(made, [], ["repeat"])) == 3, "a cell and its two files"
    assert len(chosen(made, ["sktime/*"], ["dlinear:*"])) == 3
    assert chosen(made, ["ltsf/*"], []) == {}
    (failure,) = (n for n in chosen(made, [], ["nlinear"], failures=True))
    assert failure.startswith("failures/")


def test_import_can_be_of_one_suite_or_data_set(packed: Path, tmp_path: Path) -> None:
    for datasets, suite, count in (([], "quick", 7), ([], "other", 0), (["ltsf/*"], None, 0), (["sktime/*"], None, 8)):
        into = Receiver(Store(tmp_path / f"{datasets}{suite}".replace("/", "")), datasets, suite)
        into.take_archive(packed)
        assert len(into.taken) == count, (datasets, suite)


def change(store: Store, edit: Callable[[Any], None]) -> str:
    """Edit the one cell of dlinear; returns its key."""
    (result,) = (r for r in store.results() if r["cell"]["model"] == "dlinear")
    edit(result)
    write_json(store.path("cells", f"{result['key']}.json"), result)
    return str(result["key"])


def test_a_different_result_is_kept_and_named(made: Store, packed: Path, tmp_path: Path) -> None:
    shutil.copytree(made.root, tmp_path / "r")
    store = Store(tmp_path / "r")
    key = change(store, lambda result: result["scores"]["test"].update(mse=9.0))
    shutil.rmtree(store.path("artifacts", key))
    before = tree(store.root)
    into = take(packed, store.root)
    (told,) = into.left
    assert f"cells/{key}.json" in told
    assert "test mse: 9.0 → " in told
    assert tree(store.root) == before, "nor did its weights come, which are of the other result"


def test_the_same_scores_at_another_time_are_the_same_result(made: Store, packed: Path, tmp_path: Path) -> None:
    shutil.copytree(made.root, tmp_path / "r")
    key = change(Store(tmp_path / "r"), lambda result: result.update(finished="2001-01-01T00:00:00.000+00:00"))
    assert take(packed, tmp_path / "r").left == []
    assert read_json(tmp_path / "r" / "cells" / f"{key}.json")["finished"].startswith("2001")


def test_models_come_after_their_cells(made: Store, packed: Path, tmp_path: Path) -> None:
    write_archive(tmp_path / "light.zip", chosen(made, [], [], artifacts=False))
    take(tmp_path / "light.zip", tmp_path / "r")
    assert not (tmp_path / "r" / "artifacts").exists()
    assert len(take(packed, tmp_path / "r").taken) == 5, "four files of models and the failure"
    assert tree(tmp_path / "r") == tree(made.root)


def test_a_finished_cell_makes_good_a_failure_and_never_the_other_way(made: Store, tmp_path: Path) -> None:
    (failure,) = made.failures()
    store = Store(tmp_path / "r")
    finished = next(made.results()) | {"key": failure["key"], "cell": failure["cell"]}
    store.write_failure(failure["key"], failure)
    write_json(tmp_path / "cell.json", finished)
    write_archive(tmp_path / "a.zip", {f"cells/{failure['key']}.json": tmp_path / "cell.json"})
    take(tmp_path / "a.zip", store.root)
    assert list(store.failures()) == []
    assert not list(store.path("failures", "").glob("*.json"))
    write_archive(tmp_path / "b.zip", chosen(made, [], ["nlinear"], failures=True))
    assert take(tmp_path / "b.zip", store.root).taken == []
    assert store.finished(failure["key"])


def test_a_cell_that_runs_is_left_alone(made: Store, packed: Path, tmp_path: Path) -> None:
    store = Store(tmp_path)
    key = next(made.results())["key"]
    with store.lock(key), pytest.raises(TsbenchError, match="a runner is at"):
        take(packed, tmp_path)
    take(packed, tmp_path)
    assert tree(tmp_path) == tree(made.root)


def test_killed_in_the_middle_it_goes_on(tmp_path: Path) -> None:
    """SIGKILL, for real: what is there is whole, and the same command takes the rest."""
    files = {}
    for number in range(200):
        name = f"studies/s{number}.json"
        write_json(tmp_path / name, STUDY | {"trials": number})
        files[name] = tmp_path / name
    write_archive(tmp_path / "a.tar.gz", files)
    results = tmp_path / "r"
    process = multiprocessing.get_context("fork").Process(target=take, args=(tmp_path / "a.tar.gz", results))
    process.start()
    while process.is_alive() and len(list(results.glob("studies/*.json"))) < 5:
        time.sleep(0.001)
    os.kill(process.pid or 0, signal.SIGKILL)
    process.join()
    for path in (found := list(results.glob("studies/s*.json"))):
        assert path.read_bytes() == (tmp_path / "studies" / path.name).read_bytes()
    assert 5 <= len(found) < 200, "killed in the middle"
    again = take(tmp_path / "a.tar.gz", results)
    assert len(again.taken) == 200 - len(found)
    assert len(list(results.glob("studies/s*.json"))) == 200


def test_a_full_disk_leaves_no_half_file(
    packed: Path, made: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*arguments: Any) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patched:
        patched.setattr(os, "replace", full)
        with pytest.raises(OSError, match="No space"):
            take(packed, tmp_path)
    assert tree(tmp_path) == {}
    take(packed, tmp_path)
    assert tree(tmp_path) == tree(made.root)


# Archives that were damaged, or made to do harm.

PATIENT = settings(
    max_examples=120,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.differing_executors],
)


def refused_or_the_same(content: bytes, kind: str, folder: Path, original: dict[str, bytes]) -> bool:
    """Import damaged bytes into a folder with a result of its own; True if they were refused, with nothing changed."""
    shutil.rmtree(folder, ignore_errors=True)
    write_json(folder / "r" / "studies" / "mine.json", {"trials": 1})
    mine = tree(folder / "r")
    path = folder / f"damaged{kind}"
    path.write_bytes(content)
    try:
        take(path, folder / "r")
    except TsbenchError:
        assert tree(folder / "r") == mine
        return True
    assert tree(folder / "r") == original | mine, "what is taken is what was sent"
    return False


@PATIENT
@given(data=st.data())
def test_an_archive_cut_anywhere_changes_nothing(
    data: st.DataObject, packed: Path, made: Store, tmp_path: Path
) -> None:
    content = packed.read_bytes()
    length = data.draw(st.integers(0, len(content) - 1))
    assert refused_or_the_same(content[:length], packed.name[1:], tmp_path / "x", tree(made.root))


@PATIENT
@given(data=st.data())
def test_a_flipped_byte_is_refused_or_does_not_matter(
    data: st.DataObject, packed: Path, made: Store, tmp_path: Path
) -> None:
    content = bytearray(packed.read_bytes())
    place = data.draw(st.integers(0, len(content) - 1))
    content[place] ^= data.draw(st.integers(1, 255))
    refused_or_the_same(bytes(content), packed.name[1:], tmp_path / "x", tree(made.root))


@PATIENT
@given(content=st.binary(max_size=400), start=st.sampled_from([b"", b"\x1f\x8b\x08\x00", b"PK\x03\x04"]))
def test_any_bytes_are_refused(content: bytes, start: bytes, tmp_path: Path) -> None:
    assert refused_or_the_same(start + content, ".tar.gz", tmp_path / "x", {})


def manifest(content: dict[str, bytes], **more: Any) -> bytes:
    listed = {name: (hashlib.sha256(part).hexdigest(), len(part)) for name, part in content.items()}
    return json.dumps({"tsbench": "results", "format": 1, "files": listed} | more).encode()


def tar_of(files: dict[str, bytes], head: bytes, edit: Callable[[tarfile.TarInfo], None] = lambda m: None) -> bytes:
    """A tar.gz by hand, whose members but the first are edited."""
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w:gz") as tar:
        for name, content in {"manifest.json": head, **files}.items():
            member = tarfile.TarInfo(name)
            member.size = len(content)
            if name != "manifest.json":
                edit(member)
            tar.addfile(member, io.BytesIO(content))
    return out.getvalue()


def zip_of(files: dict[str, bytes], head: bytes, mode: int = stat.S_IFREG | 0o644) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as made:
        for name, content in {"manifest.json": head, **files}.items():
            member = zipfile.ZipInfo(name)
            member.filename = name  # ZipInfo mends some names by itself
            member.external_attr = (stat.S_IFREG | 0o644 if name == "manifest.json" else mode) << 16
            made.writestr(member, content)
    return out.getvalue()


HOSTILE = [
    "../x", "../cells/x.json", "/tmp/x", "//tmp/x", f"cells/../../{KEY}.json", f"{CELL}/../../../x", f"{CELL}\n",
    f"./{CELL}", f"cells//{KEY}.json", f"cells\\..\\..\\{KEY}.json", "C:\\x", "C:x", "~/x",
    f"artifacts/{KEY}/../../../x",
    f"artifacts/{KEY}/.hidden", f"artifacts/{KEY}/code.py", f"artifacts/{KEY}/weights.pkl", "studies/../x.json",
    "studies/.json", "studies/..json", f"cells/{KEY.upper()}.json", f"cells/{KEY[:-1]}٣.json", "locks/x.lock",
    "mlflow.db",
    f"checkpoints/{KEY}.pt", "cells/", "", ".", "..", "manifest.json/x", f"{CELL}\x00.py", "cells", "C" * 300,
]  # fmt: skip


@pytest.mark.parametrize("name", HOSTILE)
@pytest.mark.parametrize("pack", [tar_of, zip_of])
def test_hostile_names_write_nothing_anywhere(name: str, pack: Callable[..., bytes], tmp_path: Path) -> None:
    files = {name: b"{}"}
    assert refused_or_the_same(pack(files, manifest(files)), ".x", tmp_path / "x", {})
    assert refused_or_the_same(pack(files, manifest({CELL: b"{}"})), ".x", tmp_path / "x", {}), "a name not listed"
    assert [p.name for p in tmp_path.iterdir()] == ["x"]


@PATIENT
@given(name=st.text("./\\~:abcellsstudies0\n\x00é", max_size=60))
def test_any_other_name_is_refused(name: str, tmp_path: Path) -> None:
    if not archive.NAMES.fullmatch(name):
        files = {name: b"{}"}
        assert refused_or_the_same(tar_of(files, manifest(files)), ".x", tmp_path / "x", {})


@pytest.mark.parametrize(
    "kind", [tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.FIFOTYPE, tarfile.CHRTYPE, tarfile.BLKTYPE, tarfile.DIRTYPE]
)
def test_links_devices_and_folders_are_refused(kind: bytes, tmp_path: Path) -> None:
    def edit(member: tarfile.TarInfo) -> None:
        member.type, member.linkname = kind, "/etc/passwd"

    files = {"studies/s.json": b"{}"}
    assert refused_or_the_same(tar_of(files, manifest(files), edit), ".x", tmp_path / "x", {})
    modes = {tarfile.SYMTYPE: stat.S_IFLNK, tarfile.FIFOTYPE: stat.S_IFIFO, tarfile.CHRTYPE: stat.S_IFCHR}
    mode = modes.get(kind, stat.S_IFDIR) | 0o644
    assert refused_or_the_same(zip_of(files, manifest(files), mode), ".x", tmp_path / "x", {})


def test_what_expands_too_much_is_refused_before_it_does(tmp_path: Path) -> None:
    path = tmp_path / "bomb.tar.gz"

    def told(content: bytes, limit: int = 1 << 20) -> str:
        path.write_bytes(content)
        with pytest.raises(TsbenchError) as error:
            list(read_archive(path, limit))
        return str(error.value)

    zeros = {f"artifacts/{KEY}/weights.pt": bytes(5 << 20)}
    for pack in (tar_of, zip_of):
        assert "would expand to" in told(pack(zeros, manifest(zeros)))
        lie = {f"artifacts/{KEY}/weights.pt": b"few"}
        assert "another sha256" in told(pack(zeros, manifest(lie))), "no more is read than is listed"
    header = tarfile.TarInfo("x")
    header.type, header.size = tarfile.XHDTYPE, 1 << 32  # a header that says it is 4 GB long
    assert "expands too much" in told(gzip.compress(header.tobuf(tarfile.GNU_FORMAT) + bytes(1 << 20)))
    large = manifest({}, files={"studies/s.json": ["0" * 64, 1 << 29]})
    assert "which no result has" in told(tar_of({}, large), 1 << 40)


@pytest.mark.parametrize(
    ("head", "said"),
    [
        (manifest({}, format=2), "Update tsbench"),
        (manifest({}, tsbench="other"), "no archive"),
        (b"[]", "no archive"),
        (b"{", "cannot be read"),
        (b"[" * 100_000, "cannot be read"),
        (manifest({}, files=[]), "lists no files"),
        (manifest({}, files={CELL: ["0" * 63, 1]}), "no sha256"),
        (manifest({}, files={CELL: ["0" * 64, -1]}), "no sha256"),
        (manifest({CELL: b"{}"}), "is cut off"),
    ],
)
def test_what_the_manifest_must_say(head: bytes, said: str, tmp_path: Path) -> None:
    (tmp_path / "a.tar.gz").write_bytes(tar_of({}, head))
    with pytest.raises(TsbenchError, match=said):
        take(tmp_path / "a.tar.gz", tmp_path / "r")


@pytest.mark.parametrize(
    ("edit", "said"),
    [
        ({"format": 2}, "Update tsbench"),
        ({"status": "won"}, "`status`"),
        ({"key": "f" * 32}, "does not belong there"),
        ({"status": []}, "`status`"),
        ({"cell": {}}, "its cell lacks"),
        ({"scores": None}, "`scores`"),
        ({"threads": "1"}, "`threads`"),
    ],
)
def test_a_file_that_is_no_result_is_refused(edit: dict[str, Any], said: str, made: Store, tmp_path: Path) -> None:
    result = next(made.results())
    files = {f"cells/{result['key']}.json": json.dumps(result | edit).encode()}
    (tmp_path / "a.zip").write_bytes(zip_of(files, manifest(files)))
    with pytest.raises(TsbenchError, match=said):
        take(tmp_path / "a.zip", tmp_path / "r")
    assert tree(tmp_path / "r") == {}


#: What a field is changed to; ABSENT drops it.
ABSENT = object()
OTHERS: tuple[Any, ...] = (ABSENT, None, "x", 3, -1.5, True, [], {}, [None], {"x": None}, math.nan, math.inf)


def places(value: Any, at: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """The way to every field inside; of a list, to its first item."""
    inside = value.items() if isinstance(value, dict) else enumerate(value[:1]) if isinstance(value, list) else ()
    for key, part in inside:
        yield (*at, key)
        yield from places(part, (*at, key))


def changed(record: Any, at: tuple[Any, ...], value: Any) -> Any:
    """A copy of a record with one field dropped or changed."""
    record = copy.deepcopy(record)
    *parents, last = at
    inside = functools.reduce(operator.getitem, parents, record)
    if value is ABSENT:
        del inside[last]
    else:
        inside[last] = copy.deepcopy(value)
    return record


class Unsent:
    """An MLflow that takes everything and keeps nothing."""

    def log_batch(self, *arguments: Any) -> None:
        """Take metrics and parameters."""

    def log_inputs(self, *arguments: Any) -> None:
        """Take a data set."""


def send(result: Result) -> None:
    """All that MLflow is told of a result."""
    parent = parents_of(result, "here")[0]
    tags("name", result, "here", parent)
    fill(cast(Any, Unsent()), "run", result, parent)
    assert milliseconds(result["started"]) <= milliseconds(result["finished"])


def read(records: list[Result]) -> str:
    """All that a report says of results."""
    failures = [record for record in records if record["status"] == "failed"]
    shown = boards([record for record in records if record["status"] != "failed"])
    return terminal(shown, failures) + as_html(shown, failures)


def test_a_record_with_any_field_changed_is_refused_or_can_be_reported(made: Store) -> None:
    """Else one imported file would end every report. All that is taken is reported at once, as one page."""
    taken, refused = [*made.results(), *made.failures()], []
    for record in list(taken):
        for at, value in itertools.product(places(record), OTHERS):
            odd = changed(record, at, value)
            try:
                check_record(odd, "f")
            except TsbenchError as error:
                refused.append(str(error))
            else:
                send(odd)
                if at[0] != "cell":  # beside the seeds that are there
                    odd["cell"]["seed"] = len(taken)
                taken.append(odd)
    assert all(told.startswith("f: ") for told in refused)
    assert len(refused) > len(taken) > 100
    assert "<html" in read(taken)


@pytest.mark.parametrize(
    "name",
    ["data.label", "data.sources", "data.samples.test", "scores.test.mse", "scores.validation.mse", "units.test.mse",
     "seconds.fit", "cpu_seconds.fit", "peak_memory_mb", "environment.torch", "task.kind", "cell.settings", "curves.0"],
)  # fmt: skip
def test_a_refused_record_is_told_the_field(name: str, made: Store) -> None:
    result = next(r for r in made.results() if r["curves"])
    way = tuple(int(part) if part.isdigit() else part for part in name.split("."))
    with pytest.raises(TsbenchError, match=f"here: .*`{name}` is no "):
        check_record(changed(result, way, None), "here")


def test_a_task_of_a_plug_in_that_is_not_here_is_refused(made: Store) -> None:
    with pytest.raises(TsbenchError, match="install its plug-in first"):
        check_record(changed(next(made.results()), ("task", "kind"), "Theirs"), "here")


def test_a_study_with_any_field_changed_is_refused_or_can_be_drawn() -> None:
    taken = []
    for at, value in itertools.product(places(STUDY), OTHERS):
        odd = changed(STUDY, at, value)
        with contextlib.suppress(TsbenchError):
            taken.append(check_study(odd, "s", "f"))
    assert len(taken) > 20
    assert all(drawn is None or drawn.charts() for drawn in (study_of("s", study) for study in taken))
    with pytest.raises(TsbenchError, match=r"f: .*`history.1.params`"):
        check_study(changed(STUDY, ("history", 1, "params"), None), "s", "f")


def test_a_study_that_is_none_changes_nothing(tmp_path: Path) -> None:
    for content, said in ((b"[]", "not a study"), (b"{", "not a study"), (b'{"trials": 1}', "`dataset`|`family`|`")):
        files = {"studies/s.json": content}
        (tmp_path / "a.zip").write_bytes(zip_of(files, manifest(files)))
        with pytest.raises(TsbenchError, match=said):
            take(tmp_path / "a.zip", tmp_path / "r")
        assert tree(tmp_path / "r") == {}


class Boom:
    def __init__(self, path: str) -> None:
        self.path = path

    def __reduce__(self) -> Any:
        return Path.touch, (Path(self.path),)


def test_weights_are_never_unpickled(made: Store, tmp_path: Path) -> None:
    from tsbench.differences import weights_differences

    shutil.copytree(made.root, tmp_path / "there")
    there = Store(tmp_path / "there")
    key = next(there.results())["key"]
    (there.path("artifacts", key) / "weights.pt").write_bytes(pickle.dumps(Boom(str(tmp_path / "executed"))))
    write_archive(tmp_path / "a.zip", chosen(there, [], []))
    take(tmp_path / "a.zip", tmp_path / "here")
    torch.save({"x": Boom(str(tmp_path / "executed"))}, there.path("artifacts", key) / "weights.pt")
    for store in (there, Store(tmp_path / "here")):
        (told,) = weights_differences(store.path("artifacts", key), made.path("artifacts", key))
        assert "safely" in told
    assert not (tmp_path / "executed").exists()


@pytest.mark.slow
def test_the_commands(made: Store, tsbench: Command, tmp_path: Path) -> None:
    shutil.copytree(made.root, tmp_path / "results")
    out = tsbench("export", "a.tar.gz", "--with-failures")
    assert out.stdout.startswith("2 cells, 1 failure, 1 study, 4 files of models in a.tar.gz"), out.stderr
    assert tsbench("import", "a.tar.gz", "--results", "r").returncode == 0
    change(Store(tmp_path / "r"), lambda result: result["scores"]["test"].update(mse=9.0))
    left = tsbench("import", "a.tar.gz", "--results", "r")
    assert left.returncode == 1
    assert "test mse: 9.0 → " in left.stdout
    for arguments, said in (
        (("import",), "name a FILE"),
        (("import", "none.zip"), "is not there"),
        (("export", "b.zip", "--dataset", "ltsf/*"), "nothing to export"),
        (("import", "results/studies/s-1.json"), "neither tar.gz nor zip"),
    ):
        wrong = tsbench(*arguments)
        assert (wrong.returncode, "Traceback" in wrong.stderr) == (2, False)
        assert said in wrong.stderr
    for command in ("export", "import", "reproduce"):
        assert "examples:" in tsbench(command, "--help").stdout
