"""What `diff` says of edges, against the edits that were applied: on shipped models, on concats, on random graphs."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import onnx
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from onnx import TensorProto, helper

from natonnx.architecture import Architecture, Edit, State, apply_edits, find_liveness
from natonnx.frontend import Granularity, Network, parse
from natonnx.rewrite import build
from natonnx.verbs.diff.alignment import align_parts, share_names
from natonnx.verbs.diff.digest import digests
from natonnx.verbs.diff.edges import compare_edges
from tests.frontend.test_concat import dense, inception, shuffle
from tests.rewrite.helpers import Builder, copy, edges, shipped_model, shipped_network
from tests.rewrite.test_random_graphs import models
from tools.conformance.wild.alphas import random_alpha

if TYPE_CHECKING:
    from collections.abc import Callable

O, S, N = State.O, State.S, State.N  # noqa: E741 - the paper's letters


def between(before: Network, after: Network) -> Any:
    """By names, if the models share them."""
    found = [digests(network.model, None, {name: name for name in network.inputs}).shape for network in (before, after)]
    parts = align_parts(before.model, after.model, (found[0], found[1]))
    related = share_names(before, after, parts)
    return compare_edges(before, after, {} if related else parts, related=related)


def compared(before: onnx.ModelProto, after: onnx.ModelProto) -> dict[str, dict[str, Any]]:
    """What is said of each edge that is not the same."""
    return {row["edge"]: row for row in between(parse(before), parse(after))["changes"]}


def edited(network: Network, *edits: Edit) -> dict[str, dict[str, Any]]:
    model = build(network, apply_edits(network.architecture, edits))
    return compared(network.model, model)


def told(rows: dict[str, dict[str, Any]]) -> dict[str, tuple[str, str | None, str | None]]:
    return {name: (row["change"], row["from"], row["to"]) for name, row in rows.items()}


def test_each_transition_on_a_resnet() -> None:
    edits = (
        Edit("stage1_block2.second.conv", O, N),
        Edit("stage3_block2.first.conv", O, S),
        Edit("relu_14->relu_16", S, N),
        Edit("relu_1->relu_4", N, S),
    )
    rows = edited(shipped_network("resnet20"), *edits)
    assert told(rows) == {
        "stage1_block2.first.conv": ("removed", "O", None),  # which of the two is null cannot be seen
        "stage1_block2.second.conv": ("removed", "O", None),
        "stage3_block2.first.conv": ("transition", "O", "S"),
        "relu_14->relu_16": ("transition", "S", "N"),
        "relu_1->relu_4": ("transition", "N", "S"),
    }
    assert rows["stage1_block2.first.conv"]["details"] == ["its target relu_3 is gone"]
    assert rows["stage1_block2.second.conv"]["details"] == ["its source relu_3 is gone"]
    assert rows["stage3_block2.first.conv"]["matched_by"] == "name"


def diamond() -> Builder:
    """x → A → r; r + B(r) + C(r) = s → D."""
    graph = Builder()
    graph.op("Relu", graph.conv("x", "a"), out="r")
    graph.op("Sum", "r", graph.conv("r", "b"), graph.conv("r", "c", kernel=3), out="s")
    graph.conv("s", "d", 6)
    return graph


def test_an_operation_between_maps_that_stay_is_null() -> None:
    assert told(edited(diamond().network("d"), Edit("C", O, N))) == {"C": ("transition", "O", "N")}


def test_a_skip_that_another_tool_removes_by_name_only_is_told_by_its_ends() -> None:
    """onnxsim and the like take out an Identity: the sum reads r itself."""
    before = diamond().model("d")
    after = copy(before)
    after.graph.node.remove(next(node for node in after.graph.node if node.name == "B"))
    next(node for node in after.graph.node if node.name == "S").input[1] = "r"
    row = compared(before, after)["B"]
    assert (row["change"], row["from"], row["to"], row["matched_by"]) == ("transition", "O", "S", "ends")
    assert row["after"]["source"] == "r"


def test_what_an_operation_does_may_change() -> None:
    before, after = diamond().model("d"), diamond()
    after.initializers.clear()
    after.nodes.clear()
    after.op("Relu", after.conv("x", "a", 6), out="r")
    after.op("Sum", after.conv("r", "b", 6, kernel=5), "r", after.conv("r", "c", 6, kernel=3, group=2), out="s")
    after.conv("s", "d", 6, stride=2)
    rows = compared(before, after.model("d"))
    assert {row["change"] for row in rows.values()} == {"changed"}
    details = {name: row["details"] for name, row in rows.items()}
    assert details == {
        "A": ["weights 4×4×1×1 → 6×4×1×1"],
        "B": ["kernel 1×1 → 5×5", "Conv pads none → 2×2×2×2", "weights 4×4×1×1 → 6×6×5×5"],
        "C": ["groups 1 → 2", "weights 4×4×3×3 → 6×3×3×3"],
        "D": ["target d: shape n×6×8×8 → n×6×4×4", "stride 1×1 → 2×2", "weights 6×4×1×1 → 6×6×1×1"],
    }


def test_an_operation_under_another_name_is_a_replacement_only_if_it_does_something_else() -> None:
    before = diamond().model("d")
    after = copy(before)
    next(node for node in after.graph.node if node.name == "C").name = "other"
    assert compared(before, after) == {}
    next(node for node in after.graph.node if node.name == "other").attribute.append(
        helper.make_attribute("dilations", [1, 1])  # the operator's default, spelt out
    )
    assert compared(before, after) == {}
    wider = diamond()
    wider.nodes = [node for node in wider.nodes if node.name != "C"]
    wider.conv("r", "c2", kernel=5, name="other")
    wider.nodes.insert(3, wider.nodes.pop())
    next(node for node in wider.nodes if node.name == "S").input[2] = "c2"
    row = compared(before, wider.model("d"))["C"]
    assert (row["change"], row["after"]["name"]) == ("replaced", "other")
    assert "kernel 3×3 → 5×5" in row["details"]


def test_what_a_fixed_node_does_now_is_not_null() -> None:
    """Another tool fused C into a function of its own: C is removed, and nobody says that it computes nothing."""
    before = diamond().model("d")
    graph = Builder()
    graph.op("Relu", graph.conv("x", "a"), out="r")
    graph.conv("r", "b")
    graph.weight("c.w", 4, 4, 3, 3)
    graph.op("FusedSum", "r", "b", "c.w", out="s", domain="com.example")
    graph.conv("s", "d", 6)
    shape = helper.make_tensor_value_info("d", TensorProto.FLOAT, ["n", 6, 8, 8])
    imports = [helper.make_opsetid("", 17), helper.make_opsetid("com.example", 1)]
    after = graph.model(shape, opset_imports=imports)
    found = told(compared(before, after))
    assert found["C"] == ("removed", "O", None)
    assert found["r->s"] == ("removed", "S", None)


def test_an_operation_that_two_others_replace_is_not_null() -> None:
    before, graph = diamond().model("d"), diamond()
    graph.nodes = [node for node in graph.nodes if node.name != "C"]
    graph.conv(graph.conv("r", "c1", 8), "c2")
    graph.nodes[3:3] = [graph.nodes.pop(-2), graph.nodes.pop()]
    next(node for node in graph.nodes if node.name == "S").input[2] = "c2"
    found = told(compared(before, graph.model("d")))
    assert found == {"C": ("removed", "O", None), "C1": ("added", None, "O"), "C2": ("added", None, "O")}


def test_models_that_share_names_only_are_not_said_to_be_made_of_each_other() -> None:
    found = between(shipped_network("resnet20"), shipped_network("vgg"))
    assert not found["related"]
    assert {row["change"] for row in found["changes"]} == {"removed", "added", "changed"}
    assert [row["edge"] for row in found["changes"] if row["change"] == "changed"] == ["classifier"]
    assert found["same"] == 0


@pytest.mark.parametrize("name", ["resnet20", "mobilenetv2", "vgg"])
@pytest.mark.parametrize("granularity", list(Granularity))
def test_nothing_changes_between_a_model_and_itself(name: str, granularity: Granularity) -> None:
    network = parse(shipped_model(name), granularity=granularity)
    found = between(network, network)
    assert found["changes"] == []
    assert found["same"] == found["before"] == found["after"] == len(edges(network))


def check(network: Network, alpha: Architecture) -> None:
    """Everything that is said of an α is true, and what can be seen of it is said.

    A feature map that is left with one reader, a sum, is none any more: its edge ends in the sum, and the skip from it
    is gone. And what was a skip is none where an activation is read by it alone, or another one follows. Nothing is
    asked of what carried nothing before either.
    """
    after_all = parse(build(network, alpha))
    found = between(network, after_all)
    maps = after_all.architecture.topology.map_index
    rows = {row["edge"]: row for row in found["changes"]}
    twice = {edge.name.partition("#")[0] for edge in network.architecture.topology.edges if "#" in edge.name}
    was, still = find_liveness(network.architecture).active, find_liveness(alpha).active
    if not found["related"]:
        for row in found["changes"]:
            assert row["change"] != "transition" or (row["from"], row["to"]) == ("O", "S")
            assert row["change"] != "transition" or alpha.state(row["edge"]) == S
        return
    for i, edge in enumerate(network.architecture.topology.edges):
        if edge.name.partition("#")[0] in twice:  # a map that a sum adds twice: which of the two left cannot be told
            rows.pop(edge.name, None)
            continue
        row = rows.pop(edge.name, None)
        said = row and (row["from"], row["to"])
        before, after = network.architecture.states[i], alpha.states[i]
        if before == N:
            if after == S and still[i]:
                assert said == ("N", "S") or edge.source not in maps or edge.target not in maps
            elif row is not None:  # a shortcut whose target is a map no more has come to end where this one would
                assert row["after"] is not None
                other = row["after"]["name"]
                target = network.architecture.topology.edges[network.architecture.topology.edge_index[other]].target
                assert (said, alpha.state(other), target in maps) == (("N", "S"), S, False)
        elif still[i] and after != before:
            assert row is not None
            averages = any(detail.startswith("kind ") and detail.endswith("→ AveragePool") for detail in row["details"])
            in_other_words = row["change"] == "regrouped" or averages
            assert said == (before, after) or in_other_words
        elif still[i] and row is not None:
            pooled = said == ("S", "O") and row["after"]["operation"] == "AveragePool"
            merged = row["change"] == "regrouped" or "in one model only" in str(row["details"])
            assert row["change"] == "changed" or merged or pooled
        elif still[i]:
            pass
        elif was[i]:
            assert said in ((before, "N"), (before, None))
            assert row is not None
            assert bool(row["details"]) == (row["to"] is None)
    assert not rows, rows


@pytest.mark.parametrize("seed", range(8))
@pytest.mark.parametrize("make", [dense, inception, shuffle])
def test_random_edits_of_concats_are_told(make: Callable[[], Builder], seed: int) -> None:
    graph = make()
    network = graph.network(graph.nodes[-1].output[0])
    check(network, random_alpha(network.architecture, seed, rate=0.05 + 0.1 * (seed % 5)))


@pytest.mark.parametrize("seed", range(6))
@pytest.mark.parametrize("name", ["resnet20", "mobilenetv2", "vgg"])
def test_random_edits_of_shipped_models_are_told(name: str, seed: int) -> None:
    network = shipped_network(name)
    check(network, random_alpha(network.architecture, seed, rate=0.05 + 0.1 * (seed % 5)))


@settings(max_examples=100, deadline=None, derandomize=True, database=None, suppress_health_check=list(HealthCheck))
@given(models(), st.integers(0, 2**20), st.floats(0.05, 1))
def test_random_edits_of_random_graphs_are_told(model: onnx.ModelProto, seed: int, rate: float) -> None:
    network = parse(model)
    check(network, random_alpha(network.architecture, seed, rate))


@pytest.mark.slow
@settings(max_examples=3000, deadline=None, derandomize=True, database=None, suppress_health_check=list(HealthCheck))
@given(models(), st.integers(0, 2**20), st.floats(0.05, 1))
def test_random_edits_of_many_random_graphs_are_told(model: onnx.ModelProto, seed: int, rate: float) -> None:
    network = parse(model)
    check(network, random_alpha(network.architecture, seed, rate))


@pytest.mark.parametrize("granularity", [Granularity.BRANCH, Granularity.AUTO])
@pytest.mark.parametrize("seed", range(4))
def test_nothing_false_is_said_of_branches(granularity: Granularity, seed: int) -> None:
    """A rewritten model may have other branches; what is said to be null or a skip is so all the same."""
    network = parse(shipped_model("resnet20"), granularity=granularity)
    alpha = random_alpha(network.architecture, seed, rate=0.3)
    after = parse(build(network, alpha), granularity=granularity)
    still = find_liveness(alpha).active
    for row in between(network, after)["changes"]:
        index = network.architecture.topology.edge_index.get(row["edge"])
        if row["change"] == "transition":
            assert index is not None
            assert row["from"] == network.architecture.states[index]
            assert row["to"] == (alpha.states[index] if still[index] else "N")


def test_a_skip_into_a_concat_is_no_transition_of_nat() -> None:
    """A concat has no edges that are null: what joins it is new."""

    def made(*members: str) -> onnx.ModelProto:
        graph = Builder()
        graph.op("Relu", graph.conv("x", "a"), out="r")
        graph.op("Concat", graph.conv("r", "b"), graph.conv("r", "c"), *members, out="s", axis=1)
        graph.channels["s"] = 8 + 4 * len(members)
        graph.conv("s", "d", name="D")
        return graph.model("d")

    found = told(compared(made(), made("r")))
    assert found == {"r->s": ("added", None, "S"), "D": ("changed", "O", "O")}


def test_a_map_that_gains_or_loses_its_activation_is_the_same_one() -> None:
    """r is read by a sum too, or by its Relu alone: then the Relu belongs to the map, which gets its name."""

    def made(*, shortcut: bool) -> onnx.ModelProto:
        graph = Builder()
        graph.op("Relu", graph.conv("x", "a"), out="r")
        graph.conv(graph.op("Relu", graph.op("Add", graph.conv("r", "b"), "r", out="s"), out="p"), "c")
        graph.op("Add", *(("c", "s") if shortcut else ("c", "r")), out="t")
        return graph.model("t")

    before, after = made(shortcut=True), made(shortcut=False)
    names = [set(parse(model).architecture.topology.map_index) for model in (before, after)]
    assert names[0] - names[1] == {"s"}
    assert names[1] - names[0] == {"p"}
    assert told(compared(before, after)) == {
        "s->t": ("transition", "S", "N"),
        "r->t": ("transition", "N", "S"),
    }
