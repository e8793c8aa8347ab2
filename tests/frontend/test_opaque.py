"""What keeps a node as it is, told truly; products from the left or of the transposed, and sums of one, are edges."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from onnx import TensorProto, helper

from natonnx.architecture import cost
from natonnx.frontend import parse
from natonnx.supernet import Supernet
from tests.rewrite.helpers import Builder, assert_close, edges, images
from tests.rewrite.values import assert_single_edits, plainly

if TYPE_CHECKING:
    from collections.abc import Callable

PARTIAL = "edits before it may give it numbers that it has no value for"
SAMPLES = [{"x": images(n, 4, 8)} for n in (1, 3)]


def _sub(graph: Builder) -> None:
    graph.op("Sub", graph.op("GlobalAveragePool", "a", out="g"), "b", out="y")


def _div(graph: Builder) -> None:
    graph.op("Div", graph.op("GlobalAveragePool", "a", out="g"), "b", out="y")


def _mul(graph: Builder) -> None:
    means = [graph.op("ReduceMean", name, out=f"{name}m", axes=[axis]) for name, axis in (("a", 2), ("b", 3))]
    graph.op("Mul", *means, out="y")


def _product(graph: Builder) -> None:
    graph.op("MatMul", "a", "b", out="y")


def _weights(graph: Builder) -> None:
    graph.op("Conv", "x", graph.op("ReduceMean", "a", out="w", axes=[0]), out="y")


def _kernel(graph: Builder) -> None:
    graph.op("Unsqueeze", graph.op("ReduceMean", "a", out="m", axes=[0], keepdims=0), "zero", out="w")
    graph.constant("zero", np.array([1], np.int64))
    graph.op("Conv", graph.weight("fixed", 1, 1, 9, 9), "w", out="y")


def _bias(graph: Builder) -> None:
    graph.op("Conv", "x", graph.weight("w", 4, 4, 1, 1), graph.op("ReduceMean", "a", out="m", axes=[0, 2, 3]), out="y")
    graph.nodes[-2].attribute.append(helper.make_attribute("keepdims", 0))


def _integers(graph: Builder) -> None:
    for name in "ab":
        graph.op("Cast", name, out=f"{name}i", to=TensorProto.INT32)
    graph.op("Add", "ai", "bi", out="y")


def _constant(graph: Builder) -> None:
    graph.op("Sum", "a", "b", graph.weight("c", 2, 1, 4, 8, 8), out="y")


def _grown(graph: Builder) -> None:
    graph.op("Add", "a", graph.weight("c", 2, 1, 4, 8, 8), out="y")


def _preparation(graph: Builder) -> None:
    graph.op("GlobalAveragePool", graph.op("Add", "x", graph.weight("c", 4, 1, 1), out="y"), out="g")


def _joined(graph: Builder) -> None:
    graph.op("Concat", "a", graph.weight("c", 1, 4, 8, 8), out="y", axis=0)


def _slopes(graph: Builder) -> None:
    graph.op("PRelu", "a", graph.op("GlobalAveragePool", "b", out="g"), out="y")


@pytest.mark.parametrize(
    ("build", "reason"),
    [
        (_sub, "it subtracts two tensors that both depend on the input"),
        (_div, f"it divides two tensors that both depend on the input; {PARTIAL}"),
        (_mul, "it multiplies two tensors that both depend on the input"),
        (_product, "it multiplies two tensors that both depend on the input"),
        (_weights, "its weights depend on the input"),
        (_kernel, "its weights depend on the input, and what they are applied to does not"),
        (_bias, "its bias depends on the input"),
        (_integers, "it handles numbers that are not floating point"),
        (_constant, "its constant changes the shape from [n, 4, 8, 8] to [2, n, 4, 8, 8]"),
        (_grown, "its constant changes the shape from [n, 4, 8, 8] to [2, n, 4, 8, 8]"),
        (_preparation, "it prepares the model's input by a constant"),
        (_joined, "one of its operands is a constant"),
        (_slopes, "what it applies to a tensor depends on the input too"),
    ],
)
def test_reason_is_true(build: Callable[[Builder], None], reason: str) -> None:
    graph = Builder()
    graph.conv("x", "a")
    graph.conv("x", "b")
    build(graph)
    network = parse(graph.model(*dict.fromkeys(["y", "a", "b"])))
    assert {node.node: node.reason for node in network.opaque}["Y"] == reason


def test_unknown_shape_is_called_unknown() -> None:
    graph = Builder()
    graph.conv("x", "a")
    for name in "st":
        graph.op("NonZero", "a", out=f"{name}n")
        graph.op("Cast", f"{name}n", out=name, to=TensorProto.FLOAT)
    graph.op("Add", "s", "t", out="y")
    reasons = {node.node: node.reason for node in graph.network("y").opaque}
    assert reasons["Y"].endswith("is unknown")


def test_product_with_a_constant_on_the_left_is_an_operation() -> None:
    graph = Builder()
    graph.conv("x", "a")
    graph.op("MatMul", graph.weight("w", 8, 8), "a", out="m")
    graph.op("Add", "m", "a", out="y")
    network = graph.network("y")
    assert edges(network)["M"] == ("a", "y", "O")
    assert cost(network.architecture) == (16 + 64, 64 * 16 + 4 * 64 * 8)
    assert {("M", "S"), ("M", "N")} <= set(assert_single_edits(network, SAMPLES))
    assert set(Supernet(network).weights()) == {"a.w", "w"}


def test_gemm_of_the_transposed_is_an_operation() -> None:
    graph = Builder(batch=1)
    graph.op("Flatten", "x", out="f", axis=2)
    graph.op("Gemm", "f", graph.weight("w", 4, 5), out="p", transA=1)
    network = graph.network("p")
    assert edges(network) == {"P": ("f", "p", "O")}
    assert cost(network.architecture) == (20, 64 * 20)
    assert_close(Supernet(network).as_reference()(SAMPLES[0])["p"], plainly(network.model, SAMPLES[0])["p"])


@pytest.mark.parametrize("kind", ["Sum", "Mean", "Max", "Min", "Concat"])
def test_join_of_one_is_an_identity(kind: str) -> None:
    graph = Builder()
    graph.conv("x", "a")
    attributes: dict[str, Any] = {"axis": 1} if kind == "Concat" else {}
    graph.op(kind, "a", out="s", **attributes)
    graph.op("Add", "s", "x", out="y")
    network = graph.network("y")
    assert not network.opaque
    assert edges(network)["S"] == ("a", "y", "S")
    assert ("S", "N") in assert_single_edits(network, SAMPLES)
