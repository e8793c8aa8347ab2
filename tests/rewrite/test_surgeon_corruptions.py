"""What graph-surgeon turns into something else without a word, set beside the edits of a whole `apply`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from natonnx.architecture import Edit, State, apply_edits
from natonnx.rewrite import build
from tests.rewrite.helpers import Builder, images, node_names, runtime
from tests.rewrite.trunk import (
    assert_applied_as_by_hand,
    assert_built_as_by_hand,
    image,
    late_activation,
    sparse,
    trunk,
    value_info,
)

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

UNKNOWN = [None] * 4


def branch(name: str, nodes: Sequence[onnx.NodeProto]) -> onnx.GraphProto:
    return helper.make_graph(nodes, name, [], [value_info(nodes[-1].output[0])])


# What it folds


@pytest.mark.parametrize(
    ("op_type", "inputs", "attributes"),
    [
        ("RandomNormal", [], {"shape": [2, 3]}),
        ("RandomUniform", [], {"shape": [2, 3]}),
        ("RandomNormalLike", ["image"], {}),
        ("RandomUniformLike", ["image"], {}),
        ("Bernoulli", ["image"], {}),
        ("Multinomial", ["image"], {"sample_size": 3}),
    ],
)
def test_random_numbers_stay_random(
    op_type: str, inputs: list[str], attributes: dict[str, Any], tmp_path: Path
) -> None:
    graph = trunk()
    graph.constant("image", np.full((2, 3), 0.5, np.float32))
    graph.op(op_type, *inputs, out="y", seed=1.0, **attributes)
    assert_applied_as_by_hand(graph.model("t", "y"), tmp_path)


@pytest.mark.parametrize("source", ["r", "constant"])
def test_part_of_a_shape_stays_a_part(source: str, tmp_path: Path) -> None:
    graph = trunk()
    graph.constant("constant", np.zeros((2, 3, 4), np.float32))
    graph.op("Shape", source, out="y", start=1, end=3)
    model = graph.model("t", "y")
    assert runtime(model, {"x": images(2, 4, 8)})["y"].tolist() == ([4, 8] if source == "r" else [3, 4])
    assert_applied_as_by_hand(model, tmp_path)


@pytest.mark.parametrize(("op_type", "factor", "result"), [("Mul", 0.5, 5), ("Div", 2.5, 4)])
def test_arithmetic_between_casts_keeps_its_fraction(op_type: str, factor: float, result: int, tmp_path: Path) -> None:
    graph = trunk()
    graph.op("Cast", graph.constant("ten", np.array(10)), out="exact", to=TensorProto.FLOAT)
    graph.op(op_type, "exact", graph.constant("factor", np.array(factor, np.float32)), out="product")
    graph.op("Cast", "product", out="y", to=TensorProto.INT64)
    model = graph.model("t", "y")
    assert runtime(model, {"x": images(2, 4, 8)})["y"] == result
    assert_applied_as_by_hand(model, tmp_path)


@pytest.mark.parametrize("condition", [True, False])
def test_branches_of_a_constant_condition_stay(condition: bool, tmp_path: Path) -> None:
    graph = trunk()
    graph.weight("outer", 1, 4, 8, 8)
    constant = helper.make_node("Constant", [], ["one"], value=numpy_helper.from_array(np.ones((1, 4, 8, 8), "f4")))
    then = branch("then", [constant])
    other = branch("else", [helper.make_node("Mul", ["r", "outer"], ["scaled"])])
    graph.op("If", graph.constant("yes", np.array(condition)), out="y", then_branch=then, else_branch=other)
    assert_applied_as_by_hand(graph.model("t", value_info("y", UNKNOWN)), tmp_path)


# What it cleans up


def test_inputs_of_a_loop_body_that_nothing_reads_stay(tmp_path: Path) -> None:
    graph = trunk()
    nodes = [helper.make_node("Identity", ["on"], ["still"]), helper.make_node("Neg", ["r"], ["next"])]
    given = [value_info("i", [], TensorProto.INT64), value_info("on", [], TensorProto.BOOL), value_info("before")]
    body = helper.make_graph(nodes, "body", given, [value_info("still", [], TensorProto.BOOL), value_info("next")])
    graph.op("Loop", graph.constant("trips", np.array(3)), "", "r", out="y", body=body)
    assert_applied_as_by_hand(graph.model("t", value_info("y", UNKNOWN)), tmp_path)


def test_unused_first_output_of_topk_keeps_its_place(tmp_path: Path) -> None:
    graph = trunk()
    graph.nodes.append(helper.make_node("TopK", ["r", graph.constant("k", np.array([2]))], ["unused", "y"], "TOPK"))
    assert_applied_as_by_hand(graph.model("t", value_info("y", ["n", 4, 8, 2], TensorProto.INT64)), tmp_path)


@pytest.mark.parametrize("made", [["", "y"], ["", "", "y"]])
def test_outputs_that_are_left_out_keep_their_place(made: list[str], tmp_path: Path) -> None:
    graph = trunk()
    graph.op("Reshape", "r", graph.constant("steps", np.array([8, -1, 32])), out="sequence")
    weights = [graph.weight("W", 1, 8, 32), graph.weight("R", 1, 8, 2)]
    graph.nodes.append(helper.make_node("LSTM", ["sequence", *weights], made, "LSTM", hidden_size=2))
    assert_applied_as_by_hand(graph.model("t", value_info("y", [1, None, 2])), tmp_path)


def test_input_that_nothing_reads_stays(tmp_path: Path) -> None:
    model = trunk().model("t")
    model.graph.input.append(value_info("unread", [2]))
    assert_applied_as_by_hand(model, tmp_path, unread=np.zeros(2, np.float32))


@pytest.mark.parametrize("output", ["x", "constant"])
def test_output_that_nothing_computes_stays(output: str, tmp_path: Path) -> None:
    graph = trunk()
    graph.constant("constant", np.ones(3, np.float32))
    assert_applied_as_by_hand(graph.model("t", image("x") if output == "x" else value_info("constant", [3])), tmp_path)


# What it duplicates, converts and moves


def test_tensor_that_both_branches_capture_is_stored_once(tmp_path: Path) -> None:
    graph = trunk()
    graph.weight("outer", 1, 4, 8, 8)
    graph.op("Cast", graph.op("ReduceSum", "x", out="total", keepdims=0), out="condition", to=TensorProto.BOOL)
    then, other = (branch(op, [helper.make_node(op, ["r", "outer"], [f"i{op}"])]) for op in ("Mul", "Add"))
    graph.op("If", "condition", out="y", then_branch=then, else_branch=other)
    model = graph.model("t", value_info("y", UNKNOWN))
    assert_applied_as_by_hand(model, tmp_path)
    outer = next(tensor.raw_data for tensor in model.graph.initializer if tensor.name == "outer")
    assert (tmp_path / "output.onnx").read_bytes().count(outer) == 1


def sparse_model(reader: str | None) -> onnx.ModelProto:
    graph = trunk()
    outputs = [image("t")]
    if reader:
        inputs = [graph.weight("kernel", 4, 4, 1, 1), "sparse"] if reader == "Conv" else ["sparse"]
        graph.op(reader, "r", *inputs, out="y")
        outputs.append(image("y"))
    inner = helper.make_graph(
        graph.nodes, "graph", [graph.input], outputs, graph.initializers, sparse_initializer=[sparse(4)]
    )
    if reader == "Mul":
        inner.sparse_initializer[0].dims[:] = [8]
    model = helper.make_model(inner, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    onnx.checker.check_model(model)
    return model


@pytest.mark.parametrize("reader", [None, "Conv", "Mul"])
def test_sparse_initializer_is_built_beside(reader: str | None) -> None:
    assert_built_as_by_hand(sparse_model(reader))


def test_what_is_noted_about_a_sparse_initializer_stays() -> None:
    model = sparse_model(None)
    model.graph.quantization_annotation.add(tensor_name="sparse")
    assert_built_as_by_hand(model)


@pytest.mark.parametrize("reader", [None, "Conv", "Mul"])
def test_sparse_initializer_stays(reader: str | None, tmp_path: Path) -> None:
    assert_applied_as_by_hand(sparse_model(reader), tmp_path)


def test_valid_order_that_is_not_the_only_one_stays(tmp_path: Path) -> None:
    graph = trunk()  # A R B S C T
    graph.nodes.insert(0, helper.make_node("Abs", ["x"], ["p"], "EARLY"))
    graph.nodes.insert(3, helper.make_node("Neg", ["a"], ["q"], "LATE"))
    graph.nodes.insert(5, helper.make_node("Exp", ["x"], ["o"], "BETWEEN"))
    graph.nodes.append(helper.make_node("Max", ["p", "q", "o"], ["y"], "Y"))
    assert_applied_as_by_hand(graph.model("t", "y"), tmp_path)


def test_nodes_that_stay_keep_their_order() -> None:
    network = late_activation(3).network("r", "k3")
    result = build(network, apply_edits(network.architecture, [Edit("B", State.O, State.S)]))
    assert node_names(result) == node_names(network.model)


def test_weight_in_a_constant_node_is_not_renamed_in_the_source() -> None:
    graph = Builder()
    graph.conv("x", "a")
    graph.op("Constant", out="w", value=numpy_helper.from_array(np.ones((4, 4, 1, 1), np.float32), "inner"))
    graph.op("Add", graph.op("Conv", "a", "w", out="b"), "a", out="s")
    network = graph.network("s")
    before = network.model.SerializeToString(deterministic=True)
    result = build(network, apply_edits(network.architecture, [Edit("a->s", State.S, State.N)]))
    assert network.model.SerializeToString(deterministic=True) == before
    assert [node for node in result.graph.node if node.op_type == "Constant"] == [network.model.graph.node[1]]
