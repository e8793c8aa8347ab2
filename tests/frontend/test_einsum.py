"""An Einsum of a tensor and a constant is an operation with parameters and multiply-adds."""

from __future__ import annotations

import numpy as np
import pytest

from natonnx.architecture import cost
from natonnx.frontend import parse
from natonnx.supernet import Supernet
from tests.rewrite.helpers import Builder, assert_close, edges, images, joins
from tests.rewrite.values import assert_single_edits, plainly

SAMPLES = [{"x": images(n, 4, 8)} for n in (1, 3)]


@pytest.mark.parametrize(
    ("equation", "shape", "madds"),
    [
        ("nchw,oc->nohw", (4, 4), 4 * 4 * 64),
        ("nchw,wk->nchk", (8, 8), 4 * 8 * 64),
        ("oc,nchw->nohw", (4, 4), 4 * 4 * 64),
        (" nchw , cko -> nohw ", (4, 3, 4), 4 * 3 * 4 * 64),
        ("...w,wk->...k", (8, 8), 4 * 8 * 64),
        ("nchw,c->nchw", (4,), 0),
    ],
)
def test_product_with_a_constant_is_an_operation(equation: str, shape: tuple[int, ...], madds: int) -> None:
    graph = Builder()
    graph.conv("x", "a")
    operands = ["a", graph.weight("w", *shape)]
    graph.op("Einsum", *(operands[::-1] if equation.startswith("oc") else operands), out="e", equation=equation)
    graph.op("Add", "e", "a", out="y")
    network = parse(graph.model("y"))
    assert edges(network)["E"] == ("a", "y", "O")
    assert cost(network.architecture) == (16 + np.prod(shape), 4 * 4 * 64 + madds)
    assert {("E", "S"), ("E", "N")} <= set(assert_single_edits(network, SAMPLES))
    assert set(Supernet(network).weights()) == {"a.w", "w"}


def test_bias_of_a_product_belongs_to_it() -> None:
    graph = Builder()
    graph.op("Einsum", "x", graph.weight("w", 8, 8), out="e", equation="nchw,wk->nchk")
    graph.op("Add", "e", graph.weight("b", 8), out="y")
    network = graph.network("y")
    assert edges(network) == {"E": ("x", "y", "O")}
    supernet = Supernet(network)
    assert_close(supernet.as_reference()(SAMPLES[1])["y"], plainly(network.model, SAMPLES[1])["y"])


@pytest.mark.parametrize("equation", ["nchw->nchw", "nchw,nchw->nc"])
def test_other_forms_stay(equation: str) -> None:
    graph = Builder()
    graph.conv("x", "a")
    graph.op("Einsum", *["a"] * (1 + equation.count(",")), out="e", equation=equation)
    assert joins(graph.network("e"))["e"] == "opaque"
