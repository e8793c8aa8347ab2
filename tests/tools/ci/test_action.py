"""The files themselves: GitHub's rules for composite actions, published schemas, and settings that agree."""

import re
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.cli import tiny
from tests.tools.ci import github, gitlab
from tests.tools.ci.expressions import interpolate, references, truth

CI = tiny.ROOT / "tools/ci"
SCRIPTS = ("install.sh", "optimize.sh", "check.sh")


@pytest.fixture
def action() -> dict[str, Any]:
    return github.load()


@pytest.fixture
def job() -> dict[str, Any]:
    found: dict[str, Any] = yaml.safe_load(gitlab.TEMPLATE.read_text(encoding="utf-8"))[".natonnx"]
    return found


def strings(value: Any) -> Iterator[str]:
    if isinstance(value, dict):
        value = list(value.values())
    if isinstance(value, list):
        for item in value:
            yield from strings(item)
    else:
        yield str(value)


SCHEMAS = (("github-actions", github.ACTION), ("gitlab-ci", gitlab.TEMPLATE))


@pytest.mark.parametrize(("schema", "path"), SCHEMAS, ids=["github", "gitlab"])
def test_schemas(schema: str, path: Path) -> None:
    pytest.importorskip("check_jsonschema", reason="in the extra `test`")
    options = ["--builtin-schema", f"vendor.{schema}", *(["--data-transform", schema] if schema == "gitlab-ci" else [])]
    command = [sys.executable, "-m", "check_jsonschema", *options, str(path)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


# Composite actions


def test_steps_are_what_github_demands_of_a_composite_action(action: dict[str, Any]) -> None:
    assert action["runs"]["using"] == "composite"
    ids = [step["id"] for step in action["runs"]["steps"] if "id" in step]
    assert len(ids) == len(set(ids))
    for step in action["runs"]["steps"]:
        assert ("run" in step) != ("uses" in step)
        assert ("shell" in step) == ("run" in step)
        assert step.get("shell", "bash") == "bash"
        assert step.keys() <= {"name", "id", "if", "shell", "env", "run", "uses", "with"}


def test_other_actions_are_githubs_own_and_of_a_major_version(action: dict[str, Any]) -> None:
    used = [step["uses"] for step in action["runs"]["steps"] if "uses" in step]
    assert len(used) == 3
    assert all(re.fullmatch(r"actions/[a-z-]+@v\d+", name) for name in used)


def test_every_input_is_described_and_used_and_no_other(action: dict[str, Any]) -> None:
    steps = action["runs"]["steps"]
    used = {name for text in strings(steps) for name in references(text)}
    used |= {name for step in steps for name in references("${{" + step.get("if", "''") + "}}")}
    assert {name.removeprefix("inputs.") for name in used if name.startswith("inputs.")} == action["inputs"].keys()
    for name, declared in action["inputs"].items():
        assert declared["description"].endswith((".", ";")), name
        assert ("default" in declared) != declared.get("required", False)
        assert isinstance(declared.get("default", ""), str)


def test_every_output_of_a_step_exists_before_it_is_read(action: dict[str, Any], improved: github.Job) -> None:
    seen: list[str] = []
    for place in [*action["runs"]["steps"], action["outputs"]]:
        for name in references("".join(strings(place)) + "${{" + str(place.get("if", "''")) + "}}"):
            if name.startswith("steps."):
                _, step, _, output = name.split(".")
                assert step in seen
                assert step == "python" or output in improved.steps[step]["outputs"]
        seen.append(place.get("id", ""))
    assert all(output["description"].endswith(".") for output in action["outputs"].values())


def test_no_expression_in_a_script(action: dict[str, Any]) -> None:
    """What a workflow is given, such as the title of a pull request, must not become a command."""
    assert not any("${{" in step["run"] for step in action["runs"]["steps"] if "run" in step)


def variable(name: str) -> str:
    """The environment variable of an input."""
    return f"NATONNX_{name.upper().replace('-', '_')}"


def read(script: str) -> set[str]:
    """The settings that a script reads."""
    text = (CI / script).read_text(encoding="utf-8")
    if script in ("optimize.sh", "check.sh"):
        text += (CI / "common.sh").read_text(encoding="utf-8").replace("NATONNX_TARGET_MADDS", "")  # its example
    named = set(re.findall(r"NATONNX_(?!RESULT)[A-Z_]*[A-Z]", text))
    added = {variable(name) for names in re.findall(r"^add (.*)$", text, re.MULTILINE) for name in names.split()}
    return (named | added) - {"NATONNX_ENVIRONMENT"}


def test_each_step_is_given_what_its_script_reads(action: dict[str, Any]) -> None:
    for script in SCRIPTS:
        (step,) = (step for step in action["runs"]["steps"] if script in step.get("run", ""))
        assert step["run"] == f'bash "$GITHUB_ACTION_PATH/../{script}"'
        assert (github.ACTION.parent / ".." / script).is_file()
        assert step["env"].keys() == read(script)
        for name, value in step["env"].items():
            (source,) = references(value)
            assert value == f"${{{{ {source} }}}}"
            assert name == variable(source.removeprefix("inputs.")) or source.startswith("steps.")


def test_both_systems_have_the_same_defaults(action: dict[str, Any], job: dict[str, Any]) -> None:
    settings = set().union(*map(read, SCRIPTS))
    defaults = {variable(name): declared.get("default", "") for name, declared in action["inputs"].items()}
    assert settings - {"NATONNX_FOLDER", "NATONNX_PYTHON"} < defaults.keys()
    there = {name: value for name, value in job["variables"].items() if name in settings}
    assert there == {name: value for name, value in defaults.items() if value and name in settings}


def test_the_upload_takes_what_the_steps_made_also_on_failure(action: dict[str, Any]) -> None:
    (upload,) = (step for step in action["runs"]["steps"] if "upload-artifact" in step.get("uses", ""))
    assert upload is action["runs"]["steps"][-1]
    contexts = {"inputs": {"artifact": "a"}}
    failed = {"always": lambda: True, "success": lambda: False}
    assert truth(upload["if"], contexts, failed)
    settings = [step.get("env", {}) for step in action["runs"]["steps"]]
    assert {given["NATONNX_FOLDER"] for given in settings if "NATONNX_FOLDER" in given} == {upload["with"]["path"]}


# GitLab


def test_the_artifact_is_kept_also_on_failure_and_is_where_the_scripts_write(job: dict[str, Any]) -> None:
    artifacts = job["artifacts"]
    assert artifacts["when"] == "always"
    assert artifacts["paths"] == ["natonnx-ci/"], "a variable here would hide it from merge requests"
    assert all(line.startswith("NATONNX_FOLDER=natonnx-ci bash ") for line in job["script"])
    files = {Path(path).name for path in artifacts["reports"].values()}
    assert files == {"check.xml", "result.env"}
    assert all(str(Path(path).parent) == "natonnx-ci" for path in artifacts["reports"].values())


# Both


def test_the_cpu_wheel_of_torch_is_one_that_natonnx_accepts() -> None:
    project = tomllib.loads((tiny.ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    (wanted,) = (name for name in project["dependencies"] if name.startswith("torch"))
    assert f"'{wanted}'" in (CI / "install.sh").read_text(encoding="utf-8")
    assert github.load()["runs"]["steps"][1]["with"]["python-version"] == "3.11"
    assert "3.11" in project["requires-python"]


def test_scripts_can_be_run() -> None:
    for script in SCRIPTS:
        assert (CI / script).stat().st_mode & 0o111
        assert (CI / script).read_text(encoding="utf-8").startswith("#!/usr/bin/env bash\n")
    subprocess.run(["bash", "-n", *(CI / script for script in ("common.sh", *SCRIPTS))], check=True)  # noqa: S607


# The interpreter of these tests, by examples of GitHub's documentation


@pytest.mark.parametrize(
    ("condition", "runs"),
    [
        ("always()", True),
        ("success()", False),
        ("inputs.a == 'X'", False),
        ("always() && inputs.a == 'X'", True),
        ("${{ failure() && inputs.b != '' }}", False),
        ("!cancelled() && (inputs.b || inputs.a)", True),
        ("always() && steps.none.outputs.x == ''", True),
        ("failure() && inputs.a == 'it''s'", False),
    ],
)
def test_conditions_after_a_failed_step(condition: str, runs: bool) -> None:
    contexts = {"inputs": {"a": "x", "b": ""}, "steps": {}}
    functions = {"always": lambda: True, "success": lambda: False, "failure": lambda: True, "cancelled": lambda: False}
    assert truth(condition, contexts, functions) is runs


def test_interpolation_is_done_once() -> None:
    contexts = {"inputs": {"a": "${{ inputs.b }}", "b": "no"}}
    assert interpolate("<${{ inputs.a }}|${{inputs.c}}|${{ inputs.c || 'd' }}>", contexts) == "<${{ inputs.b }}||d>"
