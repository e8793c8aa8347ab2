"""Branches that read more than their source: what is merged, and what is not."""

from __future__ import annotations

import numpy as np
import pytest
from onnx import TensorProto, helper

from natonnx.architecture import State, legal_transitions
from natonnx.frontend import Network, parse
from tests.frontend.test_concat import parts
from tests.frontend.test_cut_rules import without
from tests.frontend.test_granularity import branches, operations
from tests.rewrite.helpers import Builder, edges, joins


def merged(graph: Builder, *outputs: str) -> Network:
    return parse(graph.model(*outputs), granularity="branch")


def further(network: Network) -> dict[str, tuple[str, ...]]:
    """By merged edge: what it reads besides its source."""
    return {name: edge.operation.inputs for name, edge in branches(network).items() if edge.operation}


def gated(graph: Builder, source: str, gate: str, out: str) -> str:
    """conv(conv(source) · gate)."""
    graph.op("Mul", graph.conv(source, f"{out}1"), gate, out=f"{out}2")
    return graph.conv(f"{out}2", out)


def test_a_gate_from_outside_is_a_further_input() -> None:
    graph = Builder(size=4)
    graph.conv("x", "s0")
    graph.op("Sigmoid", graph.conv("x", "g0"), out="g")
    graph.op("Add", gated(graph, "s0", "g", "a"), "s0", out="s1")
    graph.op("Add", gated(graph, "s1", "g", "b"), "s1", out="s2")
    network = merged(graph, "s2")
    assert further(network) == {"A1..A": ("g",), "B1..B": ("g",)}
    assert joins(network)["g"] == "single"
    parts(without(network, "A1..A"), network)
    parts(without(network, "A1..A", "B1..B"), network)
    beta = network.architecture
    verdict = legal_transitions(beta)[beta.topology.edge_index["G0"]]
    assert verdict[State.N] == "nothing else feeds 'g', which the operation 'A1..A' reads with other tensors"


def test_a_gate_for_one_branch_alone_goes_with_it_up_to_its_first_operation() -> None:
    """The projection belongs to the branch, what is projected does not."""
    graph = Builder(size=4)
    graph.conv("x", "s0")
    graph.op("Relu", graph.conv("x", "p"), out="memory")
    graph.op("Sigmoid", graph.conv("memory", "k"), out="g")
    graph.op("Add", gated(graph, "s0", "g", "a"), "s0", out="s1")
    network = merged(graph, "s1")
    assert operations(network) == {"S0", "P", "K..A"}
    assert further(network) == {"K..A": ("memory",)}
    parts(without(network, "K..A"), network)


def test_what_another_output_reads_is_not_merged() -> None:
    graph = Builder(size=4)
    graph.conv("x", "s0")
    graph.op("Sigmoid", graph.conv("x", "g0"), out="g")
    graph.op("Add", gated(graph, "s0", "g", "a"), "s0", out="s1")
    network = merged(graph, "s1", "a2")
    assert "a2" in joins(network)
    assert further(network) == {}


def test_what_a_fixed_node_makes_and_nobody_reads_goes_with_it() -> None:
    graph = Builder(size=4)
    graph.conv("x", "s0")
    graph.conv("s0", "a1", 8)
    graph.nodes.append(helper.make_node("Split", ["a1"], ["left", "right"], "SPLIT", axis=1))
    graph.channels["left"] = 4
    graph.op("Add", graph.conv("left", "a2"), "s0", out="s1")
    network = merged(graph, "s1")
    assert operations(network) == {"S0", "A1..A2"}
    assert joins(network) == {"x": "input", "s0": "single", "s1": "sum"}
    parts(without(network, "A1..A2"), network)


def test_of_a_fixed_node_all_outputs_or_none() -> None:
    graph = Builder(size=4)
    graph.conv("x", "s0")
    graph.conv("s0", "a1", 8)
    graph.nodes.append(helper.make_node("Split", ["a1"], ["left", "right"], "SPLIT", axis=1))
    graph.channels["left"] = 4
    graph.op("Add", graph.conv("left", "a2"), "s0", out="s1")
    network = merged(graph, "s1", "right")
    assert joins(network)["left"] == joins(network)["right"] == "opaque"
    assert edges(network)["A2"] == ("left", "s1", "O")


def test_without_a_residual_sizes_and_masks_do_not_hide_the_source() -> None:
    """Two branches of one map, each resized to the size of the model's input."""
    graph = Builder(size=4)
    graph.conv("x", "s0", stride=2)
    graph.op("Shape", "x", out="size")
    members = []
    for name in ("a", "b"):
        graph.op("Resize", graph.conv("s0", f"{name}1"), "", "", "size", out=f"{name}2", mode="nearest")
        members.append(graph.conv(f"{name}2", f"{name}3"))
    graph.op("Add", *members, out="y")
    network = merged(graph, "y")
    assert further(network) == {"A1..A3": ("size",), "B1..B3": ("size",)}
    assert edges(network)["A1..A3"][0] == edges(network)["B1..B3"][0] == "s0"
    parts(without(network, "A1..A3"), network)


def test_a_branch_from_two_maps_without_a_residual_starts_where_they_meet() -> None:
    graph = Builder(size=4)
    graph.conv("x", "p")
    graph.conv("x", "q")
    graph.op("Mul", "p", "q", out="m")
    graph.conv(graph.conv("m", "a1"), "a2")
    graph.op("Add", "p", "q", out="pq")
    graph.op("Add", "a2", graph.conv("pq", "c"), out="y")
    network = merged(graph, "y")
    assert edges(network)["A1..A2"] == ("m", "y", "O")
    assert further(network) == {"A1..A2": ()}


def test_whole_numbers_are_skipped_by_nothing() -> None:
    """A table's rows for the model's input, which has the same shape: the identity would have the wrong type."""
    graph = Builder(size=4)
    graph.input = helper.make_tensor_value_info("x", TensorProto.INT64, ["n", 4])
    graph.op("Cast", "x", out="f", to=TensorProto.FLOAT)
    graph.op("MatMul", "f", graph.weight("w", 4, 4), out="a")
    graph.op("Cast", graph.op("Neg", "x", out="minus"), out="b", to=TensorProto.FLOAT)
    graph.op("Add", "a", "b", out="y")
    network = merged(graph, "y")
    beta = network.architecture
    verdicts = dict(zip(beta.topology.edge_index, legal_transitions(beta), strict=True))
    reasons = {name: verdicts[name][State.S] for name in branches(network)}
    assert reasons
    assert set(reasons.values()) == {"its source does not hold floating-point numbers"}


@pytest.mark.parametrize("blocks", [2, 200])
def test_many_branches_that_read_one_mask(blocks: int) -> None:
    graph = Builder(size=4)
    graph.op("Sigmoid", graph.conv("x", "g0"), out="g")
    tensor = "x"
    for i in range(blocks):
        graph.op("Add", gated(graph, tensor, "g", f"b{i}_"), tensor, out=f"s{i}")
        tensor = f"s{i}"
    network = merged(graph, tensor)
    assert further(network) == {f"B{i}_1..B{i}_": ("g",) for i in range(blocks)}
    silent = without(network, *further(network))
    alive = np.flatnonzero([state != State.N for state in silent.states])
    assert alive.size == blocks + 1
