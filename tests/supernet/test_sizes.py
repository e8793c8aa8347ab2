"""What a model computes of the shapes of its inputs is computed once for each of them, and never wrong."""

from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from onnx import TensorProto, helper, numpy_helper

from natonnx.frontend import parse
from natonnx.supernet import Supernet


def model(*, by_values: bool = False) -> onnx.ModelProto:
    """Dense layer, halved by the sizes of its input: reshaped to [N, 2, 4], scaled by the square root of a size.

    With `by_values` the number of rows is that of the input's non-zero numbers.
    """
    given = np.random.default_rng(0)
    constants: dict[str, Any] = {
        "weight": given.standard_normal((8, 8)).astype(np.float32),
        "zero": np.array(0, np.int64),
        "first": np.array([0], np.int64),
        "parts": np.array([2, 4], np.int64),
    }
    node = helper.make_node
    nodes = [
        node("MatMul", ["x", "weight"], ["dense"]),
        node("Shape", ["dense"], ["shape"]),
        node("Gather", ["shape", "zero"], ["rows"]),
        node("Unsqueeze", ["rows", "first"], ["rows1"]),
        node("Concat", ["rows1", "parts"], ["target"], axis=0),
        node("Reshape", ["dense", "target"], ["split"]),
        node("Cast", ["rows"], ["number"], to=TensorProto.FLOAT),
        node("Sqrt", ["number"], ["root"]),
        node("Mul", ["split", "root"], ["y"]),
    ]
    if by_values:
        nodes += [
            node("NonZero", ["x"], ["places"]),
            node("Shape", ["places"], ["counted"]),
            node("Cast", ["counted"], ["counts"], to=TensorProto.FLOAT),
            node("ReduceSum", ["counts", "first"], ["count"], keepdims=0),
            node("Mul", ["y", "count"], ["z"]),
        ]
    output = "z" if by_values else "y"
    graph = helper.make_graph(
        nodes,
        "sizes",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["N", 8])],
        [helper.make_tensor_value_info(output, TensorProto.FLOAT, ["N", 2, 4])],
        [numpy_helper.from_array(value, name) for name, value in constants.items()],
    )
    return helper.make_model(graph, ir_version=8, opset_imports=[helper.make_opsetid("", 18)])


@pytest.mark.parametrize("by_values", [False, True])
def test_it_is_what_onnxruntime_computes_for_any_order_of_shapes(by_values: bool) -> None:
    """Shapes that come again and again, and, where sizes depend on values, other values of the same shape."""
    made = model(by_values=by_values)
    supernet, (output,) = Supernet(parse(made)).eval(), made.graph.output
    runtime = onnxruntime.InferenceSession(made.SerializeToString(), providers=["CPUExecutionProvider"])
    given = np.random.default_rng(1)
    for rows in (3, 5, 3, 1, 5, 3, *range(1, 20), 3):
        x = given.standard_normal((rows, 8)).astype(np.float32) * (given.random((rows, 8)) < 0.5)
        with torch.inference_mode():
            found = supernet.run({"x": torch.from_numpy(x)})[output.name].numpy()
        np.testing.assert_allclose(found, runtime.run(None, {"x": x})[0], rtol=1e-4, atol=1e-3 * by_values + 1e-6)


def test_sizes_are_known_after_the_first_run() -> None:
    supernet = Supernet(parse(model())).eval()
    plan = supernet.plan(supernet.network.architecture)
    assert plan.sizes.names == {"shape", "rows", "rows1", "target", "number", "root"}
    x = torch.ones(3, 8)
    assert not plan.sizes.of({"x": x})
    supernet.run({"x": x})
    assert set(plan.sizes.of({"x": x})) == plan.sizes.names
    assert not plan.sizes.of({"x": torch.ones(4, 8)})


def test_no_sizes_are_kept_where_a_shape_depends_on_values() -> None:
    supernet = Supernet(parse(model(by_values=True))).eval()
    assert not supernet.plan(supernet.network.architecture).sizes.names


def test_training_goes_on_with_what_inference_made() -> None:
    """Tensors of inference mode cannot be part of a gradient."""
    supernet, x = Supernet(parse(model())), torch.ones(3, 8)
    with torch.inference_mode():
        supernet.run({"x": x})
    supernet.train()
    supernet.run({"x": x})["y"].square().sum().backward()  # type: ignore[no-untyped-call]
    (weight,) = supernet.parameters()
    assert weight.grad is not None
    assert weight.grad.abs().sum() > 0
