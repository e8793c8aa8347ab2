"""Runs the composite action as GitHub's runner does; steps that use other actions are noted, not run."""

import os
import shutil
import subprocess
import sys
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import yaml

from tests.cli import tiny, warm
from tests.tools.ci.expressions import interpolate, truth

__all__ = ["ACTION", "Job", "annotations", "load", "machine", "run"]

ACTION = tiny.ROOT / "tools/ci/github/action.yml"


@dataclass
class Job:
    """What became of an action.

    Attributes:
        workspace: Where it ran.
        steps: Outcome and outputs by a step's id.
        used: What the steps that use other actions were given, by the action's name.
        uploaded: The files that an artifact would hold, by their path in it.
        summary: The Markdown of all steps.
        log: What the steps printed.
        codes: Exit codes of the scripts, by the step's name.
    """

    workspace: Path
    steps: dict[str, dict[str, Any]] = field(default_factory=dict)
    used: dict[str, dict[str, str]] = field(default_factory=dict)
    uploaded: dict[str, bytes] = field(default_factory=dict)
    summary: str = ""
    log: str = ""
    codes: dict[str, int] = field(default_factory=dict)
    outputs: dict[str, str] = field(default_factory=dict)

    @property
    def passed(self) -> bool:
        """Whether the job goes on after the action."""
        return all(code == 0 for code in self.codes.values())


def load() -> dict[str, Any]:
    """The action's file."""
    found: dict[str, Any] = yaml.safe_load(ACTION.read_text(encoding="utf-8"))
    return found


def machine(**environment: str) -> dict[str, str]:
    """The environment of a step, with this working tree's natonnx on PATH, and nothing that CI itself set."""
    inherited = {name: value for name, value in tiny.ENVIRONMENT.items() if not name.startswith(("GITHUB_", "CI"))}
    folders = [str(Path(sys.executable).parent), os.environ["PATH"]]
    if "PYTHONPATH" not in environment:
        folders.insert(0, str(warm.folder()))
    return {**inherited, "PATH": os.pathsep.join(folders), **environment}


def run(
    workspace: Path, temporary: Path, inputs: dict[str, str], earlier: Job | None = None, **environment: str
) -> Job:
    """Run the action.

    Args:
        workspace: What the job checked out.
        temporary: The runner's own folder.
        inputs: What the workflow says under `with:`; the rest has the action's defaults.
        earlier: A finished job whose search is taken over, with copies of its files, so that only Check runs again.
        environment: What else the machine has set.
    """
    action = load()
    assert inputs.keys() <= action["inputs"].keys()
    given = {name: inputs.get(name, declared.get("default", "")) for name, declared in action["inputs"].items()}
    job = Job(workspace)
    if earlier:
        shutil.copytree(earlier.workspace, workspace, dirs_exist_ok=True)
        earlier = replace(earlier, steps=_moved(earlier, temporary / "folder"))
    contexts = {"inputs": given, "steps": job.steps}
    functions = {
        "always": lambda: True,
        "success": lambda: job.passed,
        "failure": lambda: not job.passed,
        "cancelled": lambda: False,
    }
    for position, step in enumerate(action["runs"]["steps"]):
        name = step["name"]
        if earlier and name in ("Prepare", "Optimize"):
            job.steps[step["id"]] = {"outputs": dict(earlier.steps[step["id"]]["outputs"])}
            continue
        if not truth(step.get("if", "success()"), contexts, functions):
            continue
        if "uses" in step:
            outputs = _use(job, step["uses"].partition("@")[0], step.get("with", {}), contexts)
        else:
            settings = {key: interpolate(value, contexts) for key, value in step.get("env", {}).items()}
            outputs = _script(job, step, temporary / f"{position}", {**environment, **settings})
        job.steps[step.get("id", name)] = {"outputs": outputs}
    job.outputs = {name: interpolate(output["value"], contexts) for name, output in action["outputs"].items()}
    return job


def _moved(job: Job, folder: Path) -> dict[str, dict[str, Any]]:
    """A job's steps, with a copy of their folder."""
    shutil.copytree(job.outputs["folder"], folder)
    for path in folder.glob("check.*"):
        path.unlink()
    (folder / "summary.md").write_bytes((folder / "optimize.md").read_bytes())
    return {**job.steps, "prepare": {"outputs": {**job.steps["prepare"]["outputs"], "folder": str(folder)}}}


def _use(job: Job, action: str, arguments: dict[str, Any], contexts: dict[str, Any]) -> dict[str, str]:
    given = {key: interpolate(str(value), contexts) for key, value in arguments.items()}
    job.used[action] = given
    if action == "actions/upload-artifact":
        root = Path(given["path"])
        job.uploaded = {
            str(path.relative_to(root)): path.read_bytes() for path in sorted(root.rglob("*")) if path.is_file()
        }
        return {"artifact-url": "https://github.com/o/r/actions/runs/1/artifacts/2"}
    return {"python-path": sys.executable} if action == "actions/setup-python" else {}


def _script(job: Job, step: dict[str, Any], files: Path, environment: dict[str, str]) -> dict[str, str]:
    assert step["shell"] == "bash"
    files.mkdir(parents=True)
    script = files / "script.sh"
    script.write_text(step["run"], encoding="utf-8")
    told = {name: files / name for name in ("GITHUB_OUTPUT", "GITHUB_STEP_SUMMARY", "GITHUB_ENV", "GITHUB_PATH")}
    for path in told.values():
        path.touch()
    done = subprocess.run(
        ["bash", "--noprofile", "--norc", "-eo", "pipefail", script],  # noqa: S607
        cwd=job.workspace,
        env=machine(
            GITHUB_ACTIONS="true",
            CI="true",
            GITHUB_WORKSPACE=str(job.workspace),
            GITHUB_ACTION_PATH=str(ACTION.parent),
            RUNNER_TEMP=str(files.parent),
            RUNNER_OS="Linux",
            RUNNER_ARCH="X64",
            **{name: str(path) for name, path in told.items()},
            **environment,
        ),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        timeout=300,
        check=False,
    )
    assert not told["GITHUB_ENV"].read_text(encoding="utf-8"), "later steps of the user's job are none of our business"
    assert not told["GITHUB_PATH"].read_text(encoding="utf-8")
    job.codes[step["name"]] = done.returncode
    job.log += done.stdout.decode()
    job.summary += told["GITHUB_STEP_SUMMARY"].read_text(encoding="utf-8")
    lines = told["GITHUB_OUTPUT"].read_text(encoding="utf-8").splitlines()
    return {name: value for name, _, value in (line.partition("=") for line in lines)}


def annotations(log: str) -> list[str]:
    """The errors that GitHub would show: those of ::error:: lines outside of ::stop-commands::."""
    found, token = [], ""
    for line in log.splitlines():
        if token:
            token = "" if line == f"::{token}::" else token
        elif line.startswith("::stop-commands::"):
            token = line.removeprefix("::stop-commands::")
        elif line.startswith("::error "):
            found.append(line.split("::", 2)[2].replace("%0A", "\n").replace("%0D", "\r").replace("%25", "%"))
    assert not token, "commands were never allowed again"
    return found
