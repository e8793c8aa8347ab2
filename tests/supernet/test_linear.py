"""Linear operators as matrices, against onnxruntime: matrix times features is what the operator computes."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import torch

from natonnx.supernet.linear import LinearOperator, rows_of
from natonnx.supernet.ops import OpSpec
from tests.supernet.oracle import array, one_node, reference

if TYPE_CHECKING:
    import onnx

CASES: dict[str, tuple[str, tuple[int, ...], tuple[int, ...], dict[str, Any]]] = {
    "conv": ("Conv", (2, 4, 7, 6), (5, 4, 3, 3), {"pads": [1, 1, 1, 1]}),
    "conv-strided": ("Conv", (2, 4, 7, 6), (6, 2, 3, 2), {"group": 2, "strides": [2, 3], "pads": [1, 0, 2, 1]}),
    "conv-dilated": ("Conv", (2, 2, 9, 9), (3, 2, 3, 3), {"dilations": [2, 1], "strides": [1, 2]}),
    "conv-cropped": ("Conv", (2, 2, 7, 7), (3, 2, 3, 3), {"auto_pad": "SAME_LOWER", "strides": [2, 2]}),
    "conv-same": ("Conv", (2, 2, 8, 7), (3, 2, 3, 2), {"auto_pad": "SAME_UPPER", "strides": [2, 2]}),
    "conv-depthwise": ("Conv", (2, 4, 5, 5), (8, 1, 3, 3), {"group": 4, "kernel_shape": [3, 3]}),
    "conv-1d": ("Conv", (3, 4, 9), (2, 4, 3), {"pads": [2, 0]}),
    "conv-3d": ("Conv", (1, 2, 4, 5, 3), (3, 2, 2, 2, 2), {"strides": [1, 2, 1]}),
    "transposed": ("ConvTranspose", (2, 3, 4, 5), (3, 4, 3, 3), {}),
    "transposed-strided": (
        "ConvTranspose",
        (2, 4, 4, 3),
        (4, 3, 3, 2),
        {"group": 2, "strides": [2, 3], "pads": [1, 0, 1, 1], "output_padding": [1, 2]},
    ),
    "transposed-dilated": ("ConvTranspose", (1, 2, 4, 4), (2, 3, 3, 2), {"dilations": [2, 3], "strides": [3, 1]}),
    "transposed-depthwise": ("ConvTranspose", (2, 4, 4, 4), (4, 1, 2, 2), {"group": 4, "strides": [2, 2]}),
    "transposed-same": ("ConvTranspose", (2, 2, 4, 4), (2, 3, 3, 3), {"auto_pad": "SAME_UPPER", "strides": [2, 2]}),
    "transposed-shape": ("ConvTranspose", (2, 2, 4, 4), (2, 3, 3, 3), {"output_shape": [8, 7], "strides": [2, 2]}),
    "transposed-larger": ("ConvTranspose", (2, 2, 4, 4), (2, 3, 3, 3), {"output_shape": [10, 9], "strides": [2, 2]}),
    "transposed-1d": ("ConvTranspose", (2, 3, 5), (3, 2, 4), {"strides": [2], "pads": [3, 0]}),
    "gemm": ("Gemm", (6, 4), (4, 3), {}),
    "gemm-transposed": ("Gemm", (6, 4), (3, 4), {"transB": 1}),
    "matmul": ("MatMul", (2, 5, 4), (4, 3), {}),
    "matmul-deep": ("MatMul", (2, 3, 2, 4), (4, 3), {}),
    "matmul-vector": ("MatMul", (4,), (4, 3), {}),
}


def operator(model: onnx.ModelProto, rank: int) -> LinearOperator:
    found = LinearOperator.of(OpSpec.from_node(model.graph.node[0], 17), rank)
    assert found is not None
    return found


@pytest.mark.parametrize("case", CASES)
def test_matrix_times_features_is_the_output(case: str) -> None:
    op_type, source, shape, attributes = CASES[case]
    x, weight = array(*source), array(*shape, seed=1)
    model = one_node(op_type, [x, weight], 17, **attributes)
    (expected,) = reference(model, [x, weight])
    linear = operator(model, weight.ndim)
    rows = rows_of(torch.from_numpy(expected), convolution=linear.is_convolution)
    chosen = torch.randperm(len(rows), generator=torch.Generator().manual_seed(0))[: max(1, len(rows) // 2)]
    matrix = linear.to_matrix(torch.from_numpy(weight))
    features = torch.cat([*linear.features(torch.from_numpy(x), torch.from_numpy(weight), expected.shape, chosen)])
    assert linear.output_shape(x.shape, weight.shape) in {expected.shape, None}
    made = torch.einsum("gof,gpf->pgo", matrix, features).flatten(1)
    torch.testing.assert_close(made, rows[chosen], rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("case", CASES)
def test_to_weight_undoes_to_matrix(case: str) -> None:
    op_type, source, shape, attributes = CASES[case]
    weight = array(*shape)
    linear = operator(one_node(op_type, [array(*source), weight], 17, **attributes), weight.ndim)
    back = linear.to_weight(linear.to_matrix(torch.from_numpy(weight)), weight.shape)
    np.testing.assert_array_equal(back.numpy(), weight)


@pytest.mark.parametrize(
    ("op_type", "weight", "attributes"),
    [
        ("Gemm", (4, 3), {"alpha": 2.0}),
        ("Gemm", (4, 3), {"beta": 0.5}),
        ("Gemm", (6, 3), {"transA": 1}),
        ("MatMul", (2, 4, 3), {}),
        ("MatMul", (4,), {}),
        ("Add", (6, 4), {}),
    ],
)
def test_what_is_no_such_operator_is_none(op_type: str, weight: tuple[int, ...], attributes: dict[str, Any]) -> None:
    model = one_node(op_type, [array(6, 4), array(*weight)], 17, **attributes)
    assert LinearOperator.of(OpSpec.from_node(model.graph.node[0], 17), len(weight)) is None
    assert LinearOperator.of(None, 2) is None
