"""Biases and gates that depend on the input, and elementwise nodes of tensors that others read too, are edges."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest
from onnx import TensorProto, helper, numpy_helper

from natonnx.architecture import State, apply_edits, cost, legal_transitions
from natonnx.architecture.transition import Edit
from natonnx.frontend import Granularity, parse
from natonnx.rewrite import build
from natonnx.rewrite.replay import Replay
from natonnx.supernet import Supernet
from tests.rewrite.helpers import Builder, assert_close, copy, edges, images, joins, node_names, runtime
from tests.rewrite.values import assert_single_edits, edited_values

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

    from natonnx.frontend import Network

MASKED = "one of its operands is an input of the model or made of inputs by fixed nodes alone, as a mask is"
SAMPLES = [{"x": images(n, 4, 8)} for n in (1, 3)]


def excited(graph: Builder, source: str, out: str) -> str:
    """Gate a tensor by its own means."""
    graph.op("GlobalAveragePool", source, out=f"{out}.p")
    graph.op("Relu", graph.conv(f"{out}.p", f"{out}.c", 2), out=f"{out}.r")
    graph.op("Sigmoid", graph.conv(f"{out}.r", f"{out}.e"), out=f"{out}.g")
    return graph.op("Mul", f"{out}.g", source, out=out)


def further(network: Network, edge: str) -> tuple[str, ...]:
    """What an edge's operation reads besides its source."""
    topology = network.architecture.topology
    operation = topology.edges[topology.edge_index[edge]].operation
    assert operation is not None
    return operation.inputs


def test_gate_can_go_with_all_that_makes_it() -> None:
    graph = Builder()
    excited(graph, graph.conv("x", "a"), "m")
    graph.conv("m", "y")
    network = graph.network("y")
    assert edges(network)["M"] == ("a", "m", "O")
    assert further(network, "M") == ("m.g",)
    assert ("M", "S") in assert_single_edits(network, SAMPLES)
    alpha = apply_edits(network.architecture, [Edit("M", State.O, State.S)])
    assert node_names(build(network, alpha)) == ["A", "M", "Y"]
    assert cost(alpha).params == cost(network.architecture).params - 16
    supernet = Supernet(network)
    assert_close(supernet.as_reference(alpha)(SAMPLES[1])["y"], edited_values(network, alpha, SAMPLES[1])["y"])


@pytest.mark.parametrize("kind", ["Add", "Sum", "Mul", "Sub", "Div"])
def test_broadcast_operand_is_read_besides_the_source(kind: str) -> None:
    graph = Builder()
    graph.conv("x", "a")
    graph.conv(graph.op("GlobalAveragePool", "x", out="p"), "t")
    graph.op(kind, *(("a", "t") if kind in {"Sub", "Div"} else ("t", "a")), out="s")
    graph.op("Relu", "s", out="r")
    graph.op("Add", graph.conv("r", "b"), "r", out="y")
    network = graph.network("y")
    assert edges(network)["S"] == ("a", "r", "O")
    assert further(network, "S") == ("t",)
    tried = assert_single_edits(network, SAMPLES)
    assert {("A", "S"), ("S", "S"), ("x->r", "S"), ("T", "S")} <= set(tried)


def test_nothing_is_taken_from_a_broadcast_operand() -> None:
    graph = Builder()
    graph.conv("x", "a")
    graph.op("Sub", graph.op("GlobalAveragePool", "a", out="p"), "a", out="s")
    assert joins(graph.network("s"))["s"] == "opaque"


def test_mask_of_another_input_stays() -> None:
    graph = Builder()
    graph.op("Add", graph.conv("x", "a"), "mask", out="s")
    graph.conv("s", "y")
    nodes, tensors = graph.nodes, graph.initializers
    infos = [helper.make_tensor_value_info(n, TensorProto.FLOAT, ["n", c, 8, 8]) for n, c in (("x", 4), ("mask", 1))]
    out = helper.make_tensor_value_info("y", TensorProto.FLOAT, ["n", 4, 8, 8])
    inner = helper.make_graph(nodes, "masked", infos, [out], tensors)
    network = parse(helper.make_model(inner, opset_imports=[helper.make_opsetid("", 17)], ir_version=8))
    assert joins(network)["s"] == "opaque"
    assert network.opaque[0].reason == MASKED


@pytest.mark.parametrize("dense", [False, True])
def test_gate_behind_a_concat_can_go_and_is_cut_with_what_it_gates(dense: bool) -> None:
    graph = Builder()
    graph.op("Concat", graph.conv("x", "a", 2), graph.conv("x", "b", 2), out="c", axis=1)
    graph.channels["c"] = 4
    excited(graph, graph.conv("c", "d") if dense else "c", "m")
    graph.conv("m", "y")
    network = graph.network("y")
    assert joins(network)["m"] == "single"
    gate_left_out, first_gone = Edit("M", State.O, State.S), Edit("A", State.O, State.N)
    sample = SAMPLES[1]
    for edits in [[gate_left_out], [first_gone], [gate_left_out, first_gone]]:
        alpha = apply_edits(network.architecture, edits)
        made = runtime(build(network, alpha), sample)["y"]
        assert_close(made, Replay(network, alpha)(sample)["y"])
        assert_close(made, Supernet(network).as_reference(alpha)(sample)["y"])
        if edits == [first_gone]:
            assert_close(made, _without(network, sample))


def _without(network: Network, sample: Mapping[str, NDArray[np.float32]]) -> NDArray[np.float32]:
    """The output of the original with the weights of the first member zero."""
    model = copy(network.model)
    for tensor in model.graph.initializer:
        if tensor.name == "a.w":
            tensor.CopyFrom(numpy_helper.from_array(np.zeros((2, 4, 1, 1), np.float32), "a.w"))
    return runtime(model, sample)["y"]


@pytest.mark.parametrize("kind", ["Relu", "Tanh", "Add", "Mul", "BatchNormalization"])
def test_null_goes_through_an_elementwise_node_of_a_tensor_that_others_read(kind: str) -> None:
    graph = Builder()
    graph.conv("x", "a")
    if kind == "BatchNormalization":
        graph.batchnorm("a", "e")
    else:
        graph.op(kind, "a", *([graph.weight("k", 4, 1, 1)] if kind in {"Add", "Mul"} else []), out="e")
    graph.op("GlobalAveragePool", graph.conv("a", "b"), out="p")
    graph.op("Add", "e", "x", out="s")
    graph.op("Add", graph.conv("s", "c"), graph.conv("s", "d"), out="y")
    network = parse(graph.model("y", "p"))
    assert edges(network)["E"] == ("a", "s", "O")
    free = kind in {"Relu", "Tanh"}  # to leave an activation out, and nothing else, saves nothing
    legal = {edit for edit in assert_single_edits(network, SAMPLES) if edit[0] == "E"}
    assert legal == ({("E", "N")} if free else {("E", "S"), ("E", "N")})


@pytest.mark.parametrize("granularity", ["branch", "auto"])
def test_gate_goes_with_its_branch(granularity: str) -> None:
    graph = Builder()
    graph.op("Relu", graph.conv("x", "a"), out="r")
    excited(graph, graph.conv("r", "b"), "m")
    graph.op("Add", graph.conv("m", "c"), "r", out="y")
    network = parse(graph.model("y"), granularity=Granularity(granularity))
    beta = network.architecture
    merged = [e for e in beta.topology.edges if e.operation and e.operation.kind == "Branch"]
    assert [(e.source, e.target) for e in merged] == [("r", "y")]
    rows = dict(zip(beta.topology.edge_index, legal_transitions(beta), strict=True))
    assert rows[merged[0].name][State.N] is None
    assert_single_edits(network, SAMPLES)


def test_dead_code_that_reads_a_member_goes_with_its_name() -> None:
    graph = Builder()
    graph.conv("x", "a")
    graph.op("Add", "a", "x", out="y")
    graph.op("Mul", "a", graph.weight("k", 4, 1, 1), out="dead")
    network = parse(graph.model("y"), granularity=Granularity.BRANCH)
    assert ("x->y", "N") in assert_single_edits(network, SAMPLES)
