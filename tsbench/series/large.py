"""Settings for the archives of 5,000 training cases and more: an epoch is hundreds of steps, so that few are needed."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

#: Recipes of trained models: on held-out thirds of PenDigits' TRAIN, ten epochs left 1 % wrong.
LARGE: Mapping[str, Mapping[str, Any]] = {
    f"uea/{name}@*": {"batch_size": 64, "epochs": 10}
    for name in ("FaceDetection", "InsectWingbeat", "PenDigits", "SpokenArabicDigits")
}
