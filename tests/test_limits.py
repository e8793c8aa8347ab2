"""What runs over a model in the worker ends in time and in bounds, and tells what went wrong in one line."""

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from natonnx import limits
from natonnx.errors import InputError
from natonnx.limits import LimitError, limited, memory_limited, renew
from tests.cli import tiny

SPIN = ("builtins:sum", range(10**12))
SWELL = ("builtins:bytes", 8 << 30)


@pytest.fixture(autouse=True)
def fresh(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setattr(limits, "SECONDS", 0.5)
    monkeypatch.setenv("PYTHONPATH", str(tiny.ROOT))
    renew()
    yield
    renew()


def test_one_process_answers_all_calls() -> None:
    assert limited("operator:mul", 2, 21, what="it") == 42
    worker = limited("os:getpid", what="it")
    assert worker != os.getpid()
    assert limited("os:getpid", what="it") == worker
    assert limited("os:system", "echo what a library prints", what="it") == 0


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (SPIN, r"^it takes more than 0\.5 s, and was stopped \(if you trust the model, NATONNX_LIMITS=10 raises"),
        (SWELL, r"^it takes more than 0\.75 GiB of memory, and was stopped \(if you trust the model, NATONNX_L"),
        (("signal:raise_signal", signal.SIGSEGV), r"^it crashed$"),
        (("fractions:Fraction", 1), r"^it crashed$"),
    ],
)
def test_what_exceeds_a_limit_is_stopped_and_told(call: tuple[Any, ...], message: str) -> None:
    with pytest.raises(LimitError, match=message):
        limited(*call, what="it")
    assert limited("operator:neg", 2, what="it") == -2


def test_what_it_raises_is_bad_input_in_one_line() -> None:
    with pytest.raises(InputError, match=r"^invalid literal for int") as refused:
        limited("builtins:int", "nine\nlines", what="it")
    assert not isinstance(refused.value, LimitError)


def test_what_was_stopped_is_not_tried_again_until_another_model_is_read() -> None:
    for _ in range(2):
        with pytest.raises(LimitError, match=r"takes more than 0\.75 GiB"):
            limited(*SWELL, what="it")
    for number in range(limits.TRIES - 1):
        with pytest.raises(LimitError, match="crashed"):
            limited("os:_exit", number, what="it")
    with pytest.raises(LimitError, match="is not tried"):
        limited("operator:neg", 2, what="it")
    renew()
    assert limited("operator:neg", 2, what="it") == -2
    worker = limited("os:getpid", what="it")
    with pytest.raises(LimitError, match=r"takes more than 0\.75 GiB"):
        limited(*SWELL, what="it")
    assert limited("os:getpid", what="it") == worker


def test_what_is_loaded_for_a_call_has_no_limit_of_the_call_before(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As where no bytecode is there yet, which takes the libraries of symbolic inference beyond three seconds."""
    monkeypatch.setattr(limits, "SECONDS", 0.1)
    slow = "import time\nwhile time.process_time() < {}: pass\nbytes(2 << 30)\ndef half(x): return x // 2\n"
    cpu = limited("time:process_time", what="it")
    (tmp_path / "slow_to_load.py").write_text(slow.format(cpu + 2), encoding="utf-8")
    limited("builtins:exec", f"import sys; sys.path.append({str(tmp_path)!r})", what="it")
    assert limited("slow_to_load:half", 84, what="it") == 42


def test_the_environment_raises_the_limits(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "SECONDS", 0.1)
    with pytest.raises(LimitError, match=r"takes more than 0\.1 s.*NATONNX_LIMITS=10 raises"):
        limited(*SPIN, what="it")
    with pytest.raises(LimitError, match="NATONNX_LIMITS=10 raises"):
        limited("builtins:bytes", 1 << 30, what="it")
    monkeypatch.setenv("NATONNX_LIMITS", "300")
    renew()
    assert limited("builtins:sum", range(10**7), what="it") == sum(range(10**7))


@pytest.mark.parametrize("given", ["ten", "0", "-1", "nan", "inf", "1e400"])
def test_a_factor_of_the_limits_is_a_positive_number(given: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NATONNX_LIMITS", given)
    with pytest.raises(InputError, match=f"^NATONNX_LIMITS={given}: is no positive number; NATONNX_LIMITS=10 "):
        limited("operator:neg", 2, what="it")


def test_it_is_interrupted_at_once_and_the_worker_is_gone(monkeypatch: pytest.MonkeyPatch) -> None:
    worker = limited("os:getpid", what="it")
    before = signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell in the background ignores it
    threading.Timer(0.2, os.kill, (os.getpid(), signal.SIGINT)).start()
    monkeypatch.setattr(limits, "SECONDS", 60)
    try:
        with pytest.raises(KeyboardInterrupt):
            limited(*SPIN, what="it")
    finally:
        signal.signal(signal.SIGINT, before)
    with pytest.raises(ProcessLookupError):
        os.kill(worker, 0)


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="a system's own")
def test_the_worker_ends_with_the_process_that_started_it() -> None:
    program = "from natonnx.limits import limited; print(limited('os:getpid', what='it'), flush=True); input()"
    with subprocess.Popen(
        [sys.executable, "-c", program], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=tiny.ENVIRONMENT
    ) as process:
        assert process.stdout is not None
        worker = int(process.stdout.readline())
        process.kill()
    for _ in range(100):
        try:
            os.kill(worker, 0)
        except ProcessLookupError:
            return
        time.sleep(0.05)
    pytest.fail("it goes on")


def test_memory_is_limited_here_as_well_and_free_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "MEMORY", 1 << 28)
    with memory_limited(0), pytest.raises(MemoryError):
        np.empty(1 << 30, np.int8)
    assert np.empty(1 << 30, np.int8).nbytes == 1 << 30
