"""Models side by side: read, given the same inputs, opened alike, timed together."""

import logging
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from math import isfinite
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

import numpy as np
import numpy.typing as npt

from natonnx.bench import WARM_UP, Timings, check_inputs, find_provider, provider_used, random_inputs
from natonnx.errors import InputError, naming
from natonnx.frontend import ParseOptions, Source, load
from natonnx.session import run, session, with_outputs
from natonnx.verbs.runnable import check_sizes

if TYPE_CHECKING:
    from onnxruntime import InferenceSession

_log = logging.getLogger(__name__)
_Made = TypeVar("_Made")

__all__ = ["Conditions", "ModelComparison"]


@dataclass(frozen=True)
class Conditions:
    """What models are measured under.

    Attributes:
        seconds: Of measuring latency, for all models together.
        threads: onnxruntime's threads within an operator.
        provider: The execution provider to prefer, such as `cpu` or `cuda`.
        batch: Size of the inputs' batch axes where the file leaves them open; that in `input_shapes`, else 1, where
            None.
        input_shapes: Sizes of what the file leaves open, by input name, batch included.
        warm_up: Runs of each fresh session that are not timed.
        seed: Of the random inputs, of the models' order, of the resampling, and of the division of data into parts.

    Raises:
        InputError: If a value is out of its range.
    """

    seconds: float = 10.0
    threads: int = 1
    provider: str = "cpu"
    batch: int | None = None
    input_shapes: Mapping[str, Sequence[int]] = field(default_factory=dict)
    warm_up: int = WARM_UP
    seed: int = 0

    def __post_init__(self) -> None:
        if not (isfinite(self.seconds) and self.seconds > 0):
            raise InputError(f"seconds {self.seconds} must be above 0")
        for name, value, least in (
            ("threads", self.threads, 1),
            ("batch", self.batch, 1),
            ("warm-up", self.warm_up, 0),
            ("seed", self.seed, 0),
        ):
            if value is not None and value < least:
                raise InputError(f"{name} {value} must be at least {least}")


class ModelComparison:
    """Models that are compared; the first is what the others are compared with.

    Attributes:
        sources: The models.
        provider: onnxruntime's name of the provider that was asked for.
    """

    def __init__(self, paths: Iterable[Path | str], conditions: Conditions) -> None:
        """Read the models.

        Raises:
            InputError: If one cannot be read, or this build of onnxruntime lacks the provider.
        """
        reading = ParseOptions(input_shapes=dict(conditions.input_shapes))
        self.conditions = conditions
        self.sources = tuple(load(path, reading) for path in paths)
        if not self.sources:
            raise InputError("no models: name at least one")
        self.provider = find_provider(conditions.provider)
        self._used: dict[Path, str] = {}

    def inputs(self) -> dict[str, npt.NDArray[np.generic]]:
        """Make random inputs that all models take.

        Raises:
            InputError: If there are none.
        """
        first, *others = self.sources
        given = self.conditions
        made = random_inputs(
            first.network.model,
            str(first.path),
            input_shapes=given.input_shapes,
            batch=given.batch,
            seed=given.seed,
            axes=first.network.batch_axes.inputs,
        )
        for source in others:
            check_inputs(source.network.model, str(source.path), made, str(first.path))
        return made

    def open(self, source: Source, profile: Path | None = None, further: Iterable[str] = ()) -> "InferenceSession":
        """Load a model into onnxruntime.

        Args:
            source: The model.
            profile: See `natonnx.session.session`.
            further: Tensors that it should give beside its outputs.

        Raises:
            InputError: If onnxruntime refuses it, or a tensor of it would be too large.
        """
        if source.path not in self._used:
            check_sizes(source)
        network = source.network
        threads, provider = self.conditions.threads, self._used.get(source.path, self.provider)
        model = with_outputs(network.model, further)
        return _at(source, partial(session, model, threads, network.folder, provider=provider, profile=profile))

    def providers(self, inputs: Mapping[str, npt.NDArray[np.generic]]) -> list[str]:
        """Find the provider that each model really runs on, by running it; no other is tried for it from then on.

        Raises:
            InputError: If onnxruntime cannot load or run one.
        """
        for source in self.sources:
            runtime = self.open(source)
            _at(source, partial(run, runtime, inputs))
            self._used[source.path] = provider_used(runtime)
            threads = self.conditions.threads
            _log.info("%s: onnxruntime on %s, threads: %d", source.path, self._used[source.path], threads)
        return [self._used[source.path] for source in self.sources]

    def timings(self, inputs: Mapping[str, npt.NDArray[np.generic]]) -> Timings:
        """Make a stopwatch for all models, not started yet."""
        openers = [partial(self.open, source) for source in self.sources]
        return Timings(openers, inputs, warm_up=self.conditions.warm_up, seed=self.conditions.seed)


def _at(source: Source, action: Callable[[], _Made]) -> _Made:
    """Do something with a model, and name it if that fails."""
    with naming(source.path):
        return action()
