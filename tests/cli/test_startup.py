"""--version, --help and `import natonnx` load nothing heavy, so that they answer at once."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

import natonnx
from tests.cli import tiny

HEAVY = ("torch", "dgl", "onnx", "onnxruntime", "numpy", "rich", "PIL")
SHOW = "import sys; print(' '.join(name for name in {heavy!r} if name in sys.modules))"
RUN = """
import sys
from natonnx.cli import main
try:
    main({arguments!r})
except SystemExit as end:
    assert not end.code, end.code
"""


def loaded(code: str) -> tuple[list[str], set[str]]:
    """What a program prints, and which heavy packages it has loaded at its end."""
    done = subprocess.run(
        [sys.executable, "-c", f"{code}\n{SHOW.format(heavy=HEAVY)}"],
        env=tiny.ENVIRONMENT,
        capture_output=True,
        text=True,
        check=True,
        timeout=120,
    )
    assert done.stderr == ""
    *lines, last = done.stdout.splitlines()
    return lines, set(last.split())


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["--version"], "natonnx "),
        (["--help"], "Exit codes:"),
        (["-h"], "Exit codes:"),
        (["demo", "--help"], "--time-budget"),
        (["inspect", "--help"], "--input-shape"),
        (["apply", "--help"], "EDITS"),
        (["optimize", "--help"], "--target-madds"),
        (["bench", "--help"], "--provider"),
        (["check", "--help"], "--baseline"),
        (["diff", "--help"], "--exit-code"),
        (["doctor", "--help"], "--timeout"),
    ],
    ids=" ".join,
)
def test_help_loads_nothing_heavy(arguments: list[str], says: str) -> None:
    lines, heavy = loaded(RUN.format(arguments=arguments))
    assert says in "\n".join(lines)
    assert heavy == set()


def test_importing_the_package_loads_nothing_heavy() -> None:
    assert loaded("import natonnx")[1] == set()


@pytest.mark.parametrize(
    ("code", "expected"),
    [("import natonnx; natonnx.inspect", {"onnx", "numpy"}), ("import natonnx.supernet", {"torch"})],
)
def test_the_check_can_fail(code: str, expected: set[str]) -> None:
    assert expected <= loaded(code)[1]


def test_check_of_costs_needs_no_torch() -> None:
    model = str(tiny.ROOT / "models" / "vgg-fashion.onnx")
    arguments = ["check", model, "--baseline", model, "--max-madds-ratio", "1"]
    assert not loaded(RUN.format(arguments=arguments))[1] & {"torch", "dgl"}


def test_diff_needs_no_torch() -> None:
    model = str(tiny.ROOT / "models" / "vgg-fashion.onnx")
    assert not loaded(RUN.format(arguments=["diff", model, model]))[1] & {"torch", "dgl"}


def test_apply_needs_no_torch(tmp_path: Path) -> None:
    model, edits = str(tiny.ROOT / "models" / "vgg-fashion.onnx"), tmp_path / "edits.json"
    edge = next(edge for edge in natonnx.inspect(model)["edges"] if edge["state"] == "O" and edge["legal"])
    edits.write_text(json.dumps([{"edge": edge["name"], "from": "O", "to": edge["legal"][0]}]))
    arguments = ["apply", model, str(edits), "-o", str(tmp_path / "out.onnx"), "-q"]
    assert not loaded(RUN.format(arguments=arguments))[1] & {"torch", "dgl"}
    assert (tmp_path / "out.onnx").exists()


def test_inspect_needs_no_torch() -> None:
    model = str(tiny.ROOT / "models" / "vgg-fashion.onnx")
    assert not loaded(RUN.format(arguments=["inspect", model, "--json"]))[1] & {"torch", "dgl", "onnxruntime"}
