"""One small residual network to hang any hazard on, and two edits of it whose results are written here by hand."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import onnx
from onnx import TensorProto, helper

from natonnx.architecture import Edit, State, apply_edits
from natonnx.frontend import parse
from natonnx.rewrite import build
from natonnx.rewrite.provenance import KEY
from natonnx.verbs.apply import apply
from natonnx.verbs.inspect import inspect
from tests.rewrite.helpers import Builder, copy, images, node_names, runtime

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

EDITS = {"skip": Edit("B", State.O, State.S), "null": Edit("C", State.O, State.N)}


def trunk(**options: Any) -> Builder:
    """x → A → r; B + r = s; C + s = t. Whatever reads r lies before both edits, whatever reads s between them."""
    graph = Builder(**options)
    graph.op("Relu", graph.conv("x", "a"), out="r")
    graph.op("Add", graph.conv("r", "b"), "r", out="s")
    graph.op("Add", graph.conv("s", "c"), "s", out="t")
    return graph


def value_info(name: str, shape: list[Any] | None = None, elem_type: int = TensorProto.FLOAT) -> onnx.ValueInfoProto:
    return helper.make_tensor_value_info(name, elem_type, shape)


def image(name: str) -> onnx.ValueInfoProto:
    return value_info(name, ["n", 4, 8, 8])


def imports(*domains: str) -> dict[str, Any]:
    return {"opset_imports": [helper.make_opsetid("", 17), *(helper.make_opsetid(domain, 1) for domain in domains)]}


def sparse(*shape: int) -> onnx.SparseTensorProto:
    """A sparse tensor `sparse` with a single two in it."""
    values = helper.make_tensor("sparse", TensorProto.FLOAT, [1], [2.0])
    return helper.make_sparse_tensor(values, helper.make_tensor("at", TensorProto.INT64, [1], [1]), shape)


def late_activation(length: int) -> Builder:
    """The activation of the first convolution is the last node of the file, behind a chain on the sum of the second."""
    graph = Builder(size=2)
    graph.conv("x", "a")
    graph.op("Add", graph.conv("x", "b"), "x", out="k0")
    for i in range(length):
        graph.op("Neg", f"k{i}", out=f"k{i + 1}")
    graph.op("Relu", "a", out="r")
    return graph


def reasons(model: onnx.ModelProto, folder: Path) -> dict[str, str]:
    """What `inspect` says of each opaque node."""
    path = folder / "model.onnx"
    path.write_bytes(model.SerializeToString())
    return {node["node"]: node["reason"] for node in inspect(path)["opaque"]}


def without(source: onnx.ModelProto, *, nodes: Iterable[str] = (), tensors: Iterable[str] = ()) -> onnx.ModelProto:
    """A copy without the nodes and tensors of these names, and without what is noted about those tensors."""
    model, nodes, tensors = copy(source), set(nodes), set(tensors)
    graph = model.graph
    fields: list[tuple[Any, str, set[str]]] = [
        (graph.node, "name", nodes),
        (graph.initializer, "name", tensors),
        (graph.input, "name", tensors),
        (graph.value_info, "name", tensors),
        (graph.quantization_annotation, "tensor_name", tensors),
    ]
    for field, key, names in fields:
        for message in [message for message in field if getattr(message, key) in names]:
            field.remove(message)
    return model


def assert_identical(model: onnx.ModelProto, expected: onnx.ModelProto) -> None:
    assert node_names(model) == node_names(expected)
    for node, other in zip(model.graph.node, expected.graph.node, strict=True):
        assert node == other
    assert model.SerializeToString(deterministic=True) == expected.SerializeToString(deterministic=True)


def by_hand(source: onnx.ModelProto, edit: str) -> onnx.ModelProto:
    """The source after one of EDITS, and with nothing else changed."""
    if edit == "skip":
        model = without(source, tensors=["b.w"])
        position = node_names(model).index("B")
        model.graph.node[position].CopyFrom(helper.make_node("Identity", ["r"], ["b"], "B"))
    else:
        model = without(source, nodes=["C", "T"], tensors=["c", "c.w"])
        position = node_names(source).index("C")
        model.graph.node.insert(position, helper.make_node("Identity", ["s"], ["t"], "s->t"))
    return model


def applied(source: onnx.ModelProto, folder: Path, *edits: Edit) -> onnx.ModelProto:
    """The model that `apply` writes, every check of its own passed, without the provenance."""
    path = folder / "source.onnx"
    path.write_bytes(source.SerializeToString())
    before = path.read_bytes()
    output, _ = apply(path, edits, folder / "output.onnx", force=True)
    assert path.read_bytes() == before
    model = onnx.load(output)
    for prop in [prop for prop in model.metadata_props if prop.key == KEY]:
        model.metadata_props.remove(prop)
    return model


def assert_built_as_by_hand(source: onnx.ModelProto) -> None:
    """Each of EDITS gives what it should, leaves all else bit for bit, and does not touch the source."""
    before = source.SerializeToString(deterministic=True)
    network = parse(source)
    for name, edit in EDITS.items():
        assert_identical(build(network, apply_edits(network.architecture, [edit])), by_hand(source, name))
    assert source.SerializeToString(deterministic=True) == before


def assert_applied_as_by_hand(source: onnx.ModelProto, folder: Path, **feeds: Any) -> None:
    """The same of the files that `apply` writes; and all outputs but `t` are, in onnxruntime, what they were.

    No edit at all gives the file's own bytes.
    """
    applied(source, folder)
    assert (folder / "output.onnx").read_bytes() == (folder / "source.onnx").read_bytes()
    feeds = {"x": images(2, 4, 8), **feeds}
    outputs = runtime(source, feeds)
    for name, edit in EDITS.items():
        result = applied(source, folder, edit)
        assert_identical(result, by_hand(source, name))
        found = runtime(result, feeds)
        assert found.keys() == outputs.keys()
        for output in outputs.keys() - {"t"}:
            np.testing.assert_equal(found[output], outputs[output])
