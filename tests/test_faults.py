"""Kill -9 and company: nothing finished is lost, nothing runs twice, the reason is told, the exit code is right."""

from __future__ import annotations

import os
import random
import re
import signal
import subprocess
import time
from pathlib import Path

import pytest

from tests.conftest import command_line
from tests.faults import FAULTS, Impossible, Ledger
from tsbench.store import Store, write_json


@pytest.mark.slow
@pytest.mark.parametrize("name", FAULTS)
def test_nothing_is_lost_or_done_twice(name: str, tmp_path: Path) -> None:
    fault, ledger = FAULTS[name], Ledger(tmp_path)
    try:
        wanted = fault.do(ledger, random.Random(name))
    except Impossible as reason:
        pytest.skip(str(reason))
    assert (len(ledger.seen), ledger.lost, ledger.twice) == (wanted, 0, 0), ledger.told
    assert tuple(ledger.codes) == fault.codes, ledger.told
    assert re.search(fault.reason, ledger.told), ledger.told
    if ledger.codes[-1] == 0:
        assert not list(ledger.store.failures())


CELLS = [
    "run", "--dataset", "sktime/airline/12", "--model", "dlinear", "--model", "nlinear", "--seeds", "6",
    "--no-report", "--tracking", "none", "--jobs", "2",
]  # fmt: skip


def start(folder: Path, *more: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        command_line(*CELLS, *more), cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
        start_new_session=True,
    )  # fmt: skip


def finished(folder: Path) -> dict[str, str]:
    """When each finished cell was finished."""
    return {r["key"]: r["finished"] for r in Store(folder / "results").results()}


@pytest.mark.slow
def test_a_killed_worker_is_replaced(tmp_path: Path) -> None:
    process = start(tmp_path)
    killed = 0
    deadline = time.monotonic() + 60
    while not killed and time.monotonic() < deadline:
        children = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()
        workers = [c for c in children if b"spawn_main" in Path(f"/proc/{c}/cmdline").read_bytes()]
        if len(finished(tmp_path)) >= 1 and workers:
            os.kill(int(workers[0]), signal.SIGKILL)
            killed = 1
        time.sleep(0.02)
    out, _ = process.communicate(timeout=300)
    assert killed
    assert process.returncode == 0, out
    assert len(finished(tmp_path)) == 12


def test_results_are_written_whole_or_not_at_all(tmp_path: Path) -> None:
    class Unwritable:
        pass

    path = tmp_path / "a.json"
    write_json(path, {"a": 1})
    with pytest.raises(TypeError):
        write_json(path, {"a": Unwritable()})
    assert path.read_text() == '{"a":1}'
    assert list(tmp_path.iterdir()) == [path]
