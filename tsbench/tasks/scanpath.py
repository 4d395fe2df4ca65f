"""Scanpaths: which objects of a display are fixated, in what order, and when the search ends."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from torch import Tensor
from torch.nn import functional as F

from tsbench.data import Batch
from tsbench.gaze.drawing import (
    length_histograms,
    saccade_histograms,
    scanpath_examples,
    scanpath_figure,
    search_curve,
)
from tsbench.gaze.metrics import BEHAVIOUR, CONVENTIONS, Conventions
from tsbench.gaze.multimatch import PARTS
from tsbench.gaze.scores import PARTIAL, Walked, WalkMeter
from tsbench.gaze.walk import walked
from tsbench.inputs import Objects
from tsbench.tasks.task import Counts, Examples, Labelling, Meter, Metric

SEED = 7  # of the draw: all models meet the same luck


@dataclass(frozen=True)
class Scanpath(Labelling):
    """Predict logits `(batch, step, token)` of each fixation given those before; the target is `(batch, step)` int64.

    A token is an object, or END (token 0), which ends the path; after it the target is -1.

    Attributes:
        steps: most fixations of a path that is made, END not counted: those of the longest training path.
        samples: paths drawn for each trial, beside the greedy one.
        displays, subjects: their names; empty if they have none.
        how: conventions of comparing paths.
        centre: deviation of the centre bias that `gain` is over, as a share of the display's width and height; data
            sets fit it to training fixations.
    """

    inputs: Objects
    steps: int
    samples: int = 10
    displays: tuple[str, ...] = ()
    subjects: tuple[str, ...] = ()
    how: Conventions = CONVENTIONS
    centre: float = 0.25

    primary: ClassVar[str] = "nll"
    unit: ClassVar[str] = "a display: mean over its trials, and of nll and gain over its fixations"
    metrics: ClassVar[Mapping[str, Metric]] = {
        "nll": Metric(
            False, "mean negative log probability, nats, of each human fixation and of END, given those before"
        ),
        "gain": Metric(
            True,
            "mean bits by which the model is ahead of a centre bias in telling which object is fixated next, END left "
            "out: a Gaussian around the display's centre, its deviation fitted to training fixations",
        ),
        "ss": Metric(True, "sequence score: objects that two paths have in the same order, as a share of the longer"),
        "delta": Metric(
            False,
            "mean over correct, length, search, refix and revisit of |model - human| / human, of their means over "
            "trials (OAT); parts that humans never show are left out",
        ),
        "sed": Metric(False, "string-edit distance: objects to insert, delete or replace"),
        "sed_share": Metric(False, "string-edit distance as a share of the longer path"),
        "scanmatch": Metric(True, "ScanMatch of fixations in bins, durations left out"),
        **{
            f"multimatch_{part}": Metric(True, f"MultiMatch, {part}; paths not simplified; of pairs that have it")
            for part in PARTS[:4]
        },
        **{
            f"tde_{k}": Metric(False, f"time-delay embedding distance of {k} fixations, px; of pairs that have it")
            for k in (1, 2, 3)
        },
        "stde": Metric(True, "scaled time-delay embedding, 1 for the same path"),
        "grid_sed": Metric(False, "string-edit distance of cells of a grid"),
        "grid_sed_share": Metric(False, "the same as a share of the longer path"),
        **{
            f"{name}_known": Metric(True, f"share of pairs that have {name}: both paths are long enough")
            for name in PARTIAL.values()
        },
        "ratio": Metric(
            True,
            "straight way from the display's centre to the target over the way made from there, of paths that end at "
            "a target; at most 1",
        ),
        "correct": Metric(True, "share of paths whose last object is a target"),
        "length": Metric(True, "fixations of a path; neither more nor fewer are better: compare with human_length"),
        "search": Metric(True, "share of fixations on objects not seen before; compare with human_search"),
        "refix": Metric(True, "share of fixations on the object just seen; compare with human_refix"),
        "revisit": Metric(True, "share of fixations on an object left before; compare with human_revisit"),
        "greedy_ss": Metric(
            True, "sequence score of the most probable path; higher than people's among themselves at times"
        ),
        "greedy_sed": Metric(False, "string-edit distance of the most probable path"),
        "greedy_delta": Metric(False, "delta of the most probable paths"),
        **{f"human_{name}": Metric(True, f"{name} of human paths") for name in (*BEHAVIOUR, "ratio")},
    }
    shown: ClassVar[tuple[str, ...]] = ("nll", "gain", "ss", "sed", "delta", "greedy_ss", "greedy_delta")

    def __post_init__(self) -> None:
        """A record gives names as lists."""
        for name in ("displays", "subjects"):
            object.__setattr__(self, name, tuple(getattr(self, name)))
        if isinstance(self.how, Mapping):
            object.__setattr__(self, "how", Conventions(**self.how))

    def loss(self, prediction: Tensor, batch: Batch) -> Tensor:
        """Cross-entropy of the next token, END included."""
        return F.cross_entropy(prediction.flatten(0, 1), batch.target.flatten(), ignore_index=-1)

    def meter(self) -> Meter:
        """Likelihood of human paths, and likeness of paths made to human ones."""
        return WalkMeter(self.displays, self.subjects, self.how, self.centre)

    def shape(self, batch: Batch) -> tuple[int, ...]:
        """`(batch, step, token)`."""
        return *batch.target.shape, batch.inputs.shape[1]

    def answer(self, model: Any, prediction: Tensor, batch: Batch) -> Walked:
        """Logits, a greedy path and some that are drawn."""
        greedy = walked(model, batch, 1, self.steps, None)
        return Walked(prediction, greedy, walked(model, batch, self.samples, self.steps, SEED))

    def random_batch(self, size: int, device: str = "cpu") -> Batch:
        """Random displays and paths."""
        inputs, valid, _ = self.inputs.random(size, device)
        target = torch.randint(1, 3, (size, self.steps + 1), device=device)
        target[:, -1] = 0
        places = torch.rand(*inputs.shape[:2], 4, device=device)
        return Batch(inputs, target, valid, None, places, {"trial": torch.arange(size, device=device)})

    def examples(self, prediction: Walked, batch: Batch) -> dict[str, Any]:
        """Boxes, and a human, a greedy and a drawn path over them."""
        return scanpath_examples(batch, prediction.greedy, prediction.drawn)

    @classmethod
    def figure(cls, examples: Examples) -> str:
        """Paths over boxes, numbered, the target marked."""
        return scanpath_figure(examples)

    def charts(self, tables: Mapping[str, Counts]) -> dict[str, str]:
        """Search curve, steps and lengths, human beside model."""
        drawn = {
            "search curve": search_curve(tables),
            "steps": saccade_histograms(tables),
            "lengths and returns": length_histograms(tables),
        }
        return {name: chart for name, chart in drawn.items() if chart}
