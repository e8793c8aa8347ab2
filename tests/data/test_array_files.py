"""Folders of `.npz` and `.npy` files."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from natonnx.data import ArrayBatches, Batches, InputSpec, Signature, load
from natonnx.errors import InputError
from tests.data.conftest import FLOAT, INT, image_model, images, labels

MODEL = Signature((InputSpec("ids", (None, 5), INT), InputSpec("state", (2, None, 3), FLOAT, batch_axis=1)), classes=3)
IDS = np.arange(50 * 5).reshape(50, 5)
STATE = np.random.default_rng(0).normal(size=(2, 50, 3)).astype(np.float32)


def arrays(part: Batches | None) -> ArrayBatches:
    assert isinstance(part, ArrayBatches)
    return part


def write(folder: Path, start: int, end: int, labelled: bool = True) -> None:
    """Files of eight samples each."""
    folder.mkdir(exist_ok=True)
    for first in range(start, end, 8):
        cut = slice(first, min(first + 8, end))
        told: dict[str, Any] = {"labels": labels(50)[cut]} if labelled else {}
        np.savez(folder / f"{first:03}.npz", ids=IDS[cut], state=STATE[:, cut], **told)


def check(part: ArrayBatches, labelled: bool = True) -> list[int]:
    chosen = part.inputs["ids"][:, 0] // 5
    np.testing.assert_array_equal(part.inputs["ids"], IDS[chosen])
    np.testing.assert_array_equal(part.inputs["state"], STATE[:, chosen])
    assert (part.targets is not None) == labelled
    if part.targets is not None:
        np.testing.assert_array_equal(part.targets, labels(50)[chosen])
    return [int(index) for index in chosen]


@pytest.mark.parametrize("labelled", [True, False])
def test_files_are_batches_keyed_by_input_names(tmp_path: Path, labelled: bool) -> None:
    write(tmp_path, 0, 50, labelled)
    parts = load(tmp_path, MODEL)
    assert (parts.test is None) == (not labelled)  # too few without labels
    kept = [part for part in (parts.train, parts.validation, parts.test) if part is not None]
    seen = [index for part in kept for index in check(arrays(part), labelled)]
    assert sorted(seen) == list(range(50))


def test_files_of_parts(tmp_path: Path) -> None:
    for part, start, end in (("train", 0, 30), ("val", 30, 40), ("test", 40, 50)):
        write(tmp_path / part, start, end)
    parts = load(str(tmp_path), MODEL)
    assert check(arrays(parts.validation)) == list(range(30, 40))
    assert check(arrays(parts.test)) == list(range(40, 50))


def test_npy_files_are_batches_or_samples(tmp_path: Path) -> None:
    x = np.random.default_rng(0).normal(size=(20, 3, 4)).astype(np.float32)
    for index in range(8):
        np.save(tmp_path / f"a{index}.npy", x[index])
    np.save(tmp_path / "b.npy", x[8:])
    parts = load(tmp_path, image_model(3, 4))
    seen = {row.tobytes() for part in (parts.train, parts.validation) for row in arrays(part).inputs["x"]}
    assert seen == {row.tobytes() for row in x}
    along_1 = Signature((InputSpec("x", (3, None, 4), FLOAT, batch_axis=1),))
    train = arrays(load({"x": x.transpose(1, 0, 2)}, along_1).train)
    np.testing.assert_array_equal(train.inputs["x"].transpose(1, 0, 2), arrays(parts.train).inputs["x"])
    for index in range(8):
        np.save(tmp_path / f"a{index}.npy", x[index])
    np.save(tmp_path / "b.npy", x[8:].transpose(1, 0, 2))
    again = arrays(load(tmp_path, along_1).train)
    np.testing.assert_array_equal(again.inputs["x"], train.inputs["x"])


def test_grey_pictures_as_arrays_get_their_channel(tmp_path: Path) -> None:
    for index, picture in enumerate(images(5, 4, 6)):
        np.save(tmp_path / f"{index}.npy", picture)
    assert arrays(load(tmp_path, image_model(1, 4, 6)).train).inputs["x"].shape == (4, 1, 4, 6)


def test_bad_folders_of_arrays(tmp_path: Path) -> None:
    def refused(match: str, signature: Signature = MODEL, **options: Any) -> None:
        with pytest.raises(InputError, match=match) as caught:
            load(tmp_path, signature, **options)
        assert "\n" not in str(caught.value)

    np.savez(tmp_path / "a.npz", ids=IDS)
    refused("has nothing for the model's input 'state', but 'ids'")
    refused("has no class folders, which classes are for", classes={"a": 1})
    np.save(tmp_path / "b.npy", IDS)
    refused(r"b\.npy: is one array, but the model has 2 inputs \(ids, state\): save \.npz files")
    (tmp_path / "b.npy").write_text("hello")
    refused(r"b\.npy: is damaged: save plain arrays with numpy.save$", image_model(5, dtype=INT))
    np.save(tmp_path / "b.npy", np.array([{}]), allow_pickle=True)
    refused(r"b\.npy: holds Python objects", image_model(5, dtype=INT))
    Image.new("L", (5, 6)).save(tmp_path / "c.png")
    refused("holds both images and arrays")
    (tmp_path / "train").mkdir()
    (tmp_path / "val").mkdir()
    (tmp_path / "validation").mkdir()
    refused("has both val and validation: keep one")
    (tmp_path / "validation").rmdir()
    write(tmp_path / "train", 0, 9)
    Image.new("L", (5, 6)).save(tmp_path / "val" / "c.png")
    refused("val: holds images, but other parts hold arrays")


def test_pictures_are_for_models_of_one_input(tmp_path: Path) -> None:
    Image.new("L", (5, 6)).save(tmp_path / "c.png")
    with pytest.raises(InputError, match=r"pictures are for one input, but the model has 2 \(ids, state\): give .npz"):
        load(tmp_path, MODEL)
