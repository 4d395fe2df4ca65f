"""Results made by hand, for tests of reports."""

from __future__ import annotations

from typing import Any

ENVIRONMENT = {"torch": "2", "tsbench": "0", "python": "3", "processor": "p", "git": None}
COMMON: dict[str, Any] = {
    "status": "finished", "code": "c", "parameters": 5, "peak_memory_mb": 100.0, "seconds": {"fit": 1.0},
    "cpu_seconds": {"fit": 2.0, "refit": 3.0}, "environment": ENVIRONMENT,
}  # fmt: skip


def classified(
    model: str,
    seed: int,
    accuracy: float,
    dataset: str = "uea/made",
    *,
    protocol: str = "validation",
    test: int = 100,
    labels: tuple[str, ...] = ("up", "down"),
    confusion: list[list[int]] | None = None,
    generated: bool = False,
    sources: list[dict[str, Any]] | None = None,
    **more: Any,
) -> dict[str, Any]:
    """A finished classification."""
    values = {name: accuracy for name in ("accuracy", "balanced_accuracy", "macro_f1", "mcc")}
    values |= {"log_loss": 1 - accuracy, "calibration_error": 0.1}
    right = round(accuracy * test)
    return COMMON | {
        "key": f"{model}{seed}", "finished": f"2026-01-0{seed}", "variant": model,
        "cell": {"dataset": dataset, "protocol": protocol, "model": model, "settings": {}, "seed": seed, "test": True},
        "data": {"label": dataset, "name": dataset, "family": dataset.split("/")[0], "digest": "d",
                 "generated": generated, "sources": sources or [], "samples": {"test": test},
                 "selected_on_test": protocol == "test-selected"},
        "task": {"kind": "Classification", "inputs": {"kind": "Series", "length": 9, "channels": 2},
                 "classes": len(labels), "labels": list(labels)},
        "scores": {"validation": values, "test": values},
        "units": {"test": {"accuracy": [1.0] * right + [0.0] * (test - right)}},
        "tables": {"test": {"confusion": confusion or [[right, test - right], [0, 0]]}},
        "curves": [], **more,
    }  # fmt: skip
