"""Kill -9 and company: nothing finished is lost, nothing runs twice."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import time
from pathlib import Path

import pytest

from tests.conftest import command_line
from tsbench.store import Store, write_json

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
def test_killed_again_and_again_then_finished(tmp_path: Path) -> None:
    """SIGKILL the whole process group at random moments; what was finished is never run again or lost."""
    random.seed(4)
    before: dict[str, str] = {}
    for _ in range(4):
        process = start(tmp_path)
        time.sleep(random.uniform(2.5, 5))
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        now = finished(tmp_path)
        assert before.items() <= now.items()
        before = now
    out, _ = start(tmp_path).communicate(timeout=300)
    after = finished(tmp_path)
    assert len(after) == 12, out
    assert before.items() <= after.items()
    assert not list((tmp_path / "results" / "failures").glob("*.json"))


@pytest.mark.slow
def test_two_runners_share_the_work(tmp_path: Path) -> None:
    runners = [start(tmp_path), start(tmp_path)]
    outs = [runner.communicate(timeout=300)[0] for runner in runners]
    assert [runner.returncode for runner in runners] == [0, 0], outs
    assert len(finished(tmp_path)) == 12
    lines = [line for out in outs for line in out.splitlines() if "  mse " in line]
    assert len([line for line in lines if "by another runner" not in line]) == 12, "none ran twice"
    results = list(Store(tmp_path / "results").results())
    assert len({r["invocation"] for r in results}) == 2, "both did a part"


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
