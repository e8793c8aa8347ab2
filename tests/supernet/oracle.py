"""Single nodes, run by the op table and by onnxruntime."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import onnx
import onnxruntime as ort
import torch
from onnx import helper

from tools.conformance.onnx_cases import as_array, interpret

if TYPE_CHECKING:
    from collections.abc import Sequence

    from torch import Tensor


def array(*shape: int, seed: int = 0, dtype: str = "f4") -> np.ndarray:
    return np.random.default_rng(seed).standard_normal(shape).astype(dtype)


def one_node(
    op_type: str, inputs: Sequence[np.ndarray | None], opset: int, n_outputs: int = 1, **attributes: Any
) -> onnx.ModelProto:
    """Make a model of a single node; an input of None is absent."""
    names = ["" if value is None else f"x{number}" for number, value in enumerate(inputs)]
    outputs = [f"y{number}" for number in range(n_outputs)]
    graph = helper.make_graph(
        [helper.make_node(op_type, names, outputs, name="node", **attributes)],
        "graph",
        [
            helper.make_tensor_value_info(name, helper.np_dtype_to_tensor_dtype(value.dtype), value.shape)
            for name, value in zip(names, inputs, strict=True)
            if value is not None
        ],
        [helper.make_empty_tensor_value_info(name) for name in outputs],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=8)


def reference(model: onnx.ModelProto, inputs: Sequence[np.ndarray]) -> list[np.ndarray]:
    """Run a model in onnxruntime, on the CPU, without graph optimisation."""
    options = ort.SessionOptions()
    options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_DISABLE_ALL
    options.intra_op_num_threads = 1
    options.log_severity_level = 4
    session = ort.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
    feeds = {value.name: array for value, array in zip(session.get_inputs(), inputs, strict=True)}
    return list(session.run(None, feeds))


def agrees(op_type: str, *inputs: np.ndarray | None, opset: int = 17, n_outputs: int = 1, **attributes: Any) -> None:
    """Assert that the table and onnxruntime agree on a node, in values, types and shapes."""
    model = one_node(op_type, inputs, opset, n_outputs, **attributes)
    present = [value for value in inputs if value is not None]
    results = [as_array(result) for result in interpret(model, present)]
    for result, expected in zip(results, reference(model, present), strict=True):
        assert result.dtype == expected.dtype
        np.testing.assert_allclose(result, expected, rtol=1e-5, atol=1e-5, strict=True)


def leaf(tensor: Tensor) -> Tensor:
    return tensor.detach().clone().requires_grad_()


def assert_same_gradients(
    result: Tensor, expected: Tensor, results_from: Sequence[Tensor], expected_from: Sequence[Tensor]
) -> None:
    weights = torch.from_numpy(array(*result.shape, seed=9))
    gradients = torch.autograd.grad(result, results_from, weights)
    for gradient, other in zip(gradients, torch.autograd.grad(expected, expected_from, weights), strict=True):
        torch.testing.assert_close(gradient, other)
