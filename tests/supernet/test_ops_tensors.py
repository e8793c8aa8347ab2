"""Indexing, ordering, quantization, sampling and attention: old forms against onnxruntime, and gradients."""

from __future__ import annotations

from itertools import product
from typing import Any

import numpy as np
import pytest
import torch
from onnx import helper

from natonnx.supernet.ops import OpSpec, UnsupportedOpError, build
from natonnx.supernet.ops.operands import as_tensor
from tests.supernet.oracle import agrees, array

INDICES = np.array([[0, -1, 2], [1, 1, -3]])


def floats(*values: float) -> np.ndarray:
    return np.array(values, "f4")


@pytest.mark.parametrize("axis", [0, 1, -1])
def test_elements_by_index(axis: int) -> None:
    x = array(3, 3)
    agrees("GatherElements", x, INDICES, axis=axis)
    agrees("Scatter", x, np.array([[0, 1, 2], [2, 0, 1]]), array(2, 3, seed=1), opset=9, axis=axis)
    agrees("ScatterElements", x, np.array([[0, -2, 2]]), array(1, 3, seed=1), opset=11, axis=axis)
    for reduction in ("add", "mul", "min", "max"):
        agrees("ScatterElements", x, INDICES, array(2, 3, seed=1), opset=18, axis=axis, reduction=reduction)


def test_slices_by_coordinates() -> None:
    x = array(2, 3, 4, 5)
    agrees("GatherND", x, np.array([[0, -1], [1, 2]]), opset=11)
    agrees("GatherND", x, np.array([[[1], [-1]], [[0], [2]]]), opset=12, batch_dims=1)
    agrees("GatherND", x, np.zeros((2, 3, 1), "i8"), opset=13, batch_dims=2)
    agrees("ScatterND", x, np.array([[0, -1], [1, 2]]), array(2, 4, 5, seed=1), opset=11)
    for reduction in ("add", "mul", "min", "max"):
        coordinates = np.array([[[1, 2, 3]], [[1, -1, 3]]])
        agrees("ScatterND", x, coordinates, array(2, 1, 5, seed=1), opset=18, reduction=reduction)


def test_one_hot() -> None:
    values, depth = floats(-1, 3), np.array(4)
    for axis in (0, 1, -1, -2):
        agrees("OneHot", np.array([[0, 3, -1], [7, -9, 2]]), depth, values, opset=9, axis=axis)


@pytest.mark.parametrize("largest", [0, 1])
def test_top_k(largest: int) -> None:
    x = np.random.default_rng(0).integers(0, 4, (3, 9)).astype("f4")
    agrees("TopK", x, np.array([5]), opset=11, n_outputs=2, axis=1, largest=largest)
    if largest:
        agrees("TopK", x, np.array([2]), opset=10, n_outputs=2, axis=0)
        agrees("TopK", x, opset=9, n_outputs=2, axis=1, k=5)


def test_running_totals() -> None:
    for exclusive, reverse in product((0, 1), (0, 1)):
        for axis in (0, -1):
            agrees("CumSum", array(3, 4), np.array(axis), opset=11, exclusive=exclusive, reverse=reverse)


@pytest.mark.parametrize("in_order", [0, 1])
def test_unique(in_order: int) -> None:
    x = np.random.default_rng(1).integers(0, 3, (6, 2)).astype("f4")
    agrees("Unique", x, n_outputs=4, sorted=in_order)
    agrees("Unique", x, n_outputs=4, sorted=in_order, axis=0)


def test_selection() -> None:
    x = array(3, 4, 2)
    agrees("Compress", x, np.array([True, False, True]), opset=9, axis=1)
    agrees("Compress", x, np.array([False, True, True, False, True]), opset=9)
    agrees("NonZero", np.array([[1, 0, 2], [0, 0, 3]]), opset=9)
    for time, batch in ((0, 1), (1, 0)):
        agrees("ReverseSequence", array(3, 3, 2), np.array([3, 1, 2]), opset=10, time_axis=time, batch_axis=batch)
    for upper, diagonal in product((0, 1), (-1, 0, 2)):
        agrees("Trilu", array(2, 3, 4), np.array(diagonal), opset=14, upper=upper)
    agrees("EyeLike", array(3, 4), opset=9, k=-1)


@pytest.mark.parametrize("opset", [11, 13])
@pytest.mark.parametrize("axis", [0, 1, 2])
def test_hardmax(axis: int, opset: int) -> None:
    agrees("Hardmax", np.random.default_rng(0).integers(0, 3, (2, 3, 4)).astype("f4"), opset=opset, axis=axis)


def test_norms() -> None:
    x = array(2, 3, 4, 5)
    for power in (1, 2):
        agrees("LpNormalization", x, opset=1, axis=1, p=power)
        agrees("GlobalLpPool", x, opset=2, p=power)
    agrees("GlobalLpPool", array(2, 3, 7), opset=2, p=3)
    agrees("MeanVarianceNormalization", x, opset=9)
    agrees("MeanVarianceNormalization", x, opset=13, axes=[1, 3])


@pytest.mark.parametrize("dtype", ["u1", "i1"])
def test_quantization(dtype: str) -> None:
    x, zero, zeros = 40 * array(2, 3, 4), np.array(3, dtype), np.array([3, 0, 100], dtype)
    scales = floats(0.5, 0.25, 2)
    agrees("QuantizeLinear", x, np.array(0.5, "f4"), zero, opset=10)
    agrees("QuantizeLinear", x, scales, zeros, opset=13, axis=1)
    quantized = np.arange(-12, 12).reshape(2, 3, 4).astype(dtype)
    agrees("DequantizeLinear", quantized, np.array(0.5, "f4"), zero, opset=10)
    agrees("DequantizeLinear", quantized, scales, zeros, opset=13, axis=-2)


def test_integer_layers() -> None:
    rng = np.random.default_rng(0)
    x, weight = rng.integers(0, 255, (1, 2, 6, 6)).astype("u1"), rng.integers(0, 255, (4, 2, 3, 3)).astype("u1")
    agrees("DynamicQuantizeLinear", array(3, 4), opset=11, n_outputs=3)
    agrees("ConvInteger", x, weight, np.array(7, "u1"), np.array(9, "u1"), opset=10, pads=[1, 1, 1, 1])
    parameters = (floats(0.02)[0:1].reshape(()), np.array(7, "u1"))
    scale = np.array(0.5, "f4")
    operands = (x, *parameters, weight, *parameters, scale, np.array(100, "u1"), np.arange(4, dtype="i4"))
    agrees("QLinearConv", *operands, opset=10, strides=[2, 1])
    a, b = rng.integers(0, 255, (2, 3, 4)).astype("u1"), rng.integers(0, 255, (4, 5)).astype("u1")
    agrees("MatMulInteger", a, b, np.array(7, "u1"), np.array(9, "u1"), opset=10)
    agrees("QLinearMatMul", a, *parameters, b, *parameters, scale, np.array(100, "u1"), opset=10)


@pytest.mark.parametrize("ratio", [0, 2])
@pytest.mark.parametrize("opset", [10, 16])
def test_roi_align(opset: int, ratio: int) -> None:
    rois = np.array([[0, 0, 5, 6], [1.3, 2.1, 6.4, 4.2], [-3, -2, 11, 13], [2, 2, 2.3, 2.3]], "f4")
    operands = (array(2, 3, 8, 7), rois, np.array([0, 1, 1, 0]))
    settings: dict[str, Any] = {"output_height": 3, "output_width": 2, "spatial_scale": 0.9, "sampling_ratio": ratio}
    agrees("RoiAlign", *operands, opset=opset, **settings)
    if opset == 16:
        agrees("RoiAlign", *operands, opset=16, coordinate_transformation_mode="output_half_pixel", **settings)
        agrees("RoiAlign", *operands, opset=16, mode="max", **settings)


def test_max_roi_pool() -> None:
    rois = np.array([[0, 0, 0, 5, 6], [1, 1.3, 2.1, 6.4, 4.2], [1, -3, -2, 11, 13], [0, 2, 2, 2.3, 2.3]], "f4")
    agrees("MaxRoiPool", array(2, 3, 8, 7), rois, opset=7, pooled_shape=[3, 2], spatial_scale=0.9)
    agrees("MaxRoiPool", array(2, 3, 8, 7), rois, opset=7, pooled_shape=[5, 4])


@pytest.mark.parametrize("corners", [0, 1])
@pytest.mark.parametrize("padding", ["zeros", "border", "reflection"])
def test_grid_sample(padding: str, corners: int) -> None:
    grid = 1.2 * np.tanh(array(2, 4, 5, 2, seed=1))
    for mode in ("bilinear", "nearest", "bicubic"):
        operands = (array(2, 3, 6, 7), grid)
        agrees("GridSample", *operands, opset=16, mode=mode, padding_mode=padding, align_corners=corners)


DIFFERENTIABLE: list[tuple[str, list[Any], int, dict[str, Any]]] = [
    ("GatherElements", [(3, 3), INDICES], 18, {"axis": 1}),
    ("GatherND", [(2, 3, 4), np.array([[[1], [-1]], [[0], [2]]])], 18, {"batch_dims": 1}),
    ("ScatterElements", [(3, 3), INDICES, (2, 3)], 18, {"axis": 1, "reduction": "add"}),
    ("ScatterElements", [(3, 3), np.array([[0, 2, 1]]), (1, 3)], 18, {"axis": 1}),
    ("ScatterND", [(2, 3, 4), np.array([[1, 2], [0, 0]]), (2, 4)], 18, {}),
    ("ScatterND", [(2, 3, 4), np.array([[1, 2], [1, 2]]), (2, 4)], 18, {"reduction": "mul"}),
    ("TensorScatter", [(2, 5, 3), (2, 2, 3), np.array([4, 1])], 24, {"mode": "circular"}),
    ("Compress", [(3, 4), np.array([True, False, True])], 18, {"axis": 1}),
    ("ReverseSequence", [(4, 2, 3), np.array([3, 2])], 18, {}),
    ("MaxUnpool", [(1, 1, 2, 2), np.array([[[[5, 7], [13, 15]]]])], 18, {"kernel_shape": [2, 2], "strides": [2, 2]}),
    ("TopK", [(3, 5), np.array([2])], 18, {}),
    ("Unique", [(4,)], 18, {}),
    ("CumSum", [(3, 4), np.array(1)], 18, {"exclusive": 1, "reverse": 1}),
    ("CumProd", [(3, 4), np.array(0)], 26, {}),
    ("Trilu", [(3, 4)], 18, {}),
    ("Swish", [(5,)], 24, {"alpha": 0.5}),
    ("Shrink", [(5,)], 18, {"bias": 0.2}),
    ("RMSNormalization", [(2, 3, 4), (4,)], 23, {"stash_type": 11}),
    ("MeanVarianceNormalization", [(2, 3, 2, 2)], 18, {}),
    ("LpNormalization", [(2, 3)], 18, {"p": 1}),
    ("GlobalLpPool", [(2, 3, 4)], 18, {}),
    ("Attention", [(1, 2, 3, 4), (1, 1, 5, 4), (1, 1, 5, 3)], 24, {"is_causal": 1}),
    ("Attention", [(1, 2, 3, 4), (1, 2, 5, 4), (1, 2, 5, 3), (3, 5)], 24, {"softcap": 2.0}),
    ("RotaryEmbedding", [(1, 2, 3, 4), (5, 2), (5, 2), np.array([[4, 0, 1]])], 23, {}),
    ("GridSample", [(1, 2, 3, 4), (1, 2, 2, 2)], 20, {}),
    ("AffineGrid", [(2, 2, 3), np.array([2, 3, 3, 4])], 20, {}),
    (
        "DeformConv",
        [(1, 4, 4, 4), (2, 2, 2, 2), (1, 16, 3, 3), (2,), (1, 8, 3, 3)],
        19,
        {"group": 2, "offset_group": 2},
    ),
    ("RoiAlign", [(1, 2, 5, 5), np.array([[0.1, 0.2, 3.3, 4.1]]), np.array([0])], 16, {"output_width": 2}),
    ("Col2Im", [(1, 8, 9), np.array([4, 4]), np.array([2, 2])], 18, {}),
    ("CenterCropPad", [(3, 4), np.array([5, 2])], 18, {}),
    ("DFT", [(2, 6, 1)], 20, {"onesided": 1}),
    ("Det", [(2, 3, 3)], 18, {}),
    ("NegativeLogLikelihoodLoss", [(3, 4), np.array([1, 0, 3]), (4,)], 18, {"ignore_index": 0}),
    ("SoftmaxCrossEntropyLoss", [(3, 4, 2), np.array([[1, 0], [3, 3], [2, 1]])], 18, {"reduction": "sum"}),
]


@pytest.mark.parametrize(
    ("op_type", "operands", "opset", "attributes"), DIFFERENTIABLE, ids=[row[0] for row in DIFFERENTIABLE]
)
def test_gradients_are_right(op_type: str, operands: list[Any], opset: int, attributes: dict[str, Any]) -> None:
    """A shape stands for random numbers, an array for itself."""
    values = [
        torch.from_numpy(array(*operand, seed=seed, dtype="f8")).requires_grad_()
        if isinstance(operand, tuple)
        else torch.from_numpy(operand)
        for seed, operand in enumerate(operands)
    ]
    if op_type == "NegativeLogLikelihoodLoss":
        values[2] = values[2].detach().abs()
    node = helper.make_node(op_type, [f"x{number}" for number in range(len(values))], ["y"], **attributes)
    kernel = build(OpSpec.from_node(node, opset))

    def first(*inputs: torch.Tensor) -> torch.Tensor:
        made = kernel(*inputs)
        return made if isinstance(made, torch.Tensor) else made[0]

    assert torch.autograd.gradcheck(first, values)


def test_rounding_has_no_gradient() -> None:
    node = helper.make_node("QuantizeLinear", ["x", "s"], ["y"])
    y = build(OpSpec.from_node(node, 21))(torch.ones(3, requires_grad=True), torch.tensor(0.5))
    assert isinstance(y, torch.Tensor)
    assert not y.requires_grad


@pytest.mark.parametrize(
    ("op_type", "operands", "attributes"),
    [
        ("GatherElements", [(3, 3), INDICES], {}),
        ("GatherND", [(3, 3), INDICES[:, :1]], {}),
        ("ScatterElements", [(3, 3), INDICES, np.ones((2, 3), "f4")], {"reduction": "add"}),
        ("ScatterND", [(3, 3), INDICES[:, :1], np.ones((2, 3), "f4")], {}),
        ("ReverseSequence", [(4, 2, 3), np.array([3, 2])], {}),
        ("OneHot", [INDICES, np.array(4), (2,)], {}),
        ("DequantizeLinear", [np.array([3, -4], "i1"), ()], {}),
        ("ConvInteger", [(1, 1, 3, 3), np.ones((1, 1, 2, 2), "u1")], {}),
        ("LSTM", [(3, 2, 4), (1, 8, 4), (1, 8, 2), None, np.array([3, 1], "i4"), np.zeros((1, 2, 2), "f4")], {}),
        ("NegativeLogLikelihoodLoss", [(3, 4), np.array([1, 0, 3])], {"reduction": "none"}),
        ("RotaryEmbedding", [(1, 2, 3, 4), (5, 2), (5, 2), np.array([[4, 0, 1]])], {}),
        ("Resize", [(1, 2, 4, 4), None, np.array([1, 1, 1.5, 1.5], "f4")], {"mode": "linear", "antialias": 1}),
    ],
)
def test_integers_on_the_cpu_follow_the_tensor(op_type: str, operands: list[Any], attributes: dict[str, Any]) -> None:
    """The device without data stands for an accelerator; a shape stands for a tensor there."""
    values = [
        torch.ones(value, device="meta") if isinstance(value, tuple) else None if value is None else as_tensor(value)
        for value in operands
    ]
    names = ["" if value is None else f"x{number}" for number, value in enumerate(values)]
    result = build(OpSpec.from_node(helper.make_node(op_type, names, ["y"], **attributes), 23))(*values)
    assert isinstance(result, torch.Tensor)
    assert result.device.type == "meta"


def test_bfloat16_constants() -> None:
    value = helper.make_tensor("value", 16, [2], [1.5, -2.0])
    y = build(OpSpec.from_node(helper.make_node("Constant", [], ["y"], value=value), 23))()
    torch.testing.assert_close(y, torch.tensor([1.5, -2.0], dtype=torch.bfloat16))


def test_unsigned_integers_beyond_int64_are_refused() -> None:
    kernel = build(OpSpec.from_node(helper.make_node("Add", ["a", "b"], ["y"]), 14))
    small, large = (torch.tensor([value], dtype=torch.uint64) for value in (3, 2**63))
    assert kernel(small, small).tolist() == [6]  # type: ignore[union-attr]
    with pytest.raises(OverflowError):
        kernel(small, large)


def test_unknown_reductions_are_refused() -> None:
    node = helper.make_node("ScatterND", ["x", "i", "u"], ["y"], reduction="xor")
    with pytest.raises(UnsupportedOpError, match="reduction 'xor'"):
        build(OpSpec.from_node(node, 18))
