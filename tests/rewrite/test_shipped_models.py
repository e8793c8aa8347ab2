"""Random legal α's of the models that come with the project: rewritten, run, parsed again."""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING, NamedTuple

import onnx
import pytest

from natonnx.architecture import State, cost, find_liveness
from natonnx.frontend import parse
from natonnx.rewrite import build
from natonnx.supernet import Supernet
from tests.rewrite.helpers import SHIPPED, assert_close, edges, images, runtime, shipped_model, shipped_network
from tools.conformance.wild.alphas import random_alpha

if TYPE_CHECKING:
    from natonnx.architecture import Architecture

FEW, MANY = 12, 50


class Case(NamedTuple):
    name: str
    alpha: Architecture
    model: onnx.ModelProto


@functools.cache
def make_case(name: str, seed: int) -> Case:
    network = shipped_network(name)
    alpha = random_alpha(network.architecture, seed, rate=0.05 + 0.05 * (seed % 8))
    assert alpha != network.architecture
    return Case(name, alpha, build(network, alpha))


@functools.cache
def supernet(name: str) -> Supernet:
    return Supernet(shipped_network(name))


@pytest.fixture(
    params=[
        pytest.param((name, seed), marks=() if seed < FEW else pytest.mark.slow, id=f"{name}-{seed}")
        for name in SHIPPED
        for seed in range(FEW + MANY)
    ]
)
def case(request: pytest.FixtureRequest) -> Case:
    return make_case(*request.param)


def test_alpha_passes_the_checker(case: Case) -> None:
    onnx.checker.check_model(case.model, full_check=True)


def test_alpha_in_onnxruntime_equals_the_supernet(case: Case) -> None:
    reference = supernet(case.name).as_reference(case.alpha)
    for batch in (1, 3):
        x = {"image": images(batch)}
        assert_close(runtime(case.model, x)["logits"], reference(x)["logits"])


def test_cost_of_the_parsed_result_is_that_of_alpha(case: Case) -> None:
    assert cost(parse(case.model).architecture) == cost(case.alpha)


def test_operation_that_became_a_skip_is_parsed_as_a_skip_of_that_name(case: Case) -> None:
    topology = case.alpha.topology
    active = find_liveness(case.alpha).active
    expected = {
        edge.name: "S"
        for edge, state, works in zip(topology.edges, case.alpha.states, active, strict=True)
        if works and state == State.S and edge.operation is not None
    }
    found = edges(parse(case.model))
    assert {name: found[name][2] for name in expected} == expected


def test_only_new_nodes_differ_from_the_files(case: Case) -> None:
    source = {node.name: node for node in shipped_model(case.name).graph.node}
    allowed = {"Identity", "AveragePool", "Pad", "Constant", "Add", "Sum"}
    for node in case.model.graph.node:
        if node.op_type in allowed:
            continue
        original = onnx.NodeProto()
        original.CopyFrom(source[node.name])
        original.output[:] = node.output  # a member of a sum may have moved into the sum's tensor, or out of it
        assert node == original


def test_no_initializer_is_unused_and_none_is_changed(case: Case) -> None:
    used = {name for node in case.model.graph.node for name in node.input}
    source = {tensor.name: tensor for tensor in shipped_model(case.name).graph.initializer}
    for tensor in case.model.graph.initializer:
        assert tensor.name in used
        assert tensor == source[tensor.name]


def test_node_names_are_unique(case: Case) -> None:
    names = [node.name for node in case.model.graph.node]
    assert len(set(names)) == len(names)


def test_everything_but_nodes_and_tensors_is_the_files(case: Case) -> None:
    stripped = []
    for model in (shipped_model(case.name), case.model):
        copy = onnx.ModelProto()
        copy.CopyFrom(model)
        for field in ("node", "initializer", "value_info"):
            copy.graph.ClearField(field)
        stripped.append(copy.SerializeToString(deterministic=True))
    assert stripped[0] == stripped[1]


@pytest.mark.parametrize("name", SHIPPED)
def test_beta_is_bit_exact(name: str) -> None:
    network = shipped_network(name)
    result = build(network, network.architecture)
    assert result is not network.model
    assert result.SerializeToString(deterministic=True) == shipped_model(name).SerializeToString(deterministic=True)


@pytest.mark.parametrize("name", SHIPPED)
def test_own_weights_are_bit_exact(name: str) -> None:
    network = shipped_network(name)
    result = build(network, network.architecture, supernet(name).weights())
    assert result.SerializeToString(deterministic=True) == shipped_model(name).SerializeToString(deterministic=True)


@pytest.mark.parametrize("name", SHIPPED)
def test_edits_of_edits(name: str) -> None:
    case = make_case(name, 1)
    again = parse(case.model)
    alpha = random_alpha(again.architecture, 2)
    result = build(again, alpha)
    onnx.checker.check_model(result, full_check=True)
    x = {"image": images(2)}
    assert_close(runtime(result, x)["logits"], Supernet(again).as_reference(alpha)(x)["logits"])
    assert cost(parse(result).architecture) == cost(alpha)
