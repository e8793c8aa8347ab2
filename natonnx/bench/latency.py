"""Latency of several models in onnxruntime, interleaved, so that what else the machine does hits all of them alike."""

import itertools
import logging
import statistics
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import numpy as np
import numpy.typing as npt
import onnx

from natonnx.session import run, session

if TYPE_CHECKING:
    from onnxruntime import InferenceSession

__all__ = ["BLOCKS", "LEAST_BLOCKS", "WARM_UP", "Clock", "Timings", "latencies_ms", "rough_ratio"]

_log = logging.getLogger(__name__)

Clock = Literal["wall", "cpu"]

WARM_UP = 3
"""Runs of each fresh session that are not timed."""

BLOCKS = 20
"""Blocks that a measurement is divided into."""

LEAST_BLOCKS = 10
"""Blocks that are measured however long they take: an interval from fewer means little."""

_ENOUGH_ROUNDS = 2000
"""After so many rounds a median is as exact as one session lets it be; fast models need not run for seconds."""


class Timings:
    """Times of one inference of each model, in blocks with onnxruntime sessions of their own.

    A session keeps where its memory happens to lie for life, and with that a speed that differs from the next session's
    of the very same model, by per cents and steadily. So no number of rounds in one session tells two models apart;
    fresh sessions do.

    Attributes:
        blocks: An array [models, rounds] of milliseconds a block. The number of rounds is even, as of two neighbouring
            rounds the second has the models in reverse order.
        cpu_blocks: CPU time of the calling thread in the same runs. Where the model runs in that thread alone, it is
            what the run would take if no other process took turns; else it is only a part of the work.
    """

    def __init__(
        self,
        open_sessions: Sequence[Callable[[], "InferenceSession"]],
        inputs: Mapping[str, npt.NDArray[np.generic]],
        *,
        warm_up: int = WARM_UP,
        seed: int = 0,
    ) -> None:
        """Measure nothing yet.

        Args:
            open_sessions: For each model, what makes a fresh session of it.
            inputs: The same inputs for all.
            warm_up: Runs of each fresh session that are not timed.
            seed: Of the models' order.
        """
        self.blocks: list[npt.NDArray[np.float64]] = []
        self.cpu_blocks: list[npt.NDArray[np.float64]] = []
        self._open, self._inputs, self._warm_up = tuple(open_sessions), inputs, warm_up
        self._generator = np.random.default_rng(seed)

    def extend(self, seconds: float) -> None:
        """Measure for some more time, at least `LEAST_BLOCKS` blocks of two rounds.

        Args:
            seconds: Wall-clock time for all models together, loading and warming up included.

        Raises:
            InputError: If onnxruntime refuses a model or the inputs.
        """
        end, least = time.perf_counter() + seconds, len(self.blocks) + LEAST_BLOCKS
        while len(self.blocks) < least or time.perf_counter() < end:
            self._measure_block(seconds / BLOCKS)
        _log.debug("latency: %d rounds in %d sessions a model", self.rounds, len(self.blocks))

    def _measure_block(self, seconds: float) -> None:
        order = list(range(len(self._open)))
        if len(self.blocks) % 2:
            order.reverse()
        opened = {i: self._open[i]() for i in order}
        sessions = [opened[i] for i in range(len(self._open))]
        _warm(sessions, self._inputs, self._warm_up)
        wall, cpu = _time(sessions, self._inputs, seconds, least=2, order=self._order())
        self.blocks.append(np.array(wall))
        self.cpu_blocks.append(np.array(cpu))

    def _order(self) -> Iterator[Sequence[int]]:
        """An order of the models by chance, the same backwards, and so on.

        By chance, as in a fixed A B, B A the neighbouring B's share more of a burst than the A's, which are further
        apart: of equal models the same one would be found slower again and again.
        """
        while True:
            drawn = self._generator.permutation(len(self._open)).tolist()
            yield drawn
            yield drawn[::-1]

    @property
    def rounds(self) -> int:
        """How often each model was timed."""
        return sum(block.shape[1] for block in self.blocks)

    def by(self, clock: Clock) -> list[npt.NDArray[np.float64]]:
        """The blocks by one of the clocks."""
        return self.blocks if clock == "wall" else self.cpu_blocks

    def series(self, model: int, clock: Clock = "wall") -> npt.NDArray[np.float64]:
        """All times of a model by its position [rounds], in milliseconds."""
        return np.concatenate([block[model] for block in self.by(clock)])


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
        seconds: Time for all of them together; at least five rounds are run, and no more than two thousand.
        threads: onnxruntime's threads.
        folder: Where the models' external data is.
    """
    sessions = [session(model, threads, folder) for model in models]
    _warm(sessions, inputs, WARM_UP)
    wall, _ = _time(sessions, inputs, seconds, least=5, most=_ENOUGH_ROUNDS)
    return [statistics.median(series) for series in wall]


def rough_ratio(
    sessions: Sequence["InferenceSession"], inputs: Mapping[str, np.ndarray], rounds: int, clock: Clock
) -> float:
    """Latency of the second of two sessions as a multiple of the first one's, of the faster half of some rounds."""
    _warm(sessions, inputs, 1)
    wall, cpu = _time(sessions, inputs, 0.0, least=rounds)
    times = np.log(np.array(cpu if clock == "cpu" else wall))
    fast = np.sort(times, axis=1)[:, : max(1, rounds // 2)].mean(1)
    return float(np.exp(fast[1] - fast[0]))


def _warm(sessions: Sequence["InferenceSession"], inputs: Mapping[str, np.ndarray], count: int) -> None:
    for runtime in sessions:
        for _ in range(count):
            run(runtime, inputs)


def _time(
    sessions: Sequence["InferenceSession"],
    inputs: Mapping[str, np.ndarray],
    seconds: float,
    *,
    least: int,
    most: int | None = None,
    order: Iterator[Sequence[int]] | None = None,
) -> tuple[list[list[float]], list[list[float]]]:
    """Milliseconds of each session by round, from `least` to `most` rounds: by the wall clock, and CPU time.

    Given an order of each round, in pairs, rounds are run in pairs, and each session runs once untimed before it is
    timed: so it finds in the caches what it left there itself, not what its neighbour did.
    """
    plain = list(range(len(sessions)))
    orders = order or itertools.cycle([plain, plain[::-1]])
    wall: list[list[float]] = [[] for _ in sessions]
    cpu: list[list[float]] = [[] for _ in sessions]
    end = time.perf_counter() + seconds
    rounds = 0
    while rounds < least or (order and rounds % 2) or (rounds != most and time.perf_counter() < end):
        for i in next(orders):
            if order:
                run(sessions[i], inputs)
            cpu_begun, begun = time.thread_time(), time.perf_counter()
            run(sessions[i], inputs)
            ended, cpu_ended = time.perf_counter(), time.thread_time()
            wall[i].append(1e3 * (ended - begun))
            cpu[i].append(1e3 * (cpu_ended - cpu_begun))
        rounds += 1
    return wall, cpu
