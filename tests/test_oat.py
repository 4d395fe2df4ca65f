"""OAT and the plain Transformer over scanpaths: walks follow predictions, and what objects are made of."""

from __future__ import annotations

from dataclasses import replace
from functools import cache
from typing import Any

import pytest
import torch
from torch import Tensor

from tests.test_gaze_floors import everything, samples, shelf, trial
from tsbench.data import Batch
from tsbench.errors import UsageError
from tsbench.gaze.samples import BEGIN, END, ScanpathSamples
from tsbench.gaze.walk import NEVER, walked
from tsbench.inputs import Objects
from tsbench.models.oat import OAT
from tsbench.models.scanpath_transformer import ScanpathTransformer
from tsbench.parts.patches import VALUES, PatchEmbedding
from tsbench.tasks.scanpath import Scanpath

BOTH = pytest.mark.parametrize("kind", [OAT, ScanpathTransformer])
CODES = ("gaussian(sigma=1)", "sinusoidal", "learned(length=40)", "none")


@cache
def trials() -> ScanpathSamples:
    """Random paths over shelves of 6, 12 and 9 objects, whose features are random too."""
    torch.manual_seed(4)
    displays = [shelf(2, 3), shelf(3, 4, "b"), shelf(3, 3, "c")]
    paths = [[0, 5, 5, 2], [11, 3, 7, 8, 3, 1, 10], [4, 8], [5, 0, 3], [1], [2, 7, 8]]
    made = samples(displays, [trial(i % 3, path, path[-1], f"s{i}") for i, path in enumerate(paths)])
    return replace(made, objects=torch.cat([torch.randn(3, 13, 4), made.objects[..., 1:]], -1), cue=torch.randn(6, 4))


def model_of(kind: Any, **settings: Any) -> Any:
    """A small one without dropout."""
    torch.manual_seed(1)
    config = kind.Config(**{"width": 32, "layers": 2, "dropout": 0.0, **settings})
    return kind(Scanpath(Objects(13, 5), 7), config).eval()


def batch_of(*indices: int) -> Batch:
    """These trials, or all."""
    return trials().batch(torch.tensor(indices)) if indices else everything(trials())


def near(a: Tensor, b: Tensor) -> None:
    """Equal but for rounding."""
    torch.testing.assert_close(a, b, atol=1e-5, rtol=1e-5)


@BOTH
class TestBoth:
    """What holds for both."""

    @torch.no_grad()
    def test_walks_follow_predictions(self, kind: Any) -> None:
        """Told the human path step by step, a walk says what is predicted; some rows stop on the way, others remain."""
        batch, copies = batch_of(), 3
        for settings in ({}, {"post_norm": False}):
            model = model_of(kind, **settings)
            wanted = model.predict(batch).repeat_interleave(copies, 0)
            target = batch.target.repeat_interleave(copies, 0)
            walk, rows, last = model.walk(batch, copies), torch.arange(len(target)), torch.full((len(target),), BEGIN)
            for step in range(target.shape[1]):
                if step in (2, 4):
                    keep = torch.randperm(len(rows))[: len(rows) // 2]
                    walk.keep(keep)
                    rows, last = rows[keep], last[keep]
                going = target[rows, step] >= 0  # what follows END is of no interest
                near(walk.next(last)[going], wanted[rows, step][going])
                last = target[rows, step].clamp(min=END)

    @torch.no_grad()
    def test_greedy_paths_are_the_most_probable_tokens(self, kind: Any) -> None:
        model, batch = model_of(kind), batch_of()
        path = walked(model, batch, 1, 7, None)[:, 0]
        logits = model.predict(replace(batch, target=path))
        logits[:, 0, END] = NEVER  # a path is not empty
        ends = (path == END).int().argmax(1)
        for own, found, end in zip(path, logits.argmax(-1), ends.tolist(), strict=True):
            upto = min(end + 1, 7)  # after so many steps, END is set
            assert torch.equal(own[:upto], found[:upto])

    def test_walks_do_not_read_paths(self, kind: Any) -> None:
        model, batch = model_of(kind), batch_of()
        blind = replace(batch, target=torch.full_like(batch.target, -1))
        assert torch.equal(walked(model, batch, 3, 7, 5), walked(model, blind, 3, 7, 5))

    @torch.no_grad()
    def test_padding_changes_nothing(self, kind: Any) -> None:
        """What stands in padded tokens, and how many there are."""
        model, batch, alone = model_of(kind), batch_of(0, 1), batch_of(0)
        noise = torch.where(batch.real[..., None], 0.0, 100.0)
        assert batch.places is not None
        loud = replace(batch, inputs=batch.inputs + noise, places=batch.places + noise)
        logits = model.predict(loud)
        near(logits, model.predict(batch))
        assert (logits[0, :, 7:] == NEVER).all()
        near(logits[:1, : alone.target.shape[1], :7], model.predict(alone))

    @torch.no_grad()
    def test_objects_have_no_order(self, kind: Any) -> None:
        """Listed otherwise, each keeps its probability."""
        model, batch = model_of(kind), batch_of(1)
        order = torch.cat([torch.zeros(1).long(), 1 + torch.randperm(12)])
        assert batch.places is not None
        moved = replace(
            batch, inputs=batch.inputs[:, order], places=batch.places[:, order], target=order.argsort()[batch.target]
        )
        near(model.predict(moved), model.predict(batch)[..., order])

    @torch.no_grad()
    def test_end_is_not_the_target(self, kind: Any) -> None:
        """Where what is searched for has the target's features, place and flag, both have a score of their own."""
        model, batch = model_of(kind), batch_of(1)
        (target,) = batch.more["targets"][0].nonzero()[:, 0].tolist()
        batch.inputs[:, END] = batch.inputs[:, target]
        assert batch.places is not None
        batch.places[:, END] = batch.places[:, target]
        if kind is ScanpathTransformer:
            model.end.data.normal_()  # it begins at 0
        logits = model.predict(batch)
        assert (logits[..., END] - logits[..., target]).abs().min() > 1e-3


@pytest.mark.parametrize("code", CODES)
@torch.no_grad()
def test_codes_of_places(code: str) -> None:
    """Each tells places apart, of objects on display and fixated; without one only sizes are known."""
    model, batch = model_of(OAT, code=code), batch_of(1)
    assert batch.places is not None
    moved = replace(batch, places=batch.places + torch.tensor([0.5, 0, 0, 0]))
    displayed, fixated, begin = (a - b for a, b in zip(model.objects(moved), model.objects(batch), strict=True))
    for change in (displayed[0, 1:], fixated[0, 1:], begin):
        assert (change[:, :16] == 0).all()
        assert (change[:, 16:].abs().amax(-1) > 1e-3).all() == (code != "none")


@pytest.mark.parametrize("code", ["alibi", "rope", "t5", "shaw"])
def test_what_acts_in_attention_is_no_code(code: str) -> None:
    with pytest.raises(UsageError, match=f"code={code} is no code of a place"):
        OAT.Config(code=code)


@torch.no_grad()
def test_flags() -> None:
    """On display what is searched for is marked; of tokens fixated the target, if models are told where it is."""
    model = model_of(OAT)
    for given in (True, False):
        batch = replace(trials(), given=given).batch(torch.tensor([1]))
        unflagged = replace(batch, inputs=batch.inputs * torch.tensor([1, 1, 1, 1, 0]))
        (on, at, _), (plain_on, plain_at, _) = model.objects(batch), model.objects(unflagged)
        assert torch.equal(on, plain_on)
        told = (at != plain_at).any(-1)[0].nonzero()[:, 0].tolist()
        assert told == ([0, 11] if given else [])


@torch.no_grad()
def test_begins_at_the_middle_of_the_objects() -> None:
    """Without appearance; what is searched for and padding do not count."""
    model = model_of(OAT)
    begin = model.objects(batch_of(0, 1))[2][:, :16]
    assert (begin == 0).all()
    batch = batch_of(0, 1)
    assert batch.places is not None
    middle = batch.places.clone()
    middle[..., :2] = torch.tensor([[[1.5, 1.0]], [[2.0, 1.5]]])  # of 3 x 2 and of 4 x 3 objects
    near(model.objects(batch)[2], model.objects(replace(batch, places=middle))[2])


@torch.no_grad()
def test_a_display_is_read_once() -> None:
    """Whatever number of paths and steps."""
    model, read = model_of(OAT), []
    model.encoder.register_forward_hook(lambda _, given, states: read.append(states.shape))
    walked(model, batch_of(), 20, 7, 3)
    assert read == [(6, 13, 32)]


@torch.no_grad()
def test_drawn_paths_follow_probabilities() -> None:
    """The first two fixations of 4,000 paths, each pair as often as predicted, up to 4.5 standard errors."""
    model, batch, many = model_of(OAT), batch_of(0), 4000
    paths = walked(model, batch, many, 2, 9)[0, :, :2]
    first = model.predict(batch)[0, 0].index_fill(0, torch.tensor(END), NEVER).softmax(0)
    for token in range(1, 7):
        path = torch.tensor([[token, END]])
        second = model.predict(replace(batch, target=path))[0, 1].softmax(0)
        p = first[token] * second[:7]
        found = torch.stack([(paths == torch.tensor([token, then])).all(1).double().mean() for then in range(7)])
        assert ((found - p).abs() < 4.5 * (p * (1 - p) / many).sqrt() + 1e-9).all()


def test_published_size() -> None:
    """HKUST-NISL/oat_eccv24: 18.30 M values: encoder 6.3, decoder 10.5, pointer 1.05, a CNN 0.37, and 45 k unused.

    Ours has two LayerNorms more, after the embeddings, and appearance is a linear map of features and sizes.
    """
    torch.manual_seed(0)
    model = OAT(Scanpath(Objects(85, 65), 54), OAT.Config(**OAT.published))

    def millions(*parts: torch.nn.Module) -> float:
        return sum(p.numel() for part in parts for p in part.parameters()) / 1e6

    assert millions(model.encoder) == pytest.approx(6.3, abs=0.05)
    assert millions(model.decoder) == pytest.approx(10.5, abs=0.05)
    assert millions(model.point_to, model.point_from, model.weigh) == pytest.approx(1.05, abs=0.005)
    ours = model.parameter_count() / 1e6
    more = millions(model.appearance, model.encoder.norm, model.decoder.norm)
    assert ours - more == pytest.approx(18.30 - 0.37 - 0.045, abs=0.01)


@torch.no_grad()
def test_pictures_are_embedded_once_a_display() -> None:
    """Those of objects; what is searched for in each trial. All as if each token had been embedded by itself."""
    torch.manual_seed(2)
    task = Scanpath(Objects(4, VALUES + 2), 3)
    model = OAT(task, OAT.Config(width=32, layers=1, patches=True)).eval()
    batch = task.random_batch(5)
    real = torch.tensor([[1, 1, 1, 0], [1, 1, 1, 1], [1, 1, 1, 0], [1, 1, 1, 0], [1, 1, 1, 1]]).bool()
    display = torch.tensor([7, 3, 7, 7, 3])
    inputs = batch.inputs.clone()
    inputs[:, 1:, :VALUES] = inputs[display.eq(3).int(), 1:, :VALUES]  # trials of a display see the same objects
    batch = replace(batch, inputs=inputs, valid=real, more={"display": display})
    embedded: list[int] = []
    assert model.patches is not None
    model.patches.register_forward_hook(lambda _, given, made: embedded.append(given[0][..., 0].numel()))
    displayed, _, _ = model.objects(batch)
    assert sum(embedded) == 5 + 2 + 3
    numbers = model.appearance(torch.cat([inputs[..., VALUES:-1], batch.places[..., 2:]], -1))  # type: ignore[index]
    near(displayed[..., :16][real], (numbers + model.patches(inputs[..., :VALUES]))[real])
    assert sum(p.numel() for p in PatchEmbedding(256).parameters()) == 374_752  # 0.37 M, reference/gaze.md, 1.2
    with pytest.raises(UsageError, match="its picture would be"):
        OAT(Scanpath(Objects(4, 9), 3), OAT.Config(patches=True))
