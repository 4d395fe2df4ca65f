"""MMGRec: items get Rec-IDs from graph and modalities; a Transformer reads a history as a set and writes Rec-IDs.

Liu, Wei, Song, Guan, Li, Nie 2024, arXiv 2404.16555; sizes as in their code (hanliu95/MMGRec). Ours, where that code
cannot be followed: what is to be predicted never stands in the history that is read (there it does); a learned token
stands before each history, so that an empty one can be read; each level of a Rec-ID has tokens of its own; Rec-IDs come
from residual k-means; tokens compete with those alone that make a Rec-ID, in training as in the beam. As there, a
user's vector only scales the relation term: it was learned from all training items, so a decoder that read it would
know what is held out.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from operator import itemgetter

import torch
from optuna.distributions import CategoricalDistribution, FloatDistribution
from torch import Tensor, nn
from torch.nn import functional as F

from tsbench.data import Batch, Samples
from tsbench.errors import UsageError, unknown
from tsbench.model import NeuralModel, Run, State
from tsbench.parts.decoder import Cache, Decoder
from tsbench.parts.encoder import Encoder, EncoderConfig, encoder_parts
from tsbench.position import Positions
from tsbench.rec.codes import rec_ids, usage, usage_chart
from tsbench.rec.graph import Graph, GraphConfig, learn_vectors, standardised
from tsbench.rec.holding import Holding, apart, held_out, latest
from tsbench.rec.metrics import UNLISTED
from tsbench.rec.model import Recommender
from tsbench.rec.quantise import random_codes, residual_kmeans, rq_vae
from tsbench.rec.samples import HistorySamples, barred, sequences
from tsbench.rec.trie import Beams, Trie, beam_search
from tsbench.rec.widths import by_width, width_charts
from tsbench.tasks.next_item import NextItem
from tsbench.train import read_checkpoint

NEVER = -1e4  # logit of a token that makes no Rec-ID
ROWS = 2**12  # beams of all users that are followed at once: few enough to stay in cache
DRAFT = 20  # width of the beam that chooses epochs, by ndcg_10
#: How item vectors `(item, width)` become so many levels of so many semantic codes, `(item, level)`.
QUANTISERS: Mapping[str, Callable[[Tensor, int, int], Tensor]] = {
    "kmeans": residual_kmeans,
    "rqvae": rq_vae,
    "random": lambda x, levels, codes: random_codes(len(x), levels, codes),  # a control: codes that mean nothing
}


@dataclass(frozen=True)
class MMGRecConfig(Holding, EncoderConfig):
    """Settings; `positions` are those of the history: `relation` takes it as a set."""

    ids: str = "kmeans"  # how Rec-IDs are made: kmeans, rqvae, random, or the name of codes that come with the data
    levels: int = 3  # semantic tokens of a Rec-ID, before the popularity token
    codes: int = 128  # tokens of a level
    modalities: bool = True  # False: the graph knows items by who took them alone
    graph_epochs: int = 60
    beam: int = 50  # Rec-IDs kept at each step; 0 scores every item
    constrained: bool = True  # tokens compete with those alone that make a Rec-ID; False: with all of their level
    positions: str = "relation"
    layers: int = 2
    width: int = 64
    heads: int = 4
    head_width: int = 64
    feed_forward: int = 64
    dropout: float = 0.2
    post_norm: bool = True
    lr: float = 2e-3
    batch_size: int = 64
    epochs: int = 25
    patience: int = 0
    schedule: str = "cosine"
    drop_last: bool = False

    def __post_init__(self) -> None:
        super().__post_init__()
        for name, least in (("levels", 1), ("codes", 2), ("beam", 0)):
            if getattr(self, name) < least:
                raise UsageError(f"{name}={getattr(self, name)} must be at least {least}")


class MMGRec(NeuralModel, Recommender):
    """P(item) = product over its Rec-ID's tokens of P(token | tokens before, history, user)."""

    Config = MMGRecConfig
    tiny = {"epochs": 2, "graph_epochs": 2, "width": 16, "heads": 2, "head_width": 8, "feed_forward": 16, "codes": 8}
    search_space = {
        "lr": FloatDistribution(2e-4, 5e-3, log=True),
        "dropout": FloatDistribution(0.0, 0.5),
        "codes": CategoricalDistribution((32, 64, 128, 256)),
        "held": FloatDistribution(0.05, 0.5),
    }
    source = "Liu et al. 2024, arXiv 2404.16555; github.com/hanliu95/MMGRec"
    recipes = {  # chosen on validation
        "rec/tiktok@*": {"unknown": 0.3, "held": 0.9, "epochs": 4, "lr": 5e-4, "dropout": 0.3},
    }
    items: Tensor
    users: Tensor
    ids: Tensor  # (item, level)
    states: Tensor  # (item, level): the prefix before each token

    def __init__(self, task: NextItem, config: MMGRecConfig) -> None:
        super().__init__(task, config)
        vector, width = GraphConfig.width, config.width
        self.register_buffer("items", torch.randn(task.inputs.items, vector))  # until the graph gives others
        self.register_buffer("users", torch.randn(task.inputs.users, vector))
        self.item = nn.Linear(vector, width)
        self.encoder = Encoder(config)
        self.user = nn.Linear(vector, width) if self.encoder.encoding.contextual else None
        self.ordered = task.inputs.ordered and not self.encoder.encoding.orderless
        self.decoder = Decoder(config, "sinusoidal")
        self.before, self.begin = (nn.Parameter(torch.randn(width) * 0.02) for _ in range(2))  # of history and Rec-ID
        counts = torch.zeros(task.inputs.items)
        self.take_ids(rec_ids(random_codes(task.inputs.items, config.levels, config.codes), counts))

    @classmethod
    def parts(cls, config: MMGRecConfig) -> tuple[type, ...]:
        """The position encoding of histories."""
        return encoder_parts(config)

    def take_ids(self, ids: Tensor) -> None:
        """Rec-IDs `(item, level)`, the trie of them, and embeddings and outputs of their tokens."""
        *semantic, last = ids.unbind(1)
        # A vocabulary of one token would have nothing to learn.
        self.sizes = [max(self.config.codes, int(level.max()) + 1) for level in semantic]
        self.sizes.append(max(2, int(last.max()) + 1))
        self.register_buffer("ids", ids)
        self.trie = Trie.of(ids, self.sizes)
        states = torch.stack([torch.zeros_like(ids[:, 0]), *self.trie.paths[:-1]], 1)
        self.register_buffer("states", states, persistent=False)
        for level in range(len(self.sizes)):
            self.register_buffer(f"follow_{level}", self.trie.table(level), persistent=False)
        self.tokens = nn.ModuleList(nn.Embedding(size, self.config.width) for size in self.sizes[:-1])
        self.outputs = nn.ModuleList(nn.Linear(self.config.width, size) for size in self.sizes)

    # ---------------------------------------------------------------- learning

    def fit(self, train: Samples, validation: Samples, run: Run) -> None:
        """Vectors from the graph, Rec-IDs from them, then the recommender."""
        assert isinstance(train, HistorySamples)
        left = read_checkpoint(run.checkpoint)
        if left is None:
            self.prepare(train.to(run.device))
        else:  # with the Rec-IDs that its weights belong to
            self.take_ids(left["model"]["ids"])
        run.measured.update(usage(self.ids, self.sizes))
        super().fit(train, validation, run)

    def prepare(self, train: HistorySamples) -> None:
        """Learn vectors and make Rec-IDs, from training interactions and what is known of items.

        Raises:
            UsageError: `ids` names nothing.
        """
        inputs, config = self.task.inputs, self.config
        user, item = train.interactions()
        shown = ~apart(user, item, config.unknown)
        graph = Graph(user[shown], item[shown], inputs.users, inputs.items)
        features = standardised(train.features) if config.modalities else None
        self.users, self.items = learn_vectors(graph, features, GraphConfig(epochs=config.graph_epochs))
        if config.ids in QUANTISERS:
            semantic = QUANTISERS[config.ids](self.items, config.levels, config.codes)
        elif config.ids in train.codes:
            semantic = train.codes[config.ids]
        else:
            raise unknown("ids", config.ids, [*QUANTISERS, *train.codes])
        self.take_ids(rec_ids(semantic.to(self.items.device), train.counts))
        self.to(self.items.device)

    def training_loss(self, batch: Batch) -> Tensor:
        """Cross-entropy of the Rec-IDs of items that are held out of their user's training history."""
        items, real = sequences(batch)
        kept, targets, chosen = held_out(items, real, batch.more["user"], self.config, self.ordered)
        memory, seen = self.read(*kept, batch.more["user"])
        ids = self.ids[targets]  # (batch, target, level)
        states = self.decoder(self.embed(ids.flatten(0, 1)), memory, seen, targets.shape[1])
        loss = memory.new_zeros(())
        for level, output in enumerate(self.outputs):
            logits = self.competing(output(states[:, level]), level, self.states[targets, level].flatten())
            found = F.cross_entropy(logits, ids[..., level].flatten(), reduction="none")
            loss = loss + (found * chosen.flatten()).sum() / chosen.sum().clamp(min=1)
        return loss

    def competing(self, logits: Tensor, level: int, state: Tensor) -> Tensor:
        """Logits `(row, token)` of tokens that may follow the prefix `state`, `(row,)`; NEVER for others."""
        if not self.config.constrained:
            return logits
        return logits.masked_fill(self.follow(level)[state] < 0, NEVER)

    def follow(self, level: int) -> Tensor:
        """The prefix that each token makes of each prefix of that many tokens, `(prefix, token)`, -1 for none."""
        table: Tensor = self.get_buffer(f"follow_{level}")
        return table

    def embed(self, ids: Tensor) -> Tensor:
        """Inputs of the decoder, `(row, level, width)`: BEGIN and all tokens but the last of `ids`, `(row, level)`."""
        tokens = [tokens(ids[:, level]) for level, tokens in enumerate(self.tokens)]
        return torch.stack([self.begin.expand(len(ids), -1), *tokens], 1)

    def read(self, items: Tensor, real: Tensor, user: Tensor) -> tuple[Tensor, Tensor]:
        """What the decoder reads of histories, `(batch, 1 + time, width)`, and where it is real.

        Args:
            items, real: `(batch, time)`.
            user: `(batch,)`.
        """
        x = torch.cat([self.before.expand(len(items), 1, -1), self.item(self.items[items])], 1)
        seen = torch.cat([torch.ones_like(real[:, :1]), real], 1)
        places = seen.cumsum(1) - 1  # padding, which stands between, has no place
        context = None if self.user is None else self.user(self.users[user])
        return self.encoder(x, Positions(places, seen, context=context)), seen

    # ---------------------------------------------------------------- recommending

    def forward(self, batch: Batch) -> Tensor:
        """Log-probabilities of the items that the beam finds, `(batch, item)`; UNLISTED for all others."""
        return self.predict_by(batch, self.config.beam)

    @torch.no_grad()
    def draft(self, batch: Batch) -> Tensor:
        """As `predict`, by a narrow beam."""
        self.eval()
        return self.predict_by(batch, min(DRAFT, self.config.beam) or DRAFT)

    def predict_by(self, batch: Batch, beam: int) -> Tensor:
        """The same by a beam of some width."""
        beams = self.search(batch, beam)
        found = beams.items >= 0
        scores = torch.full((len(batch), self.task.inputs.items + 1), UNLISTED, device=batch.inputs.device)
        return scores.scatter(1, beams.items.where(found, self.task.inputs.items), beams.scores)[:, :-1]

    def lists(self, batch: Batch, scores: Tensor, size: int) -> Tensor:
        """What the beam writes when nothing is barred, -1 where it is no item."""
        self.eval()
        with torch.no_grad():
            items = self.search(batch, self.config.beam, all_of_them=True).items[:, :size]
        return F.pad(items, (0, size - items.shape[1]), value=-1)

    def search(self, batch: Batch, beam: int, all_of_them: bool = False) -> Beams:
        """The best Rec-IDs, by a beam of that width or of all items' (0); barred items only if `all_of_them`."""
        items = self.task.inputs.items
        width, users = min(beam or items, items), torch.arange(len(batch), device=batch.inputs.device)
        self.trie = self.trie.to(users.device)
        found = []
        for some in users.split(max(1, ROWS // width)):
            part = batch.map(itemgetter(some))
            memory, seen = self.read(
                *latest(part.inputs, part.real, self.config.longest, self.ordered), part.more["user"]
            )
            passed = None if all_of_them or not self.task.mask else barred(part, items)
            found.append(beam_search(Writing(self, memory, seen), self.trie, width, passed, self.config.constrained))
        return Beams(*(torch.cat(parts) for parts in zip(*found, strict=True)))

    # ---------------------------------------------------------------- showing and saving

    def drawings(self, validation: Samples) -> Mapping[str, str]:
        """How Rec-IDs use their codes, and what a wider beam buys."""
        self.eval()
        widths = by_width(self.task, self.predict_by, validation)
        return {"use of codes": usage_chart(self.ids, self.sizes), "width of the beam": width_charts(widths)}

    def parameter_count(self) -> int:
        """Vectors of users and items are learned, too, before all else."""
        return super().parameter_count() + self.items.numel() + self.users.numel()

    def load_state(self, state: State) -> None:
        """Rec-IDs first: they say how many tokens there are."""
        self.take_ids(state["ids"])
        super().load_state(state)


class Writing:
    """Rec-IDs under way: the decoder's steps, for a beam search."""

    def __init__(self, model: MMGRec, memory: Tensor, seen: Tensor) -> None:
        self.model, self.level = model, 0
        self.cache: Cache = model.decoder.begin(memory, seen, 1)
        self.beams = 1
        self.state = torch.zeros(len(memory), dtype=torch.int64, device=memory.device)  # prefix of each row

    def first(self) -> Tensor:
        """Log-probabilities of first tokens, `(batch, token)`."""
        return self._step(self.model.begin.expand(len(self.cache.owner), -1))

    def next(self, parents: Tensor, tokens: Tensor) -> Tensor:
        """Log-probabilities `(batch, beam, token)` after `tokens`, `(batch, beam)`; `parents` are where they go on."""
        rows = torch.arange(len(parents), device=parents.device)[:, None] * self.beams + parents
        self.cache, self.beams = self.cache.keep(rows.flatten()), parents.shape[1]
        self.state = self.model.follow(self.level)[self.state[rows.flatten()], tokens.flatten()].clamp(min=0)
        embedded = self.model.tokens[self.level](tokens.flatten())
        self.level += 1
        return self._step(embedded).unflatten(0, tuple(parents.shape))

    def _step(self, x: Tensor) -> Tensor:
        logits: Tensor = self.model.outputs[self.level](self.model.decoder.step(x, self.cache))
        return self.model.competing(logits, self.level, self.state).log_softmax(-1)
