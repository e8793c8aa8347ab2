"""The checks that every model passes before it is written."""

import logging
from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

import numpy as np
import onnx

from natonnx.architecture import Architecture, cost
from natonnx.errors import VerificationError
from natonnx.frontend import Network
from natonnx.frontend.load import check as objection
from natonnx.frontend.load import true_inputs, wrong_declarations
from natonnx.rewrite.build import build
from natonnx.rewrite.compare import Verdict
from natonnx.rewrite.outputs import OutputsCheck
from natonnx.rewrite.provenance import KEY
from natonnx.rewrite.trial import Outputs, Reference

__all__ = ["Check", "References", "require", "verify"]

_log = logging.getLogger(__name__)


class Check(NamedTuple):
    """One check: its name, whether it passed, and what it saw."""

    name: str
    passed: bool
    detail: str


class References(NamedTuple):
    """What a model is compared with beside the replay.

    Attributes:
        reference: Runs the same architecture elsewhere (the supernet), from named inputs to named outputs.
        rounded: Makes it anew, by a seed, with weights that differ in the last bit.
        beta: Runs β where the reference runs the architecture, with the same weights.
    """

    reference: Reference
    rounded: Callable[[int], Reference] | None = None
    beta: Reference | None = None


def verify(
    network: Network,
    architecture: Architecture,
    model: onnx.ModelProto,
    reference: Reference | None = None,
    samples: Sequence[Outputs] = (),
    rounded: Callable[[int], Reference] | None = None,
    beta: Reference | None = None,
    weights: Mapping[str, np.ndarray] | None = None,
    fallback: Callable[[], References] | None = None,
) -> list[Check]:
    """Check a rewritten model before it is written.

    Args:
        network: The source.
        architecture: What the model was built from.
        model: The rewritten model.
        reference: Runs the same architecture elsewhere (the supernet), from named inputs to named outputs.
        samples: Inputs to run, one mapping a batch size; made up by `sample_inputs` where none are given.
        rounded: Makes the reference anew, by a seed, with weights that differ in the last bit.
        beta: Runs β where the reference runs the architecture, with the same weights.
        weights: New values of trainable tensors that the model was built with, in the source's shapes.
        fallback: Makes the references where there are none and the replay does not settle it: it takes torch.

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
        outputs = OutputsCheck(network, architecture, model, weights or {}, tuple(samples))
        edited = architecture.states != network.architecture.states
        replayed = outputs.replayed if edited else Verdict(True, "not run: there are no edits")
        checks.append(Check("onnxruntime equals the input, edited value by value", replayed.passed, replayed.detail))
        given = None if reference is None else References(reference, rounded, beta)
        checks.append(_second(outputs, given, fallback, edited=edited))
    return checks


def _second(
    outputs: OutputsCheck, references: References | None, fallback: Callable[[], References] | None, *, edited: bool
) -> Check:
    """Compare with the supernet; where it is a fallback, only if the replay does not settle it."""
    if references is None and fallback is not None and edited:
        if outputs.replayed.passed and outputs.replayed.made and outputs.optimised.passed:
            return Check("onnxruntime equals it with its graph optimisations", True, outputs.optimised.detail)
        references = fallback()
    name = "onnxruntime runs" if references is None else "onnxruntime equals the supernet"
    run = outputs.against_supernet(*(references or ()))
    return Check(name, run.passed, run.detail)


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
