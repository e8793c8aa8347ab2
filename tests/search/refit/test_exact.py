"""Where weights exist by which α computes what the original did, the refit finds them: for every linear operator."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest
from onnx import TensorProto, helper

from natonnx.frontend import Network, parse
from natonnx.session import with_outputs
from tests.rewrite.helpers import Builder, arrays, assert_close, images, runtime
from tests.search.refit.helpers import edited, refitted, tensors_of

if TYPE_CHECKING:
    from collections.abc import Callable

    from natonnx.architecture import Architecture

EXACT = 1e-3
"""Of the largest magnitude: what the least ridge and single precision leave over."""


def noise(*shape: int) -> np.ndarray:
    return np.random.default_rng(7).standard_normal(shape).astype(np.float32)


def assert_exact(network: Network, alpha: Architecture, x: np.ndarray, *kept: str) -> set[str]:
    """Assert that refitted weights give the original's outputs, and that given ones do not; return what changed."""
    weights, _ = refitted(network, alpha, {"x": x}, parts=2, ridge=0.0)
    expected = runtime(network.model, {"x": x})
    plain, found = (tensors_of(network, alpha, given, {"x": x}) for given in ({}, weights))
    for name, value in expected.items():
        assert np.abs(plain[name] - value).max() > 0.1 * np.abs(value).max()
        assert_close(found[name], value, EXACT)
    assert weights.keys().isdisjoint(kept)
    return set(weights)


def scaled(source: str, graph: Builder, out: str) -> str:
    """A depthwise 1×1 convolution, which any other convolution behind it can do as well."""
    channels = graph.channels[source]
    return graph.conv(source, out, channels, group=channels)


CONVOLUTIONS: dict[str, Callable[[Builder], str]] = {
    "plain": lambda graph: graph.conv("b", "y", 3, kernel=3),
    "bias": lambda graph: graph.conv("b", "y", 3, kernel=3, bias=True),
    "strided": lambda graph: graph.conv("b", "y", 3, kernel=3, stride=2),
    "grouped": lambda graph: graph.conv("b", "y", 6, kernel=3, group=2, bias=True),
    "depthwise": lambda graph: graph.conv("b", "y", 8, kernel=3, group=4),
    "normalised": lambda graph: graph.batchnorm(graph.conv("b", "c", 5, kernel=3), "y"),
    "bias and normalised": lambda graph: graph.batchnorm(graph.conv("b", "c", 5, kernel=3, bias=True), "y"),
    "added": lambda graph: graph.op("Add", graph.conv("b", "c", 5, kernel=3), graph.weight("y.b", 5, 1, 1), out="y"),
    "transposed": lambda graph: graph.op(
        "ConvTranspose", "b", graph.weight("y.w", 4, 3, 3, 3), graph.weight("y.b", 6), out="y",
        group=2, strides=[2, 2], output_padding=[1, 0],
    ),
    "transposed depthwise": lambda graph: graph.op(
        "ConvTranspose", "b", graph.weight("y.w", 4, 1, 2, 2), out="y", group=4, strides=[2, 2]
    ),
}  # fmt: skip


@pytest.mark.parametrize("kind", CONVOLUTIONS)
def test_the_operator_behind_does_what_is_gone(kind: str) -> None:
    graph = Builder(channels=4, size=6)
    scaled(graph.op("Relu", graph.conv("x", "a", 4, kernel=3, bias=True), out="r"), graph, "b")
    CONVOLUTIONS[kind](graph)
    network = graph.network("y")
    changed = assert_exact(network, edited(network, B="S"), images(12, 4, 6), "a.w", "a.b", "b.w")
    assert changed >= {"c.w" if "c" in graph.channels else "y.w"}


@pytest.mark.parametrize("rank", [1, 3])
def test_any_number_of_axes(rank: int) -> None:
    graph = Builder(channels=4)
    graph.input = helper.make_tensor_value_info("x", TensorProto.FLOAT, ["n", 4, *[5] * rank])
    graph.op("Conv", "x", graph.weight("a.w", 4, 4, *[3] * rank), out="a", pads=[1] * 2 * rank)
    graph.op("Conv", graph.op("Relu", "a", out="r"), graph.weight("b.w", 4, 1, *[1] * rank), out="b", group=4)
    graph.op("Conv", "b", graph.weight("y.w", 3, 4, *[2] * rank), out="y")
    network = graph.network("y")
    assert_exact(network, edited(network, B="S"), noise(20, 4, *[5] * rank))


def dense(*sizes: int | str) -> Builder:
    graph = Builder(channels=4)
    graph.input = helper.make_tensor_value_info("x", TensorProto.FLOAT, ["n", *sizes, 4])
    return graph


@pytest.mark.parametrize("transposed", [0, 1])
def test_gemm(transposed: int) -> None:
    graph = dense()
    graph.op("Relu", graph.op("Gemm", "x", graph.weight("a.w", 4, 4), out="a"), out="r")
    graph.op("Gemm", "r", graph.weight("b.w", 4, 4), graph.weight("b.b", 4), out="b", transB=1)
    shape = (3, 4) if transposed else (4, 3)
    graph.op("Gemm", "b", graph.weight("y.w", *shape), graph.weight("y.b", 1, 3), out="y", transB=transposed)
    network = graph.network("y")
    assert assert_exact(network, edited(network, B="S"), noise(30, 4)) == {"y.w", "y.b"}


def test_matmul_over_tokens() -> None:
    graph = dense("t")
    graph.op("Add", graph.op("MatMul", "x", graph.weight("a.w", 4, 4), out="a"), graph.weight("a.b", 4), out="ab")
    graph.op("MatMul", graph.op("Relu", "ab", out="r"), graph.weight("b.w", 4, 4), out="b")
    graph.op("Add", graph.op("MatMul", "b", graph.weight("y.w", 4, 3), out="c"), graph.weight("y.b", 3), out="y")
    network = graph.network("y")
    assert assert_exact(network, edited(network, B="S"), noise(8, 5, 4)) == {"y.w", "y.b"}


def test_a_normalisation_of_rows() -> None:
    graph = dense()
    graph.op("Relu", graph.op("MatMul", "x", graph.weight("a.w", 4, 4), out="a"), out="r")
    graph.op("MatMul", "r", graph.weight("b.w", 4, 4), out="b")
    graph.op("MatMul", "b", graph.weight("c.w", 4, 3), out="c")
    graph.channels["c"] = 3
    network = parse(graph.model(graph.batchnorm("c", "y")))
    assert "y.var" in assert_exact(network, edited(network, B="S"), noise(30, 4))


def test_a_normalisation_without_gain_gets_one() -> None:
    graph = Builder(channels=4, size=6)
    scaled(graph.op("Relu", graph.conv("x", "a", 4), out="r"), graph, "b")
    graph.op("Add", graph.batchnorm(graph.conv("b", "c", 4), "n"), "r", out="s")
    graph.conv("s", "y", 3)
    for tensor in graph.initializers:
        if tensor.name == "n.scale":
            tensor.raw_data = np.zeros(4, np.float32).tobytes()
    network = graph.network("y")
    assert_exact(network, edited(network, **{"r->s": "N"}), images(12, 4, 6))


def test_the_operator_in_front_where_none_is_behind() -> None:
    """A map that is passed on to an output takes that as its target; over several maps, the last."""
    graph = Builder(channels=4, size=6)
    graph.conv(graph.op("Relu", graph.conv("x", "a", 4), out="r"), "b", 4, kernel=3)
    graph.conv(graph.conv("b", "c", 4, bias=True), "y", 4)
    network = graph.network("y")
    alpha = edited(network, C="S", Y="S")
    weights, fits = refitted(network, alpha, {"x": images(12, 4, 6)}, ridge=0.0)
    assert [fit.tensor for fit in fits] == ["y"]
    assert weights.keys() == {"b.w"}  # no bias to hold c's
    graph = Builder(channels=4, size=6)
    graph.conv(graph.op("Relu", graph.conv("x", "a", 4), out="r"), "b", 4, kernel=3, bias=True)
    graph.conv(graph.conv("b", "c", 4, bias=True), "y", 4)
    network = graph.network("y")
    assert assert_exact(network, edited(network, C="S", Y="S"), images(12, 4, 6)) == {"b.w", "b.b"}


def test_what_others_read_who_read_it_before_stays() -> None:
    """The map in front of the last operator is an output too."""
    graph = Builder(channels=4, size=6)
    graph.conv(graph.conv("x", "a", 4, bias=True), "y", 4)
    network = graph.network("y", "a")
    assert refitted(network, edited(network, Y="S"), {"x": images(12, 4, 6)}) == ({}, ())


def test_a_join_that_lost_a_member() -> None:
    """Either member of the join could do it; the first does."""
    graph = Builder(channels=4, size=6)
    source = graph.op("Relu", graph.conv("x", "a", 4), out="r")
    scaled(source, graph, "b")
    graph.op("Sum", graph.conv("b", "p", 4, kernel=3, bias=True), graph.conv("r", "q", 4), "r", out="s")
    graph.conv(graph.op("Relu", "s", out="t"), "y", 3)
    network = graph.network("y")
    assert_exact(network, edited(network, B="S", **{"r->t": "N"}), images(20, 4, 6), "a.w")


def test_a_projection_beside_a_branch() -> None:
    """Two operators feed one join and read what has changed; together they give what they gave."""
    graph = Builder(channels=4, size=6)
    scaled(graph.op("Relu", graph.conv("x", "a", 4), out="r"), graph, "b")
    graph.op("Relu", graph.conv("b", "c", 6, kernel=3, stride=2), out="d")
    graph.op("Add", graph.conv("d", "e", 5, kernel=3), graph.conv("b", "f", 5, stride=2), out="s")
    network = graph.network("s")
    assert assert_exact(network, edited(network, B="S"), images(40, 4, 6)) >= {"c.w", "f.w"}


def test_equals_least_squares_of_numpy() -> None:
    """A last layer whose input has lost its layer: no exact weights, but best ones."""
    graph = dense()
    graph.op("Gemm", "x", graph.weight("a.w", 4, 4), graph.weight("a.b", 4), out="a")
    graph.op("Gemm", graph.op("Relu", "a", out="r"), graph.weight("y.w", 4, 3), graph.weight("y.b", 3), out="y")
    network, x = graph.network("y"), noise(50, 4)
    weights, (fit,) = refitted(network, edited(network, A="S"), {"x": x}, parts=3, ridge=0.0)
    wanted = runtime(network.model, {"x": x})["y"]
    features = np.c_[np.maximum(x, 0), np.ones(len(x))]
    best, residuals, *_ = np.linalg.lstsq(features.astype("f8"), wanted, rcond=None)
    np.testing.assert_allclose(weights["y.w"], best[:4], rtol=1e-3, atol=1e-4)
    np.testing.assert_allclose(weights["y.b"], best[4], rtol=1e-3, atol=1e-4)
    assert fit.after == pytest.approx(float(residuals.sum()) / wanted.size, rel=1e-3)
    given = arrays(network.model)
    plain = np.maximum(x, 0) @ given["y.w"] + given["y.b"]
    assert fit.before == pytest.approx(float(np.mean((plain - wanted) ** 2)), rel=1e-4)
    stiff, _ = refitted(network, edited(network, A="S"), {"x": x}, ridge=1e6)
    np.testing.assert_allclose(stiff["y.w"], given["y.w"], atol=1e-4)


@pytest.mark.parametrize("joined", [False, True])
def test_a_cheaper_operation_by_least_squares_of_numpy(joined: bool) -> None:
    """A convolution of single positions in the place of a 3 × 3 one: the best there is, alone and as a sum's member."""
    graph = Builder(channels=4, size=6)
    graph.conv("x", "c", 4, kernel=3, bias=True)
    made = graph.batchnorm("c", "n")
    graph.op("Relu", graph.op("Add", made, "x", out="s") if joined else made, out="y")
    network, x = parse(graph.model("y"), transitions="nat++"), images(30, 4, 6)
    weights, (fit,) = refitted(network, edited(network, C="conv_1x1"), {"x": x}, parts=3, ridge=0.0)
    assert {"c.conv_1x1.w", "n.conv_1x1.scale"} <= weights.keys()
    assert not {"c.w", "c.b", "n.scale"} & weights.keys()
    wanted = runtime(with_outputs(network.model, ["n"]), {"x": x})["n"]
    columns = [value.transpose(0, 2, 3, 1).reshape(-1, 4).astype("f8") for value in (x, wanted)]
    features = np.c_[columns[0], np.ones(len(columns[0]))]
    _, residuals, *_ = np.linalg.lstsq(features, columns[1], rcond=None)
    assert fit.after == pytest.approx(float(residuals.sum()) / wanted.size, rel=1e-3)


def test_channels_are_mixed_where_the_whole_is_too_large() -> None:
    """What a mix of output channels can do, it does: here, a scale behind the operator."""
    graph = Builder(channels=4, size=6)
    graph.conv("x", "a", 4, kernel=3, bias=True)
    scaled("a", graph, "y")
    network = graph.network("y")
    alpha, x = edited(network, Y="S"), images(12, 4, 6)
    weights, (fit,) = refitted(network, alpha, {"x": x}, ridge=0.0, largest=35)
    scale = arrays(network.model)["y.w"].reshape(4)
    given = arrays(network.model)
    np.testing.assert_allclose(weights["a.w"], given["a.w"] * scale[:, None, None, None], rtol=1e-3, atol=1e-4)
    np.testing.assert_allclose(weights["a.b"], given["a.b"] * scale, rtol=1e-3, atol=1e-4)
    assert fit.after < 1e-6 * fit.before
    assert refitted(network, alpha, {"x": x}, largest=3) == ({}, ())
