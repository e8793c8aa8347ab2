"""What is no number, and where it begins."""

import numpy as np
import onnx
import pytest
import torch
from onnx import TensorProto, helper, numpy_helper

from natonnx.frontend import Network, parse
from natonnx.search.finite import broken_samples, find_origin


def test_samples_are_broken_by_nan_and_by_infinity_but_not_by_a_mask() -> None:
    nan, inf = np.nan, np.inf
    outputs = {"a": torch.tensor([[0.0, 1], [nan, 0], [0, -inf], [0, 0]]), "b": torch.tensor([[0.0], [0], [0], [inf]])}
    assert broken_samples(outputs, ["a"]).tolist() == [False, True, False, False]
    assert broken_samples(outputs, ["a", "b", "c"]).tolist() == [False, True, False, True]
    assert broken_samples({"i": torch.zeros(3, 2, dtype=torch.int64)}, ["i"]).tolist() == [False] * 3


def network(*nodes: onnx.NodeProto, batch: int | str = "n") -> Network:
    weight = numpy_helper.from_array(np.eye(3, dtype=np.float32), "w")
    graph = helper.make_graph(
        list(nodes),
        "g",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, [batch, 3])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, [batch, 3])],
        [weight],
    )
    return parse(helper.make_model(graph, ir_version=8, opset_imports=[helper.make_opsetid("", 17)]))


MATRIX = helper.make_node("MatMul", ["x", "w"], ["m"])


@pytest.mark.parametrize("batch", ["n", 4])
@pytest.mark.parametrize(
    ("nodes", "told"),
    [
        (
            [helper.make_node("Log", ["m"], ["l"]), helper.make_node("Relu", ["l"], ["y"])],
            "Log makes the first NaN, in 'l'",
        ),
        ([helper.make_node("Exp", ["m"], ["e"]), helper.make_node("Sub", ["e", "e"], ["y"])], None),
        ([helper.make_node("Add", ["m", "m"], ["y"])], None),
    ],
)
def test_the_first_node_that_makes_it_of_numbers_is_named(
    nodes: list[onnx.NodeProto], told: str | None, batch: int | str
) -> None:
    x = torch.tensor([[1.0, 2, 3], [1, 1, 1], [-1, 1, 1]])
    found = find_origin(network(MATRIX, *nodes, batch=batch), {"x": x}, 2)
    assert (found and str(found)) == told


def test_nan_of_an_infinity_begins_where_that_is_made() -> None:
    nodes = [helper.make_node("Exp", ["m"], ["e"]), helper.make_node("Sub", ["e", "e"], ["y"])]
    found = find_origin(network(MATRIX, *nodes), {"x": torch.tensor([[1.0, 100, 1]])}, 0)
    assert str(found) == "Exp makes the first infinity, in 'e'"
