"""Lists of sizes, computed from shapes, are what onnxruntime computes."""

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from natonnx.session import run, session
from natonnx.sizes import UNKNOWN, Sizes, compute, known_sizes

node = helper.make_node
CONSTANTS = {
    "zero": 0, "one": 1, "two": 2, "minus": -1, "axis": [0], "last": [-1], "start": [1], "end": [3], "far": [1 << 40],
    "ones": [1], "pair": [0, 2], "flat": [-1], "like": [-1, 5, -1],
}  # fmt: skip
NODES = [
    node("Shape", ["x"], ["shape"]),
    node("Shape", ["x"], ["tail"], start=1),
    node("Gather", ["shape", "two"], ["width"], axis=0),
    node("Gather", ["shape", "pair"], ["ends"], axis=0),
    node("Slice", ["shape", "start", "end", "axis"], ["middle"]),
    node("Slice", ["shape", "last", "far"], ["final"]),
    node("Unsqueeze", ["width", "axis"], ["row"]),
    node("Squeeze", ["row", "axis"], ["number"]),
    node("Concat", ["row", "ones", "flat"], ["joined"], axis=0),
    node("Reshape", ["joined", "flat"], ["target"]),
    node("Shape", ["target"], ["rank"]),
    node("ConstantOfShape", ["rank"], ["filled"], value=helper.make_tensor("v", TensorProto.INT64, [1], [1])),
    node("Mul", ["filled", "minus"], ["negative"]),
    node("Equal", ["target", "negative"], ["same"]),
    node("Where", ["same", "filled", "target"], ["chosen"]),
    node("Sub", ["zero", "width"], ["less"]),
    node("Div", ["less", "two"], ["half"]),
    node("Add", ["ends", "half"], ["sum"]),
    node("Max", ["sum", "ones"], ["most"]),
    node("Min", ["sum", "ones"], ["least"]),
    node("Range", ["zero", "width", "two"], ["steps"]),
    node("ReduceProd", ["shape"], ["product"], keepdims=0),
    node("Cast", ["product"], ["cast"], to=TensorProto.INT32),
    node("Less", ["zero", "width"], ["smaller"]),
    node("Greater", ["like", "ones"], ["greater"]),
    node("Not", ["greater"], ["no"]),
]


def graph_of() -> onnx.ModelProto:
    constants = [numpy_helper.from_array(np.array(value, np.int64), name) for name, value in CONSTANTS.items()]
    outputs = [onnx.ValueInfoProto(name=one.output[0]) for one in NODES]
    inputs = [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["n", None, None])]
    graph = helper.make_graph(NODES, "g", inputs, outputs, constants)
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)


def test_every_list_is_what_onnxruntime_computes() -> None:
    model = graph_of()
    x = np.zeros((2, 3, 7), np.float32)
    truth = run(session(model), {"x": x})
    found = known_sizes(model.graph, {"x": x.shape}, truth)
    for name, value in truth.items():
        assert found[name] == Sizes(tuple(int(one) for one in value.reshape(-1)), value.ndim), name


def test_what_is_not_known_stays_so_and_the_rest_follows() -> None:
    model = graph_of()
    truth = run(session(model), {"x": np.zeros((2, 3, 7), np.float32)})
    found = known_sizes(model.graph, {"x": (None, 3, None)}, truth)
    for name, value in truth.items():
        known = zip(found[name].entries, value.reshape(-1), strict=True) if name in found else ()
        assert all(one is None or one == other for one, other in known), name
    assert found["chosen"].entries == (None, 1, 1)
    assert found["tail"].entries == (3, None)
    assert "steps" not in found


@pytest.mark.parametrize(
    ("made", "operands"),
    [
        (node("Concat", ["a", "b"], ["c"], axis=0), [Sizes((1,)), UNKNOWN]),
        (node("Gather", ["a", "i"], ["c"]), [Sizes((1, 2)), Sizes((5,), 0)]),
        (node("Div", ["a", "b"], ["c"]), [None, Sizes((1,))]),
        (node("ConstantOfShape", ["a"], ["c"]), [Sizes((1 << 33,))]),
        (node("Concat", ["a", "b"], ["c"], axis=0), [Sizes((1,) * 40), Sizes((1,) * 40)]),
        (node("Conv", ["a"], ["c"]), [Sizes((1,))]),
    ],
)
def test_what_is_no_short_list_is_none(made: onnx.NodeProto, operands: list[Sizes | None]) -> None:
    assert compute(made, operands) is None


def test_a_division_by_zero_and_large_numbers_are_not_known() -> None:
    for kind, number in (("Div", 0), ("Mul", 1 << 30)):
        assert compute(node(kind, ["a", "b"], ["c"]), [Sizes((1 << 20,)), Sizes((number,))]) == Sizes((None,))
