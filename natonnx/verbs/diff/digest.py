"""Digests of what a model computes: equal ones mean equal computations, whatever the names.

A tensor's digest covers the operator that makes it, its attributes, and the digests of what it reads, down to the
model's inputs and constants. So two tensors of the same digest are the same function of the same inputs. That holds one
way only: the same function may be written in ways that differ.
"""

from collections.abc import Iterator, Mapping
from hashlib import blake2b
from pathlib import Path
from typing import NamedTuple

import numpy as np
import onnx
from onnx import AttributeProto, TensorProto, helper, numpy_helper

from natonnx.frontend.view import RANDOM, reads
from natonnx.frontend.vocabulary import DEFAULT_DOMAIN
from natonnx.tensors import all_tensors, read_tensor
from natonnx.verbs.diff.operators import attributes, kind, schema

__all__ = ["Digests", "constants", "digests", "graph_digests", "opsets"]

_CHUNK = 1 << 24
_VALUES = ("value", "value_float", "value_floats", "value_int", "value_ints")
_BY_OUTPUTS = frozenset({"Split", "BatchNormalization"})
"""Operators that do something else where more of their outputs are named (the latter before version 9)."""
_SIZES = frozenset({TensorProto.INT64, TensorProto.INT32, TensorProto.BOOL, TensorProto.STRING})
"""Types of constants that say what is computed (axes, targets of Reshape) rather than being weights."""


class Digests(NamedTuple):
    """Digests of a model's tensors, by name.

    Attributes:
        constants: Of its constants: their types, shapes and values.
        content: Of all tensors, by operator versions, and by the values of the constants.
        graph: Likewise, but of weights by type and shape only.
        shape: Likewise, operators of all versions being taken for the same.
    """

    constants: Mapping[str, bytes]
    content: Mapping[str, bytes]
    graph: Mapping[str, bytes]
    shape: Mapping[str, bytes]


def opsets(model: onnx.ModelProto) -> dict[str, int]:
    """Return the version of each operator set that a model imports, by domain; "" is ONNX's own."""
    return {"" if entry.domain in DEFAULT_DOMAIN else entry.domain: entry.version for entry in model.opset_import}


def constants(model: onnx.ModelProto) -> dict[str, TensorProto]:
    """Return a model's dense initializers, and the values of its Constant nodes, by name of the tensor."""
    found = {tensor.name: tensor for tensor in model.graph.initializer}
    for node in model.graph.node:
        value = _constant(node)
        if value is not None:
            found[node.output[0]] = value
    return found


def _constant(node: onnx.NodeProto) -> TensorProto | None:
    if kind(node) != "Constant" or not node.attribute or node.attribute[0].name not in _VALUES:
        return None
    value = helper.get_attribute_value(node.attribute[0])
    if isinstance(value, TensorProto):
        return value
    dtype = np.float32 if "float" in node.attribute[0].name else np.int64
    return numpy_helper.from_array(np.asarray(value, dtype), node.output[0])


def digests(model: onnx.ModelProto, folder: Path | None, inputs: Mapping[str, str]) -> Digests:
    """Digest all tensors of a model's main graph.

    Args:
        model: The model.
        folder: Where its external data is. It is read once, in parts.
        inputs: What each of its inputs is to be taken for: inputs of two models that have the same label are the same.

    Raises:
        InputError: If external data cannot be read.
    """
    values = {name: _of_tensor(tensor, folder) for name, tensor in constants(model).items()}
    values.update(_of_sparse(model, folder))
    types = _types(model, folder)
    start = {name: _hash("input", label) for name, label in inputs.items()}
    walk = _Walk(model, folder)
    return Digests(
        values,
        walk.run({**start, **values}, versions=True),
        walk.run({**start, **types}, versions=True),
        walk.run({**start, **types}, versions=False),
    )


def graph_digests(model: onnx.ModelProto, folder: Path | None, inputs: Mapping[str, str]) -> dict[str, bytes]:
    """Return the `graph` digests of a model; its weights are not read."""
    start = {name: _hash("input", label) for name, label in inputs.items()}
    return _Walk(model, folder).run({**start, **_types(model, folder)}, versions=True)


def _types(model: onnx.ModelProto, folder: Path | None) -> dict[str, bytes]:
    """Return digests of a model's constants, of weights by type and shape only."""
    found = {
        name: _of_tensor(tensor, folder) if tensor.data_type in _SIZES else _hash("weight", _type(tensor))
        for name, tensor in constants(model).items()
    }
    return {**found, **_of_sparse(model, folder)}


def _of_sparse(model: onnx.ModelProto, folder: Path | None) -> dict[str, bytes]:
    found = {}
    for sparse in model.graph.sparse_initializer:
        parts = [_of_tensor(part, folder) for part in (sparse.values, sparse.indices)]
        found[sparse.values.name] = _hash("sparse", str(list(sparse.dims)), *parts)
    return found


def draws(node: onnx.NodeProto) -> bool:
    """Return whether a node makes random numbers: no two such nodes make the same."""
    return kind(node) in RANDOM or (kind(node) == "Dropout" and len(node.input) > 2)


class _Walk:
    def __init__(self, model: onnx.ModelProto, folder: Path | None) -> None:
        self.model = model
        self.folder = folder
        self.opsets = opsets(model)
        self.functions = {kind(onnx.NodeProto(domain=one.domain, op_type=one.name)) for one in model.functions}
        self.own = [
            None if _constant(node) is not None else _hash(*self._node(node), str(i) if draws(node) else "")
            for i, node in enumerate(model.graph.node)
        ]
        self.versions = [self._version(node) for node in model.graph.node]

    def run(self, known: Mapping[str, bytes], *, versions: bool) -> dict[str, bytes]:
        found = dict(known)
        for i, node in enumerate(self.model.graph.node):
            own = self.own[i]
            if own is None:
                continue
            inputs = [found.get(name, b"") if name else b"none" for name in node.input]
            captured = [found.get(name, b"") for name in reads(node)]
            whole = _hash(own, self.versions[i] if versions else "", *inputs, "captured", *captured)
            for position, name in enumerate(node.output):
                if name:
                    found[name] = _hash(whole, str(position))
        return found

    def _version(self, node: onnx.NodeProto) -> str:
        """Return the version of a node's operator; those of all sets where it holds a graph of its own."""
        if any(attribute.HasField("g") or attribute.graphs for attribute in node.attribute):
            return str(sorted(self.opsets.items()))
        known = schema(node, self.opsets)
        return str(known.since_version if known is not None else self.opsets.get(node.domain))

    def _node(self, node: onnx.NodeProto) -> Iterator[str | bytes]:
        """Return all that says what a node does with what it reads."""
        yield kind(node)
        yield node.overload
        if kind(node) in self.functions:
            yield from self._functions()
        if kind(node) in _BY_OUTPUTS or schema(node, self.opsets) is None:
            yield str([bool(name) for name in node.output])
        for name, attribute in sorted(attributes(node, self.opsets).items()):
            yield name
            yield from self._attribute(attribute)

    def _functions(self) -> Iterator[bytes]:
        part = onnx.ModelProto(functions=self.model.functions)
        for function in part.functions:
            yield function.SerializeToString(deterministic=True)
        yield from (_of_tensor(tensor, self.folder) for tensor in all_tensors(part))

    def _attribute(self, attribute: AttributeProto) -> Iterator[bytes]:
        if attribute.HasField("t"):
            yield _of_tensor(attribute.t, self.folder)
            return
        bare = AttributeProto()
        bare.CopyFrom(attribute)
        bare.ClearField("doc_string")
        yield bare.SerializeToString(deterministic=True)
        part = onnx.ModelProto()  # external data is only named in the bytes; functions may be called within graphs
        part.graph.node.add().attribute.append(attribute)
        yield from (_of_tensor(tensor, self.folder) for tensor in all_tensors(part))
        if attribute.HasField("g") or attribute.graphs:
            yield from self._functions()


def _type(tensor: TensorProto) -> str:
    return f"{tensor.data_type} {list(tensor.dims)}"


def _of_tensor(tensor: TensorProto, folder: Path | None) -> bytes:
    """Digest of a tensor's type, shape and values, wherever these lie."""
    value = read_tensor(tensor, folder)
    if value.dtype.kind in "OSU":
        return _hash("tensor", _type(tensor), repr(value.tolist()))
    made = blake2b(_hash("tensor", _type(tensor)), digest_size=16)
    flat = np.ascontiguousarray(value).reshape(-1)
    step = max(1, _CHUNK // max(1, flat.itemsize))
    for start in range(0, flat.size, step):
        made.update(flat[start : start + step].view(np.uint8).data)
    return made.digest()


def _hash(*parts: str | bytes) -> bytes:
    made = blake2b(digest_size=16)
    for part in parts:
        data = part.encode() if isinstance(part, str) else part
        made.update(len(data).to_bytes(8, "little"))
        made.update(data)
    return made.digest()
