"""The UEA archives: table, files, resamples, published accuracies, and a user's own files."""

from __future__ import annotations

import argparse
import hashlib
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from tests.conftest import Command
from tests.test_series_files import Written, arff
from tsbench.dataset import Dataset, file_digest
from tsbench.datasets.uea import Archive, Uea, UserSeries, archives
from tsbench.download import command
from tsbench.errors import DataError, MissingData, TsbenchError, UsageError
from tsbench.registry import all_datasets, find_datasets
from tsbench.search import Search
from tsbench.series.cases import to_samples
from tsbench.series.samples import SeriesSamples
from tsbench.series.splits import PROTOCOLS, resampled
from tsbench.series.ts_file import read_ts

NAMES = [archive.name for archive in archives()]
AT_HAND = (
    *("ArticularyWordRecognition", "AtrialFibrillation", "BasicMotions", "Epilepsy", "FingerMovements", "Handwriting"),
    *("JapaneseVowels", "Libras", "NATOPS", "PenDigits", "StandWalkJump"),
)


def find(spec: str) -> Uea:
    (dataset,) = find_datasets(spec)
    assert isinstance(dataset, Uea)
    return dataset


def values(splits_part: object) -> torch.Tensor:
    assert isinstance(splits_part, SeriesSamples)
    return splits_part.values


# ---------------------------------------------------------------- the thirty


def test_table_of_thirty_agrees_with_sktime() -> None:
    from sktime.datasets.classification.ucr_uea_archive._tags import DATASET_TAGS

    assert len(NAMES) == len(set(NAMES)) == 30
    assert {f"uea/{name}" for name in NAMES} == {name for name in all_datasets() if name.startswith("uea/")}
    for archive in archives():
        known = DATASET_TAGS[archive.name]
        assert (known["n_instances_train"], known["n_instances_test"]) == archive.cases
        assert known["n_classes"] == archive.classes
        assert not known["is_univariate"]


@pytest.mark.parametrize(("name", "size", "labels"), [
    ("BasicMotions", (40, 40, 6, 100), ("Standing", "Running", "Walking", "Badminton")),
    ("JapaneseVowels", (270, 370, 12, 29), tuple("123456789")),
])  # fmt: skip
def test_two_need_no_file(name: str, size: tuple[int, ...], labels: tuple[str, ...], tmp_path: Path) -> None:
    dataset = find(f"uea/{name}")
    assert dataset.sources == ()
    for protocol in PROTOCOLS:
        splits = dataset.load(tmp_path, protocol)
        train = splits.refit.train if splits.refit else splits.train
        assert (len(train), len(splits.test), splits.task.inputs.channels, splits.task.inputs.length) == size  # type: ignore[attr-defined]
        assert splits.task.labels == labels  # type: ignore[attr-defined]
    for path, sha256 in zip(dataset.files(tmp_path), dataset.archive.sha256, strict=True):
        assert file_digest(path) == sha256, "sktime's copy is the archive's file"
    assert dataset.digest(tmp_path) == dataset.digest(tmp_path / "elsewhere")


@pytest.mark.parametrize("name", AT_HAND)
def test_files_at_hand_are_read_whole(name: str, real_data: Path) -> None:
    dataset = find(f"uea/{name}:scaling=none")
    splits = dataset.load(real_data, "test-selected")
    assert (len(splits.train), len(splits.test)) == dataset.archive.cases
    assert splits.notes[0].startswith("test-selected") or name == "JapaneseVowels"
    last = dataset.files(real_data)[1].read_bytes().splitlines()[-1]
    numbers, _, label = last.rpartition(b":")
    expected = torch.tensor([[float(v) for v in channel.split(b",")] for channel in numbers.split(b":")]).T
    batch = splits.test.batch(torch.tensor([len(splits.test) - 1]))
    assert torch.equal(batch.inputs[0], expected)
    assert splits.task.labels[int(batch.target)] == label.decode()  # type: ignore[attr-defined]


def test_copies_in_libras_are_told(real_data: Path) -> None:
    """19 of its 180 test cases are in TRAIN, 3 of them where validation is cut off."""
    splits = find("uea/Libras").load(real_data, "validation")
    assert splits.notes == (
        "16 of 180 test samples occur in train (16 with the same label); "
        "3 of 180 test samples occur in validation (3 with the same label)",
    )
    assert splits.shared == {("train", "test"), ("validation", "test")}
    whole = find("uea/Libras").load(real_data, "test-selected")
    assert "19 of 180 test samples occur in train (19 with the same label)" in whole.notes


def test_absent_files_say_how_to_get_them(tmp_path: Path) -> None:
    with pytest.raises(MissingData, match=r"Cricket_TRAIN\.ts\(\.gz\) is not there.*tsbench data fetch"):
        find("uea/Cricket").load(tmp_path, "validation")
    with pytest.raises(MissingData, match="Cricket_TRAIN"):
        find("uea/Cricket").digest(tmp_path)


def test_sources_name_an_address_and_another(tmp_path: Path) -> None:
    train, test = find("uea/Cricket").sources
    assert train.file == "uea/Cricket/Cricket_TRAIN.ts"
    assert train.url == "https://zenodo.org/records/11206185/files/Cricket_TRAIN.ts"
    assert test.others == ("https://timeseriesclassification.com/aeon-toolkit/Cricket.zip#Cricket_TEST.ts",)


# ---------------------------------------------------------------- made archives


def made(folder: Path, name: str = "Toy", train: int = 10, suffix: str = ".ts", steps: int = 5) -> Path:
    """Files of an archive of two channels and two classes: `train` cases in TRAIN, 4 in TEST, of 3 and more steps."""
    folder.mkdir(parents=True, exist_ok=True)
    generator = torch.Generator().manual_seed(3)
    for part, count in (("TRAIN", train), ("TEST", 4)):
        series = [torch.randn(2, 3 + i % (steps - 2), generator=generator).numpy().round(2) for i in range(count)]
        cases = Written(series, [("a", "ab")[i % 2] for i in range(count)])
        lines = [":".join(",".join(f"{v:.2f}" for v in c) for c in s) for s in series]
        rows = [f"{line}:{label}\n" for line, label in zip(lines, cases.labels, strict=True)]
        content = arff(cases) if suffix == ".arff" else ("@classLabel true a ab\n@data\n" + "".join(rows)).encode()
        (folder / f"{name}_{part}{suffix}").write_bytes(content)
    return folder / f"{name}_TRAIN{suffix}"


TOY = Archive("Toy", (10, 4), 2, (3, 5), 2, "1", (None, None))


def test_ts_arff_gzip_and_nested_folders_give_the_same(tmp_path: Path) -> None:
    import gzip

    plain = made(tmp_path / "plain" / "uea" / "Toy")
    made(tmp_path / "arff" / "uea" / "Toy", suffix=".arff")
    nested = tmp_path / "nested" / "uea" / "Multivariate_ts" / "Toy"
    nested.mkdir(parents=True)
    for file in plain.parent.iterdir():
        (nested / f"{file.name}.gz").write_bytes(gzip.compress(file.read_bytes()))
    dataset = Uea(TOY)
    first = dataset.load(tmp_path / "plain", "validation")
    for form in ("arff", "nested"):
        other = dataset.load(tmp_path / form, "validation")
        assert other.task == first.task
        for part in ("train", "validation", "test"):
            assert torch.equal(values(getattr(first, part)), values(getattr(other, part)))
            assert torch.equal(getattr(first, part).target, getattr(other, part).target)
    assert dataset.digest(tmp_path / "plain") == dataset.digest(tmp_path / "nested")


@pytest.mark.parametrize(
    ("other", "problem"),
    [
        ({"cases": (11, 4)}, r"Toy_TRAIN\.ts: 10 cases, the archive has 11: a cut copy"),
        ({"cases": (10, 3)}, r"Toy_TEST\.ts: 4 cases, the archive has 3: not the archive's file"),
        ({"channels": 3}, "2 channels, the archive has 3"),
        ({"lengths": (3, 6)}, "5 steps in the longest case, the archive has 6"),
        ({"lengths": (5, 5)}, "3 steps in the shortest case, the archive has 5"),
        ({"classes": 3}, "2 classes, the archive has 3"),
    ],
)
def test_files_that_differ_from_the_table_are_errors(other: dict[str, Any], problem: str, tmp_path: Path) -> None:
    path = made(tmp_path / "uea" / "Toy")
    with pytest.raises(DataError, match=problem) as error:
        Uea(replace(TOY, **other)).load(tmp_path, "validation")
    assert "run `tsbench data fetch uea/Toy`" in str(error.value)
    assert str(error.value).endswith(f"--dataset {path}")


def test_every_cut_of_an_archive_is_an_error(tmp_path: Path) -> None:
    """Wherever it ends, but in the blanks after its last label."""
    path = made(tmp_path / "uea" / "Toy")
    whole = path.read_bytes()
    for size in range(len(whole) - 1):
        path.write_bytes(whole[:size])
        with pytest.raises(DataError):
            Uea(TOY).load(tmp_path, "validation")
    path.write_bytes(whole[:-1])
    Uea(TOY).load(tmp_path, "validation")


def test_a_cut_real_file_is_told_by_line(real_data: Path, tmp_path: Path) -> None:
    folder = tmp_path / "uea" / "Epilepsy"
    folder.mkdir(parents=True)
    for part in ("TRAIN", "TEST"):
        content = (real_data / "uea" / "Epilepsy" / f"Epilepsy_{part}.ts").read_bytes()
        (folder / f"Epilepsy_{part}.ts").write_bytes(content[:300_000] if part == "TRAIN" else content)
    with pytest.raises(DataError, match=r"Epilepsy_TRAIN\.ts:\d+: .*The copy is cut or damaged"):
        find("uea/Epilepsy").load(tmp_path, "validation")


# ---------------------------------------------------------------- resamples


def test_resamples_are_those_of_aeon() -> None:
    """aeon 1.6.0: `stratified_resample_data_indices` of BasicMotions, seeds 1 and 7."""
    words = {
        1: "33 76 36 70 32 74 34 77 37 31 55 18 56 13 59 57 15 16 10 52",
        7: "31 77 32 35 71 30 78 36 73 79 58 17 55 54 57 13 11 50 14 16",
    }
    for seed, wanted in words.items():
        train, test = dealt("BasicMotions", seed, Path())
        assert train[:20] == [int(word) for word in wanted.split()]
        assert sorted([*train, *test]) == list(range(80))
    assert test[:10] == [70, 74, 38, 76, 39, 72, 37, 33, 34, 75]


def test_resamples_are_those_of_aeon_where_labels_sort_as_words(real_data: Path) -> None:
    """aeon 1.6.0, Libras, seed 3: sha256 of all 360 indices as int64."""
    train, test = dealt("Libras", 3, real_data)
    digest = hashlib.sha256(torch.tensor([*train, *test]).numpy().tobytes()).hexdigest()
    assert digest == "1ac8268571118db18cad715912afe74a54a7797eaff2dd911b6bf5569691bd4d"


def dealt(name: str, seed: int, root: Path) -> tuple[list[int], list[int]]:
    """Places in TRAIN followed by TEST of the cases of a resample."""
    train, test, labels = to_samples(*map(read_ts, find(f"uea/{name}").files(root)))
    places = torch.arange(len(train) + len(test)).float()[:, None, None]
    first = SeriesSamples(places[: len(train)], train.target)
    second = SeriesSamples(places[len(train) :], test.target)
    new, unseen = resampled(first, second, labels, seed)
    return new.values.flatten().long().tolist(), unseen.values.flatten().long().tolist()


def test_a_resample_keeps_every_case_and_the_counts_of_classes(tmp_path: Path) -> None:
    specs = ("uea/JapaneseVowels", "uea/JapaneseVowels:resample=2")
    plain, other = (find(spec).load(tmp_path, "validation") for spec in specs)
    assert "resample 2: TRAIN and TEST pooled and split anew, not the archive's split" in other.notes
    assert plain.refit is not None
    assert other.refit is not None
    for old, new in ((plain.refit.train, other.refit.train), (plain.test, other.test)):
        assert torch.equal(old.target.bincount(), new.target.bincount())  # type: ignore[attr-defined]
    assert plain.test.sizes.tolist() != other.test.sizes.tolist()
    both = [torch.cat([s.refit.train.sizes, s.test.sizes]).sort().values for s in (plain, other) if s.refit]
    assert torch.equal(both[0], both[1]), "each case once, in all its length"
    again = find("uea/JapaneseVowels:resample=2").load(tmp_path, "validation")
    assert torch.equal(values(again.train), values(other.train))


@pytest.mark.parametrize("option", ["scaling=all", "resample=-1", "resample=1.5"])
def test_options_that_do_not_fit(option: str) -> None:
    with pytest.raises(UsageError, match=r"scaling|resample"):
        find(f"uea/BasicMotions:{option}")


# ---------------------------------------------------------------- a user's own files


def user(path: Path) -> Dataset:
    (dataset,) = find_datasets(str(path))
    return dataset


def test_a_users_pair_is_found_by_either_file(tmp_path: Path) -> None:
    path = made(tmp_path, "Mine")
    dataset = user(path)
    assert (dataset.name, dataset) == ("user/Mine", UserSeries(path))
    assert user(tmp_path / "Mine_TEST.ts") == dataset
    splits = dataset.load(Path(), "validation")
    assert (len(splits.train) + len(splits.validation), len(splits.test)) == (10, 4)
    assert [Path(source.file).name for source in dataset.sources] == ["Mine_TRAIN.ts", "Mine_TEST.ts"]
    before = dataset.digest(Path())
    (tmp_path / "Mine_TEST.ts").write_text("@data\n1,2:3,4:a\n")
    assert dataset.digest(Path()) != before
    (tmp_path / "Mine_TEST.ts").unlink()
    with pytest.raises(MissingData, match=r"Mine_TEST\.ts is not there.*as a pair"):
        dataset.load(Path(), "validation")
    (tmp_path / "Mine.ts").touch()
    with pytest.raises(UsageError, match=r"name them NAME_TRAIN\.ts and NAME_TEST\.ts"):
        user(tmp_path / "Mine.ts")


def test_of_a_users_pair_with_one_case_a_class_nothing_is_held_out_and_it_says_so(tmp_path: Path) -> None:
    splits = user(made(tmp_path, "Mine", train=2)).load(Path(), "validation")
    assert not splits.selects
    assert any("no class has two different training cases" in note for note in splits.notes)


def test_commands_run_a_users_pair_and_a_named_archive(tsbench: Command, tmp_path: Path) -> None:
    made(tmp_path / "series", "Mine")
    own = "series/Mine_TRAIN.ts:scaling=case"
    run = tsbench("run", "--dataset", own, "--dataset", "uea/BasicMotions", "--model", "constant")
    assert run.returncode == 0, run.stderr
    assert "user/Mine:scaling=case" in run.stdout
    assert "uea/BasicMotions" in run.stdout
    lines = (tmp_path / "series" / "Mine_TRAIN.ts").read_text().replace(":ab\n", ":cd\n", 1)
    (tmp_path / "series" / "Mine_TRAIN.ts").write_text(lines)
    broken = tsbench("run", "--dataset", "series/Mine_TRAIN.ts", "--model", "constant")
    assert broken.returncode == 2
    assert "Mine_TRAIN.ts:4: unknown label 'cd'; the file declares a, ab" in broken.stderr


def test_list_and_check(real_data: Path, capsys: pytest.CaptureFixture[str]) -> None:
    def data(action: str, *names: str) -> list[str]:
        assert command(argparse.Namespace(action=action, names=names, data=real_data, mirror=None)) == 0
        return capsys.readouterr().out.splitlines()

    listed = data("list", "uea")
    assert len(listed) == 2 * 28 + 1
    assert sum(" there (" in line for line in listed) == 2 * (len(AT_HAND) - 2)
    assert len({line.index(" uea ") for line in listed[:-1]}) == 1, "columns stand below each other"
    assert data("check", "uea/BasicMotions") == ["uea/BasicMotions: needs no file"]
    name = "AtrialFibrillation"
    assert data("check", f"uea/{name}")[0] == f"uea/{name}/{name}_TRAIN.ts: good"
    assert "uea/Libras/Libras_TEST.ts: shape good; content not verified" in data("check", "uea/Libras")[1]


# ---------------------------------------------------------------- published accuracies, and studies


def published(name: str, protocol: str) -> dict[str, tuple[float, str, str]]:
    rows = [row for row in find(f"uea/{name}").published() if row.protocol == protocol]
    found = {row.model: (row.value, row.note, row.defect) for row in rows}
    assert len(found) == len(rows), "a model has one row, whose name tells it apart"
    return found


def test_published_accuracies_stand_under_the_protocol_they_were_made_by() -> None:
    """Values from the project's reference note, tables 3.1 and 3.2."""
    honest, selected = published("AtrialFibrillation", "validation"), published("AtrialFibrillation", "test-selected")
    assert honest["minirocket"][0] == 0.133
    assert honest["dtw_d"][:2] == (0.2, "archive split, run with aeon; tsml-eval has the same on its 26 sets")
    assert honest["resnet"][0] == 0.3333
    assert honest["resnet, mean of 30 resamples"][0] == pytest.approx(0.362, abs=5e-4)
    assert honest["dtw_i, mean of 30 resamples"][0] == pytest.approx(0.347, abs=5e-4)
    assert honest["MiniRocket, aeon 1.6.0, mean of 3 seeds, of the reference note"][0] == pytest.approx(0.089, abs=5e-4)
    for model, value in (("SVP-T", 0.4), ("ShapeFormer", 0.66)):
        assert honest[model][0] == selected[model][0] == value
        assert honest[model][2] == "its code selects the epoch on TEST"
        assert not selected[model][2], "which is what all models under this protocol do"
    assert "a user got 0.40" in honest["ShapeFormer"][1]
    for model in ("dtw_i", "dtw_i, mean of 30 resamples"):
        assert "another algorithm than models/dtw_i" in honest[model][1]
    assert selected["PatchTST"][0] == 0.8
    assert "PatchTST" not in honest
    assert "dlinear" in selected
    assert "dlinear" not in honest
    assert published("ERing", "validation")["TapNet"][0] == 0.133
    assert "earlier release" in published("ERing", "validation")["TapNet"][1]
    assert published("JapaneseVowels", "test-selected")["MambaSL"][0] == pytest.approx(0.987, abs=5e-4)


def test_every_archive_has_published_accuracies_in_range() -> None:
    total = 0
    for name in NAMES:
        rows = find(f"uea/{name}").published()
        assert {row.protocol for row in rows} == set(PROTOCOLS)
        assert all(0 <= row.value <= 1 and row.source and row.metric == "accuracy" for row in rows)
        total += len(rows)
    assert total == 2049
    assert find("uea/Cricket:resample=1").published() == [], "published on the archive's split"


def test_a_study_never_chooses_by_the_test_set(tmp_path: Path) -> None:
    args = argparse.Namespace(
        dataset="uea/BasicMotions", model="dtw_d", set=[], protocol="validation", study=None, storage=None,
        data=tmp_path, results=tmp_path / "results",
    )  # fmt: skip
    assert Search(args).protocol == "validation"
    args.protocol = "test-selected"
    with pytest.raises(UsageError, match="validation is TEST, and a study would choose settings by it"):
        Search(args)


def test_errors_are_all_ours(tmp_path: Path) -> None:
    """A folder in a file's place, and files of another kind."""
    folder = tmp_path / "uea" / "Cricket"
    (folder / "Cricket_TRAIN.ts").mkdir(parents=True)
    with pytest.raises(MissingData):
        find("uea/Cricket").load(tmp_path, "validation")
    (folder / "Cricket_TRAIN.ts").rmdir()
    for part in ("TRAIN", "TEST"):
        (folder / f"Cricket_{part}.ts").write_bytes(b"<html>not found</html>\n" * 3)
    with pytest.raises(TsbenchError, match="no line `@data`"):
        find("uea/Cricket").load(tmp_path, "validation")
