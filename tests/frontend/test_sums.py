"""Sums that add constants besides their members, or tensors that are broadcast."""

from __future__ import annotations

import numpy as np
import pytest

from natonnx.architecture import Edit, State, TransitionError, apply_edits, legal_transitions
from natonnx.rewrite import build
from natonnx.rewrite.outputs import OutputsCheck
from natonnx.supernet import Supernet
from tests.rewrite.helpers import Builder, assert_close, edges, images, joins
from tests.rewrite.values import assert_single_edits, plainly

SAMPLES = [{"x": images(n, 4, 8)} for n in (1, 3)]


def small(graph: Builder, source: str, out: str) -> str:
    """A tensor of one entry a channel, made by a convolution."""
    return graph.conv(graph.op("GlobalAveragePool", source, out=f"{out}.g"), out)


@pytest.mark.parametrize(("opset", "shape"), [(13, (4, 1, 1)), (13, ()), (8, (1, 4, 8, 8)), (6, (1, 4, 8, 8))])
@pytest.mark.parametrize("place", [0, 1, 2])
def test_members_of_a_sum_with_a_constant_are_free(opset: int, shape: tuple[int, ...], place: int) -> None:
    graph = Builder(opset=opset, **({"batch": 1} if opset < 8 else {}))
    constant = graph.weight("k", *shape) if shape else graph.constant("k", np.array(0.5, np.float32))
    operands = [graph.conv("x", "a"), graph.conv("x", "b")]
    operands.insert(place, constant)
    graph.op("Relu", graph.op("Sum", *operands, out="s"), out="r")
    graph.channels["r"] = 4
    graph.conv("r", "y")
    network = graph.network("y")
    assert not network.opaque
    assert edges(network)["A"] == ("x", "r", "O")
    tried = assert_single_edits(network, SAMPLES[:1] if opset < 8 else SAMPLES)
    assert {("A", "S"), ("A", "N"), ("B", "S"), ("B", "N")} <= set(tried)
    samples = SAMPLES[0]
    assert_close(Supernet(network).as_reference()(samples)["y"], plainly(network.model, samples)["y"])


def test_constant_of_a_sum_may_be_made_by_a_node() -> None:
    graph = Builder()
    graph.op("Mul", graph.weight("k", 4, 1, 1), graph.constant("two", np.array(2, np.float32)), out="t")
    graph.op("Identity", "t", out="i")
    graph.op("Sum", graph.conv("x", "a"), "i", graph.conv("x", "b"), out="y")
    assert {("A", "N"), ("B", "S")} <= set(assert_single_edits(graph.network("y"), SAMPLES))


def test_sum_of_one_tensor_and_constants_is_a_bias() -> None:
    graph = Builder()
    graph.op("Sum", graph.weight("k", 4, 1, 1), graph.conv("x", "a"), graph.weight("l", 1, 8, 8), out="s")
    graph.op("Add", "s", "x", out="y")
    network = graph.network("y")
    assert edges(network)["A"] == ("x", "y", "O")
    assert ("A", "S") in assert_single_edits(network, SAMPLES)


def test_broadcast_members_of_a_sum_are_read_besides_its_source() -> None:
    graph = Builder()
    graph.op("Sum", small(graph, "x", "t"), graph.conv("x", "a"), graph.weight("k", 4, 1, 1), out="s")
    graph.conv(graph.op("Sum", small(graph, "s", "u"), graph.conv("s", "b"), "s", out="v"), "y")
    network = graph.network("y")
    assert joins(network)["s"] == joins(network)["v"] == "single"
    assert edges(network)["S"] == ("a", "s", "O")
    assert edges(network)["V"] == ("b", "v", "O")
    assert {("S", "S"), ("V", "S"), ("A", "S")} <= set(assert_single_edits(network, SAMPLES))


def test_constant_of_a_sum_keeps_the_concat_before_it_whole() -> None:
    graph = Builder()
    for name in "de":
        graph.op("Concat", graph.conv("x", f"{name}a", 2), graph.conv("x", f"{name}b", 2), out=name, axis=1)
    graph.op("Sum", "d", "e", graph.weight("k", 4, 1, 1), out="s")
    graph.channels["s"] = 4
    graph.conv("s", "y")
    network = graph.network("y")
    assert {("d->s", "N"), ("e->s", "N")} <= set(assert_single_edits(network, SAMPLES))
    beta = network.architecture
    alpha = apply_edits(beta, [Edit("e->s", State.S, State.N)])
    verdicts = dict(zip(beta.topology.edge_index, legal_transitions(alpha), strict=True))
    assert (
        verdicts["da->d"][State.N] == "the concat 'd' cannot lose it: the nodes of 's' have no rule for fewer channels"
    )
    with pytest.raises(TransitionError, match="'s'"):
        apply_edits(beta, [Edit("da->d", State.S, State.N), Edit("ea->e", State.S, State.N)])


def test_constant_of_a_sum_is_kept_for_a_shortcut() -> None:
    graph = Builder()
    graph.conv(graph.op("Sum", graph.conv("x", "a"), graph.conv("a", "b"), graph.weight("k", 4, 1, 1), out="s"), "y")
    network = graph.network("y")
    assert ("x->s", "S") in assert_single_edits(network, SAMPLES)
    alpha = apply_edits(network.architecture, [Edit("x->s", State.N, State.S), Edit("A", State.O, State.N)])
    verdict = OutputsCheck(network, alpha, build(network, alpha)).replayed
    assert verdict.passed
    assert verdict.made
