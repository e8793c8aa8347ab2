"""The checks that every model passes before it is written."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import onnx

from natonnx.architecture import Architecture, cost
from natonnx.errors import InputError
from natonnx.frontend import Network
from natonnx.frontend.constants import ancestors
from natonnx.frontend.load import check
from natonnx.rewrite.build import build
from natonnx.rewrite.provenance import KEY
from natonnx.rewrite.trial import Outputs, Reference, Trial, guarded, sensitivity

__all__ = ["Check", "sample_inputs", "verify"]


_SATURATING = {"Sigmoid", "Softmax"}


class Check(NamedTuple):
    """One check: its name, whether it passed, and what it saw."""

    name: str
    passed: bool
    detail: str


def verify(
    network: Network,
    architecture: Architecture,
    model: onnx.ModelProto,
    reference: Reference | None = None,
    samples: Sequence[Outputs] = (),
    rounded: Callable[[int], Reference] | None = None,
) -> list[Check]:
    """Check a rewritten model before it is written.

    Args:
        network: The source.
        architecture: What the model was built from.
        model: The rewritten model.
        reference: Runs the same architecture elsewhere (the supernet), from named inputs to named outputs.
        samples: Inputs to run, one mapping a batch size; made up by `sample_inputs` where none are given.
        rounded: Makes the reference anew, by a seed, with weights that differ in the last bit.

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
        checks.append(_runs(network, model, reference, samples, rounded))
    return checks


def sample_inputs(network: Network, sizes: Sequence[int] = (1, 3), integer: int = 0) -> list[dict[str, np.ndarray]]:
    """Standard normal inputs at several batch sizes, at one where the batch is fixed.

    Integer and boolean inputs are zeros, which any index or mask may be, or another number.

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
            values = generator.standard_normal(sizes_here) if floating else np.full(sizes_here, integer)
            batch[name] = np.asarray(values, dtype)
        batches.append(batch)
        if all(isinstance(axis, int) for name in network.inputs for axis in network.shapes.get(name, ())[:1]):
            break
    return batches


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
    reference: Reference | None,
    samples: Sequence[Outputs],
    rounded: Callable[[int], Reference] | None,
) -> Check:
    """Run the model and compare it with the supernet.

    A model may hold operators that onnxruntime does not know, a batch size that only seems to be open, or randomness.
    So where something is wrong, the source is asked: what it cannot do either is not asked of the result.
    """
    name = "onnxruntime equals the supernet" if reference else "onnxruntime runs"
    reference = guarded(reference) if reference else None
    variants = [samples] if samples else [sample_inputs(network), sample_inputs(network, integer=1)]
    if not variants[0]:
        return Check(name, True, "not run: an input is no tensor of numbers")
    checks = (_compare(name, network, model, reference, variant, rounded) for variant in variants)
    first = next(checks)
    # Zeros are odd divisors and lengths; what fails with them only may be theirs.
    return first if first.passed else next((check for check in checks if check.passed), first)


def _compare(
    name: str,
    network: Network,
    model: onnx.ModelProto,
    reference: Reference | None,
    samples: Sequence[Outputs],
    rounded: Callable[[int], Reference] | None,
) -> Check:
    trial = Trial(model, network.folder, samples, reference)
    if not trial.complete and not trial.obstacle:
        trial = _before_saturation(model, network, reference, samples) or trial
    if not trial.complete and not trial.obstacle and reference and rounded:
        trial.allow_for(sensitivity(reference, rounded, samples, trial.names))
    if trial.complete:
        return Check(name, True, trial.detail)
    source = Trial(network.model, network.folder, samples, None)
    if source.runtime is None:
        return _frontier(name, network, model, reference, samples, source.obstacle)
    able = [sample for sample, result in zip(samples, source.results, strict=True) if result is not None]
    if not able:
        return Check(name, True, f"not run, since the input model does not run either: {source.obstacle}")
    trial = Trial(model, network.folder, able, reference, frozenset(source.random()))
    return Check(name, trial.complete, trial.detail)


def _before_saturation(
    model: onnx.ModelProto, network: Network, reference: Reference | None, samples: Sequence[Outputs]
) -> Trial | None:
    """Compare what a final Sigmoid or Softmax reads in place of what it makes.

    Where all of its output is next to nothing, a difference that is large relative to that says little.
    """
    makers = {name: node for node in model.graph.node for name in node.output}
    ends = {name: makers[name] for name in network.outputs if name in makers}
    names = [node.input[0] if node.op_type in _SATURATING else name for name, node in ends.items()]
    if reference is None or names == list(ends):
        return None
    trial = Trial(ancestors(model, names), network.folder, samples, reference, names=names)
    trial.detail += ", before the last " + " and ".join(sorted({n.op_type for n in ends.values()} & _SATURATING))
    return trial


def _frontier(
    name: str,
    network: Network,
    model: onnx.ModelProto,
    reference: Reference | None,
    samples: Sequence[Outputs],
    obstacle: str,
) -> Check:
    """Compare up to the operators that onnxruntime does not know."""
    try:
        names = tuple(reference(samples[0])) if reference is not None else ()
    except InputError:
        names = ()
    trial = Trial(ancestors(model, names), network.folder, samples, reference) if names else None
    if trial is None or trial.runtime is None:
        same = Trial(ancestors(network.model, names), network.folder, samples, None) if names else None
        passed = same is None or same.runtime is None
        return Check(name, passed, f"not run, since the input model does not run either: {obstacle}")
    return Check(name, trial.complete, f"{trial.detail}, up to what onnxruntime cannot run ({obstacle})")
