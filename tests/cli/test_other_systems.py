"""What differs on Windows and macOS, as far as Linux can show it (`tests/cli/other_systems.py`)."""

import functools
import json
import os
import time
from pathlib import Path, PureWindowsPath
from subprocess import CompletedProcess

import onnx
import pytest

from natonnx.tensors import _leads_out
from tests import external
from tests.cli import tiny
from tests.cli.other_systems import lacking, run

EDITS = [{"edge": "one", "from": "O", "to": "S"}]
MANY = """
import json, sys
from natonnx.cli import main

for line in sys.argv[1:]:
    try:
        main(json.loads(line))
    except SystemExit as end:
        sys.stderr.write(f"{line}: {end.code}\\n")
"""
OWN = """
import os
from pathlib import Path

import torch
from torch.utils.data import Dataset

from tests.cli import tiny

class Own(Dataset):
    def __len__(self):
        return 500

    def __getitem__(self, i):
        Path("readers", str(os.getpid())).touch()
        return torch.from_numpy(tiny.arrays()["x_train"][i]), int(tiny.arrays()["y_train"][i])

def load():
    return {"train": Own(), "test": Own()}
"""
LIMITS = """
from natonnx import limits
from natonnx.errors import InputError

limits.SECONDS = 0.2
print(limits.limited("operator:mul", 2, 21, what="it"))
for call in [("builtins:sum", range(10**12)), ("os:_exit", 3), ("builtins:int", "nine")]:
    try:
        limits.limited(*call, what="it")
    except InputError as error:
        print(error)
with limits.memory_limited(0):
    print(len(bytes(1 << 30)))
"""
ORPHAN = """
import os, signal, threading
from natonnx import limits

limits.SECONDS = 1
print(limits.limited("os:getpid", what="it"), flush=True)
threading.Timer(0.5, os.kill, (os.getpid(), signal.SIGKILL)).start()
limits.limited("builtins:sum", range(10**12), what="it")
"""
SIGNALS = """
import errno
from natonnx.cli import process

print(process.is_closed_pipe(OSError(errno.EINVAL, "")), process.is_closed_pipe(OSError(errno.EINVAL, "", "file")))
try:
    with process.signals():
        import asking
        while True:
            pass
except process.Terminated as error:
    print(asking.done, error.number)
"""
ASKING = "import signal, time\nsignal.raise_signal(signal.SIGTERM)\ntime.sleep(0.2)\ndone = 'loaded'\n"

lacks = functools.cache(lacking)


def ran(platform: str, *arguments: str | Path, cwd: Path) -> CompletedProcess[str]:
    return run(platform, lacks(platform), *arguments, cwd=cwd)


def test_what_they_lack_is_what_their_users_know() -> None:
    windows, macos = lacks("win32"), lacks("darwin")
    assert windows["resource"] == windows["fcntl"] == []
    assert {"SIGHUP", "SIGKILL", "SIGPIPE", "SIGXCPU", "setitimer"} <= {*windows["signal"]}
    assert {"O_NONBLOCK", "fork", "sched_getaffinity", "sysconf"} <= {*windows["os"]}
    assert "sched_getaffinity" in macos["os"]
    assert "SIGHUP" not in macos["signal"]


@pytest.mark.parametrize("platform", ["win32", "darwin"])
def test_limits_are_those_that_the_system_has(platform: str, folder: Path) -> None:
    done = ran(platform, "-c", LIMITS, cwd=folder)
    assert done.stderr == ""
    *said, size = done.stdout.splitlines()
    assert said[0] == "42"
    assert said[1].startswith("it takes more than 0.2 s, and was stopped")
    assert said[2] == "it crashed"
    assert said[3].startswith("invalid literal for int")
    assert int(size) == 1 << 30


@pytest.mark.slow
def test_a_worker_without_a_caller_ends_when_its_time_is_over(folder: Path) -> None:
    worker = int(ran("win32", "-c", ORPHAN, cwd=folder).stdout)
    for _ in range(600):
        try:
            os.kill(worker, 0)
        except ProcessLookupError:
            return
        time.sleep(0.1)
    pytest.fail("it goes on")


def test_signals_of_windows(folder: Path) -> None:
    (folder / "asking.py").write_text(ASKING, encoding="utf-8")
    done = ran("win32", "-c", SIGNALS, cwd=folder)
    assert (done.stdout, done.stderr) == ("True False\nloaded 15\n", "")


@pytest.mark.parametrize("platform", ["win32", "darwin"])
def test_commands(platform: str, folder: Path) -> None:
    """One process runs all of them. Files that natonnx wrote are replaced, and are the same as on Linux."""
    (folder / "edits.json").write_text(json.dumps(EDITS), encoding="utf-16")  # as PowerShell does
    external.save(onnx.load(folder / "model.onnx"), folder / "parts" / "model.onnx")
    search = ["--lookups", "1", "--finetune-epochs", "0", "--max-drop", "90", "--target-madds", "0.9"]
    commands = [
        ["inspect", "model.onnx", "--html", "dag.html", "--log-file", "log"],
        ["apply", "model.onnx", "edits.json", "-o", "applied.onnx"],
        ["apply", "parts/model.onnx", "edits.json", "-o", "parts/applied.onnx"],
        ["apply", "parts/model.onnx", "edits.json", "-o", "parts/applied.onnx"],
        ["optimize", "model.onnx", "--data", "data.npz", *search, "--json", "--html", "report.html"],
        ["bench", "model.onnx", "applied.onnx", "--seconds", "0.2"],
        ["check", "applied.onnx", "--baseline", "model.onnx", "--max-madds-ratio", "0.9", "--junit", "check.xml"],
        ["diff", "parts/applied.onnx", "applied.onnx"],
        ["completion", "bash"],
        ["--help"],
    ]
    done = ran(platform, "-c", MANY, *map(json.dumps, commands), cwd=folder)
    ends = [line for line in done.stderr.splitlines() if line.startswith("[")]
    assert ends == [f"{json.dumps(command)}: 0" for command in commands], done.stderr
    assert "Traceback" not in done.stderr
    assert "warning" not in done.stderr
    arrow = "\\u2192" if platform == "win32" else "→"
    assert f"from {arrow} to" in done.stdout
    assert not list(folder.rglob(".*"))
    applied = (folder / "applied.onnx").read_bytes()
    assert tiny.natonnx("apply", "model.onnx", "edits.json", "-o", "again.onnx", cwd=folder).code == 0
    assert (folder / "again.onnx").read_bytes() == applied


def test_the_users_own_data_set_in_processes_that_are_spawned(folder: Path) -> None:
    (folder / "own.py").write_text(OWN, encoding="utf-8")
    (folder / "readers").mkdir()
    options = ["--data", "own:load", "--workers", "1", "--cache", "1kB", "--json"]
    command = ["check", "model.onnx", "--baseline", "model.onnx", "--min-accuracy", "0.9", *options]
    done = ran("darwin", "-P", "-m", "natonnx", *command, cwd=folder)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["data"] == {"split": "test", "samples": 500}
    assert len([*(folder / "readers").iterdir()]) > 1


@pytest.mark.parametrize("name", [r"..\weights", r"C:\weights", "C:weights", r"\weights", r"\\host\share\weights"])
def test_no_data_file_leads_out_of_the_folder_on_windows(name: str) -> None:
    assert _leads_out(PureWindowsPath(name))
    assert not _leads_out(PureWindowsPath("part", "weights"))
