"""The supernet computes what onnxruntime computes, under the file's own names, and keeps what it is given."""

from __future__ import annotations

import copy
from typing import TYPE_CHECKING

import numpy as np
import pytest
import torch
from onnx import TensorProto, helper, numpy_helper

from natonnx.architecture import State
from natonnx.frontend import parse
from natonnx.rewrite import build
from natonnx.supernet import Supernet
from natonnx.supernet.ops import UnsupportedOpError
from tests.rewrite.helpers import (
    ZOO,
    Builder,
    arrays,
    assert_close,
    images,
    random_alpha,
    runtime,
    zoo_model,
    zoo_network,
)

if TYPE_CHECKING:
    from natonnx.architecture import Architecture


def outputs(supernet: Supernet, batch: int, architecture: Architecture | None = None) -> np.ndarray:
    supernet.eval()
    with torch.inference_mode():
        result: np.ndarray = supernet(torch.from_numpy(images(batch)), architecture).numpy()
    return result


@pytest.mark.parametrize("batch", [1, 5])
@pytest.mark.parametrize("name", ZOO)
def test_beta_equals_onnxruntime(name: str, batch: int) -> None:
    expected = runtime(zoo_model(name), {"image": images(batch)})["logits"]
    assert_close(outputs(Supernet(zoo_network(name)), batch), expected)


@pytest.mark.parametrize("name", ZOO)
def test_named_tensors_are_the_files_floating_weights(name: str) -> None:
    weights = Supernet(zoo_network(name)).weights()
    model = zoo_model(name)
    expected = {
        name
        for node in model.graph.node
        if node.op_type in {"Conv", "Gemm", "BatchNormalization"}
        for name in node.input[1:]
    }
    assert weights.keys() == expected
    for tensor, value in arrays(model).items():
        if tensor in expected:
            np.testing.assert_array_equal(weights[tensor], value)


@pytest.mark.parametrize("name", ZOO)
def test_parameters_are_all_but_the_running_statistics(name: str) -> None:
    parameters = {key.replace("%2E", ".") for key, _ in Supernet(zoo_network(name)).named_parameters()}
    statistics = {
        name for node in zoo_model(name).graph.node if node.op_type == "BatchNormalization" for name in node.input[3:]
    }
    assert parameters == Supernet(zoo_network(name)).weights().keys() - statistics


def test_names_with_percent_and_point_do_not_clash() -> None:
    graph = Builder()
    for out, weight in (("a", "w.x"), ("b", "w%2Ex")):
        graph.op("Conv", "x", graph.weight(weight, 4, 4, 1, 1), out=out)
    graph.op("Add", "a", "b", out="s")
    network = graph.network("s")
    x = images(2, 4, 8)
    result = Supernet(network).as_reference()({"x": x})["s"]
    assert_close(result, runtime(network.model, {"x": x})["s"])


def test_limits_of_a_clip_are_not_trained() -> None:
    supernet = Supernet(zoo_network("mobilenetv2"))
    assert not {"min_val_cast", "max_val_cast"} & dict(supernet.named_parameters()).keys()


def test_weights_in_constant_nodes_are_trained() -> None:
    graph = Builder()
    graph.op("Constant", out="w", value=numpy_helper.from_array(np.ones((4, 4, 1, 1), np.float32)))
    graph.op("Conv", "x", "w", out="a")
    assert [name for name, _ in Supernet(graph.network("a")).named_parameters()] == ["w"]


def test_weight_that_is_read_in_an_untrainable_place_too_is_not_trained() -> None:
    graph = Builder()
    weight = graph.weight("w", 4)
    graph.op("Conv", "x", graph.weight("kernel", 4, 4, 1, 1), weight, out="a")
    graph.op("Reshape", weight, graph.constant("shape", np.array([1, 4, 1, 1])), out="r")
    graph.op("Mul", "a", "r", out="m")
    assert [name for name, _ in Supernet(graph.network("m")).named_parameters()] == ["kernel"]


@pytest.mark.parametrize("name", ZOO)
def test_switching_back_and_forth_changes_nothing(name: str) -> None:
    network = zoo_network(name)
    supernet = Supernet(network)
    alphas = [network.architecture, *(random_alpha(network.architecture, seed) for seed in range(3))]
    first = [outputs(supernet, 2, alpha) for alpha in alphas]
    second = [outputs(supernet, 2, alpha) for alpha in reversed(alphas)][::-1]
    for before, after in zip(first, second, strict=True):
        np.testing.assert_array_equal(before, after)
    assert len({value.tobytes() for value in first}) == len(first)


def test_no_architecture_means_beta() -> None:
    network = zoo_network("vgg")
    supernet = Supernet(network)
    np.testing.assert_array_equal(outputs(supernet, 2), outputs(supernet, 2, network.architecture))


@pytest.mark.parametrize("name", ZOO)
def test_weights_round_trip(name: str) -> None:
    source, target = Supernet(zoo_network(name)), Supernet(zoo_network(name))
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for tensor in source.named_tensors().values():
            tensor.mul_(1 + 0.1 * torch.rand(tensor.shape, generator=generator))
    before = outputs(target, 2)
    target.load_weights(source.weights())
    assert not np.array_equal(outputs(target, 2), before)
    np.testing.assert_array_equal(outputs(target, 2), outputs(source, 2))


def test_weights_are_copies() -> None:
    supernet = Supernet(zoo_network("vgg"))
    before = outputs(supernet, 2)
    for value in supernet.weights().values():
        value[...] = 0
    np.testing.assert_array_equal(outputs(supernet, 2), before)


def test_deep_copy_is_independent() -> None:
    supernet = Supernet(zoo_network("resnet20"))
    before = outputs(supernet, 2)
    twin = copy.deepcopy(supernet)
    np.testing.assert_array_equal(outputs(twin, 2), before)
    with torch.no_grad():
        for parameter in twin.parameters():
            parameter.zero_()
    np.testing.assert_array_equal(outputs(supernet, 2), before)


@pytest.mark.parametrize("name", ZOO)
def test_state_dict_round_trip(name: str) -> None:
    source, target = Supernet(zoo_network(name)), Supernet(zoo_network(name))
    with torch.no_grad():
        for parameter in source.parameters():
            parameter.mul_(1.1)
    target.load_state_dict(source.state_dict())
    np.testing.assert_array_equal(outputs(target, 2), outputs(source, 2))


def test_building_a_supernet_does_not_change_the_model() -> None:
    network = zoo_network("resnet20")
    before = network.model.SerializeToString(deterministic=True)
    supernet = Supernet(network)
    with torch.no_grad():
        for parameter in supernet.parameters():
            parameter.zero_()
    assert network.model.SerializeToString(deterministic=True) == before


def test_capture_returns_inner_tensors() -> None:
    supernet = Supernet(zoo_network("vgg")).eval()
    with torch.inference_mode():
        captured = supernet.run({"image": torch.from_numpy(images(2))}, capture=["relu", "max_pool2d", "logits"])
    model = zoo_model("vgg")
    extended = type(model)()
    extended.CopyFrom(model)
    for name in ("relu", "max_pool2d"):
        extended.graph.output.append(helper.make_tensor_value_info(name, TensorProto.FLOAT, None))
    expected = runtime(extended, {"image": images(2)})
    assert captured.keys() == expected.keys()
    for name, value in expected.items():
        assert_close(captured[name].numpy(), value)


def test_several_inputs_and_outputs_by_name() -> None:
    graph = Builder()
    graph.conv("x", "a")
    graph.op("Add", "a", "y", out="s")
    y = helper.make_tensor_value_info("y", TensorProto.FLOAT, ["n", 4, 8, 8])
    onnx_graph = helper.make_graph(
        graph.nodes,
        "graph",
        [graph.input, y],
        [helper.make_tensor_value_info(name, TensorProto.FLOAT, ["n", 4, 8, 8]) for name in ("a", "s")],
        graph.initializers,
    )
    model = helper.make_model(onnx_graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    inputs = {"x": images(2, 4, 8), "y": images(2, 4, 8, seed=1)}
    result = Supernet(parse(model)).as_reference()(inputs)
    expected = runtime(model, inputs)
    assert result.keys() == expected.keys()
    for name, value in expected.items():
        assert_close(result[name], value)


def test_unsupported_operators_are_named_all_at_once() -> None:
    graph = Builder()
    graph.op("Det", "x", out="d")
    graph.op("Unique", "d", out="u")
    graph.nodes.append(helper.make_node("Fancy", ["u"], ["y"], "Y", domain="custom"))
    model = graph.model(
        helper.make_tensor_value_info("y", TensorProto.FLOAT, ["k"]),
        opset_imports=[helper.make_opsetid("", 17), helper.make_opsetid("custom", 1)],
        functions=[
            helper.make_function(
                "custom", "Fancy", ["a"], ["b"], [helper.make_node("Neg", ["a"], ["b"])], [helper.make_opsetid("", 17)]
            )
        ],
    )
    with pytest.raises(UnsupportedOpError, match=r"Det.*; .*Unique.*; Fancy of the domain custom"):
        Supernet(parse(model))


def test_more_plans_than_are_kept_still_run() -> None:
    graph = Builder(batch=1)
    for i in range(10):
        graph.op(
            "Add", graph.conv("x" if i == 0 else f"s{i - 1}", f"c{i}"), "x" if i == 0 else f"s{i - 1}", out=f"s{i}"
        )
    network = graph.network("s9")
    supernet = Supernet(network)
    x = {"x": images(1, 4, 8)}
    beta = supernet.as_reference()(x)["s9"]
    flippable = [i for i, state in enumerate(network.architecture.states) if state is State.O]
    for mask in range(300):
        states = list(network.architecture.states)
        for position, i in enumerate(flippable):
            if mask >> position & 1:
                states[i] = State.N
        supernet.as_reference(network.architecture.with_states(tuple(states)))(x)
    np.testing.assert_array_equal(supernet.as_reference()(x)["s9"], beta)


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("name", ZOO)
def test_gradient_reaches_exactly_the_weights_that_the_rewritten_file_keeps(name: str, seed: int) -> None:
    network = zoo_network(name)
    alpha = random_alpha(network.architecture, seed)
    supernet = Supernet(network).train()
    torch.autograd.backward(supernet(torch.from_numpy(images(4)), alpha).square().sum())
    reached = {key.replace("%2E", ".") for key, p in supernet.named_parameters() if p.grad is not None}
    assert reached == arrays(build(network, alpha)).keys() & {
        key.replace("%2E", ".") for key, _ in supernet.named_parameters()
    }
