"""Trials on many machines: the driver asks Optuna and tells it; nodes try, and report to the study's storage."""

from __future__ import annotations

from argparse import Namespace
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from filelock import Timeout

from tsbench.cluster import Answer, Nodes, keep, node_name, placed, store_at, written
from tsbench.errors import TsbenchError, UsageError
from tsbench.search import Search
from tsbench.store import Store
from tsbench.tune import Asked, ask, attempt, cell_of, lose, outcome_of, tell

if TYPE_CHECKING:
    import optuna

MOST_LOST = 3  # trials in a row, before a study gives up: then it is the cluster that fails


def tune_on(nodes: Nodes, args: Namespace) -> None:
    """Run the trials of one study on a cluster until its budget is used up.

    Raises:
        UsageError: nodes could not reach the study's storage.
        TsbenchError: trial after trial was lost, by no fault of their settings.
    """
    search = Search(args)
    if search.storage.startswith("sqlite") and len(nodes.hosts) > 1:
        raise UsageError("a study on several machines needs --storage postgresql://USER@HOST/NAME, which all can reach")
    device, threads = placed(args)
    there = Namespace(**{**vars(args), "storage": search.storage, "device": device, "threads": threads})
    study, lost = search.open_study(), 0
    while (asked := "wait" if nodes.full else ask(search, study)) != "enough":
        answers = nodes.answers() if asked == "wait" else _begin(nodes, search, study, asked, there)
        for (trial, key), answer in answers:
            reason = answer if isinstance(answer, str) else _kept(answer, key, search.store)
            if isinstance(answer, str) or reason:
                lose(study, trial, reason)
                lost += 1
                if lost >= MOST_LOST:
                    raise TsbenchError(f"{lost} trials in a row were lost: {reason}. The same command continues.")
                continue
            lost = 0
            # What is in the store counts: where two trials had the same settings, the first of them to end.
            known = search.store.read(key)
            tell(search, study, trial, outcome_of(search, key, known) if known else answer.value)


def _begin(
    nodes: Nodes, search: Search, study: optuna.Study, asked: Asked, args: Namespace
) -> Iterator[tuple[tuple[Asked, str], Answer | str]]:
    """Send a trial; or answer at once, if an earlier one of the same settings has the result, or its data are gone."""
    try:
        _, key = cell_of(search, study, asked.number)
    except (TsbenchError, OSError) as error:
        yield (asked, ""), str(error)
        return
    if search.store.finished(key):
        yield (asked, key), Answer({}, "")
    else:
        nodes.send((asked, key), trial_on_node, args, asked.number)


def _kept(answer: Answer, key: str, store: Store) -> str:
    """Keep an answer; returns why it could not be."""
    try:
        with store.lock(key).acquire(timeout=0):
            keep(answer, store)
    except Timeout:  # another runner is at the same settings, and will keep what it finds
        return ""
    except OSError as error:
        return f"its result could not be kept: {error}"
    return ""


def trial_on_node(folder: Path, args: Namespace, number: int) -> Answer:
    """A task: one trial of the study that `args` mean, reported through its storage."""
    with store_at(folder) as store:
        outcome = attempt(Namespace(**{**vars(args), "results": store.root}), number)
        return Answer(written(store), node_name(), outcome)
