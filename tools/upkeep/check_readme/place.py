"""A copy of the repository in which commands run as they stand, with the files that examples name made real."""

import os
import shutil
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx
from onnx import TensorProto, helper, numpy_helper
from PIL import Image

from natonnx.data.shipped import read_builtin
from natonnx.session import run, session
from tools.upkeep.check_readme.models import KINDS

__all__ = ["ROOT", "Place", "Ran"]

ROOT = Path(__file__).parents[3]
_COPIED = (".ci", "docs", "models", "natonnx", "tests", "tools")
_FILES = (".gitignore", ".pre-commit-config.yaml", "CHANGELOG.md", "CONTRIBUTING.md", "LICENSE", "README.md")
_SHIMS = {"natonnx": '-m natonnx "$@"', "python": '"$@"', "python3": '"$@"'}
_IMAGES = 500
"""Of which a folder without parts gives 100 to validation: as few as `optimize` takes."""
_SAMPLES = 500
_NORMALISED = ((0.0, 1.0), (0.286, 0.353), (0.5, 0.25))
"""Mean and standard deviation that the pages' commands give the images."""
_FUNCTION = """import numpy as np
import torch
from torch.utils.data import DataLoader, TensorDataset


def load():
    return dict(np.load("set.npz"))


def loaders():
    chance = torch.Generator().manual_seed(0)
    images = torch.randn(300, 3, 16, 16, generator=chance) + 2 * torch.randn(300, 3, 1, 1, generator=chance)
    train, held_out = TensorDataset(images[:200]), TensorDataset(images[200:])
    return DataLoader(train, 32, shuffle=True), DataLoader(held_out, 32)


class Overlap:
    measure, unit = "IoU", "%"

    def score(self, outputs, targets):
        ours, theirs = (maps["map"].flatten(1) > 0.5 for maps in (outputs, targets))
        return (ours & theirs).sum(1) / (ours | theirs).sum(1).clamp(min=1)


def contrast(model):
    images = np.load("pages.npz")["image"][:20]
    return float(model({"image": images})["map"].std())
"""


@dataclass(frozen=True)
class Ran:
    """A command that has run.

    Attributes:
        command: What ran.
        full: Whether that is the page's command to the letter.
        code: Its exit code.
        place: Where it ran.
    """

    command: str
    full: bool
    code: int
    stdout: str
    stderr: str
    seconds: float
    place: "Place"


class Place:
    """A folder like a checkout, and besides `model.onnx`, `images/`, `set.npz` and what else examples name.

    Args:
        folder: An empty one.
        table: The CSV of NAS-Bench-201, if it is at hand.
    """

    def __init__(self, folder: Path, table: Path | None = None) -> None:
        self.folder = folder / "natonnx-copy"
        self.has_table = table is not None
        litter = shutil.ignore_patterns("__pycache__", "*.nat.onnx", "*.resume")
        for name in _COPIED:
            shutil.copytree(ROOT / name, self.folder / name, ignore=litter)
        for name in (*_FILES, "pyproject.toml"):
            shutil.copy(ROOT / name, self.folder / name)
        if table:
            shutil.copy(table, self.folder / "nasbench201.csv")
        self._shims()
        self._examples()

    def run(self, command: str, *, full: bool = False) -> Ran:
        """Run a command in bash, with this Python and the copy's `natonnx`; a full one in an environment of its own.

        Args:
            command: To run.
            full: Whether it is the page's own; if that installs something, it gets a fresh environment.
        """
        paths = [str(self.folder / "bin"), os.environ["PATH"]]
        environment = {**os.environ, "COLUMNS": "200", "PYTHONPATH": str(self.folder)}
        environment.pop("PYTHONDONTWRITEBYTECODE", None)  # the copy is compiled once
        if full and "pip install" in command:
            fresh = self.folder / "fresh"
            subprocess.run([sys.executable, "-m", "venv", "--clear", fresh], check=True)
            paths.insert(0, str(fresh / "bin"))
            del environment["PYTHONPATH"]
        begun = time.monotonic()
        done = subprocess.run(
            ["bash", "-c", command],  # noqa: S607
            cwd=self.folder,
            env={**environment, "PATH": os.pathsep.join(paths)},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
        )
        return Ran(command, full, done.returncode, done.stdout, done.stderr, time.monotonic() - begun, self)

    def _shims(self) -> None:
        (self.folder / "bin").mkdir()
        for name, arguments in _SHIMS.items():
            path = self.folder / "bin" / name
            path.write_text(f'#!/bin/sh\nexec "{sys.executable}" {arguments}\n', encoding="utf-8")
            path.chmod(0o755)

    def _examples(self) -> None:
        for name, model in {"old": "resnet20", "new": "mobilenetv2"}.items():
            shutil.copy(ROOT / "models" / f"{model}-fashion.onnx", self.folder / f"{name}.onnx")
        arrays = {name: array[:_IMAGES] for name, array in read_builtin("fashion-mnist", 10).items()}
        np.savez(self.folder / "set.npz", allow_pickle=False, **arrays)
        for i, (image, label) in enumerate(zip(arrays["x_train"], arrays["y_train"], strict=True)):
            kind = self.folder / "images" / f"class{label}"
            kind.mkdir(parents=True, exist_ok=True)
            Image.fromarray(image).save(kind / f"{i}.png")
        (self.folder / "my").mkdir()
        (self.folder / "my" / "package.py").write_text(_FUNCTION, encoding="utf-8")
        self._any_models(arrays["x_test"])
        (self.folder / "none.json").write_text("[]", encoding="utf-8")
        onnx.save(_fitted(_model(8, 1, [28, 28]), arrays), self.folder / "small.onnx")
        for name, width in {"open": 8, "a": 8, "b": 4}.items():
            onnx.save(_model(width, 3, ["height", "width"]), self.folder / f"{name}.onnx")

    def _any_models(self, pictures: npt.NDArray[np.uint8]) -> None:
        """Models of several inputs and outputs, and data without labels for them."""
        chance = np.random.default_rng(0)
        for name, kind in KINDS.items():
            onnx.save(kind.make(), self.folder / f"{name}.onnx")
        for name, of in {"tokens": "bert", "pages": "detector", "lines": "recogniser"}.items():
            np.savez(self.folder / f"{name}.npz", allow_pickle=False, **KINDS[of].inputs(_SAMPLES, chance))
        (self.folder / "sentences").mkdir()
        for i in range(4):
            part = KINDS["minilm"].inputs(_SAMPLES // 4, chance)
            np.savez(self.folder / "sentences" / f"{i}.npz", allow_pickle=False, **part)
        (self.folder / "pictures").mkdir()
        for i, picture in enumerate(pictures[:_SAMPLES]):
            Image.fromarray(picture).save(self.folder / "pictures" / f"{i}.png")
        names = "".join(f"class{i} {11 - i}\n" for i in range(10))
        (self.folder / "classes.txt").write_text(names, encoding="utf-8")


def _fitted(model: onnx.ModelProto, arrays: Mapping[str, npt.NDArray[Any]]) -> onnx.ModelProto:
    """The head made by least squares, so that the model knows more than chance, however the pages normalise images."""
    scores = onnx.ModelProto.FromString(model.SerializeToString())
    del scores.graph.output[:]
    scores.graph.output.append(helper.make_tensor_value_info("flat", TensorProto.FLOAT, None))
    pixels = [(arrays["x_train"] / 255 - mean) / std for mean, std in _NORMALISED]
    features = run(session(scores), {"x": np.concatenate(pixels).astype(np.float32)[:, None]})["flat"]
    wanted = np.tile(np.eye(10, dtype=np.float32)[arrays["y_train"]] - 0.1, (len(pixels), 1))
    features /= np.linalg.norm(features, axis=1, keepdims=True)  # what scores highest stays the same
    head = np.linalg.lstsq(features, wanted, rcond=None)[0]
    (tensor,) = (tensor for tensor in model.graph.initializer if tensor.name == "head")
    tensor.CopyFrom(numpy_helper.from_array(np.ascontiguousarray(head.T.astype(np.float32)), "head"))
    return model


def _model(width: int, channels: int, sizes: Sequence[int | str]) -> onnx.ModelProto:
    """Stem → (branch → branch) + shortcut → head, of images x [N, channels, *sizes], with random weights."""
    chance = np.random.default_rng(0)
    shapes = {
        "stem": (width, channels, 3, 3),
        "one": (width, width, 3, 3),
        "two": (width, width, 3, 3),
        "head": (10, width),
    }
    weights = {name: 0.2 * chance.standard_normal(shape, dtype=np.float32) for name, shape in shapes.items()}
    nodes = [
        helper.make_node("Conv", ["x", "stem"], ["s"], "stem", strides=[2, 2], pads=[1, 1, 1, 1]),
        helper.make_node("Relu", ["s"], ["t"], "stem.relu"),
        helper.make_node("Conv", ["t", "one"], ["u"], "branch.one", pads=[1, 1, 1, 1]),
        helper.make_node("Relu", ["u"], ["v"], "branch.relu"),
        helper.make_node("Conv", ["v", "two"], ["w"], "branch.two", pads=[1, 1, 1, 1]),
        helper.make_node("Add", ["t", "w"], ["sum"], "join"),
        helper.make_node("GlobalAveragePool", ["sum"], ["mean"], "head.pool"),
        helper.make_node("Flatten", ["mean"], ["flat"], "head.flat"),
        helper.make_node("Gemm", ["flat", "head"], ["scores"], "head", transB=1),
    ]
    graph = helper.make_graph(
        nodes,
        "example",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["n", channels, *sizes])],
        [helper.make_tensor_value_info("scores", TensorProto.FLOAT, ["n", 10])],
        [numpy_helper.from_array(array, name) for name, array in weights.items()],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
