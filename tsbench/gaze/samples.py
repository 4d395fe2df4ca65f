"""Scanpaths as samples: a display, what is searched on it, and the order in which one subject fixated its objects."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields, replace

import numpy as np
import torch
from torch import Tensor

from tsbench.data import Batch
from tsbench.gaze.scene import Scenes

END = 0  # the token that ends a path: that of what is searched for, as in OAT
BEGIN = 0  # what stands before the first fixation; END never comes before anything


@dataclass(frozen=True)
class ScanpathSamples:
    """Trials of some displays. Token 0 is what is searched for, token i + 1 is object i; END is token 0.

    Attributes:
        objects: `(display, token, feature + 1)`; the last feature is 1 for what is searched for, if its place is given.
        places: `(display, token, 4)`: centre x and y, width and height, in units of the display.
        counts: `(display,)`: tokens of each.
        unit: `(display, 2)` px.
        size: `(display, 2)` px.
        display, subject: `(trial,)` int64.
        cue: `(trial, feature)`.
        targets: `(trial, token)` bool: the objects that end the search.
        paths: `(trial, step)` int64: tokens fixated, then END, then -1.
        points: `(trial, step, 2)` px of the fixations, NaN beyond them.
        durations: `(trial, step)` ms.
        peers: `(trial, peer)` int64: trials of other subjects that search the same on the same display, then -1; they
            count in `all_paths`, which are those of the whole recording.
        trial: `(trial,)` int64: numbers in the whole recording.
        given: models are told where the target is.
        groups: what a trial shares with others (picture, target, subject, layout): name -> group of each trial.
    """

    objects: Tensor
    places: Tensor
    counts: Tensor
    unit: Tensor
    size: Tensor
    display: Tensor
    subject: Tensor
    cue: Tensor
    targets: Tensor
    paths: Tensor
    points: Tensor
    durations: Tensor
    peers: Tensor
    all_paths: Tensor
    trial: Tensor
    given: bool = field(kw_only=True)
    groups: Mapping[str, np.ndarray] = field(default_factory=dict, kw_only=True)

    @classmethod
    def of(cls, scenes: Scenes, given: bool) -> ScanpathSamples:
        """All trials of a recording; fixations on no object are left out."""
        displays, trials = scenes.displays, scenes.trials
        tokens = 1 + max(len(d.boxes) for d in displays)
        width = displays[0].features.shape[1]
        objects = np.zeros((len(displays), tokens, width + 1), np.float32)
        places = np.zeros((len(displays), tokens, 4), np.float32)
        for i, d in enumerate(displays):
            boxes, n = d.boxes.reshape(-1, 4) / np.tile(d.unit, 2), len(d.boxes) + 1
            objects[i, 1:n, :-1] = d.features
            places[i, 1:n] = np.concatenate([(boxes[:, :2] + boxes[:, 2:]) / 2, boxes[:, 2:] - boxes[:, :2]], 1)
            places[i, 0, :2] = np.array(d.size) / d.unit / 2  # the centre: nothing is known of the target
        kept = [t.objects >= 0 for t in trials]
        targets = np.zeros((len(trials), tokens), bool)
        for i, t in enumerate(trials):
            targets[i, np.array(t.targets, int) + 1] = True
        names = {name: i for i, name in enumerate(sorted({t.subject for t in trials}))}
        paths = _padded([[*(t.objects[k] + 1), END] for t, k in zip(trials, kept, strict=True)], -1).astype(np.int64)
        steps = paths.shape[1]
        points = np.full((len(trials), steps, 2), np.nan, np.float32)
        for i, (t, k) in enumerate(zip(trials, kept, strict=True)):
            points[i, : k.sum()] = t.points[k]
        arrays = (
            objects, places, [len(d.boxes) + 1 for d in displays], np.array([d.unit for d in displays], np.float32),
            np.array([d.size for d in displays], np.float32), [t.display for t in trials],
            [names[t.subject] for t in trials], np.array([t.cue for t in trials], np.float32).reshape(len(trials), -1),
            targets, paths, points,
            _padded([t.durations[k] for t, k in zip(trials, kept, strict=True)], np.nan, steps).astype(np.float32),
            _peers(scenes), paths, np.arange(len(trials)),
        )  # fmt: skip
        return cls(*(torch.as_tensor(array) for array in arrays), given=given)

    @property
    def steps(self) -> Tensor:
        """Length of each path, END included, `(trial,)`."""
        return (self.paths >= 0).sum(1)

    @property
    def sizes(self) -> Tensor:
        """Scores that a model gives to a trial: one for each token and step."""
        return self.counts[self.display] * self.steps

    def __len__(self) -> int:
        return len(self.display)

    def select(self, indices: Tensor) -> ScanpathSamples:
        """The trials at `indices`; displays stay."""
        own = ("display", "subject", "cue", "targets", "paths", "points", "durations", "peers", "trial")
        groups = {name: group[indices.cpu().numpy()] for name, group in self.groups.items()}
        return replace(self, groups=groups, **{name: getattr(self, name)[indices] for name in own})

    @property
    def target(self) -> Tensor:
        """The paths, by the name that leakage reports know."""
        return self.paths

    def keys(self) -> list[bytes]:
        """All that a model is told of each trial, for leakage reports."""
        displays = [
            objects.tobytes() + places.tobytes()
            for objects, places in zip(self.objects.cpu().numpy(), self.places.cpu().numpy(), strict=True)
        ]
        cues, targets = self.cue.cpu().numpy(), (self.targets & self.given).cpu().numpy()
        return [
            hashlib.sha256(displays[d] + cue.tobytes() + target.tobytes()).digest()
            for d, cue, target in zip(self.display.tolist(), cues, targets, strict=True)
        ]

    def batch(self, indices: Tensor) -> Batch:
        """Trials, cut to the most objects and steps among them.

        `more` holds `targets` (batch, token), `points` (batch, step, 2) and `durations` of the fixations, `unit` and
        `size` (batch, 2) px, `display`, `subject` and `trial`, and `peers` (batch, peer, step): other subjects' paths.
        """
        display, paths = self.display[indices], self.paths[indices]
        tokens, steps = int(self.counts[display].max()), int((paths >= 0).sum(1).max())
        targets = self.targets[indices, :tokens]
        objects, places = self.objects[display, :tokens], self.places[display, :tokens]
        objects[:, 0, :-1] = self.cue[indices]
        if self.given:
            objects[..., -1] = targets.to(objects.dtype)
            objects[:, 0, -1] = 1.0
            places[:, 0] = torch.where(targets.any(1, keepdim=True), _mean(places, targets), places[:, 0])
        peers = self.peers[indices]
        found = self.all_paths[peers.clamp(min=0)].masked_fill((peers < 0)[..., None], -1)
        more: Mapping[str, Tensor] = {
            "targets": targets,
            "points": self.points[indices, :steps],
            "durations": self.durations[indices, :steps],
            "unit": self.unit[display],
            "size": self.size[display],
            "display": display,
            "subject": self.subject[indices],
            "trial": self.trial[indices],
            "peers": found,
        }
        valid = torch.arange(tokens, device=display.device) < self.counts[display, None]
        return Batch(objects, paths[:, :steps], valid, None, places, more)

    def to(self, device: torch.device | str) -> ScanpathSamples:
        """On another device."""
        tensors = {f.name: getattr(self, f.name) for f in fields(self) if f.name not in ("given", "groups")}
        return replace(self, **{name: tensor.to(device) for name, tensor in tensors.items()})


def _mean(places: Tensor, among: Tensor) -> Tensor:
    """Mean place of the targets, `(batch, 4)`."""
    share = among.to(places.dtype) / among.sum(1, keepdim=True).clamp(min=1)
    return (share[..., None] * places).sum(1)


def _padded(rows: Sequence[Sequence[float] | np.ndarray], fill: float, width: int = 0) -> np.ndarray:
    """Rows of unlike length as one array."""
    padded = np.full((len(rows), max(width, *map(len, rows))), fill)
    for row, values in zip(padded, rows, strict=True):
        row[: len(values)] = values
    return padded


def _peers(scenes: Scenes) -> np.ndarray:
    """Trials by other subjects that search for the same on the same display, `(trial, peer)`, -1 beyond them."""
    groups: dict[tuple[int, str, tuple[int, ...]], list[int]] = {}
    for i, t in enumerate(scenes.trials):
        groups.setdefault((t.display, t.searched, t.targets), []).append(i)
    found: list[list[int]] = [[]] * len(scenes.trials)
    for members in groups.values():
        for i in members:
            found[i] = [j for j in members if scenes.trials[j].subject != scenes.trials[i].subject]
    return _padded([*found, [-1]], -1)[:-1].astype(np.int64)
