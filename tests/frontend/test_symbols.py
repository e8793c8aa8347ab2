"""Arithmetic over symbols, judged by sympy, which writes it."""

from __future__ import annotations

import numpy as np
import pytest
import sympy  # type: ignore[import-untyped]
from onnx import TensorProto, helper

from natonnx.frontend.shapes import infer_shapes
from natonnx.frontend.symbols import evaluate
from tests.rewrite.helpers import Builder


@pytest.mark.parametrize(
    "text",
    ["N", "20*N", "floor(1.0*N)", "N*seq", "N**2", "floor(N/2 - 1/2) + 1", "Max(N, seq)", "ceiling(N/4)", "-N + 3*seq"],
)
def test_values_are_sympys(text: str) -> None:
    for values in ({"N": 3, "seq": 10}, {"N": 8, "seq": 5}):
        expected = sympy.sympify(text, locals={name: sympy.Symbol(name) for name in values}).subs(values)
        assert evaluate(text, values) == int(expected)


@pytest.mark.parametrize(
    "text", ["M", "N/2", "N*", "1/0*N", "__import__('os')", "9**9**9", "N" * 300, "(" * 150 + "N", None]
)
def test_what_has_no_whole_value(text: str | None) -> None:
    assert evaluate(text, {"N": 3}) is None


def test_names_that_are_no_identifiers() -> None:
    values = {"p2o.DynamicDimension.0": 3, "p2o.DynamicDimension.01": 7, "batch size": 5}
    assert evaluate("20*p2o.DynamicDimension.0 + p2o.DynamicDimension.01*batch size", values) == 60 + 35


@pytest.mark.parametrize("behind_a_slice", [False, True])
def test_a_batch_stays_itself_behind_a_resize(behind_a_slice: bool) -> None:
    """As in torch.nn.Upsample in front of a skip connection.

    Behind a Slice whose bounds nodes compute from constants onnx's inference does not tell, and onnxruntime's would say
    floor(1.0*n).
    """
    graph = Builder(size=4)
    graph.conv("x", "a", 8)
    if behind_a_slice:
        half, two, axis = (graph.constant(name, np.array([i])) for name, i in (("half", 2), ("two", 2), ("axis", 1)))
        end = graph.op("Mul", half, two, out="end")
        graph.op("Slice", "a", graph.constant("start", np.array([0])), end, axis, out="s")
    source, channels = ("s", 4) if behind_a_slice else ("a", 8)
    scales = graph.constant("scales", np.array([1, 1, 2, 2], np.float32))
    graph.op("Resize", source, "", scales, out="up", mode="nearest")
    graph.op("ConvTranspose", source, graph.weight("t", channels, 4, 2, 2), out="c", strides=[2, 2])
    graph.op("Concat", "up", "c", out="d", axis=1)
    graph.op("Conv", "d", graph.weight("w", 5, channels + 4, 1, 1), out="y")
    shapes, _ = infer_shapes(graph.model(helper.make_tensor_value_info("y", TensorProto.FLOAT, ["n", 5, 8, 8])))
    assert [shapes[name] for name in ("up", "d", "y")] == [("n", c, 8, 8) for c in (channels, channels + 4, 5)]
