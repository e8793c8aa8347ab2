"""The pictures that networks are trained, searched and tested on: CIFAR-10's, or the built-in Fashion-MNIST's."""

import io
from importlib.resources import files
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from natonnx.files import write_bytes
from tools.benchmarks.bench_search.cifar import LABEL, make_parts, read_archive

__all__ = ["Counts", "Pictures", "write_pictures"]

_CIFAR = {"mean": (0.4913, 0.4821, 0.4465), "std": (0.2452, 0.2428, 0.2606), "augment": "shift-flip"}
_FASHION = {"mean": (0.219,) * 3, "std": (0.332,) * 3, "augment": "shift-flip"}
_EDGE = 2


class Counts(NamedTuple):
    """Pictures: for weights, for the policy and selection, for the accuracy that is reported."""

    train: int
    validation: int
    test: int


class Pictures(NamedTuple):
    """A data set as `natonnx.verbs.optimize.prepare` takes it.

    Attributes:
        label: What figures are labelled by.
        path: Arrays, uint8 [n, 32, 32, 3].
        preprocessing: What makes inputs of them.
    """

    label: str
    path: Path
    preprocessing: dict[str, Any]


def write_pictures(archive: Path | None, counts: Counts, folder: Path) -> Pictures:
    """Draw balanced parts, as many of each class, by a seed of their own; a file that is there is kept.

    Args:
        archive: Of CIFAR-10 as JPEG; Fashion-MNIST, padded to 32×32, in three equal channels, where None.
        counts: How many.
        folder: Where the arrays are written.
    """
    label, name, preprocessing = (LABEL, "cifar10", _CIFAR) if archive else ("Fashion-MNIST", "fashion-mnist", _FASHION)
    path = folder / f"{name}-{counts.train}-{counts.validation}-{counts.test}.npz"
    if not path.exists():
        parts = make_parts(read_archive(archive) if archive else _fashion(), counts.train, counts.validation)
        for key in ("x_test", "y_test"):
            parts[key] = parts[key][: counts.test]
        buffer = io.BytesIO()
        np.savez(buffer, allow_pickle=False, **parts)
        folder.mkdir(parents=True, exist_ok=True)
        write_bytes(path, buffer.getvalue())
    return Pictures(label, path, preprocessing)


def _fashion() -> dict[str, npt.NDArray[Any]]:
    with (files("natonnx.data") / "builtin" / "fashion-mnist.npz").open("rb") as file, np.load(file) as arrays:
        found = {name: arrays[name] for name in arrays.files}
    for part in ("train", "test"):
        padded = np.pad(found[f"x_{part}"], ((0, 0), (_EDGE, _EDGE), (_EDGE, _EDGE)))
        found[f"x_{part}"] = np.repeat(padded[..., None], 3, axis=-1)
        found[f"y_{part}"] = found[f"y_{part}"].astype(np.int64)
    return found
