"""The file of a study: what Optuna knows of it, as JSON in the results folder, so that readers need no database."""

from __future__ import annotations

import json
import math
from typing import TYPE_CHECKING, Any

from tsbench.address import shown
from tsbench.plan import FIRST_SEED, dataset_spec
from tsbench.registry import dataset_label
from tsbench.search import Search, rounded
from tsbench.store import write_json

if TYPE_CHECKING:
    import optuna
    from optuna.trial import FrozenTrial

LOCK, KEY, REASON, SECONDS = "lock", "key", "reason", "seconds"  # user attributes of a trial
STATES = {"COMPLETE": "completed", "PRUNED": "pruned", "FAIL": "failed"}


def ended(trials: list[FrozenTrial]) -> list[FrozenTrial]:
    """Trials that use up the budget: completed, pruned, or failed by their settings. A killed one is made up for."""
    found = [t for t in trials if t.state.name in STATES]
    return [t for t in found if t.state.name != "FAIL" or REASON in t.user_attrs]


def _killed(trial: FrozenTrial) -> bool:
    return trial.state.name == "FAIL" and LOCK in trial.user_attrs and REASON not in trial.user_attrs


def cpu_seconds(trials: list[FrozenTrial]) -> float:
    """What trials cost; a result that served two of them counts once."""
    return sum({t.user_attrs.get(KEY): t.user_attrs.get(SECONDS, (0.0, 0.0))[1] for t in trials}.values())


def record(search: Search, study: optuna.Study, finished: bool = False) -> None:
    """Write what the study found so far, and once it is finished what its parameters matter; nothing before its
    first completed trial."""
    from optuna.distributions import distribution_to_json

    trials = study.get_trials(deepcopy=False)
    over = ended(trials)
    if not any(t.state.name == "COMPLETE" for t in over):
        return
    states = [STATES[t.state.name] for t in over]
    budget = {"trials": search.args.trials, "cpu_minutes": search.args.cpu_minutes}
    write_json(
        search.store.path("studies", f"{search.name}.json"),
        {
            "family": search.dataset.name.split("/")[0],
            "dataset": dataset_spec(search.dataset),
            "label": dataset_label(search.dataset),
            "content": search.digest,
            "model": search.model,
            "protocol": search.protocol,
            "code": search.code,
            "metric": search.metric,
            "higher_is_better": search.higher_is_better,
            "storage": shown(search.storage),
            "fixed": {k: str(v) for k, v in search.fixed.items()},
            "space": {k: repr(v) for k, v in search.space.items()},
            "distributions": {k: json.loads(distribution_to_json(v)) for k, v in search.space.items()},
            "budget": budget,
            "trial_seed": FIRST_SEED,
            "seeds": search.seeds,
            "variants": {
                "default": search.cell({}, FIRST_SEED).variant,
                "tuned": search.cell(study.best_params, FIRST_SEED).variant,
            },
            "trials": len(over),
            "pruned": states.count("pruned"),
            "failed": states.count("failed"),
            "killed": sum(map(_killed, trials)),
            "best_value": study.best_value,
            "best": rounded(study.best_params),
            "history": [_trial(t) for t in over],
            "importance": _importance(study) if finished else {},
            "finished": finished,
        },
    )


def _trial(trial: FrozenTrial) -> dict[str, Any]:
    """One trial; the value of a pruned one is the last that it reported."""
    about = trial.user_attrs
    value = trial.value if trial.state.name == "COMPLETE" else None
    if value is None and trial.intermediate_values:
        value = trial.intermediate_values[max(trial.intermediate_values)]
    wall, cpu = about.get(SECONDS, (0.0, 0.0))
    return {
        "number": trial.number,
        "state": STATES[trial.state.name],
        "value": value if value is not None and math.isfinite(value) else None,
        "params": rounded(trial.params),
        "epochs": len(trial.intermediate_values),
        "seconds": wall,
        "cpu_seconds": cpu,
        "key": about.get(KEY, ""),
        "reason": about.get(REASON, ""),
    }


def _importance(study: optuna.Study) -> dict[str, float]:
    """Parameter -> its share in making a trial one of the best tenth (PED-ANOVA, Watanabe et al. 2023), of the
    completed trials; nothing where these cannot tell."""
    import warnings

    from optuna.importance import get_param_importances

    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # few trials: the reader is told of that where it is shown
            found = get_param_importances(study)
    except (ValueError, RuntimeError):  # a single completed trial, or none that differ
        return {}
    return {name: round(share, 4) for name, share in found.items() if math.isfinite(share)}
