"""`natonnx doctor`: what it says where all is well, and where things are missing, fail, crash or hang."""

import asyncio
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from natonnx import __version__
from natonnx.cli import main
from natonnx.contract.doctor import Diagnosis
from natonnx.verbs.doctor.ask import Asker
from natonnx.verbs.doctor.packages import installed, wanted
from tests.cli import tiny
from tests.contract.conforms import require_payload

USES_DGL = installed("dgl") is not None or "dgl" in {each.name for each in wanted()}
PATIENCE = 280.0
RUNTIME = """
import os, sys

here, found = os.path.dirname(__file__), sys.path[:]
sys.path[:] = [entry for entry in found if entry != here]
del sys.modules["onnxruntime"]
import onnxruntime  # the real one

sys.path[:] = found
real = onnxruntime.InferenceSession
kinds = ["Absent", "Odd", "Crashing", "Wrong"]
onnxruntime.get_available_providers = lambda: [f"{kind}ExecutionProvider" for kind in [*kinds, "CPU"]]


class Other:
    def __init__(self, runtime, kind, factor):
        self.runtime, self.kind, self.factor = runtime, kind, factor

    def get_providers(self):
        return [f"{self.kind}ExecutionProvider"]

    def get_outputs(self):
        return self.runtime.get_outputs()

    def run(self, *arguments):
        return [self.factor * value for value in self.runtime.run(*arguments)]


def session(model, options, providers):
    kind = providers[0][0].removesuffix("ExecutionProvider")
    if kind == "Crashing":
        os.abort()
    served = kind == "Absent" and "torch" in sys.modules
    if kind in ("Absent", "Odd") and not served:
        reasons = {"Absent": "libx.so.7: cannot open shared object file: No such file", "Odd": "undefined symbol: f"}
        os.write(2, f"[E:onnxruntime] Failed to load library y.so with error: {reasons[kind]}\\n".encode())
    runtime = real(model, options, providers=["CPUExecutionProvider"])
    return Other(runtime, kind, 2 if kind == "Wrong" else 1) if served or kind == "Wrong" else runtime


onnxruntime.InferenceSession = session
"""


def stubs(folder: Path, **modules: str) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    for name, source in modules.items():
        (folder / f"{name}.py").write_text(source, encoding="utf-8")
    return folder


def distribution(folder: Path, name: str, version: str) -> None:
    """Write what pip leaves of an installed onnxruntime, but for the package itself."""
    info = folder / f"{name.replace('-', '_')}-{version}.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n", encoding="utf-8")
    (info / "top_level.txt").write_text("onnxruntime\n", encoding="utf-8")


def ask(probe: str, argument: str = "", seconds: float = PATIENCE) -> tuple[str, str]:
    async def asked() -> Any:
        return await Asker(seconds).ask(probe, argument)

    found = asyncio.run(asked())
    return found["mark"], found["detail"]


def test_where_all_is_well(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as stopped:
        main(["doctor", "--json", "--timeout", str(PATIENCE)])
    stdout, stderr = capsys.readouterr()
    payload = json.loads(stdout)
    require_payload(payload, Diagnosis)
    findings = {row["name"]: row for row in payload["findings"]}
    assert len(findings) == len(payload["findings"])
    assert {name for name, row in findings.items() if row["needed"]} == {
        *("onnxruntime cpu", "torch cpu", "optimize", "memory", "temporary files")
    }
    assert [row for row in payload["findings"] if row["needed"] and row["mark"] != "ok"] == []
    assert {findings[name]["mark"] for name in ("torch", "numpy", "built-in data", "pretrained policy")} == {"ok"}
    assert (payload["ready"], stopped.value.code) == (True, 0)
    assert payload["versions"]["natonnx"] == __version__
    assert {name for name, version in payload["versions"].items() if version is None} <= {"dgl"}
    assert 1 <= payload["host"]["usable_processors"] <= payload["host"]["processors"]
    assert len(stderr.splitlines()) == 1


def test_where_nothing_is(tmp_path: Path) -> None:
    """A line for each, no traceback, and the exit code."""
    folder = stubs(
        tmp_path / "stubs",
        torch="raise OSError('libtorch_cpu.so: cannot open shared object file\\nand more')",
        dgl="raise ModuleNotFoundError(\"No module named 'dgl'\", name='dgl')",
        rich="raise ImportError('rich is gone')",
        onnxruntime=RUNTIME,
    )
    distribution(folder, "onnxruntime", "1.20.0")
    path = os.pathsep.join([str(folder), str(tiny.ROOT)])
    code, stdout, stderr = tiny.natonnx("doctor", "-q", cwd=tmp_path, PYTHONPATH=path, OMP_NUM_THREADS="many")
    assert (code, stderr) == (1, "")
    lines = stdout.splitlines()
    found = {" ".join(line[9:].split("  ")[0].split()): line for line in lines}
    for name, mark, says in (
        ("onnxruntime", "broken", "overwrite each other's files; pip uninstall -y onnxruntime"),
        ("onnxruntime cpu", "ok", "gives the right values"),
        ("onnxruntime absent", "missing", "libx.so.7: cannot open shared object file: No such file; --provider absent"),
        ("onnxruntime odd", "broken", "undefined symbol: f; "),
        ("onnxruntime crashing", "broken", "crashes by SIGABRT"),
        ("onnxruntime wrong", "broken", "in the place of [[7, 0, 0], [0, 1, 3], [0, 5, 3]]; "),
        ("torch cpu", "broken", "OSError: libtorch_cpu.so: cannot open shared object file; pip install"),
        *([("dgl import", "missing", "not installed; pip install")] if USES_DGL else []),
        ("optimize", "broken", "mend what the lines above say"),
        ("built-in data", "ok", "22,000 images"),
        ("pretrained policy", "ok", "weights of gcn-directed"),
        ("threads", "broken", "set OMP_NUM_THREADS"),
        ("temporary files", "ok", "free in"),
        ("this folder", "ok", str(tmp_path)),
    ):
        assert found[name].startswith(f"{mark} "), found[name]
        assert says in found[name], found[name]
    assert lines[-1] == "natonnx optimize cannot run here: torch cpu, optimize"


def test_torch_may_bring_the_libraries_of_a_provider(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    stubs(tmp_path / "torch" / "lib", nothing="").joinpath("libtorch_cuda.so").touch()
    stubs(tmp_path / "torch", __init__="")
    monkeypatch.syspath_prepend(stubs(tmp_path, onnxruntime=RUNTIME))
    mark, detail = ask("onnxruntime", "AbsentExecutionProvider")
    assert (mark, "where torch is loaded" in detail) == ("ok", True)
    assert ask("onnxruntime", "OddExecutionProvider") == ("broken", "undefined symbol: f")


@pytest.mark.parametrize(
    ("source", "mark", "detail"),
    [
        ("raise ModuleNotFoundError(\"No module named 'dgl'\", name='dgl.x')", "missing", "not installed"),
        ("import nowhere", "broken", "No module named 'nowhere'"),
        ("print('{}')", "ok", "it loads"),
        ("raise ImportError", "broken", "ImportError: ImportError"),
        ("import os; os.abort()", "broken", "crashes by SIGABRT"),
        ("import os, signal; os.kill(os.getpid(), signal.SIGKILL)", "broken", "crashes by SIGKILL"),
        ("import sys; sys.exit('no licence')", "broken", "ends with exit code 1: no licence"),
        ("import atexit, os; atexit.register(os._exit, 7)", "broken", "it loads, but then it ends with exit code 7"),
    ],
)
def test_how_a_library_may_fail(
    source: str, mark: str, detail: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.syspath_prepend(stubs(tmp_path, dgl=source))
    assert ask("dgl") == (mark, detail)


def test_what_hangs_is_ended(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    said = tmp_path / "said"
    source = f"import os, time; open({str(said)!r}, 'w').write(str(os.getpid())); time.sleep(1000)"
    monkeypatch.syspath_prepend(stubs(tmp_path, dgl=source))
    assert ask("dgl", seconds=5) == ("broken", "does not answer within 5 s (--timeout)")
    if said.exists():  # it had come so far
        with pytest.raises(ProcessLookupError):
            os.kill(int(said.read_text(encoding="ascii")), 0)


def test_probes_find_what_this_process_does(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Not what lies in the folder that they run in."""
    stubs(tmp_path, dgl="raise ImportError('the wrong one')", json="raise ImportError('the wrong one')")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [stubs(tmp_path / "right", dgl="").__fspath__(), *sys.path])
    assert ask("dgl") == ("ok", "it loads")


def test_what_it_loads_first(tmp_path: Path) -> None:
    """The command itself needs click alone."""
    names = ("numpy", "onnx", "onnxruntime", "torch", "dgl", "rich", "scipy", "safetensors", "PIL")
    folder = stubs(tmp_path / "stubs", **dict.fromkeys(names, "raise ImportError('damaged')"))
    path = os.pathsep.join([str(folder), str(tiny.ROOT)])
    code, stdout, _ = tiny.natonnx("doctor", "--json", cwd=tmp_path, PYTHONPATH=path)
    assert code == 1
    findings = {row["name"]: row for row in json.loads(stdout)["findings"]}
    assert ("dgl import" in findings) == USES_DGL
    for name in ("onnxruntime cpu", "torch cpu", "optimize", "built-in data", "pretrained policy"):
        assert findings[name]["mark"] == "broken"
        assert "damaged" in findings[name]["detail"]
        assert findings[name]["remedy"]


def test_an_interruption_ends_what_hangs(tmp_path: Path) -> None:
    source = "import os, pathlib, time; pathlib.Path(__file__).with_name(str(os.getpid())).touch(); time.sleep(1000)"
    folder = stubs(tmp_path / "stubs", torch=source, onnxruntime=source)
    doctor = subprocess.Popen(
        [sys.executable, "-m", "natonnx", "doctor", "-q"],
        cwd=tmp_path,
        env={**tiny.ENVIRONMENT, "PYTHONPATH": os.pathsep.join([str(folder), str(tiny.ROOT)])},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        preexec_fn=tiny.heed_signals,  # noqa: PLW1509
    )
    while len(hung := [int(path.name) for path in folder.iterdir() if path.name.isdecimal()]) < 2:
        assert doctor.poll() is None
        time.sleep(0.1)
    doctor.send_signal(signal.SIGINT)
    stdout, stderr = doctor.communicate(timeout=120)
    assert (doctor.returncode, stdout, stderr) == (130, "", "natonnx: error: interrupted\n")
    for process in hung:
        with pytest.raises(ProcessLookupError):
            os.kill(process, 0)
