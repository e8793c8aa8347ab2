"""How the process ends: signals, pipes that close, disks that are full, streams and encodings that lack something."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.cli import pseudo, tiny, warm

MODEL = tiny.ROOT / "models" / "resnet20-fashion.onnx"
NATONNX = [sys.executable, "-m", "natonnx"]
SEARCH = ("--data", "data.npz", "--lookups", "3", "--target-madds", "0.55", "--max-drop", "90", "-o", "out.onnx")
LONG = (*SEARCH, "--finetune-epochs", "50000")
ASCII = {"PYTHONIOENCODING": "ascii"}
C = {"LC_ALL": "C", "PYTHONCOERCECLOCALE": "0", "PYTHONUTF8": "0"}
DISKS_FULL = [("inspect", MODEL), ("inspect", MODEL, "--json"), ("--help",), ("--version",), ("completion", "zsh")]


def shell(script: str, cwd: Path, program: str = f"{sys.executable} -m natonnx", **environment: str) -> tiny.Finished:
    """Run a line of bash in which `natonnx` is this one; the code is that of the first command of a pipe."""
    line = f'natonnx() {{ {program} "$@"; }}; {script}; exit "${{PIPESTATUS[0]}}"'
    done = subprocess.run(
        ["/bin/bash", "-c", line],
        cwd=cwd,
        env={**tiny.ENVIRONMENT, "PYTHONUNBUFFERED": "", **environment},
        capture_output=True,
        timeout=120,
        check=False,
        text=True,
    )
    return tiny.Finished(done.returncode, done.stdout, done.stderr)


def started(*arguments: str, cwd: Path, says: str) -> tiny.Running:
    """A command that has come so far as to say something on stderr."""
    running = tiny.Running("natonnx", arguments, cwd=cwd)
    for line in running.stderr:
        if says in line:
            break
    else:
        pytest.fail(f"{says!r} was never said")
    return running


@pytest.mark.parametrize("arguments", [("inspect", "model.onnx"), ("apply", "model.onnx", "-v"), ("--help",)], ids=str)
def test_a_process_that_is_forked_is_as_one_that_is_started(arguments: tuple[str, ...], folder: Path) -> None:
    """Of the ways in which these tests run commands (`tests/cli/warm.py`)."""
    forked = tiny.natonnx(*arguments, cwd=folder)
    assert forked == tiny.natonnx(*arguments, cwd=folder, PYTHONHASHSEED="0")
    assert forked.code == (2 if "apply" in arguments else 0)


@pytest.mark.parametrize("options", ["", "--json"])
def test_a_pipe_that_closes_ends_it_quietly(options: str, folder: Path) -> None:
    """As it ends other programs, by a code that says SIGPIPE."""
    code, _, stderr = shell(f"natonnx inspect {MODEL} {options} | true", folder)
    assert (code, stderr) == (141, "")
    code, stdout, stderr = shell(f"natonnx inspect {MODEL} {options} | head -n 1", folder)
    assert code in (0, 141)  # the output may fit into the pipe before head is gone
    assert (len(stdout.splitlines()), stderr) == (1, "")


def test_help_into_a_pipe_that_closes(folder: Path) -> None:
    assert shell("natonnx --help | true", folder)[::2] == (141, "")


def test_progress_into_a_pipe_that_closes(folder: Path) -> None:
    line = f"natonnx optimize model.onnx {' '.join(LONG)} 2>&1 | head -n 4"
    code, stdout, stderr = shell(line, folder, f"{warm.folder()}/natonnx")
    assert code == 141
    assert [line.split()[0] for line in stdout.splitlines()] == ["model.onnx:", "model.onnx:", "data", "look"]
    assert stderr == ""
    assert not (folder / "out.onnx").exists()


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="the system has no /dev/full")
@pytest.mark.parametrize("arguments", DISKS_FULL, ids=lambda arguments: " ".join(map(str, arguments[::2])))
def test_a_full_disk_is_told_in_one_line(arguments: tuple[str | Path, ...], folder: Path) -> None:
    code, _, stderr = shell(f"natonnx {' '.join(map(str, arguments))} > /dev/full", folder)
    assert code == 2
    assert stderr.startswith("natonnx: error: ")
    assert "No space left on device" in stderr
    assert len(stderr.splitlines()) == 1


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="the system has no /dev/full")
def test_stderr_on_a_full_disk_changes_no_exit_code(folder: Path) -> None:
    assert shell("natonnx inspect nothing.onnx 2> /dev/full", folder).code == 2
    assert shell("natonnx apply model.onnx <(echo '[]') -o out.onnx -v 2> /dev/full", folder).code == 0


def test_a_closed_stdout_says_nothing(folder: Path) -> None:
    assert shell("natonnx inspect model.onnx >&-", folder) == (0, "", "")
    assert shell("natonnx inspect nothing.onnx 2>&-", folder) == (2, "", "")


def test_no_file_takes_the_place_of_a_closed_stream(folder: Path) -> None:
    """The next file that is opened gets the lowest free number, and stderr's is 2."""
    code, _, _ = shell("echo '[]' | natonnx apply model.onnx - -o out.onnx -v >&- 2>&-", folder)
    assert code == 0
    assert (folder / "out.onnx").read_bytes() == (folder / "model.onnx").read_bytes()
    source = "import os; from natonnx.cli.process import open_streams; open_streams(); os._exit(os.open('/', 0))"
    assert shell(f'{sys.executable} -c "{source}" <&- >&- 2>&-', folder).code > 2


def test_a_closed_stdin(folder: Path) -> None:
    code, stdout, stderr = shell("natonnx apply model.onnx - -o out.onnx <&-", folder)
    assert (code, stdout) == (2, "")
    assert stderr.startswith("natonnx: error: -: ")
    assert len(stderr.splitlines()) == 1
    assert shell("natonnx inspect model.onnx <&-", folder).code == 0


@pytest.mark.parametrize(
    "environment", [pytest.param(ASCII, marks=pytest.mark.slow), C], ids=["PYTHONIOENCODING", "LC_ALL"]
)
def test_ascii_is_enough(environment: dict[str, str], folder: Path) -> None:
    code, stdout, stderr = tiny.natonnx("inspect", "model.onnx", cwd=folder, **environment)
    assert (code, stderr) == (0, "")
    assert stdout.isascii()
    assert "\\u2192" in stdout
    code, stdout, stderr = tiny.natonnx(
        "optimize", "model.onnx", *SEARCH, "--finetune-epochs", "0.5", "-v", cwd=folder, **environment
    )
    assert code == 0, stderr
    assert (stdout + stderr).isascii()


@pytest.mark.parametrize("environment", [ASCII, C, {}], ids=["PYTHONIOENCODING", "LC_ALL", "UTF-8"])
def test_json_is_json_in_any_encoding(environment: dict[str, str], folder: Path) -> None:
    name = "modèle → \udcff.onnx"
    (folder / name).write_bytes(tiny.model_bytes())
    code, stdout, stderr = tiny.natonnx("inspect", name, "--json", cwd=folder, **environment)
    assert (code, stderr) == (0, "")
    assert os.fsencode(json.loads(stdout)["model"]["path"]) == os.fsencode(name)
    code, stdout, stderr = tiny.natonnx("inspect", name, cwd=folder, **environment)
    assert (code, stderr) == (0, "")
    assert "\\udcff.onnx" in stdout


@pytest.mark.parametrize(("number", "code", "word"), [(2, 130, "interrupted"), (15, 143, "terminated")], ids=str)
def test_a_signal_ends_optimize_in_one_line(number: int, code: int, word: str, folder: Path) -> None:
    given = tiny.snapshot(folder)
    running = started("optimize", "model.onnx", *LONG, cwd=folder, says="train ")
    running.send_signal(number)
    ended, stdout, stderr = running.finish(60)
    assert (ended, stdout) == (code, "")
    last = stderr.splitlines()[-1]
    assert last.startswith(f"natonnx: error: {word}; run the same command with --resume")
    assert all(line.startswith("train ") for line in stderr.splitlines()[:-1])
    assert tiny.snapshot(folder).keys() - given.keys() == {"out.onnx.resume"}


@pytest.mark.parametrize(("number", "code"), [(2, 130), (15, 143), (1, 129)], ids=str)
def test_a_signal_ends_bench_in_one_line(number: int, code: int, folder: Path) -> None:
    given = tiny.snapshot(folder)
    running = started("bench", "model.onnx", "--seconds", "600", "-v", cwd=folder, says="latency")
    time.sleep(0.2)
    running.send_signal(number)
    ended, stdout, stderr = running.finish(60)
    assert (ended, stdout) == (code, "")
    assert stderr.startswith("natonnx: error: ")
    assert len(stderr.splitlines()) == 1
    assert tiny.snapshot(folder) == given


def test_ctrl_c_gives_the_cursor_back(folder: Path) -> None:
    with pseudo.Terminal([*NATONNX, "optimize", "model.onnx", *LONG], cwd=folder) as terminal:
        before = terminal.wait_for("loss")
        terminal.send("\x03")
        code, after = terminal.finish()
    assert code == 130
    text = before + after
    assert text.rindex("\x1b[?25h") > text.rindex("\x1b[?25l")
    assert "\n\x1b[?25hnatonnx: error: interrupted; run the same command with --resume" in text
    assert "Traceback" not in text


def test_what_ignores_a_signal_goes_on_doing_so(folder: Path) -> None:
    """As under `nohup`."""
    code, stdout, _ = shell("trap '' HUP; natonnx inspect model.onnx; kill -HUP $$", folder)
    assert (code, bool(stdout)) == (0, True)
    source = "import signal\nfrom natonnx.cli.process import signals\nsignal.signal(1, signal.SIG_IGN)\n"
    source += (
        "with signals():\n    assert signal.getsignal(1) is signal.SIG_IGN\n    assert callable(signal.getsignal(15))\n"
    )
    source += "assert signal.getsignal(15) is signal.SIG_DFL"
    subprocess.run([sys.executable, "-c", source], env=tiny.ENVIRONMENT, check=True, timeout=60)


def test_help_is_a_command_too(folder: Path) -> None:
    for words, option in ((["help"], ["--help"]), (["help", "bench"], ["bench", "--help"])):
        assert tiny.natonnx(*words, cwd=folder) == tiny.natonnx(*option, cwd=folder)


def test_the_program_is_called_natonnx_however_it_is_run(folder: Path) -> None:
    code, stdout, stderr = tiny.natonnx(cwd=folder)
    assert (code, stdout) == (2, "")
    assert stderr.startswith("Usage: natonnx ")


@pytest.mark.parametrize(("number", "told"), [(signal.SIGTERM, "terminated"), (signal.SIGINT, "interrupted")])
def test_a_signal_is_told_of_where_what_it_hits_fails_in_words_of_its_own(number: signal.Signals, told: str) -> None:
    """As the import of an extension does, of which a soak of kills found one in a hundred."""
    source = f"""
import os, time
from natonnx.cli import cli, main
@cli.command("spoil")
def spoil():
    try:
        os.kill(os.getpid(), {int(number)})
        time.sleep(10)
    except KeyboardInterrupt:
        raise ImportError("initialization failed") from None
main(["spoil"])
"""
    done = subprocess.run(
        [sys.executable, "-c", source],
        env=tiny.ENVIRONMENT,
        capture_output=True,
        check=False,
        text=True,
        preexec_fn=tiny.heed_signals,
    )
    assert (done.returncode, done.stderr) == (128 + number, f"natonnx: error: {told}\n")
