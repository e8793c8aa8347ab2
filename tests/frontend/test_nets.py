"""Recurrent nets with state, PReLU face nets, detectors of three scales: parsed, run and rewritten."""

from __future__ import annotations

from typing import TYPE_CHECKING

import onnx
import pytest
import torch

from natonnx import ParseOptions, apply
from natonnx.architecture import Architecture, cost, edits_between, legal_transitions
from natonnx.frontend import Granularity, Network, parse
from natonnx.rewrite import build
from natonnx.session import run, session
from natonnx.supernet import Supernet
from tests.frontend.nets import NETS, example, exported, with_suppression
from tests.rewrite.helpers import arrays, assert_close, edges, joins
from tools.conformance.wild.alphas import random_alpha

if TYPE_CHECKING:
    from pathlib import Path

    import numpy as np

every_net = pytest.mark.parametrize("name", NETS)
every_granularity = pytest.mark.parametrize("granularity", list(Granularity))


def feeds(name: str) -> dict[str, np.ndarray]:
    return {f"x{i}": tensor.numpy() for i, tensor in enumerate(example(name)[1])}


def reach(architecture: Architecture) -> float:
    """Share of the multiply-adds that a legal transition can reach."""
    pairs = zip(architecture.topology.edges, legal_transitions(architecture), strict=True)
    reached = sum(edge.operation.madds or 0 for edge, verdict in pairs if edge.operation and None in verdict.values())
    madds = cost(architecture).madds
    assert madds
    return reached / madds


def compare(network: Network, alpha: Architecture, name: str) -> None:
    """The file of α in onnxruntime against the supernet in torch."""
    found, expected = (
        run(session(build(network, alpha)), feeds(name)),
        Supernet(network).as_reference(alpha)(feeds(name)),
    )
    assert found.keys() == expected.keys() == {f"y{i}" for i in range(NETS[name].outputs)}
    for output, value in expected.items():
        assert_close(found[output], value)


@every_granularity
@every_net
def test_the_supernet_equals_onnxruntime_and_torch(name: str, granularity: Granularity) -> None:
    network = parse(exported(name), granularity=granularity)
    compare(network, network.architecture, name)
    model, inputs = example(name)
    with torch.no_grad():
        outputs = model(*inputs)
    expected = outputs if isinstance(outputs, tuple) else (outputs,)
    found = Supernet(network).as_reference()(feeds(name))
    for i, tensor in enumerate(expected):
        assert_close(found[f"y{i}"], tensor.numpy())


@pytest.mark.parametrize("seed", range(3))
@every_granularity
@every_net
def test_random_alphas_give_right_models(name: str, granularity: Granularity, seed: int) -> None:
    network = parse(exported(name), granularity=granularity)
    alpha = random_alpha(network.architecture, seed, rate=0.2)
    assert alpha != network.architecture
    compare(network, alpha, name)


@pytest.mark.parametrize(("name", "least"), [("face", 0.95), ("detector", 0.85), ("mobile", 0.85), ("lstm", 0.5)])
def test_most_multiply_adds_are_in_reach(name: str, least: float) -> None:
    network = parse(exported(name), input_shapes={"x0": (1, *example(name)[1][0].shape[1:])})
    assert reach(network.architecture) >= least


def test_a_recurrent_net_keeps_its_cell_and_its_states() -> None:
    network = parse(exported("lstm"))
    assert {"/project/MatMul", "/hidden/MatMul", "/head/MatMul"} == edges(network).keys()
    assert {"y0", "y1", "y2"} <= joins(network).keys()
    assert [node.op_type for node in network.opaque if node.op_type == "LSTM"] == ["LSTM"]


def test_the_blocks_of_a_face_net_are_residual() -> None:
    network = parse(exported("face"))
    assert list(joins(network).values()).count("sum") == 5
    assert not [node for node in network.opaque if node.op_type != "Flatten"]
    branches = parse(exported("face"), granularity="branch").architecture
    assert sum(edge.operation is not None and edge.operation.kind == "Branch" for edge in branches.topology.edges) == 5


def test_slopes_of_a_face_net_train() -> None:
    network = parse(exported("face"))
    slopes = [node.input[1] for node in network.model.graph.node if node.op_type == "PRelu"]
    assert len(slopes) == 6
    supernet = Supernet(network).train()
    outputs = supernet.run({"x0": example("face")[1][0]})
    parameters = dict(supernet.named_parameters())
    gradients = dict(
        zip(parameters, torch.autograd.grad(outputs["y0"].square().mean(), list(parameters.values())), strict=True)
    )
    assert supernet.weights().keys() >= set(slopes)
    for slope in slopes:
        assert gradients[slope.replace(".", "%2E")].abs().sum() > 0
    assert sum(arrays(network.model)[slope].size for slope in slopes) == 8 + 8 + 8 + 16 + 16 + 16


def test_only_resizing_is_fixed_in_a_detector() -> None:
    network = parse(exported("detector"))
    assert {node.op_type for node in network.opaque} == {"Resize"}
    assert list(joins(network).values()).count("concat") == 12
    assert network.architecture.topology.outputs == ("y0", "y1", "y2")


@every_granularity
def test_a_detector_with_suppression_in_the_graph_is_rewritten(granularity: Granularity, tmp_path: Path) -> None:
    """Boxes of next to equal scores change places by rounding alone."""
    path, reading = tmp_path / "model.onnx", ParseOptions(granularity=granularity)
    onnx.save(with_suppression(exported("detector-joined")), path)
    network = parse(onnx.load(path), granularity=granularity)
    for seed in range(2):
        alpha = random_alpha(network.architecture, seed, rate=0.1)
        edits = edits_between(network.architecture, alpha)
        assert edits
        output, checks = apply(path, edits, tmp_path / f"{seed}.onnx", reading=reading)
        assert all(check.passed for check in checks)
        assert len(run(session(onnx.load(output)), feeds("detector-joined"))) == 3
