"""No shortcut is offered into a sum whose signs reach a node that has no value for some numbers."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from onnx import TensorProto

from natonnx.architecture import State, legal_transitions
from tests.rewrite.helpers import Builder, images
from tests.rewrite.values import assert_single_edits, plainly

if TYPE_CHECKING:
    from collections.abc import Mapping

    from natonnx.frontend import Network


def offered(network: Network) -> Mapping[str, str | None]:
    """The sources of the shortcuts into the sum, and why these may not be added."""
    beta = network.architecture
    rows = zip(beta.topology.edges, beta.states, legal_transitions(beta), strict=True)
    shortcuts = ((e, verdict[State.S]) for e, state, verdict in rows if state == State.N)
    return {e.source: reason for e, reason in shortcuts if network.maps[e.target].join_tensor == "s"}


def summed(*middle: tuple[str, str | float | None], end: str = "Sqrt") -> Builder:
    """x → relu → A², B² → s = A² + B² → the middle → a node of few numbers → a convolution."""
    graph = Builder()
    graph.op("Relu", graph.conv("x", "c"), out="r")
    for name in "ab":
        graph.op("Relu", graph.conv("r", name), out=f"{name}r")
        graph.conv(f"{name}r", f"{name}2", bias=True)
    graph.op("Add", "a2", "b2", out="s")
    tensor = "s"
    for k, (kind, operand) in enumerate(middle):
        operands = [graph.constant(f"k{k}", np.array(operand, np.float32))] if isinstance(operand, float) else []
        operands = [tensor] if operand == "itself" else operands
        attributes: dict[str, Any] = {"perm": [0, 1, 3, 2]} if kind == "Transpose" else {}
        tensor = graph.op(kind, tensor, *operands, out=f"t{k}", **attributes)
    if end in {"Pow half", "Pow inverse", "Pow cube"}:
        exponent = {"Pow half": 0.5, "Pow inverse": -1.0, "Pow cube": 3.0}[end]
        graph.op("Pow", tensor, graph.constant("e", np.array(exponent, np.float32)), out="q", name="Q")
    elif end.startswith("Div"):
        graph.op(
            "Div",
            *(("r", tensor) if end == "Div by it" else (tensor, graph.constant("d", np.array(2, np.float32)))),
            out="q",
        )
    else:
        graph.op(end, tensor, out="q")
    graph.conv("q", "y")
    return graph


@pytest.mark.parametrize("end", ["Sqrt", "Log", "Reciprocal", "Acosh", "Pow half", "Pow inverse", "Div by it"])
def test_no_shortcut_before_a_node_that_lacks_values(end: str) -> None:
    network = summed(("Add", 0.5), ("Transpose", None), end=end).network("y")
    reasons = offered(network)
    kind = end.split(maxsplit=1)[0]
    assert set(reasons.values()) == {f"'Q' ({kind}), which it would feed, has no value for some numbers"}
    assert set(reasons) == {"x", "r"}
    opaque = {node.node: node.reason for node in network.opaque}
    assert kind == "Div" or "edits before it may give it numbers" in opaque["Q"]


@pytest.mark.parametrize(
    ("middle", "end"),
    [
        ([("Mul", "itself")], "Sqrt"),
        ([("Pow", 2.0), ("Add", 0.5)], "Sqrt"),
        ([("Abs", None)], "Log"),
        ([("Exp", None), ("Add", 1.0)], "Reciprocal"),
        ([("Clip", 0.001)], "Log"),
        ([("Max", 0.001)], "Sqrt"),
        ([], "Pow cube"),
        ([], "Div of it"),
        ([], "Relu"),
    ],
)
def test_shortcuts_where_signs_do_not_matter(middle: list[tuple[str, str | float | None]], end: str) -> None:
    assert set(offered(summed(*middle, end=end).network("y")).values()) == {None}


def test_what_is_legal_before_a_square_root_is_as_the_values_say() -> None:
    network = summed(("Abs", None)).network("y")
    samples = [{"x": images(n, 4, 8)} for n in (1, 3)]
    assert np.isfinite(plainly(network.model, samples[0])["y"]).all()
    assert ("r->s", "S") in assert_single_edits(network, samples)


def test_no_pooling_of_a_type_that_onnxruntime_does_not_pool() -> None:
    graph = Builder()
    source = graph.op("Cast", "x", out="d", to=TensorProto.DOUBLE)
    weights = graph.constant("w", np.ones((8, 4), np.float64))
    graph.op("Relu", graph.op("MatMul", source, weights, out="m"), out="y")
    (row,) = legal_transitions(graph.network("y").architecture)
    assert row[State.S] == "onnxruntime has no AveragePool of float64, which the skip would take"
