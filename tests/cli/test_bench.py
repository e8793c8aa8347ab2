"""`natonnx bench`: the contracts of its JSON and CSV, the table, and what it refuses."""

import csv
import hashlib
import io
import json
from pathlib import Path
from typing import Any

import onnx
import pytest
from onnx import TensorProto

from natonnx import benchmark
from natonnx.cli import main
from natonnx.contract.bench import BenchReport
from natonnx.errors import InputError
from natonnx.report.bench import to_csv
from natonnx.verbs.bench import Conditions
from tests import external
from tests.cli import tiny
from tests.contract.conforms import require_payload

MODELS = sorted((tiny.ROOT / "models").glob("*.onnx"))
SHORT = ("--seconds", "0.1")
CPU, CUDA, TENSORRT = "CPUExecutionProvider", "CUDAExecutionProvider", "TensorrtExecutionProvider"


def bench(capsys: pytest.CaptureFixture[str], *arguments: str | Path) -> str:
    with pytest.raises(SystemExit) as stopped:
        main(["bench", *map(str, arguments), *SHORT])
    stdout, stderr = capsys.readouterr()
    assert stopped.value.code == 0, stderr
    assert all(line.startswith("data ") for line in stderr.splitlines()), stderr
    return stdout


def refusal(capsys: pytest.CaptureFixture[str], *arguments: str | Path) -> str:
    with pytest.raises(SystemExit) as stopped:
        main(["bench", *map(str, arguments)])
    stdout, stderr = capsys.readouterr()
    assert stopped.value.code == 2
    assert stdout == ""
    assert len(stderr.splitlines()) == 1, stderr
    assert stderr.startswith("natonnx: error: ")
    return stderr


def test_the_contract(pictures: Path, capsys: pytest.CaptureFixture[str]) -> None:
    models = MODELS[:2]
    options = ("--data", str(pictures), "--profile", "--json", "--batch", "2")
    payload = json.loads(bench(capsys, *models, *options))
    assert payload.keys() == {"schema", "models", "left_out", "conditions", "objective", "data"}
    require_payload(payload, BenchReport)
    for path, row in zip(models, payload["models"], strict=True):
        assert list(row) == [
            "path",
            "sha256",
            "provider",
            "params",
            "madds",
            "size_bytes",
            "peak_memory_bytes",
            "score",
            "latency_ms",
            "ratio",
            "cpu_ms",
            "cpu_ratio",
            "sessions",
            "rounds",
            "profile",
        ]
        assert (row["path"], row["provider"]) == (str(path), CPU)
        assert row["sha256"] == hashlib.sha256(path.read_bytes()).hexdigest()
        assert row["size_bytes"] == path.stat().st_size
        assert row["peak_memory_bytes"] > row["size_bytes"]
        assert row["params"] > 100_000
        assert row["madds"] > 10_000_000
        assert row["score"].keys() == {"validation", "test"}
        assert all(0.8 < value < 1 for value in row["score"].values())
        for times in (row["latency_ms"], row["cpu_ms"]):
            assert 0 < times["low"] <= times["median"] <= min(times["p90"], times["high"])
        assert row["rounds"] >= 2 * row["sessions"] >= 20
        assert {"op_type", "provider", "nodes", "ms", "share"} == row["profile"][0].keys()
        assert "Conv" in {entry["op_type"] for entry in row["profile"]}
    assert payload["models"][0]["ratio"] is payload["models"][0]["cpu_ratio"] is None
    for ratio in (payload["models"][1]["ratio"], payload["models"][1]["cpu_ratio"]):
        assert 0 < ratio["low"] <= ratio["value"] <= ratio["high"]
    given = payload["conditions"]
    assert given["inputs"] == [{"name": "image", "dtype": "float32", "shape": [2, 1, 28, 28]}]
    assert (given["providers"], given["threads"], given["seconds"]) == ([CPU], 1, 0.1)
    assert given["machine"].keys() == {"system", "cpu", "cores", "gpus"}
    assert given["confidence"] == 0.99
    assert payload["objective"] == {
        "name": "labels",
        "measure": "accuracy",
        "unit": {"symbol": "%", "scale": 100.0, "difference": "points"},
        "outputs": [{"name": "logits", "measure": "accuracy"}],
    }
    assert payload["data"] == {"name": str(pictures), "samples": {"validation": 300, "test": 500}}


def test_costs_are_those_of_inspect(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (row,) = json.loads(bench(capsys, folder / "model.onnx", "--json"))["models"]
    assert (row["params"], row["madds"]) == (1275, 78360)


def test_what_was_not_measured_is_null(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    payload = json.loads(bench(capsys, folder / "model.onnx", "--json"))
    require_payload(payload, BenchReport)
    (row,) = payload["models"]
    assert row["score"] == {"validation": None, "test": None}
    assert row["ratio"] is None
    assert row["profile"] is None
    assert payload["objective"] is None
    assert payload["data"] is None


def test_accuracy_is_onnxruntimes(folder: Path) -> None:
    payload: Any = benchmark(
        [folder / "model.onnx"], conditions=Conditions(seconds=0.05), data=str(folder / "data.npz")
    )
    found = payload["models"][0]["score"]
    assert found["test"] > 0.95
    assert found["test"] * 60 == pytest.approx(round(found["test"] * 60))
    assert payload["data"]["samples"] == {"validation": 100, "test": 60}


def test_a_model_that_says_nothing_of_its_data_is_fed_like_the_first(tmp_path: Path, pictures: Path) -> None:
    """A model that lost its metadata sees the same images, and not others by accident."""
    silent = onnx.load(MODELS[1])
    del silent.metadata_props[:]
    onnx.save(silent, tmp_path / "silent.onnx")
    payload = benchmark([MODELS[1], tmp_path / "silent.onnx"], conditions=Conditions(seconds=0.05), data=str(pictures))
    first, second = (row["score"] for row in payload["models"])
    assert first == second
    assert first["test"] == 0.93


def test_external_data_counts(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (folder / "out").mkdir()
    outside = external.save(tiny.model(), folder / "out" / "outside.onnx", threshold=100)
    payload = json.loads(bench(capsys, folder / "model.onnx", outside, "--json"))
    inside_row, outside_row = payload["models"]
    assert outside_row["size_bytes"] == sum(path.stat().st_size for path in outside.parent.iterdir())
    assert outside_row["params"] == inside_row["params"]


def test_csv(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = folder / "a model, β.onnx"
    path.write_bytes(tiny.model_bytes())
    rows = list(csv.DictReader(io.StringIO(bench(capsys, folder / "model.onnx", path, "--csv"))))
    assert [row["path"] for row in rows] == [str(folder / "model.onnx"), str(path)]
    assert list(rows[0]) == [
        "path",
        "provider",
        "params",
        "madds",
        "size_bytes",
        "peak_memory_bytes",
        "latency_median_ms",
        "latency_p90_ms",
        "ratio",
        "ratio_low",
        "ratio_high",
        "cpu_median_ms",
        "cpu_p90_ms",
        "cpu_ratio",
        "cpu_ratio_low",
        "cpu_ratio_high",
        "validation_score",
        "test_score",
    ]
    assert rows[0]["ratio"] == rows[0]["test_score"] == ""
    assert float(rows[1]["ratio_low"]) <= float(rows[1]["ratio"]) <= float(rows[1]["ratio_high"])
    assert rows[1]["madds"] == "78360"


def test_the_table(folder: Path) -> None:
    before = tiny.snapshot(folder)
    code, stdout, stderr = tiny.natonnx(
        "bench", "model.onnx", "model.onnx", "--data", "data.npz", "--profile", *SHORT, cwd=folder
    )
    assert code == 0
    (note,) = stderr.splitlines()
    assert note.startswith("data data.npz: has no validation part: 20 % of the training samples, drawn by chance")
    for text in ("78,360", "latency ratio", "99 % interval", "test accuracy (%)", CPU, "1 thread", "Gemm"):
        assert text in stdout
    assert tiny.snapshot(folder) == before


def test_open_sizes_are_given_by_input_shape(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    model = tiny.model()
    model.graph.input[0].type.tensor_type.shape.dim[2].dim_param = "height"
    path = tmp_path / "open.onnx"
    onnx.save(model, path)
    assert "open sizes" in refusal(capsys, path)
    payload = json.loads(bench(capsys, path, "--json", "--input-shape", "image:3,1,16,8"))
    assert payload["conditions"]["inputs"][0]["shape"] == [3, 1, 16, 8]
    assert payload["models"][0]["madds"] == 2 * (78360 - 24) + 24


def test_models_with_other_inputs_are_refused(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    onnx.save(tiny.model(dtype=TensorProto.INT64), folder / "integer.onnx")
    line = refusal(capsys, folder / "model.onnx", folder / "integer.onnx")
    assert "integer.onnx: its input 'image' is int64" in line
    assert "[1, 1, 28, 28]" in refusal(capsys, MODELS[0], folder / "model.onnx")


@pytest.mark.parametrize(
    ("options", "says"),
    [
        (["--json", "--csv"], "exclude each other"),
        (["--seconds", "0"], "seconds 0.0 must be above 0"),
        (["--seconds", "nan"], "seconds nan"),
        (["--threads", "0"], "--threads"),
        (["--batch", "0"], "--batch"),
        (["--provider", "abacus"], "--provider abacus"),
        (["--data", "nothing"], "no such data"),
        (["--input-shape", "x:1,1"], "no input 'x'"),
        (["--mean", "grey", "--data", "data.npz"], "--mean"),
    ],
    ids=" ".join,
)
def test_bad_options(folder: Path, capsys: pytest.CaptureFixture[str], options: list[str], says: str) -> None:
    assert says in refusal(capsys, folder / "model.onnx", *options)


def test_bad_models(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert "MODELS" in refusal(capsys)
    assert "no such file" in refusal(capsys, folder / "model.onnx", folder / "nothing.onnx")
    (folder / "half.onnx").write_bytes(tiny.model_bytes()[:1000])
    assert "truncated" in refusal(capsys, folder / "half.onnx")
    onnx.save(tiny.model(batch=1), folder / "fixed.onnx")
    assert "--batch 2: the batch of input 'image' is fixed (1)" in refusal(
        capsys, folder / "fixed.onnx", "--batch", "2"
    )


def test_a_fixed_batch_is_scored_too(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    onnx.save(tiny.model(batch=7), folder / "fixed.onnx")
    paths = (folder / "fixed.onnx", folder / "model.onnx")
    payload = json.loads(bench(capsys, *paths, "--data", folder / "data.npz", "--json"))
    fixed, free = payload["models"]
    assert fixed["score"] == free["score"]
    assert payload["conditions"]["inputs"][0]["shape"][0] == 7


def test_a_function_is_called_once_for_all_models(
    folder: Path, capsys: pytest.CaptureFixture[str], monkeypatch: Any
) -> None:
    """Models are compared on the same data, even if a function gives other data each time."""
    code = """
import numpy as np
from natonnx.data import Dataset, Split
count = 10
def load():
    global count
    count += 1
    part = Split(np.zeros((count, 1, 8, 8), np.float32), np.zeros(count, np.int64))
    return Dataset("changing", part, part, None, 3)
"""
    (folder / "changing_data.py").write_text(code, encoding="utf-8")
    monkeypatch.chdir(folder)
    onnx.save(tiny.model(natonnx_scale="2"), folder / "other.onnx")
    with pytest.raises(SystemExit) as stopped:
        main(
            [
                "bench",
                *map(str, (folder / "model.onnx", folder / "other.onnx")),
                "--data",
                "changing_data:load",
                *SHORT,
                "--json",
            ]
        )
    assert stopped.value.code == 0
    assert json.loads(capsys.readouterr().out)["data"] == {
        "name": "changing",
        "samples": {"validation": 11, "test": None},
    }


def test_a_provider_that_cannot_be_used_is_told(
    folder: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A build of onnxruntime may list what this machine lacks: what ran is what the session says."""
    monkeypatch.setattr("onnxruntime.get_available_providers", lambda: ["CUDAExecutionProvider", CPU])
    monkeypatch.setattr("natonnx.verbs.model_comparison.session", _cpu_session)
    with pytest.raises(SystemExit) as stopped:
        main(["bench", str(folder / "model.onnx"), "--provider", "cuda", "--json", *SHORT])
    stdout, stderr = capsys.readouterr()
    assert stopped.value.code == 0
    payload = json.loads(stdout)
    assert payload["conditions"]["providers"] == ["CUDAExecutionProvider"]
    assert payload["left_out"] == [{"provider": "CUDAExecutionProvider", "reason": f"onnxruntime took {CPU}"}]
    assert payload["models"][0]["provider"] == CPU
    assert stderr.splitlines() == [
        f"natonnx: warning: {folder / 'model.onnx'}: CUDAExecutionProvider cannot be used here; onnxruntime took {CPU}"
    ]


def _cpu_session(*arguments: Any, provider: str, **options: Any) -> Any:
    from natonnx.session import session

    assert provider in ("CUDAExecutionProvider", CPU)
    return session(*arguments, **options)


@pytest.fixture
def cuda(monkeypatch: pytest.MonkeyPatch) -> None:
    """A build of onnxruntime with a provider `cuda` that is the CPU in truth, and `tensorrt`, which cannot be used."""
    opened: dict[int, str] = {}

    def made(*arguments: Any, provider: str, **options: Any) -> Any:
        from natonnx.session import session

        runtime = session(*arguments, **options)
        opened[id(runtime)] = provider
        return runtime

    def used(runtime: Any) -> str:
        return opened[id(runtime)] if opened[id(runtime)] != TENSORRT else CPU

    monkeypatch.setattr("onnxruntime.get_available_providers", lambda: [TENSORRT, CUDA, CPU])
    monkeypatch.setattr("natonnx.verbs.model_comparison.session", made)
    monkeypatch.setattr("natonnx.verbs.model_comparison.provider_used", used)


@pytest.mark.usefixtures("cuda")
def test_several_providers_in_one_run(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Each has rows and ratios of its own; one that cannot be used is left out, and that is said in a line."""
    (folder / "same.onnx").write_bytes(tiny.model_bytes())
    paths = [str(folder / "model.onnx"), str(folder / "same.onnx")]
    providers = ["--provider", "cpu,tensorrt", "--provider", "cuda", "--provider", "CPU"]
    with pytest.raises(SystemExit) as stopped:
        main(["bench", *paths, *providers, "--data", str(folder / "data.npz"), "--json", *SHORT])
    stdout, stderr = capsys.readouterr()
    assert stopped.value.code == 0
    (line,) = [line for line in stderr.splitlines() if "warning" in line]
    assert line == f"natonnx: warning: {paths[0]}: {TENSORRT} cannot be used here; it is left out"
    assert len(stderr.splitlines()) == 2  # and a note of the data, once
    payload = json.loads(stdout)
    require_payload(payload, BenchReport)
    assert payload["conditions"]["providers"] == [CPU, TENSORRT, CUDA]
    assert [row["provider"] for row in payload["left_out"]] == [TENSORRT]
    assert [(row["path"], row["provider"]) for row in payload["models"]] == [
        (path, provider) for provider in (CPU, CUDA) for path in paths
    ]
    assert [row["ratio"] is None for row in payload["models"]] == [True, False, True, False]
    assert [row["cpu_ms"] is None for row in payload["models"]] == [False, False, True, True]
    assert len({json.dumps(row["score"]) for row in payload["models"]}) == 1
    rows = list(csv.DictReader(io.StringIO(to_csv(payload))))
    assert [(row["path"], row["provider"]) for row in rows] == [(path, each) for each in (CPU, CUDA) for path in paths]
    assert [row["cpu_ratio"] == "" for row in rows] == [True, False, True, True]


@pytest.mark.usefixtures("cuda")
def test_the_table_tells_providers_apart(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = folder / "model.onnx"
    stdout = bench(capsys, path, "--provider", "cpu,cuda", "--profile")
    rows = [line.split("  ")[0] for line in stdout.splitlines()]
    assert [row for row in rows if "," in row or row == "MAdds"][:6] == [
        "MAdds",
        "peak memory (MiB), CPU",
        "latency, median (ms), CPU",
        "latency, p90 (ms), CPU",
        "CPU time, median (ms), CPU",
        "CPU time, p90 (ms), CPU",
    ]
    assert "latency, median (ms), CUDA" in rows
    assert "CPU time, median (ms), CUDA" not in rows
    for provider in (CPU, CUDA):
        assert f" on {provider}, 1 thread, " in stdout
        assert f"{path} on {provider}" in stdout


def test_cpu_time_is_that_of_one_thread(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    payload = json.loads(bench(capsys, folder / "model.onnx", "--threads", "2", "--json"))
    assert payload["models"][0]["cpu_ms"] is payload["models"][0]["cpu_ratio"] is None


def test_a_provider_has_to_be_named() -> None:
    with pytest.raises(InputError, match="no provider: name at least one"):
        Conditions(provider=())
