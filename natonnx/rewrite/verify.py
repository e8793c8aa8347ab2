"""The checks that every model passes before it is written."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import onnx

from natonnx.architecture import Architecture, cost
from natonnx.errors import InputError
from natonnx.frontend import Network
from natonnx.frontend.constants import ancestors
from natonnx.frontend.load import check
from natonnx.rewrite.build import build
from natonnx.rewrite.provenance import KEY
from natonnx.session import run, session

if TYPE_CHECKING:
    from onnxruntime import InferenceSession

__all__ = ["TOLERANCE", "Check", "relative_difference", "verify"]

TOLERANCE = 1e-4
"""Largest difference between onnxruntime and the supernet, relative to the largest output, in float32 and float64."""

_COARSE = {"float16": 1e-2, "bfloat16": 5e-2}
"""The same in coarser types, whose sums depend on the order."""

Outputs = Mapping[str, np.ndarray]


class Check(NamedTuple):
    """One check: its name, whether it passed, and what it saw."""

    name: str
    passed: bool
    detail: str


def verify(
    network: Network,
    architecture: Architecture,
    model: onnx.ModelProto,
    reference: Callable[[Outputs], Outputs] | None = None,
    samples: Sequence[Outputs] = (),
) -> list[Check]:
    """Check a rewritten model before it is written.

    Args:
        network: The source.
        architecture: What the model was built from.
        model: The rewritten model.
        reference: Runs the same architecture elsewhere (the supernet), from named inputs to named outputs.
        samples: Inputs to run, one mapping a batch size; made up by `sample_inputs` where none are given.

    Returns:
        Every check, the failed ones included; the caller decides.
    """
    checks = [
        _checker(model, network.folder),
        _contract(network.model, model),
        _cost(network, architecture),
        _round_trip(network),
    ]
    if all(check.passed for check in checks):
        checks.append(_runs(network, model, reference, samples))
    return checks


def sample_inputs(network: Network, sizes: Sequence[int] = (1, 3)) -> list[dict[str, np.ndarray]]:
    """Standard normal inputs at several batch sizes, at one where the batch is fixed.

    Integer and boolean inputs are zeros, which any index or mask may be.

    Returns:
        Nothing where an input is no tensor of numbers.

    Raises:
        InputError: If a size other than the batch is open.
    """
    generator = np.random.default_rng(0)
    batches: list[dict[str, np.ndarray]] = []
    infos = {info.name: info for info in network.model.graph.input}
    for size in sizes:
        batch: dict[str, np.ndarray] = {}
        for name in network.inputs:
            shape = network.shapes.get(name, ())
            code = infos[name].type.tensor_type.elem_type
            if code in (onnx.TensorProto.UNDEFINED, onnx.TensorProto.STRING):
                return []
            dtype = onnx.helper.tensor_dtype_to_np_dtype(code)
            if any(not isinstance(axis, int) for axis in shape[1:]):
                raise InputError(f"input {name!r} has open sizes: give --input-shape {name}:1,...")
            sizes_here = [size if not isinstance(axis, int) else axis for axis in shape]
            floating = np.issubdtype(dtype, np.floating)
            values = generator.standard_normal(sizes_here) if floating else np.zeros(sizes_here)
            batch[name] = np.asarray(values, dtype)
        batches.append(batch)
        if all(isinstance(axis, int) for name in network.inputs for axis in network.shapes.get(name, ())[:1]):
            break
    return batches


def relative_difference(value: np.ndarray, expected: np.ndarray) -> float:
    """Largest absolute difference, relative to the largest expected magnitude, both over the finite numbers.

    inf where shapes differ, or anything that is not finite.
    """
    finite = np.isfinite(expected)
    if value.shape != expected.shape or not np.array_equal(value[~finite], expected[~finite], equal_nan=True):
        return float("inf")
    value, expected = value[finite].astype(np.float64), expected[finite].astype(np.float64)
    if not np.isfinite(value).all():
        return float("inf")
    scale = float(np.max(np.abs(expected), initial=0.0))
    difference = float(np.max(np.abs(value - expected), initial=0.0))
    return difference / scale if scale > 0 else difference


def _checker(model: onnx.ModelProto, folder: Path | None) -> Check:
    reason = check(model, folder)
    return Check("onnx checker and shape inference", reason is None, reason or "full check")


def _contract(source: onnx.ModelProto, model: onnx.ModelProto) -> Check:
    """Opset, IR version, inputs, outputs, metadata and names are the source's own; provenance may be new."""
    names = {tensor.name for tensor in source.graph.initializer}
    changed = [
        part
        for part, before, after in (
            ("IR version", source.ir_version, model.ir_version),
            ("opset", list(source.opset_import), list(model.opset_import)),
            ("inputs", _true_inputs(source, names), _true_inputs(model, names)),
            ("outputs", list(source.graph.output), list(model.graph.output)),
            ("metadata", _metadata(source), _metadata(model)),
            ("graph name", source.graph.name, model.graph.name),
            ("producer", source.producer_name, model.producer_name),
            ("doc string", source.doc_string, model.doc_string),
        )
        if before != after
    ]
    return Check("contract of the file", not changed, ", ".join(changed) + " changed" if changed else "unchanged")


def _metadata(model: onnx.ModelProto) -> dict[str, str]:
    return {prop.key: prop.value for prop in model.metadata_props if prop.key != KEY}


def _true_inputs(model: onnx.ModelProto, defaults: set[str]) -> list[onnx.ValueInfoProto]:
    return [info for info in model.graph.input if info.name not in defaults]


def _cost(network: Network, architecture: Architecture) -> Check:
    before, after = cost(network.architecture), cost(architecture)
    detail = f"params {before.params} -> {after.params}, MAdds {before.madds} -> {after.madds}"
    return Check("cost does not grow", not after.exceeds(before), detail)


def _round_trip(network: Network) -> Check:
    equal = build(network, network.architecture) == network.model
    return Check("round trip without edits", equal, "bit-exact" if equal else "the bytes differ")


def _runs(
    network: Network,
    model: onnx.ModelProto,
    reference: Callable[[Outputs], Outputs] | None,
    samples: Sequence[Outputs],
) -> Check:
    """Run the model and compare it with the supernet.

    A model may hold operators that onnxruntime does not know, a batch size that only seems to be open, or randomness.
    So where something is wrong, the source is asked: what it cannot do either is not asked of the result.
    """
    name = "onnxruntime equals the supernet" if reference else "onnxruntime runs"
    samples = samples or sample_inputs(network)
    if not samples:
        return Check(name, True, "not run: an input is no tensor of numbers")
    trial = _Trial(model, network.folder, samples, reference)
    if trial.complete:
        return Check(name, True, trial.detail)
    source = _Trial(network.model, network.folder, samples, None)
    if source.runtime is None:
        return _frontier(name, network, model, reference, samples, source.obstacle)
    able = [sample for sample, result in zip(samples, source.results, strict=True) if result is not None]
    if not able:
        return Check(name, True, f"not run, since the input model does not run either: {source.obstacle}")
    trial = _Trial(model, network.folder, able, reference, frozenset(source.random()))
    return Check(name, trial.complete, trial.detail)


def _frontier(
    name: str,
    network: Network,
    model: onnx.ModelProto,
    reference: Callable[[Outputs], Outputs] | None,
    samples: Sequence[Outputs],
    obstacle: str,
) -> Check:
    """Compare up to the operators that onnxruntime does not know."""
    names = tuple(reference(samples[0])) if reference is not None else ()
    trial = _Trial(ancestors(model, names), network.folder, samples, reference) if names else None
    if trial is None or trial.runtime is None:
        return Check(name, True, f"not run, since the input model does not run either: {obstacle}")
    return Check(name, trial.complete, f"{trial.detail}, up to what onnxruntime cannot run ({obstacle})")


class _Trial:
    """One model run on samples, and compared with the supernet.

    Attributes:
        runtime: None where onnxruntime refuses the model.
        results: By sample: the outputs, None where it does not run.
        obstacle: The first refusal; empty where there is none.
        complete: Whether everything ran and is near enough.
        detail: What was seen, in one line.
    """

    def __init__(
        self,
        model: onnx.ModelProto,
        folder: Path | None,
        samples: Sequence[Outputs],
        reference: Callable[[Outputs], Outputs] | None,
        random: frozenset[str] = frozenset(),
    ) -> None:
        self.samples = samples
        self.results: list[Outputs | None] = []
        self.obstacle = ""
        self.runtime: InferenceSession | None = None
        try:
            self.runtime = session(model, folder=folder)
        except InputError as error:
            self.obstacle = str(error)
        for sample in samples if self.runtime is not None else ():
            try:
                self.results.append(run(self.runtime, sample))
            except InputError as error:
                self.results.append(None)
                self.obstacle = self.obstacle or str(error)
        worst = 0.0
        if not self.obstacle and reference is not None:
            pairs = zip(self.results, map(reference, samples), strict=True)
            worst = max(_difference(result, expected, random) for result, expected in pairs if result is not None)
        self.complete = not self.obstacle and worst <= TOLERANCE
        sizes = [next((len(value) for value in sample.values() if value.ndim), 1) for sample in samples]
        self.detail = f"max relative difference {worst:.1e}, " if reference is not None else ""
        self.detail = self.obstacle or f"{self.detail}batch sizes {sizes}"
        if random:
            self.detail += f", without {', '.join(sorted(random))}, which varies from run to run"

    def random(self) -> Iterator[str]:
        """Outputs that differ between two runs of a sample."""
        sample, first = next((s, result) for s, result in zip(self.samples, self.results, strict=True) if result)
        assert self.runtime is not None
        again = run(self.runtime, sample)
        for name, value in first.items():
            if _is_array(value) and not np.array_equal(value, again[name], equal_nan=value.dtype.kind == "f"):
                yield name


def _difference(result: Outputs, expected: Outputs, random: frozenset[str]) -> float:
    """The largest relative difference of outputs, in units in which `TOLERANCE` is the limit."""
    worst = 0.0
    for name in result.keys() & expected.keys() - random:
        scale = TOLERANCE / _COARSE.get(expected[name].dtype.name, TOLERANCE)
        worst = max(worst, scale * relative_difference(result[name], expected[name]))
    return worst


def _is_array(value: object) -> bool:
    """Whether an output is a tensor; onnxruntime gives lists for sequences."""
    return isinstance(value, np.ndarray)
