"""Latency: one number a model, whatever the order."""

import numpy as np
import pytest

from natonnx.bench import latencies_ms
from natonnx.errors import InputError
from tests.cli import tiny

INPUTS = {"image": np.zeros((1, 1, 8, 8), np.float32)}


@pytest.mark.parametrize("count", [1, 2, 3])
def test_one_positive_number_a_model(count: int) -> None:
    found = latencies_ms([tiny.model()] * count, INPUTS, seconds=0.05)
    assert len(found) == count
    assert all(isinstance(value, float) and 0 < value < 1000 for value in found)


def test_no_models() -> None:
    assert latencies_ms([], INPUTS, seconds=0.0) == []


def test_models_take_turns_and_places(monkeypatch: pytest.MonkeyPatch) -> None:
    """A B, B A, A B, ... after a warm-up that is not timed; the median shrugs off a single slow round."""
    clock, calls = [0.0], list[str]()
    costs = {"fast": 0.001, "slow": 0.003}

    def run(runtime: str, _inputs: object) -> None:
        calls.append(runtime)
        clock[0] += costs[runtime] * (100 if len(calls) == 9 else 1)

    monkeypatch.setattr("natonnx.bench.latency.session", lambda model, _threads, _folder: model)
    monkeypatch.setattr("natonnx.bench.latency.run", run)
    monkeypatch.setattr("natonnx.bench.latency.time.perf_counter", lambda: clock[0])
    found = latencies_ms(["fast", "slow"], INPUTS, seconds=0.0)  # type: ignore[list-item]
    timed = calls[6:]
    assert timed == ["fast", "slow", "slow", "fast", "fast", "slow", "slow", "fast", "fast", "slow"]
    assert found == pytest.approx([1.0, 3.0])


def test_a_longer_time_means_more_rounds(monkeypatch: pytest.MonkeyPatch) -> None:
    clock, calls = [0.0], [0]

    def run(_runtime: object, _inputs: object) -> None:
        calls[0] += 1
        clock[0] += 0.01

    monkeypatch.setattr("natonnx.bench.latency.session", lambda model, _threads, _folder: model)
    monkeypatch.setattr("natonnx.bench.latency.run", run)
    monkeypatch.setattr("natonnx.bench.latency.time.perf_counter", lambda: clock[0])
    latencies_ms([tiny.model()], INPUTS, seconds=1.0)
    assert calls[0] == pytest.approx(3 + 100, abs=1)


def test_a_wrong_input_is_refused() -> None:
    with pytest.raises(InputError):
        latencies_ms([tiny.model()], {"image": np.zeros((1, 1, 9, 9), np.float32)}, seconds=0.0)
