"""Weights as they come in the wild: wherever a file keeps them, they make an edge, and leave and stay with it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from natonnx.architecture import Edit, State, cost
from natonnx.frontend import parse
from natonnx.rewrite import build
from natonnx.supernet import Supernet
from tests.rewrite.helpers import Builder, arrays, edges, images, node_names, runtime
from tests.rewrite.trunk import applied, assert_applied_as_by_hand, image, trunk, value_info

if TYPE_CHECKING:
    from pathlib import Path

KERNEL = np.random.default_rng(3).standard_normal((4, 4, 1, 1)).astype(np.float32)


def kept_as(kind: str) -> onnx.ModelProto:
    """x → A → r; D(r) + r = y, with the weight w of D kept in a way of its own."""
    old = kind == "input with a default"
    graph = Builder(opset=9 if old else 17, ir_version=3 if old else 8)
    graph.conv("x", "a")
    if old or kind == "initializer":
        graph.constant("w", KERNEL)
    elif kind == "Constant node":
        graph.op("Constant", out="w", value=numpy_helper.from_array(KERNEL))
    elif kind == "ConstantOfShape":
        value = numpy_helper.from_array(np.array([0.5], np.float32))
        graph.op("ConstantOfShape", graph.constant("shape", np.array(KERNEL.shape)), out="w", value=value)
    elif kind == "Cast":
        graph.op("Cast", graph.constant("stored", KERNEL.astype(np.float16)), out="w", to=TensorProto.FLOAT)
    elif kind == "DequantizeLinear":
        graph.constant("scale", np.full(4, 0.01, np.float32))
        graph.constant("zero", np.zeros(4, np.int8))
        graph.constant("eighth", (100 * KERNEL).clip(-128, 127).astype(np.int8))
        graph.op("DequantizeLinear", "eighth", "scale", "zero", out="w", axis=0)
    elif kind == "Identity":
        graph.op("Identity", graph.constant("original", KERNEL), out="w")
    graph.op("Relu", "a", out="r")
    graph.op("Conv", "r", "w", out="d")
    graph.op("Add", "d", "r", out="y")
    if old:  # every initializer is an input too
        infos = [value_info(tensor.name, list(tensor.dims)) for tensor in graph.initializers]
        inner = helper.make_graph(graph.nodes, "old", [graph.input, *infos], [image("y")], graph.initializers)
        model = helper.make_model(inner, opset_imports=[helper.make_opsetid("", 9)], ir_version=3)
        onnx.checker.check_model(model, full_check=True)
        return model
    return graph.model("y")


STORES = {
    "initializer": (),
    "input with a default": (),
    "Constant node": (),
    "ConstantOfShape": ("shape",),
    "Cast": ("stored",),
    "DequantizeLinear": ("scale", "zero", "eighth"),
    "Identity": ("original",),
}


@pytest.mark.parametrize("kind", STORES)
def test_weight_makes_an_operation_however_it_is_kept(kind: str, tmp_path: Path) -> None:
    model = kept_as(kind)
    network = parse(model)
    assert network.opaque == ()
    assert edges(network) == {"A": ("x", "r", "O"), "D": ("r", "y", "O"), "r->y": ("r", "y", "S")}
    operation = network.architecture.topology.edges[network.architecture.topology.edge_index["D"]].operation
    assert operation
    assert operation.weights == (("original" if kind == "Identity" else "w", 16),)
    assert operation.madds == 8 * 8 * 16
    assert cost(network.architecture).params == 32
    applied(model, tmp_path)
    assert (tmp_path / "output.onnx").read_bytes() == (tmp_path / "source.onnx").read_bytes()


@pytest.mark.parametrize("kind", STORES)
def test_weight_goes_with_its_operation_however_it_is_kept(kind: str, tmp_path: Path) -> None:
    model = kept_as(kind)
    result = applied(model, tmp_path, Edit("D", State.O, State.S))
    assert node_names(result) == ["A", "R", "D", "Y"]
    assert arrays(result).keys() == {"a.w"}
    x = {"x": images(2, 4, 8)}
    half = applied(model, tmp_path, Edit("D", State.O, State.N))
    np.testing.assert_allclose(runtime(result, x)["y"], 2 * runtime(half, x)["y"], rtol=1e-6)


@pytest.mark.parametrize("kind", STORES)
def test_weight_stays_with_its_operation_however_it_is_kept(kind: str, tmp_path: Path) -> None:
    model = kept_as(kind)
    result = applied(model, tmp_path, Edit("r->y", State.S, State.N))
    assert [node.op_type for node in result.graph.node] == [n.op_type for n in model.graph.node if n.name != "Y"]
    assert arrays(result).keys() == arrays(model).keys()
    assert set(STORES[kind]) <= arrays(result).keys()


@pytest.mark.parametrize(
    ("kind", "trained"),
    [
        ("initializer", True),
        ("input with a default", True),
        ("Constant node", True),
        ("ConstantOfShape", False),
        ("Cast", True),
        ("Identity", True),
        ("DequantizeLinear", False),
    ],
)
def test_weight_is_trained_where_it_can_be_written_back(kind: str, trained: bool) -> None:
    network = parse(kept_as(kind))
    weights = Supernet(network).weights()
    assert bool({"w", "original"} & weights.keys()) is trained
    result = build(network, network.architecture, {name: 2 * value for name, value in weights.items()})
    x = {"x": images(2, 4, 8)}
    supernet = Supernet(network)
    supernet.load_weights({name: 2 * value for name, value in weights.items()})
    np.testing.assert_allclose(runtime(result, x)["y"], supernet.as_reference()(x)["y"], rtol=1e-4, atol=1e-5)


# Names


# The supernet keeps tensors as attributes of a torch module, where some names are taken.
TAKEN = ["weights", "training", "network", "half", "type", "momentum"]


@pytest.mark.parametrize("name", ["w", "a.b/c:0", "50%", "ü", "0", "class", *TAKEN])
def test_weight_may_have_any_name(name: str, tmp_path: Path) -> None:
    assert_applied_as_by_hand(named(name), tmp_path)
    assert name in Supernet(parse(named(name))).weights()


def named(name: str) -> onnx.ModelProto:
    graph = trunk()
    graph.op("Conv", "r", graph.weight(name, 4, 4, 1, 1), out="y")
    return graph.model("t", "y")
