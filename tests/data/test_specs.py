"""Every kind of spec, read right."""

import zlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from natonnx.data import BUILTIN, load
from tests.data.conftest import Loaded, image_model, images, labels, read

Save = Callable[..., str]
Folder = Callable[..., Path]

TRAIN_CHECKSUM = 0x3AA287E1


def distinct(dataset: Loaded) -> list[set[bytes]]:
    """The images of the three parts, as bytes."""
    parts = [dataset.train, dataset.validation, dataset.test]
    return [{image.tobytes() for image in part.inputs} for part in parts if part is not None]


def builtin(seed: int = 0) -> Loaded:
    return read("fashion-mnist", 1, 28, 28, classes=10, seed=seed)


def test_builtin_has_three_disjoint_stratified_parts() -> None:
    dataset = builtin()
    assert dataset.test is not None
    for part, per_class in ((dataset.train, 800), (dataset.validation, 400), (dataset.test, 1000)):
        assert part.inputs.shape == (10 * per_class, 1, 28, 28)
        assert part.inputs.dtype == np.float32
        assert part.labels.dtype == np.int64
        assert np.bincount(part.labels).tolist() == [per_class] * 10
        assert len(part) == 10 * per_class
    train, validation, test = distinct(dataset)
    assert not train & validation
    assert not (train | validation) & test


def test_builtin_split_never_changes() -> None:
    """The shipped models were trained on exactly these images: a change here makes their validation worthless."""
    for seed in (0, 7):
        dataset = builtin(seed)
        raw = np.round(dataset.train.inputs * 255).astype(np.uint8)
        assert zlib.crc32(raw.tobytes()) == TRAIN_CHECKSUM


def test_builtin_names() -> None:
    assert BUILTIN == ("fashion-mnist",)


def test_builtin_needs_no_labels() -> None:
    parts = load("fashion-mnist", image_model(28, 28, classes=None), targets="none")
    assert not parts.train.has_targets
    assert parts.notes[0] == "labels are not used"


def test_npz_with_all_three_parts_is_taken_as_it_is(save: Save) -> None:
    x = images(60, 8, 8, 3)
    y = labels(60)
    spec = save(x_train=x[:30], y_train=y[:30], x_val=x[30:45], y_val=y[30:45], x_test=x[45:], y_test=y[45:])
    dataset = read(spec, 3, 8, 8, classes=3)
    assert dataset.name == spec
    assert dataset.test is not None
    for part, rows in ((dataset.train, slice(30)), (dataset.validation, slice(30, 45)), (dataset.test, slice(45, 60))):
        np.testing.assert_array_equal(
            part.inputs, x[rows].transpose(0, 3, 1, 2).astype(np.float32) * np.float32(1 / 255)
        )
        np.testing.assert_array_equal(part.labels, y[rows])


def test_npz_without_validation_gives_a_fifth_of_training(save: Save) -> None:
    x, y = images(120, 4, 4), labels(120)
    spec = save(x_train=x[:100], y_train=y[:100], x_test=x[100:], y_test=y[100:])
    dataset = read(spec, 1, 4, 4, classes=3)
    assert dataset.test is not None
    assert (len(dataset.train), len(dataset.validation), len(dataset.test)) == (80, 20, 20)
    np.testing.assert_array_equal(dataset.test.labels, y[100:])
    train, validation, _ = distinct(dataset)
    assert not train & validation
    assert len(train | validation) == 100
    assert (np.bincount(dataset.validation.labels) >= 6).all()


def test_npz_without_test_has_none(save: Save) -> None:
    spec = save(x_train=images(50, 4, 4), y_train=labels(50))
    assert read(spec, 1, 4, 4, classes=3).test is None


def test_npz_of_images_and_labels_is_divided_by_the_seed(save: Save) -> None:
    spec = save(images=images(100, 4, 4), labels=labels(100, 4))
    dataset = read(spec, 4, 4, classes=4, seed=3)
    assert dataset.test is not None
    parts = (dataset.train, dataset.validation, dataset.test)
    assert [np.bincount(part.labels).tolist() for part in parts] == [[15] * 4, [5] * 4, [5] * 4]
    assert len(set.union(*distinct(dataset))) == 100
    again = read(spec, 4, 4, classes=4, seed=3)
    other = read(spec, 4, 4, classes=4, seed=4)
    np.testing.assert_array_equal(again.train.inputs, dataset.train.inputs)
    assert distinct(other)[0] != distinct(dataset)[0]


def test_rows_of_numbers_need_not_be_images(save: Save) -> None:
    x = np.random.default_rng(0).normal(size=(50, 7))
    dataset = read(save(images=x, labels=labels(50)), 7)
    assert dataset.train.inputs.shape == (30, 7)


def test_folder_of_classes(tmp_path: Path, classes_folder: Folder) -> None:
    folder = classes_folder(tmp_path / "set")
    (folder / "README.md").write_text("no class")
    (folder / ".hidden").mkdir()
    (folder / "cat" / "notes.txt").write_text("no image")
    dataset = read(str(folder), 1, 6, 5, classes=3, scale=0.1)
    assert dataset.test is not None
    assert (len(dataset.train), len(dataset.validation), len(dataset.test)) == (18, 6, 6)
    np.testing.assert_allclose(dataset.train.inputs.mean(axis=(1, 2, 3)), dataset.train.labels, rtol=1e-6)


@pytest.mark.parametrize(
    ("shape", "sample"),
    [((3, 4, 8), (3, 4, 8)), ((4, 8, 3), (4, 8, 3)), ((3, None, None), (3, 6, 5)), ((4, 8), (4, 8))],
)
def test_folder_images_take_the_format_of_the_model(
    tmp_path: Path, classes_folder: Folder, shape: tuple[int | None, ...], sample: tuple[int, ...]
) -> None:
    dataset = read(str(classes_folder(tmp_path / "set")), *shape)
    assert dataset.train.inputs.shape == (18, *sample)


def test_folder_resizes_bilinearly_and_keeps_colours(tmp_path: Path) -> None:
    colours = {"red": (255, 0, 0), "blue": (0, 0, 255)}
    for name, colour in colours.items():
        (tmp_path / name).mkdir()
        for index in range(5):
            Image.new("RGB", (9, 7), colour).save(tmp_path / name / f"{index}.bmp")
    train = read(str(tmp_path), 3, 4, 4, classes=2).train
    for image, label in zip(train.inputs, train.labels, strict=True):
        np.testing.assert_allclose(image.mean(axis=(1, 2)), np.array(colours[sorted(colours)[label]]) / 255)


@pytest.mark.parametrize("validation", ["val", "validation", None])
def test_folder_with_parts(tmp_path: Path, classes_folder: Folder, validation: str | None) -> None:
    classes_folder(tmp_path / "train")
    classes_folder(tmp_path / "test", count=4)
    if validation:
        classes_folder(tmp_path / validation, count=2)
    dataset = read(str(tmp_path), 1, 6, 5, classes=3)
    assert dataset.test is not None
    assert (len(dataset.train), len(dataset.validation)) == ((30, 6) if validation else (24, 6))
    assert len(dataset.test) == 12


@pytest.mark.usefixtures("functions")
def test_function_in_the_current_directory_returns_arrays() -> None:
    dataset = read("mydata:arrays", 1, 4, 4, classes=3)
    assert (dataset.name, len(dataset.train)) == ("mydata:arrays", 30)


@pytest.mark.usefixtures("functions")
def test_function_returns_a_finished_dataset() -> None:
    dataset = read("mydata:ready", 1, None, 4, classes=3)
    assert (dataset.name, len(dataset.train), dataset.test) == ("mine", 9, None)


def test_an_existing_path_comes_before_a_builtin_name(
    tmp_path: Path, classes_folder: Folder, monkeypatch: pytest.MonkeyPatch
) -> None:
    classes_folder(tmp_path / "fashion-mnist")
    monkeypatch.chdir(tmp_path)
    assert len(read("fashion-mnist", 1, 6, 5, classes=3).train) == 18


@pytest.mark.parametrize(
    ("train", "validation", "test"),
    [("x_train", "x_valid", "x_test"), ("X_train", "X_validation", "X_TEST"), ("training/x", "Dev/x", "testing/x")],
)
def test_parts_under_the_names_that_people_give_them(save: Save, train: str, validation: str, test: str) -> None:
    parts = read(save(**{train: images(30, 4, 4), validation: images(15, 4, 4), test: images(5, 4, 4)}), 1, 4, 4)
    assert parts.test is not None
    assert [len(part) for part in (parts.train, parts.validation, parts.test)] == [30, 15, 5]


@pytest.mark.parametrize("names", [("Train", "Val", "Test"), ("training", "valid", "testing"), ("TRAIN", "dev")])
def test_folders_under_the_names_that_people_give_them(
    tmp_path: Path, classes_folder: Callable[..., Path], names: tuple[str, ...]
) -> None:
    for count, name in enumerate(names, 2):
        classes_folder(tmp_path / name, count=count)
    parts = read(str(tmp_path), 6, 5)
    found = [len(part) for part in (parts.train, parts.validation, parts.test) if part is not None]
    assert found == [6, 9, 12][: len(names)]


def test_two_names_of_one_array_are_told(save: Save) -> None:
    parts = read(save(x_train=images(30, 4, 4), X_train=images(20, 4, 4), y_train=labels(30)), 1, 4, 4)
    assert len(parts.train) + len(parts.validation) in (20, 30)
    assert "not used: X_train" in parts.notes


def test_what_may_be_labels_under_another_name_is_told(save: Save) -> None:
    parts = read(save(images=images(50, 4, 4), y=labels(50)), 1, 4, 4)
    assert "not used: y (labels would be called labels)" in parts.notes
