"""What a node does, apart from the names of the tensors that it reads and makes."""

from collections import Counter
from collections.abc import Mapping
from typing import Any

import onnx
from onnx import AttributeProto

from natonnx.contract.diff import ChangedNode, NodeChanges, OperatorCount
from natonnx.frontend.vocabulary import DEFAULT_DOMAIN

__all__ = ["attributes", "compare_nodes", "count_operators", "kind", "schema", "values"]

_WEIGHTED = frozenset({"Conv", "ConvTranspose"})
_WINDOWS = _WEIGHTED | {"MaxPool", "AveragePool", "LpPool"}
_AT_REST = {"strides": 1, "dilations": 1, "pads": 0}
_UNDEFINED = AttributeProto.UNDEFINED


def kind(node: onnx.NodeProto) -> str:
    """Return a node's operator: its plain name in ONNX's own domain, "domain::name" in another."""
    return node.op_type if node.domain in DEFAULT_DOMAIN else f"{node.domain}::{node.op_type}"


def schema(node: onnx.NodeProto, opsets: Mapping[str, int]) -> onnx.defs.OpSchema | None:
    """Return what onnx knows of a node's operator; None for one that it does not know.

    Args:
        node: The node.
        opsets: Version of each operator set that its model imports, by domain.
    """
    domain = "" if node.domain in DEFAULT_DOMAIN else node.domain
    try:
        return onnx.defs.get_schema(node.op_type, opsets.get(domain, 0), domain)
    except onnx.defs.SchemaError:
        return None


def attributes(node: onnx.NodeProto, opsets: Mapping[str, int]) -> dict[str, AttributeProto]:
    """Return a node's attributes by name, in a form that does not depend on which defaults the file spells out.

    Those that it leaves out are added, where the operator has one default; of windows, whose defaults depend on the
    rank, those that are at theirs are left out, and so is the kernel of a convolution, which is that of its weight.
    """
    known = schema(node, opsets)
    found = {}
    for name, attribute in known.attributes.items() if known is not None else ():
        if attribute.default_value.type != _UNDEFINED:
            found[name] = attribute.default_value
    found.update((attribute.name, attribute) for attribute in node.attribute)
    if kind(node) in _WINDOWS:
        plain = {name for name, value in _AT_REST.items() if name in found and set(found[name].ints) <= {value}}
        plain |= {"kernel_shape"} if kind(node) in _WEIGHTED else set()
        found = {name: attribute for name, attribute in found.items() if name not in plain}
    return found


def values(found: Mapping[str, AttributeProto]) -> dict[str, Any]:
    """Return attributes as plain values; those that hold tensors, graphs or types as their bytes."""
    return {name: _value(attribute) for name, attribute in found.items()}


def _value(attribute: AttributeProto) -> Any:
    value = onnx.helper.get_attribute_value(attribute)
    if isinstance(value, bytes):
        return value.decode(errors="replace")
    if isinstance(value, (int, float)):
        return value
    if isinstance(value, (list, tuple)) and all(isinstance(one, (int, float, bytes)) for one in value):
        return [one.decode(errors="replace") if isinstance(one, bytes) else one for one in value]
    return attribute.SerializeToString(deterministic=True)


def count_operators(before: onnx.ModelProto, after: onnx.ModelProto) -> list[OperatorCount]:
    """Count how many nodes of each operator type both main graphs have, types with another number only."""
    old, new = (Counter(map(kind, model.graph.node)) for model in (before, after))
    return [
        {"op_type": name, "before": old[name], "after": new[name]}
        for name in sorted(old | new)
        if old[name] != new[name]
    ]


def compare_nodes(
    before: Mapping[str, onnx.NodeProto], after: Mapping[str, onnx.NodeProto], *opsets: Mapping[str, int]
) -> NodeChanges:
    """Compare nodes of the same name by operator and attributes, not by what they read.

    Args:
        before: Nodes of one model by name.
        after: Of the other.
        opsets: Versions of the operator sets that each imports, by domain.
    """
    changed: list[ChangedNode] = []
    for name in (name for name in before if name in after):
        old, new = (
            {"op_type": kind(node), **values(attributes(node, versions))}
            for node, versions in zip((before[name], after[name]), opsets, strict=True)
        )
        fields = [key for key in dict.fromkeys((*old, *new)) if old.get(key) != new.get(key)]
        if old["op_type"] != new["op_type"]:
            fields = ["op_type"]
        if fields:
            changes = {key: [_shown(old.get(key)), _shown(new.get(key))] for key in fields}
            changed.append({"name": name, "changes": changes})
    return {
        "same": len(before.keys() & after.keys()) - len(changed),
        "changed": changed,
        "removed": [name for name in before if name not in after],
        "added": [name for name in after if name not in before],
    }


def _shown(value: Any) -> Any:
    """Return a value as JSON can hold it."""
    return f"{len(value)} bytes" if isinstance(value, bytes) else value
