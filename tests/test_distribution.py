"""The sdist and the wheel: what they hold, and that the wheel works where there is no checkout."""

import email
import os
import shutil
import subprocess
import sys
import tarfile
import zipfile
from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

import pytest
from packaging.requirements import Requirement

import natonnx
from tests.cli import tiny

VERSION = natonnx.__version__
INFO = f"natonnx-{VERSION}.dist-info"
DATA = ("data/builtin", "policy/weights", "report/html/assets")
LICENCES = {
    "LICENSE": "Apache License",
    "natonnx/data/builtin/NOTICE.md": "Copyright © 2017 Zalando SE",
    "natonnx/report/html/assets/dagre.LICENSE.txt": "Chris Pettitt",
}
SHIPPED_FOLDERS = (".ci", "docs", "models", "natonnx", "tests", "tools")
SHIPPED_FILES = (
    ".pre-commit-config.yaml",
    "CHANGELOG.md",
    "CONTRIBUTING.md",
    "LICENSE",
    "README.md",
    "SECURITY.md",
    "pyproject.toml",
)
LITTER = (
    "build/lib/natonnx/deleted.py",
    "natonnx/notes.txt",
    "natonnx/__pycache__/errors.cpython-311.pyc",
    "natonnx/report/html/draft.html",
    "models/vgg-fashion.nat.onnx",
    "models/vgg-fashion.onnx.resume",
)


class Built(NamedTuple):
    """What `python -m build` made of a copy of the tree in which people have worked."""

    tree: Path
    wheel: Path
    sdist: Path


def build(tree: Path, out: Path, *options: str) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "build", "--no-isolation", "--outdir", str(out), *options, str(tree)],
        capture_output=True,
        text=True,
        check=False,
        timeout=300,
        env={**os.environ, "PYTHONDONTWRITEBYTECODE": "1"},  # of the hook that the tree has
    )
    assert done.returncode == 0, done.stdout + done.stderr


def files(folder: Path) -> set[str]:
    return {str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()}


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Built:
    folder = tmp_path_factory.mktemp("distribution")
    tree, out = folder / "tree", folder / "out"
    tree.mkdir()
    for name in SHIPPED_FOLDERS:
        shutil.copytree(
            tiny.ROOT / name, tree / name, ignore=shutil.ignore_patterns("__pycache__", "*.nat.onnx", "*.resume")
        )
    for name in (*SHIPPED_FILES, ".gitignore"):
        shutil.copy(tiny.ROOT / name, tree / name)
    clean = files(tree)
    for name in LITTER:
        (tree / name).parent.mkdir(parents=True, exist_ok=True)
        (tree / name).write_text("litter")
    build(tree, out)
    assert files(tree) == clean | set(LITTER)  # building leaves nothing behind
    (wheel,) = out.glob("*.whl")
    (sdist,) = out.glob("*.tar.gz")
    return Built(tree, wheel, sdist)


def contents(wheel: Path) -> dict[str, bytes]:
    with zipfile.ZipFile(wheel) as archive:
        assert archive.testzip() is None
        return {name: archive.read(name) for name in archive.namelist()}


def package_files(tree: Path) -> Iterable[str]:
    """The modules, and what they read or must come with it."""
    root = tree / "natonnx"
    paths = {root / "py.typed", *root.rglob("*.py"), *(path for name in DATA for path in (root / name).iterdir())}
    return {str(path.relative_to(tree)) for path in paths}


def test_names(built: Built) -> None:
    assert built.wheel.name == f"natonnx-{VERSION}-py3-none-any.whl"
    assert built.sdist.name == f"natonnx-{VERSION}.tar.gz"


def test_the_wheel_holds_the_package_and_nothing_else(built: Built) -> None:
    held = contents(built.wheel)
    info = {"METADATA", "RECORD", "WHEEL", "entry_points.txt", *(f"licenses/{name}" for name in LICENCES)}
    assert set(held) == {*package_files(built.tree), *(f"{INFO}/{name}" for name in info)}
    for name in package_files(built.tree):
        assert held[name] == (tiny.ROOT / name).read_bytes()


def test_the_wheel_holds_data_and_weights_by_name(built: Built) -> None:
    """What the package opens at run time, written out, so that an empty folder would not pass."""
    assert {
        "natonnx/py.typed",
        "natonnx/data/builtin/fashion-mnist.npz",
        "natonnx/data/builtin/resnet14-fashion.onnx",
        "natonnx/policy/weights/gcn-directed.safetensors",
        "natonnx/report/html/assets/page.html",
        "natonnx/report/html/assets/dagre.min.js",
    } <= set(contents(built.wheel))


def test_the_licences_are_inside(built: Built) -> None:
    held = contents(built.wheel)
    for name, owner in LICENCES.items():
        assert owner in held[f"{INFO}/licenses/{name}"].decode()


def test_metadata(built: Built) -> None:
    metadata = email.message_from_bytes(contents(built.wheel)[f"{INFO}/METADATA"])
    assert metadata["Name"] == "natonnx"
    assert metadata["Version"] == VERSION
    assert metadata["Requires-Python"] == "<3.15,>=3.11"
    assert metadata["License-Expression"] == "Apache-2.0 AND MIT"
    assert set(metadata.get_all("License-File", [])) == set(LICENCES)
    assert metadata["Description-Content-Type"] == "text/markdown"
    assert metadata.get_payload(decode=True) == (tiny.ROOT / "README.md").read_bytes()
    assert set(metadata.get_all("Provides-Extra", [])) == {"bench", "export", "test", "workers"}


@pytest.mark.parametrize("python", ["3.11", "3.12", "3.13", "3.14"])
@pytest.mark.parametrize(
    ("system", "machine", "runtime"),
    [
        ("linux", "x86_64", "onnxruntime-gpu"),
        ("win32", "AMD64", "onnxruntime-gpu"),
        ("linux", "aarch64", "onnxruntime"),
        ("darwin", "arm64", "onnxruntime"),
        ("darwin", "x86_64", "onnxruntime"),
    ],
)
def test_what_is_required_has_a_wheel(built: Built, python: str, system: str, machine: str, runtime: str) -> None:
    """Exactly one onnxruntime, and DGL where there is one of it (docs/design/rewrite.md#pythons-and-wheels)."""
    metadata = email.message_from_bytes(contents(built.wheel)[f"{INFO}/METADATA"])
    required = [Requirement(line) for line in metadata.get_all("Requires-Dist", [])]
    environment = {"python_version": python, "sys_platform": system, "platform_machine": machine, "extra": ""}
    applies = {each.name for each in required if each.marker is None or each.marker.evaluate(environment)}
    assert {name for name in applies if name.startswith("onnxruntime")} == {runtime}
    assert ("dgl" in applies) == ("packaging" in applies) == (python == "3.11" and system != "win32")
    assert {"click", "numpy", "onnx", "onnx-graphsurgeon", "rich", "safetensors", "torch"} <= applies
    assert "pytest" not in applies


def test_the_sdist_holds_what_tests_and_tools_need(built: Built) -> None:
    with tarfile.open(built.sdist) as archive:
        held = {member.name.partition("/")[2] for member in archive if member.isfile()}
    litter = {name for name in LITTER if not name.endswith(("notes.txt", "draft.html"))}
    assert held - {"PKG-INFO", ".gitignore"} == files(built.tree) - litter - {".gitignore"}


def test_a_wheel_made_without_the_sdist_is_the_same(built: Built, tmp_path: Path) -> None:
    build(built.tree, tmp_path, "--wheel")
    assert contents(tmp_path / built.wheel.name) == contents(built.wheel)


@pytest.fixture(scope="module")
def installed(built: Built, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the wheel alone; its dependencies come from the environment that runs the tests."""
    folder = tmp_path_factory.mktemp("installed")
    options = ["--no-deps", "--no-index", "--no-compile", "--disable-pip-version-check", "--quiet"]
    pip = [sys.executable, "-m", "pip", "install", *options, "--target", str(folder), str(built.wheel)]
    done = subprocess.run(pip, capture_output=True, text=True, check=False, timeout=300)
    assert done.returncode == 0, done.stderr
    return folder


def run(installed: Path, cwd: Path, *command: str) -> str:
    done = subprocess.run(
        command,
        cwd=cwd,
        env={**os.environ, "PYTHONPATH": str(installed), "PYTHONDONTWRITEBYTECODE": "1", "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        check=False,
        timeout=300,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_the_installed_command_is_the_wheels(installed: Path, tmp_path: Path) -> None:
    assert run(installed, tmp_path, f"{installed}/bin/natonnx", "--version") == f"natonnx {VERSION}\n"
    assert "optimize" in run(installed, tmp_path, f"{installed}/bin/natonnx", "--help")
    where = run(installed, tmp_path, sys.executable, "-c", "import natonnx.cli; print(natonnx.cli.__file__)")
    assert where == f"{installed}/natonnx/cli/__init__.py\n"


def test_the_wheel_finds_its_data_weights_and_page(installed: Path, tmp_path: Path) -> None:
    shutil.copy(tiny.ROOT / "models" / "vgg-fashion.onnx", tmp_path)
    command = f"{installed}/bin/natonnx"
    images = "from natonnx.data.shipped import read_builtin; print(len(read_builtin('fashion-mnist', 10)['x_test']))"
    assert run(installed, tmp_path, sys.executable, "-c", images) == "10000\n"
    assert "MAdds" in run(installed, tmp_path, command, "bench", "vgg-fashion.onnx", "--seconds", "0.1")
    tiny.fill(tmp_path)
    budget = ["--lookups", "3", "--no-training", "--policy", "pretrained", "--max-drop", "100"]
    run(installed, tmp_path, command, "optimize", "model.onnx", "--data", "data.npz", *budget, "--html", "report.html")
    assert "dagre" in (tmp_path / "report.html").read_text(encoding="utf-8")
    assert {path.name for path in tmp_path.iterdir()} >= {"model.onnx", "report.html"}
