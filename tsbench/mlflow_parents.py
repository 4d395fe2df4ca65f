"""Parent runs in MLflow: data set → model → seed, and data set → study → trial.

A parent is made from the runs below it *on the server*, never from one results folder: several folders, machines and
interrupted commands may send to one server, and whoever sends last makes the parents agree with what is there.
"""

from __future__ import annotations

import hashlib
import json
import math
import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from mlflow import MlflowClient
from mlflow.entities import Metric, Param, Run, RunTag

MOST_RUNS = 5000  # below one parent
ROUNDS = 20  # of looking again; more would mean that others write without end
MEANS = ("test/", "validation/", "seconds/", "cpu_seconds/", "parameters", "peak_memory_mb", "gpu_memory_mb")


@dataclass(frozen=True)
class Parent:
    """A run above others: of a data set under a protocol, of a variant of a model on it, or of a study.

    Attributes:
        results: whose study it is; two results folders may have studies of one name.
    """

    family: str
    dataset: str
    protocol: str
    variant: str = ""
    model: str = ""
    study: str = ""
    results: str = ""

    @property
    def id(self) -> str:
        """A short name for filters, in which a variant's quotes could not stand."""
        return hashlib.sha256(json.dumps(asdict(self)).encode()).hexdigest()[:20]

    @property
    def level(self) -> str:
        """What kind of run it is; the filter `tags.level = "model"` shows all of a kind."""
        return "study" if self.study else "model" if self.variant else "dataset"

    @property
    def above(self) -> Parent | None:
        """The parent of this parent."""
        return None if self.level == "dataset" else Parent(self.family, self.dataset, self.protocol)

    @property
    def fields(self) -> dict[str, str]:
        """What is both tag and parameter of its run."""
        named = ("family", "dataset", "protocol", "variant", "model", "study")
        return {"level": self.level} | {key: value for key in named if (value := getattr(self, key))}

    @property
    def run_name(self) -> str:
        """What the UI calls it."""
        if self.level == "model":
            return f"{self.variant} on {self.dataset}"
        return f"study {self.study}" if self.study else f"{self.dataset} protocol {self.protocol}"


@dataclass
class Summary:
    """What a parent says of the runs below it."""

    metrics: dict[str, float]
    tags: dict[str, str]


class Parents:
    """The parent runs of one MLflow store."""

    def __init__(self, client: MlflowClient, experiment: Callable[[str], str]) -> None:
        self.client, self.experiment = client, experiment
        self.known: dict[Parent, str] = {}

    def run_of(self, parent: Parent, started: int) -> str:
        """The run of a parent, made if there is none (and those above it)."""
        if parent not in self.known:
            run = self._found(parent) or self._made(parent, started)
            self.known[parent] = run.info.run_id
        return self.known[parent]

    def _made(self, parent: Parent, started: int) -> Run:
        tags = {"mlflow.runName": parent.run_name, "mlflow.source.name": "tsbench", "tsbench.heads": parent.id}
        if parent.above:
            tags |= {"tsbench.under": parent.above.id, "mlflow.parentRunId": self.run_of(parent.above, started)}
        run = self.client.create_run(self.experiment(parent.family), started, tags | parent.fields)
        self.client.log_batch(run.info.run_id, params=[Param(k, v) for k, v in parent.fields.items()])
        return run

    def _search(self, parent: Parent, tag: str) -> list[Run]:
        return list(
            self.client.search_runs(
                [self.experiment(parent.family)], f"tags.`{tag}` = '{parent.id}'", max_results=MOST_RUNS
            )
        )

    def _found(self, parent: Parent) -> Run | None:
        """Its run. Of several, made by senders that started at once, the first is kept."""
        runs = sorted(self._search(parent, "tsbench.heads"), key=lambda r: (r.info.start_time, r.info.run_id))
        for double in runs[1:]:
            self.client.delete_run(double.info.run_id)
        return runs[0] if runs else None

    def update(self, parent: Parent, started: int) -> None:
        """Make a parent agree with the runs below it, and look again until nothing has changed meanwhile."""
        summarise = over_models if parent.level == "dataset" else over_seeds
        for _ in range(ROUNDS):
            below = self._search(parent, "tsbench.under")
            run = self._found(parent) or self._made(parent, started)
            run_id = self.known[parent] = run.info.run_id
            for stray in (r for r in below if r.data.tags.get("mlflow.parentRunId") != run_id):
                self.client.set_tag(stray.info.run_id, "mlflow.parentRunId", run_id)
            if parent.level == "study":  # its own file says how it stands
                return
            wanted = summarise(below)
            gone = {name: math.nan for name in run.data.metrics.keys() - wanted.metrics.keys()}
            wanted.metrics.update(gone)  # MLflow deletes no metric: a std of earlier code must not stay
            shown = {name: str(value) for name, value in run.data.metrics.items()}
            same = shown == {name: str(value) for name, value in wanted.metrics.items()}
            if same and wanted.tags.items() <= run.data.tags.items() and run.info.status == "FINISHED":
                return
            # A later time than that of what was written before, by whatever clock, makes this the value shown.
            now = max(int(time.time() * 1000), int(run.data.tags.get("tsbench.updated", 0)) + 1)
            tags = wanted.tags | {"tsbench.updated": str(now)}
            self.client.log_batch(
                run_id,
                [Metric(key, value, now, 0) for key, value in wanted.metrics.items()],
                tags=[RunTag(key, value) for key, value in tags.items()],
            )
            ended = max((r.info.end_time for r in below if r.info.end_time), default=now)
            self.client.set_terminated(run_id, "FINISHED", ended)


def over_seeds(runs: Sequence[Run]) -> Summary:
    """Means over seeds under the seeds' own names, `std/…` beside the scores, and how many there are.

    Only finished runs of the newest code and data count, one a seed, as in the report.
    """
    finished = sorted((r for r in runs if r.info.status == "FINISHED"), key=lambda r: r.info.end_time)
    failed = {r.data.tags["tsbench.key"] for r in runs if r.info.status == "FAILED"}
    failed -= {r.data.tags["tsbench.key"] for r in finished}
    metrics = {"seeds": 0.0, "failed": float(len(failed))}
    if not finished:
        return Summary(metrics, {"suite": _suites(runs)})
    newest = finished[-1].data.tags
    used = {r.data.tags["seed"]: r for r in finished if _origin(r.data.tags) == _origin(newest)}
    metrics["seeds"] = float(len(used))
    for name in sorted({name for r in used.values() for name in r.data.metrics if name.startswith(MEANS)}):
        values = [r.data.metrics[name] for r in used.values() if name in r.data.metrics]
        metrics[name] = statistics.fmean(values)
        if len(values) > 1 and name.startswith(("test/", "validation/")):
            metrics[f"std/{name}"] = statistics.stdev(values)
    kept = ("primary", "better", "told", "tsbench.digest", "tsbench.code", "tsbench.generated_data")
    return Summary(metrics, {key: newest[key] for key in kept if key in newest} | {"suite": _suites(runs)})


def _origin(tags: dict[str, str]) -> tuple[str | None, str | None]:
    return tags.get("tsbench.digest"), tags.get("tsbench.code")


def _suites(runs: Sequence[Run]) -> str:
    """All suites that runs were of; `tags.suite LIKE "%quick%"` finds them."""
    return ", ".join(sorted({s for r in runs for s in r.data.tags.get("suite", "").split(", ") if s}))


def over_models(runs: Sequence[Run]) -> Summary:
    """The best model's scores, its name, and a table of all models, which the UI shows as the run's description.

    Only models on the newest data count; one that is told what others are not is in the table without a rank.
    """
    scored = [r for r in runs if r.data.tags.get("level") == "model" and "primary" in r.data.tags]
    if not scored:
        return Summary({"models": 0.0}, {"suite": _suites(runs)})
    newest = max(scored, key=lambda r: r.info.end_time or 0).data.tags
    primary, sign = newest["primary"], -1 if newest["better"] == "higher" else 1
    rows = [r for r in scored if r.data.tags.get("tsbench.digest") == newest.get("tsbench.digest")]
    rows = sorted((r for r in rows if primary in r.data.metrics), key=lambda r: sign * r.data.metrics[primary])
    ranked = [r for r in rows if not r.data.tags.get("told")]
    table = [f"| rank | model | {primary} | std | seeds |", "|---|---|---|---|---|"]
    for row in rows:
        rank = ranked.index(row) + 1 if row in ranked else ""
        told = f" (told {row.data.tags['told']})" if row.data.tags.get("told") else ""
        std = row.data.metrics.get(f"std/{primary}")
        spread = "" if std is None else f"{std:.4f}"
        seeds = row.data.metrics["seeds"]
        table.append(
            f"| {rank} | {row.data.tags['variant']}{told} | {row.data.metrics[primary]:.4f} | {spread} | {seeds:.0f} |"
        )
    metrics: dict[str, float] = {"models": float(len(ranked))}
    found = {"primary": primary, "better": newest["better"], "suite": _suites(runs)}
    if ranked:
        best: Any = ranked[0].data
        found["best"] = best.tags["variant"]
        metrics |= {k: v for k, v in best.metrics.items() if k.startswith(("test/", "std/test/")) or k == "seeds"}
    notes = ["The data are generated by a program."] if newest.get("tsbench.generated_data") == "True" else []
    return Summary(metrics, found | {"mlflow.note.content": "\n".join([*notes, "", *table]).strip()})
