"""Nodes as they come in the wild: what has no rule is opaque with a reason, and edits work around it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper

from natonnx.architecture import Edit, State, apply_edits, legal_transitions
from natonnx.frontend import parse
from natonnx.rewrite import build
from tests.rewrite.helpers import Builder, edges, images, joins, runtime
from tests.rewrite.trunk import (
    EDITS,
    applied,
    assert_applied_as_by_hand,
    image,
    imports,
    reasons,
    trunk,
    value_info,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

UNKNOWN = [None] * 4
RULE, FLOW, FUNCTION = "no transition rule for this operator", "control flow", "local function of the domain local"
SEQUENCE, QUANTISED = "its inputs or outputs are sequences or optional values", "quantised arithmetic"
GATE = "it multiplies two tensors that both depend on the input"


def body(nodes: Sequence[onnx.NodeProto], given: Sequence[str], made: Sequence[str]) -> onnx.GraphProto:
    """A nested graph; `i` is a counter and `on` and `still` are flags."""
    types = {"i": TensorProto.INT64, "on": TensorProto.BOOL, "still": TensorProto.BOOL}

    def infos(names: Sequence[str]) -> list[onnx.ValueInfoProto]:
        return [value_info(name, [] if name in types else None, types.get(name, TensorProto.FLOAT)) for name in names]

    return helper.make_graph(nodes, "body", infos(given), infos(made))


def function(name: str, op_type: str, inputs: int = 1, **fields: Any) -> onnx.FunctionProto:
    """A function of the domain `local` that is one operator."""
    given = [f"i{position}" for position in range(inputs)]
    node = helper.make_node(op_type, given, ["o"])
    return helper.make_function("local", name, given, ["o"], [node], [helper.make_opsetid("", 17)], **fields)


# Whole models, each with the trunk's edges and something wild that reads r, which lies before both edits, or s and b


def _if() -> onnx.ModelProto:
    graph = trunk()
    graph.weight("outer", 4, 1, 1)
    graph.op("Cast", graph.op("ReduceSum", "x", out="total", keepdims=0), out="condition", to=TensorProto.BOOL)
    then = body([helper.make_node("Mul", ["r", "outer"], ["one"])], [], ["one"])
    other = body([helper.make_node("Neg", ["r"], ["two"])], [], ["two"])
    graph.op("If", "condition", out="y", then_branch=then, else_branch=other)
    return graph.model("t", value_info("y", UNKNOWN))


def _nested_if() -> onnx.ModelProto:
    graph = trunk()
    graph.constant("yes", np.array(True))
    graph.op("Cast", graph.op("ReduceSum", "x", out="total", keepdims=0), out="condition", to=TensorProto.BOOL)
    inner = body([helper.make_node("Neg", ["r"], ["one"])], [], ["one"])
    outer = body([helper.make_node("If", ["yes"], ["two"], then_branch=inner, else_branch=inner)], [], ["two"])
    graph.op("If", "condition", out="y", then_branch=outer, else_branch=outer)
    return graph.model("t", value_info("y", UNKNOWN))


def _loop() -> onnx.ModelProto:
    graph = trunk()
    graph.weight("outer", 4, 1, 1)
    nodes = [
        helper.make_node("Identity", ["on"], ["still"]),
        helper.make_node("Mul", ["before", "outer"], ["scaled"]),
        helper.make_node("Add", ["scaled", "r"], ["after"]),
    ]
    graph.op(
        "Loop",
        graph.constant("trips", np.array(3)),
        "",
        "r",
        out="y",
        body=body(nodes, ["i", "on", "before"], ["still", "after"]),
    )
    return graph.model("t", value_info("y", UNKNOWN))


def _loop_that_captures_an_edge() -> onnx.ModelProto:
    """The body reads b, which the edge B makes: whatever makes it afterwards has to keep the name."""
    graph = trunk()
    nodes = [helper.make_node("Identity", ["on"], ["still"]), helper.make_node("Add", ["before", "b"], ["after"])]
    loop = body(nodes, ["i", "on", "before"], ["still", "after"])
    graph.op("Loop", graph.constant("trips", np.array(3)), "", "s", out="captured", body=loop)
    graph.op("Add", "captured", "t", out="u")
    graph.op("Neg", "r", out="y")
    return graph.model(image("u"), "y")


def _scan() -> onnx.ModelProto:
    graph = trunk()
    graph.weight("outer", 4, 8, 8)
    nodes = [helper.make_node("Add", ["before", "row"], ["after"]), helper.make_node("Mul", ["row", "outer"], ["out"])]
    scan = body(nodes, ["before", "row"], ["after", "out"])
    graph.constant("zero", np.zeros((4, 8, 8), np.float32))
    graph.nodes.append(helper.make_node("Scan", ["zero", "r"], ["y", "z"], "Y", body=scan, num_scan_inputs=1))
    return graph.model("t", value_info("y", [4, 8, 8]), image("z"))


def _local_function() -> onnx.ModelProto:
    graph = trunk()
    graph.nodes.append(helper.make_node("Block", ["r", graph.weight("scale", 4, 1, 1)], ["y"], "Y", domain="local"))
    return graph.model("t", image("y"), functions=[function("Block", "Mul", 2)], **imports("local"))


def _function_of_functions() -> onnx.ModelProto:
    graph = trunk()
    graph.nodes.append(helper.make_node("Outer", ["r"], ["y"], "Y", domain="local"))
    call = helper.make_node("Block", ["a"], ["b"], domain="local")
    outer = helper.make_function("local", "Outer", ["a"], ["b"], [call], [helper.make_opsetid("local", 1)])
    return graph.model("t", image("y"), functions=[function("Block", "Neg"), outer], **imports("local"))


def _runtime_operator() -> onnx.ModelProto:
    graph = trunk()
    graph.nodes.append(helper.make_node("QuickGelu", ["r"], ["y"], "Y", domain="com.microsoft"))
    return graph.model("t", image("y"), **imports("com.microsoft"))


def _sequences() -> onnx.ModelProto:
    graph = trunk()
    graph.nodes.append(helper.make_node("SplitToSequence", ["r"], ["parts"], "SPLIT", axis=1))
    graph.op("ConcatFromSequence", "parts", out="whole", axis=1)
    graph.op("SequenceConstruct", "r", "whole", out="q")
    graph.op("SequenceAt", "q", graph.constant("one", np.array(1)), out="y")
    return graph.model("t", image("y"))


def _sequence_output() -> onnx.ModelProto:
    graph = trunk()
    graph.nodes.append(helper.make_node("SplitToSequence", ["r"], ["y"], "Y", axis=1))
    return graph.model("t", helper.make_tensor_sequence_value_info("y", TensorProto.FLOAT, UNKNOWN))


def _optional() -> onnx.ModelProto:
    graph = trunk(opset=18)
    graph.op("Optional", "r", out="o")
    graph.op("OptionalHasElement", "o", out="z")
    graph.op("OptionalGetElement", "o", out="y")
    return graph.model("t", image("y"), value_info("z", [], TensorProto.BOOL))


def _zip_map() -> onnx.ModelProto:
    graph = trunk()
    graph.op("Gemm", graph.op("Flatten", "r", out="f"), graph.weight("w", 256, 2), out="g")
    graph.nodes.append(
        helper.make_node("ZipMap", ["g"], ["y"], "Y", domain="ai.onnx.ml", classlabels_strings=["a", "b"])
    )
    score = onnx.TypeProto()
    score.map_type.key_type = TensorProto.STRING
    score.map_type.value_type.CopyFrom(helper.make_tensor_type_proto(TensorProto.FLOAT, []))
    zipped = helper.make_value_info("y", helper.make_sequence_type_proto(score))
    return graph.model("t", zipped, **imports("ai.onnx.ml"))


def quantised(graph: Builder, source: str) -> str:
    graph.constant("scale", np.array(0.05, np.float32))
    graph.constant("zero", np.array(128, np.uint8))
    return graph.op("QuantizeLinear", source, "scale", "zero", out="q")


def _qdq() -> onnx.ModelProto:
    graph = trunk()
    graph.op("DequantizeLinear", quantised(graph, "r"), "scale", "zero", out="y")
    return graph.model("t", "y")


def _qlinear_conv() -> onnx.ModelProto:
    graph = trunk()
    graph.constant("kernel", np.ones((4, 4, 1, 1), np.int8))
    graph.constant("none", np.array(0, np.int8))
    graph.op("QLinearConv", quantised(graph, "r"), "scale", "zero", "kernel", "scale", "none", "scale", "zero", out="p")
    graph.op("DequantizeLinear", "p", "scale", "zero", out="y")
    return graph.model("t", "y")


def _dynamic_quantisation() -> onnx.ModelProto:
    graph = trunk()
    graph.nodes.append(helper.make_node("DynamicQuantizeLinear", ["r"], ["q", "qs", "qz"], "Q"))
    graph.op("ConvInteger", "q", graph.constant("kernel", np.ones((4, 4, 1, 1), np.uint8)), "qz", out="y")
    return graph.model("t", "y")


def _recurrence() -> onnx.ModelProto:
    graph = trunk()
    graph.op("Reshape", "r", graph.constant("steps", np.array([8, -1, 32])), out="v")
    weights = [graph.weight("W", 1, 6, 32), graph.weight("R", 1, 6, 2)]
    graph.nodes.append(helper.make_node("GRU", ["v", *weights], ["", "y"], "Y", hidden_size=2))
    return graph.model("t", value_info("y", [1, None, 2]))


def _data_dependent_shape() -> onnx.ModelProto:
    graph = trunk()
    graph.op("NonZero", "r", out="y")
    return graph.model("t", "y")


WILD: dict[Callable[[], onnx.ModelProto], dict[str, str]] = {
    _if: {"TOTAL": RULE, "CONDITION": RULE, "Y": FLOW},
    _nested_if: {"TOTAL": RULE, "CONDITION": RULE, "Y": FLOW},
    _loop: {"Y": FLOW},
    _scan: {"Y": FLOW},
    _local_function: {"Y": FUNCTION},
    _function_of_functions: {"Y": FUNCTION},
    _runtime_operator: {"Y": "operator of the domain com.microsoft"},
    _sequences: {"SPLIT": SEQUENCE, "WHOLE": SEQUENCE, "Q": SEQUENCE, "Y": SEQUENCE},
    _sequence_output: {"Y": SEQUENCE},
    _optional: {"O": SEQUENCE, "Z": SEQUENCE, "Y": SEQUENCE},
    _zip_map: {"F": RULE, "Y": "operator of the domain ai.onnx.ml"},
    _qdq: {"Q": QUANTISED, "Y": QUANTISED},
    _qlinear_conv: {"Q": QUANTISED, "P": QUANTISED, "Y": QUANTISED},
    _dynamic_quantisation: {"Q": QUANTISED, "Y": QUANTISED},
    _recurrence: {"V": RULE, "Y": RULE},
    _data_dependent_shape: {"Y": RULE},
}


@pytest.mark.parametrize(
    ("make", "expected"),
    [pytest.param(make, expected, id=make.__name__.strip("_")) for make, expected in WILD.items()],
)
def test_wild_node_is_opaque_and_edits_beside_it_leave_it_alone(
    make: Callable[[], onnx.ModelProto], expected: dict[str, str], tmp_path: Path
) -> None:
    model = make()
    assert reasons(model, tmp_path) == expected
    found = edges(parse(model))
    assert {"A", "B", "C", "r->s", "s->t"} <= found.keys()
    assert not expected.keys() & found.keys()
    assert_applied_as_by_hand(model, tmp_path)


def test_edge_that_a_loop_captures_keeps_its_name() -> None:
    model = _loop_that_captures_an_edge()
    network = parse(model)
    topology = network.architecture.topology
    assert set(topology.maps[topology.map_index["captured"]].inputs) == {"s", "b"}
    skip = build(network, apply_edits(network.architecture, [EDITS["skip"]]))
    onnx.checker.check_model(skip, full_check=True)
    x = {"x": images(2, 4, 8)}
    before, after = runtime(model, x), runtime(skip, x)
    np.testing.assert_array_equal(before["y"], after["y"])
    assert np.abs(before["u"] - after["u"]).max() > 0.1


def test_edge_that_a_loop_captures_cannot_be_null() -> None:
    architecture = parse(_loop_that_captures_an_edge()).architecture
    reason = legal_transitions(architecture)[architecture.topology.edge_index["B"]][State.N]
    assert reason
    assert "nothing else feeds 'b'" in reason


# Names of another domain that mean something else there

HOMONYMS = {
    "Add": ("Sub", ["s", "r"]),
    "Sum": ("Sub", ["s", "r"]),
    "Identity": ("Neg", ["s"]),
    "Relu": ("Neg", ["s"]),
    "Conv": ("Mul", ["s", "scale"]),
    "Mul": ("Sub", ["c", "scale"]),
}


def homonym(op_type: str) -> onnx.ModelProto:
    real, inputs = HOMONYMS[op_type]
    graph = Builder()
    graph.op("Relu", graph.conv("x", "a"), out="r")
    graph.op("Add", graph.conv("r", "b"), "r", out="s")
    graph.conv("s", "c")
    graph.weight("scale", 4, 1, 1)
    graph.nodes.append(helper.make_node(op_type, inputs, ["y"], "Y", domain="local"))
    graph.channels["y"] = 4
    graph.conv("y", "z")
    outputs = ["z"] if "c" in inputs else ["z", "c"]
    model = graph.model(*outputs, functions=[function(op_type, real, len(inputs))], **imports("local"))
    model.graph.value_info.append(image("y"))
    return model


@pytest.mark.parametrize("op_type", HOMONYMS)
def test_operator_of_another_domain_has_no_rule(op_type: str, tmp_path: Path) -> None:
    model = homonym(op_type)
    assert reasons(model, tmp_path) == {"Y": FUNCTION}
    assert joins(parse(model))["y"] == "opaque"


def test_operator_of_another_domain_is_never_rewritten() -> None:
    """The Add of another domain, which subtracts, must not become a Sum of three."""
    model = homonym("Add")
    network = parse(model)
    candidates = [edge.name for edge in network.architecture.topology.edges if edge.target == "y"]
    for name in candidates:
        before = network.architecture.state(name)
        after = State.S if before == State.N else State.N
        result = build(network, apply_edits(network.architecture, [Edit(name, before, after)]))
        assert [node for node in result.graph.node if node.domain == "local"], name


# Gates


def test_squeeze_and_excitation_is_an_edge_that_reads_its_gate(tmp_path: Path) -> None:
    graph = trunk()
    graph.op("GlobalAveragePool", "r", out="mean")
    graph.op("Relu", graph.conv("mean", "squeeze", 2), out="small")
    graph.op("Sigmoid", graph.conv("small", "excite", 4), out="gate")
    graph.op("Mul", "r", "gate", out="m")
    graph.conv("m", "y")
    model = graph.model("t", "y")
    assert reasons(model, tmp_path) == {"MEAN": RULE}
    network = parse(model)
    found = edges(network)
    assert found["SQUEEZE"] == ("mean", "small", "O")
    assert found["EXCITE"] == ("small", "gate", "O")
    assert found["Y"] == ("m", "y", "O")
    assert found["M"] == ("r", "m", "O")
    topology = network.architecture.topology
    operation = topology.edges[topology.edge_index["M"]].operation
    assert operation
    assert operation.inputs == ("gate",)
    assert_applied_as_by_hand(model, tmp_path)


def test_gate_of_two_convolutions_is_an_edge_that_reads_its_gate(tmp_path: Path) -> None:
    graph = trunk()
    graph.op("Mul", graph.conv("r", "value"), graph.op("Sigmoid", graph.conv("r", "g"), out="gate"), out="y")
    model = graph.model("t", "y")
    assert not reasons(model, tmp_path)
    found = edges(parse(model))
    assert found["Y"] == ("value", "y", "O")
    assert found["VALUE"] == ("r", "value", "O")
    assert found["G"] == ("r", "gate", "O")
    assert_applied_as_by_hand(model, tmp_path)


def test_operation_of_a_gate_can_be_skipped_and_never_nulled(tmp_path: Path) -> None:
    graph = Builder()
    graph.op("Mul", graph.conv("x", "value"), graph.op("Sigmoid", graph.conv("x", "g"), out="gate"), out="y")
    model = graph.model("y")
    architecture = parse(model).architecture
    verdict = legal_transitions(architecture)[architecture.topology.edge_index["G"]]
    assert verdict[State.S] is None
    assert verdict[State.N] is not None
    result = applied(model, tmp_path, Edit("G", State.O, State.S), Edit("VALUE", State.O, State.S))
    x = images(2, 4, 8)
    np.testing.assert_allclose(runtime(result, {"x": x})["y"], x / (1 + np.exp(-x)), rtol=1e-5, atol=1e-6)
