"""A batch of 1 that is baked into a model is made free where that is provably all it was."""

from __future__ import annotations

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper

from natonnx.errors import InputError
from natonnx.frontend import free_batch
from tests.rewrite.helpers import Builder, assert_close, images, runtime


def baked() -> onnx.ModelProto:
    """conv → channel shuffle by Reshape, Transpose, Reshape → Reshape → Gemm, all at a batch of 1."""
    graph = Builder(batch=1, size=4)
    graph.conv("x", "a", 6)
    groups = graph.constant("groups", np.array([1, 2, 3, 4, 4]))
    graph.op("Reshape", "a", groups, out="b")
    graph.op("Transpose", "b", out="c", perm=[0, 2, 1, 3, 4])
    graph.op("Reshape", "c", graph.constant("image", np.array([1, 6, 4, 4])), out="d")
    flat = graph.constant("flat", np.array([1, -1]))
    graph.op("Reshape", "d", flat, out="e")
    graph.op("Gemm", "e", graph.weight("w", 96, 3), out="y")
    return graph.model("y")


def dims(info: onnx.ValueInfoProto) -> list[int | str]:
    return [dim.dim_param or dim.dim_value for dim in info.type.tensor_type.shape.dim]


def test_a_batch_gives_what_its_samples_give() -> None:
    model = baked()
    before = model.SerializeToString()
    freed = free_batch(model)
    x = images(5, 4, 4)
    alone = [runtime(model, {"x": x[i : i + 1]})["y"] for i in range(5)]
    assert_close(runtime(freed, {"x": x})["y"], np.concatenate(alone))
    assert dims(freed.graph.input[0]) == ["batch", 4, 4, 4]
    assert dims(freed.graph.output[0]) == ["batch", 3]
    assert model.SerializeToString() == before
    onnx.checker.check_model(freed, full_check=True)


def test_targets_below_opset_5_are_attributes() -> None:
    graph = Builder(opset=4, batch=1, size=4)
    graph.op("Reshape", graph.conv("x", "a", 6), out="b", shape=[1, 2, 3, 4, 4])
    graph.op("Transpose", "b", out="c", perm=[0, 2, 1, 3, 4])
    graph.op("Reshape", "c", out="d", shape=[1, -1])
    graph.op("Reshape", graph.weight("table", 96, 3), out="w", shape=[1, 96, 3])
    graph.op("MatMul", "d", "w", out="y")
    model = graph.model(helper.make_tensor_value_info("y", TensorProto.FLOAT, [1, 1, 3]))
    freed = free_batch(model)
    x = images(3, 4, 4)
    alone = [runtime(model, {"x": x[i : i + 1]})["y"] for i in range(3)]
    assert_close(runtime(freed, {"x": x})["y"], np.concatenate(alone, 1))


def test_targets_that_nothing_reads_any_more_are_gone() -> None:
    held = {tensor.name for tensor in free_batch(baked()).graph.initializer}
    assert {name for name in held if not name.endswith("/natonnx_shape")} == {"a.w", "w"}


def test_a_batch_that_only_seems_open_is_freed_under_its_own_name() -> None:
    graph = Builder(size=4)
    graph.op("Reshape", graph.conv("x", "a"), graph.constant("flat", np.array([1, 64])), out="y")
    model = graph.model(helper.make_tensor_value_info("y", TensorProto.FLOAT, [1, 64]))
    freed = free_batch(model)
    assert dims(freed.graph.input[0]) == ["n", 4, 4, 4]
    x = images(3, 4, 4)
    assert runtime(freed, {"x": x})["y"].shape == (3, 64)


def test_a_model_that_bakes_nothing_is_the_same() -> None:
    graph = Builder()
    graph.conv("x", "a")
    model = graph.model("a")
    assert free_batch(model) is model


def test_a_reshape_of_a_constant_stays() -> None:
    """A row of weights is no batch, though it starts with 1."""
    graph = Builder(batch=1, size=4)
    graph.op("Reshape", graph.weight("table", 64), graph.constant("row", np.array([1, 64])), out="r")
    graph.op("Mul", graph.op("Flatten", "x", out="f"), "r", out="y")
    freed = free_batch(graph.model("y"))
    assert [list(node.input) for node in freed.graph.node if node.op_type == "Reshape"] == [["table", "row"]]
    x = images(2, 4, 4)
    assert runtime(freed, {"x": x})["y"].shape == (2, 64)


@pytest.mark.parametrize(("opset", "ir_version"), [(7, 3), (8, 3), (9, 4), (13, 7)])
def test_old_opsets_hold_no_integers_in_nodes(opset: int, ir_version: int) -> None:
    """As of MNIST at opset 8: onnxruntime and the checker know no Constant of integers there."""
    graph = Builder(batch=1, size=4, opset=opset, ir_version=ir_version)
    graph.conv("x", "a")
    graph.op("Reshape", "a", graph.constant("flat", np.array([1, 64])), out="b")
    graph.op("MatMul", "b", graph.weight("w", 64, 3), out="y")
    if ir_version < 4:
        body = helper.make_graph(graph.nodes, "g", [graph.input], [], graph.initializers)
        body.output.append(helper.make_tensor_value_info("y", TensorProto.FLOAT, [1, 3]))
        for tensor in graph.initializers:
            body.input.append(helper.make_tensor_value_info(tensor.name, tensor.data_type, tensor.dims))
        model = helper.make_model(body, ir_version=ir_version, opset_imports=[helper.make_opsetid("", opset)])
    else:
        model = graph.model("y")
    freed = free_batch(model)
    onnx.checker.check_model(freed, full_check=True)
    x = images(5, 4, 4)
    alone = [runtime(model, {"x": x[i : i + 1]})["y"] for i in range(5)]
    assert_close(runtime(freed, {"x": x})["y"], np.concatenate(alone))


def test_a_batch_of_another_size_is_refused() -> None:
    graph = Builder(batch=2)
    graph.conv("x", "a")
    with pytest.raises(
        InputError, match=r"^the batch cannot be freed: the first axis of 'x' is 2, not 1; leave --free-batch out$"
    ):
        free_batch(graph.model("a"))


def test_samples_that_look_at_each_other_are_refused() -> None:
    """A mean over the batch is the identity for a batch of 1 only."""
    graph = Builder(batch=1, size=4)
    graph.op("ReduceMean", "x", out="m", axes=[0], keepdims=1)
    graph.op("Sub", "x", "m", out="y")
    with pytest.raises(InputError, match=r"^the batch cannot be freed: output 'y' of a sample depends on the others"):
        free_batch(graph.model("y"))


def test_an_output_without_a_batch_is_refused() -> None:
    graph = Builder(batch=1, size=4)
    graph.op("ReduceMean", "x", out="y", axes=[0], keepdims=0)
    with pytest.raises(
        InputError,
        match=r"^the batch cannot be freed: no axis of output 'y' would be the batch, its shape is \[4, 4, 4\];",
    ):
        free_batch(graph.model("y"))
