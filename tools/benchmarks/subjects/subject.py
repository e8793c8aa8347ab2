"""A subject: a model and its data in a folder of the cache, made once."""

import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from tools.benchmarks.subjects.parts import Effort

__all__ = ["Subject"]


@dataclass(frozen=True)
class Subject:
    """A model to optimise, and how.

    Attributes:
        name: In the table; also its folder's.
        about: What it is, and what its data is, in a phrase.
        maker: Writes `model.onnx`, and `data.npz` or a folder `data`, into a folder. It also gets the cache, for what
            several subjects share.
        objective: `labels` or `agreement`, as `natonnx optimize --objective` takes it.
        max_drop: Most points that validation may lose.
        options: Further options of `natonnx optimize`.
        reading: Further options of `natonnx optimize` and of `natonnx check`: how the data is to be read.
    """

    name: str
    about: str
    maker: Callable[[Path, Path, Effort], None]
    objective: str
    max_drop: float
    options: tuple[str, ...] = ()
    reading: tuple[str, ...] = ()

    def model(self, cache: Path) -> Path:
        """Path of the model in a cache."""
        return cache / self.name / "model.onnx"

    def data(self, cache: Path) -> Path:
        """Path of the data in a cache: the archive, or the folder of pictures."""
        folder = cache / self.name / "data"
        return folder if folder.is_dir() else cache / self.name / "data.npz"

    def make(self, cache: Path, effort: Effort) -> bool:
        """Make model and data, both or neither. Returns whether that was needed.

        Raises:
            UnavailableError: If a model cannot be fetched.
        """
        folder, begun = cache / self.name, cache / f"{self.name}.begun"
        if folder.exists():
            return False
        shutil.rmtree(begun, ignore_errors=True)
        begun.mkdir(parents=True)
        self.maker(begun, cache, effort)
        begun.rename(folder)
        return True
