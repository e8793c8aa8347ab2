"""Models side by side: read, given the same inputs, opened alike, timed together."""

import copy
import logging
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from math import isfinite
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple, TypeVar

import numpy as np
import numpy.typing as npt

from natonnx.bench import (
    CPU,
    WARM_UP,
    Clock,
    Timings,
    check_inputs,
    find_provider,
    open_saying,
    peak_memory,
    provider_used,
    random_inputs,
    why_not,
)
from natonnx.contract.bench import InputRow, MachineRow
from natonnx.errors import InputError, naming
from natonnx.frontend import ParseOptions, Source, load
from natonnx.machine import machine
from natonnx.session import run, session, with_outputs
from natonnx.verbs.runnable import check_sizes

if TYPE_CHECKING:
    from onnxruntime import InferenceSession

_log = logging.getLogger(__name__)
_Made = TypeVar("_Made")

__all__ = ["Conditions", "Fallback", "ModelComparison", "describe_inputs", "describe_machine", "runtime_version"]


@dataclass(frozen=True)
class Conditions:
    """What models are measured under.

    Attributes:
        seconds: Of measuring latency, for all models together, on each provider.
        threads: onnxruntime's threads within an operator.
        provider: The execution provider to prefer, such as `cpu` or `cuda`; several to measure on one after the other.
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
    provider: str | Sequence[str] = "cpu"
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
        if not self.provider:
            raise InputError("no provider: name at least one, such as cpu")


class Fallback(NamedTuple):
    """That onnxruntime does not run a model on a provider: what it took instead, and its reason, if it gave one."""

    path: Path
    provider: str
    took: str
    reason: str | None

    def __str__(self) -> str:
        why = f" ({self.reason})" if self.reason else ""
        return f"{self.path}: {self.provider} cannot be used here{why}"


class ModelComparison:
    """Models that are compared; the first is what the others are compared with.

    Attributes:
        sources: The models.
        providers: onnxruntime's names of the providers that were asked for.
        provider: The one that models are opened on.
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
        names = [conditions.provider] if isinstance(conditions.provider, str) else conditions.provider
        self.providers = tuple(dict.fromkeys(map(find_provider, names)))
        self.provider = self.providers[0]
        self._used: dict[tuple[str, Path], str] = {}
        self._checked: set[Path] = set()

    def on(self, provider: str) -> "ModelComparison":
        """The same models on another provider."""
        other = copy.copy(self)
        other.provider = provider
        return other

    def sized(self, input_shapes: Mapping[str, Sequence[int]]) -> "ModelComparison":
        """The models, read anew with further sizes of what their files leave open."""
        other = ModelComparison(
            [source.path for source in self.sources], replace(self.conditions, input_shapes=input_shapes)
        )
        other._used = self._used
        return other.on(self.provider)

    def fallback(self) -> Fallback | None:
        """Find out whether onnxruntime can use the provider, by loading each model; what it took is used from then on.

        Returns:
            The first model that it takes another provider for.

        Raises:
            InputError: If onnxruntime cannot load one.
        """
        found: Fallback | None = None
        for source in self.sources if self.provider != CPU else ():
            runtime, said = open_saying(partial(self.open, source))
            took = self._used[self.provider, source.path] = provider_used(runtime)
            if took != self.provider and found is None:
                found = Fallback(source.path, self.provider, took, why_not(said))
        return found

    def used(self, source: Source) -> str:
        """The provider that a model is run on."""
        return self._used.get((self.provider, source.path), self.provider)

    @property
    def clocks(self) -> tuple[Clock, ...]:
        """What tells the time of a run: its thread's CPU time too, where the model runs in that one on the CPU."""
        alone = self.conditions.threads == 1 and all(self.used(source) == CPU for source in self.sources)
        return ("wall", "cpu") if alone else ("wall",)

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
        if source.path not in self._checked:
            check_sizes(source)
            self._checked.add(source.path)
        network = source.network
        threads, provider = self.conditions.threads, self.used(source)
        model = with_outputs(network.model, further)
        return _at(source, partial(session, model, threads, network.folder, provider=provider, profile=profile))

    def try_out(self, inputs: Mapping[str, npt.NDArray[np.generic]]) -> None:
        """Run each model once.

        Raises:
            InputError: If onnxruntime cannot load or run one.
        """
        for source in self.sources:
            runtime = self.open(source)
            _at(source, partial(run, runtime, inputs))
            threads = self.conditions.threads
            _log.info("%s: onnxruntime on %s, threads: %d", source.path, provider_used(runtime), threads)

    def peak_memory(self, source: Source, inputs: Mapping[str, npt.NDArray[np.generic]]) -> int | None:
        """Peak memory of a fresh process that loads and runs a model; see `natonnx.bench.peak_memory`."""
        return peak_memory(source.path, inputs, threads=self.conditions.threads, provider=self.used(source))

    def timings(self, inputs: Mapping[str, npt.NDArray[np.generic]]) -> Timings:
        """Make a stopwatch for all models, not started yet."""
        openers = [partial(self.open, source) for source in self.sources]
        return Timings(openers, inputs, warm_up=self.conditions.warm_up, seed=self.conditions.seed)


def _at(source: Source, action: Callable[[], _Made]) -> _Made:
    """Do something with a model, and name it if that fails."""
    with naming(source.path):
        return action()


def describe_inputs(inputs: Mapping[str, npt.NDArray[np.generic]]) -> list[InputRow]:
    """Say what models are run on."""
    return [{"name": name, "dtype": str(array.dtype), "shape": list(array.shape)} for name, array in inputs.items()]


def describe_machine() -> MachineRow:
    """Say what machine this is."""
    here = machine()
    return {"system": here.system, "cpu": here.cpu, "cores": here.cores, "gpus": [*here.gpus]}


def runtime_version() -> str:
    """Say which onnxruntime it is."""
    import onnxruntime

    return str(onnxruntime.__version__)
