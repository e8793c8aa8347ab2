"""What a convolution may become, and from which weights: against torch's convolutions and numpy's decomposition."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor
from torch.nn import functional

from natonnx.frontend.convolutions import Convolution, Layer, cheaper

RUN = {1: functional.conv1d, 2: functional.conv2d, 3: functional.conv3d}


def same(kernel: int, *, stride: int = 1, groups: int = 1, axes: int = 2) -> Convolution:
    """A convolution with borders that keep the size."""
    pads, ones = (kernel // 2,) * 2 * axes, (1,) * axes
    return Convolution((kernel,) * axes, (stride,) * axes, ones, pads, groups=groups)


def weights(outputs: int, inputs: int, *kernel: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal((outputs, inputs, *kernel)).astype(np.float32)


def convolved(x: Tensor, layer: Layer) -> Tensor:
    """What torch makes of a Conv."""
    given, axes = layer.attributes, x.dim() - 2
    pads = given["pads"]
    border = [size for axis in reversed(range(axes)) for size in (pads[axis], pads[axis + axes])]
    assert layer.weight is not None
    weight = torch.from_numpy(layer.weight)
    strides, dilations = tuple(given["strides"]), tuple(given["dilations"])
    return RUN[axes](functional.pad(x, border), weight, None, strides, 0, dilations, given["group"])


def run(x: Tensor, layers: tuple[Layer, ...]) -> Tensor:
    """What torch makes of layers."""
    for layer in layers:
        if layer.kind == "Conv":
            x = convolved(x, layer)
        else:
            kernel, stride, pads = (layer.attributes[name] for name in ("kernel_shape", "strides", "pads"))
            assert pads[: len(kernel)] == pads[len(kernel) :]
            border = pads[: len(kernel)]
            pooled = functional.max_pool2d(x, kernel, stride, border)
            x = (
                pooled
                if layer.kind == "MaxPool"
                else functional.avg_pool2d(x, kernel, stride, border, count_include_pad=False)
            )
    return x


def test_a_kernel_of_five() -> None:
    found = cheaper(same(5), weights(8, 8, 5, 5))
    assert list(found) == [
        *("conv_3x3", "conv_1x1", "sep_conv_5x5", "dil_conv_3x3", "sep_conv_3x3", "avg_pool_3x3", "max_pool_3x3")
    ]


@pytest.mark.parametrize("groups", [1, 2, 8])
@pytest.mark.parametrize("stride", [1, 2])
def test_a_smaller_kernel_is_the_larger_one_with_zeros_around(groups: int, stride: int) -> None:
    own, weight = same(5, stride=stride, groups=groups), weights(8, 8 // groups, 5, 5)
    x = torch.from_numpy(weights(3, 8, 9, 10, seed=1))
    found = cheaper(own, weight)
    for name, margin in {"conv_3x3": 1, "conv_1x1": 2}.items():
        bordered = np.zeros_like(weight)
        inner = (..., slice(margin, 5 - margin), slice(margin, 5 - margin))
        bordered[inner] = weight[inner]
        expected = functional.conv2d(x, torch.from_numpy(bordered), None, stride, 2, 1, groups)
        torch.testing.assert_close(run(x, found[name]), expected)


@pytest.mark.parametrize("groups", [1, 2])
def test_a_separable_convolution_is_the_nearest(groups: int) -> None:
    """Of each input channel's kernels [outputs, taps] the best matrix of rank 1, by numpy's decomposition."""
    weight = weights(6, 4, 3, 3)
    (by_channel, mixing) = cheaper(same(3, groups=groups), weight)["sep_conv_3x3"]
    assert by_channel.weight is not None
    assert mixing.weight is not None
    of_group = 6 // groups
    for group in range(groups):
        for channel in range(4):
            kernels = weight[group * of_group : (group + 1) * of_group, channel].reshape(of_group, 9)
            mix = mixing.weight[group * of_group : (group + 1) * of_group, channel].reshape(-1)
            made = np.outer(mix, by_channel.weight[group * 4 + channel].reshape(-1))
            left, values, right = np.linalg.svd(kernels.astype(np.float64), full_matrices=False)
            np.testing.assert_allclose(made, values[0] * np.outer(left[:, 0], right[0]), atol=1e-5)


def test_a_weight_of_rank_one_is_separated_exactly() -> None:
    chance = np.random.default_rng(0)
    weight = np.einsum("oi,ikl->oikl", chance.standard_normal((6, 4)), chance.standard_normal((4, 3, 3)))
    x = torch.from_numpy(weights(2, 4, 8, 8)).double()
    layers = cheaper(same(3, stride=2), weight)["sep_conv_3x3"]
    torch.testing.assert_close(run(x, layers), functional.conv2d(x, torch.from_numpy(weight), None, 2, 1))


def test_a_dilated_one_has_every_other_tap() -> None:
    chance = np.random.default_rng(0)
    weight = np.zeros((6, 4, 5, 5))
    weight[..., ::2, ::2] = np.einsum("oi,ikl->oikl", chance.standard_normal((6, 4)), chance.standard_normal((4, 3, 3)))
    x = torch.from_numpy(weights(2, 4, 8, 8)).double()
    layers = cheaper(same(5), weight)["dil_conv_3x3"]
    assert layers[0].attributes["dilations"] == [2, 2]
    torch.testing.assert_close(run(x, layers), functional.conv2d(x, torch.from_numpy(weight), None, 1, 2))


@pytest.mark.parametrize(
    ("own", "weight"),
    [
        (same(1), weights(8, 8, 1, 1)),  # nothing smaller
        (Convolution((2, 2), (2, 2), (1, 1), (0,) * 4, groups=8), weights(8, 1, 2, 2)),  # no centre
        (same(3), np.full((8, 8, 3, 3), np.nan, np.float32)),
    ],
)
def test_there_is_nothing_cheaper(own: Convolution, weight: np.ndarray) -> None:
    assert not {name for name in cheaper(own, weight) if "pool" not in name}


def test_without_a_border_a_kernel_cannot_shrink() -> None:
    own = Convolution((3, 3), (1, 1), (1, 1), (0,) * 4)
    assert list(cheaper(own, weights(8, 8, 3, 3))) == ["sep_conv_3x3", "avg_pool_3x3", "max_pool_3x3"]


def test_a_border_that_onnxruntime_chooses() -> None:
    one, two = (Convolution((3, 3), (s, s), (1, 1), (0,) * 4, "SAME_UPPER") for s in (1, 2))
    assert "conv_1x1" in cheaper(one, weights(8, 8, 3, 3))
    assert "conv_1x1" not in cheaper(two, weights(8, 8, 3, 3))  # its windows begin elsewhere


def test_a_kernel_along_one_axis() -> None:
    own = Convolution((1, 7), (1, 1), (1, 1), (0, 3, 0, 3))
    assert [name for name in cheaper(own, weights(8, 4, 1, 7)) if name.startswith("conv")] == [
        *("conv_1x5", "conv_1x3", "conv_1x1")
    ]


@settings(max_examples=150, deadline=None, derandomize=True, database=None)
@given(st.data())
def test_sizes_stay_and_weights_become_fewer(data: st.DataObject) -> None:
    axes = data.draw(st.integers(1, 3))
    kernel = tuple(data.draw(st.integers(1, 5)) for _ in range(axes))
    own = Convolution(
        kernel,
        tuple(data.draw(st.integers(1, 2)) for _ in range(axes)),
        tuple(data.draw(st.integers(1, 2)) for _ in range(axes)),
        tuple(data.draw(st.integers(0, 3)) for _ in range(2 * axes)),
        groups=(groups := data.draw(st.sampled_from([1, 2, 4]))),
    )
    inputs, outputs = 4 // groups, data.draw(st.sampled_from([4, 8]))
    weight = weights(outputs, inputs, *kernel)
    x = torch.from_numpy(weights(2, 4, *[10] * axes))
    expected = convolved(x, Layer("Conv", own.attributes | {"dilations": own.dilations, "group": groups}, weight))
    for name, layers in cheaper(own, weight).items():
        assert sum(layer.weight.size for layer in layers if layer.weight is not None) < weight.size
        if layers[0].kind == "Conv":
            assert run(x, layers).shape == expected.shape, name
