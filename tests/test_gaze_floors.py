"""Floors of scanpaths: what each of them does, and that their likelihoods are honest."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from tsbench.data import Batch
from tsbench.datasets.gaze import Gaze
from tsbench.errors import MissingData, UsageError
from tsbench.gaze.floors import Floor, history
from tsbench.gaze.metrics import behaviour, delta
from tsbench.gaze.rules import apply
from tsbench.gaze.samples import END, ScanpathSamples
from tsbench.gaze.scene import Display, Scenes, Trial
from tsbench.gaze.strings import edit_distance, sequence_score
from tsbench.gaze.walk import NEVER, walked
from tsbench.inputs import Objects
from tsbench.model import Run
from tsbench.models.gaze_markov import REACH, SIDE
from tsbench.registry import find_datasets, find_model
from tsbench.settings import NoSettings
from tsbench.tasks.scanpath import Scanpath

ALL = ("random", "area", "centre", "nearest", "unrepeated", "markov", "other_subject", "other_display")


def shelf(rows: int, columns: int, name: str = "a", side: float = 80.0, pitch: float = 100.0) -> Display:
    """Boxes on a grid, row by row."""
    y, x = np.mgrid[:rows, :columns].reshape(2, -1) * pitch + (pitch - side) / 2
    boxes = np.stack([x, y, x + side, y + side], 1).astype(np.float32)
    features = np.zeros((len(boxes), 1), np.float32)
    return Display(name, (columns * pitch, rows * pitch), boxes, features, unit=(pitch, pitch))


def trial(display: int, path: list[int], target: int | None, subject: str = "s") -> Trial:
    """A path over objects."""
    none, targets = np.full(len(path), np.nan), () if target is None else (target,)
    return Trial(display, subject, np.zeros(1), targets, np.zeros((len(path), 2)), none, np.array(path))


def samples(displays: list[Display], trials: list[Trial]) -> ScanpathSamples:
    """As a data set makes them."""
    return ScanpathSamples.of(Scenes(tuple(displays), tuple(trials)), given=True)


def fitted(kind: str, train: ScanpathSamples) -> Floor:
    """A floor fitted to some trials."""
    task = Scanpath(Objects(train.objects.shape[1], train.objects.shape[2]), int(train.steps.max()) - 1)
    model = find_model(f"gaze_{kind}")(task, NoSettings())
    assert isinstance(model, Floor)
    model.fit(train, train, Run())
    return model


def everything(of: ScanpathSamples) -> Batch:
    """All trials in one batch."""
    return of.batch(torch.arange(len(of)))


@pytest.fixture(scope="module")
def made() -> ScanpathSamples:
    """60 random trials of 4 subjects on 6 displays of two sizes; the last one is free viewing, by one subject only."""
    random = np.random.default_rng(3)
    displays = [shelf(3, 4, str(i)) if i % 2 else shelf(2, 3, str(i)) for i in range(6)]
    trials = []
    for i in range(60):
        path = random.integers(len(displays[i % 5].boxes), size=random.integers(1, 8)).tolist()
        trials.append(trial(i % 5, path, 2, f"s{i // 5 % 4}"))
    trials.append(trial(5, [0, 1, 1, 5], None, "s0"))
    return samples(displays, trials)


def objects(paths: Tensor) -> Tensor:
    """Tokens as objects, then -1."""
    return torch.where(paths > END, paths - 1, -1)


@pytest.mark.parametrize("kind", ALL)
class TestEveryFloor:
    """What holds for all."""

    def test_probabilities(self, kind: str, made: ScanpathSamples) -> None:
        """They sum to 1 over what is on the display, and none that is there has none."""
        batch = everything(made)
        log_p = fitted(kind, made).predict(batch)
        assert log_p.shape == (*batch.target.shape, batch.inputs.shape[1])
        there = batch.real[:, None].expand_as(log_p)
        assert torch.allclose(log_p.double().exp().sum(-1), torch.ones(()).double(), atol=1e-5)
        assert (log_p[~there] == NEVER).all()
        assert (log_p[there] > -30).all()

    def test_no_worse_than_chance_on_training_paths(self, kind: str, made: ScanpathSamples) -> None:
        """Their objects, END left out, which depends on other things too."""
        batch, model = everything(made), fitted(kind, made)
        log_p = model.predict(batch)
        log_p = log_p - (-log_p[..., :1].exp()).log1p()
        real = batch.target > END
        own = log_p.gather(2, batch.target.clamp(min=0)[..., None])[..., 0][real].mean()
        chance = -(batch.real.sum(1) - 1).log()[:, None].expand_as(real)[real].mean()
        assert own > chance - 1e-4

    def test_the_past_only(self, kind: str, made: ScanpathSamples) -> None:
        """What comes later on a path changes nothing before."""
        batch, model = everything(made), fitted(kind, made)
        other = batch.target.clone()
        other[:, 2:] = 1
        changed = model.predict(replace(batch, target=other))
        assert torch.equal(model.predict(batch)[:, :3], changed[:, :3])

    def test_walks_do_not_read_paths(self, kind: str, made: ScanpathSamples) -> None:
        """The same paths whatever people did, and again the second time."""
        batch, model = everything(made), fitted(kind, made)
        blind = replace(batch, target=torch.full_like(batch.target, -1))
        paths = walked(model, batch, 3, 9, 5)
        assert torch.equal(paths, walked(model, blind, 3, 9, 5))

    def test_walks_stay_on_their_display(self, kind: str, made: ScanpathSamples) -> None:
        """Objects that are there, then one END."""
        batch = everything(made)
        paths = walked(fitted(kind, made), batch, 4, 9, 5)
        assert (paths < batch.real.sum(1)[:, None, None]).all()
        assert (paths[..., 0] > END).all()
        assert ((paths == END).sum(-1) == 1).all()

    def test_state(self, kind: str, made: ScanpathSamples) -> None:
        """What is saved is all there is."""
        batch, model = everything(made), fitted(kind, made)
        again = type(model)(model.task, model.config)
        again.load_state({name: value.clone() for name, value in model.state().items()})
        assert torch.equal(again.predict(batch), model.predict(batch))
        assert torch.equal(walked(again, batch, 2, 9, 1), walked(model, batch, 2, 9, 1))


def test_lengths_are_those_of_training_paths() -> None:
    """Two of three are 2 long, one 5, greedy or drawn; and the likelihood of END says the same."""
    train = samples([shelf(3, 3)], [trial(0, [0, 4] if i % 3 else [1, 2, 3, 4, 5], 8) for i in range(600)])
    model = fitted("random", train)
    for seed in (None, 3):
        lengths = (walked(model, everything(train), 1, 9, seed)[:, 0] > END).sum(1)
        assert torch.equal(lengths, model.drawn_lengths(everything(train), 1))
        assert set(lengths.tolist()) == {2, 5}
        assert 0.6 < (lengths == 2).float().mean() < 0.73
    end = model.predict(everything(train))[0, :, END].exp()
    assert torch.allclose(end, torch.tensor([0, 0, 2 / 3, 0, 0, 1.0]), atol=0.01)


def test_greedy_paths_of_a_uniform_choice_are_not_one_object() -> None:
    """Where all are as likely, one is taken by chance, anew at each step; where one is likelier, that one."""
    train = samples([shelf(3, 3)], [trial(0, [0, 1, 2, 3], 8) for _ in range(900)])
    batch = everything(train)
    paths = objects(walked(fitted("random", train), batch, 1, 9, None))[:, 0, :4]
    assert (paths.flatten().bincount(minlength=9) / paths.numel() - 1 / 9).abs().max() < 0.02
    assert ((paths[:, 0] == paths[:, 1]).float().mean() - 1 / 9).abs() < 0.04
    assert (objects(walked(fitted("centre", train), batch, 1, 9, None))[:, 0, 0] == 4).all()


def test_paths_do_not_depend_on_other_trials(made: ScanpathSamples) -> None:
    """Neither on how many nor on their order."""
    order = torch.arange(len(made)).flip(0)[:7]
    for kind in ALL:
        model = fitted(kind, made)
        whole, part = (walked(model, made.batch(o), 3, 9, 5) for o in (torch.arange(len(made)), order))
        assert torch.equal(whole[order][..., : part.shape[2]], part)


def test_random_is_uniform() -> None:
    """Over objects, wherever it was."""
    train = samples([shelf(2, 2)], [trial(0, [0, 0, 1], 3), trial(0, [2, 2, 1], 3)])
    p = fitted("random", train).predict(everything(train)).exp()[..., 1:]
    assert torch.allclose(p / p.sum(-1, keepdim=True), torch.tensor(0.25))


def test_area() -> None:
    """A box of twice the area is looked at twice as often."""
    boxes = np.array([[0, 0, 10, 10], [20, 0, 30, 20], [40, 0, 50, 10]], np.float32)
    display = Display("a", (60, 60), boxes, np.zeros((3, 1), np.float32))
    model = fitted("area", samples([display], [trial(0, [1, 1, 0, 2], None)]))
    batch = everything(samples([display], [trial(0, [0], None)]))
    p = model.choice(batch, *history(batch)).exp()
    assert torch.allclose(p[0, 0], torch.tensor([0, 0.25, 0.5, 0.25]))


def test_centre_finds_the_deviation() -> None:
    """Paths drawn from a Gaussian around the centre, a fifth of width and height wide."""
    display, random = shelf(12, 12), np.random.default_rng(0)
    away = ((display.boxes[:, :2] + display.boxes[:, 2:]) / 2 / np.array(display.size) - 0.5) / 0.2
    p = np.exp(-0.5 * (away**2).sum(1))
    trials = [trial(0, random.choice(144, 20, p=p / p.sum()).tolist(), None) for _ in range(150)]
    model = fitted("centre", samples([display], trials))
    assert float(model.learned) == pytest.approx(0.2, rel=0.03)
    assert float(model.share) < 0.05


def test_nearest_goes_on_to_what_is_near_and_stops_at_the_target() -> None:
    """Objects on a line, px 0, 10, 30, 60, 100, 150 on a display of 160; the middle is 80."""
    boxes = np.array([[x - 1, -1, x + 1, 1] for x in (0, 10, 30, 60, 100, 150)], np.float32)
    display = Display("a", (160, 0.1), boxes, np.zeros((6, 1), np.float32), unit=(10, 10))
    train = samples([display], [trial(0, [0] * 6, target) for target in (1, 4)])
    paths = objects(walked(fitted("nearest", train), everything(train), 2, 9, 0))
    for copy in (0, 1):  # 60 and 100 are equally near to the middle: the first counts
        assert [o for o in paths[0, copy].tolist() if o >= 0] == [3, 2, 1]
        assert [o for o in paths[1, copy].tolist() if o >= 0] == [3, 2, 1, 0, 4]


def test_nearest_is_measured_on_the_screen() -> None:
    """Where a unit is 100 px along x and 10 along y, the object below is nearer than the one beside."""
    boxes = np.array([[0, 0, 2, 2], [80, 0, 82, 2], [0, 20, 2, 22]], np.float32)
    display = Display("a", (2, 2), boxes, np.zeros((3, 1), np.float32), unit=(100, 10))
    train = samples([display], [trial(0, [0, 1, 2], None)])
    paths = objects(walked(fitted("nearest", train), everything(train), 1, 9, None))
    assert paths[0, 0, :3].tolist() == [0, 2, 1]


def test_unrepeated_ends_at_the_target_and_never_looks_twice(made: ScanpathSamples) -> None:
    """However long that takes; in free viewing, when all was seen."""
    batch = everything(made)
    paths = objects(walked(fitted("unrepeated", made), batch, 5, 20, 2))
    for trial_paths, targets, count in zip(paths, batch.more["targets"][:, 1:], batch.real.sum(1) - 1, strict=True):
        for path in ([o for o in row if o >= 0] for row in trial_paths.tolist()):
            assert len(set(path)) == len(path)
            hits = [bool(targets[o]) for o in path]
            assert hits == [False] * (len(path) - 1) + [True] if targets.any() else len(path) == int(count)


def test_several_targets_are_all_collected() -> None:
    """As in foraging: the path ends at the last of them."""
    train = samples([shelf(2, 3)], [replace(trial(0, [0, 1], 0), targets=(0, 3, 5))] * 30)
    paths = objects(walked(fitted("unrepeated", train), everything(train), 1, 9, 0))[:, 0]
    for path in ([o for o in row if o >= 0] for row in paths.tolist()):
        assert {0, 3, 5} <= set(path)
        assert path[-1] in (0, 3, 5)


def test_markov_learns_offsets() -> None:
    """All move one to the right: so does the model, on a display it has not seen."""
    train = samples([shelf(3, 5)], [trial(0, [row * 5 + i for i in range(5)], None) for row in (0, 1, 2)] * 40)
    model = fitted("markov", train)
    other = everything(samples([shelf(4, 4)], [trial(0, [5, 6], None)]))
    p = model.choice(other, *history(other)).exp()[0]
    assert p[1].argmax() == 5 + 1 + 1
    assert p[1, 7] > 0.5


def test_markov_counts_against_chance() -> None:
    """Ten steps to the right, where to stay would have been as easy: 10 + 1 over 5 + 1, and 0 + 1 over 5 + 1."""
    learned = fitted("markov", samples([shelf(1, 2)], [trial(0, [0, 1], None)] * 10)).learned
    here = SIDE**2 + REACH * SIDE + REACH
    assert learned[here : here + 2].tolist() == pytest.approx([1 / 6, 11 / 6])


def test_other_subjects_paths() -> None:
    """Each copy is the path of someone else; who has no peer gets a random path."""
    own = {"a": [0, 1, 2], "b": [3, 4], "c": [5, 5, 5, 8]}
    trials = [trial(0, path, 8, subject) for subject, path in own.items()]
    train = samples([shelf(3, 3), shelf(3, 3, "lonely")], [*trials, trial(1, [1, 2], 8, "a")])
    model, run = fitted("other_subject", train), Run()
    model.fit(train, train, run)
    assert run.measured["without_peer"] == 0.25
    paths = objects(walked(model, everything(train), 2, 6, 0))
    for i, subject in enumerate(own):
        found = [[o for o in row if o >= 0] for row in paths[i].tolist()]
        assert sorted(found) == sorted(path for other, path in own.items() if other != subject)
    assert set((paths[3] >= 0).sum(1).tolist()) <= {2, 3, 4}
    batch = everything(train)  # all at object 5, where c stayed twice of three times and nobody else ever was
    p = model.choice(batch, torch.full((4, 1), 6), torch.zeros(4, 1, 10, dtype=torch.bool)).exp()
    assert p[0, 0, 6] > 0.5 > 0.01 > p[2, 0, 6]
    assert torch.allclose(p[3, 0, 1:], torch.tensor(1 / 9))
    end = model.predict(batch)[0, 1, END].exp()  # after a's first object, where no other was: as any path of one
    assert torch.allclose(end, model.ends[0, 1])


def test_no_ceiling_where_nobody_has_a_peer() -> None:
    train = samples([shelf(2, 2), shelf(2, 2, "b")], [trial(0, [0], 3, "a"), trial(1, [1], 3, "b")])
    with pytest.raises(UsageError, match="no human ceiling"):
        fitted("other_subject", train)
    refuses = find_model("gaze_other_subject").refuses
    assert "no two people" in str(refuses(find_datasets("gaze/foraging")[0]))
    assert refuses(find_datasets("gaze/objarr")[0]) is None


def test_who_is_told_what_others_are_not() -> None:
    told = {kind: find_model(f"gaze_{kind}").told for kind in ALL}
    assert {kind: said for kind, said in told.items() if said} == {
        "nearest": "the target", "unrepeated": "the target", "other_subject": "test answers"
    }  # fmt: skip


def test_other_displays_paths() -> None:
    """On displays alike, the path of a trial elsewhere as it was; never one of the same display."""
    own = [[0, 1, 2], [3, 4], [5, 5, 5, 8]]
    train = samples([shelf(3, 3, str(i)) for i in range(3)], [trial(i, path, 8) for i, path in enumerate(own)])
    paths = objects(walked(fitted("other_display", train), everything(train), 40, 6, 0))
    for i, rows in enumerate(paths.tolist()):
        found = {tuple(o for o in row if o >= 0) for row in rows}
        assert found == {tuple(path) for j, path in enumerate(own) if j != i}


def test_other_displays_paths_keep_their_place() -> None:
    """From the corner of a large shelf to the corner of a small one."""
    train = samples([shelf(5, 5), shelf(3, 3, "b")], [trial(0, [0, 12, 24], None), trial(1, [0], None)])
    paths = objects(walked(fitted("other_display", train), everything(train), 1, 6, 0))
    assert paths[1, 0, :3].tolist() == [0, 4, 8]


#: reference/gaze.md, section 2.2: SS, SED and delta over all trials; two standard errors of a difference, by bootstrap.
OBJARR = {
    "random": (0.243, 3.57, 0.63, 0.009, 0.08, 0.11),
    "nearest": (0.351, 2.71, 0.53, 0.023, 0.14, 0.012),
    "unrepeated": (0.399, 3.04, None, 0.009, 0.09, 0.0),
}


@pytest.mark.parametrize("kind", OBJARR)
def test_as_found_before(kind: str, real_data: Path) -> None:
    """Object arrays, one path for each trial."""
    (dataset,) = find_datasets("gaze/objarr")
    assert isinstance(dataset, Gaze)
    try:
        whole = ScanpathSamples.of(apply(dataset.read(real_data), dataset), given=False)
    except MissingData as error:
        pytest.skip(str(error))
    made = objects(walked(fitted(kind, whole), everything(whole), 1, 8, 0)[:, 0])
    human, targets = objects(whole.paths), whole.targets[:, 1:]
    ss, sed, known_delta, *errors = OBJARR[kind]
    assert float(sequence_score(human, made).mean()) == pytest.approx(ss, abs=errors[0])
    assert float(edit_distance(human, made).mean()) == pytest.approx(sed, abs=errors[1])
    if known_delta is not None:
        found = float(delta(behaviour(made, targets), behaviour(human, targets)))
        assert found == pytest.approx(known_delta, abs=errors[2])
