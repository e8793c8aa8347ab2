"""Latency of several models in onnxruntime, interleaved, so that what else the machine does hits all of them alike."""

import statistics
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import onnx

from natonnx.session import run, session

__all__ = ["latencies_ms"]

_WARM_UP = 3


def latencies_ms(
    models: Sequence[onnx.ModelProto],
    inputs: Mapping[str, np.ndarray],
    *,
    seconds: float = 2.0,
    threads: int = 1,
    folder: Path | None = None,
) -> list[float]:
    """Median wall-clock time of one inference of each model, in milliseconds.

    Args:
        models: The models, timed in turn (A B A B …), the first one changing places with the others.
        inputs: The same inputs for all.
        seconds: Time for all of them together; at least five rounds are run.
        threads: onnxruntime's threads.
        folder: Where the models' external data is.
    """
    sessions = [session(model, threads, folder) for model in models]
    for runtime in sessions:
        for _ in range(_WARM_UP):
            run(runtime, inputs)
    times: list[list[float]] = [[] for _ in sessions]
    end = time.perf_counter() + seconds
    rounds = 0
    while rounds < 5 or time.perf_counter() < end:
        order = range(len(sessions)) if rounds % 2 == 0 else reversed(range(len(sessions)))
        for i in order:
            begun = time.perf_counter()
            run(sessions[i], inputs)
            times[i].append(1e3 * (time.perf_counter() - begun))
        rounds += 1
    return [statistics.median(series) for series in times]
