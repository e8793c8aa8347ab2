"""Networks that are built on concats: DenseNet, Inception, ShuffleNet, and the ways in which files write them."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import onnx
import pytest
import torch
from onnx import TensorProto, helper, numpy_helper

from natonnx.architecture import Architecture, State, cost, edits_between, legal_transitions, violation
from natonnx.frontend import Network, lower, parse
from natonnx.rewrite import References, build, verify
from natonnx.supernet import Supernet
from tests.frontend.test_cut_rules import fork, without, zeroed
from tests.rewrite.helpers import Builder, arrays, assert_close, copy, images, joins, runtime
from tools.conformance.wild.alphas import random_alpha

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray


def dense() -> Builder:
    """A DenseNet block of two layers and a transition: each layer reads all that came before, normalised."""
    graph = Builder(size=4)
    graph.conv("x", "f0", 4)
    features = "f0"
    for i in (1, 2):
        graph.op("Relu", graph.batchnorm(features, f"n{i}"), out=f"r{i}")
        graph.conv(f"r{i}", f"bottleneck{i}", 4)
        graph.op("Relu", graph.batchnorm(f"bottleneck{i}", f"bn{i}"), out=f"br{i}")
        graph.conv(f"br{i}", f"new{i}", 2, kernel=3)
        channels = graph.channels[features] + 2
        features = graph.op("Concat", features, f"new{i}", out=f"f{i}", axis=1)
        graph.channels[features] = channels
    graph.op("Relu", graph.batchnorm(features, "n3"), out="r3")
    graph.conv("r3", "t", 4)
    graph.op("AveragePool", "t", out="half", kernel_shape=[2, 2], strides=[2, 2])
    graph.op("Flatten", graph.op("GlobalAveragePool", "half", out="gap"), out="flat")
    graph.op("Gemm", "flat", graph.weight("head.w", 4, 3), graph.weight("head.b", 3), out="y")
    return graph


def inception() -> Builder:
    """Two blocks of three branches each: 1×1, 1×1 and 3×3, pooling and 1×1."""
    graph = Builder(size=4)
    source = "x"
    for i in (1, 2):
        graph.op("Relu", graph.conv(source, f"a{i}", 2), out=f"ra{i}")
        graph.op("Relu", graph.conv(source, f"b{i}", 3), out=f"rb{i}")
        graph.op("Relu", graph.conv(f"rb{i}", f"bb{i}", 4, kernel=3), out=f"rbb{i}")
        graph.op("MaxPool", source, out=f"p{i}", kernel_shape=[3, 3], pads=[1] * 4)
        graph.op("Relu", graph.conv(f"p{i}", f"c{i}", 2), out=f"rc{i}")
        source = graph.op("Concat", f"ra{i}", f"rbb{i}", f"rc{i}", out=f"cat{i}", axis=-3)
        graph.channels[source] = 8
    graph.conv(source, "y", 3)
    return graph


def shuffle() -> Builder:
    """ShuffleNet's downsampling unit and shuffle; what follows splits the channels."""
    graph = Builder(size=4)
    graph.conv(graph.batchnorm(graph.conv("x", "l1", 4, kernel=3, stride=2, group=4), "l2"), "left", 4)
    graph.op("Relu", graph.conv("x", "r1", 4), out="r2")
    graph.conv(graph.batchnorm(graph.conv("r2", "r3", 4, kernel=3, stride=2, group=4), "r4"), "right", 4)
    graph.op("Concat", "left", "right", out="cat", axis=1)
    graph.op("Reshape", "cat", graph.constant("to5", np.array([-1, 2, 4, 2, 2])), out="g")
    graph.op("Transpose", "g", out="t", perm=[0, 2, 1, 3, 4])
    graph.op("Reshape", "t", graph.constant("to4", np.array([-1, 8, 2, 2])), out="shuffled")
    graph.channels["shuffled"] = 8
    graph.conv("shuffled", "y", 3)
    return graph


def parts(alpha: Architecture, network: Network) -> onnx.ModelProto:
    """The model of α, checked by everything that there is: the file, onnxruntime against torch, the cost."""
    model = build(network, alpha)
    references = References(Supernet(network).as_reference(alpha))
    failed = [check for check in verify(network, alpha, model, references) if not check.passed]
    assert not failed
    again = parse(model).architecture
    assert cost(again) == cost(alpha)
    return model


NETWORKS = {"DenseNet": dense, "Inception": inception, "ShuffleNet": shuffle}


@pytest.mark.parametrize("make", NETWORKS.values(), ids=NETWORKS.keys())
def test_every_legal_transition_gives_a_right_model(make: Callable[[], Builder]) -> None:
    network = parse(make().model("y"), window=2)
    beta = network.architecture
    for i, verdict in enumerate(legal_transitions(beta)):
        for after, reason in verdict.items():
            if reason is None:
                parts(beta.with_states((*beta.states[:i], after, *beta.states[i + 1 :])), network)


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("make", NETWORKS.values(), ids=NETWORKS.keys())
def test_random_alphas_give_right_models(make: Callable[[], Builder], seed: int) -> None:
    network = parse(make().model("y"))
    alpha = random_alpha(network.architecture, seed, rate=0.4)
    assert edits_between(network.architecture, alpha)
    parts(alpha, network)


def removable(network: Network) -> set[str]:
    """Edges that may become null."""
    pairs = zip(network.architecture.topology.edges, legal_transitions(network.architecture), strict=True)
    return {edge.name for edge, verdict in pairs if verdict.get(State.N, "") is None}


def test_layers_of_a_densenet_can_go_one_by_one() -> None:
    assert removable(parse(dense().model("y"))) >= {"NEW1", "NEW2", "BOTTLENECK1", "new2->f2", "f1->f2"}


def test_branches_of_an_inception_block_can_go_one_by_one() -> None:
    names = {f"{part}{i}" for part in ("A", "B", "BB", "C", "P") for i in (1, 2)}
    assert removable(parse(inception().model("y"))) >= names


def test_a_half_that_is_shuffled_can_go() -> None:
    assert removable(parse(shuffle().model("y"))) >= {"left->cat", "right->cat", "L1", "R1", "R3"}


def test_a_dense_layer_without_its_oldest_input_is_written_by_hand() -> None:
    """f2 = [f0, new1, new2] without new1: n3 and t lose channels 4 and 5, and layer 2 reads f0 alone."""
    model = dense().model("y")
    network = parse(model)
    result = parts(without(network, "NEW1"), network)
    before, after = arrays(model), arrays(result)
    for name in ("n3.scale", "n3.shift", "n3.mean", "n3.var"):
        np.testing.assert_array_equal(after[name], np.delete(before[name], [4, 5]))
    np.testing.assert_array_equal(after["t.w"], np.delete(before["t.w"], [4, 5], 1))
    np.testing.assert_array_equal(after["bottleneck2.w"], before["bottleneck2.w"][:, :4])
    assert "bottleneck1.w" not in after


# Members


def test_one_member_left_is_no_concat_any_more() -> None:
    network = parse(fork_and_conv().model("y"))
    result = parts(without(network, "B", "D"), network)
    assert [node.op_type for node in result.graph.node] == ["Conv", "Identity", "Sigmoid", "Conv"]


def fork_and_conv() -> Builder:
    graph = fork()
    graph.conv("c", "y")
    return graph


def test_all_members_may_not_die() -> None:
    network = parse(fork_and_conv().model("y"))
    alpha = without(network, "A", "B", "D")
    assert violation(alpha, network.architecture) == "the model's output 'y' would no longer depend on its input"


def test_all_members_may_die_where_a_sum_lives_on() -> None:
    graph = fork_and_conv()
    graph.op("Add", "y", "x", out="z")
    network = parse(graph.model("z"))
    alpha = without(network, "A", "B", "D")
    assert [node.op_type for node in parts(alpha, network).graph.node] == ["Identity"]
    assert cost(alpha).params == 0


def test_a_source_may_be_a_member_twice() -> None:
    graph = Builder(size=4)
    graph.conv("x", "a", 3)
    graph.conv("x", "b", 2)
    graph.op("Concat", "b", "a", "b", out="c", axis=1)
    graph.channels["c"] = 7
    graph.conv("c", "y")
    model = graph.model("y")
    network = parse(model)
    entering = [edge.name for edge in network.architecture.topology.edges if edge.target == "c"]
    assert entering == ["b->c", "a->c", "b->c#2"]
    x = {"x": images(2, 4, 4)}
    for edges_off, gone in [(["b->c#2"], [5, 6]), (["B"], [0, 1, 5, 6]), (["A", "b->c"], [0, 1, 2, 3, 4])]:
        result = parts(without(network, *edges_off), network)
        assert_close(runtime(result, x)["y"], runtime(zeroed(model, "y.w", gone, 1), x)["y"])


def test_concats_of_concats_lose_what_theirs_lose() -> None:
    """outer = [inner, e], inner = [a, b, d]: without b, the channels 3 and 4 of inner and of outer."""
    graph = fork()
    graph.conv("x", "e", 2)
    graph.op("Concat", "e", "c", out="outer", axis=1)
    graph.channels["outer"] = 10
    graph.batchnorm("outer", "n")
    graph.conv("n", "y")
    model, x = graph.model("y"), {"x": images(2, 4, 4)}
    network = parse(model)
    result = parts(without(network, "B"), network)
    assert_close(runtime(result, x)["y"], runtime(zeroed(model, "y.w", [5, 6], 1), x)["y"])
    result = parts(without(network, "B", "E"), network)
    assert_close(runtime(result, x)["y"], runtime(zeroed(model, "y.w", [0, 1, 5, 6], 1), x)["y"])


def test_a_concat_with_a_constant_is_fixed() -> None:
    graph = Builder(size=4, batch=1)
    graph.conv("x", "a", 3)
    graph.op("Concat", "a", graph.weight("token", 1, 2, 4, 4), out="c", axis=1)
    graph.channels["c"] = 5
    graph.conv("c", "y")
    network = parse(graph.model("y"))
    assert joins(network)["c"] == "opaque"
    reason = "one of its operands is a constant"
    assert [(node.node, node.reason) for node in network.opaque] == [("C", reason)]
    assert legal_transitions(network.architecture)[0][State.N] is not None


PER_CHANNEL: dict[str, Callable[[Builder], str]] = {
    "Conv": lambda _: "c",
    "depthwise Conv": lambda g: g.conv("c", "m", group=4),
    "MaxPool": lambda g: g.op("MaxPool", "c", out="m", kernel_shape=[3, 3]),
    "GlobalAveragePool": lambda g: g.op("GlobalAveragePool", "c", out="m"),
    "BatchNormalization": lambda g: g.op("Dropout", g.batchnorm("c", "n"), out="m"),
    "InstanceNormalization": lambda g: g.op(
        "InstanceNormalization", "c", g.weight("scale", 4), g.weight("shift", 4), out="m"
    ),
}


@pytest.mark.parametrize("axis", [2, -1])
@pytest.mark.parametrize("put", PER_CHANNEL.values(), ids=PER_CHANNEL.keys())
def test_a_concat_of_places_may_not_lose_any(put: Callable[[Builder], str], axis: int) -> None:
    """What knows how to do with fewer channels does not know how to do with fewer places."""
    graph = Builder(size=4)
    graph.op("Concat", graph.conv("x", "a"), graph.conv("x", "b"), out="c", axis=axis)
    graph.conv(put(graph), "y")
    network = parse(graph.model("y"))
    concat = network.architecture.topology.maps[network.architecture.topology.concats[0]]
    assert concat.axis == axis % 4
    name = f"b->{concat.name}"
    reason = legal_transitions(network.architecture)[network.architecture.topology.edge_index[name]][State.N]
    assert reason is not None
    assert violation(without(network, name), network.architecture) is not None


def test_features_of_a_sequence_are_joined_along_the_last_axis() -> None:
    graph = Builder(size=4)
    graph.op("Reshape", "x", graph.constant("to3", np.array([0, 4, 16])), out="s")
    for name, size in [("a", 3), ("b", 2)]:
        graph.op("MatMul", "s", graph.weight(f"{name}.w", 16, size), out=name)
    graph.op("Concat", "a", "b", out="c", axis=-1)
    graph.op("Add", "c", graph.weight("bias", 5), out="biased")
    graph.op("MatMul", "biased", graph.weight("w", 5, 2), out="y")
    model, x = graph.model("y"), {"x": images(2, 4, 4)}
    network = parse(model)
    result = parts(without(network, "A"), network)
    assert_close(runtime(result, x)["y"], runtime(zeroed(model, "w", [0, 1, 2], 0), x)["y"])
    assert arrays(result)["bias"].shape == (2,)


# How files write weights


def _constant_node(graph: Builder, value: NDArray[np.float32]) -> None:
    graph.op("Constant", out="W", value=numpy_helper.from_array(value))


def _unsqueezed(graph: Builder, value: NDArray[np.float32]) -> None:
    graph.op("Unsqueeze", graph.constant("W0", value[..., 0]), graph.constant("axes", np.array([-1])), out="W")


def _initializer(graph: Builder, value: NDArray[np.float32]) -> None:
    graph.constant("W", value)


WEIGHTS = {"an initializer": _initializer, "a Constant node": _constant_node, "computed": _unsqueezed}


def _written(put: Callable[[Builder, NDArray[np.float32]], None]) -> onnx.ModelProto:
    graph = fork()
    put(graph, np.random.default_rng(2).standard_normal((4, 8, 1, 1)).astype(np.float32))
    graph.op("Conv", "c", "W", out="y")
    return graph.model("y")


@pytest.mark.parametrize("put", WEIGHTS.values(), ids=WEIGHTS.keys())
def test_weights_may_be_written_in_any_way(put: Callable[[Builder, NDArray[np.float32]], None]) -> None:
    x = {"x": images(2, 4, 4)}
    network = parse(_written(put))
    result = parts(without(network, "B"), network)
    assert_close(runtime(result, x)["y"], runtime(zeroed(_written(_initializer), "W", [3, 4], 1), x)["y"])
    assert [value.shape[:2] for name, value in arrays(result).items() if name in {"W", "W0"}] in ([(4, 6)], [])


@pytest.mark.parametrize("put", WEIGHTS.values(), ids=WEIGHTS.keys())
def test_noted_shapes_say_what_is_left(put: Callable[[Builder, NDArray[np.float32]], None]) -> None:
    """Of the tensors that are cut, and of the weights that are."""
    network = parse(onnx.shape_inference.infer_shapes(_written(put)))
    result = parts(without(network, "B"), network)
    bare = copy(result)
    del bare.graph.value_info[:]
    inferred = {info.name: info for info in onnx.shape_inference.infer_shapes(bare).graph.value_info}
    noted = {info.name: info for info in result.graph.value_info}
    assert noted.keys() >= {"a", "d", "joined", "c"}
    assert noted == {name: inferred[name] for name in noted}


def test_a_default_that_a_caller_may_override_gets_smaller_too() -> None:
    """Below IR 4 every initializer is an input as well."""
    model = fork_and_conv().model("y")
    model.ir_version = 3
    model.graph.input.extend(
        helper.make_tensor_value_info(tensor.name, TensorProto.FLOAT, tensor.dims) for tensor in model.graph.initializer
    )
    network = parse(model)
    result = parts(without(network, "B"), network)
    shapes = {info.name: [dim.dim_value for dim in info.type.tensor_type.shape.dim] for info in result.graph.input}
    assert shapes == {"x": [0, 4, 4, 4], "a.w": [3, 4, 1, 1], "d.w": [3, 4, 1, 1], "y.w": [4, 6, 1, 1]}


def test_dead_code_that_was_written_for_whole_tensors_goes() -> None:
    """Nothing reads its result; of six channels it could not be what it says."""
    graph = fork_and_conv()
    graph.op("Reshape", "c", graph.constant("sizes", np.array([0, 8, 16])), out="dead")
    network = parse(graph.model("y"))
    assert "DEAD" not in [node.name for node in parts(without(network, "B"), network).graph.node]


def test_the_group_of_a_depthwise_convolution_counts_what_is_left() -> None:
    graph = fork()
    graph.conv("c", "m", 8, kernel=3, group=8, bias=True)
    graph.conv("m", "y")
    network = parse(graph.model("y"))
    result = parts(without(network, "B"), network)
    node = next(node for node in result.graph.node if node.name == "M")
    assert {attribute.name: attribute.i for attribute in node.attribute}["group"] == 6
    assert (arrays(result)["m.w"].shape, arrays(result)["m.b"].shape) == ((6, 1, 3, 3), (6,))


def test_what_was_cut_once_can_be_cut_again() -> None:
    graph = fork()
    graph.op("Reshape", "c", graph.constant("sizes", np.array([-1, 8, 16, 1])), out="m")
    graph.channels["m"] = 8
    graph.conv("m", "y")
    network = parse(graph.model("y"))
    again = parse(parts(without(network, "B"), network))
    parts(without(again, "D"), again)


def test_a_weight_may_be_one_of_two_parts_of_a_constant() -> None:
    """Exporters split the fused weights of attention and of recurrent layers."""
    graph = fork()
    graph.nodes.append(helper.make_node("Split", [graph.weight("both", 8, 8, 1, 1)], ["W", "V"], "SPLIT", axis=0))
    graph.op("Conv", "c", "W", out="m")
    graph.op("Conv", "c", "V", out="n")
    graph.op("Mul", "m", "n", out="y")
    network = parse(graph.model("y"))
    parts(without(network, "B"), network)


def test_a_sparse_weight_is_cut_or_keeps_its_channels() -> None:
    graph = fork()
    graph.op("Conv", "c", "W", out="y", kernel_shape=[1, 1])
    values = helper.make_tensor("W", TensorProto.FLOAT, [2], [1.0, 2.0])
    indices = helper.make_tensor("W.indices", TensorProto.INT64, [2], [1, 21])
    image = helper.make_tensor_value_info("y", TensorProto.FLOAT, ["n", 4, 4, 4])
    sparse = [helper.make_sparse_tensor(values, indices, [4, 8, 1, 1])]
    body = helper.make_graph(graph.nodes, "g", [graph.input], [image], graph.initializers, sparse_initializer=sparse)
    model = helper.make_model(body, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    assert set(runtime(model, {"x": images(1, 4, 4)})) == {"y"}
    network = parse(model)
    alpha = without(network, "B")
    if violation(alpha, network.architecture) is None:
        runtime(build(network, alpha), {"x": images(1, 4, 4)})


def test_a_member_of_unknown_size_hides_where_the_others_stand() -> None:
    """The file says the size of the whole alone."""
    graph = Builder(size=4)
    graph.op("Flatten", "x", out="flat")
    graph.op("Compress", "flat", graph.constant("some", np.arange(64) < 5), out="a", axis=1)
    graph.op("Gemm", "flat", graph.weight("b.w", 64, 3), out="b")
    graph.op("Concat", "b", "a", out="c", axis=1)
    graph.op("Gemm", "c", graph.weight("w", 8, 2), out="y")
    model, x = graph.model("y"), {"x": images(2, 4, 4)}
    network = parse(model)
    alpha = without(network, "B")
    if violation(alpha, network.architecture) is None:
        assert_close(runtime(build(network, alpha), x)["y"], runtime(zeroed(model, "w", [0, 1, 2], 0), x)["y"])


# Training


def test_trained_weights_are_cut_like_the_files_own() -> None:
    network = parse(fork_and_conv().model("y"))
    weights = {name: value + 1 for name, value in arrays(network.model).items()}
    result = build(network, without(network, "B"), weights)
    expected = {"a.w": weights["a.w"], "d.w": weights["d.w"], "y.w": np.delete(weights["y.w"], [3, 4], 1)}
    assert arrays(result).keys() == expected.keys()
    for name, value in arrays(result).items():
        np.testing.assert_array_equal(value, expected[name])


def _normalised() -> Builder:
    """c is normalised, filtered channel by channel, and absorbed."""
    graph = fork()
    graph.batchnorm("c", "n")
    graph.conv("n", "m", 8, kernel=3, group=8)
    graph.conv("m", "y")
    return graph


def test_training_leaves_lost_channels_alone() -> None:
    network = parse(_normalised().model("y"))
    supernet = Supernet(network).train()
    with torch.inference_mode():  # as the search does: an α is scored first and trained later
        supernet.eval().run({"x": torch.from_numpy(images(2, 4, 4))}, without(network, "B"))
    supernet.train()
    before = {name: tensor.clone() for name, tensor in supernet.named_tensors().items()}
    supernet.run({"x": torch.from_numpy(images(2, 4, 4))}, without(network, "B"))["y"].square().sum().backward()  # type: ignore[no-untyped-call]
    gradients = {name: value.grad for name, value in supernet.named_parameters()}
    for name, axis in [("n%2Escale", 0), ("n%2Eshift", 0), ("m%2Ew", 0), ("y%2Ew", 1)]:
        gradient = gradients[name]
        assert gradient is not None
        touched = gradient.movedim(axis, 0).reshape(8, -1).any(1)
        assert touched.tolist() == [True] * 3 + [False] * 2 + [True] * 3
    assert gradients["b%2Ew"] is None
    for name in ("n.mean", "n.var"):
        changed = supernet.named_tensors()[name] != before[name]
        assert changed.tolist() == [True] * 3 + [False] * 2 + [True] * 3


def test_one_supernet_serves_cut_and_whole_architectures_alike() -> None:
    network = parse(_normalised().model("y"))
    supernet, x = Supernet(network).eval(), images(2, 4, 4)
    for alpha in (network.architecture, without(network, "B"), network.architecture, without(network, "A", "D")):
        with torch.inference_mode():
            value = supernet.run({"x": torch.from_numpy(x)}, alpha)["y"].numpy()
        assert_close(value, runtime(build(network, alpha), {"x": x})["y"])


def test_the_program_names_every_tensor_that_is_cut() -> None:
    network = parse(_normalised().model("y"))
    program = lower(network, without(network, "B"))
    assert {name: int(cut.kept.sum()) for name, cut in program.cut.items()} == dict.fromkeys(
        ["joined", "c", "n", "m"], 6
    )
    assert not lower(network, network.architecture).cut
