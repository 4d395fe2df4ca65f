"""Explanations: attention as recorded, motifs where they are from, and the page of a finished cell."""

from __future__ import annotations

import json
import re
import shutil
import xml.etree.ElementTree as ET
from html.parser import HTMLParser
from pathlib import Path

import pytest
import torch

from tests.positions_cases import SPECS, encoder, ragged, tokens
from tsbench.artifacts import load_model
from tsbench.cli import main
from tsbench.datasets.generated import SHAPES, Shapes
from tsbench.explain import drawing
from tsbench.explanation import received, recorded
from tsbench.model import Model
from tsbench.models.vsformer import VSFormer
from tsbench.position import Positions
from tsbench.series.samples import SeriesSamples

# ---------------------------------------------------------------- attention


@pytest.mark.parametrize("spec", [spec for spec in SPECS if "xpos" not in spec])
def test_recording_changes_no_state_and_is_over_when_it_is_over(spec: str) -> None:
    model, x = encoder(spec).eval(), tokens(2, 9)
    positions = Positions.along(x, ragged(9, 6))
    before, encoding = model(x, positions), model.encoding
    with recorded(model) as weights:
        torch.testing.assert_close(model(x, positions), before, atol=1e-5, rtol=1e-5)
    assert [tuple(layer.shape) for layer in weights] == [(2, 4, 9, 9)] * 2
    torch.testing.assert_close(weights[0].sum(-1), torch.ones(2, 4, 9))
    assert weights[0][1, ..., 6:].abs().max() == 0  # padding
    with pytest.raises(KeyError), recorded(model):
        raise KeyError
    assert model.encoding is encoding


def test_an_even_share_is_one_and_padding_neither_gives_nor_receives() -> None:
    real = torch.tensor([[True, True, True, True], [True, True, False, False]])
    even = torch.where(real[:, None, None, :], 1 / real.sum(1)[:, None, None, None], 0.0).expand(2, 3, 4, 4)
    assert received([even, even], real).tolist() == [[1, 1, 1, 1], [1, 1, 0, 0]]
    first = torch.zeros(2, 3, 4, 4)
    first[..., 0] = 1.0  # all read the first token
    first[1, :, 2:] = torch.tensor([0.0, 1.0, 0.0, 0.0])  # and padding another, which does not count
    assert received([first], real).tolist() == [[4, 0, 0, 0], [2, 0, 0, 0]]
    assert received([first, even], real)[0].tolist() == [2.5, 0.5, 0.5, 0.5]


# ---------------------------------------------------------------- the page


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the finished cells of a VSFormer and of a model that explains nothing."""
    folder = tmp_path_factory.mktemp("explain")
    models = ["--model", "vsformer:epochs=2", "--model", "constant"]
    where = ["--results", str(folder), "--tracking", "none", "--no-report"]
    assert main(["run", "--dataset", "generated/shapes", *models, *where]) == 0
    return folder


def key_of(results: Path, model: str) -> str:
    (key,) = (p.stem for p in (results / "cells").iterdir() if json.loads(p.read_text())["cell"]["model"] == model)
    return key


class Reader(HTMLParser):
    """What a page loads from elsewhere."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.loads: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.loads += [f"{tag} {k}" for k, _ in attrs if k in ("src", "href")] + [tag] * (tag in ("script", "link"))


def explain(capsys: pytest.CaptureFixture[str], *arguments: object) -> tuple[int, str, str]:
    """Exit code and output of the command, in this process."""
    code = main(["explain", *map(str, arguments)])
    said = capsys.readouterr()
    return code, said.out, said.err


def test_a_page_shows_motifs_of_each_class_and_the_cases_asked_for(
    capsys: pytest.CaptureFixture[str], results: Path, tmp_path: Path
) -> None:
    named = ("--dataset", "generated/shapes", "--model", "vsformer:epochs=2", "--results", results)
    code, said, _ = explain(capsys, *named, "--case", 5, "--case", 0, "--html", tmp_path / "page.html")
    assert code == 0
    page = (tmp_path / "page.html").read_text()
    assert Reader(page).loads == []
    for text in (said, page):
        for name in SHAPES:
            assert re.search(rf"class {name}: channel \d, steps \d+-\d+ of training case \d+, prior 0\.\d\d", text)
        assert re.findall(r"test case (\d+): is (\w+)", text) == [("5", "wave"), ("0", "bump")]
        assert "for drawing only" in text
        assert "nearest to a motif of class" in text
        assert "values of part" in text
    drawings = re.findall(r"<svg.*?</svg>", page, re.DOTALL)
    assert len(drawings) == 3 * 3 + 2 * 2  # motifs, and both channels of each case
    for svg in drawings:
        ET.fromstring(svg)


def test_a_cell_is_found_by_key_its_beginning_folder_or_names(
    capsys: pytest.CaptureFixture[str], results: Path
) -> None:
    key = key_of(results, "vsformer")
    names = ("--dataset", "generated/shapes", "--model", "vsformer:epochs=2", "--seed", 2021)
    ways: list[tuple[object, ...]] = [(key,), (key[:8],), (results / "artifacts" / key,), names]
    said = [explain(capsys, *way, "--results", results)[1] for way in ways]
    assert said[0].startswith("generated/shapes vsformer:epochs=2 seed 2021")
    assert len(set(said)) == 1
    code, shorter, _ = explain(capsys, *names[:3], "vsformer", "--results", results)
    assert code == 0
    assert shorter == f"no finished cell is of vsformer as it is by default; this is vsformer:epochs=2\n{said[0]}"


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("--dataset", "generated/shapes", "--model", "constant"), "constant explains nothing.*vsformer"),
        (("--dataset", "generated/shapes", "--model", "vsformer", "--case", "60"), "--case 60.*0 to 59"),
        (("--dataset", "generated/shapes", "--model", "vsformer", "--case", "-1"), "0 to 59"),
        (
            ("--dataset", "generated/shapes", "--model", "vsformer", "--seed", "7"),
            "not run yet.* first: tsbench run --dataset generated/shapes --model vsformer --seeds 7,\n",
        ),
        (("--dataset", "generated/shape", "--model", "vsformer"), "unknown data set 'generated/shape'. Did you mean"),
        (("--dataset", "generated/shapes", "--model", "vsformr"), "unknown model 'vsformr'. Did you mean"),
        (("--dataset", "uea/NATOPS", "--model", "dlinear"), "dlinear explains nothing.*vsformer"),
        (("--dataset", "uea/NATOPS", "--model", "vsformer"), "not run yet.* first: tsbench run --dataset uea/NATOPS"),
        (("0123abcd",), "no such finished cell"),
        ((), "name a cell"),
    ],
    ids=str,
)
def test_what_cannot_be_explained_is_said(
    capsys: pytest.CaptureFixture[str], results: Path, arguments: tuple[str, ...], words: str
) -> None:
    code, said, complaint = explain(capsys, *arguments, "--results", results)
    assert (code, said) == (2, "")
    assert re.search(words, complaint, re.DOTALL), complaint


def test_other_data_than_those_of_the_run_are_refused(
    capsys: pytest.CaptureFixture[str], results: Path, tmp_path: Path
) -> None:
    copy = tmp_path / "copy"
    shutil.copytree(results, copy)
    key = key_of(results, "vsformer")
    cell = copy / "cells" / f"{key}.json"
    record = json.loads(cell.read_text())
    record["data"]["digest"] = "0" * 64
    cell.write_text(json.dumps(record))
    code, _, complaint = explain(capsys, key, "--results", copy)
    assert (code, "its file changed" in complaint) == (2, True)


def test_motifs_are_where_the_explanation_says(results: Path) -> None:
    model = load_model(results / "artifacts" / key_of(results, "vsformer"))
    assert isinstance(model, VSFormer)
    splits = Shapes().load(Path(), "validation")
    assert splits.refit is not None
    fitting = splits.refit.train
    assert isinstance(fitting, SeriesSamples)
    batch = splits.refit.test.batch(torch.arange(4))
    explanation = model.explain(batch)
    shapes = {tuple(shape.tolist()) for part in model.branches["shape"].tokens.windows for shape in part.shapes}
    assert len(explanation.found) == len(shapes)
    for found in explanation.found:
        cut = fitting.values[found.case, found.first : found.end, found.channel]
        assert tuple(cut.tolist()) in shapes
        assert fitting.target[found.case] == found.label
        assert 0 < found.prior < 1
    assert batch.valid is not None
    for case, attended in enumerate(explanation.attended):
        length = int(batch.valid[case].sum())
        assert all(0 <= token.first < token.end <= length for token in attended)
        for branch in ("shape", "value"):
            shares = [token.attention for token in attended if token.branch == branch]
            assert sum(shares) / len(shares) == pytest.approx(1, rel=1e-4)
        assert [t.attention for t in attended] == sorted((t.attention for t in attended), reverse=True)


def test_a_model_says_nothing_unless_it_can(results: Path) -> None:
    model = load_model(results / "artifacts" / key_of(results, "constant"))
    batch = Shapes().load(Path(), "validation").validation.batch(torch.arange(2))
    assert type(model).explain is Model.explain
    assert model.explain(batch) is None


def test_a_drawing_of_a_long_or_flat_series_is_small_and_whole() -> None:
    long = drawing("<a & b>", torch.randn(20_000), [(19_000, 20_000, 0.5)])
    assert len(long) < 40_000
    root = ET.fromstring(long)
    assert root[0].text == "<a & b>"
    assert len(ET.fromstring(drawing("flat", torch.zeros(1), [(0, 1, 1.0)]))) == 5
