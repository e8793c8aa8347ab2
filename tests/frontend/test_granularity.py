"""Whole branches as single edges."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest

from natonnx.architecture import State, cost, legal_transitions
from natonnx.frontend import Granularity, Network, parse
from natonnx.rewrite import build
from tests.frontend.test_concat import inception, parts
from tests.frontend.test_cut_rules import capturing, without, zeroed
from tests.rewrite.helpers import Builder, assert_close, copy, edges, images, joins, runtime
from tools.conformance.wild.alphas import random_alpha

if TYPE_CHECKING:
    from collections.abc import Callable

    import onnx

    from natonnx.architecture import Edge


def residual() -> onnx.ModelProto:
    """Two residual blocks: conv, norm, relu, conv, norm; the second halves the size, and so does its shortcut."""
    graph = Builder(size=4)
    graph.op("Relu", graph.batchnorm(graph.conv("x", "a1", 4, kernel=3), "a2"), out="a3")
    graph.batchnorm(graph.conv("a3", "a4", 4, kernel=3), "a5")
    graph.op("Relu", graph.op("Add", "a5", "x", out="s1"), out="o1")
    graph.op("Relu", graph.conv("o1", "b1", 6, kernel=3, stride=2), out="b2")
    graph.conv("b2", "b3", 6, kernel=3)
    graph.conv("o1", "down", 6, stride=2)
    graph.op("Relu", graph.op("Add", "b3", "down", out="s2"), out="o2")
    graph.conv("o2", "y", 3)
    return graph.model("y")


def squeeze() -> onnx.ModelProto:
    """A residual block whose branch gates its channels by their means."""
    graph = Builder(size=4)
    graph.conv("x", "a1", 4, kernel=3)
    graph.op("GlobalAveragePool", "a1", out="g1")
    graph.op("Relu", graph.conv("g1", "g2", 2, bias=True), out="g3")
    graph.op("Sigmoid", graph.conv("g3", "g4", 4, bias=True), out="g5")
    graph.op("Mul", "a1", "g5", out="a2")
    graph.conv("a2", "a3", 4)
    graph.op("Add", "a3", "x", out="s")
    graph.conv("s", "y", 3)
    return graph.model("y")


def attention() -> onnx.ModelProto:
    """A transformer block over 16 places of 4 features: attention, then two layers."""
    graph = Builder(size=4, opset=17)
    graph.op("Reshape", "x", graph.constant("to3", np.array([0, 4, 16])), out="rows")
    graph.op("Transpose", "rows", out="s0", perm=[0, 2, 1])
    graph.op("LayerNormalization", "s0", graph.weight("n1.s", 4), graph.weight("n1.b", 4), out="n1")
    for name in ("q", "k", "v"):
        graph.op("MatMul", "n1", graph.weight(f"{name}.w", 4, 4), out=name)
    graph.op("MatMul", "q", graph.op("Transpose", "k", out="kt", perm=[0, 2, 1]), out="qk")
    graph.op("MatMul", graph.op("Softmax", "qk", out="p", axis=-1), "v", out="mixed")
    graph.op("MatMul", "mixed", graph.weight("o.w", 4, 4), out="attended")
    graph.op("Add", "s0", "attended", out="s1")
    graph.op("LayerNormalization", "s1", graph.weight("n2.s", 4), graph.weight("n2.b", 4), out="n2")
    graph.op("MatMul", "n2", graph.weight("m1.w", 4, 8), out="m1")
    graph.op("MatMul", graph.op("Relu", "m1", out="m2"), graph.weight("m3.w", 8, 4), out="m3")
    graph.op("Add", "s1", "m3", out="s2")
    graph.op("MatMul", "s2", graph.weight("y.w", 4, 3), out="y")
    return graph.model("y")


def nested() -> onnx.ModelProto:
    """A block within the branch of a block."""
    graph = Builder(size=4)
    graph.conv("x", "a", 4)
    graph.conv(graph.conv("a", "b", 4), "c", 4)
    graph.op("Add", "c", "a", out="inner")
    graph.conv("inner", "d", 4)
    graph.op("Add", "d", "x", out="outer")
    graph.conv("outer", "y", 3)
    return graph.model("y")


MODELS: dict[str, Callable[[], onnx.ModelProto]] = {
    "residual": residual,
    "inception": lambda: inception().model("y"),
    "squeeze": squeeze,
    "attention": attention,
    "nested": nested,
}
every_model = pytest.mark.parametrize("make", MODELS.values(), ids=MODELS.keys())
every_granularity = pytest.mark.parametrize("granularity", list(Granularity))


def branches(network: Network) -> dict[str, Edge]:
    """The merged edges, by name."""
    return {
        edge.name: edge
        for edge in network.architecture.topology.edges
        if edge.operation is not None and edge.operation.kind == "Branch"
    }


def operations(network: Network) -> set[str]:
    pairs = zip(network.architecture.topology.edges, network.architecture.states, strict=True)
    return {edge.name for edge, state in pairs if state == State.O}


# What is merged


def test_the_branches_of_residual_blocks() -> None:
    network = parse(residual(), granularity="branch")
    assert operations(network) == {"A1..A4", "B1..B3", "DOWN", "Y"}
    assert edges(network)["A1..A4"] == ("x", "o1", "O")
    assert joins(network) == {"x": "input", "o1": "sum", "o2": "sum", "y": "single"}


def test_the_branches_of_inception_blocks_are_members() -> None:
    network = parse(inception().model("y"), granularity="branch")
    assert branches(network).keys() == {"B1..BB1", "P1..C1", "B2..BB2", "P2..C2"}
    assert edges(network)["P2..C2"] == ("cat1", "rc2", "O")
    assert edges(network)["rc2->cat2"] == ("rc2", "cat2", "S")


def test_a_gate_goes_with_its_branch() -> None:
    network = parse(squeeze(), granularity="branch")
    assert operations(network) == {"A1..A3", "Y"}
    assert joins(network) == {"x": "input", "s": "sum", "y": "single"}


def test_attention_goes_as_a_whole() -> None:
    network = parse(attention(), granularity="branch")
    assert branches(network).keys() == {"Q..ATTENDED", "M1..M3"}
    assert edges(network)["Q..ATTENDED"][1:] == ("s1", "O")


def test_an_inner_block_stays_when_its_branch_cannot_be_one() -> None:
    network = parse(nested(), granularity="branch")
    assert branches(network).keys() == {"B..C"}
    assert operations(network) == {"A", "B..C", "D", "Y"}


def test_a_branch_ends_where_another_reads_it() -> None:
    graph = Builder(size=4)
    graph.conv(graph.conv(graph.conv("x", "a", 4), "b", 4), "c", 4)
    graph.op("Add", "c", "x", out="s")
    graph.conv("s", "y", 3)
    graph.conv("a", "z", 3)
    network = parse(graph.model("y", "z"), granularity="branch")
    assert operations(network) == {"A", "B..C", "Y", "Z"}


def test_a_branch_ends_at_an_output_of_the_model() -> None:
    graph = Builder(size=4)
    graph.conv(graph.conv(graph.conv("x", "a", 4), "b", 4), "c", 4)
    graph.op("Add", "c", "x", out="s")
    assert operations(parse(graph.model("s", "a"), granularity="branch")) == {"A", "B..C"}


@every_model
def test_merged_edges_have_names_of_their_own(make: Callable[[], onnx.ModelProto]) -> None:
    layers = {edge.name for edge in parse(make()).architecture.topology.edges}
    merged = branches(parse(make(), granularity="branch"))
    assert merged
    assert not merged.keys() & layers


def test_a_branch_of_one_operator_and_fixed_nodes_has_a_name_of_its_own() -> None:
    graph = Builder(size=4)
    graph.op("LRN", graph.conv("x", "a", 4), out="b", size=3)
    graph.op("Add", "b", "x", out="y")
    merged = branches(parse(graph.model("y"), granularity="branch"))
    assert merged.keys() == {"A#2"}


# auto


def test_auto_merges_what_holds_a_fixed_node() -> None:
    network = parse(squeeze(), granularity="auto")
    assert branches(network).keys() == {"A1..A3"}
    assert branches(parse(attention(), granularity="auto")).keys() >= {"Q..ATTENDED"}


def test_auto_leaves_layers_that_can_be_skipped() -> None:
    assert (
        parse(residual(), granularity="auto").architecture.topology.edges[:2]
        == (parse(residual()).architecture.topology.edges[:2])
    )
    assert "A1..A4" not in branches(parse(residual(), granularity="auto"))


def test_auto_merges_layers_of_which_none_can_be_skipped() -> None:
    """More and larger channels, then fewer and smaller ones: as a whole the branch can be a skip."""
    graph = Builder(size=4)
    graph.op("ConvTranspose", "x", graph.weight("a.w", 4, 6, 2, 2), out="a", strides=[2, 2])
    graph.channels["a"] = 6
    graph.conv("a", "b", 4, stride=2)
    graph.op("Add", "b", "x", out="s")
    graph.conv(graph.conv("s", "c", 2), "d", 4)
    graph.op("Add", "d", "s", out="y")
    network = parse(graph.model("y"), granularity="auto")
    assert branches(network).keys() == {"A..B"}
    assert operations(network) == {"A..B", "C", "D"}


# What is the same as with layers


@every_granularity
@every_model
def test_the_whole_stays_the_whole(make: Callable[[], onnx.ModelProto], granularity: Granularity) -> None:
    layers, network = parse(make()), parse(make(), granularity=granularity)
    assert cost(network.architecture) == cost(layers.architecture)
    assert build(network, network.architecture) == make()


@every_model
def test_a_branch_counts_what_its_layers_count(make: Callable[[], onnx.ModelProto]) -> None:
    layers, network = parse(make()), parse(make(), granularity="branch")
    topology = layers.architecture.topology
    weights = {weight for edge in topology.edges if edge.operation for weight in edge.operation.weights}
    weights |= {weight for fmap in topology.maps for weight in fmap.weights}
    for name, edge in branches(network).items():
        inside = set(network.edges[name].nodes)
        reads = {tensor for i in inside for tensor in network.model.graph.node[i].input}
        merged = [
            one.operation for one in topology.edges if one.operation and inside >= set(layers.edges[one.name].nodes)
        ]
        assert edge.operation is not None
        assert edge.operation.params == sum(weight.size for weight in weights if weight.name in reads)
        assert edge.operation.madds == sum(operation.madds or 0 for operation in merged)


@every_model
def test_nodes_in_a_branch_are_not_listed_as_fixed(make: Callable[[], onnx.ModelProto]) -> None:
    layers, network = parse(make()), parse(make(), granularity="branch")
    nodes = network.model.graph.node
    inside = {nodes[i].name for name in branches(network) for i in network.edges[name].nodes}
    assert {one.node for one in network.opaque} == {one.node for one in layers.opaque} - inside


# Edits


@every_granularity
@every_model
def test_every_legal_transition_gives_a_right_model(
    make: Callable[[], onnx.ModelProto], granularity: Granularity
) -> None:
    network = parse(make(), granularity=granularity, window=1)
    beta = network.architecture
    for i, verdict in enumerate(legal_transitions(beta)):
        for after, reason in verdict.items():
            if reason is None:
                parts(beta.with_states((*beta.states[:i], after, *beta.states[i + 1 :])), network)


@pytest.mark.parametrize("seed", range(3))
@every_model
def test_random_alphas_of_branches_give_right_models(make: Callable[[], onnx.ModelProto], seed: int) -> None:
    network = parse(make(), granularity="branch")
    parts(random_alpha(network.architecture, seed, rate=0.5), network)


@pytest.mark.parametrize(
    ("make", "branch", "last"), [(residual, "A1..A4", "a5"), (squeeze, "A1..A3", "a3"), (attention, "M1..M3", "m3")]
)
def test_a_branch_that_goes_adds_nothing(make: Callable[[], onnx.ModelProto], branch: str, last: str) -> None:
    """It is as if the last operator of the branch made zeros."""
    model, x = make(), {"x": images(2, 4, 4)}
    network = parse(model, granularity="branch")
    silent = copy(model)
    maker = next(node for node in model.graph.node if last in node.output)
    for name in maker.input[1:3]:  # weight, or scale and shift
        rank = next(len(tensor.dims) for tensor in model.graph.initializer if tensor.name == name)
        silent = zeroed(silent, name, [*range(8)] if rank == 2 else [0, 1, 2, 3], 0)
    result = parts(without(network, branch), network)
    assert_close(runtime(result, x)["y"], runtime(silent, x)["y"])


def test_a_branch_that_becomes_a_skip_doubles_the_other() -> None:
    """x + x, where the file has x + branch(x)."""
    network = parse(residual(), granularity="branch")
    beta = network.architecture
    i = beta.topology.edge_index["A1..A4"]
    result = parts(beta.with_states((*beta.states[:i], State.S, *beta.states[i + 1 :])), network)
    x = images(2, 4, 4)
    captured = capturing(result, "o1")
    assert_close(runtime(captured, {"x": x})["o1"], np.maximum(2 * x, 0))


def test_what_a_model_does_to_its_input_is_no_weight_of_a_branch() -> None:
    """Constants by which the input is normalised are preprocessing: neither counted nor trained."""
    graph = Builder(size=4)
    graph.op("Sub", "x", graph.constant("mean", np.ones((4, 1, 1), np.float32)), out="n")
    graph.conv("n", "a", 4)
    graph.op("Add", "a", "x", out="y")
    model = graph.model("y")
    assert cost(parse(model, granularity="branch").architecture) == cost(parse(model).architecture)


def test_a_branch_that_gates_a_concat_reads_the_gate_of_the_channels_that_are_left() -> None:
    """Of the two tensors that its product reads, one has lost channels and the other has not."""
    graph = Builder(size=4)
    graph.op("Concat", graph.conv("x", "a", 3), graph.conv("x", "b", 2), out="c", axis=1)
    graph.channels["c"] = 5
    graph.op("Sigmoid", graph.conv("c", "gate", 5), out="g")
    graph.conv(graph.op("Mul", "c", "g", out="gated"), "d", 4)
    graph.op("Add", "d", graph.conv("c", "e", 4), out="y")
    network = parse(graph.model("y"), granularity="branch")
    assert branches(network).keys() == {"GATE..D"}
    beta = network.architecture
    assert legal_transitions(beta)[beta.topology.edge_index["b->c"]] == {State.N: None}
    parts(without(network, "b->c"), network)
    parts(without(network, "GATE..D", "b->c"), network)
