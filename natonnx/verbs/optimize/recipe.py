"""What another process needs to know to take part in a search, as plain values."""

import os
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import torch

from natonnx import data
from natonnx.data.classes import read_classes
from natonnx.errors import InputError
from natonnx.frontend import Granularity, ParseOptions, Source, Transitions, load
from natonnx.importing import import_named, is_named
from natonnx.search import RewardFunction, Settings
from natonnx.search.own import name_of
from natonnx.tensors import data_files
from natonnx.verbs.optimize.prepare import DeviceName, Prepared, prepare
from natonnx.verbs.optimize.resume import fingerprint

__all__ = ["follow_recipe", "make_recipe", "mark_of", "without_own"]


def make_recipe(
    source: Source,
    given: data.Data | None,
    preprocessing: Mapping[str, Any] | None,
    *,
    objective: Any,
    reward: RewardFunction | None,
    batchnorm: str,
    class_names: Path | Mapping[str, int] | None,
    settings: Settings,
    **_: Any,
) -> dict[str, Any]:
    """Describe a search; see `prepare` for the arguments.

    Raises:
        InputError: If another process could not read the data, or call the objective.
    """
    if given is not None and not isinstance(given, str | os.PathLike):
        raise InputError(
            "--journal: data in memory is for one process: give a file, a folder, or package.module:function"
        )
    if not isinstance(objective, str):
        raise InputError("--journal: an objective in memory is for one process: give it as package.module:object")
    folder = source.file.parent
    files = [source.file, *data_files(source.network.model, folder)]
    return {
        "model": source.path.name,
        "files": {path.relative_to(folder).as_posix(): _bytes(path) for path in files},
        "folder": str(Path.cwd()),
        "data": None if given is None else os.fspath(given),
        "preprocessing": dict(preprocessing or {}),
        "objective": objective,
        "reward": None if reward is None else _importable(reward),
        "batchnorm": batchnorm,
        "classes": None if class_names is None else dict(read_classes(class_names)),
        "reading": _reading(source.network.options),
        "settings": asdict(settings),
    }


def _bytes(path: Path) -> torch.Tensor:
    return torch.frombuffer(bytearray(path.read_bytes()), dtype=torch.uint8)


def _reading(options: ParseOptions) -> dict[str, Any]:
    shapes = {name: tuple(shape) for name, shape in options.input_shapes.items()}
    names = {"granularity": str(options.granularity), "transitions": str(options.transitions)}
    return {**asdict(options), **names, "input_shapes": shapes}


def without_own(settings: Settings) -> Settings:
    """Leave out what only the search itself goes by, or measures for."""
    bare = replace(settings, policy="scratch", time_budget=None)
    return replace(bare, target_latency=None, target_size=None, target_memory=None)


def _importable(reward: RewardFunction) -> str:
    spec = f"{getattr(reward, '__module__', '')}:{getattr(reward, '__qualname__', '')}"
    if not is_named(spec) or spec.startswith("__main__:"):
        raise InputError(
            f"--journal: reward {name_of(reward)} cannot be imported by another process: define it in a module"
        )
    return spec


def mark_of(prepared: Prepared, settings: Settings, batchnorm: str) -> str:
    """Return a text that is the same wherever the model, the data and the settings are."""
    return fingerprint(prepared, without_own(settings), batchnorm)


def follow_recipe(recipe: Mapping[str, Any], given: str | None, device: DeviceName) -> tuple[Prepared, Settings, str]:
    """Prepare what a recipe describes; return the settings too, and what `mark_of` says.

    Args:
        recipe: See `make_recipe`.
        given: Where the data is on this machine; where the recipe says if None.
        device: Where to compute.

    Raises:
        InputError: If the data cannot be read here, or anything else that it names.
    """
    settings = Settings(**recipe["settings"])
    if given is not None and Path(given).exists():
        given = str(Path(given).absolute())
    reading = recipe["reading"]
    kinds = {"granularity": Granularity(reading["granularity"]), "transitions": Transitions(reading["transitions"])}
    options = ParseOptions(**{**reading, **kinds})
    with _model(recipe) as path, _at(recipe["folder"]):
        prepared = prepare(
            load(path, options),
            recipe["data"] if given is None else given,
            recipe["preprocessing"],
            objective=recipe["objective"],
            reward=None if recipe["reward"] is None else import_named(recipe["reward"], "reward"),
            batchnorm=recipe["batchnorm"],
            device=device,
            settings=without_own(settings),
            class_names=recipe["classes"],
        )
        return prepared, settings, mark_of(prepared, settings, recipe["batchnorm"])


@contextmanager
def _model(recipe: Mapping[str, Any]) -> Iterator[Path]:
    """Write the model's files into a folder of their own for a while; Windows keeps those that stay mapped."""
    with tempfile.TemporaryDirectory(prefix="natonnx-", ignore_cleanup_errors=True) as folder:
        for name, content in recipe["files"].items():
            path = Path(folder, name)
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content.numpy().tobytes())
        yield Path(folder, recipe["model"])


@contextmanager
def _at(folder: str) -> Iterator[None]:
    """Work in the folder where a search was begun, where there is one: relative paths and modules are its own."""
    before = Path.cwd()
    if Path(folder).is_dir():
        os.chdir(folder)
    try:
        yield
    finally:
        os.chdir(before)
