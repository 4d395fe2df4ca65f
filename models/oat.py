"""OAT: a Transformer that reads the objects of a display and points at one after the other (Fang et al., ECCV 2024)."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from optuna.distributions import CategoricalDistribution, FloatDistribution
from torch import Tensor, nn
from torch.nn import functional as F

from tsbench.data import Batch
from tsbench.errors import UsageError
from tsbench.gaze.samples import BEGIN, END
from tsbench.gaze.walk import NEVER, ScanpathModel, Walk
from tsbench.model import NeuralModel
from tsbench.parts.decoder import Decoder
from tsbench.parts.encoder import Encoder, EncoderConfig, encoder_parts
from tsbench.parts.patches import VALUES, PatchEmbedding
from tsbench.position import PositionEncoding, Positions, encoding_kind, make_encoding
from tsbench.tasks.scanpath import Scanpath


@dataclass(frozen=True)
class OATConfig(EncoderConfig):
    """Settings of OAT, for a CPU; `OAT.published` holds those of the paper's code."""

    code: str = "gaussian"  # of places, beside the appearance: gaussian, sinusoidal, learned, none
    positions: str = "none"  # in the attention among objects, on top of it
    steps: str = "sinusoidal"  # of the decoder
    layers: int = 2  # of the encoder, and of the decoder
    width: int = 128
    heads: int = 4
    feed_forward: int = 128
    pointers: int = 2  # heads of the pointer
    patches: bool = False  # the first features of an object are its picture (gaze/relational:appearance=patches)
    lr: float = 3e-4
    batch_size: int = 20
    epochs: int = 60
    patience: int = 10
    clip: float = 1.0
    drop_last: bool = False
    buckets: bool = False  # batches of paths of one length would teach when to end, batch by batch

    def __post_init__(self) -> None:
        """Refuse what no OAT can be built from."""
        super().__post_init__()
        encoding_kind(self.steps)
        if encoding_kind(self.code)[0].embed is PositionEncoding.embed and self.code != "none":
            raise UsageError(f"code={self.code} is no code of a place, but acts in attention; give it as positions")


class OAT(NeuralModel, ScanpathModel):
    """Object = [appearance; code of (x, y, is the target)]; encoder over objects, decoder over fixations, pointer.

    Beside the published code: appearance is a linear map of the data set's features and of width and height (the code
    has a CNN over pictures); GELU for ReLU; places are real numbers in units of the display (there rows and columns);
    the epoch is chosen by the likelihood of validation paths (there by delta of greedy ones); embedded tokens and
    fixations go through dropout and, with post-norm, LayerNorm; attention weights are not dropped out; the place before
    the first fixation is the mean of the objects' places (there the display's centre).
    """

    Config = OATConfig
    tasks = (Scanpath,)
    source = "Fang et al., OAT, ECCV 2024, arXiv 2407.13335; code HKUST-NISL/oat_eccv24"
    published: ClassVar[Mapping[str, Any]] = {
        "layers": 4,
        "width": 512,
        "feed_forward": 512,
        "post_norm": True,
        "lr": 1e-4,
        "epochs": 500,
        "patience": 30,
    }
    tiny = {"epochs": 2, "layers": 1, "width": 32}
    search_space = {
        **NeuralModel.search_space,
        "lr": FloatDistribution(1e-4, 3e-3, log=True),
        "dropout": FloatDistribution(0.0, 0.4),
        "width": CategoricalDistribution((128, 256)),
        "layers": CategoricalDistribution((1, 2, 4)),
    }
    block_values = 2**16  # states of as many objects and steps are many times as many values

    def __init__(self, task: Scanpath, config: OATConfig) -> None:
        super().__init__(task, config)
        half = config.width // 2
        numbers = task.inputs.features - 1 - VALUES * config.patches  # the last feature is the flag
        if numbers < 0:
            raise UsageError(
                f"patches=true: an object has {task.inputs.features} features, its picture would be {VALUES}"
            )
        self.appearance = nn.Linear(numbers + 2, half)
        self.patches = PatchEmbedding(half) if config.patches else None
        self.searched = nn.Parameter(torch.zeros(config.width))  # else, without a code, a second copy of the target
        self.code = make_encoding(config.code, config.width - half, config.heads)
        self.encoder = Encoder(config)
        self.decoder = Decoder(config, config.steps)
        self.point_to = nn.Linear(config.width, config.pointers * config.width)
        self.point_from = nn.Linear(config.width, config.pointers * config.width)
        self.weigh = nn.Linear(config.pointers, 1)
        for parameter in self.parameters():
            if parameter.ndim > 1:
                nn.init.xavier_uniform_(parameter)

    @classmethod
    def parts(cls, config: OATConfig) -> tuple[type, ...]:
        """The position encodings."""
        return (*encoder_parts(config), encoding_kind(config.code)[0], encoding_kind(config.steps)[0])

    def objects(self, batch: Batch) -> tuple[Tensor, Tensor, Tensor]:
        """Vectors of tokens on display and fixated, `(batch, token, width)`, and of no fixation, `(batch, width)`.

        On display the flag marks what is searched for, which else would be a second copy of the target; of tokens
        fixated it marks the target, if its place is given.
        """
        assert batch.places is not None
        flag = batch.inputs[..., -1:]
        searched = torch.zeros_like(flag)
        searched[:, END] = 1
        there = batch.real.clone()
        there[:, END] = False
        share = there / there.sum(1, keepdim=True).clamp(min=1)
        centre = F.pad(share[:, None] @ batch.places[..., :2], (0, 1))  # (batch, 1, 3)
        on, at = (torch.cat([batch.places[..., :2], f], -1) for f in (searched, flag))  # (batch, token, 3)
        numbers = batch.inputs[..., VALUES * self.config.patches : -1]
        seen = self.appearance(torch.cat([numbers, batch.places[..., 2:]], -1))
        if self.patches is not None:
            seen = seen + self._pictured(batch, there)
        blank = seen.new_zeros(*seen.shape[:2], self.config.width - seen.shape[2])
        displayed, fixated = (torch.cat([seen, self.code.embed(blank, Positions(p))], -1) for p in (on, at))
        displayed = torch.cat([displayed[:, : END + 1] + self.searched, displayed[:, END + 1 :]], 1)
        begin = torch.cat([torch.zeros_like(seen[:, :1]), self.code.embed(blank[:, :1], Positions(centre))], -1)
        return displayed, fixated, begin[:, 0]

    def _pictured(self, batch: Batch, there: Tensor) -> Tensor:
        """What tokens look like, `(batch, token, half)`: objects once a display, what is searched for in each trial."""
        assert self.patches is not None
        patches = batch.inputs[..., :VALUES]
        _, which = batch.more["display"].unique(return_inverse=True)
        counts = which.bincount()
        first = which.argsort(stable=True)[counts.cumsum(0) - counts]  # a trial of each display
        seen = patches.new_zeros(len(first), patches.shape[1], self.config.width // 2)
        seen[there[first]] = self.patches(patches[first][there[first]])
        return torch.cat([self.patches(patches[:, : END + 1]), seen[which][:, END + 1 :]], 1)

    def forward(self, batch: Batch) -> Tensor:
        """Logits `(batch, step, token)`."""
        displayed, fixated, begin = self.objects(batch)
        memory = self.read(displayed, batch)
        before = batch.target[:, :-1].clamp(min=END)
        path = fixated.gather(1, before[..., None].expand(-1, -1, fixated.shape[2]))
        states = self.decoder(torch.cat([begin[:, None], path], 1), memory, batch.valid)
        return self.point(states, self.point_to(memory), batch.real)

    def read(self, tokens: Tensor, batch: Batch) -> Tensor:
        """States of all tokens, `(batch, token, width)`."""
        assert batch.places is not None
        states: Tensor = self.encoder(tokens, Positions(batch.places[..., :2], batch.valid))
        return states

    def point(self, states: Tensor, keys: Tensor, real: Tensor) -> Tensor:
        """Scores of tokens: each pointer head's, weighed.

        Args:
            states: of fixations, `(batch, step, width)`.
            keys: `point_to` of the objects' states, `(batch, token, heads * width)`.
            real: `(batch, token)`.
        """
        q, k = (x.unflatten(-1, (self.config.pointers, -1)).transpose(1, 2) for x in (self.point_from(states), keys))
        scores = (q @ k.transpose(2, 3)) / math.sqrt(self.config.width)  # (batch, head, step, token)
        logits = self.weigh(scores.movedim(1, -1))[..., 0]
        return logits.masked_fill(~real[:, None], NEVER)

    def walk(self, batch: Batch, copies: int) -> Walk:
        """Paths by cached steps; each display is read once."""
        self.eval()
        return _OATWalk(self, batch, copies)


class _OATWalk:
    """Paths of OAT under way."""

    def __init__(self, model: OAT, batch: Batch, copies: int) -> None:
        self.model, self.real = model, batch.real
        displayed, self.tokens, self.first = model.objects(batch)
        memory = model.read(displayed, batch)
        self.keys = model.point_to(memory)
        self.cache = model.decoder.begin(memory, batch.valid, copies)

    def next(self, last: Tensor) -> Tensor:
        """Logits `(row, token)` of what follows `last`."""
        owner = self.cache.owner
        x = torch.where((last == BEGIN)[:, None], self.first[owner], self.tokens[owner, last])
        groups = self.cache.grouped(self.model.decoder.step(x, self.cache))  # (display, slot, width)
        return self.cache.apart(self.model.point(groups, self.keys, self.real))

    def keep(self, rows: Tensor) -> None:
        """Go on with the rows at these indices only."""
        self.cache = self.cache.keep(rows)
