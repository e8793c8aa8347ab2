"""Run a model in onnxruntime on samples, and compare what it gives with what a reference gives."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

import numpy as np
import onnx

from natonnx.errors import InputError, first_line
from natonnx.frontend import BatchAxes
from natonnx.session import run, session

if TYPE_CHECKING:
    from onnxruntime import InferenceSession

__all__ = ["TOLERANCE", "Outputs", "Reference", "Trial", "guarded", "relative_difference", "remembered", "sensitivity"]

TOLERANCE = 1e-4
"""Largest difference between onnxruntime and the supernet, relative to the largest output, in float32 and float64."""

_COARSE = {"float16": 1e-2}
"""The same in coarser types, whose sums depend on the order, and of what is computed from them."""

_MARGIN = 10.0
"""Onnxruntime rounds in every operator, not in the weights only."""

_MOST_ROUNDING = 1e-2

_DRAWS = 4

Outputs = Mapping[str, np.ndarray]


class Reference(Protocol):
    """Runs an architecture elsewhere: in the supernet, or by a replay of the source."""

    def __call__(self, inputs: Outputs, names: Sequence[str] | None = None) -> Outputs:
        """Tensors by name, from inputs by name; all outputs that can be computed where no names are given."""


def relative_difference(value: np.ndarray, expected: np.ndarray) -> float:
    """Largest absolute difference, relative to the largest expected magnitude, both over the finite numbers.

    inf where shapes differ, or anything that is not finite, or a text.
    """
    if not {value.dtype.kind, expected.dtype.kind} <= set("biufc"):
        return 0.0 if np.array_equal(value, expected) else float("inf")
    finite = np.isfinite(expected)
    if value.shape != expected.shape or not np.array_equal(value[~finite], expected[~finite], equal_nan=True):
        return float("inf")
    wide = np.complex128 if "c" in {value.dtype.kind, expected.dtype.kind} else np.float64
    value, expected = value[finite].astype(wide), expected[finite].astype(wide)
    if not np.isfinite(value).all():
        return float("inf")
    scale = float(np.max(np.abs(expected), initial=0.0))
    difference = float(np.max(np.abs(value - expected), initial=0.0))
    return difference / scale if scale > 0 else difference


class Trial:
    """One model run on samples, and compared with a reference.

    Attributes:
        runtime: None where onnxruntime refuses the model.
        results: By sample: the outputs, None where it does not run.
        obstacle: The first refusal; empty where there is none.
        worst: The largest relative difference.
        names: The tensors that were compared; None for the model's outputs.
        complete: Whether everything ran and is near enough.
        detail: What was seen, in one line.

    Args:
        coarse: The coarsest type that a tensor is computed in on its way, by the names of those where it is not theirs.
    """

    def __init__(
        self,
        model: onnx.ModelProto,
        folder: Path | None,
        samples: Sequence[Outputs],
        reference: Reference | None,
        random: frozenset[str] = frozenset(),
        names: Sequence[str] | None = None,
        axes: BatchAxes | None = None,
        *,
        coarse: Mapping[str, str] | None = None,
        optimise: bool = True,
    ) -> None:
        self.samples = samples
        self.results: list[Outputs | None] = []
        self.obstacle = ""
        self.runtime: InferenceSession | None = None
        try:
            self.runtime = session(model, folder=folder, optimise=optimise)
        except InputError as error:
            self.obstacle = str(error)
        for sample in samples if self.runtime is not None else ():
            try:
                self.results.append(run(self.runtime, sample))
            except InputError as error:
                self.results.append(None)
                self.obstacle = self.obstacle or str(error)
        self.names = names
        worst = 0.0
        if not self.obstacle and reference is not None:
            try:
                pairs = zip(self.results, [reference(sample, names) for sample in samples], strict=True)
                ran = ((result, expected) for result, expected in pairs if result is not None)
                worst = max(_difference(result, expected, random, coarse) for result, expected in ran)
            except InputError as error:
                self.obstacle = str(error)
        self.worst = worst
        self.complete = not self.obstacle and worst <= TOLERANCE
        sizes = [(axes or BatchAxes()).count(sample) for sample in samples]
        self.detail = f"max relative difference {worst:.1e}, " if reference is not None else ""
        self.detail = self.obstacle or f"{self.detail}batch sizes {sizes}"
        if random:
            self.detail += f", without {', '.join(sorted(random))}, which varies from run to run"

    def allow_for(self, rounding: float) -> None:
        """Accept a difference that the rounding of the weights alone can make; that must itself be small."""
        if not self.obstacle and rounding <= _MOST_ROUNDING and self.worst <= _MARGIN * rounding:
            self.complete = True
            self.detail += f", where the last bit of the weights alone makes {rounding:.1e}"

    def random(self) -> Iterator[str]:
        """Outputs that differ between two runs of a sample."""
        sample, first = next((s, result) for s, result in zip(self.samples, self.results, strict=True) if result)
        assert self.runtime is not None
        again = run(self.runtime, sample)
        for name, value in first.items():
            if _is_array(value) and not np.array_equal(value, again[name], equal_nan=value.dtype.kind == "f"):
                yield name


def guarded(reference: Reference, name: str = "the supernet") -> Reference:
    """A reference whose failures are all told as an `InputError`: torch raises whatever an odd input makes it raise."""

    def run(inputs: Outputs, names: Sequence[str] | None = None) -> Outputs:
        try:
            return reference(inputs) if names is None else reference(inputs, names)
        except InputError:
            raise
        except Exception as error:
            raise InputError(f"{name} cannot run it: {first_line(error)}") from error

    return run


def remembered(reference: Reference) -> Reference:
    """A reference that runs each sample once for the same tensors; it keeps the samples, which must not change."""
    made: dict[tuple[int, tuple[str, ...] | None], tuple[Outputs, Outputs]] = {}

    def run(inputs: Outputs, names: Sequence[str] | None = None) -> Outputs:
        key = (id(inputs), None if names is None else tuple(names))
        if key not in made:
            made[key] = inputs, reference(inputs, names)
        return made[key][1]

    return run


def sensitivity(
    reference: Reference,
    rounded: Callable[[int], Reference],
    samples: Sequence[Outputs],
    names: Sequence[str] | None,
    coarse: Mapping[str, str],
) -> float:
    """How much the outputs of an architecture change where its weights change in the last bit: most of a few draws."""
    exact = [reference(sample, names) for sample in samples]
    worst = 0.0
    for seed in range(_DRAWS):
        changed = rounded(seed)
        pairs = zip(samples, exact, strict=True)
        worst = max(worst, *(_difference(changed(sample, names), own, frozenset(), coarse) for sample, own in pairs))
    return worst


def _difference(
    result: Outputs, expected: Outputs, random: frozenset[str], coarse: Mapping[str, str] | None = None
) -> float:
    """The largest relative difference of outputs, in units in which `TOLERANCE` is the limit."""
    worst = 0.0
    for name in result.keys() & expected.keys() - random:
        dtype = (coarse or {}).get(name, expected[name].dtype.name)
        scale = TOLERANCE / _COARSE.get(dtype, TOLERANCE)
        worst = max(worst, scale * relative_difference(result[name], expected[name]))
    return worst


def _is_array(value: object) -> bool:
    """Whether an output is a tensor; onnxruntime gives lists for sequences."""
    return isinstance(value, np.ndarray)
