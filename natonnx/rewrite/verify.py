"""The checks that every model passes before it is written."""

import logging
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
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
from natonnx.rewrite.outputs import OutputsCheck, References
from natonnx.rewrite.provenance import KEY
from natonnx.rewrite.trial import Outputs
from natonnx.tensors import UNREAD, light_copy

__all__ = ["Check", "require", "verify"]

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
    references: References | Callable[[], References] | None = None,
    *,
    samples: Sequence[Outputs] = (),
    weights: Mapping[str, np.ndarray] | None = None,
) -> list[Check]:
    """Check a rewritten model before it is written.

    Args:
        network: The source.
        architecture: What the model was built from.
        model: The rewritten model.
        references: What it is compared with beside the replay; or what makes them where the replay does not settle it:
            it takes torch.
        samples: Inputs to run, one mapping a batch size; made up by `sample_inputs` where none are given.
        weights: New values of trainable tensors that the model was built with, in the source's shapes.

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
        checks += _outputs(outputs, references, edited=edited)
    return checks


def _outputs(
    outputs: OutputsCheck, references: References | Callable[[], References] | None, *, edited: bool
) -> Iterator[Check]:
    """Compare with the edited source, then with the supernet; where that is to be made, only if need be.

    There is none where the model is proven to be the edited source, node by node, or gives the replay's values as
    onnxruntime optimises it, which is how it will be run.
    """
    if edited and callable(references) and outputs.is_proven:
        run = outputs.runs
        yield Check("equals the input, edited node by node", True, "the same nodes of the same inputs and constants")
        yield Check("onnxruntime runs", run.passed, run.detail)
        return
    name = "onnxruntime equals the input, edited value by value"
    settled = Verdict(False, "", made=False)
    if edited and callable(references):
        settled = outputs.optimised
    if settled.passed and settled.made:
        yield Check(name, True, settled.detail)
        yield Check("onnxruntime equals it with its graph optimisations", True, settled.detail)
        return
    replayed = outputs.replayed if edited else Verdict(True, "not run: there are no edits")
    yield Check(name, replayed.passed, replayed.detail)
    if callable(references):
        references = references() if edited else None
    run = outputs.against_supernet(references)
    yield Check("onnxruntime runs" if references is None else "onnxruntime equals the supernet", run.passed, run.detail)


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
    light = replace(network, model=light_copy(network.model, network.folder, UNREAD))
    equal = build(light, light.architecture) == light.model
    return Check("round trip without edits", equal, "bit-exact" if equal else "the bytes differ")
