"""The GitLab template's job, run as GitLab's runner runs it; only natonnx itself is not installed anew."""

import json
from pathlib import Path
from typing import Any
from xml.etree import ElementTree as ET

import pytest

from tests.cli import tiny
from tests.tools.ci.conftest import IMPROVED, UNCHANGED, variables
from tests.tools.ci.gitlab import Job, extended, run

EVIL = "\"; touch pwned; #' $$(touch pwned) `touch pwned`"


def job(repository: str, given: dict[str, str], **more: str) -> dict[str, Any]:
    source = {"NATONNX_REPOSITORY": repository, "NATONNX_REF": "v1", **more}
    return {"extends": ".natonnx", "variables": variables(given, **source)}


@pytest.fixture(scope="module")
def improved(repository: str, tmp_path_factory: pytest.TempPathFactory) -> Job:
    folder = tiny.fill(tmp_path_factory.mktemp("project"))
    return run(folder, job(repository, IMPROVED, NATONNX_CHECK_MAX_DROP="100"))


def test_improved(improved: Job) -> None:
    assert improved.code == 0, improved.log
    assert {str(path.relative_to(improved.artifact(""))) for path in improved.artifact("").rglob("*")} == {
        *("optimize.json", "optimize.log", "optimize.md", "report.html", "result.env", "summary.md"),
        *("check.json", "check.log", "check.md", "check.xml", "model", "model/model.nat.onnx"),
    }
    assert "## natonnx optimize: improved" in improved.log
    assert "## natonnx check: passed" in improved.log
    assert "::" not in improved.log, "that is GitHub's language"
    gates = {gate["name"]: gate["limit"] for gate in json.loads(improved.artifact("check.json").read_bytes())["gates"]}
    assert gates == {"madds_ratio": 1, "drop": 100}


def test_later_jobs_are_told(improved: Job) -> None:
    lines = improved.artifact("result.env").read_text(encoding="utf-8").splitlines()
    told = dict(line.split("=", 1) for line in lines)
    payload = json.loads(improved.artifact("optimize.json").read_bytes())
    assert told.pop("NATONNX_RESULT_MADDS_RATIO") == f"{payload['output']['madds'] / payload['input']['madds']:.4f}"
    assert told.pop("NATONNX_RESULT_PARAMS_RATIO") == f"{payload['output']['params'] / payload['input']['params']:.4f}"
    assert told == {
        "NATONNX_RESULT_STATUS": "improved",
        "NATONNX_RESULT_MODEL": "model.nat.onnx",
        "NATONNX_RESULT_REPORT": "natonnx-ci/report.html",
        "NATONNX_RESULT_CHECK": "passed",
    }


@pytest.mark.slow
def test_a_gate_that_is_not_met(repository: str, tmp_path: Path) -> None:
    done = run(tiny.fill(tmp_path), job(repository, IMPROVED, NATONNX_MAX_MADDS_RATIO="0.01"))
    assert done.code == 1
    assert "## natonnx check: failed" in done.artifact("summary.md").read_text(encoding="utf-8")
    (suite,) = ET.parse(done.artifact("check.xml")).getroot()  # noqa: S314 - our own
    assert suite.get("failures") == "1"
    assert done.artifact("model/model.nat.onnx").is_file()


@pytest.mark.slow
def test_unchanged_in_a_folder_with_the_artifact_of_an_earlier_job(
    repository: str, improved: Job, tmp_path: Path
) -> None:
    tiny.fill(tmp_path)
    for name in ("natonnx-ci", "natonnx-ci/model"):
        (tmp_path / name).mkdir()
    for name in ("optimize.log", "check.xml", "result.env", "model/model.nat.onnx"):
        (tmp_path / "natonnx-ci" / name).write_bytes(improved.artifact(name).read_bytes())
    done = run(tmp_path, job(repository, UNCHANGED))
    assert done.code == 0
    assert not done.artifact("check.xml").exists()
    assert not any(done.artifact("model").iterdir())
    assert "NATONNX_RESULT_STATUS=unchanged" in done.artifact("result.env").read_text(encoding="utf-8")
    assert "there is nothing to check" in done.log


def test_bad_data(repository: str, tmp_path: Path) -> None:
    done = run(tiny.fill(tmp_path), job(repository, {**IMPROVED, "data": EVIL}))
    assert done.code == 2
    summary = done.artifact("summary.md").read_text(encoding="utf-8")
    said = EVIL.replace("$$", "$")
    assert summary == f"## natonnx optimize: error\n\nExit code 2:\n\n    {summary.splitlines()[4].strip()}\n\n"
    assert f"    natonnx: error: {said}: no such data" in summary
    assert not any(tmp_path.rglob("pwned"))


@pytest.mark.parametrize(
    ("name", "value"),
    [("NATONNX_REF", "--upload-pack=touch pwned"), ("NATONNX_REF", "nowhere"), ("NATONNX_REPOSITORY", "")],
)
def test_no_scripts_no_job(repository: str, tmp_path: Path, name: str, value: str) -> None:
    done = run(tiny.fill(tmp_path), job(repository, IMPROVED, **{name: value}))
    assert done.code != 0
    assert {path.name for path in tmp_path.iterdir()} == {"model.onnx", "data.npz"}


def test_extending() -> None:
    base = {"image": "a", "variables": {"x": "1", "y": "2"}, "script": ["b"]}
    assert extended({"extends": ".b", "variables": {"y": "3"}, "script": ["c"]}, base) == {
        "image": "a",
        "variables": {"x": "1", "y": "3"},
        "script": ["c"],
    }
