"""Jobs of both kinds, each run once: a search on the tiny model takes some seconds."""

from collections.abc import Callable
from pathlib import Path

import pytest

from tests.cli import tiny
from tests.tools.ci import github, gitlab

QUICK = "--lookups=5\n\n  --finetune-epochs=1  \n"
"""Arguments of a search that takes seconds."""
IMPROVED = {"model": "model.onnx", "data": "data.npz", "target-madds": "0.7", "max-drop": "40", "seed": "5"}
UNCHANGED = {**IMPROVED, "target-madds": "0.01", "max-drop": "0"}

GitHub = Callable[..., github.Job]


@pytest.fixture(scope="session")
def on_github(tmp_path_factory: pytest.TempPathFactory) -> GitHub:
    """Runs the action in a fresh workspace with the tiny model, natonnx being installed."""

    def run(
        workspace: Path | None = None,
        environment: dict[str, str] | None = None,
        earlier: github.Job | None = None,
        **inputs: str,
    ) -> github.Job:
        given = {name.replace("_", "-"): value for name, value in inputs.items()}
        workspace = workspace or tiny.fill(tmp_path_factory.mktemp("workspace"))
        return github.run(
            workspace,
            tmp_path_factory.mktemp("runner temp"),
            {"install": "none", "arguments": QUICK, **given},
            earlier,
            **(environment or {}),
        )

    return run


def inputs(given: dict[str, str], **more: str) -> dict[str, str]:
    """Inputs as keyword arguments."""
    return {name.replace("-", "_"): value for name, value in {**given, **more}.items()}


def variables(given: dict[str, str], **more: str) -> dict[str, str]:
    """The same settings as variables of GitLab."""
    named = {f"NATONNX_{name.upper().replace('-', '_')}": value for name, value in given.items()}
    return {"NATONNX_INSTALL": "none", "NATONNX_ARGUMENTS": QUICK, **named, **more}


@pytest.fixture(scope="session")
def repository(tmp_path_factory: pytest.TempPathFactory) -> str:
    """The URL of a git repository with tools/ci, with a branch main and a tag v1."""
    return gitlab.origin(tmp_path_factory.mktemp("origin") / "natonnx")


@pytest.fixture(scope="session")
def improved(on_github: GitHub) -> github.Job:
    """Something cheaper is found, and all limits are met."""
    return on_github(**inputs(IMPROVED, max_madds_ratio="0.7", max_params_ratio="0.7", check_max_drop="100"))


@pytest.fixture(scope="session")
def failed(on_github: GitHub, improved: github.Job) -> github.Job:
    """What was found is not cheap enough."""
    return on_github(earlier=improved, **inputs(IMPROVED, max_madds_ratio="0.01", check_arguments="--batch=1"))


@pytest.fixture(scope="session")
def unchanged(on_github: GitHub) -> github.Job:
    """Nothing is found."""
    return on_github(**inputs(UNCHANGED))
