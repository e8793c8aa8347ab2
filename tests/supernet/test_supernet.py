"""The supernet computes what onnxruntime computes, under the file's own names, and keeps what it is given."""

from __future__ import annotations

import copy
from typing import TYPE_CHECKING

import numpy as np
import onnx
import pytest
import torch
from onnx import TensorProto, helper, numpy_helper

from natonnx.architecture import Edit, State, apply_edits
from natonnx.errors import InputError
from natonnx.frontend import parse
from natonnx.rewrite import build
from natonnx.supernet import Supernet
from natonnx.supernet.module import as_channels_last
from natonnx.supernet.ops import UnsupportedOpError
from tests.rewrite.helpers import (
    SHIPPED,
    Builder,
    arrays,
    assert_close,
    images,
    runtime,
    shipped_model,
    shipped_network,
)
from tests.rewrite.trunk import value_info
from tools.conformance.wild.alphas import random_alpha

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from natonnx.architecture import Architecture


def outputs(supernet: Supernet, batch: int, architecture: Architecture | None = None) -> np.ndarray:
    supernet.eval()
    with torch.inference_mode():
        result: np.ndarray = supernet(torch.from_numpy(images(batch)), architecture).numpy()
    return result


@pytest.mark.parametrize("batch", [1, 5])
@pytest.mark.parametrize("name", SHIPPED)
def test_beta_equals_onnxruntime(name: str, batch: int) -> None:
    expected = runtime(shipped_model(name), {"image": images(batch)})["logits"]
    assert_close(outputs(Supernet(shipped_network(name)), batch), expected)


@pytest.mark.parametrize("name", SHIPPED)
def test_named_tensors_are_the_files_floating_weights(name: str) -> None:
    weights = Supernet(shipped_network(name)).weights()
    model = shipped_model(name)
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


@pytest.mark.parametrize("name", SHIPPED)
def test_parameters_are_all_but_the_running_statistics(name: str) -> None:
    parameters = {key.replace("%2E", ".") for key, _ in Supernet(shipped_network(name)).named_parameters()}
    statistics = {
        name
        for node in shipped_model(name).graph.node
        if node.op_type == "BatchNormalization"
        for name in node.input[3:]
    }
    assert parameters == Supernet(shipped_network(name)).weights().keys() - statistics


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
    supernet = Supernet(shipped_network("mobilenetv2"))
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


@pytest.mark.parametrize("name", SHIPPED)
def test_switching_back_and_forth_changes_nothing(name: str) -> None:
    network = shipped_network(name)
    supernet = Supernet(network)
    alphas = [network.architecture, *(random_alpha(network.architecture, seed) for seed in range(3))]
    first = [outputs(supernet, 2, alpha) for alpha in alphas]
    second = [outputs(supernet, 2, alpha) for alpha in reversed(alphas)][::-1]
    for before, after in zip(first, second, strict=True):
        np.testing.assert_array_equal(before, after)
    assert len({value.tobytes() for value in first}) == len(first)


def test_no_architecture_means_beta() -> None:
    network = shipped_network("vgg")
    supernet = Supernet(network)
    np.testing.assert_array_equal(outputs(supernet, 2), outputs(supernet, 2, network.architecture))


@pytest.mark.parametrize("name", SHIPPED)
def test_weights_round_trip(name: str) -> None:
    source, target = Supernet(shipped_network(name)), Supernet(shipped_network(name))
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for tensor in source.named_tensors().values():
            tensor.mul_(1 + 0.1 * torch.rand(tensor.shape, generator=generator))
    before = outputs(target, 2)
    target.load_weights(source.weights())
    assert not np.array_equal(outputs(target, 2), before)
    np.testing.assert_array_equal(outputs(target, 2), outputs(source, 2))


def test_weights_are_copies() -> None:
    supernet = Supernet(shipped_network("vgg"))
    before = outputs(supernet, 2)
    for value in supernet.weights().values():
        value[...] = 0
    np.testing.assert_array_equal(outputs(supernet, 2), before)


def test_deep_copy_is_independent() -> None:
    supernet = Supernet(shipped_network("resnet20"))
    before = outputs(supernet, 2)
    twin = copy.deepcopy(supernet)
    np.testing.assert_array_equal(outputs(twin, 2), before)
    with torch.no_grad():
        for parameter in twin.parameters():
            parameter.zero_()
    np.testing.assert_array_equal(outputs(supernet, 2), before)


@pytest.mark.parametrize("name", SHIPPED)
def test_state_dict_round_trip(name: str) -> None:
    source, target = Supernet(shipped_network(name)), Supernet(shipped_network(name))
    with torch.no_grad():
        for parameter in source.parameters():
            parameter.mul_(1.1)
    target.load_state_dict(source.state_dict())
    np.testing.assert_array_equal(outputs(target, 2), outputs(source, 2))


def test_building_a_supernet_does_not_change_the_model() -> None:
    network = shipped_network("resnet20")
    before = network.model.SerializeToString(deterministic=True)
    supernet = Supernet(network)
    with torch.no_grad():
        for parameter in supernet.parameters():
            parameter.zero_()
    assert network.model.SerializeToString(deterministic=True) == before


def test_capture_returns_inner_tensors() -> None:
    supernet = Supernet(shipped_network("vgg")).eval()
    with torch.inference_mode():
        captured = supernet.run({"image": torch.from_numpy(images(2))}, capture=["relu", "max_pool2d", "logits"])
    model = shipped_model("vgg")
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


# Operators outside the op table


def branch(*nodes: onnx.NodeProto, given: Sequence[onnx.ValueInfoProto] = (), made: Sequence[str]) -> onnx.GraphProto:
    flags = {"still": value_info("still", [], TensorProto.BOOL)}
    return helper.make_graph(nodes, "inner", given, [flags.get(name, value_info(name)) for name in made])


def _local_function(graph: Builder) -> None:
    graph.nodes.append(helper.make_node("Twice", ["r"], ["m"], "M", domain="local"))


def _operator_of_the_runtime(graph: Builder) -> None:
    graph.nodes.append(helper.make_node("QuickGelu", ["r"], ["m"], "M", domain="com.microsoft"))


def _if(graph: Builder) -> None:
    graph.op("Greater", graph.op("ReduceSum", "r", out="sum", keepdims=0), graph.weight("limit"), out="condition")
    then = branch(helper.make_node("Mul", ["r", graph.weight("outer", 4, 1, 1)], ["one"]), made=["one"])
    other = branch(helper.make_node("Neg", ["r"], ["two"]), made=["two"])
    graph.op("If", "condition", out="m", then_branch=then, else_branch=other)


def _loop(graph: Builder) -> None:
    given = [value_info("i", [], TensorProto.INT64), value_info("on", [], TensorProto.BOOL), value_info("before")]
    nodes = [helper.make_node("Identity", ["on"], ["still"]), helper.make_node("Add", ["before", "r"], ["after"])]
    body = branch(*nodes, given=given, made=["still", "after"])
    graph.op("Loop", graph.constant("trips", np.array(3)), "", "r", out="m", body=body)


def _sequences(graph: Builder) -> None:
    graph.op("SequenceConstruct", "x", "r", out="q")
    graph.op("SequenceAt", "q", graph.constant("one", np.array(1)), out="m")


def _split_sequence(graph: Builder) -> None:
    graph.op("ConcatFromSequence", graph.op("SplitToSequence", "r", out="q", axis=1), out="m", axis=1)


def _selection(graph: Builder) -> None:
    """The boxes that stay, as integers, decide by how much a picture is scaled."""
    boxes = graph.op("Reshape", "r", graph.constant("quadruples", np.array([1, -1, 4])), out="boxes")
    sums = graph.op("ReduceSum", boxes, graph.constant("last", np.array([2])), out="sums", keepdims=0)
    scores = graph.op("Unsqueeze", sums, graph.constant("first", np.array([1])), out="scores")
    chosen = graph.op("NonMaxSuppression", boxes, scores, graph.constant("most", np.array([5])), out="chosen")
    count = graph.op("ReduceMean", graph.op("Cast", chosen, out="float", to=TensorProto.FLOAT), out="mean", keepdims=0)
    graph.op("Mul", graph.weight("picture", 1, 4, 8, 8), count, out="m")


def _constant(graph: Builder) -> None:
    """The matrix is outside the table, but r reaches m without it."""
    numbers = [graph.constant(f"n{i}", np.array(n, np.int64)) for i, n in enumerate((8, 14, 100))]
    edges = [graph.constant(f"e{i}", np.array(e, np.float32)) for i, e in enumerate((1.0, 40.0))]
    graph.op("Mul", "r", graph.op("MelWeightMatrix", *numbers, *edges, out="mel"), out="m")


OUTSIDE: dict[Callable[[Builder], None], tuple[str, ...]] = {
    _local_function: ("Twice",),
    _operator_of_the_runtime: ("QuickGelu",),
    _if: ("If",),
    _loop: ("Loop",),
    _sequences: ("SequenceAt", "SequenceConstruct"),
    _split_sequence: ("ConcatFromSequence", "SplitToSequence"),
    _selection: ("NonMaxSuppression",),
    _constant: ("MelWeightMatrix",),
}

outside = pytest.mark.parametrize(
    "make",
    [pytest.param(make, id=make.__name__.strip("_")) for make in OUTSIDE],
)


def around(make: Callable[[Builder], None]) -> onnx.ModelProto:
    """x → A → r → what is outside the table → m; Z + m = z."""
    graph = Builder()
    graph.op("Relu", graph.conv("x", "a"), out="r")
    make(graph)
    graph.channels["m"] = 4
    graph.op("Add", graph.conv("m", "c"), "m", out="z")
    domains = [helper.make_opsetid("", 17), *(helper.make_opsetid(d, 1) for d in ("local", "com.microsoft"))]
    double = helper.make_function("local", "Twice", ["i"], ["o"], [helper.make_node("Add", ["i", "i"], ["o"])], domains)
    model = graph.model(value_info("z", [None] * 4), opset_imports=domains, functions=[double])
    model.graph.value_info.append(value_info("m", ["n", 4, 8, 8]))
    return model


@pytest.mark.parametrize("edit", [None, Edit("A", State.O, State.S), Edit("C", State.O, State.S)])
@outside
def test_node_outside_the_table_equals_onnxruntime(make: Callable[[Builder], None], edit: Edit | None) -> None:
    network = parse(around(make))
    supernet = Supernet(network)
    assert supernet.in_onnxruntime == OUTSIDE[make]
    alpha = network.architecture if edit is None else apply_edits(network.architecture, [edit])
    for batch in (1, 3):
        x = {"x": images(batch, 4, 8)}
        assert_close(supernet.as_reference(alpha)(x)["z"], runtime(build(network, alpha), x)["z"])


@outside
def test_gradient_reaches_what_follows_a_node_outside_the_table(make: Callable[[Builder], None]) -> None:
    supernet = Supernet(parse(around(make))).train()
    torch.autograd.backward(supernet(torch.from_numpy(images(2, 4, 8))).square().sum())
    reached = {key for key, parameter in supernet.named_parameters() if parameter.grad is not None}
    assert "c%2Ew" in reached
    assert ("a%2Ew" in reached) is (make is _constant)


def test_gradient_goes_around_a_node_outside_the_table() -> None:
    graph = Builder()
    graph.conv("x", "a")
    graph.nodes.append(helper.make_node("QuickGelu", ["a"], ["g"], "G", domain="com.microsoft"))
    graph.op("Add", "g", "a", out="s")
    domains = [helper.make_opsetid("", 17), helper.make_opsetid("com.microsoft", 1)]
    supernet = Supernet(parse(graph.model(value_info("s", ["n", 4, 8, 8]), opset_imports=domains)))
    x = torch.from_numpy(images(2, 4, 8))
    (gradient,) = torch.autograd.grad(supernet(x).sum(), [supernet.get_parameter("a%2Ew")])
    np.testing.assert_allclose(gradient.squeeze().numpy(), x.sum((0, 2, 3)).expand(4, 4).numpy(), rtol=1e-4)


# Operators that onnxruntime does not know either


def beyond() -> onnx.ModelProto:
    """x → A → r → Mystery → m → Z → z, and Riddle of x and m; t is made of r alone."""
    graph = Builder()
    graph.op("Relu", graph.conv("x", "a"), out="r")
    graph.nodes.append(helper.make_node("Mystery", ["r"], ["m"], "M", domain="custom"))
    graph.channels["m"] = 4
    graph.conv("m", "z")
    graph.nodes.append(helper.make_node("Riddle", ["x", "m"], ["y"], "Y", domain="custom"))
    graph.conv("r", "t")
    domains = [helper.make_opsetid("", 17), helper.make_opsetid("custom", 1)]
    outputs = [value_info(name, ["n", 4, 8, 8]) for name in "zyt"]
    return graph.model(*outputs, opset_imports=domains)


@pytest.mark.parametrize("capture", [None, ["z"], ["t", "m"]])
def test_operators_that_are_missing_are_named_all_at_once(capture: list[str] | None) -> None:
    supernet = Supernet(parse(beyond()))
    assert supernet.in_onnxruntime == ()
    with pytest.raises(UnsupportedOpError, match=r"Mystery of the domain custom.*; Riddle of the domain custom"):
        supernet.run({"x": torch.from_numpy(images(2, 4, 8))}, capture=capture)


def test_what_comes_before_a_missing_operator_is_computed_and_trained() -> None:
    supernet = Supernet(parse(beyond())).train()
    captured = supernet.run({"x": torch.from_numpy(images(2, 4, 8))}, capture=["r", "t"])
    torch.autograd.backward(captured["r"].sum() + captured["t"].sum())
    reached = {key for key, parameter in supernet.named_parameters() if parameter.grad is not None}
    assert reached == {"a%2Ew", "t%2Ew"}


def test_reference_goes_up_to_a_missing_operator() -> None:
    model = beyond()
    x = {"x": images(2, 4, 8)}
    found = Supernet(parse(model)).as_reference()(x)
    known = [node for node in model.graph.node if not node.domain and node.name != "Z"]
    outputs = [value_info(name, ["n", 4, 8, 8]) for name in "rt"]
    graph = helper.make_graph(known, "known", model.graph.input, outputs, model.graph.initializer)
    expected = runtime(helper.make_model(graph, opset_imports=model.opset_import, ir_version=8), x)
    assert found.keys() == expected.keys()
    for name, value in expected.items():
        assert_close(found[name], value)


# Constants, types and modes


@pytest.mark.parametrize("name", ["INT4", "UINT4", "INT8", "FLOAT8E4M3FN"])
def test_weight_that_torch_cannot_hold_equals_onnxruntime(name: str) -> None:
    graph = Builder(opset=21, ir_version=10)
    stored = np.random.default_rng(0).integers(0, 7, 16).tolist()
    graph.initializers.append(helper.make_tensor("stored", getattr(TensorProto, name), [4, 4, 1, 1], stored))
    graph.op("DequantizeLinear", "stored", graph.constant("scale", np.array(0.5, np.float32)), out="w")
    graph.op("Add", graph.op("Conv", graph.conv("x", "a"), "w", out="b"), "a", out="s")
    network = graph.network("s")
    supernet, x = Supernet(network), {"x": images(2, 4, 8)}
    assert supernet.weights().keys() == {"a.w"}
    assert_close(supernet.as_reference()(x)["s"], runtime(network.model, x)["s"])


@pytest.mark.parametrize("name", ["weights", "training", "forward", "_keys", "run", "onnx:weights"])
def test_weight_with_a_name_of_the_module_is_trained(name: str) -> None:
    graph = Builder()
    graph.op("Conv", "x", graph.weight(name, 4, 4, 1, 1), out="y")
    supernet, x = Supernet(graph.network("y")), torch.from_numpy(images(2, 4, 8))
    torch.autograd.backward(supernet(x).sum())
    (parameter,) = supernet.parameters()
    assert parameter.grad is not None
    before = supernet(x)
    supernet.load_weights({name: 2 * supernet.weights()[name]})
    torch.testing.assert_close(supernet(x), 2 * before)


def training_norm(*outputs: str) -> onnx.ModelProto:
    graph = Builder(opset=15)
    parts = [graph.weight(f"n{i}", 4) for i in range(3)] + [graph.constant("n3", np.ones(4, np.float32))]
    graph.conv("x", "a")
    made = ["y", "mean", "variance"]
    graph.nodes.append(helper.make_node("BatchNormalization", ["a", *parts], made, "N", training_mode=1))
    return graph.model(*outputs)


@pytest.mark.parametrize(
    "outputs",
    [
        ("y",),
        pytest.param(
            ("y", "mean", "variance"),
        ),
    ],
)
def test_normalisation_that_trains_in_the_file_equals_onnxruntime(outputs: tuple[str, ...]) -> None:
    model = training_norm(*outputs)
    reference = Supernet(parse(model)).as_reference()
    for seed in range(2):
        x = {"x": images(3, 4, 8, seed)}
        expected = runtime(model, x)
        for name in outputs:
            assert_close(reference(x)[name], expected[name])


def test_half_precision_equals_onnxruntime() -> None:
    graph = Builder()
    graph.input.type.tensor_type.elem_type = TensorProto.FLOAT16
    graph.op("Add", graph.batchnorm(graph.conv("x", "a", kernel=3), "n"), "x", out="s")
    for tensor in graph.initializers:
        tensor.CopyFrom(numpy_helper.from_array(numpy_helper.to_array(tensor).astype(np.float16), tensor.name))
    network = graph.network("s")
    x = {"x": images(2, 4, 8).astype(np.float16)}
    result, expected = Supernet(network).as_reference()(x)["s"], runtime(network.model, x)["s"]
    assert result.dtype == expected.dtype == np.float16
    assert_close(result, expected, 1e-2)
    assert {value.dtype for value in Supernet(network).weights().values()} == {np.dtype(np.float16)}


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
    flippable = [i for i, state in enumerate(network.architecture.states) if state == State.O]
    for mask in range(300):
        states = list(network.architecture.states)
        for position, i in enumerate(flippable):
            if mask >> position & 1:
                states[i] = State.N
        supernet.as_reference(network.architecture.with_states(tuple(states)))(x)
    np.testing.assert_array_equal(supernet.as_reference()(x)["s9"], beta)


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("name", SHIPPED)
def test_gradient_reaches_exactly_the_weights_that_the_rewritten_file_keeps(name: str, seed: int) -> None:
    network = shipped_network(name)
    alpha = random_alpha(network.architecture, seed)
    supernet = Supernet(network).train()
    torch.autograd.backward(supernet(torch.from_numpy(images(4)), alpha).square().sum())
    reached = {key.replace("%2E", ".") for key, p in supernet.named_parameters() if p.grad is not None}
    assert reached == arrays(build(network, alpha)).keys() & {
        key.replace("%2E", ".") for key, _ in supernet.named_parameters()
    }


def gather_model() -> onnx.ModelProto:
    table = numpy_helper.from_array(np.arange(20, dtype=np.float32).reshape(5, 4), "table")
    graph = helper.make_graph(
        [helper.make_node("Gather", ["table", "ids"], ["y"], "lookup")],
        "g",
        [helper.make_tensor_value_info("ids", TensorProto.INT64, ["N"])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["N", 4])],
        [table],
    )
    return helper.make_model(graph, ir_version=8, opset_imports=[helper.make_opsetid("", 17)])


def test_inputs_that_the_file_cannot_run_are_one_line() -> None:
    with pytest.raises(InputError, match=r"lookup.*out of data bounds, idx=5"):
        Supernet(parse(gather_model())).run({"ids": torch.tensor([1, 5])})


def test_a_failure_of_the_supernet_alone_stays_what_it_is() -> None:
    """No fault of the data: the file runs on it."""
    supernet = Supernet(parse(gather_model()))
    supernet.table.data = torch.zeros(2, 4)
    with pytest.raises(IndexError):
        supernet.run({"ids": torch.tensor([1, 4])})


@pytest.mark.parametrize("shape", [(8, 1, 3, 3), (8, 4, 1, 1), (1, 1, 1, 1), (2, 3, 5, 7)])
def test_strides_say_channels_last_where_an_axis_of_1_lets_others_do_as_well(shape: tuple[int, ...]) -> None:
    """torch chooses its kernels by them; `contiguous` leaves the first two as they are."""
    given = torch.arange(float(np.prod(shape))).reshape(shape)
    laid = as_channels_last({"x": given})["x"]
    channels, height, width = shape[1:]
    assert laid.stride() == (channels * height * width, 1, channels * width, channels)
    assert torch.equal(laid, given)
    assert as_channels_last({"x": laid})["x"] is laid
