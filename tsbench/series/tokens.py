"""Tokens of labelled series: parts that come nearest to motifs, and values of intervals; each with a prior."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from tsbench.errors import UsageError
from tsbench.explanation import Found
from tsbench.inputs import Series
from tsbench.parts.encoder import EncoderConfig
from tsbench.series.intervals import STATISTICS, bounds, statistics, value_prior
from tsbench.series.motifs import find_motifs, match, shape_prior, window_lengths
from tsbench.series.samples import SeriesSamples
from tsbench.tasks.classification import Classification

CUT = 2**19  # values of a case that may be cut out and kept for the gradient; mapping every place keeps fewer
LEAST_PRIOR = 0.01  # attention to a token may be multiplied by its prior, and 0 would shut it out


@dataclass(frozen=True)
class TokenConfig(EncoderConfig):
    """Settings of tokens, beside those of the encoder they go to."""

    across: bool = True  # a token holds all channels of its interval; else one, that of its motif
    tokens: int = 300  # most tokens of a branch; those of highest prior are kept
    motifs: int = 1  # most of a class, channel and window; 0: as many as `tokens` allows
    pairs: float = 5e9  # subsequences compared with one another to find motifs, in all
    standardise_discovery: bool = True  # subsequences are compared in shape only, not in level and scale
    standardise_matching: bool = False  # the same where motifs are matched, and for their prior
    granularities: str = "1,2,4,8"  # numbers of equal parts that a series is cut into
    bins: int = 8  # that a value falls into, to find how much it says of the class

    def __post_init__(self) -> None:
        """Refuse what gives no tokens."""
        super().__post_init__()
        for name, least in (("tokens", 1), ("motifs", 0), ("pairs", 1), ("bins", 2)):
            if getattr(self, name) < least:
                raise UsageError(f"{name}={getattr(self, name)} must be at least {least}")
        if not all(part.strip().isdigit() and int(part) for part in self.granularities.split(",")):
            raise UsageError(f"granularities={self.granularities!r} must be numbers from 1 on, such as 1,2,4")


@dataclass(frozen=True)
class Tokens:
    """Tokens of a batch.

    Attributes:
        values: `(batch, token, width)`.
        first: `(batch, token)`: first step of the interval that each is of.
        end: `(batch, token)`: the step after its last.
        real: `(batch, token)`: False where the series has no such token.
        channel: `(token,)`.
        prior: `(token,)`.
    """

    values: Tensor
    first: Tensor
    end: Tensor
    real: Tensor
    channel: Tensor
    prior: Tensor


class MotifTokens(nn.Module):
    """Motifs of one window; the token of each is the part of a series that comes nearest to it.

    Attributes:
        shapes, channel, label, case, start, prior: see `tsbench.series.motifs.Motifs`.
        found: `(motif,)` bool: False where the cases hold no more motifs; such tokens are never real.
    """

    shapes: Tensor
    channel: Tensor
    label: Tensor
    case: Tensor
    start: Tensor
    prior: Tensor
    found: Tensor

    def __init__(self, config: TokenConfig, window: int, count: int, channels: int) -> None:
        super().__init__()
        self.config = config
        self.groups = 1 if config.across else channels
        self.embedding = nn.Conv1d(channels // self.groups, config.width, window)  # a linear map at every place
        self.register_buffer("shapes", torch.zeros(count, window))
        self.register_buffer("channel", torch.arange(count) % channels)
        for name in ("label", "case", "start"):
            self.register_buffer(name, torch.zeros(count, dtype=torch.int64))
        self.register_buffer("prior", torch.ones(count))
        self.register_buffer("found", torch.ones(count, dtype=torch.bool))

    def find(self, samples: SeriesSamples, classes: int, each: int, most: int, seed: int) -> None:
        """Find motifs and their priors in `samples`: `each` of a class and channel, among `most` subsequences."""
        window, discovery = self.shapes.shape[1], self.config.standardise_discovery
        motifs = find_motifs(samples, classes, window, each, most, discovery, seed)
        prior = shape_prior(samples, motifs, self.config.standardise_matching)
        motifs = replace(motifs, prior=prior.clamp(min=LEAST_PRIOR)).best(len(self.found))
        count = len(motifs.label)  # slots beyond it stay as they are, and are never real
        for name in ("shapes", "channel", "label", "case", "start", "prior"):
            getattr(self, name)[:count] = getattr(motifs, name)
        self.found[:count], self.found[count:] = True, False

    def forward(self, x: Tensor, steps: Tensor) -> Tokens:
        """Tokens of series `(batch, time, channel)` of true lengths `(batch,)`."""
        window, width = self.shapes.shape[1], self.config.width
        x = F.pad(x, (0, 0, 0, max(0, window - x.shape[1])))
        with torch.no_grad():
            first, distance = match(x, steps, self.shapes, self.channel, self.config.standardise_matching)
        places, count = x.shape[1] - window + 1, first.shape[1]
        if count < places and count * window * x.shape[2] // self.groups <= CUT:  # map only what is matched
            case = torch.arange(len(x), device=x.device)[:, None]
            parts = x.unfold(1, window, 1)  # (batch, place, channel, window)
            parts = parts[case, first] if self.groups == 1 else parts[case, first, self.channel]
            values = F.linear(parts.flatten(2), self.embedding.weight.flatten(1), self.embedding.bias)
        else:  # map every place, and take what is matched
            rows = x.transpose(1, 2).reshape(len(x) * self.groups, -1, x.shape[1])
            mapped = self.embedding(rows).view(len(x), self.groups, width, places).transpose(1, 2).flatten(2)
            place = self.channel % self.groups * places + first  # (batch, token)
            values = mapped.gather(2, place[:, None].expand(-1, width, -1)).transpose(1, 2)
        return Tokens(values, first, first + window, distance.isfinite() & self.found, self.channel, self.prior)


class ShapeTokens(nn.Module):
    """Tokens of the shape branch: motifs of all windows."""

    windows: Any  # a ModuleList of MotifTokens

    def __init__(self, task: Classification, config: TokenConfig) -> None:
        super().__init__()
        assert isinstance(task.inputs, Series)
        channels, windows = task.inputs.channels, window_lengths(task.inputs.length)
        self.config, self.classes = config, task.classes
        self.groups = task.classes * channels * len(windows)
        affordable = max(1, config.tokens // self.groups)
        self.each = min(config.motifs or affordable, affordable)
        count = max(1, min(self.classes * channels * self.each, config.tokens // len(windows)))
        self.windows = nn.ModuleList(MotifTokens(config, window, count, channels) for window in windows)
        self.count = count * len(windows)

    def find(self, samples: SeriesSamples, seed: int) -> None:
        """Find the motifs of each window, within the budget of pairs."""
        most = max(2, math.isqrt(int(self.config.pairs / self.groups)))
        for tokens in self.windows:
            tokens.find(samples, self.classes, self.each, most, seed)

    def forward(self, x: Tensor, steps: Tensor) -> Tokens:
        """Tokens of series `(batch, time, channel)` of true lengths `(batch,)`."""
        parts = [tokens(x, steps) for tokens in self.windows]
        columns = [torch.cat([getattr(p, name) for p in parts], 1) for name in ("values", "first", "end", "real")]
        return Tokens(*columns, *(torch.cat([getattr(p, name) for p in parts]) for name in ("channel", "prior")))

    def origins(self) -> list[Found]:
        """Where the motifs are from."""
        found = []
        for tokens in self.windows:
            columns = (tokens.case, tokens.start, tokens.channel, tokens.label, tokens.prior, tokens.found)
            for case, start, channel, label, prior, there in zip(*(c.tolist() for c in columns), strict=True):
                if there:
                    found.append(Found(case, start, start + tokens.shapes.shape[1], channel, label, prior))
        return found

    def words(self, labels: Sequence[str]) -> list[tuple[str, int | None]]:
        """What each token is, given the names of classes, and the channel where it was looked for."""
        return [
            (f"nearest to a motif of class {labels[label]}", channel)
            for tokens in self.windows
            for label, channel in zip(tokens.label.tolist(), tokens.channel.tolist(), strict=True)
        ]


class ValueTokens(nn.Module):
    """Tokens of the value branch: mean, deviation and rise of intervals.

    Attributes:
        kept: `(token,)` int64: which intervals are tokens, counted channel by channel.
        prior: `(token,)`.
        edges: `(channel, interval, 3, bins - 1)`: of the bins that priors were found with.
    """

    kept: Tensor
    prior: Tensor
    edges: Tensor

    def __init__(self, task: Classification, config: TokenConfig) -> None:
        super().__init__()
        assert isinstance(task.inputs, Series)
        channels = task.inputs.channels
        self.config, self.classes = config, task.classes
        self.granularities = tuple(map(int, config.granularities.split(",")))
        self.intervals = sum(self.granularities)
        groups = 1 if config.across else channels
        self.count = min(groups * self.intervals, config.tokens)
        self.embedding = nn.Linear(channels // groups * STATISTICS, config.width)
        self.register_buffer("kept", torch.arange(self.count))
        self.register_buffer("prior", torch.ones(self.count))
        self.register_buffer("edges", torch.zeros(channels, self.intervals, STATISTICS, config.bins - 1))

    def find(self, samples: SeriesSamples, seed: int) -> None:
        """Find priors in `samples`, and keep the intervals of the highest; a token of all channels has their best."""
        prior, edges = value_prior(samples, self.classes, self.granularities, self.config.bins)
        prior = (prior.amax(0) if self.config.across else prior.flatten()).clamp(min=LEAST_PRIOR)
        self.kept.copy_(prior.argsort(descending=True, stable=True)[: self.count].sort().values)
        self.prior.copy_(prior[self.kept])
        self.edges.copy_(edges)

    def forward(self, x: Tensor, steps: Tensor) -> Tokens:
        """Tokens of series `(batch, time, channel)` of true lengths `(batch,)`."""
        found = statistics(x, steps, self.granularities)  # (batch, channel, interval, 3)
        found = found.transpose(1, 2).flatten(2) if self.config.across else found.flatten(1, 2)
        first, end = (edge[:, self.kept % self.intervals] for edge in bounds(steps, self.granularities))
        values = self.embedding(found[:, self.kept])
        return Tokens(values, first, end, end > first, self.kept // self.intervals, self.prior)

    def words(self, labels: Sequence[str]) -> list[tuple[str, int | None]]:
        """What each token is, and its channel, None for all."""
        parts = [f"values of part {i + 1} of {g}" for g in self.granularities for i in range(g)]
        kept = self.kept.tolist()
        return [(parts[i % self.intervals], None if self.config.across else i // self.intervals) for i in kept]
