"""Every bad input is an InputError in one line that says what, where and what to do."""

import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from natonnx.data import Preprocessing
from natonnx.errors import InputError
from tests.data.conftest import images, labels, read

Save = Callable[..., str]
Folder = Callable[..., Path]


def refused(match: str, spec: str, shape: tuple[int | None, ...] = (1, 4, 4), classes: int = 3, **options: Any) -> None:
    with pytest.raises(InputError, match=match) as caught:
        read(spec, *shape, classes=classes, **options)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("spec", ["", "no/such.npz", "cifar-10", "a:b:c", "mydata:", "https://x/y"])
def test_unknown_spec_lists_what_is_possible(spec: str) -> None:
    refused(r"no such data: give an existing \.npz.*folder.*fashion-mnist.*package\.module:function", spec)


def test_file_that_is_no_archive(tmp_path: Path) -> None:
    (tmp_path / "x.npz").write_text("hello")
    refused(r"x\.npz: is not a \.npz archive: save the arrays with numpy\.savez", str(tmp_path / "x.npz"))
    np.save(tmp_path / "x.npy", labels(3))
    refused(r"x\.npy: is not a \.npz archive", str(tmp_path / "x.npy"))


def test_damaged_archive(tmp_path: Path, save: Save) -> None:
    path = Path(save(images=images(50, 4, 4), labels=labels(50)))
    content = bytearray(path.read_bytes())
    content[300:400] = bytes(100)
    path.write_bytes(content)
    refused(r"set\.npz: is damaged: save plain arrays", str(path))
    (tmp_path / "z.npz").write_bytes(content[: len(content) // 2])
    refused(r"z\.npz: is damaged, or truncated: save", str(tmp_path / "z.npz"))
    with zipfile.ZipFile(tmp_path / "y.npz", "w") as archive:
        archive.writestr("images.npy", b"\x93NUMPY")
    refused(r"y\.npz: is damaged", str(tmp_path / "y.npz"))


def test_pickles_are_never_loaded(save: Save) -> None:
    refused(r"set\.npz: holds Python objects: save plain arrays", save(images=np.array([{}]), labels=labels(1)))


@pytest.mark.parametrize(
    ("arrays", "match"),
    [
        ({"z": images(9, 4, 4)}, "has nothing for the model's input 'x', but 'z': name the arrays .* .or images"),
        ({"labels": labels(9)}, "has nothing for the model's input 'x', but 'labels'"),
        (
            {"x_train": images(9, 4, 4), "y_train": labels(9), "x_test": images(9, 4, 4)},
            "has no labels for test, but for other parts: give all parts labels, or none",
        ),
        ({"x_train": images(9, 4, 4), "y_test": labels(9)}, "has nothing for the model's input 'x', but 'y_test'"),
        ({"x_test": images(9, 4, 4)}, "has the keys 'x_test', but nothing to train with: name it x_train"),
        ({"images": images(9, 4, 4), "labels": labels(8)}, "images has 9 samples but labels has 8"),
        (
            {"images": images(9, 4, 4), "labels": labels(9) * 1.0},
            r"labels is float64 \(9,\): labels must be integer class indices, usually one a sample",
        ),
        (
            {"images": images(9, 4, 4), "labels": np.eye(3)[labels(9)]},
            r"labels is float64 \(9, 3\): labels must be integer.*one a sample, the argmax of one-hot labels",
        ),
        ({"images": images(9, 4, 4), "labels": labels(9).astype(str)}, "labels is an array of <U21.*: give class ind"),
        ({"images": images(9, 4, 4), "labels": labels(9, 4)}, "runs from 0 to 3, but.* output has 3 classes.*0…2"),
        ({"images": images(9, 4, 4), "labels": labels(9) - 1}, "runs from -1 to 1"),
        ({"images": images(0, 4, 4), "labels": labels(0)}, "images is empty: give"),
        ({"images": np.uint8(3), "labels": labels(1)}, "images: yields single samples where a batch is wanted"),
        ({"images": images(2, 4, 4), "labels": labels(2)}, "too few samples to give the test part any"),
        ({"images": np.array(["a"] * 9), "labels": labels(9)}, "images is an array of <U1, not of numbers"),
        (
            {"images": images(9, 5, 4), "labels": labels(9)},
            "samples are 5×4, but the model's input is 1×4×4.*never res",
        ),
        ({"images": images(9, 4, 4, 3), "labels": labels(9)}, "samples are 4×4×3, but the model's input is 1×4×4"),
        ({"images": images(9), "labels": labels(9)}, "samples are single numbers"),
        (
            {"images": np.where(np.arange(9) > 6, np.nan, 1.0)[:, None, None] * np.ones((4, 4)), "labels": labels(9)},
            r"images holds NaN, in sample 7 and 1 more of 9 \(the first is 0\): remove those samples, or mend them",
        ),
        (
            {"images": np.where(np.arange(9) == 2, np.inf, 1.0)[:, None, None] * np.ones((4, 4)), "labels": labels(9)},
            r"images holds infinite values, in sample 2 of 9 \(the first is 0\): remove",
        ),
        ({"images": np.full((9, 4, 4), 1e300), "labels": labels(9)}, "holds 1e.300, too large for float32"),
    ],
)
def test_bad_arrays(save: Save, arrays: dict[str, Any], match: str) -> None:
    refused(r"set\.npz: .*" + match, save(**arrays))


def test_builtin_needs_ten_classes_and_small_grey_images() -> None:
    refused("has 10 classes, but the model's output has 12", "fashion-mnist", (1, 28, 28), 12)
    refused("samples are 28×28, but the model's input is 3×32×32", "fashion-mnist", (3, 32, 32), 10)


@pytest.mark.parametrize(
    ("count", "shape", "sample"),
    [(50, (None, None, None), (4, 4, 3)), (50, (3, None, None), (3, 4, 3)), (50, (None, None, None), (4, 4))],
)
def test_ambiguous_layout_asks_for_it(
    save: Save, count: int, shape: tuple[int | None, ...], sample: tuple[int, ...]
) -> None:
    spec = save(images=images(count, *sample), labels=labels(count))
    refused("fit the model's input .* in more than one way: .*--layout NCHW or --layout NHWC", spec, shape)
    read(spec, *shape, layout="NCHW")


def test_mean_and_std_must_match_the_channels(save: Save) -> None:
    spec = save(images=images(9, 4, 4, 3), labels=labels(9))
    refused("mean has 2 values for 3 or 4 channels: give one value, or one a channel", spec, (3, 4, 4), mean=(0.1, 0.2))
    refused("std has 2 values for 3 channels", spec, (3, 4, 4), std=(1, 2), layout="NCHW")
    spec = save(images=images(9, 3, 4, 3), labels=labels(9))
    refused("mean could belong to either axis of 3: give --layout", spec, (3, 4, 3), mean=(0.1, 0.2, 0.3))


@pytest.mark.parametrize(
    ("options", "match"),
    [
        ({"std": (0.5, 0.0)}, "std .* must be positive"),
        ({"std": (-1.0,)}, "std .* must be positive"),
        ({"std": ()}, "std .* must be one finite number"),
        ({"mean": (float("nan"),)}, "mean .* must be one finite number"),
        ({"scale": 0.0}, "scale 0.0 must be finite and not 0"),
        ({"scale": float("inf")}, "scale inf must be finite"),
        ({"layout": "HWCN"}, "unknown layout 'HWCN': choose one of NCHW, NHWC"),
        ({"augment": "cutout"}, "unknown augmentation 'cutout': choose one of none, shift, shift-flip"),
    ],
)
def test_bad_preprocessing(options: dict[str, Any], match: str) -> None:
    with pytest.raises(InputError, match=match):
        Preprocessing(**options)


def test_folder_without_classes_or_images(tmp_path: Path) -> None:
    refused("holds neither images nor arrays: natonnx reads .*.npz.*.png", str(tmp_path))
    for name in "abc":
        (tmp_path / name).mkdir()
    refused("its folders hold no images: natonnx reads .*.png", str(tmp_path))


def test_folder_with_the_wrong_classes(tmp_path: Path, classes_folder: Folder) -> None:
    classes_folder(tmp_path / "train")
    refused("has 3 class folders, but the model's output has 4 classes: .*--classes FILE", str(tmp_path), (1, 6, 5), 4)
    classes_folder(tmp_path / "test", ("cat", "dog", "cow"))
    refused("test: its class folders are not those of .*train: name them alike", str(tmp_path), (1, 6, 5))


def test_unreadable_image(tmp_path: Path, classes_folder: Folder) -> None:
    folder = classes_folder(tmp_path / "set")
    (folder / "dog" / "03.png").write_text("not an image")
    refused(r"03\.png: cannot be read as an image: mend or remove it", str(folder), (1, 6, 5))
    whole = (folder / "dog" / "04.png").read_bytes()
    (folder / "dog" / "03.png").write_bytes(whole[: len(whole) // 2])
    refused(r"03\.png: cannot be read as an image", str(folder), (1, 6, 5))


def test_images_of_many_sizes_for_a_model_of_any_size(tmp_path: Path, classes_folder: Folder) -> None:
    folder = classes_folder(tmp_path / "set")
    Image.new("L", (8, 9)).save(folder / "dog" / "03.png")
    refused(
        "images run from 6×5 to 9×8 and the model takes any size: say one with --input-shape",
        str(folder),
        (1, None, None),
    )


@pytest.mark.parametrize(
    ("shape", "match"),
    [
        ((7,), "needs an image model, but this model's input is 7"),
        ((None, None, None), r"input \?×\?×\? does not tell which axis holds the channels"),
        ((3, 8, 3), "does not tell which axis"),
        ((8, 8, 8), "does not tell which axis"),
    ],
)
def test_folder_for_a_model_without_images(
    tmp_path: Path, classes_folder: Folder, shape: tuple[int | None, ...], match: str
) -> None:
    refused(match, str(classes_folder(tmp_path / "set")), shape)


def test_folder_for_a_model_of_other_channels(tmp_path: Path, classes_folder: Folder) -> None:
    spec = str(classes_folder(tmp_path / "set"))
    refused("images have 1 or 3 channels, but .* 4×8×8 has 4", spec, (4, 8, 8), layout="NCHW")


@pytest.mark.usefixtures("functions")
@pytest.mark.parametrize(
    ("name", "match"),
    [
        ("fails", "mydata:fails: failed with RuntimeError: two lines: it must be importable and callable"),
        ("missing", "failed with AttributeError"),
        ("value", "failed with TypeError"),
        ("number", "mydata:number is int: give arrays, a tuple or a mapping of them, a torch Dataset"),
        ("itself", "mydata:itself: returned the name of a function, 'mydata:itself': return what that returns"),
        ("late", "mydata:late: reading it failed with KeyError: 'two.*lines'"),
        ("objects", "images is an array of object, not of numbers"),
        ("short", "the train part has 8 and 9 samples in its arrays: give as many inputs as labels"),
        ("double", "the train part has float64 inputs x: they must be float32"),
        ("shape", "the validation part has inputs of 4×4, but the model's input is 1×4×4"),
        ("label", "the test part has labels 0 to 8: they must lie in 0…2"),
        ("nan", "the test part: x holds NaN, in sample 0 and 2 more of 3"),
        ("none", "the validation part is no Split of numpy arrays"),
        ("cut", "augment is 'cutout': choose one of none, shift, shift-flip"),
        ("wide", "has 4 classes, but the model's output has 3"),
    ],
)
def test_bad_functions(name: str, match: str) -> None:
    refused(match, f"mydata:{name}")


def test_function_in_a_module_that_is_not_there() -> None:
    refused("nowhere.data:load: failed with ModuleNotFoundError", "nowhere.data:load")
