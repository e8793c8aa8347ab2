"""The traps of single operators, old forms among them, against onnxruntime."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from tests.supernet.oracle import agrees, array, one_node, reference
from tools.conformance.onnx_cases import interpret

GEOMETRIES = [
    {"kernel_shape": [3, 3], "pads": [0, 0, 1, 1]},
    {"kernel_shape": [3, 2], "pads": [1, 0, 2, 1], "strides": [2, 3]},
    {"kernel_shape": [2, 2], "auto_pad": "SAME_UPPER"},
    {"kernel_shape": [2, 2], "auto_pad": "SAME_LOWER"},
    {"kernel_shape": [3, 4], "auto_pad": "SAME_UPPER", "strides": [2, 2]},
    {"kernel_shape": [3, 4], "auto_pad": "SAME_LOWER", "strides": [2, 2]},
    {"kernel_shape": [3, 3], "auto_pad": "VALID", "strides": [2, 2]},
    {"kernel_shape": [3, 3], "pads": [2, 2, 2, 2]},
    {"kernel_shape": [4], "pads": [1, 2], "strides": [3]},
    {"kernel_shape": [2, 3, 2], "pads": [0, 1, 0, 1, 1, 1]},
]
SIZES = (7, 10, 6)


@pytest.mark.parametrize("count_include_pad", [0, 1])
@pytest.mark.parametrize("ceil_mode", [0, 1])
@pytest.mark.parametrize("geometry", GEOMETRIES)
def test_average_pool(geometry: dict[str, Any], ceil_mode: int, count_include_pad: int) -> None:
    x = array(2, 3, *SIZES[: len(geometry["kernel_shape"])])
    agrees("AveragePool", x, opset=19, ceil_mode=ceil_mode, count_include_pad=count_include_pad, **geometry)


@pytest.mark.parametrize("n_outputs", [1, 2])
@pytest.mark.parametrize("ceil_mode", [0, 1])
@pytest.mark.parametrize("geometry", GEOMETRIES)
def test_max_pool(geometry: dict[str, Any], ceil_mode: int, n_outputs: int) -> None:
    x = array(2, 3, *SIZES[: len(geometry["kernel_shape"])])
    agrees("MaxPool", x, opset=12, n_outputs=n_outputs, ceil_mode=ceil_mode, **geometry)


@pytest.mark.parametrize("dilations", [1, 2])
@pytest.mark.parametrize("geometry", GEOMETRIES)
def test_conv(geometry: dict[str, Any], dilations: int) -> None:
    kernel = geometry["kernel_shape"]
    if dilations > 1 and geometry.get("auto_pad", "").startswith("SAME"):
        dilations = 1  # onnxruntime refuses both at once
    x, weight = array(2, 4, *SIZES[: len(kernel)]), array(6, 2, *kernel, seed=1)
    agrees("Conv", x, weight, array(6, seed=2), group=2, dilations=[dilations] * len(kernel), **geometry)


def test_conv_reads_the_kernel_size_from_the_weight() -> None:
    agrees("Conv", array(1, 2, 5, 5), array(3, 2, 3, 3), pads=[1, 1, 1, 1])


@pytest.mark.parametrize(
    "attributes",
    [
        {"strides": [2, 2], "pads": [1, 1, 1, 1], "output_padding": [1, 1]},
        {"strides": [2, 3], "pads": [1, 0, 0, 2]},
        {"strides": [3, 3], "pads": [0, 1, 1, 0], "output_padding": [2, 1]},
        {"strides": [2, 2], "dilations": [2, 1], "group": 2},
        {"strides": [2, 2], "auto_pad": "SAME_UPPER"},
        {"strides": [2, 2], "auto_pad": "SAME_LOWER"},
        {"strides": [2, 2], "auto_pad": "VALID"},
        {"strides": [4, 5], "auto_pad": "SAME_UPPER"},
        {"strides": [2, 2], "output_shape": [10, 8], "output_padding": [1, 1]},
        {"strides": [3, 2], "output_shape": [14, 8]},
        {"strides": [3, 2], "output_shape": [14, 8], "auto_pad": "SAME_UPPER"},
        {"strides": [4, 5], "output_shape": [20, 19]},
    ],
)
def test_conv_transpose(attributes: dict[str, Any]) -> None:
    weight = array(4, 6 // attributes.get("group", 1), 3, 3, seed=1)
    agrees("ConvTranspose", array(2, 4, 5, 4), weight, array(6, seed=2), **attributes)


@pytest.mark.parametrize("opset", [7, 9, 11, 13])
@pytest.mark.parametrize("c_shape", [(), (1,), (5,), (3, 1), (3, 5)])
@pytest.mark.parametrize(("trans_a", "trans_b"), [(0, 0), (0, 1), (1, 0), (1, 1)])
def test_gemm(trans_a: int, trans_b: int, c_shape: tuple[int, ...], opset: int) -> None:
    a, b = array(*(4, 3) if trans_a else (3, 4)), array(*(5, 4) if trans_b else (4, 5), seed=1)
    agrees("Gemm", a, b, array(*c_shape, seed=2), opset=opset, transA=trans_a, transB=trans_b, alpha=0.5, beta=-2.0)


def test_gemm_without_c() -> None:
    agrees("Gemm", array(3, 4), array(4, 5), opset=11, alpha=0.5)


@pytest.mark.parametrize("limits", [(None, None), (-0.5, None), (None, 0.5), (-0.5, 0.5), (0.5, -0.5)])
def test_clip_limits_may_be_absent(limits: tuple[float | None, float | None]) -> None:
    agrees("Clip", array(3, 4), *(None if limit is None else np.array(limit, "f4") for limit in limits))
    if limits != (0.5, -0.5):  # onnxruntime refuses crossed limits before opset 11
        attributes: dict[str, Any] = {
            name: limit for name, limit in zip(("min", "max"), limits, strict=True) if limit is not None
        }
        agrees("Clip", array(3, 4), opset=10, **attributes)


@pytest.mark.parametrize("op_type", ["Softmax", "LogSoftmax"])
@pytest.mark.parametrize("attributes", [{}, {"axis": 0}, {"axis": 2}, {"axis": -2}])
@pytest.mark.parametrize("opset", [11, 12, 13])
def test_softmax_flattens_before_opset_13(op_type: str, attributes: dict[str, int], opset: int) -> None:
    agrees(op_type, array(2, 3, 4, 5), opset=opset, **attributes)


def test_activation_defaults() -> None:
    for op_type in ("HardSigmoid", "LeakyRelu", "Elu", "Selu", "Celu", "ThresholdedRelu"):
        agrees(op_type, 4 * array(50))


@pytest.mark.parametrize("axis", [-4, -2, -1, 0, 2, 4])
def test_flatten(axis: int) -> None:
    agrees("Flatten", array(2, 3, 4, 5), opset=11, axis=axis)


def test_integers_divide_towards_zero() -> None:
    agrees("Div", np.array([-7, 7, -8]), np.array([2, -2, 3]))


@pytest.mark.parametrize("mode", ["constant", "edge", "reflect", "wrap"])
def test_pad(mode: str) -> None:
    pads = np.array([1, 0, 3, 2, 0, 1, 0, 4])
    agrees("Pad", array(2, 3, 5, 6), pads, opset=19, mode=mode)
    agrees("Pad", array(2, 3, 5, 6), np.array([-1, 2, 1, -3]), None, np.array([2, -1]), opset=19, mode=mode)


def test_slice_bounds() -> None:
    x, far = array(5, 6, 7), np.iinfo(np.int64)
    agrees("Slice", x, np.array([-1, 1]), np.array([far.min, far.max]), np.array([0, -1]), np.array([-2, 3]))
    agrees("Slice", x, opset=9, starts=[1, -3], ends=[100, -1], axes=[1, 2])


def test_gather_takes_negative_indices() -> None:
    for axis in (0, 1, -1):
        agrees("Gather", array(3, 4), np.array([[0, -1], [-2, 1]]), axis=axis)
        agrees("Gather", array(3, 4), np.array(-1), axis=axis)


def test_expand_leaves_a_size_where_the_shape_says_one() -> None:
    agrees("Expand", array(3, 1, 4), np.array([1, 2, 1]))
    agrees("Expand", array(3, 1, 4), np.array([1]))


@pytest.mark.parametrize("opset", [11, 13, 18])
@pytest.mark.parametrize("axes", [None, [-1], [0, 2]])
@pytest.mark.parametrize("op_type", ["ReduceSum", "ReduceMean", "ReduceMax", "ReduceL2"])
def test_reduction_axes_move_from_attribute_to_input(op_type: str, axes: list[int] | None, opset: int) -> None:
    x = array(2, 3, 4)
    if axes is None:
        agrees(op_type, x, opset=opset, keepdims=0)
    elif opset >= (13 if op_type == "ReduceSum" else 18):
        agrees(op_type, x, np.array(axes), opset=opset)
    else:
        agrees(op_type, x, opset=opset, axes=axes)


def test_group_normalization_parameters_are_per_group_before_opset_21() -> None:
    x = array(2, 6, 4, 5)
    scale, bias = array(3, seed=1), array(3, seed=2)
    old = interpret(one_node("GroupNormalization", [x, scale, bias], 18, num_groups=3), [x, scale, bias])[0]
    wide = [x, scale.repeat(2), bias.repeat(2)]
    expected = reference(one_node("GroupNormalization", wide, 21, num_groups=3), wide)[0]
    np.testing.assert_allclose(old.numpy(), expected, rtol=1e-5, atol=1e-5)


def test_instance_normalization_of_single_elements() -> None:
    agrees("InstanceNormalization", array(1, 3, 1, 1), array(3, seed=1), array(3, seed=2))


@pytest.mark.parametrize("size", [3, 5])
def test_lrn(size: int) -> None:
    agrees("LRN", 3 * array(2, 7, 4, 4), size=size, alpha=0.5)


def test_lrn_of_even_size_has_the_odd_neighbour_behind() -> None:  # onnxruntime refuses to load it
    x = array(1, 5, 2, 2)
    model = one_node("LRN", [x], 13, size=4, alpha=0.5, beta=0.75, bias=2.0)
    squares = np.stack([np.square(x[:, max(0, c - 1) : c + 3]).sum(1) for c in range(5)], 1)
    expected = x / (2.0 + 0.5 / 4 * squares) ** 0.75
    np.testing.assert_allclose(interpret(model, [x])[0].numpy(), expected, rtol=1e-5)


def test_batch_normalization_inference_equals_onnxruntime() -> None:
    x, statistics = array(2, 3, 4, 5), [np.abs(array(3, seed=seed)) + 0.1 for seed in range(4)]
    for opset in (7, 9, 14, 15):
        agrees("BatchNormalization", x, *statistics, opset=opset, epsilon=0.01)
