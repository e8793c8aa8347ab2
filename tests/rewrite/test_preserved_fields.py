"""Fields that graph-surgeon loses, one by one and at every level, set beside the edits of a whole `apply`."""

from __future__ import annotations

from itertools import chain
from typing import TYPE_CHECKING, Any

import numpy as np
import onnx
import pytest
from onnx import AttributeProto, TensorProto, helper, numpy_helper

from tests.rewrite.helpers import images, runtime
from tests.rewrite.trunk import (
    EDITS,
    applied,
    assert_applied_as_by_hand,
    assert_built_as_by_hand,
    image,
    trunk,
    value_info,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from google.protobuf.message import Message

IMPORTS = [helper.make_opsetid("", 20), helper.make_opsetid("local", 1)]


def negation(**fields: Any) -> onnx.FunctionProto:
    nodes = [helper.make_node("Neg", ["in"], ["middle"]), helper.make_node("Identity", ["middle"], ["out"])]
    imports = [helper.make_opsetid("", 20)]
    return helper.make_function("local", "F", ["in"], ["out"], nodes, imports, **fields)


def plain() -> onnx.ModelProto:
    """The trunk, a call of a function, and a tensor that nothing reads."""
    graph = trunk(opset=20, ir_version=10)
    graph.weight("unused", 3, 5)
    graph.nodes.append(helper.make_node("F", ["r"], ["y"], "Y", domain="local", odd=1))
    model = graph.model("t", image("y"), functions=[negation(attributes=["odd"])], opset_imports=IMPORTS)
    model.graph.value_info.append(image("r"))
    return model


# Each sets one field of the model in place; the node A, the tensors a.w and r, and the function stay in every edit.


def _domain(model: onnx.ModelProto) -> None:
    model.domain = "org.example"


def _model_version(model: onnx.ModelProto) -> None:
    model.model_version = 42


def _producer(model: onnx.ModelProto) -> None:
    model.producer_name, model.producer_version = "hand", "1.2.3"


def _doc_strings(model: onnx.ModelProto) -> None:
    model.doc_string, model.graph.doc_string, model.functions[0].doc_string = "a model", "a graph", "a function"


def _metadata(model: onnx.ModelProto) -> None:
    for holder in (model, model.graph, model.functions[0]):
        holder.metadata_props.add(key="who", value="tests")
        holder.metadata_props.add(key="twice", value="1")
        holder.metadata_props.add(key="empty", value="")


def _training_info(model: onnx.ModelProto) -> None:
    training = model.training_info.add()
    training.initialization.name, training.algorithm.name = "initialization", "algorithm"
    training.update_binding.add(key="unused", value="unused")


def _device_configurations(model: onnx.ModelProto) -> None:
    if onnx.IR_VERSION < 11:
        pytest.skip("this onnx does not know them yet")
    model.ir_version = 11
    model.configuration.add(name="two", num_devices=2, device=["left", "right"])
    placement = model.graph.node[0].device_configurations.add(configuration_id="two", pipeline_stage=1)
    placement.sharding_spec.add(tensor_name="a", device=[0, 1]).sharded_dim.add(axis=1)


def _quantization_annotation(model: onnx.ModelProto) -> None:
    for tensor in ("r", "a.w", "x", "y"):
        note = model.graph.quantization_annotation.add(tensor_name=tensor)
        note.quant_parameter_tensor_names.add(key="SCALE_TENSOR", value="unused")


def _annotation_of_no_tensor(model: onnx.ModelProto) -> None:
    model.graph.quantization_annotation.add(tensor_name="nowhere")


def _value_info_of_no_tensor(model: onnx.ModelProto) -> None:
    model.graph.value_info.append(value_info("nowhere", [3]))


def _value_info_of_initializers(model: onnx.ModelProto) -> None:
    model.graph.value_info.extend([value_info("a.w", [4, 4, 1, 1]), value_info("unused", [3, 5])])


def _overridable_defaults(model: onnx.ModelProto) -> None:
    shapes = {"a.w": [4, 4, 1, 1], "unused": [3, 5], "b.w": [4, 4, 1, 1], "c.w": [4, 4, 1, 1]}
    model.graph.input.extend(value_info(name, shape) for name, shape in shapes.items())


def _value_doc_strings(model: onnx.ModelProto) -> None:
    for value in values(model):
        value.doc_string = f"value {value.name}"


def _value_metadata(model: onnx.ModelProto) -> None:
    for value in values(model):
        value.metadata_props.add(key="value", value=value.name)


def _denotations(model: onnx.ModelProto) -> None:
    for value in values(model):
        value.type.denotation = "IMAGE"
        for dim in value.type.tensor_type.shape.dim:
            dim.denotation = "DATA_FEATURE"


def _node_doc_strings(model: onnx.ModelProto) -> None:
    for node in (model.graph.node[0], model.functions[0].node[0]):
        node.doc_string = "a node"


def _node_metadata(model: onnx.ModelProto) -> None:
    for node in (model.graph.node[0], model.functions[0].node[0]):
        node.metadata_props.add(key="node", value=node.op_type)


def _overloads(model: onnx.ModelProto) -> None:
    model.graph.node.append(helper.make_node("F", ["y"], ["z"], "Z", domain="local", overload="other"))
    model.functions.append(negation(overload="other"))


def _attribute_doc_string(model: onnx.ModelProto) -> None:
    model.graph.node[0].attribute[0].doc_string = "an attribute"


def _function_value_info(model: onnx.ModelProto) -> None:
    model.functions[0].value_info.append(image("middle"))


def _function_attribute_default(model: onnx.ModelProto) -> None:
    model.functions[0].attribute_proto.append(helper.make_attribute("factor", 2.0))


def _tensor_doc_string(model: onnx.ModelProto) -> None:
    for tensor in (model.graph.initializer[0], model.graph.initializer[-1]):
        tensor.doc_string = "a tensor"


def _tensor_metadata(model: onnx.ModelProto) -> None:
    for tensor in (model.graph.initializer[0], model.graph.initializer[-1]):
        tensor.metadata_props.add(key="tensor", value=tensor.name)


def _default_domain_by_its_long_name(model: onnx.ModelProto) -> None:
    model.opset_import[0].domain = "ai.onnx"


def _unused_opset_imports(model: onnx.ModelProto) -> None:
    model.opset_import.insert(0, helper.make_opsetid("unused", 7))
    model.opset_import.append(helper.make_opsetid("ai.onnx.ml", 3))


def values(model: onnx.ModelProto) -> Iterator[onnx.ValueInfoProto]:
    return chain(model.graph.input, model.graph.output, model.graph.value_info)


SETTERS = [
    _domain,
    _model_version,
    _producer,
    _doc_strings,
    _metadata,
    _training_info,
    _device_configurations,
    _quantization_annotation,
    _annotation_of_no_tensor,
    _value_info_of_no_tensor,
    _value_info_of_initializers,
    _overridable_defaults,
    _value_doc_strings,
    _value_metadata,
    _denotations,
    _node_doc_strings,
    _node_metadata,
    _overloads,
    _attribute_doc_string,
    _function_value_info,
    _function_attribute_default,
    _tensor_doc_string,
    _tensor_metadata,
    _default_domain_by_its_long_name,
    _unused_opset_imports,
]


@pytest.mark.parametrize("setter", SETTERS, ids=lambda setter: setter.__name__.strip("_"))
def test_field_stays(setter: Callable[[onnx.ModelProto], None], tmp_path: Path) -> None:
    model = plain()
    setter(model)
    onnx.checker.check_model(model, full_check=True)
    assert model != plain()
    assert_applied_as_by_hand(model, tmp_path)


def test_plain_model_stays(tmp_path: Path) -> None:
    assert_applied_as_by_hand(plain(), tmp_path)


def test_default_can_still_be_overridden(tmp_path: Path) -> None:
    model = plain()
    _overridable_defaults(model)
    result = applied(model, tmp_path, EDITS["skip"])
    feeds = {"x": images(2, 4, 8), "a.w": np.zeros((4, 4, 1, 1), np.float32)}
    assert not runtime(result, feeds)["t"].any()


# Attributes


def _attributes() -> dict[str, AttributeProto]:
    tensor = numpy_helper.from_array(np.ones(2, np.float32), "tensor")
    sparse = helper.make_sparse_tensor(tensor, numpy_helper.from_array(np.array([0, 1]), "indices"), [3])
    node = helper.make_node("Neg", ["r"], ["inner"])  # it captures a tensor, as the body of a loop does
    graph = helper.make_graph([node], "body", [], [value_info("inner")])
    kind = helper.make_tensor_type_proto(TensorProto.FLOAT, [1])
    return {
        "type_proto": AttributeProto(name="odd", type=AttributeProto.TYPE_PROTO, tp=kind),
        "type_protos": AttributeProto(name="odd", type=AttributeProto.TYPE_PROTOS, type_protos=[kind]),
        "sparse_tensor": AttributeProto(name="odd", type=AttributeProto.SPARSE_TENSOR, sparse_tensor=sparse),
        "sparse_tensors": AttributeProto(name="odd", type=AttributeProto.SPARSE_TENSORS, sparse_tensors=[sparse]),
        "tensor": AttributeProto(name="odd", type=AttributeProto.TENSOR, t=tensor),
        "tensors": AttributeProto(name="odd", type=AttributeProto.TENSORS, tensors=[tensor]),
        "graph": AttributeProto(name="odd", type=AttributeProto.GRAPH, g=graph),
        "graphs": AttributeProto(name="odd", type=AttributeProto.GRAPHS, graphs=[graph]),
        "int": helper.make_attribute("odd", 7),
        "float": helper.make_attribute("odd", 7.5),
        "floats": helper.make_attribute("odd", [7.5, -0.0]),
        "ints": helper.make_attribute("odd", [7, 8]),
        "strings": helper.make_attribute("odd", ["s", "t"]),
        "no floats": AttributeProto(name="odd", type=AttributeProto.FLOATS),
        "no ints": AttributeProto(name="odd", type=AttributeProto.INTS),
        "no strings": AttributeProto(name="odd", type=AttributeProto.STRINGS),
        "bytes that are no text": AttributeProto(name="odd", type=AttributeProto.STRING, s=b"\xff\xfe"),
        "list of bytes that are no text": AttributeProto(name="odd", type=AttributeProto.STRINGS, strings=[b"\xff"]),
    }


@pytest.mark.parametrize("attribute", _attributes().values(), ids=_attributes().keys())
def test_attribute_stays(attribute: AttributeProto, tmp_path: Path) -> None:
    model = plain()
    call = model.graph.node[-1]
    assert call.name == "Y"
    call.attribute[0].CopyFrom(attribute)
    onnx.checker.check_model(model, full_check=True)
    assert_applied_as_by_hand(model, tmp_path)


# Types


def test_map_type_stays(tmp_path: Path) -> None:
    graph = trunk()
    graph.op("Gemm", graph.op("Flatten", "r", out="f"), graph.weight("w", 256, 3), out="g")
    graph.nodes.append(helper.make_node("ZipMap", ["g"], ["y"], "Y", domain="ai.onnx.ml", classlabels_int64s=[5, 6, 7]))
    score = onnx.TypeProto()
    score.map_type.key_type = TensorProto.INT64
    score.map_type.value_type.CopyFrom(helper.make_tensor_type_proto(TensorProto.FLOAT, []))
    zipped = helper.make_value_info("y", helper.make_sequence_type_proto(score))
    imports = [helper.make_opsetid("", 17), helper.make_opsetid("ai.onnx.ml", 1)]
    model = graph.model("t", zipped, opset_imports=imports)
    assert_applied_as_by_hand(model, tmp_path)


def test_sequence_type_stays(tmp_path: Path) -> None:
    graph = trunk()
    graph.op("SequenceConstruct", "r", "a", out="y")
    model = graph.model("t", helper.make_tensor_sequence_value_info("y", TensorProto.FLOAT, ["n", 4, 8, 8]))
    model.graph.output[1].type.denotation = "a sequence"
    assert_applied_as_by_hand(model, tmp_path)


# What no version of ONNX has yet

FUTURE = bytes([0x82, 0x7D, 3]) + b"new"
"""Field 2000, of three bytes, in protobuf's encoding."""


def messages(message: Message) -> Iterator[Message]:
    yield message
    for field, value in message.ListFields():
        if field.message_type is not None:
            for inner in value if isinstance(value, (list, tuple)) or hasattr(value, "__len__") else [value]:
                yield from messages(inner)


def test_field_that_this_onnx_does_not_know_stays_in_every_message() -> None:
    model = plain()
    for setter in (_doc_strings, _metadata, _denotations, _quantization_annotation, _training_info, _overloads):
        setter(model)
    found = list(messages(model))
    assert {type(message).__name__ for message in found} >= {"ModelProto", "GraphProto", "NodeProto", "TensorProto"}
    for message in found:
        message.MergeFromString(FUTURE)
    assert model.SerializeToString().count(b"new") == len(found)
    assert_built_as_by_hand(model)


def test_contract_of_a_file_that_onnxruntime_is_may_be_too_old_for_stays() -> None:
    newest = trunk(opset=onnx.defs.onnx_opset_version(), ir_version=onnx.IR_VERSION)
    assert_built_as_by_hand(newest.model("t"))
