"""Time architectures in onnxruntime: many roughly, for a model of what each part costs, and few for certain."""

import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING

import numpy as np
import onnx

from natonnx.architecture import Architecture
from natonnx.bench import CPU, Clock, Timings, find_provider, provider_used, ratio_interval, rough_ratio
from natonnx.errors import InputError
from natonnx.frontend import Network
from natonnx.rewrite import build
from natonnx.search.latency_model import Measured
from natonnx.search.price import Estimate
from natonnx.session import run, session
from natonnx.verbs.model_comparison import Conditions

if TYPE_CHECKING:
    from onnxruntime import InferenceSession

__all__ = ["CONDITIONS", "Stopwatch"]

CONDITIONS = Conditions(seconds=6.0)
"""What latency is measured under where the user does not say."""

_ROUNDS = 3, 20
"""Of a rough measurement, at least and at most."""
_RENEWED = 8
"""Rough measurements behind which β gets a fresh session: one is steadily slower or faster than the next."""
_ELSEWHERE = 1.02
"""Loops that leave something else in the caches, between the runs, differ by about that (docs/latency.md)."""
_PROLONGATIONS = 3
"""Times that a measurement is prolonged that leaves open whether a limit is met."""


class Stopwatch:
    """Times edited models of a file side by side with the file.

    Args:
        network: The file's network.
        inputs: Of one batch.
        conditions: Provider, threads, seconds of a certain measurement, seed.

    Raises:
        InputError: If this build of onnxruntime lacks the provider, or several are named.
    """

    def __init__(self, network: Network, inputs: Mapping[str, np.ndarray], conditions: Conditions) -> None:
        self._network, self._inputs, self._conditions = network, inputs, conditions
        if not isinstance(conditions.provider, str):
            raise InputError("--latency-provider: a search measures on one provider; name one")
        self._provider = find_provider(conditions.provider)
        self._clock: Clock = "cpu" if conditions.threads == 1 and self._provider == CPU else "wall"

    @property
    def seconds(self) -> float:
        """What the measurement of two models takes."""
        return self._conditions.seconds

    def check(self) -> None:
        """Run the file once.

        Raises:
            InputError: If onnxruntime cannot run it, or not on the provider.
        """
        runtime = self._open(self._network.model)
        run(runtime, self._inputs)
        if (used := provider_used(runtime)) != self._provider:
            raise InputError(
                f"--latency-provider {self._conditions.provider}: cannot be used here, onnxruntime took {used}; "
                "install what it needs, or choose another"
            )

    def full(self, seconds: float = 0.5) -> float:
        """Return the milliseconds of the file itself: the median of some rounds."""
        timings = self._timings([])
        timings.extend(seconds)
        return float(np.median(timings.series(0, self._clock)))

    def rough(
        self, alphas: Iterable[Architecture], each: float, goes_on: Callable[[], bool] = lambda: True
    ) -> list[Measured]:
        """Measure architectures for some seconds each, as long as there is time.

        Args:
            alphas: The architectures.
            each: Seconds for the rounds of each; building and opening it takes more.
            goes_on: Asked before each, from the second on.
        """
        found: list[Measured] = []
        base, one = self._base()
        rounds = int(np.clip(each / max(1e-9, 2 * one), *_ROUNDS))
        for position, alpha in enumerate(alphas):
            if position and not goes_on():
                break
            if position % _RENEWED == _RENEWED - 1:
                base, _ = self._base()
            runtime = self._open(build(self._network, alpha))
            found.append(Measured(alpha, rough_ratio([base, runtime], self._inputs, rounds, self._clock), 0.0))
        return found

    def compare(self, alphas: Sequence[Architecture]) -> list[Estimate]:
        """Measure architectures by their files with given weights; see `compare_models`."""
        return self.compare_models([build(self._network, alpha) for alpha in alphas])

    def compare_models(self, models: Sequence[onnx.ModelProto], limit: float | None = None) -> list[Estimate]:
        """Measure files as `natonnx bench` does: multiples of the input's latency, 99 % intervals with 2 % to spare.

        Args:
            models: The files.
            limit: Where an interval holds it, the measurement is prolonged, up to three times by as much again.
        """
        timings, seconds = self._timings(models), self._conditions.seconds * (1 + len(models)) / 2
        found: list[Estimate] = []
        for _ in range(1 + _PROLONGATIONS):
            timings.extend(seconds)
            seed = self._conditions.seed
            ratios = [ratio_interval(timings.by(self._clock), i + 1, seed=seed) for i in range(len(models))]
            found = [Estimate(one.value, one.low / _ELSEWHERE, one.high * _ELSEWHERE) for one in ratios]
            if limit is None or not any(one.low <= limit < one.high for one in found):
                break
        return found

    def _timings(self, models: Sequence[onnx.ModelProto]) -> Timings:
        openers = [partial(self._open, model) for model in (self._network.model, *models)]
        given = self._conditions
        return Timings(openers, self._inputs, warm_up=given.warm_up, seed=given.seed)

    def _base(self) -> tuple["InferenceSession", float]:
        """Open the file; return its session, and about how many seconds it takes."""
        base = self._open(self._network.model)
        run(base, self._inputs)
        begun = time.perf_counter()
        run(base, self._inputs)
        return base, time.perf_counter() - begun

    def _open(self, model: onnx.ModelProto) -> "InferenceSession":
        return session(model, self._conditions.threads, self._network.folder, provider=self._provider)
