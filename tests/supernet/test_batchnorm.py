"""Unfolding BatchNormalization changes nothing that can be seen, and folding undoes it after training."""

from __future__ import annotations

import functools
import math
from typing import TYPE_CHECKING

import numpy as np
import onnx
import pytest
import torch
from torch.nn import functional as f

from natonnx.frontend import parse
from natonnx.rewrite import build
from natonnx.supernet import Supernet, Unfolded, calibration_batch, fold, has_batchnorm, unfold
from tests.rewrite.helpers import Builder, assert_close, images, runtime, shipped_model, shipped_network
from tools.conformance.wild.alphas import random_alpha

if TYPE_CHECKING:
    from natonnx.architecture import Architecture
    from natonnx.frontend import Network

FOLDED = ("vgg", "mobilenetv2")


@functools.cache
def unfolded_model(name: str) -> Unfolded:
    return unfold(shipped_network(name), [{"image": torch.from_numpy(images(16))}])


def outputs(network: Network, x: np.ndarray, architecture: Architecture | None = None) -> np.ndarray:
    return Supernet(network).as_reference(architecture)({network.inputs[0]: x})[network.outputs[0]]


@pytest.mark.parametrize("name", FOLDED)
def test_unfolding_is_the_identity(name: str) -> None:
    assert_close(
        outputs(unfolded_model(name).network, images(4, seed=1)),
        outputs(shipped_network(name), images(4, seed=1)),
        1e-5,
    )


@pytest.mark.parametrize("name", FOLDED)
def test_unfolded_model_is_valid_and_the_same_in_onnxruntime(name: str) -> None:
    model = unfolded_model(name).network.model
    onnx.checker.check_model(model, full_check=True)
    x = {"image": images(4)}
    assert_close(runtime(model, x)["logits"], runtime(shipped_model(name), x)["logits"], 1e-5)


@pytest.mark.parametrize("name", FOLDED)
def test_folding_what_was_unfolded_is_the_identity(name: str) -> None:
    unfolded = unfolded_model(name)
    original = Supernet(shipped_network(name)).weights()
    folded = fold(unfolded, Supernet(unfolded.network).weights())
    assert folded.keys() == original.keys()
    for tensor, value in original.items():
        assert_close(folded[tensor], value, 1e-5)


@pytest.mark.parametrize("name", FOLDED)
def test_every_convolution_with_a_bias_is_unfolded(name: str) -> None:
    biased = [node for node in shipped_model(name).graph.node if node.op_type == "Conv" and len(node.input) == 3]
    assert len(unfolded_model(name).pairs) == len(biased) > 0


@pytest.mark.parametrize("name", FOLDED)
def test_architecture_keeps_names_order_and_states(name: str) -> None:
    before, after = shipped_network(name).architecture, unfolded_model(name).network.architecture
    assert [fmap.name for fmap in after.topology.maps] == [fmap.name for fmap in before.topology.maps]
    assert [(e.name, e.source, e.target, e.skip) for e in after.topology.edges] == [
        (e.name, e.source, e.target, e.skip) for e in before.topology.edges
    ]
    assert after.states == before.states


@pytest.mark.parametrize("name", FOLDED)
def test_statistics_are_those_of_the_calibration_batch(name: str) -> None:
    unfolded = unfolded_model(name)
    supernet = Supernet(unfolded.network).train()
    before = supernet.weights()
    with torch.no_grad():
        supernet(torch.from_numpy(images(16)), momentum=1.0)
    for tensor, value in supernet.weights().items():
        if tensor.endswith("natonnx_mean"):
            assert_close(value, before[tensor])
        elif tensor.endswith("natonnx_variance"):
            assert_close(value, before[tensor], 5e-3)  # torch keeps the unbiased variance


@pytest.mark.parametrize("name", FOLDED)
def test_folded_after_training_equals_the_unfolded_network(name: str) -> None:
    unfolded = unfolded_model(name)
    supernet = Supernet(unfolded.network).train()
    optimizer = torch.optim.SGD(supernet.parameters(), lr=0.01)
    labels = torch.arange(16) % 10
    torch.autograd.backward(f.cross_entropy(supernet(torch.from_numpy(images(16))), labels))
    optimizer.step()
    folded = Supernet(shipped_network(name))
    folded.load_weights(fold(unfolded, supernet.weights()))
    x = {"image": images(4, seed=1)}
    trained = supernet.as_reference()(x)["logits"]
    assert np.abs(trained - outputs(shipped_network(name), x["image"])).max() > 0.01
    assert_close(folded.as_reference()(x)["logits"], trained)


@pytest.mark.parametrize("name", FOLDED)
def test_folded_alpha_in_onnxruntime_equals_the_trained_supernet(name: str) -> None:
    unfolded, network = unfolded_model(name), shipped_network(name)
    supernet = Supernet(unfolded.network).train()
    alpha = random_alpha(unfolded.network.architecture, 1)
    with torch.no_grad():
        supernet(torch.from_numpy(images(16, seed=2)), alpha)
    x = {"image": images(3)}
    model = build(network, network.architecture.with_states(alpha.states), fold(unfolded, supernet.weights()))
    assert_close(runtime(model, x)["logits"], supernet.as_reference(alpha)(x)["logits"])


def test_unfolding_does_not_change_its_argument() -> None:
    network = shipped_network("vgg")
    before = network.model.SerializeToString(deterministic=True)
    unfold(network, [{"image": torch.from_numpy(images(4))}])
    assert network.model.SerializeToString(deterministic=True) == before


def test_models_with_and_without_batchnorm() -> None:
    assert [has_batchnorm(shipped_network(name)) for name in ("resnet20", "vgg", "mobilenetv2")] == [True, False, False]


def test_kept_batchnorm_is_not_unfolded() -> None:
    assert unfold(shipped_network("resnet20"), [{"image": torch.from_numpy(images(4))}]).pairs == ()


def unfold_and_compare(network: Network, size: int = 8) -> Unfolded:
    x = images(4, 4, size)
    unfolded = unfold(network, [{network.inputs[0]: torch.from_numpy(x)}])
    assert_close(outputs(unfolded.network, x), outputs(network, x), 1e-5)
    assert [e.name for e in unfolded.network.architecture.topology.edges] == [
        e.name for e in network.architecture.topology.edges
    ]
    return unfolded


def test_shared_weights_stay_folded() -> None:
    graph = Builder()
    graph.conv("x", "a", bias=True)
    graph.op("Conv", "a", "a.w", "a.b", out="b")
    graph.conv("b", "c", bias=True)
    assert [pair.weight for pair in unfold_and_compare(graph.network("c")).pairs] == ["c.w"]


def test_nothing_is_read_where_nothing_is_unfolded() -> None:
    graph = Builder()
    graph.conv("x", "a", bias=False)
    batches = iter([{"x": torch.from_numpy(images(2, 4, 8))}])
    assert not unfold(graph.network("a"), batches).pairs
    assert len([*batches]) == 1


def test_a_batch_of_samples_fits_where_it_is_captured() -> None:
    """Of two maps, or of three of the largest size that run, whichever is more; one sample at least."""
    graph = Builder()
    graph.conv(graph.conv("x", "a", bias=True), "b", bias=True)
    network = graph.network("b")
    shapes = (shape[1:] for shape in network.shapes.values() if len(shape) == 4)
    largest = max(math.prod(size for size in shape if isinstance(size, int)) for shape in shapes)
    assert calibration_batch(network, 500, 12 * largest * 7) == 7
    assert calibration_batch(network, 5, 12 * largest * 7) == 5
    assert calibration_batch(network, 500, 0) == 1


@pytest.mark.parametrize("name", ["", "same"])
def test_nameless_and_repeated_names_stay(name: str) -> None:
    graph = Builder()
    graph.conv(graph.conv("x", "a", bias=True, name=name), "b", bias=True, name=name)
    assert len(unfold_and_compare(graph.network("b")).pairs) == 2


def test_weights_that_nodes_make_are_unfolded_too() -> None:
    graph = Builder()
    graph.op("Transpose", graph.weight("k", 3, 3, 4, 4), out="w", perm=[3, 2, 0, 1])
    graph.op("Mul", graph.weight("b", 4), graph.constant("scale", np.array(0.5, np.float32)), out="c")
    graph.op("Conv", "x", "w", "c", out="m", pads=[1] * 4)
    graph.op("Identity", graph.weight("v", 4, 4, 1, 1), out="i")
    graph.op("Identity", graph.weight("e", 4), out="j")
    graph.op("Conv", "m", "i", "j", out="y")
    network = graph.network("y")
    unfolded = unfold_and_compare(network)
    assert [pair[:2] for pair in unfolded.pairs] == [("w", "c"), ("v", "e")]
    supernet = Supernet(unfolded.network).train()
    optimizer = torch.optim.SGD(supernet.parameters(), lr=0.1)
    torch.autograd.backward(supernet(torch.from_numpy(images(16, 4, 8))).square().mean())
    optimizer.step()
    x = {"x": images(3, 4, 8, seed=1)}
    trained = supernet.as_reference()(x)["y"]
    assert_close(runtime(build(network, network.architecture, fold(unfolded, supernet.weights())), x)["y"], trained)


def test_dead_code_stays_folded() -> None:
    graph = Builder()
    graph.conv("x", "dead", bias=True)
    graph.conv("x", "a", bias=True)
    assert [pair.weight for pair in unfold_and_compare(graph.network("a")).pairs] == ["a.w"]


def test_separable_pair_stays_one_edge() -> None:
    graph = Builder()
    graph.conv(graph.conv("x", "d", kernel=3, group=4, bias=True), "p", 6, bias=True)
    assert len(unfold_and_compare(graph.network("p")).pairs) == 2


def test_given_input_shapes_are_kept() -> None:
    graph = Builder(size="size")
    graph.op("Add", graph.conv("x", "a", kernel=3, bias=True), "x", out="s")
    graph.conv("s", "b", 6, kernel=3, stride=2, bias=True)
    network = parse(graph.model("b"), input_shapes={"x": (1, 4, 8, 8)})
    unfolded = unfold_and_compare(network).network
    assert [edge.skip for edge in unfolded.architecture.topology.edges] == [
        edge.skip for edge in network.architecture.topology.edges
    ]
