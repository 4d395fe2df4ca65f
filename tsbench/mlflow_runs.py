"""What a run in MLflow holds of a result: names, tags, parameters, curves, files. Its parents: `mlflow_parents.py`.

Imports mlflow, so training code never imports this module.
"""

from __future__ import annotations

import json
import re
import tempfile
from datetime import datetime
from pathlib import Path

from mlflow import MlflowClient
from mlflow.entities import Dataset, DatasetInput, InputTag, Metric, Param

from tsbench.errors import TsbenchError
from tsbench.mlflow_parents import Parent
from tsbench.registry import find_model, task_from_record, task_kinds
from tsbench.store import Result, Store

ENDS = {"finished": "FINISHED", "pruned": "KILLED", "failed": "FAILED"}
LONGEST_TAG, LONGEST_PARAM = 5000, 6000
MOST_PARAMS, MOST_METRICS = 90, 900  # MLflow's limits for one call are 100 and 1,000


def parents_of(result: Result, results_id: str) -> list[Parent]:
    """The runs above that of a result, from the nearest up: model, data set; or study, data set."""
    cell, data = result["cell"], result.get("data", {})
    label = data.get("label", cell["dataset"])
    family = data.get("family", cell["dataset"].split("/")[0]) or "files"
    above = Parent(family, label, cell["protocol"])
    if cell["study"]:
        nearest = Parent(family, label, cell["protocol"], study=cell["study"], results=results_id)
    else:
        nearest = Parent(family, label, cell["protocol"], variant=result["variant"], model=cell["model"])
    return [nearest, above]


def fields(result: Result, parent: Parent) -> dict[str, str]:
    """What is both tag and parameter of a run: tables and filters take either, charts only parameters."""
    cell = result["cell"]
    return {
        "level": "trial" if cell["study"] else "seed",
        "suite": result["suite"] or "",
        "family": parent.family,
        "dataset": parent.dataset,
        "protocol": cell["protocol"],
        "model": cell["model"],
        "variant": result["variant"],
        "seed": str(cell["seed"]),
        "study": cell["study"] or "",
    }


def tags(name: str, result: Result, results_id: str, parent: Parent) -> dict[str, str]:
    """All tags of a run; `name` is that of the result in its results folder `results_id`."""
    cell, made, data = result["cell"], result["environment"], result.get("data", {})
    run_name = f"{result['variant']} on {parent.dataset}" + ("" if cell["study"] else f" seed {cell['seed']}")
    found = {
        "mlflow.runName": run_name,
        "mlflow.source.name": "tsbench",
        "mlflow.source.git.commit": (made.get("git") or "").removesuffix("+changes"),
        **fields(result, parent),
        **_aim(result),
        "tsbench.under": parent.id,
        "tsbench.name": name,
        "tsbench.results": results_id,
        "tsbench.key": result["key"],
        "tsbench.status": result["status"],
        "tsbench.generated_data": str(data.get("generated", "")),
        "tsbench.selected_on_test": str(data.get("selected_on_test", "")),
        "tsbench.digest": data.get("digest", ""),
        "tsbench.code": result.get("code", ""),
        "tsbench.device": result["device"],
        **{f"environment.{key}": str(value) for key, value in made.items()},
    }
    if "reason" in result:
        found["mlflow.note.content"] = f"{result['status']}: {result['reason']}"
    return {key: value[:LONGEST_TAG] for key, value in found.items() if value}


def _aim(result: Result) -> dict[str, str]:
    """The score that ranks models, which way is better, and what the model is told that others are not."""
    if not result.get("scores", {}).get("test"):
        return {}
    kind = task_kinds()[result["task"]["kind"]]
    try:
        told = find_model(result["cell"]["model"]).told
    except TsbenchError:  # its file or plug-in is no longer here
        told = ""
    free = "correct" in kind.metrics and "correct" not in result["scores"]["test"]  # no target that could be told
    return {
        "primary": metric_name(f"test/{kind.primary}"),
        "better": "higher" if kind.metrics[kind.primary].higher_is_better else "lower",
        "told": "" if free and told == "the target" else told,
    }


def fill(client: MlflowClient, run_id: str, result: Result, parent: Parent) -> None:
    """Write parameters, scores, curves and the data set of a result into its run."""
    cell = result["cell"]
    values = fields(result, parent) | {f"set.{key}": str(value) for key, value in cell["settings"].items()}
    params = [Param(key, value[:LONGEST_PARAM]) for key, value in values.items() if value]
    when = milliseconds(result["finished"])
    metrics = [Metric(metric_name(k), float(v), when, 0) for k, v in _numbers(result).items()]
    for epoch, curve in enumerate(result.get("curves", []), 1):
        metrics += [Metric(metric_name(f"epoch/{k}"), float(v), when, epoch) for k, v in curve.items()]
    for at in range(0, max(len(metrics), 1), MOST_METRICS):
        client.log_batch(run_id, metrics[at : at + MOST_METRICS], params[:MOST_PARAMS] if at == 0 else [])
    if "data" in result:
        client.log_inputs(run_id, [_input(result)])


def _input(result: Result) -> DatasetInput:
    """Data set with digest, origin and sizes."""
    data, protocol = result["data"], result["cell"]["protocol"]
    source = json.dumps(data["sources"] or {"generated" if data["generated"] else "carried by a package": True})
    profile = json.dumps({"samples": data["samples"], "protocol": protocol, "generated": data["generated"]})
    about = Dataset(data["name"], data["digest"][:36], "tsbench", source, profile=profile)
    return DatasetInput(about, [InputTag("mlflow.data.context", f"protocol {protocol}")])


def _numbers(result: Result) -> dict[str, float]:
    """The numbers of a result that are no curves."""
    values = {f"{split}/{m}": v for split, scores in result.get("scores", {}).items() for m, v in scores.items()}
    values |= {f"seconds/{part}": v for part, v in result["seconds"].items()}
    values |= {f"cpu_seconds/{part}": v for part, v in result["cpu_seconds"].items()}
    values |= {f"measured/{name}": v for name, v in result.get("measured", {}).items()}
    extra = {k: result.get(k) for k in ("parameters", "peak_memory_mb", "gpu_memory_mb")}
    return values | {k: v for k, v in extra.items() if v is not None}


def attach(client: MlflowClient, run_id: str, result: Result, store: Store) -> None:
    """Attach result file, plots and model."""
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        (folder / "result.json").write_text(json.dumps(result))
        if "examples" in result:
            figure = task_kinds()[result["task"]["kind"]].figure(result["examples"])
            (folder / "examples.svg").write_text(figure)
        for split, tables in result.get("tables", {}).items():
            for name, chart in task_from_record(result["task"]).charts(tables).items():
                (folder / f"{split}_{name}.svg").write_text(chart)
        client.log_artifacts(run_id, str(folder))
    model = store.path("artifacts", result["key"])
    if model.is_dir():
        client.log_artifacts(run_id, str(model), "model")


def metric_name(metric: str) -> str:
    """A name that MLflow takes: `recall@10` becomes `recall_at_10`."""
    return re.sub(r"[^\w\-. :/]", "_", metric.replace("@", "_at_"))


def milliseconds(when: str) -> int:
    """Milliseconds since 1970 of a time in ISO format."""
    return int(datetime.fromisoformat(when).timestamp() * 1000)
