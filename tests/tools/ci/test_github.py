"""The action's steps, run as GitHub's runner runs them."""

import json
import shutil
from pathlib import Path
from typing import Any
from xml.etree import ElementTree as ET

import onnx
import pytest

from natonnx import Conditions, benchmark
from tests.cli import tiny
from tests.tools.ci.conftest import IMPROVED, UNCHANGED, GitHub, inputs
from tests.tools.ci.github import Job, annotations

REPORTS = {"optimize.json", "optimize.log", "optimize.md", "report.html", "result.env", "summary.md"}
CHECKED = {"check.json", "check.log", "check.md", "check.xml"}
EVIL = "\"; touch pwned; #' $(touch pwned) `touch pwned` ${{ github.token }} | touch pwned"


def pwned(job: Job) -> bool:
    """Whether a command that stood in an input was run."""
    return any(
        any(folder.rglob("pwned")) for folder in (job.workspace, Path(job.outputs["folder"]), tiny.ROOT / "tools")
    )


def test_improved(improved: Job) -> None:
    assert improved.codes == {"Prepare": 0, "Optimize": 0, "Check": 0}
    payload = json.loads(improved.uploaded["optimize.json"])
    assert payload["status"] == improved.outputs["status"] == "improved"
    assert payload["seed"] == 5
    assert 0 < len(payload["scored"]) <= 5
    assert payload["images"]["output"] == 400
    assert improved.outputs["output"] == payload["output"]["path"] == "model.nat.onnx"
    assert float(improved.outputs["madds-ratio"]) == round(payload["output"]["madds"] / payload["input"]["madds"], 4)
    assert float(improved.outputs["params-ratio"]) == round(payload["output"]["params"] / payload["input"]["params"], 4)
    assert improved.outputs["check"] == "passed"
    assert annotations(improved.log) == []


def test_the_artifact_of_an_improved_model(improved: Job) -> None:
    assert improved.uploaded.keys() == REPORTS | CHECKED | {"model/model.nat.onnx"}
    model = improved.uploaded["model/model.nat.onnx"]
    assert model == (improved.workspace / "model.nat.onnx").read_bytes()
    onnx.checker.check_model(onnx.load_from_string(model))
    assert b"<!DOCTYPE html>" in improved.uploaded["report.html"][:100]
    assert Path(improved.outputs["report"]).read_bytes() == improved.uploaded["report.html"]
    assert Path(improved.outputs["folder"]) == Path(improved.outputs["report"]).parent
    assert improved.used["actions/upload-artifact"]["name"] == "natonnx"
    assert improved.outputs["artifact-url"].startswith("https://")
    gates = {gate["name"]: gate["limit"] for gate in json.loads(improved.uploaded["check.json"])["gates"]}
    assert gates == {"madds_ratio": 0.7, "params_ratio": 0.7, "drop": 100}
    (suite,) = ET.fromstring(improved.uploaded["check.xml"])  # noqa: S314 - our own
    assert (suite.get("tests"), suite.get("failures")) == ("3", "0")


def test_the_summary_of_an_improved_model(improved: Job) -> None:
    assert improved.summary == improved.uploaded["summary.md"].decode()
    assert all(line in improved.log for line in improved.summary.splitlines())
    lines = improved.summary.splitlines()
    assert lines[0] == "## natonnx optimize: improved"
    assert "## natonnx check: passed" in lines
    (madds,) = (line for line in lines if line.startswith("| MAdds | 78,360 | "))
    after = json.loads(improved.uploaded["optimize.json"])["output"]["madds"]
    assert f"| {after:,} |" in madds
    assert any(line.startswith("| MAdds ratio | ") and "at most 0.700 | met" in line for line in lines)


def test_nothing_but_the_model_is_left_in_the_workspace(improved: Job) -> None:
    assert {path.name for path in improved.workspace.iterdir()} == {"model.onnx", "data.npz", "model.nat.onnx"}
    assert (improved.workspace / "model.onnx").read_bytes() == tiny.model_bytes()


def test_a_gate_that_is_not_met_fails_the_job_and_says_so_everywhere(failed: Job) -> None:
    assert failed.codes == {"Check": 1}
    assert not failed.passed
    assert failed.outputs["status"] == "improved"
    assert failed.outputs["check"] == "failed"
    assert "## natonnx check: failed" in failed.summary
    assert "| at most 0.010 | **failed** |" in failed.summary
    assert failed.uploaded.keys() == REPORTS | CHECKED | {"model/model.nat.onnx"}
    assert b"<failure" in failed.uploaded["check.xml"]
    assert annotations(failed.log) == ["a limit of natonnx check is not met; the summary of the job has the table"]


def test_a_gate_that_is_undecided_is_told_apart(on_github: GitHub, improved: Job, tmp_path: Path) -> None:
    """A latency of another onnxruntime says nothing of now."""
    workspace = tiny.fill(tmp_path)
    payload = benchmark(workspace / "model.onnx", conditions=Conditions(seconds=0.05))
    payload["conditions"]["onnxruntime"] = "0.9"
    (workspace / "last.json").write_text(json.dumps(payload), encoding="utf-8")
    arguments = "--baseline-report=last.json\n--max-latency-ratio=2"
    job = on_github(workspace, earlier=improved, **inputs(IMPROVED, check_arguments=arguments))
    assert job.codes == {"Check": 4}
    assert not job.passed
    assert job.outputs["check"] == "undecided"
    assert "## natonnx check: undecided" in job.summary
    (suite,) = ET.fromstring(job.uploaded["check.xml"])  # noqa: S314 - our own
    assert (suite.get("failures"), suite.get("errors")) == ("0", "1")
    assert annotations(job.log) == [
        "a limit of natonnx check is undecided, and none is failed; the summary of the job has the table"
    ]


def test_unchanged_passes(unchanged: Job) -> None:
    assert unchanged.codes == {"Prepare": 0, "Optimize": 0, "Check": 0}
    outputs = {name: unchanged.outputs[name] for name in ("status", "output", "madds-ratio", "params-ratio", "check")}
    assert outputs == {"status": "unchanged", "output": "", "madds-ratio": "", "params-ratio": "", "check": ""}
    assert unchanged.uploaded.keys() == REPORTS
    assert unchanged.summary.startswith("## natonnx optimize: unchanged\n")
    assert "the input model stands" in unchanged.summary
    assert "natonnx check" not in unchanged.summary
    assert "there is nothing to check" in unchanged.log
    assert annotations(unchanged.log) == []


@pytest.mark.slow
def test_unchanged_fails_where_the_user_says_so(on_github: GitHub) -> None:
    job = on_github(**inputs(UNCHANGED, on_unchanged="fail"))
    assert job.codes == {"Prepare": 0, "Optimize": 1}
    assert job.outputs["status"] == "unchanged"
    assert job.uploaded.keys() == REPORTS
    assert "## natonnx optimize: unchanged" in job.summary
    assert annotations(job.log) == [
        "no architecture met every constraint, the input model stands, and on-unchanged is fail"
    ]


# What natonnx refuses


def refused(job: Job, says: str, code: int = 2) -> None:
    """The job fails in Optimize, the reason is in the summary and beside the change, and the log is uploaded."""
    assert job.codes == {"Prepare": 0, "Optimize": code}
    assert says in job.log
    assert job.summary.startswith(f"## natonnx optimize: error\n\nExit code {code}:\n\n    ")
    assert says in job.summary
    (message,) = annotations(job.log)
    assert says.removeprefix("natonnx: error: ") in message
    assert not message.startswith("natonnx: error: ")
    assert {name: value for name, value in job.outputs.items() if value and name != "folder"}.keys() <= {"artifact-url"}
    assert {"optimize.log", "summary.md"} <= job.uploaded.keys() <= {"optimize.log", "summary.md", "optimize.json"}
    assert not pwned(job)


def test_bad_data(on_github: GitHub) -> None:
    job = on_github(model="model.onnx", data="nothing.npz")
    refused(job, "natonnx: error: nothing.npz: no such data")


def test_bad_limits_of_check(on_github: GitHub, improved: Job) -> None:
    job = on_github(earlier=improved, **inputs(IMPROVED, min_accuracy="88"))
    assert job.codes == {"Check": 2}
    assert job.uploaded["summary.md"].startswith(b"## natonnx optimize: improved")
    assert "## natonnx check: error\n\nExit code 2:\n\n    natonnx: error: --min-accuracy 88" in job.summary
    assert job.outputs["check"] == ""
    assert annotations(job.log)[0].startswith("--min-accuracy 88: must be a share")
    assert {"model/model.nat.onnx", "report.html", "check.log"} <= job.uploaded.keys()


@pytest.mark.parametrize(
    ("given", "says"),
    [
        ({"model": ""}, "no model is named"),
        ({"model": "a\nb.onnx"}, "has a line break"),
        ({"model": "a.onnx", "output": "b\nNATONNX_RESULT_STATUS=improved"}, "has a line break"),
        ({"model": "model.onnx", "on_unchanged": "maybe"}, "on-unchanged is 'maybe'; write pass or fail"),
    ],
    ids=str,
)
def test_bad_settings(on_github: GitHub, given: dict[str, str], says: str) -> None:
    refused(on_github(**given), says)


def test_a_natonnx_that_cannot_start_is_not_unchanged(on_github: GitHub, tmp_path: Path) -> None:
    """Python ends with 1 too where a package is broken, and so does natonnx where nothing was found."""
    (tmp_path / "click.py").write_text("raise ImportError('100%25 broken')", encoding="utf-8")
    job = on_github(model="model.onnx", environment={"PYTHONPATH": f"{tmp_path}:{tiny.ROOT}"})
    refused(job, "ImportError: 100%25 broken", 1)


@pytest.mark.parametrize(("command", "code"), [("true", 3), ("false", 1), ("nothing", 127)])
def test_nor_is_something_that_is_not_natonnx(on_github: GitHub, tmp_path: Path, command: str, code: int) -> None:
    (tmp_path / "natonnx").symlink_to(f"/bin/{command}")
    for tool in ("bash", "cat", "cut", "dirname", "grep", "mkdir", "mktemp", "sed", "sha256sum", "tail", "tee"):
        (tmp_path / tool).symlink_to(str(shutil.which(tool)))
    refused(on_github(model="model.onnx", environment={"PATH": str(tmp_path)}), "", code)


# Hostile inputs


def also(*values: str) -> list[Any]:
    """Cases that go as those beside them: they are slow."""
    return [pytest.param(value, marks=pytest.mark.slow) for value in values]


NAMES = ("model", "data", "mean", "layout", "target-madds", "seed", "arguments", "on-unchanged")


def evil(*names: str) -> dict[str, str]:
    return {**inputs(IMPROVED), **{name.replace("-", "_"): EVIL for name in names}}


def test_inputs_are_never_commands(on_github: GitHub) -> None:
    """All that natonnx itself is given, at once: the step handles each before natonnx refuses the first."""
    job = on_github(**evil(*NAMES[:-1]))
    assert job.codes["Optimize"] == 2
    refused(job, "natonnx: error: ")


@pytest.mark.parametrize("name", ["model", "on-unchanged", *also(*NAMES[1:-1])])
def test_an_input_is_never_a_command(on_github: GitHub, name: str) -> None:
    job = on_github(**evil(name))
    assert job.codes["Optimize"] == 2
    refused(job, "natonnx: error: ")


@pytest.mark.parametrize("value", ["--help", "-", "--", "*", "model.onnx --help", *also("--json", "-o")])
def test_a_model_is_never_an_option(on_github: GitHub, value: str) -> None:
    job = on_github(model=value, data="data.npz")
    refused(job, f"natonnx: error: {value}: ")


@pytest.mark.parametrize("value", ["--help", "data.npz --help", *also("--json")])
def test_nor_is_the_value_of_an_option(on_github: GitHub, value: str) -> None:
    refused(on_github(model="model.onnx", data=value), f"natonnx: error: {value}: no such data")


def test_arguments_are_not_split_nor_expanded(on_github: GitHub) -> None:
    refused(
        on_github(model="model.onnx", data="data.npz", arguments="--exclude=* $HOME"), "--exclude * $HOME: matches no"
    )


def test_hostile_paths(on_github: GitHub, tmp_path: Path) -> None:
    """A whole run, in which nothing happens but what was asked for; with external data, named like the model."""
    folder = tmp_path / '-it\'s "a" $(touch pwned) [x]*?;&'
    folder.mkdir()
    tiny.fill(folder)
    model = "-m`touch pwned`|o d'e\"l$(touch pwned).onnx"
    onnx.save_model(tiny.model(), tmp_path / model, save_as_external_data=True, location="w", size_threshold=0)
    output = f"{folder.name}/-o u't[0]*.onnx"
    job = on_github(
        tmp_path,
        **inputs(IMPROVED, model=model, data=f"{folder.name}/data.npz", output=output, artifact=EVIL),
    )
    assert job.passed
    assert job.outputs["output"] == output
    assert job.used["actions/upload-artifact"]["name"] == EVIL
    assert "| MAdds ratio |" in job.summary
    assert not pwned(job)
    files = {name for name in job.uploaded if name.startswith("model/")}
    assert files == {"model/-o u't[0]*.onnx", "model/-o u't[0]*.onnx.data"}
    for name in files:
        (tmp_path / "copy" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "copy" / name).write_bytes(job.uploaded[name])
    onnx.checker.check_model(str(tmp_path / "copy/model/-o u't[0]*.onnx"), full_check=True)


@pytest.mark.parametrize("name", ["baseline", "max-madds-ratio", "check-max-drop", "check-arguments"])
def test_an_input_of_check_is_never_a_command(on_github: GitHub, improved: Job, name: str) -> None:
    job = on_github(earlier=improved, **inputs(IMPROVED, **{name.replace("-", "_"): EVIL}))
    assert job.codes["Check"] == 2
    assert "## natonnx check: error" in job.summary
    assert not pwned(job)


@pytest.mark.slow
def test_what_data_prints_is_no_command_of_the_runner(on_github: GitHub, tmp_path: Path) -> None:
    tiny.fill(tmp_path)
    said = r"::error title=x::forged\n::stop-commands::mine"
    code = f"import numpy\ndef load():\n  print('{said}')\n  return dict(numpy.load('data.npz'))\n"
    (tmp_path / "mine.py").write_text(code, encoding="utf-8")
    job = on_github(workspace=tmp_path, **inputs(IMPROVED, data="mine:load"))
    assert job.passed
    assert "::error title=x::forged" in job.log
    assert annotations(job.log) == []


def test_no_artifact_and_a_baseline(on_github: GitHub, improved: Job, tmp_path: Path) -> None:
    (tmp_path / "old.onnx").write_bytes(tiny.model(author="another").SerializeToString())
    job = on_github(tmp_path, earlier=improved, **inputs(IMPROVED, artifact="", baseline="old.onnx"))
    assert job.passed
    assert "actions/upload-artifact" not in job.used
    assert job.outputs["artifact-url"] == ""
    assert "against `old.onnx`" in job.summary


def test_the_folder_is_new_each_time_and_the_key_follows_what_is_installed(on_github: GitHub, improved: Job) -> None:
    jobs = [improved, on_github(model=""), on_github(model="", packages="timm")]
    assert len({job.outputs["folder"] for job in jobs}) == 3
    keys = [job.steps["prepare"]["outputs"]["key"] for job in jobs]
    assert keys[0] == keys[1] != keys[2]
    assert keys[0].startswith("natonnx-Linux-X64-")
