"""Kill -9 and company: nothing finished is lost, nothing runs twice, the reason is told, the exit code is right."""

from __future__ import annotations

import random
import re
from pathlib import Path

import pytest

from tests.faults import FAULTS, Impossible, Ledger
from tsbench.store import write_json

LONG = ("tuner", "MLflow")  # left to benchmarks/faults.py; test_tune.py and test_tracking.py test their parts


@pytest.mark.slow
@pytest.mark.parametrize("name", [name for name in FAULTS if not any(word in name for word in LONG)])
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


def test_results_are_written_whole_or_not_at_all(tmp_path: Path) -> None:
    class Unwritable:
        pass

    path = tmp_path / "a.json"
    write_json(path, {"a": 1})
    with pytest.raises(TypeError):
        write_json(path, {"a": Unwritable()})
    assert path.read_text() == '{"a":1}'
    assert list(tmp_path.iterdir()) == [path]
