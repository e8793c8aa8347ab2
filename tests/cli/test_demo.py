"""`natonnx demo`: it shows what the commands print, and the commands are those that a user would type."""

import json
import re
import shlex
import signal
from pathlib import Path
from typing import NamedTuple

import click
import pytest

from natonnx.cli import cli
from natonnx.cli.demo import NEXT
from natonnx.data.shipped import MODEL
from tests.cli import tiny

FOLDER = "first steps"
SEARCH_ENDS = r"^(improved: |unchanged: )"


class Demo(NamedTuple):
    """A demo that has run: where, its exit code, and what each command that it shows printed."""

    place: Path
    code: int
    commands: dict[str, list[str]]
    text: str


def demo(place: Path, *options: str) -> Demo:
    code, stdout, stderr = tiny.natonnx("demo", FOLDER, *options, cwd=place)
    assert "Traceback" not in stderr
    commands = {}
    for part in re.split(r"^\$ ", stdout, flags=re.MULTILINE)[1:]:
        line, *printed = part.split("\n\n")[0].splitlines()
        commands[line] = printed
    return Demo(place, code, commands, stdout)


def again(command: str, place: Path, *more: str) -> tiny.Finished:
    """Type a command that was shown."""
    program, *arguments = shlex.split(command)
    assert program == "natonnx"
    return tiny.natonnx(*arguments, *more, cwd=place)


@pytest.fixture(scope="module")
def short(tmp_path_factory: pytest.TempPathFactory) -> Demo:
    return demo(tmp_path_factory.mktemp("short"), "--time-budget", "1")


def test_each_command_is_shown_and_run(short: Demo) -> None:
    inspect, optimize, *bench = short.commands
    copy = f"'{FOLDER}/{MODEL.name}'"
    assert inspect == f"natonnx inspect {copy}"
    assert optimize.startswith(f"natonnx optimize {copy} --data fashion-mnist --target-madds 0.8 ")
    assert re.match(SEARCH_ENDS, short.commands[optimize][-1])
    assert len(bench) == (short.code == 0)
    assert (short.place / FOLDER / MODEL.name).read_bytes() == MODEL.read_bytes()


def test_a_long_output_is_the_commands_own_first_and_last_lines(short: Demo) -> None:
    (command, shown), *_ = short.commands.items()
    code, stdout, _ = again(command, short.place)
    assert code == 0
    real = stdout.splitlines()
    (cut,) = (at for at, line in enumerate(shown) if line.startswith("... "))
    before, after = shown[:cut], shown[cut + 1 :]
    assert (real[: len(before)], real[-len(after) :]) == (before, after)
    assert shown[cut] == f"... {len(real) - len(before) - len(after)} lines more ..."


def test_the_report_names_the_command_that_was_shown(short: Demo) -> None:
    """Not `natonnx demo`, which runs it."""
    page = (short.place / FOLDER / "report.html").read_text(encoding="utf-8")
    _, optimize, *_ = short.commands
    assert json.dumps(optimize) in page


def test_a_search_that_finds_nothing_in_its_time_says_so_and_ends_as_optimize_does(short: Demo) -> None:
    found = (short.place / FOLDER / f"{MODEL.stem}.nat.onnx").exists()
    assert short.code == (0 if found else 1)
    assert ("--time-budget 600 gives more" in short.text) is not found


@pytest.mark.parametrize("line", NEXT)
def test_what_comes_next_is_what_the_commands_take(line: str, short: Demo) -> None:
    name, *words = shlex.split(line)
    root = click.Context(cli, info_name="natonnx", **cli.context_settings)  # click keeps what options ask for help
    cli.commands[name].make_context(name, words, parent=root)
    assert (f"  natonnx {line}" in short.text) is (short.code == 0)


def test_a_file_of_anothers_is_kept(tmp_path: Path) -> None:
    other = tmp_path / MODEL.name
    other.write_bytes(b"mine")
    code, stdout, stderr = tiny.natonnx("demo", ".", cwd=tmp_path)
    assert (code, stdout) == (2, "")
    assert stderr == (
        f"natonnx: error: {MODEL.name}: exists and is not the model of the demo; name another folder, or give --force\n"
    )
    assert [path.name for path in tmp_path.iterdir()] == [MODEL.name]
    assert other.read_bytes() == b"mine"


def test_a_file_is_no_folder(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    code, stdout, stderr = tiny.natonnx("demo", "file", cwd=tmp_path)
    assert (code, stdout) == (2, "")
    assert stderr == "natonnx: error: file: cannot be made (File exists); name another folder\n"


def test_an_interrupt_ends_it_as_the_command_that_runs(tmp_path: Path) -> None:
    process = tiny.start("demo", cwd=tmp_path)
    assert process.stdout is not None
    while not process.stdout.readline().startswith("$ natonnx optimize "):
        assert process.poll() is None
    process.send_signal(signal.SIGINT)
    _, stderr = process.communicate(timeout=120)
    assert process.returncode == 130
    assert stderr.splitlines()[-1].startswith("natonnx: error: interrupted")
    assert not [*(tmp_path / "natonnx-demo").glob("*.nat.onnx")]


@pytest.mark.slow
def test_in_full_it_makes_a_better_model_by_commands_that_do_so_alone(tmp_path: Path) -> None:
    (tmp_path / "one").mkdir()
    whole = demo(tmp_path / "one", "--time-budget", "3000")
    assert whole.code == 0, whole.text
    (tmp_path / "two" / FOLDER).mkdir(parents=True)
    (tmp_path / "two" / FOLDER / MODEL.name).write_bytes(MODEL.read_bytes())
    for command in whole.commands:
        assert again(command, tmp_path / "two").code == 0
    assert {path.name for path in (tmp_path / "two" / FOLDER).iterdir()} == {
        path.name for path in (tmp_path / "one" / FOLDER).iterdir()
    }
    better = [tmp_path / name / FOLDER / f"{MODEL.stem}.nat.onnx" for name in ("one", "two")]
    code, stdout, _ = tiny.natonnx("diff", *better, "--exit-code", cwd=tmp_path)
    assert code == 0, stdout
    limits = ["--max-madds-ratio", "0.8", "--max-drop", "1", "--json"]
    gates = tiny.natonnx("check", better[0], "--baseline", MODEL, *limits, cwd=tmp_path)
    assert json.loads(gates.stdout)["status"] == "passed"
