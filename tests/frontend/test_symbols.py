"""Arithmetic over symbols, judged by sympy, which writes it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
import sympy  # type: ignore[import-untyped]

from natonnx.frontend.shapes import infer_shapes
from natonnx.frontend.symbols import assignments, evaluate, product_form
from tests.rewrite.helpers import Builder

if TYPE_CHECKING:
    import onnx


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


@pytest.mark.parametrize(
    ("text", "form"),
    [
        ("20*N", "20*N"),
        ("floor(1.0*N)", "N"),
        ("seq*2*N", "2*N*seq"),
        ("7", 7),
        ("0*N", 0),
        ("N + 1", None),
        ("Max(N, 4)", "N"),
    ],
)
def test_products(text: str, form: int | str | None) -> None:
    first, second = assignments(["N", "seq"])
    one, two = evaluate(text, first), evaluate(text, second)
    assert one is not None
    assert two is not None
    assert product_form(one, two, first, second) == form


def resized() -> onnx.ModelProto:
    """An upsampling whose scales are numbers, joined by a sum: torch.nn.Upsample before a skip connection."""
    import numpy as np

    graph = Builder(size=4)
    graph.conv("x", "a")
    scales = graph.constant("scales", np.array([1, 1, 2, 2], np.float32))
    graph.op("Resize", "a", "", scales, out="up", mode="nearest")
    graph.conv("up", "b")
    graph.conv("up", "c")
    graph.op("Add", "b", "c", out="y")
    return graph.model("y")


def test_a_batch_stays_itself_behind_a_resize() -> None:
    shapes, _ = infer_shapes(resized())
    assert {name: shapes[name] for name in ("up", "b", "y")} == dict.fromkeys(("up", "b", "y"), ("n", 4, 8, 8))
