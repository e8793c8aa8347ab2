"""What two model files say of themselves: inputs, outputs, operator sets, metadata."""

from collections.abc import Iterable, Iterator
from typing import Any, Literal

import onnx

from natonnx.contract.diff import FieldChange, InterfaceRow, MetadataChanges
from natonnx.contract.rows import TensorRow, tensor_row
from natonnx.frontend.load import true_inputs
from natonnx.rewrite.provenance import KEY
from natonnx.verbs.diff.digest import opsets

__all__ = ["compare_metadata", "describe", "fields", "labels", "same_interface"]

_FIELDS: tuple[Literal["ir_version", "producer", "graph_name"], ...] = ("ir_version", "producer", "graph_name")
_TENSORS: tuple[Literal["inputs", "outputs"], ...] = ("inputs", "outputs")


def describe(model: onnx.ModelProto) -> InterfaceRow:
    """Describe a model's operator sets, IR version, producer, inputs and outputs."""
    return {
        "opsets": {domain or "ai.onnx": version for domain, version in sorted(opsets(model).items())},
        "ir_version": model.ir_version,
        "producer": " ".join(filter(None, (model.producer_name, model.producer_version))),
        "graph_name": model.graph.name,
        "inputs": [tensor_row(info) for info in true_inputs(model)],
        "outputs": [tensor_row(info) for info in model.graph.output],
        "nodes": len(model.graph.node),
    }


def fields(before: InterfaceRow, after: InterfaceRow) -> list[FieldChange]:
    """List what differs between two descriptions, one thing a row; inputs and outputs by name."""
    rows: list[FieldChange] = [
        {"what": key, "before": before[key], "after": after[key]} for key in _FIELDS if before[key] != after[key]
    ]
    old, new = before["opsets"], after["opsets"]
    rows += [
        {"what": f"opset {domain}", "before": old.get(domain), "after": new.get(domain)}
        for domain in sorted(old | new)
        if old.get(domain) != new.get(domain)
    ]
    rows += _tensors("input", before["inputs"], after["inputs"])
    rows += _tensors("output", before["outputs"], after["outputs"])
    return rows


def _tensors(noun: str, before: Iterable[TensorRow], after: Iterable[TensorRow]) -> Iterator[FieldChange]:
    old, new = ({row["name"]: row for row in rows} for rows in (before, after))
    for name in dict.fromkeys((*old, *new)):
        if old.get(name) != new.get(name):
            yield {"what": f"{noun} {name}", "before": old.get(name), "after": new.get(name)}
    if list(old) != list(new) and old.keys() == new.keys():
        yield {"what": f"order of {noun}s", "before": list(old), "after": list(new)}


def same_interface(before: InterfaceRow, after: InterfaceRow) -> bool:
    """Return whether two models take and give tensors of the same names, types and fixed sizes, in whatever order."""
    return all(
        sorted(map(_contract, before[key]), key=repr) == sorted(map(_contract, after[key]), key=repr)
        for key in _TENSORS
    )


def _contract(row: TensorRow) -> tuple[Any, ...]:
    """Return what a caller must know of a tensor; what an open size is called is not part of it."""
    shape = row["shape"]
    return row["name"], row["dtype"], shape and [size if isinstance(size, int) else None for size in shape]


def labels(own: Iterable[str], other: Iterable[str]) -> dict[str, str]:
    """Return what each input or output is taken for: its name where both models have the same, else its position."""
    own = list(own)
    return {name: name if set(own) == set(other) else str(i) for i, name in enumerate(own)}


def compare_metadata(before: onnx.ModelProto, after: onnx.ModelProto) -> MetadataChanges:
    """List metadata properties that were added, removed and changed, by key, without natonnx's notes of edits."""
    old, new = ({p.key: p.value for p in model.metadata_props if p.key != KEY} for model in (before, after))
    return {
        "added": {key: value for key, value in new.items() if key not in old},
        "removed": {key: value for key, value in old.items() if key not in new},
        "changed": {key: [value, new[key]] for key, value in old.items() if key in new and new[key] != value},
    }
