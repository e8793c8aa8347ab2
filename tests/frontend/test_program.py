"""The instructions of β run every node that an output needs, once, in an order that ONNX allows."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from onnx import helper

from natonnx import frontend
from natonnx.architecture import State
from natonnx.errors import InputError
from natonnx.frontend import RunNode, RunSelect, RunSkip, RunSum
from tests.rewrite.helpers import SHIPPED, Builder, shipped_network
from tests.rewrite.trunk import trunk
from tools.conformance.wild.alphas import random_alpha

if TYPE_CHECKING:
    import onnx

    from natonnx.architecture import Architecture
    from natonnx.frontend import Instruction, Network


def ancestors(model: onnx.ModelProto) -> set[int]:
    """Positions of the nodes that an output depends on."""
    wanted = {info.name for info in model.graph.output}
    found: set[int] = set()
    for i in reversed(range(len(model.graph.node))):
        if wanted.intersection(model.graph.node[i].output):
            found.add(i)
            wanted.update(model.graph.node[i].input)
    return found


def lower(network: Network, architecture: Architecture) -> tuple[Instruction, ...]:
    return frontend.lower(network, architecture).instructions


def with_states(network: Network, **changes: str) -> tuple[State, ...]:
    topology = network.architecture.topology
    states = list(network.architecture.states)
    for edge, state in changes.items():
        states[topology.edge_index[edge]] = State(state)
    return tuple(states)


def residual() -> Network:
    graph = Builder()
    graph.op("Add", graph.conv("x", "a"), "x", out="s")
    return graph.network("s")


@pytest.mark.parametrize("name", SHIPPED)
def test_beta_runs_each_needed_node_once(name: str) -> None:
    network = shipped_network(name)
    program = lower(network, network.architecture)
    ran = [step.node for step in program if isinstance(step, RunNode)]
    assert len(ran) == len(program)
    assert len(ran) == len(set(ran))
    assert set(ran) == ancestors(network.model)
    assert all(step.output is None for step in program if isinstance(step, RunNode))


@pytest.mark.parametrize("name", SHIPPED)
@pytest.mark.parametrize("seed", [None, *range(5)])
def test_every_tensor_is_made_once_and_before_it_is_read(name: str, seed: int | None) -> None:
    network = shipped_network(name)
    beta = network.architecture
    made = {"image", *(tensor.name for tensor in network.model.graph.initializer)}
    for step in lower(network, beta if seed is None else random_alpha(beta, seed)):
        if isinstance(step, RunNode):
            node = network.model.graph.node[step.node]
            read, written = list(node.input), [step.output] if step.output else list(node.output)
        elif isinstance(step, RunSkip | RunSelect):
            read, written = [step.source], [step.output]
        else:
            read, written = list(step.inputs), [step.output]
        assert made.issuperset(read)
        assert made.isdisjoint(written)
        made.update(written)
    assert made.issuperset(network.outputs)


def test_dead_code_does_not_run() -> None:
    graph = Builder()
    graph.conv("x", "dead")
    graph.conv("x", "a")
    network = graph.network("a")
    assert lower(network, network.architecture) == (RunNode(1),)


def test_node_before_a_null_edge_does_not_run() -> None:
    graph = Builder()
    graph.conv("x", "a")
    graph.op("Add", graph.conv("a", "b"), "x", out="s")
    network = graph.network("s")
    program = lower(network, network.architecture.with_states(with_states(network, B="N", **{"x->s": "S"})))
    assert [step.node for step in program if isinstance(step, RunNode)] == []


def test_last_member_of_a_sum_writes_the_sum() -> None:
    network = residual()
    program = lower(network, network.architecture.with_states(with_states(network, **{"x->s": "N"})))
    assert program == (RunNode(0, "s"),)


def test_operation_that_became_a_skip_keeps_its_tensor() -> None:
    network = residual()
    first, second = lower(network, network.architecture.with_states(with_states(network, A="S")))
    assert isinstance(first, RunSkip)
    assert (first.edge, first.source, first.output) == ("A", "x", "a")
    assert second == RunNode(1)


def test_new_member_makes_a_new_sum() -> None:
    graph = Builder()
    graph.conv(graph.conv("x", "a"), "b")
    network = graph.network("b")
    program = lower(network, network.architecture.with_states(with_states(network, **{"x->b": "S"})))
    member = program[1]
    assert isinstance(member, RunNode)
    assert member.output is not None
    assert program[2] == RunSum("b", (member.output, "x"), "b", None, place=1)


# The trunk's nodes A R B S C T have the positions 0 to 5.
PLACES: list[tuple[dict[str, str], int]] = [
    ({"A": "S"}, 0),  # in the place of the operation
    ({"B": "S"}, 2),
    ({"B": "N"}, 1),  # r->s, which had no node: behind the activation that makes r
    ({"C": "N"}, 3),  # s->t: behind the sum that makes s
    ({"B": "N", "r->s": "N", "x->s": "S"}, -1),  # behind the input, so before all nodes
    ({"r->t": "S"}, 5),  # in the place of the sum
]


@pytest.mark.parametrize(("changes", "place"), PLACES)
def test_new_node_has_the_place_of_what_it_stands_for(changes: dict[str, str], place: int) -> None:
    network = trunk().network("t")
    steps = lower(network, network.architecture.with_states(with_states(network, **changes)))
    (new,) = (step for step in steps if not isinstance(step, RunNode))
    assert new.place == place


def test_shared_preactivation_runs_once() -> None:
    graph = Builder()
    graph.op("Relu", "x", out="r")
    graph.op("Sum", graph.conv("r", "a"), graph.conv("r", "b"), "x", out="s")
    network = graph.network("s")
    assert [step for step in lower(network, network.architecture) if step == RunNode(0)] == [RunNode(0)]


def test_node_of_several_maps_runs_once() -> None:
    graph = Builder()
    graph.nodes.append(helper.make_node("Split", ["x"], ["left", "right"], "SPLIT", axis=1))
    graph.op("Add", "left", "right", out="s")
    network = graph.network("s")
    assert lower(network, network.architecture) == (RunNode(0), RunNode(1))


def test_broken_architecture_is_refused() -> None:
    network = residual()
    states = with_states(network, A="N", **{"x->s": "N"})
    with pytest.raises(InputError, match="cannot run: the model's output 's' would no longer depend on its input"):
        lower(network, network.architecture.with_states(states))
