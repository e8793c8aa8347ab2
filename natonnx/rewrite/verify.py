"""The checks that every model passes before it is written."""

import logging
from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np
import onnx

from natonnx.architecture import Architecture, cost
from natonnx.errors import VerificationError
from natonnx.frontend import Network
from natonnx.frontend.example_inputs import example_inputs, open_size
from natonnx.frontend.load import check as objection
from natonnx.frontend.load import true_inputs, wrong_declarations
from natonnx.rewrite.build import build
from natonnx.rewrite.compare import Comparison
from natonnx.rewrite.provenance import KEY
from natonnx.rewrite.trial import Outputs, Reference, guarded

__all__ = ["Check", "require", "sample_inputs", "verify"]

_log = logging.getLogger(__name__)


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
        _checker(network, model),
        _contract(network.model, model),
        _cost(network, architecture),
        _round_trip(network),
    ]
    if all(check.passed for check in checks):
        checks.append(_runs(network, model, reference, samples, rounded))
    return checks


def require(checks: Sequence[Check]) -> None:
    """Refuse a model that failed a check.

    Raises:
        VerificationError: Naming every failed check.
    """
    for check in checks:
        _log.info("check %s: %s, %s", check.name, "passed" if check.passed else "failed", check.detail)
    failed = [f"{check.name} ({check.detail})" for check in checks if not check.passed]
    if failed:
        raise VerificationError(f"verification failed, nothing was written: {'; '.join(failed)}")


def sample_inputs(network: Network, sizes: Sequence[int] = (1, 3), integer: int = 0) -> list[dict[str, np.ndarray]]:
    """Standard normal inputs at several batch sizes, at one where the batch is fixed.

    Integer and boolean inputs are zeros, which any index or mask may be, or another number. Sizes other than the batch
    that are open get a size at which onnxruntime runs the source.

    Returns:
        Nothing where an input is no tensor of numbers.

    Raises:
        InputError: If onnxruntime does not run the source at any size that is tried.
    """
    model, shapes, axes = network.model, network.shapes, network.batch_axes
    chosen = open_size(model, shapes, axes.inputs, network.folder)
    generator = np.random.default_rng(0)
    sizes = sizes if axes.symbols(shapes) else sizes[:1]
    batches = [example_inputs(model, shapes, axes.inputs, size, chosen, integer, generator) for size in sizes]
    return [batch for batch in batches if batch]


def _checker(network: Network, model: onnx.ModelProto) -> Check:
    """Run the full checker; of its objections only those are accepted that it has to the source itself."""
    name, folder = "onnx checker and shape inference", network.folder
    reason = objection(model, folder)
    if reason is None:
        return Check(name, True, "full check")
    inherited = wrong_declarations(network.model, folder)
    reason = objection(model, folder, inherited)
    if reason is None:
        return Check(name, True, f"full check but for the source's own {inherited[0]}")
    own = objection(network.model, folder, inherited)
    return Check(name, own is not None, reason if own is None else f"it objects to the source too: {own}")


def _contract(source: onnx.ModelProto, model: onnx.ModelProto) -> Check:
    """Opset, IR version, inputs, outputs, metadata and names are the source's own; provenance may be new."""
    changed = [
        part
        for part, before, after in (
            ("IR version", source.ir_version, model.ir_version),
            ("opset", list(source.opset_import), list(model.opset_import)),
            ("inputs", true_inputs(source), true_inputs(model)),
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
    name = "onnxruntime equals the supernet" if reference else "onnxruntime runs"
    comparison = Comparison(network, model, guarded(reference) if reference else None, rounded)
    if samples:
        return Check(name, *comparison.run(samples))
    made_up = sample_inputs(network)
    if not made_up:
        return Check(name, True, "not run: an input is no tensor of numbers")
    first = comparison.run(made_up)
    if not first.passed and any(value.dtype.kind in "iub" for value in made_up[0].values()):
        second = comparison.run(sample_inputs(network, integer=1))  # zeros are odd divisors and lengths
        first = second if second.passed else first
    return Check(name, *first)
