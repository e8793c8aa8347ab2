"""Latency: one number a model, whatever the order."""

from typing import Any

import numpy as np
import pytest

from natonnx.bench import Timings, latencies_ms
from natonnx.bench.latency import LEAST_BLOCKS
from natonnx.errors import InputError
from natonnx.session import session
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


@pytest.mark.parametrize(("one", "seconds", "rounds", "slack"), [(0.01, 1.0, 100, 1), (0.00001, 2.0, 2000, 0)])
def test_a_longer_time_means_more_rounds(
    monkeypatch: pytest.MonkeyPatch, one: float, seconds: float, rounds: int, slack: int
) -> None:
    """Up to two thousand."""
    clock, calls = [0.0], [0]

    def run(_runtime: object, _inputs: object) -> None:
        calls[0] += 1
        clock[0] += one

    monkeypatch.setattr("natonnx.bench.latency.session", lambda model, _threads, _folder: model)
    monkeypatch.setattr("natonnx.bench.latency.run", run)
    monkeypatch.setattr("natonnx.bench.latency.time.perf_counter", lambda: clock[0])
    latencies_ms([tiny.model()], INPUTS, seconds=seconds)
    assert calls[0] == pytest.approx(3 + rounds, abs=slack)


def test_a_wrong_input_is_refused() -> None:
    with pytest.raises(InputError):
        latencies_ms([tiny.model()], {"image": np.zeros((1, 1, 9, 9), np.float32)}, seconds=0.0)


# Blocks of fresh sessions


class Clock:
    """Time that passes in runs and in loading only; what happens is noted."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, **costs: float) -> None:
        self.now, self.costs, self.events = 0.0, costs, list[str]()
        monkeypatch.setattr("natonnx.bench.latency.run", self.run)
        monkeypatch.setattr("natonnx.bench.latency.time.perf_counter", lambda: self.now)

    def run(self, runtime: str, _inputs: object) -> None:
        self.now += self.costs[runtime]
        self.events.append(runtime)

    def opener(self, name: str) -> Any:
        def opened() -> str:
            self.now += 0.001
            self.events.append(f"open {name}")
            return name

        return opened


def test_every_block_has_fresh_sessions_and_the_order_turns(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = Clock(monkeypatch, a=0.001, b=0.003)
    timings = Timings([clock.opener("a"), clock.opener("b")], INPUTS, warm_up=1)
    timings.extend(0.0)
    assert len(timings.blocks) == LEAST_BLOCKS
    assert timings.rounds == 2 * LEAST_BLOCKS
    rounds = {tuple(clock.events[12 * i + 4 : 12 * i + 12]) for i in range(LEAST_BLOCKS)}
    assert rounds == {tuple("aabbbbaa"), tuple("bbaaaabb")}  # each runs untimed before it is timed
    assert clock.events[:4] == ["open a", "open b", "a", "b"]
    assert clock.events[12:16] == ["open b", "open a", "a", "b"]
    assert timings.series(0) == pytest.approx(np.full(20, 1.0))
    assert timings.series(1) == pytest.approx(np.full(20, 3.0))


def test_a_measurement_can_be_prolonged(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = Clock(monkeypatch, a=0.001)
    timings = Timings([clock.opener("a")], INPUTS)
    timings.extend(2.0)
    first = len(timings.blocks)
    assert 18 <= first <= 20
    assert clock.now == pytest.approx(2.0, abs=0.2)
    assert all(block.shape[0] == 1 and block.shape[1] % 2 == 0 for block in timings.blocks)
    timings.extend(2.0)
    assert len(timings.blocks) == 2 * first
    assert clock.now == pytest.approx(4.0, abs=0.4)


def test_cpu_time_is_that_of_the_same_runs(monkeypatch: pytest.MonkeyPatch) -> None:
    """Another process takes a turn in every third run: the wall clock goes on, this thread's CPU time does not."""
    clock = Clock(monkeypatch, a=0.001, b=0.003)
    cpu = [0.0]
    runs = clock.run

    def run(runtime: str, inputs: object) -> None:
        runs(runtime, inputs)
        cpu[0] += clock.costs[runtime]
        clock.now += 0.05 * (len(clock.events) % 3 == 0)

    monkeypatch.setattr("natonnx.bench.latency.run", run)
    monkeypatch.setattr("natonnx.bench.latency.time.thread_time", lambda: cpu[0])
    timings = Timings([clock.opener("a"), clock.opener("b")], INPUTS)
    timings.extend(0.0)
    assert [block.shape for block in timings.cpu_blocks] == [block.shape for block in timings.blocks]
    assert timings.by("wall") is timings.blocks
    assert timings.by("cpu") is timings.cpu_blocks
    assert timings.series(0, "cpu") == pytest.approx(np.full(20, 1.0))
    assert timings.series(1, "cpu") == pytest.approx(np.full(20, 3.0))
    assert timings.series(1).max() > 50


def test_real_sessions() -> None:
    timings = Timings([lambda: session(tiny.model())] * 2, INPUTS)
    timings.extend(0.1)
    assert timings.series(0).shape == timings.series(1).shape == (timings.rounds,)
    assert (timings.series(0) > 0).all()
    assert (timings.series(0, "cpu") > 0).all()
