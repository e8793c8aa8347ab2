"""-v, -q and --log-file: what is told, where, and that a library says nothing by itself."""

import logging
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from natonnx.cli import main
from tests.cli import pseudo, tiny
from tests.cli.test_terminal import COLOUR, COMMANDS

ENTRY = re.compile(
    r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}[+-]\d{4} (DEBUG|INFO|NOTICE|WARNING|ERROR) [a-z_.]+: .+", re.ASCII
)
TOLD = {
    "inspect": ("9 nodes", "7 edges", "8 legal transitions", "1,275 parameters", "78,360 MAdds"),
    "optimize": (
        "400 training, 100 validation, 60 test samples",
        "on cpu, 1 CPU threads",
        "look up: 3 architectures",
        "finalist for 0.55 of the cost: held-out score ",
        "train: 1 of 2 α's go on",
        "candidates meet every constraint",
        "check round trip without edits: passed",
        "wrote model.nat.onnx",
    ),
    "apply": ("check ", "wrote model.nat.onnx"),
    "bench": ("onnxruntime on CPUExecutionProvider", "memory ...", "latency (0.1 s) ..."),
    "check": ("gate latency_ratio: met", "latency (0.1 s) ..."),
}


EACH = [pytest.param(name, marks=[pytest.mark.slow] if name == "optimize" else []) for name in TOLD]


@pytest.fixture
def folder(folder: Path) -> Path:
    (folder / "edits.json").write_text("[]", encoding="utf-8")
    return folder


@pytest.mark.parametrize("command", TOLD)
def test_verbose_tells_on_stderr_and_changes_no_result(command: str, folder: Path) -> None:
    code, stdout, stderr = tiny.natonnx(*COMMANDS[command], "--verbose", cwd=folder)
    assert code == 0, stderr
    for text in TOLD[command]:
        assert text in stderr
        assert text not in stdout or command in ("inspect", "bench")
    assert "sha256" not in stderr
    assert "natonnx: " not in stderr


@pytest.mark.parametrize("command", EACH)
def test_more_verbose_tells_how(command: str, folder: Path) -> None:
    code, _, stderr = tiny.natonnx(*COMMANDS[command], "-vv", "--force" if command == "apply" else "-v", cwd=folder)
    assert code == 0, stderr
    assert "sha256" in stderr


@pytest.mark.parametrize("command", EACH)
def test_quiet_leaves_the_result_alone(command: str, folder: Path) -> None:
    code, stdout, stderr = tiny.natonnx(*COMMANDS[command], "-q", cwd=folder)
    assert (code, stderr) == (0, "")
    assert bool(stdout) == (command != "apply")
    (folder / "model.nat.onnx").unlink(missing_ok=True)
    code, text = pseudo.natonnx(*COMMANDS[command], "--quiet", cwd=folder, columns=80)
    assert code == 0
    assert all(line in COLOUR.sub("", text) for line in stdout.splitlines() if line.startswith("  O → "))
    assert "━" not in text
    assert "..." not in text


def test_quiet_still_says_what_is_wrong(folder: Path) -> None:
    code, _, stderr = tiny.natonnx("inspect", "nothing.onnx", "-q", cwd=folder)
    assert code == 2
    assert stderr.startswith("natonnx: error: nothing.onnx")


def test_quiet_still_warns(folder: Path) -> None:
    """Python's warnings too, in one line and by the same way."""
    (folder / "loud.py").write_text(
        "import warnings\nimport numpy as np\n"
        "def load():\n    warnings.warn('two\\nlines')\n    return np.load('data.npz')\n",
        encoding="utf-8",
    )
    data = [word if word != "data.npz" else "loud:load" for word in COMMANDS["optimize"]]
    code, _, stderr = tiny.natonnx(*data, "-q", cwd=folder)
    assert code == 0
    (line,) = stderr.splitlines()
    assert line.startswith("natonnx: warning: ")
    assert "UserWarning: two lines" in line


def test_lines_come_above_the_bars(folder: Path) -> None:
    code, text = pseudo.natonnx(*COMMANDS["optimize"], "-v", cwd=folder, columns=200)
    assert code == 0
    assert "━" in text
    for told in TOLD["optimize"]:
        assert told in COLOUR.sub("", text)


@pytest.mark.parametrize("command", TOLD)
@pytest.mark.parametrize("option", ["-q", "-v"])
def test_a_log_has_all_of_it(command: str, option: str, folder: Path) -> None:
    code, _, stderr = tiny.natonnx(*COMMANDS[command], option, "--log-file", "run.log", cwd=folder, A_SECRET="hush")  # noqa: S106
    assert code == 0, stderr
    text = (folder / "run.log").read_text(encoding="utf-8")
    first, versions, machine, *_, last = lines = text.splitlines()
    assert all(ENTRY.fullmatch(line) for line in lines)
    assert f"natonnx log of: natonnx {' '.join(COMMANDS[command][:2])} " in first
    assert re.search(r"natonnx [\d.]+.*, onnx [\d.]+.*, torch [\d.]+.*, python 3", versions)
    assert str(folder.resolve()) in machine
    assert "ended after" in last
    for told in (*TOLD[command], "sha256"):
        assert told in text
    assert "hush" not in text


def test_a_log_goes_on(folder: Path) -> None:
    for _ in range(2):
        assert tiny.natonnx("inspect", "model.onnx", "--log-file", "run.log", cwd=folder).code == 0
    text = (folder / "run.log").read_text(encoding="utf-8")
    assert text.count("natonnx log of: ") == text.count("ended after") == 2


def test_a_log_has_what_went_wrong(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(folder)
    with pytest.raises(SystemExit) as stopped:
        main(["inspect", "nothing.onnx", "--log-file", "run.log"])
    assert stopped.value.code == 2
    assert len(capfd.readouterr().err.splitlines()) == 1  # stderr is told once
    text = (folder / "run.log").read_text(encoding="utf-8")
    assert "ERROR natonnx.cli.logs: ended by InputError: nothing.onnx: no such file" in text
    assert "Traceback" not in text

    def fails(*_: object) -> None:
        raise ZeroDivisionError("by zero")

    monkeypatch.setattr("natonnx.verbs.inspect.inspect", fails)
    with pytest.raises(SystemExit) as stopped:
        main(["inspect", "model.onnx", "--log-file", "run.log"])
    assert stopped.value.code == 3
    text = (folder / "run.log").read_text(encoding="utf-8")
    assert "Traceback (most recent call last)" in text
    assert "\nZeroDivisionError: by zero\n" in text


@pytest.mark.parametrize("name", ["model.onnx", "data.npz", "edits.json"])
def test_no_other_file_becomes_a_log(name: str, folder: Path) -> None:
    before = tiny.snapshot(folder)
    code, stdout, stderr = tiny.natonnx(*COMMANDS["optimize"], "--log-file", name, cwd=folder)
    assert (code, stdout) == (2, "")
    assert stderr.startswith(f"natonnx: error: {name}: exists and natonnx did not write it")
    assert tiny.snapshot(folder) == before


def test_a_report_and_a_log_are_two_files(folder: Path) -> None:
    code, _, stderr = tiny.natonnx("inspect", "model.onnx", "--html", "a", "--log-file", "a", cwd=folder)
    assert code == 2
    assert "natonnx did not write it" in stderr
    assert "natonnx log of" in (folder / "a").read_text(encoding="utf-8")


def test_a_log_that_cannot_go_on_says_so_once_and_the_command_does(folder: Path) -> None:
    """The file system has no room: here for files above 2 KiB."""
    line = f"ulimit -f 2; {sys.executable} -m natonnx bench model.onnx --seconds 0.1 --csv --log-file run.log -q"
    (folder / "run.log").write_text(f"natonnx log\n{'.' * 2000}\n", encoding="utf-8")
    done = subprocess.run(
        ["/bin/bash", "-c", line],
        cwd=folder,
        env={**tiny.ENVIRONMENT, "TMPDIR": str(folder)},
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr
    warnings = [text for text in done.stderr.splitlines() if "the log ends here" in text]
    assert len(warnings) == 1, done.stderr
    assert "Traceback" not in done.stderr
    assert "Logging error" not in done.stderr


def test_names_cannot_forge_entries(folder: Path) -> None:
    name = "a\nb\x1b[31m.onnx"
    os.rename(folder / "model.onnx", folder / name)  # noqa: PTH104
    code, _, stderr = tiny.natonnx("inspect", name, "-v", "--log-file", "run.log", cwd=folder)
    assert code == 0
    text = (folder / "run.log").read_text(encoding="utf-8")
    assert "\x1b" not in text + stderr
    assert all(ENTRY.fullmatch(line) for line in text.splitlines())


def test_everything_is_put_back(folder: Path, capfd: pytest.CaptureFixture[str]) -> None:
    logger = logging.getLogger("natonnx")
    before = (logger.level, list(logger.handlers), list(logging.getLogger("py.warnings").handlers))
    with pytest.raises(SystemExit):
        main(["inspect", str(folder / "model.onnx"), "-vv", "--log-file", str(folder / "run.log")])
    assert (logger.level, list(logger.handlers), list(logging.getLogger("py.warnings").handlers)) == before
    capfd.readouterr()


def test_the_library_logs_to_whoever_listens_and_else_says_nothing(
    folder: Path, capfd: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> None:
    import natonnx

    natonnx.inspect(folder / "model.onnx")
    assert not caplog.records
    with caplog.at_level(logging.INFO, "natonnx"):
        natonnx.inspect(folder / "model.onnx")
    assert [record.name for record in caplog.records] == ["natonnx.frontend.source"]
    assert capfd.readouterr() == ("", "")
    source = "import logging, natonnx\nlogging.getLogger('natonnx.bench').warning('nobody listens')\n"
    source += "assert not logging.getLogger().handlers and logging.getLogger('natonnx').level == 0"
    done = subprocess.run([sys.executable, "-c", source], env=tiny.ENVIRONMENT, capture_output=True, check=True)
    assert (done.stdout, done.stderr) == (b"", b"")
