"""Which output of a model each class folder is."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from natonnx.data import ArrayBatches, load
from natonnx.data.classes import read_classes
from natonnx.errors import InputError
from tests.data.conftest import image_model, images, labels

Folder = Callable[..., Path]
INDICES = {"cat": 281, "great white shark": 2, "owl": 24}


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        ("cat 281\ngreat white shark 2\n\nowl\t24\n", INDICES),
        ("cat: 281\ngreat white shark : 2\nowl:24", INDICES),
        ("cat,281\ngreat white shark, 2\nowl ,24", INDICES),
        ("\ufeffcat 281\r\ngreat white shark 2\r\nowl 24\r\n", INDICES),
        (json.dumps(INDICES), INDICES),
        ("cat\ngreat white shark\n\nowl\n", {"cat": 0, "great white shark": 1, "owl": 3}),
        ('["cat", "owl"]', {"cat": 0, "owl": 1}),
    ],
)
def test_every_form_of_the_file(tmp_path: Path, content: str, expected: dict[str, int]) -> None:
    (tmp_path / "classes").write_text(content, encoding="utf-8", newline="")
    assert read_classes(tmp_path / "classes") == expected
    assert read_classes(expected) is expected


@pytest.mark.parametrize(
    ("content", "match"),
    [
        ("cat 1\nowl\n", "'owl' has no index, but other lines have: write name and index, or names alone"),
        ("cat 1\ncat 2\n", "names the class 'cat' twice"),
        ('{"cat": 1, "cat": 2}', "names the class 'cat' twice"),
        ("cat\ncat\n", "names the class 'cat' twice"),
        ("", "names no class: give lines such as"),
        ("{}", "names no class"),
        ("{", "is no JSON"),
        ('{"cat": "1"}', "which is no name with an index"),
        ('{"cat": true}', "which is no name with an index"),
        ("[1]", "which is no name with an index"),
        ('["a", 1]', "which is no name with an index"),
    ],
)
def test_bad_files(tmp_path: Path, content: str, match: str) -> None:
    path = tmp_path / "classes"
    path.write_text(content)
    with pytest.raises(InputError, match=f"classes: .*{match}") as caught:
        read_classes(path)
    assert "\n" not in str(caught.value)


def test_files_that_cannot_be_read(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"none: cannot be read \(No such file"):
        read_classes(tmp_path / "none")
    (tmp_path / "latin").write_bytes(b"\xe9t\xe9 1")
    with pytest.raises(InputError, match=r"latin: cannot be read \(it is no UTF-8 text\)"):
        read_classes(tmp_path / "latin")


def labels_of(parts: Any) -> list[int]:
    assert isinstance(parts.train, ArrayBatches)
    assert parts.train.targets is not None
    return sorted({int(label) for label in parts.train.targets})


def test_a_subset_of_the_classes_is_enough(tmp_path: Path, classes_folder: Folder) -> None:
    folder = classes_folder(tmp_path / "set", ("cat", "owl"))
    model = image_model(6, 5, classes=1000)
    parts = load(str(folder), model, classes=INDICES)
    assert labels_of(parts) == [24, 281]
    train = parts.train
    assert isinstance(train, ArrayBatches)
    is_owl = np.round(255 * train.inputs["x"].mean(axis=(1, 2))) == 10
    assert train.targets is not None
    np.testing.assert_array_equal(train.targets, np.where(is_owl, 24, 281))


def test_parts_may_have_different_subsets(tmp_path: Path, classes_folder: Folder) -> None:
    classes_folder(tmp_path / "train", ("cat", "owl"))
    classes_folder(tmp_path / "val", ("owl",))
    parts = load(str(tmp_path), image_model(6, 5, classes=1000), classes=INDICES)
    assert parts.validation.samples == 10
    assert labels_of(parts) == [24, 281]


def test_what_does_not_fit_is_named(tmp_path: Path, classes_folder: Folder) -> None:
    folder = classes_folder(tmp_path / "set", ("cat", "dog", "emu"))
    model = image_model(6, 5, classes=1000)
    cases: list[tuple[str, str, Any]] = [
        ("has 3 class folders, but the model's output has 1000 classes: .*--classes FILE", str(folder), None),
        ("the classes file lacks the folders 'dog', 'emu': add them.*it has 'cat'", str(folder), INDICES),
        ("labels runs from 1 to 1000, but .* has 1000 classes", str(folder), {"cat": 1, "dog": 1000, "emu": 2}),
        ("labels runs from -1 to 2, but", str(folder), {"cat": 1, "dog": -1, "emu": 2}),
        ("has no class folders, which the classes file is for", str(folder / "cat"), INDICES),
        ("fashion-mnist: is no folder of class folders", "fashion-mnist", INDICES),
    ]
    for match, spec, classes in cases:
        with pytest.raises(InputError, match=match):
            load(spec, model, classes=classes)
    with pytest.raises(InputError, match="arrays: has no class folders, which classes are for"):
        load((images(9, 6, 5), labels(9)), model, classes=INDICES)
    assert not load(str(folder), model, classes=INDICES, targets="none").train.has_targets
