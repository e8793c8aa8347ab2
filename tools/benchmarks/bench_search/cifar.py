"""CIFAR-10 (JPEG q75) as one small archive of arrays: balanced parts, drawn once by a seed."""

import io
import tarfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image

from natonnx.errors import InputError
from natonnx.files import write_bytes

__all__ = ["LABEL", "make_parts", "read_archive", "write_parts"]

LABEL = "CIFAR-10 (JPEG q75)"
"""What figures are labelled by: they are not comparable with published ones of CIFAR-10."""

Arrays = Mapping[str, npt.NDArray[Any]]


def read_archive(path: Path) -> dict[str, npt.NDArray[Any]]:
    """Read `cifar10_jpeg/{train,test}/CLASS/NNNN.jpg` from a tar.xz file, in one pass.

    Returns:
        `x_train`, `x_test`, uint8 [n, 32, 32, 3], and `y_train`, `y_test`, int64 [n]; class by class.

    Raises:
        InputError: If it is no such file.
    """
    images: dict[str, list[npt.NDArray[np.uint8]]] = {"train": [], "test": []}
    names: dict[str, list[str]] = {"train": [], "test": []}
    for part, label, content in _pictures(path):
        images[part].append(np.asarray(Image.open(io.BytesIO(content)).convert("RGB")))
        names[part].append(label)
    classes = sorted(set(names["train"]) | set(names["test"]))
    if not names["train"] or not names["test"]:
        raise InputError(f"{path}: has no pictures under cifar10_jpeg/train and cifar10_jpeg/test")
    found: dict[str, npt.NDArray[Any]] = {}
    for part, pictures in images.items():
        found[f"x_{part}"] = np.stack(pictures)
        found[f"y_{part}"] = np.array([classes.index(name) for name in names[part]], np.int64)
    return found


def _pictures(path: Path) -> Iterator[tuple[str, str, bytes]]:
    """Read part, class and content of each picture."""
    try:
        with tarfile.open(path, "r|xz") as archive:
            for member in archive:
                parts = Path(member.name).parts
                file = archive.extractfile(member) if member.isfile() and member.name.endswith(".jpg") else None
                if file is not None and len(parts) == 4 and parts[1] in ("train", "test"):
                    yield parts[1], parts[2], file.read()
    except (OSError, tarfile.TarError) as error:
        raise InputError(f"{path}: cannot be read as a tar.xz archive: {error}") from error


def make_parts(arrays: Arrays, train: int, validation: int, seed: int = 0) -> dict[str, npt.NDArray[Any]]:
    """Draw two disjoint parts of the training images, as many of each class, in random order; the test part is whole.

    Args:
        arrays: What `read_archive` gives.
        train: Images for the weights.
        validation: Images for selection.
        seed: Of the choice and the order.

    Returns:
        `x_train`, `y_train`, `x_val`, `y_val`, `x_test`, `y_test`, as `natonnx optimize --data` takes them.
    """
    generator = np.random.default_rng(seed)
    labels = arrays["y_train"]
    classes = np.unique(labels)
    chosen: dict[str, list[npt.NDArray[np.int64]]] = {"train": [], "val": []}
    for each in classes:
        order = generator.permutation(np.flatnonzero(labels == each))
        cut = train // len(classes)
        chosen["train"].append(order[:cut])
        chosen["val"].append(order[cut : cut + validation // len(classes)])
    found: dict[str, npt.NDArray[Any]] = {}
    for part, pieces in chosen.items():
        index = generator.permutation(np.concatenate(pieces))
        found[f"x_{part}"], found[f"y_{part}"] = arrays["x_train"][index], labels[index]
    index = generator.permutation(len(arrays["y_test"]))
    found["x_test"], found["y_test"] = arrays["x_test"][index], arrays["y_test"][index]
    return found


def write_parts(archive: Path | None, path: Path, train: int = 12_000, validation: int = 2_500) -> Path:
    """Write the parts of an archive to a `.npz` file, if it is not there yet; the path is returned.

    Raises:
        InputError: If it is not there, and there is no archive to make it of.
    """
    if path.exists():
        return path
    if archive is None:
        raise InputError(f"{path}: is not there yet; give the archive of CIFAR-10 by --archive")
    buffer = io.BytesIO()
    np.savez(buffer, allow_pickle=False, **make_parts(read_archive(archive), train, validation))
    path.parent.mkdir(parents=True, exist_ok=True)
    write_bytes(path, buffer.getvalue())
    return path
