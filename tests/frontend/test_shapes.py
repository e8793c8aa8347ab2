"""Shapes that onnx's own inference does not find, and names of axes that are none."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper

from natonnx.architecture import cost
from natonnx.frontend import parse
from natonnx.frontend.shapes import OTHER_TYPE, infer_shapes
from tests.rewrite.helpers import Builder

if TYPE_CHECKING:
    from pathlib import Path


def viewed() -> onnx.ModelProto:
    """What torch writes for x.view(x.size(0), -1, 2): a target that Shape, Slice and Concat compute."""
    graph = Builder(size=4)
    graph.op("Shape", "x", out="shape")
    bounds = [graph.constant(name, np.array([value])) for name, value in (("start", 0), ("end", 1))]
    graph.op("Slice", "shape", *bounds, out="first")
    graph.op("Cast", "first", out="cast", to=TensorProto.INT64)
    graph.op("Concat", "cast", graph.constant("rest", np.array([32, 2])), out="target", axis=-1)
    graph.op("Reshape", "x", "target", out="view")
    graph.op("MatMul", "view", graph.weight("w", 2, 5), out="y")
    return graph.model(helper.make_tensor_value_info("y", TensorProto.FLOAT, ["n", 32, 5]))


def test_a_target_that_is_computed_from_the_batch(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    model = viewed()
    del model.graph.output[0].type.tensor_type.shape.dim[:]
    model.graph.output[0].type.tensor_type.ClearField("shape")
    shapes, dtypes = infer_shapes(model)
    assert shapes["view"] == ("n", 32, 2)
    assert shapes["y"] == ("n", 32, 5)
    assert dtypes["view"] == TensorProto.FLOAT
    assert list(tmp_path.iterdir()) == [], "onnxruntime's own entry point leaves a file behind"


def test_such_a_product_is_counted_at_its_size() -> None:
    assert cost(parse(viewed()).architecture).madds == 32 * 2 * 5


def test_a_product_of_unknown_size_is_not_guessed() -> None:
    graph = Builder(size=4)
    graph.op("NonZero", "x", out="where")
    graph.op("Cast", "where", out="float", to=TensorProto.FLOAT)
    graph.op("Transpose", "float", out="rows", perm=[1, 0])
    graph.op("MatMul", "rows", graph.weight("w", 4, 3), out="y")
    architecture = parse(graph.model(helper.make_tensor_value_info("y", TensorProto.FLOAT, ["k", 3]))).architecture
    operation = next(edge.operation for edge in architecture.topology.edges if edge.operation)
    assert operation.madds in (4 * 3, None)


@pytest.mark.parametrize("name", ["?", "-1", ""])
def test_axes_without_a_real_name_are_not_one_size(name: str) -> None:
    graph = Builder(size=4)
    graph.conv("x", "a")
    model = graph.model("a")
    for axis in (2, 3):
        model.graph.input[0].type.tensor_type.shape.dim[axis].dim_param = name
    shapes, _ = infer_shapes(model)
    assert shapes["x"] == ("n", 4, "input0.2", "input0.3")


@pytest.mark.parametrize(("size", "join"), [("?", "opaque"), ("width", "sum")])
def test_a_sum_of_axes_of_unknown_size_may_broadcast(size: str, join: str) -> None:
    """One of the two may be 1, so the result need not have either's shape: no member can be taken out."""
    infos = [helper.make_tensor_value_info(name, TensorProto.FLOAT, ["n", 4, size]) for name in ("x", "z", "y")]
    nodes = [helper.make_node("Add", ["x", "z"], ["y"])]
    model = helper.make_model(helper.make_graph(nodes, "g", infos[:2], infos[2:]), ir_version=8)
    assert {fmap.name: fmap.join.value for fmap in parse(model).architecture.topology.maps}["y"] == join


def test_what_is_no_tensor_has_a_type_of_its_own() -> None:
    graph = Builder(size=4)
    graph.op("SequenceConstruct", "x", "x", out="pair")
    graph.op("ConcatFromSequence", "pair", out="y", axis=1)
    _, dtypes = infer_shapes(graph.model(helper.make_tensor_value_info("y", TensorProto.FLOAT, ["n", 8, 4, 4])))
    assert dtypes["pair"] == OTHER_TYPE


@pytest.mark.parametrize("opset", [1, 3, 4])
def test_reshapes_below_opset_5_have_shapes(opset: int) -> None:
    """Conv [n, 4, 8, 8] → Pad to 9 × 9 → two of them → Reshape [n, 8, 81]."""
    graph = Builder(opset=opset)
    amounts: dict[str, Any] = {"paddings" if opset < 2 else "pads": [0, 0, 1, 1, 0, 0, 0, 0]}
    along: dict[str, Any] = {"axis": 1} if opset > 3 else {}
    graph.op("Pad", graph.conv("x", "a"), out="p", **amounts)
    graph.op("Concat", "p", "p", out="c", **along)
    graph.op("Reshape", "c", out="y", shape=[0, 8, -1])
    shapes, dtypes = infer_shapes(graph.model(helper.make_tensor_value_info("y", TensorProto.FLOAT, [None] * 3)))
    assert shapes["y"] == ("n", 8, 81)
    assert dtypes["y"] == TensorProto.FLOAT


def looped(*nodes: onnx.NodeProto) -> onnx.ModelProto:
    """MatMul → Loop of three rounds, whose body makes s2 of the state s and says nothing of shapes → MatMul."""
    infos = [helper.make_tensor_value_info(name, kind, []) for name, kind in (("i", 7), ("go", 9), ("on", 9))]
    states = [helper.make_tensor_value_info(name, TensorProto.FLOAT, None) for name in ("s", "s2")]
    keep = helper.make_node("Identity", ["go"], ["on"])
    body = helper.make_graph([keep, *nodes], "body", [*infos[:2], states[0]], [infos[2], states[1]])
    graph = Builder(size=4)
    graph.op("MatMul", "x", graph.weight("a", 4, 4), out="m")
    graph.weight("w", 4, 4)
    rounds = [graph.constant("rounds", np.array(3, np.int64)), graph.constant("yes", np.array(True))]
    graph.op("Loop", *rounds, "m", out="l", body=body)
    graph.op("MatMul", "l", graph.weight("b", 4, 5), out="y")
    return graph.model(helper.make_tensor_value_info("y", TensorProto.FLOAT, [None] * 4))


def test_state_of_a_loop_keeps_the_shape_that_its_body_keeps() -> None:
    """Costs by hand: two products of 4 by 4 and 4 by 5 for each of 4 x 4 rows; what the body does is not counted."""
    product, bound = helper.make_node("MatMul", ["s", "w"], ["p"]), helper.make_node("Tanh", ["p"], ["s2"])
    network = parse(looped(product, bound))
    assert network.shapes["l"] == ("n", 4, 4, 4)
    assert cost(network.architecture).madds == 4 * 4 * 4 * 4 + 4 * 4 * 4 * 5
    grown = parse(looped(helper.make_node("Concat", ["s", "s"], ["s2"], axis=1)))
    assert grown.shapes.get("l", ()) != ("n", 4, 4, 4)
    assert cost(grown.architecture).madds is None
