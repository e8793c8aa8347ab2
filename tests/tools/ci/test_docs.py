"""What the pages show: every example is parsed by published schemas and run, every table is that of the files."""

import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.cli import tiny
from tests.tools.ci import github, gitlab
from tests.tools.ci.conftest import QUICK, GitHub
from tests.tools.ci.expressions import interpolate, truth

PAGE = tiny.ROOT / "tools/ci/README.md"
USES = "OWNER/natonnx/tools/ci/github@REF"


def blocks(path: Path) -> list[str]:
    return re.findall(r"^```(?:yaml)?\n(.*?)^```$", path.read_text(encoding="utf-8"), re.DOTALL | re.MULTILINE)


def rows(header: str) -> list[list[str]]:
    text = PAGE.read_text(encoding="utf-8").split(header, 1)[1].split("\n\n", 1)[0]
    return [[cell.strip() for cell in line.strip("| ").split(" | ")] for line in text.splitlines()[2:]]


def workflow() -> dict[str, Any]:
    found: dict[str, Any] = yaml.safe_load(blocks(PAGE)[0])
    return found


def pipeline() -> dict[str, Any]:
    found: dict[str, Any] = yaml.safe_load(blocks(PAGE)[1])
    return found


@pytest.fixture
def repository_of_a_user(tmp_path: Path) -> Path:
    """With the files that the examples name."""
    for name in ("models", "data"):
        (tmp_path / name).mkdir()
    (tmp_path / "models/classifier.onnx").write_bytes(tiny.model_bytes())
    (tmp_path / "data/set.npz").write_bytes(tiny.data_bytes())
    return tmp_path


@pytest.mark.parametrize(("position", "schema"), [(0, "github-workflows"), (1, "gitlab-ci")])
def test_examples_by_their_schemas(tmp_path: Path, position: int, schema: str) -> None:
    pytest.importorskip("check_jsonschema", reason="in the extra `test`")
    path = tmp_path / "example.yml"
    path.write_text(blocks(PAGE)[position], encoding="utf-8")
    command = [sys.executable, "-m", "check_jsonschema", "--builtin-schema", f"vendor.{schema}", str(path)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def test_all_examples_are_known() -> None:
    assert [len(blocks(PAGE)), sum(USES in text for text in blocks(tiny.ROOT / "README.md"))] == [2, 1]


@pytest.mark.slow
def test_the_workflow(on_github: GitHub, repository_of_a_user: Path) -> None:
    (job,) = workflow()["jobs"].values()
    checkout, step, later = job["steps"]
    assert checkout == {"uses": "actions/checkout@v6"}
    assert step["uses"] == USES
    given = dict(step["with"])
    given["arguments"] += QUICK
    done = on_github(repository_of_a_user, **{name.replace("-", "_"): value for name, value in given.items()})
    assert done.codes["Optimize"] == 0
    contexts = {"steps": {step["id"]: {"outputs": done.outputs}}}
    assert truth(later["if"], contexts, {"success": lambda: True}) == (done.outputs["status"] == "improved")
    contexts["steps"][step["id"]]["outputs"] = {"output": "a b.onnx", "madds-ratio": "0.7"}
    environment = {name: interpolate(value, contexts) for name, value in later["env"].items()}
    shown = subprocess.run(
        ["bash", "-eo", "pipefail", "-c", later["run"]],  # noqa: S607
        env={"PATH": os.environ["PATH"], **environment},
        capture_output=True,
        text=True,
        check=True,
    )
    assert shown.stdout == "a b.onnx has 0.7 of the MAdds\n"
    assert all(name in github.load()["outputs"] for name in re.findall(r"steps\.natonnx\.outputs\.([\w-]+)", str(job)))


def test_the_step_of_the_front_page(on_github: GitHub, repository_of_a_user: Path) -> None:
    (text,) = (text for text in blocks(tiny.ROOT / "README.md") if USES in text)
    ((step),) = yaml.safe_load(text)
    given = {name.replace("-", "_"): value for name, value in step["with"].items()}
    assert on_github(repository_of_a_user, **given, on_unchanged="pass").passed


@pytest.mark.slow
def test_the_pipeline(repository: str, repository_of_a_user: Path) -> None:
    found = pipeline()
    (include,) = found["include"]
    where = gitlab.TEMPLATE.relative_to(tiny.ROOT)
    assert include["remote"] == f"https://raw.githubusercontent.com/OWNER/natonnx/REF/{where}"
    job = found["compress"]
    told = job["variables"]
    assert told["NATONNX_REPOSITORY"] == "https://github.com/OWNER/natonnx.git"
    assert told["NATONNX_REF"] == "REF"
    told |= {"NATONNX_REPOSITORY": repository, "NATONNX_REF": "main", "NATONNX_INSTALL": "none"}
    told["NATONNX_ARGUMENTS"] += QUICK
    done = gitlab.run(repository_of_a_user, job)
    assert done.code in (0, 1), done.log
    assert done.code == 0 or "## natonnx check: failed" in done.log
    lines = done.artifact("result.env").read_text(encoding="utf-8").splitlines()
    environment = dict(line.split("=", 1) for line in lines)
    (command,) = found["report"]["script"]
    assert found["report"]["needs"] == ["compress"]
    shown = subprocess.run(["sh", "-uc", command], env=environment, capture_output=True, text=True, check=True)  # noqa: S607
    assert shown.stdout.startswith(environment["NATONNX_RESULT_STATUS"])


def test_the_table_of_inputs_is_that_of_the_action() -> None:
    inputs = github.load()["inputs"]
    assert [row[0].strip("`") for row in rows("| input | default | is |")] == list(inputs)
    for name, default, says in rows("| input | default | is |"):
        declared = inputs[name.strip("`")]
        assert says == declared["description"]
        assert default.strip("`") == ("**required**" if declared.get("required") else declared["default"])


def test_the_table_of_outputs_is_that_of_the_action() -> None:
    outputs = github.load()["outputs"]
    assert {name.strip("`"): says for name, says in rows("| output | is |")} == {
        name: output["description"] for name, output in outputs.items()
    }


def test_variables_named_in_the_text_exist() -> None:
    scripts = "".join(path.read_text(encoding="utf-8") for path in (tiny.ROOT / "tools/ci").rglob("*.*"))
    for name in re.findall(r"NATONNX_[A-Z_]*[A-Z]", PAGE.read_text(encoding="utf-8")):
        option = name.removeprefix("NATONNX_").lower().replace("_", "-")
        assert name in scripts or option in github.load()["inputs"] or name.startswith("NATONNX_RESULT_")
