"""The recipe that runs natonnx itself on three systems: its schema, that it fits the project, and its commands here."""

import os
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.cli import tiny

WORKFLOW = tiny.ROOT / "tools/ci/github/systems.yml"


def job() -> dict[str, Any]:
    found: dict[str, Any] = yaml.safe_load(WORKFLOW.read_text(encoding="utf-8"))["jobs"]["system"]
    return found


def scripts() -> list[str]:
    return [step["run"] for step in job()["steps"] if "run" in step]


def project() -> dict[str, Any]:
    found: dict[str, Any] = tomllib.loads((tiny.ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    return found


def test_schema() -> None:
    pytest.importorskip("check_jsonschema", reason="in the extra `test`")
    command = [sys.executable, "-m", "check_jsonschema", "--builtin-schema", "vendor.github-workflows", str(WORKFLOW)]
    done = subprocess.run(command, capture_output=True, encoding="utf-8", check=False)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.skipif(shutil.which("actionlint") is None, reason="there is no actionlint")
def test_actionlint() -> None:
    done = subprocess.run(["actionlint", str(WORKFLOW)], capture_output=True, encoding="utf-8", check=False)  # noqa: S607
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def test_it_fits_the_project() -> None:
    versions = {name.rpartition(" ")[2] for name in project()["classifiers"] if "Python :: 3." in name}
    assert versions <= {*job()["strategy"]["matrix"]["python"]}
    assert any(f"'{name}'" in script for name in project()["dependencies"] if "torch" in name for script in scripts())
    tests = next(script for script in scripts() if "pytest" in script).split()[3:]
    assert all((tiny.ROOT / folder).is_dir() for folder in tests)


@pytest.mark.slow
def test_its_commands_here(tmp_path: Path) -> None:
    (tmp_path / "models").symlink_to(tiny.ROOT / "models")
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
    for script in scripts():
        if not script.startswith("natonnx"):
            continue
        short = script.replace("--html", "--lookups 2 --finetune-epochs 0 --max-drop 90 --html")
        line = f'natonnx() {{ python -m natonnx "$@"; }}; {short}'
        environment = {**tiny.ENVIRONMENT, "PATH": path}
        done = subprocess.run(["bash", "-ec", line], cwd=tmp_path, env=environment, capture_output=True, check=False)  # noqa: S607
        assert done.returncode == 0, (script, done.stderr.decode())
