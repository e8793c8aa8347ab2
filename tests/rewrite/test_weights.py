"""New weights go where the old ones were, in the file's own type, or not at all."""

from __future__ import annotations

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from natonnx.architecture import Edit, State, apply_edits
from natonnx.errors import VerificationError
from natonnx.frontend import parse
from natonnx.rewrite import build
from natonnx.supernet import Supernet
from tests.rewrite.helpers import SHIPPED, Builder, arrays, assert_close, images, runtime, shipped_network


@pytest.mark.parametrize("name", SHIPPED)
def test_new_weights_are_the_supernets(name: str) -> None:
    network = shipped_network(name)
    weights = {tensor: value * 0.9 + 0.01 for tensor, value in Supernet(network).weights().items()}
    result = build(network, network.architecture, weights)
    supernet = Supernet(network)
    supernet.load_weights(weights)
    x = {"image": images(3)}
    assert_close(runtime(result, x)["logits"], supernet.as_reference()(x)["logits"])


@pytest.mark.parametrize("name", SHIPPED)
def test_only_the_named_tensors_change(name: str) -> None:
    network = shipped_network(name)
    new = np.full((10,), 3.0, np.float32)
    result = build(network, network.architecture, {"classifier.bias": new})
    for before, after in zip(network.model.graph.initializer, result.graph.initializer, strict=True):
        if before.name == "classifier.bias":
            np.testing.assert_array_equal(numpy_helper.to_array(after), new)
        else:
            assert after == before
    assert list(result.graph.node) == list(network.model.graph.node)


def test_weights_of_a_removed_operation_are_ignored() -> None:
    graph = Builder()
    graph.conv(graph.conv("x", "a"), "b")
    network = graph.network("b")
    alpha = apply_edits(network.architecture, [Edit("A", State.O, State.S)])
    result = build(network, alpha, {name: 2 * value for name, value in Supernet(network).weights().items()})
    assert arrays(result).keys() == {"b.w"}
    np.testing.assert_array_equal(arrays(result)["b.w"], 2 * arrays(network.model)["b.w"])


@pytest.mark.parametrize("kind", ["value", "value_floats"])
def test_weights_in_constant_nodes_are_replaced(kind: str) -> None:
    graph = Builder()
    if kind == "value":
        graph.op("Constant", out="w", value=numpy_helper.from_array(np.ones(4, np.float32), "inner"))
    else:
        graph.op("Constant", out="w", value_floats=[1.0] * 4)
    graph.op("Conv", "x", graph.weight("kernel", 4, 4, 1, 1), "w", out="a")
    network = graph.network("a")
    weights = {name: 3 * value for name, value in Supernet(network).weights().items()}
    assert "w" in weights
    x = {"x": images(2, 4, 8)}
    supernet = Supernet(network)
    supernet.load_weights(weights)
    result = build(network, network.architecture, weights)
    assert_close(runtime(result, x)["a"], supernet.as_reference()(x)["a"])


@pytest.mark.parametrize("kind", ["initializer", "Constant node"])
def test_weight_of_another_shape_is_refused(kind: str) -> None:
    graph = Builder()
    value = np.ones((4, 4, 1, 1), np.float32)
    if kind == "initializer":
        graph.constant("w", value)
    else:
        graph.op("Constant", out="w", value=numpy_helper.from_array(value))
    graph.op("Conv", "x", "w", out="a")
    network = graph.network("a")
    message = r"^weight 'w' has shape \(4, 4, 3, 3\), the file's has \(4, 4, 1, 1\)$"
    with pytest.raises(VerificationError, match=message):
        build(network, network.architecture, {"w": np.ones((4, 4, 3, 3), np.float32)})


def test_weights_take_the_files_type() -> None:
    weight = numpy_helper.from_array(np.ones((4, 4, 1, 1), np.float16), "w")
    x, y = (helper.make_tensor_value_info(name, TensorProto.FLOAT16, ["n", 4, 8, 8]) for name in "xy")
    graph = helper.make_graph([helper.make_node("Conv", ["x", "w"], ["y"], "Y")], "half", [x], [y], [weight])
    network = parse(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8))
    result = build(network, network.architecture, {"w": np.full((4, 4, 1, 1), 0.1, np.float32)})
    assert result.graph.initializer[0].data_type == TensorProto.FLOAT16
    np.testing.assert_array_equal(arrays(result)["w"], np.full((4, 4, 1, 1), 0.1, np.float16))


def test_weights_in_another_memory_order_arrive_in_theirs() -> None:
    graph = Builder()
    graph.conv("x", "a", kernel=3)
    network = graph.network("a")
    value = np.asfortranarray(arrays(network.model)["a.w"] + 1)
    result = build(network, network.architecture, {"a.w": value})
    np.testing.assert_array_equal(arrays(result)["a.w"], value)


def test_doc_string_of_a_replaced_tensor_stays() -> None:
    graph = Builder()
    graph.conv("x", "a")
    model = graph.model("a")
    model.graph.initializer[0].doc_string = "a tensor"
    network = parse(model)
    result = build(network, network.architecture, {"a.w": np.zeros((4, 4, 1, 1), np.float32)})
    assert result.graph.initializer[0].doc_string == "a tensor"


def test_metadata_of_a_replaced_tensor_stays() -> None:
    graph = Builder(ir_version=10)
    graph.conv("x", "a")
    model = graph.model("a")
    model.graph.initializer[0].metadata_props.add(key="k", value="v")
    network = parse(model)
    result = build(network, network.architecture, {"a.w": np.zeros((4, 4, 1, 1), np.float32)})
    assert result.graph.initializer[0].metadata_props == model.graph.initializer[0].metadata_props


def test_source_is_not_changed_by_new_weights() -> None:
    graph = Builder()
    graph.conv("x", "a")
    network = graph.network("a")
    before = onnx.ModelProto()
    before.CopyFrom(network.model)
    build(network, network.architecture, {"a.w": np.zeros((4, 4, 1, 1), np.float32)})
    assert network.model == before
