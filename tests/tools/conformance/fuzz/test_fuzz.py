"""The fuzz command: its models, its mutations, and a short run of it."""

import random
import sys
from pathlib import Path

import onnx
import pytest

from natonnx.frontend import load
from tools.conformance.fuzz import trial
from tools.conformance.fuzz.corpus import corpus
from tools.conformance.fuzz.mutations import mutated
from tools.conformance.fuzz.run import Process, fuzz, made
from tools.conformance.fuzz.trial import SUCCESS, judged

MODELS = corpus()


@pytest.mark.parametrize("name", MODELS)
def test_the_models_are_valid_and_small(name: str, tmp_path: Path) -> None:
    onnx.checker.check_model(MODELS[name], full_check=True)
    path = tmp_path / "model.onnx"
    path.write_bytes(MODELS[name].SerializeToString())
    assert path.stat().st_size < 4096
    assert load(path).network.architecture.topology.maps


def test_inputs_are_the_same_for_the_same_numbers_and_mostly_others() -> None:
    inputs = [made(0, number) for number in range(200)]
    assert inputs == [made(0, number) for number in range(200)]
    assert len(set(inputs)) > 190
    assert made(1, 0) != inputs[0]
    assert {name for name, _ in inputs} == MODELS.keys()


def test_mutations_change_messages_and_bytes() -> None:
    kinds: set[bool | None] = set()
    for number in range(200):
        data = mutated(MODELS["residual"], random.Random(number))  # noqa: S311 - not for secrets
        try:
            kinds.add(onnx.ModelProto.FromString(data) != MODELS["residual"])
        except Exception:
            kinds.add(None)
    assert kinds >= {True, None}


@pytest.mark.parametrize(
    ("code", "stderr", "outcome"),
    [
        (0, "", "ok"),
        (0, "natonnx: warning: odd\n", "ok"),
        (2, "natonnx: error: no\n", "refused"),
        (2, "", "unclear"),
        (1, "natonnx: error: no\n", "unclear"),
        (2, "natonnx: error: no\nmore\n", "unclear"),
        (3, "Traceback (most recent call last)\nnatonnx: error: internal error, please report it: x\n", "traceback"),
    ],
)
def test_outcomes_are_judged_by_code_and_words(code: int, stderr: str, outcome: str) -> None:
    assert judged(code, stderr) == outcome


@pytest.mark.parametrize(
    ("program", "outcome"),
    [
        ("print('ready', flush=True); import time; time.sleep(60)", "hang"),
        ("print('ready', flush=True); import os; os.abort()", "died"),
    ],
)
def test_a_hang_and_a_crash_are_told(
    program: str, outcome: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "odd.py").write_text(program, encoding="utf-8")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    monkeypatch.setattr(trial, "__name__", "odd")
    with Process(0.2) as process:
        assert process.attempt(tmp_path / "model.onnx")["inspect"] == outcome


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="reads /proc")
def test_a_short_run_finds_nothing_wrong(tmp_path: Path) -> None:
    told: list[str] = []
    counts = fuzz(range(12), 0, tmp_path, tell=told.append)
    assert sum(count for what, count in counts.items() if what.startswith("inspect")) == 12
    assert {what.split()[1] for what in counts} <= set(SUCCESS), told
    assert not list(tmp_path.iterdir())
