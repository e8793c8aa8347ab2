"""Exit codes of what goes wrong inside, and what the top level says."""

from collections.abc import Callable
from pathlib import Path

import pytest

from natonnx import __version__
from natonnx.cli import main
from natonnx.errors import InputError, NatonnxError, VerificationError


def run(*arguments: str) -> object:
    with pytest.raises(SystemExit) as stopped:
        main(arguments)
    return stopped.value.code


def raising(error: BaseException) -> Callable[..., None]:
    def fails(*_arguments: object, **_options: object) -> None:
        raise error

    return fails


@pytest.mark.parametrize(
    ("error", "code", "line"),
    [
        (InputError("bad\n  model"), 2, "natonnx: error: bad model"),
        (VerificationError("it failed"), 3, "natonnx: error: it failed"),
        (NatonnxError("it failed"), 3, "natonnx: error: it failed"),
        (KeyboardInterrupt(), 130, "natonnx: error: interrupted"),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, BaseException) else "",
)
def test_each_failure_has_its_code_and_one_line(
    error: BaseException, code: int, line: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("natonnx.verbs.inspect.inspect", raising(error))
    assert run("inspect", "model.onnx") == code
    stdout, stderr = capsys.readouterr()
    assert stdout == ""
    assert [text for text in stderr.splitlines() if text] == [line]


def test_a_defect_shows_where_it_happened_and_ends_with_3(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Not with 1, which says that the input model stands."""
    monkeypatch.setattr("natonnx.verbs.inspect.inspect", raising(ZeroDivisionError("by\nzero")))
    assert run("inspect", "model.onnx") == 3
    stdout, stderr = capsys.readouterr()
    assert stdout == ""
    assert "Traceback" in stderr
    assert stderr.splitlines()[-1] == "natonnx: error: internal error, please report it: ZeroDivisionError: by zero"


@pytest.mark.parametrize("saved", [True, False])
def test_interrupting_optimize_says_how_to_go_on_where_something_was_saved(
    saved: bool, folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("natonnx.verbs.optimize.optimize.optimize", raising(KeyboardInterrupt()))
    if saved:
        (folder / "model.nat.onnx.resume").touch()
    assert run("optimize", str(folder / "model.onnx")) == 130
    stdout, stderr = capsys.readouterr()
    assert stdout == ""
    assert len(stderr.splitlines()) == 1
    assert stderr.startswith("natonnx: error: interrupted; " if saved else "natonnx: error: interrupted\n")
    assert ("--resume" in stderr) is saved


def test_version(capsys: pytest.CaptureFixture[str]) -> None:
    assert run("--version") == 0
    assert capsys.readouterr().out == f"natonnx {__version__}\n"


def test_without_arguments_the_help_is_an_error(capsys: pytest.CaptureFixture[str]) -> None:
    assert run() == 2
    stdout, stderr = capsys.readouterr()
    assert stdout == ""
    assert stderr.startswith("Usage: ")


def test_help_names_every_exit_code(capsys: pytest.CaptureFixture[str]) -> None:
    assert run("--help") == 0
    text = " ".join(capsys.readouterr().out.split())
    for code in ("0 done", "1 no architecture", "2 bad usage", "3 a verification failed", "130 interrupted"):
        assert code in text
