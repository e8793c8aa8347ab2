"""A Pad in front of a compute operator is part of its edge, however it says its amounts."""

from __future__ import annotations

import numpy as np
import pytest
from onnx import TensorProto, helper, numpy_helper

from natonnx.architecture import Edit, State, apply_edits, legal_transitions
from natonnx.frontend import parse
from natonnx.rewrite import build
from natonnx.supernet import Supernet
from tests.rewrite.helpers import Builder, assert_close, edges, images, joins, node_names
from tests.rewrite.values import assert_single_edits, plainly

BORDER = [0, 0, 1, 1, 0, 0, 1, 1]
SAMPLES = [{"x": images(n, 4, 8)} for n in (1, 3)]


def padded(graph: Builder, source: str, out: str, how: str) -> str:
    """Put a border of one entry around an image."""
    if how == "attribute":
        return graph.op("Pad", source, out=out, pads=BORDER, mode="constant", value=0.0)
    if how == "paddings":
        return graph.op("Pad", source, out=out, paddings=BORDER)
    if how == "axes":
        pads, axes = np.array([1, 1, 1, 1], np.int64), np.array([2, 3], np.int64)
        return graph.op("Pad", source, graph.constant("pads", pads), "", graph.constant("axes", axes), out=out)
    amounts = np.array(BORDER, np.int64)
    if how == "node":
        graph.op("Constant", out="pads", value=numpy_helper.from_array(amounts))
    else:
        graph.constant("pads", amounts)
    value = [graph.constant("value", np.array(-3, np.float32))] if how == "value" else []
    mode = {"mode": how} if how in {"reflect", "edge"} else {}
    return graph.op("Pad", source, "pads", *value, out=out, **mode)


def valid(graph: Builder, source: str, out: str, stride: int = 1) -> str:
    """A convolution without a border of its own."""
    return graph.op("Conv", source, graph.weight(f"{out}.w", 4, 4, 3, 3), out=out, strides=[stride] * 2)


@pytest.mark.parametrize(
    ("opset", "how"),
    [
        *((6, "attribute"), (10, "attribute"), (11, "initializer"), (13, "node"), (13, "value")),
        *((13, "reflect"), (13, "edge"), (18, "axes")),
    ],
)
def test_padding_is_part_of_the_convolution(opset: int, how: str) -> None:
    graph = Builder(opset=opset)
    graph.conv("x", "a")
    valid(graph, padded(graph, "a", "p", how), "c")
    model = graph.model(helper.make_tensor_value_info("c", TensorProto.FLOAT, ["n", 4, 8, 8]))
    network = parse(model)
    assert edges(network) == {"A": ("x", "a", "O"), "C": ("a", "c", "O")}
    assert not network.opaque
    assert ("C", "S") in assert_single_edits(network, SAMPLES)
    outputs = Supernet(network).as_reference()(SAMPLES[1])
    assert_close(outputs["c"], plainly(model, SAMPLES[1])["c"])


@pytest.mark.parametrize("kind", ["MaxPool", "AveragePool"])
def test_padding_is_part_of_a_pooling(kind: str) -> None:
    graph = Builder()
    graph.conv("x", "a")
    padded(graph, "a", "p", "value")
    graph.op(kind, "p", out="m", kernel_shape=[3, 3], strides=[2, 2])
    network = graph.network("m")
    assert edges(network)["M"] == ("a", "m", "O")
    assert ("M", "S") in assert_single_edits(network, SAMPLES)


def test_border_stays_with_an_activation_before_or_behind_it() -> None:
    graph = Builder()
    graph.conv("x", "a")
    graph.conv("a", "b")
    graph.op("Relu", "b", out="r")
    valid(graph, padded(graph, "r", "p", "initializer"), "c")
    graph.op("Pad", "a", "pads", out="q")
    graph.op("Relu", "q", out="s")
    valid(graph, "s", "d")
    graph.op("Add", "c", "d", out="y")
    network = graph.network("y")
    assert not network.opaque
    assert {("C", "N"), ("D", "N"), ("D", "S")} <= set(assert_single_edits(network, SAMPLES))


def test_two_convolutions_share_a_border() -> None:
    graph = Builder()
    graph.conv("x", "a")
    padded(graph, "a", "p", "initializer")
    valid(graph, "p", "b")
    valid(graph, "p", "c")
    graph.op("Add", "b", "c", out="y")
    network = graph.network("y")
    assert edges(network) == {"A": ("x", "a", "O"), "B": ("a", "y", "O"), "C": ("a", "y", "O")}
    assert {("B", "S"), ("C", "N")} <= set(assert_single_edits(network, SAMPLES))


def test_border_that_something_else_reads_stays() -> None:
    graph = Builder()
    graph.conv("x", "a")
    padded(graph, "a", "p", "initializer")
    valid(graph, "p", "b")
    graph.op("GlobalAveragePool", "p", out="g")
    graph.op("Add", "b", "g", out="y")
    network = graph.network("y")
    assert joins(network)["p"] == "opaque"


def test_depthwise_convolution_of_stride_one_may_be_skipped() -> None:
    graph = Builder()
    graph.conv("x", "a")
    graph.op(
        "Clip",
        "a",
        graph.constant("low", np.array(0, np.float32)),
        graph.constant("high", np.array(6, np.float32)),
        out="r",
    )
    padded(graph, "r", "p", "initializer")
    graph.op("Conv", "p", graph.weight("d.w", 4, 1, 3, 3), out="d", group=4)
    network = graph.network("d")
    beta = network.architecture
    verdict = dict(zip(beta.topology.edge_index, legal_transitions(beta), strict=True))["D"]
    assert verdict["S"] is None  # type: ignore[index]


@pytest.mark.parametrize("value", [False, True])
def test_amounts_that_other_nodes_compute_of_the_shape_belong_to_the_edge(value: bool) -> None:
    """As where a framework pads an image of any size to what a stride of 2 divides."""
    graph = Builder(size="size")
    graph.op("Shape", graph.conv("x", "a"), out="shape", start=2)
    graph.op("Mod", "shape", graph.constant("two", np.array([2], np.int64)), out="rest")
    graph.op("Concat", graph.constant("none", np.zeros(6, np.int64)), "rest", out="pads", axis=0)
    mean = [graph.op("ReduceMean", "a", out="mean", keepdims=0)] if value else []
    graph.op("Pad", "a", "pads", *mean, out="p")
    graph.op("Conv", "p", graph.weight("w", 4, 4, 2, 2), out="c", strides=[2, 2])
    graph.op("GlobalAveragePool", "c", out="g")
    graph.conv("g", "y")
    network = graph.network("y")
    assert edges(network)["C"] == ("a", "c", "O")
    assert "P" not in {node.node for node in network.opaque}
    operation = next(edge.operation for edge in network.architecture.topology.edges if edge.name == "C")
    assert operation is not None
    assert operation.inputs == (("pads", "mean") if value else ("pads",))
    assert ("A", "S") in assert_single_edits(network, [{"x": images(2, 4, 7)}, {"x": images(1, 4, 8)}])


def test_a_padded_convolution_of_computed_amounts_can_be_skipped() -> None:
    graph = Builder()
    graph.op("Shape", graph.conv("x", "a"), out="shape")
    graph.op("Mul", "shape", graph.constant("none", np.zeros(4, np.int64)), out="zeros")
    graph.op("Add", "zeros", graph.constant("ones", np.array([0, 0, 1, 1], np.int64)), out="border")
    graph.op("Concat", "border", "border", out="pads", axis=0)
    graph.op("Pad", "a", "pads", out="p")
    valid(graph, "p", "c")
    graph.channels["c"] = 4
    graph.conv("c", "y")
    network = graph.network("y")
    assert ("C", "S") in assert_single_edits(network, SAMPLES)
    alpha = apply_edits(network.architecture, [Edit("C", State.O, State.S)])
    assert node_names(build(network, alpha)) == ["A", "C", "Y"]
    assert_close(Supernet(network).as_reference()(SAMPLES[1])["y"], plainly(network.model, SAMPLES[1])["y"])
