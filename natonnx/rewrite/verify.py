"""The checks that every model passes before it is written."""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import onnx

from natonnx.architecture import Architecture, cost
from natonnx.errors import InputError
from natonnx.frontend import Network
from natonnx.frontend.load import check
from natonnx.rewrite.build import build
from natonnx.rewrite.provenance import KEY
from natonnx.session import run, session

__all__ = ["TOLERANCE", "Check", "relative_difference", "verify"]

TOLERANCE = 1e-4
"""Largest difference between onnxruntime and the supernet, relative to the largest output, in float32."""

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
        checks.append(_runs(model, network.folder, reference, samples or sample_inputs(network)))
    return checks


def sample_inputs(network: Network, sizes: Sequence[int] = (1, 3)) -> list[dict[str, np.ndarray]]:
    """Standard normal inputs at several batch sizes, at one where the batch is fixed.

    Integer and boolean inputs are zeros, which any index or mask may be.

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
            dtype = onnx.helper.tensor_dtype_to_np_dtype(infos[name].type.tensor_type.elem_type)
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
    same = build(network, network.architecture).SerializeToString(deterministic=True)
    equal = same == network.model.SerializeToString(deterministic=True)
    return Check("round trip without edits", equal, "bit-exact" if equal else "the bytes differ")


def _runs(
    model: onnx.ModelProto,
    folder: Path | None,
    reference: Callable[[Outputs], Outputs] | None,
    samples: Sequence[Outputs],
) -> Check:
    name = "onnxruntime equals the supernet" if reference else "onnxruntime runs"
    sizes = [next((len(value) for value in sample.values() if value.ndim), 1) for sample in samples]
    try:
        runtime = session(model, folder=folder)
        results = [run(runtime, sample) for sample in samples]
    except InputError as error:
        return Check(name, False, str(error))
    if reference is None:
        return Check(name, True, f"batch sizes {sizes}")
    worst = 0.0
    for sample, result in zip(samples, results, strict=True):
        expected = reference(sample)
        worst = max(worst, *(relative_difference(result[key], expected[key]) for key in expected))
    return Check(name, worst <= TOLERANCE, f"max relative difference {worst:.1e}, batch sizes {sizes}")
