"""Whatever a model carries, an edit elsewhere leaves it byte for byte as it was.

The expected model is the source, edited by hand in the test.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from natonnx.architecture import Edit, State, apply_edits
from natonnx.frontend import parse
from natonnx.rewrite import build
from natonnx.rewrite.replay import Replay
from tests.rewrite.helpers import (
    SHIPPED,
    Builder,
    arrays,
    assert_close,
    copy,
    images,
    node_names,
    runtime,
    shipped_network,
)
from tests.rewrite.trunk import assert_identical, value_info, without
from tools.conformance.wild.alphas import random_alpha


def rich_model(*, functions: bool = True) -> onnx.ModelProto:
    """A model with everything that graph-surgeon loses and that a valid model can carry.

    The convolutions A and B make one residual block, C another; behind them an If node captures both.
    """
    graph = Builder(opset=20, ir_version=10)
    graph.op("Relu", graph.conv("x", "a"), out="r")
    graph.op("Add", graph.conv("r", "b", bias=True), "r", out="s")
    graph.op("Add", graph.conv("s", "c", kernel=3), "s", out="t")
    graph.op("Neg", "r", out="dead")
    graph.op("Constant", out="idle", value_floats=[1.0, 2.0])
    graph.op("ReduceSum", "x", out="total", keepdims=0)
    graph.op("Cast", "total", out="condition", to=TensorProto.BOOL)
    outer = graph.weight("outer", 4, 1, 1)
    branches = [
        helper.make_graph(
            [helper.make_node("Mul", [name, outer], [f"i{name}"])], name, [], [value_info(f"i{name}", [])]
        )
        for name in ("r", "t")
    ]
    for branch in branches:
        branch.output[0].type.tensor_type.ClearField("shape")
        branch.doc_string = "a branch"
    graph.op("If", "condition", out="i", then_branch=branches[0], else_branch=branches[1])
    last = "i"
    extra: dict[str, Any] = {"opset_imports": [helper.make_opsetid("", 20), helper.make_opsetid("unused", 7)]}
    if functions:
        graph.nodes.append(helper.make_node("Twice", ["i"], ["y"], "Y", domain="local", factor=2.0))
        last = "y"
        body = [
            helper.make_node("Constant", [], ["two"], value_float=2.0),
            helper.make_node("Mul", ["a", "two"], ["b"], doc_string="inside"),
        ]
        function = helper.make_function(
            "local", "Twice", ["a"], ["b"], body, [helper.make_opsetid("", 20)], attributes=["factor"]
        )
        function.doc_string = "a function"
        function.metadata_props.add(key="function", value="1")
        function.value_info.append(value_info("two", []))
        extra["functions"] = [function]
        extra["opset_imports"].append(helper.make_opsetid("local", 1))
    graph.weight("unused", 3, 5)
    return decorate(graph.model(value_info(last, ["n", 4, "height", "width"]), **extra))


def decorate(model: onnx.ModelProto) -> onnx.ModelProto:
    """Fill in, in place, every optional field of a model."""
    del model.graph.value_info[:]
    model.graph.value_info.extend(onnx.shape_inference.infer_shapes(model).graph.value_info)
    model.domain, model.model_version, model.doc_string = "org.example", 42, "a model"
    model.producer_name, model.producer_version = "hand", "1.2.3"
    model.metadata_props.add(key="author", value="test")
    training = model.training_info.add()
    training.initialization.name, training.algorithm.name = "initialization", "algorithm"
    training.update_binding.add(key="unused", value="unused")
    graph = model.graph
    graph.doc_string = "a graph"
    graph.metadata_props.add(key="graph", value="1")
    for node in graph.node:
        node.doc_string = f"makes {node.output[0]}"
        node.metadata_props.add(key="node", value=node.name)
        for attribute in node.attribute:
            attribute.doc_string = "an attribute"
    for tensor in graph.initializer:
        tensor.doc_string = f"tensor {tensor.name}"
        tensor.metadata_props.add(key="tensor", value=tensor.name)
    for info in [*graph.input, *graph.value_info, *graph.output]:
        info.doc_string = f"value {info.name}"
        info.metadata_props.add(key="value", value=info.name)
        info.type.denotation = "TENSOR"
        for axis, dim in enumerate(info.type.tensor_type.shape.dim):
            dim.denotation = "DATA_BATCH" if axis == 0 else "DATA_FEATURE"
    for name in [tensor.name for tensor in graph.initializer] + [info.name for info in graph.value_info]:
        note = graph.quantization_annotation.add(tensor_name=name)
        note.quant_parameter_tensor_names.add(key="SCALE_TENSOR", value="unused")
    onnx.checker.check_model(model, full_check=True)
    return model


def edited(source: onnx.ModelProto, *edits: tuple[str, str, str]) -> onnx.ModelProto:
    network = parse(source)
    changes = [Edit(edge, State(before), State(after)) for edge, before, after in edits]
    return build(network, apply_edits(network.architecture, changes))


def test_operation_to_skip_changes_one_node_and_drops_its_weights() -> None:
    source = rich_model()
    expected = without(source, tensors=["b.w", "b.b"])
    position = node_names(expected).index("B")
    expected.graph.node[position].CopyFrom(helper.make_node("Identity", ["r"], ["b"], "B"))
    result = edited(source, ("B", "O", "S"))
    result.graph.node[position].ClearField("doc_string")
    assert_identical(result, expected)


def test_operation_to_null_leaves_the_other_member_as_the_sum() -> None:
    source = rich_model()
    expected = without(source, nodes=["C", "T"], tensors=["c", "c.w"])
    expected.graph.node.insert(node_names(source).index("C"), helper.make_node("Identity", ["s"], ["t"], "s->t"))
    assert_identical(edited(source, ("C", "O", "N")), expected)


def test_residual_to_null_moves_the_other_member_into_the_sum() -> None:
    source = rich_model()
    expected = without(source, nodes=["T"], tensors=["c"])
    expected.graph.node[node_names(expected).index("C")].output[0] = "t"
    assert_identical(edited(source, ("s->t", "S", "N")), expected)


def test_null_to_skip_makes_the_add_a_sum() -> None:
    source = rich_model()
    expected = copy(source)
    position = node_names(expected).index("T")
    expected.graph.node[position].CopyFrom(helper.make_node("Sum", ["c", "s", "r"], ["t"], "T"))
    assert_identical(edited(source, ("r->t", "N", "S")), expected)


def test_block_that_null_removed_takes_its_tensors_along() -> None:
    source = rich_model()
    result = edited(source, ("B", "O", "N"), ("C", "O", "S"))
    assert not {"B", "S"} & set(node_names(result)) - {"r->s"}
    assert not {"b.w", "b.b", "c.w"} & arrays(result).keys()
    assert {"outer", "unused"} <= arrays(result).keys()


@pytest.mark.parametrize("edit", [("B", "O", "S"), ("C", "O", "N"), ("s->t", "S", "N"), ("r->t", "N", "S")])
def test_result_is_valid_and_runs(edit: tuple[str, str, str]) -> None:
    result = edited(rich_model(functions=False), edit)
    onnx.checker.check_model(result, full_check=True)
    assert runtime(result, {"x": images(2, 4, 8)})["i"].shape == (2, 4, 8, 8)


def test_result_with_a_function_is_valid_and_runs() -> None:
    result = edited(rich_model(), ("B", "O", "S"))
    onnx.checker.check_model(result, full_check=True)
    assert runtime(result, {"x": images(2, 4, 8)})["y"].shape == (2, 4, 8, 8)


@pytest.mark.parametrize("edit", [("B", "O", "S"), ("C", "O", "N"), ("s->t", "S", "N"), ("r->t", "N", "S")])
def test_source_is_not_changed(edit: tuple[str, str, str]) -> None:
    source = rich_model()
    before = source.SerializeToString(deterministic=True)
    edited(source, edit)
    assert source.SerializeToString(deterministic=True) == before


def test_beta_of_a_rich_model_is_bit_exact() -> None:
    source = rich_model()
    network = parse(source)
    assert_identical(build(network, network.architecture), source)


def test_tensor_that_a_branch_captures_stays() -> None:
    source = rich_model()
    result = edited(source, ("B", "O", "S"))
    assert arrays(result)["outer"].shape == (4, 1, 1)


def test_dead_code_goes_with_what_it_read() -> None:
    graph = Builder()
    graph.op("Add", graph.conv(graph.conv("x", "a"), "b"), "x", out="s")
    graph.op("Neg", "a", out="dead")
    graph.op("Neg", "dead", out="deader")
    result = edited(graph.model("s"), ("B", "O", "N"))
    onnx.checker.check_model(result, full_check=True)
    assert node_names(result) == ["x->s"]
    assert not result.graph.initializer


def test_dead_code_goes_with_the_name_of_what_it_read() -> None:
    """The last node of a branch takes over the name of the sum that it was one of two members of."""
    graph = Builder()
    graph.op("Abs", graph.op("Abs", "x", out="a"), out="b")
    graph.op("Add", graph.op("Relu", "x", out="r"), "b", out="s")
    graph.op("HardSwish", "b", out="dead")
    network = parse(graph.model("s"), granularity="branch")
    beta = network.architecture
    pairs = zip(beta.topology.edges, beta.states, strict=True)
    states = tuple(State.N if edge.source == "r" or edge.name == "R" else state for edge, state in pairs)
    result = build(network, beta.with_states(states))
    onnx.checker.check_model(result, full_check=True)
    assert [node.op_type for node in result.graph.node] == ["Abs", "Abs"]


def test_constant_node_goes_with_its_only_reader() -> None:
    graph = Builder()
    for name in ("kept", "dropped"):
        value = numpy_helper.from_array(np.ones((4, 4, 1, 1), np.float32))
        graph.op("Constant", out=name, value=value)
    graph.op("Conv", "x", "kept", out="a")
    graph.op("Conv", "a", "dropped", out="b")
    result = edited(graph.model("b"), ("B", "O", "S"))
    assert node_names(result) == ["KEPT", "A", "B"]


def test_weight_that_another_operation_shares_stays() -> None:
    graph = Builder()
    graph.conv("x", "a", bias=True)
    graph.op("Conv", "a", "a.w", "a.b", out="b")
    assert arrays(edited(graph.model("b"), ("B", "O", "S"))).keys() == {"a.w", "a.b"}


def test_limits_of_clips_stay_while_a_clip_does() -> None:
    network = shipped_network("mobilenetv2")
    alpha = apply_edits(network.architecture, [Edit("stage1_block1.project.conv", State.O, State.N)])
    result = build(network, alpha)
    assert {"min_val_cast", "max_val_cast"} <= arrays(result).keys()
    assert not [name for name in arrays(result) if name.startswith("stage1_block1.")]


def test_sparse_initializer_goes_with_its_only_reader() -> None:
    graph = Builder(opset=17)
    graph.conv("x", "a")
    model = graph.model("a")
    values = helper.make_tensor("sparse", TensorProto.FLOAT, [1], [2.0])
    indices = helper.make_tensor("indices", TensorProto.INT64, [1], [0])
    model.graph.sparse_initializer.append(helper.make_sparse_tensor(values, indices, [4]))
    model.graph.node[0].input.append("sparse")
    result = edited(model, ("A", "O", "S"))
    assert not result.graph.sparse_initializer
    assert not result.graph.initializer


@pytest.mark.parametrize("optional", ["", "mask"])
def test_operation_with_a_second_output_can_move_into_the_sum(optional: str) -> None:
    graph = Builder()
    node = helper.make_node("MaxPool", ["x"], ["p", optional], "P", kernel_shape=[3, 3], pads=[1] * 4)
    graph.nodes.append(node)
    graph.op("Add", "p", "x", out="s")
    result = edited(graph.model(value_info("s", ["n", 4, 8, 8])), ("x->s", "S", "N"))
    assert list(result.graph.node[0].output) == ["s", optional]
    onnx.checker.check_model(result, full_check=True)
    assert runtime(result, {"x": images(2, 4, 8)})["s"].shape == (2, 4, 8, 8)


def test_optional_inputs_and_outputs_left_out_are_no_dependency() -> None:
    graph = Builder()
    graph.op("Clip", graph.conv("x", "a"), "", graph.constant("six", np.array(6, np.float32)), out="r")
    graph.nodes.append(helper.make_node("MaxPool", ["r"], ["p", ""], "P", kernel_shape=[2, 2]))
    graph.channels["p"] = 4
    graph.conv("p", "b")
    result = edited(graph.model(value_info("b", ["n", 4, 7, 7])), ("B", "O", "S"))
    assert node_names(result) == ["A", "R", "P", "B"]
    onnx.checker.check_model(result, full_check=True)


@pytest.mark.parametrize("name", SHIPPED)
def test_decorations_of_shipped_models_stay(name: str) -> None:
    source = decorate(copy(shipped_network(name).model))
    network = parse(source)
    result = build(network, random_alpha(network.architecture, 0, rate=0.1))
    originals = {node.name: node for node in source.graph.node}
    kept = [node for node in result.graph.node if originals.get(node.name) == node]
    assert len(kept) > len(result.graph.node) // 2
    for field in ("initializer", "value_info", "quantization_annotation"):
        before = [message.SerializeToString(deterministic=True) for message in getattr(source.graph, field)]
        after = [message.SerializeToString(deterministic=True) for message in getattr(result.graph, field)]
        assert set(after) <= set(before)
        assert len(after) > len(before) // 2
        assert sorted(after, key=before.index) == after


# Old files


def old_model() -> onnx.ModelProto:
    """Opset 9 and IR 3: every initializer is an input too, and Pad takes attributes."""
    graph = Builder(opset=9, ir_version=3)
    graph.op("Relu", graph.conv("x", "a", 6, kernel=3, stride=2, bias=True), out="r")
    graph.op("Add", graph.conv("r", "b", 6, kernel=3), "r", out="s")
    for tensor in graph.initializers:
        graph.channels[tensor.name] = 0
    infos = [value_info(tensor.name, list(tensor.dims)) for tensor in graph.initializers]
    inner = helper.make_graph(
        graph.nodes, "old", [graph.input, *infos], [value_info("s", ["n", 6, 4, 4])], graph.initializers
    )
    model = helper.make_model(inner, opset_imports=[helper.make_opsetid("", 9)], ir_version=3)
    onnx.checker.check_model(model, full_check=True)
    return model


def test_padding_in_an_old_file_is_by_attributes() -> None:
    result = edited(old_model(), ("A", "O", "S"))
    assert [node.op_type for node in result.graph.node] == ["AveragePool", "Pad", "Relu", "Conv", "Add"]
    onnx.checker.check_model(result, full_check=True)
    x = images(2, 4, 8)
    pooled = np.pad(x.reshape(2, 4, 4, 2, 4, 2).mean((3, 5)), ((0, 0), (0, 2), (0, 0), (0, 0)))
    result.graph.output[0].name = "r"
    result.graph.node.pop()
    np.testing.assert_allclose(runtime(result, {"x": x})["r"], np.maximum(pooled, 0), atol=1e-6)


def test_dropped_weights_of_an_old_file_leave_its_inputs() -> None:
    result = edited(old_model(), ("A", "O", "S"))
    assert [info.name for info in result.graph.input] == ["x", "b.w"]
    assert arrays(result).keys() == {"b.w"}
    assert (result.ir_version, result.opset_import[0].version) == (3, 9)


def test_dropped_true_input_stays() -> None:
    graph = Builder()
    graph.op("Add", graph.conv("x", "a"), "y", out="s")
    y = value_info("y", ["n", 4, 8, 8])
    inner = helper.make_graph(
        graph.nodes, "two", [graph.input, y], [value_info("s", ["n", 4, 8, 8])], graph.initializers
    )
    model = helper.make_model(inner, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    result = edited(model, ("y->s", "S", "N"))
    assert list(result.graph.input) == list(model.graph.input)
    inputs = {"x": images(2, 4, 8), "y": images(2, 4, 8)}
    assert runtime(result, inputs)["s"].shape == (2, 4, 8, 8)


def test_names_of_new_nodes_and_tensors_are_their_own() -> None:
    """Whatever the file's own nodes and tensors are called: onnxruntime wants names of nodes to be unique."""
    target = "B/natonnx_member"
    graph = Builder(channels=2)
    graph.op("Relu", graph.conv("x", "a"), out="r", name=f"{target}/natonnx_sum")
    pooled = graph.op("Tanh", "r", out=f"x->{target}/natonnx_pooled", name=f"x->{target}/natonnx_pad")
    graph.op("Relu", graph.conv(pooled, "b", stride=2), out=target, name=f"x->{target}")
    graph.op("Add", graph.conv(target, "d"), target, out="s")
    network = graph.network("s")
    alpha = apply_edits(network.architecture, [Edit(f"x->{target}", State.N, State.S)])
    model = build(network, alpha)
    assert len(set(node_names(model))) == len(node_names(model))
    inputs = {"x": images(2, 2, 8)}
    assert_close(runtime(model, inputs)["s"], Replay(network, alpha)(inputs)["s"])
