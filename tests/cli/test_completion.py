"""Completion in real shells: what a person types, with tabs, is what the program gets."""

import os
import shutil
import sys
from pathlib import Path

import pytest

from tests.cli import tiny
from tests.cli.pseudo import Terminal
from tests.cli.test_startup import loaded

SHELLS = {
    "bash": (["bash", "--norc", "-i"], 'eval "$(natonnx completion bash)"'),
    "zsh": (
        ["zsh", "-f", "-i"],
        'autoload -U compinit; compinit -u -D; eval "$(natonnx completion zsh)"',
    ),
    "fish": (["fish", "--no-config", "-i"], "natonnx completion fish | source"),
}
PROGRAM = """#!/bin/sh
if [ -z "$_NATONNX_COMPLETE" ] && [ "$1" != completion ]; then
    printf '%s\\n' "$@" > got && mv got arguments && echo fin""ished
    exit
fi
exec {python} -m natonnx "$@"
"""


@pytest.mark.parametrize("shell", SHELLS)
@pytest.mark.parametrize(
    ("typed", "got"),
    [
        ("natonnx ins\tmod\t--gran\tbr\t", ["inspect", "model.onnx", "--granularity", "branch"]),
        (
            "natonnx opt\tmod\t--data fash\t--learner ls\t--policy scr\t",
            ["optimize", "model.onnx", "--data", "fashion-mnist", "--learner", "lstm", "--policy", "scratch"],
        ),
        (
            "natonnx bench mod\t--data dat\t--prov\tcud\t",
            ["bench", "model.onnx", "--data", "data.npz", "--provider", "cuda"],
        ),
        ("natonnx check mod\t--baseline mod\t", ["check", "model.onnx", "--baseline", "model.onnx"]),
        ("natonnx apply mod\tedi\t-o sub\t", ["apply", "model.onnx", "edits.json", "-o", "subfolder"]),
    ],
    ids=["inspect", "optimize", "bench", "check", "apply"],
)
def test_a_shell_completes(shell: str, typed: str, got: list[str], folder: Path, tmp_path: Path) -> None:
    command, setup = SHELLS[shell]
    if shutil.which(command[0]) is None:
        pytest.skip(f"{shell} is not installed")
    (folder / "edits.json").write_text("[]", encoding="utf-8")
    (folder / "subfolder").mkdir()
    programs = tmp_path / ".programs"
    programs.mkdir()
    program = programs / "natonnx"
    program.write_text(PROGRAM.format(python=sys.executable), encoding="utf-8")
    program.chmod(0o755)
    environment = {"PATH": f"{programs}:{os.environ['PATH']}", "HOME": str(programs), "TERM": "dumb"}
    with Terminal(command, cwd=folder, columns=200, environment=environment) as terminal:
        terminal.send(f'{setup}; echo rea""dy\n')
        terminal.wait_for("ready")
        terminal.send(f"{typed}\n")
        terminal.wait_for("finished")
    arguments = (folder / "arguments").read_text(encoding="utf-8").splitlines()
    assert [argument.removesuffix("/") for argument in arguments] == got  # zsh leaves a folder's slash out


def complete(words: str, position: int) -> tuple[list[str], set[str]]:
    variables = {"_NATONNX_COMPLETE": "bash_complete", "COMP_WORDS": words, "COMP_CWORD": str(position)}
    code = f"import os\nos.environ.update({variables})\nfrom natonnx.cli import main\n"
    return loaded(f"{code}try:\n    main()\nexcept SystemExit as end:\n    assert end.code == 0")


@pytest.mark.parametrize(
    ("words", "position", "answers"),
    [
        ("natonnx in", 1, ["plain,inspect"]),
        ("natonnx do", 1, ["plain,doctor"]),
        ("natonnx optimize --learner gcn-", 3, ["plain,gcn-directed", "plain,gcn-max"]),
        ("natonnx optimize --reward l", 3, ["file,l", "plain,likelihood"]),
        ("natonnx check a --baseline b", 4, ["file,b"]),
        ("natonnx optimize m --data ", 4, ["file,"]),
        ("natonnx optimize m --data f", 4, ["file,f", "plain,fashion-mnist"]),
        ("natonnx completion z", 2, ["plain,zsh"]),
        ("natonnx inspect --log-file l", 3, ["file,l"]),
    ],
)
def test_completion_loads_nothing_heavy(words: str, position: int, answers: list[str]) -> None:
    found, heavy = complete(words, position)
    assert [answer for answer in found if answer] == answers
    assert heavy == set()


def test_every_command_completes_its_options() -> None:
    for command in ("inspect", "optimize", "apply", "bench", "check", "doctor"):
        found, _ = complete(f"natonnx {command} --", 2)
        assert {"plain,--json", "plain,--verbose", "plain,--quiet", "plain,--log-file"} <= set(found)


@pytest.mark.parametrize("shell", SHELLS)
def test_the_script_is_for_this_program(shell: str, tmp_path: Path) -> None:
    code, stdout, stderr = tiny.natonnx("completion", shell, cwd=tmp_path)
    assert (code, stderr) == (0, "")
    assert f"_NATONNX_COMPLETE={shell}_complete" in stdout
    assert list(tmp_path.iterdir()) == []


def test_a_shell_may_ask_by_the_variable_alone(tmp_path: Path) -> None:
    """As programs that use click are asked."""
    printed = tiny.natonnx("completion", "bash", cwd=tmp_path).stdout
    assert tiny.natonnx(cwd=tmp_path, _NATONNX_COMPLETE="bash_source").stdout == printed
