"""What graph-surgeon crashes on, set beside the edits of a whole `apply`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from natonnx.architecture import Edit, State, apply_edits
from natonnx.rewrite import build
from natonnx.verbs.apply import apply
from tests.rewrite.helpers import images, node_names, runtime
from tests.rewrite.trunk import (
    EDITS,
    applied,
    assert_applied_as_by_hand,
    assert_built_as_by_hand,
    assert_identical,
    by_hand,
    image,
    late_activation,
    sparse,
    trunk,
    value_info,
)

if TYPE_CHECKING:
    from pathlib import Path


def known(*names: str) -> list[int]:
    """The element types of these names that this onnx has."""
    return [getattr(TensorProto, name) for name in names if hasattr(TensorProto, name)]


def tensor(elem_type: int, *shape: int) -> onnx.TensorProto:
    """A tensor `odd` of ones."""
    size = int(np.prod(shape))
    ones: list[Any] = [b"one" if elem_type == TensorProto.STRING else 1] * size
    return helper.make_tensor("odd", elem_type, shape, ones)


# Tensors whose values it cannot read and write

ODD = known("INT4", "UINT4", "INT2", "UINT2", "FLOAT4E2M1", "STRING")
HALF_BROKEN = known("FLOAT8E4M3FNUZ", "FLOAT8E5M2FNUZ", "FLOAT8E4M3FN", "FLOAT8E5M2", "BFLOAT16")


def type_name(elem_type: int) -> str:
    return TensorProto.DataType.Name(elem_type)


@pytest.mark.parametrize("elem_type", [*ODD, *HALF_BROKEN], ids=type_name)
def test_tensor_of_an_odd_type_is_built_beside(elem_type: int) -> None:
    graph = trunk(opset=onnx.defs.onnx_opset_version(), ir_version=onnx.IR_VERSION)
    graph.initializers.append(tensor(elem_type, 3))
    raw = TensorProto(
        name="raw", data_type=elem_type, dims=[1], raw_data=b"\x80" * (1 + (elem_type == TensorProto.BFLOAT16))
    )
    if elem_type != TensorProto.STRING:
        graph.initializers.append(raw)
    assert_built_as_by_hand(graph.model("t"))


@pytest.mark.parametrize("elem_type", [*ODD, *HALF_BROKEN], ids=type_name)
def test_tensor_of_an_odd_type_stays(elem_type: int, tmp_path: Path) -> None:
    graph = trunk(opset=17, ir_version=10)
    graph.initializers.append(tensor(elem_type, 3))
    assert_applied_as_by_hand(graph.model("t"), tmp_path)


@pytest.mark.parametrize(
    "elem_type", known("INT4", "UINT4", "FLOAT8E4M3FN", "FLOAT8E4M3FNUZ", "FLOAT8E5M2", "FLOAT8E5M2FNUZ"), ids=type_name
)
def test_weight_of_an_odd_type_stays(elem_type: int, tmp_path: Path) -> None:
    graph = trunk(opset=21, ir_version=10)
    graph.initializers.append(tensor(elem_type, 4, 4, 1, 1))
    graph.op("DequantizeLinear", "odd", graph.constant("scale", np.array(0.5, np.float32)), out="weight")
    graph.op("Conv", "r", "weight", out="y")
    model = graph.model("t", "y")
    assert_applied_as_by_hand(model, tmp_path)
    inputs = {"x": images(2, 4, 8)}
    edited = applied(model, tmp_path, EDITS["skip"])
    assert runtime(edited, inputs)["y"].any()


def test_text_that_is_read_stays() -> None:
    graph = trunk()
    graph.initializers.append(tensor(TensorProto.STRING, 3))
    graph.op("Identity", "odd", out="y")
    assert_built_as_by_hand(graph.model("t", "y"))


@pytest.mark.parametrize(
    "value",
    [
        {"value_float": 1.5},
        {"value_floats": [1.5, 2.5]},
        {"value_int": 3},
        {"value_ints": [3, 4]},
        {"value_strings": ["text", "more"]},
        {"value_string": "text"},
        {"value": numpy_helper.from_array(np.array([1, 2], np.int32))},
    ],
    ids=lambda value: next(iter(value)),
)
def test_constant_node_stays(value: dict[str, Any], tmp_path: Path) -> None:
    graph = trunk()
    graph.op("Constant", out="y", **value)
    assert_applied_as_by_hand(graph.model("t", "y"), tmp_path)


NO_ARRAY: dict[str, dict[str, Any]] = {
    "text that is no text": {"value_string": b"\xff\xfe"},
    "sparse": {"sparse_value": sparse(4)},
}


@pytest.mark.parametrize("value", NO_ARRAY.values(), ids=NO_ARRAY.keys())
def test_constant_node_that_onnxruntime_cannot_return_stays(value: dict[str, Any], tmp_path: Path) -> None:
    graph = trunk()
    graph.op("Constant", out="y", **value)
    assert_applied_as_by_hand(graph.model("t"), tmp_path)


def test_output_that_onnxruntime_cannot_return_stays(tmp_path: Path) -> None:
    graph = trunk()
    graph.op("Constant", out="y", **NO_ARRAY["text that is no text"])
    model = graph.model("t", "y")
    for name, edit in EDITS.items():
        assert_identical(applied(model, tmp_path, edit), by_hand(model, name))


@pytest.mark.parametrize("kind", ["value_float", "value_floats"])
def test_constant_node_that_is_read_stays(kind: str, tmp_path: Path) -> None:
    graph = trunk()
    value: dict[str, Any] = {kind: 1.5 if kind == "value_float" else [1.5]}
    graph.op("Constant", out="factor", **value)
    graph.op("Mul", "r", "factor", out="y")
    assert_applied_as_by_hand(graph.model("t", "y"), tmp_path)


# Types


def of_type(elem_type: onnx.TypeProto, op_type: str, *inputs: str) -> onnx.ModelProto:
    graph = trunk(opset=18)
    graph.op(op_type, *inputs, out="y")
    return graph.model("t", helper.make_value_info("y", elem_type))


TENSOR = helper.make_tensor_type_proto(TensorProto.FLOAT, ["n", 4, 8, 8])


def test_optional_output_stays(tmp_path: Path) -> None:
    model = of_type(helper.make_optional_type_proto(TENSOR), "Optional", "r")
    assert_applied_as_by_hand(model, tmp_path)


def test_optional_sequence_output_stays() -> None:
    graph = trunk(opset=18)
    graph.op("Optional", graph.op("SequenceConstruct", "r", out="q"), out="y")
    kind = helper.make_optional_type_proto(helper.make_sequence_type_proto(TENSOR))
    assert_built_as_by_hand(graph.model("t", helper.make_value_info("y", kind)))


@pytest.mark.parametrize("kind", ["sequence", "optional", "text"])
def test_input_of_another_type_stays(kind: str, tmp_path: Path) -> None:
    given, makes, reader, feed = {
        "sequence": (helper.make_sequence_type_proto(TENSOR), TensorProto.INT64, "SequenceLength", [images(1, 4, 8)]),
        "optional": (helper.make_optional_type_proto(TENSOR), TensorProto.BOOL, "OptionalHasElement", images(1, 4, 8)),
        "text": (helper.make_tensor_type_proto(TensorProto.STRING, []), TensorProto.STRING, "Identity", np.array("a")),
    }[kind]
    graph = trunk(opset=18)
    graph.op(reader, "given", out="y")
    inputs = [graph.input, helper.make_value_info("given", given)]
    outputs = [image("t"), value_info("y", [], makes)]
    inner = helper.make_graph(graph.nodes, "graph", inputs, outputs, graph.initializers)
    model = helper.make_model(inner, opset_imports=[helper.make_opsetid("", 18)], ir_version=8)
    onnx.checker.check_model(model, full_check=True)
    assert_built_as_by_hand(model)
    assert_applied_as_by_hand(model, tmp_path, given=feed)


def test_external_data_is_found_from_anywhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = tmp_path / "elsewhere"
    folder.mkdir()
    onnx.save(trunk().model("t"), folder / "model.onnx", save_as_external_data=True, location="data", size_threshold=0)
    assert (folder / "data").exists()
    monkeypatch.chdir(tmp_path)
    output, _ = apply("elsewhere/model.onnx", [EDITS["skip"]], "output.onnx")
    result = onnx.load(output)
    del result.metadata_props[:]
    assert_identical(result, by_hand(onnx.load(folder / "model.onnx"), "skip"))


@pytest.mark.parametrize("kind", ["Neg", "Conv"])
def test_chain_of_2000_nodes_stays_in_order(kind: str) -> None:
    graph = trunk(size=2)
    last = "t"
    for i in range(2000):
        last = graph.op(kind, last, *(["a.w"] if kind == "Conv" else []), out=f"k{i}")
    assert_built_as_by_hand(graph.model(last))


def test_2000_nodes_behind_an_edge_that_moves_are_valid() -> None:
    network = late_activation(2000).network("r", "k2000")
    result = build(network, apply_edits(network.architecture, [Edit("B", State.O, State.S)]))
    onnx.checker.check_model(result, full_check=True)
    assert set(node_names(result)) == set(node_names(network.model))
    inputs = {"x": images(2, 4, 2)}
    np.testing.assert_array_equal(runtime(result, inputs)["k2000"], 2 * inputs["x"])
