"""Runs a job of GitLab CI as its runner does: `extends`, variables as environment, all script lines in one bash."""

import shlex
import shutil
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import yaml

from tests.cli import tiny
from tests.tools.ci.github import machine

__all__ = ["TEMPLATE", "Job", "extended", "origin", "run"]

TEMPLATE = tiny.ROOT / "tools/ci/gitlab/natonnx.gitlab-ci.yml"


class Job(NamedTuple):
    """How a job ended: the exit code of its script, what it printed, and its folder."""

    code: int
    log: str
    folder: Path

    def artifact(self, name: str) -> Path:
        """A file of the artifact."""
        return self.folder / "natonnx-ci" / name


def extended(job: Mapping[str, Any], base: Mapping[str, Any]) -> dict[str, Any]:
    """A job that extends another: mappings are merged, everything else is replaced."""
    made = dict(base)
    for key, value in job.items():
        old = made.get(key)
        made[key] = extended(value, old) if isinstance(value, Mapping) and isinstance(old, Mapping) else value
    made.pop("extends", None)
    return made


def origin(folder: Path) -> str:
    """The URL of a git repository with this working tree's tools/ci."""
    shutil.copytree(TEMPLATE.parents[1], folder / "tools/ci")
    who = ("-c", "user.name=t", "-c", "user.email=t@example.org")
    for command in (["init", "-q", "-b", "main"], ["add", "."], [*who, "commit", "-q", "-m", "ci"], ["tag", "v1"]):
        subprocess.run(["git", *command], cwd=folder, check=True, capture_output=True)  # noqa: S607
    return folder.as_uri()


def run(project: Path, job: Mapping[str, Any], **environment: str) -> Job:
    """Run a job that extends the template's, in a folder that holds what its repository does."""
    base = yaml.safe_load(TEMPLATE.read_text(encoding="utf-8"))
    whole = extended(job, base[job["extends"]])
    predefined = {"CI": "true", "GITLAB_CI": "true", "CI_PROJECT_DIR": str(project), "CI_JOB_ID": f"{project.name}-1"}
    variables = {**predefined, **whole["variables"]}
    expanded = {name: _expanded(value, variables) for name, value in variables.items()}
    lines = [*whole.get("before_script", []), *whole["script"]]
    text = shlex.quote("\n".join(lines))
    script = f"set -eo pipefail\nset +o noclobber\n: | eval {text}\nexit 0\n"
    done = subprocess.run(
        ["bash"],  # noqa: S607
        cwd=project,
        env={**machine(), **expanded, **environment},
        input=script.encode(),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        timeout=300,
        check=False,
    )
    return Job(done.returncode, done.stdout.decode(), project)


def _expanded(value: str, variables: Mapping[str, str]) -> str:
    """As GitLab does: $NAME and ${NAME} of other variables, once; $$ is a dollar."""
    parts = value.split("$$")
    for name in sorted(variables, key=len, reverse=True):
        for form in (f"${{{name}}}", f"${name}"):
            parts = [part.replace(form, variables[name]) for part in parts]
    return "$".join(parts)
