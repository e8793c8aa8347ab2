"""The gradients of the op table against torch's own modules and against finite differences."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from onnx import helper
from torch import nn

from natonnx.supernet.ops import OpSpec, build
from tests.supernet.oracle import array, assert_same_gradients, leaf


def batch_norm_kernel(opset: int = 15, **attributes: Any) -> Any:
    node = helper.make_node("BatchNormalization", list("xsbmv"), ["y"], name="norm", **attributes)
    return build(OpSpec.from_node(node, opset))


@pytest.mark.parametrize("momentum", [None, 0.25])
@pytest.mark.parametrize("shape", [(8, 3), (4, 3, 5), (4, 3, 5, 6)])
def test_batch_normalization_trains_like_torch(shape: tuple[int, ...], momentum: float | None) -> None:
    """One minus ONNX's momentum is torch's; statistics move in place, and only in training."""
    native = {2: nn.BatchNorm1d, 3: nn.BatchNorm1d, 4: nn.BatchNorm2d}[len(shape)](
        3, eps=1e-3, momentum=momentum or 0.2
    )
    nn.init.normal_(native.weight)
    nn.init.normal_(native.bias)
    scale, bias = (leaf(parameter) for parameter in (native.weight, native.bias))
    mean, variance = torch.zeros(3), torch.ones(3)
    kernel = batch_norm_kernel(momentum=0.8, epsilon=1e-3, training_mode=1)
    for seed, training in enumerate((True, True, False)):
        x = torch.from_numpy(1 + 3 * array(*shape, seed=seed)).requires_grad_()
        own = leaf(x)
        native.train(training)
        expected, result = native(x), kernel(own, scale, bias, mean, variance, training=training, momentum=momentum)
        torch.testing.assert_close(result, expected)
        assert_same_gradients(result, expected, (own, scale, bias), (x, native.weight, native.bias))
        assert native.running_mean is not None
        assert native.running_var is not None
        torch.testing.assert_close(mean, native.running_mean)
        torch.testing.assert_close(variance, native.running_var)


@pytest.mark.parametrize("channels_last", [False, True])
def test_conv_gradients_equal_torch(channels_last: bool) -> None:
    native = nn.Conv2d(4, 6, 3, stride=2, padding=(1, 2), groups=2)
    assert native.bias is not None
    node = helper.make_node("Conv", ["x", "w", "b"], ["y"], strides=[2, 2], pads=[1, 2, 1, 2], group=2)
    x = torch.from_numpy(array(2, 4, 9, 8))
    x = x.contiguous(memory_format=torch.channels_last) if channels_last else x
    ours, theirs = [leaf(x), leaf(native.weight), leaf(native.bias)], [leaf(x), native.weight, native.bias]
    result = build(OpSpec.from_node(node, 17))(*ours)
    expected = native(theirs[0])
    assert isinstance(result, torch.Tensor)
    torch.testing.assert_close(result, expected)
    assert result.is_contiguous(memory_format=torch.channels_last) == channels_last
    assert_same_gradients(result, expected, ours, theirs)


@pytest.mark.parametrize("channels", [3, 12, 16])
def test_gradients_of_a_narrow_strided_point_are_right_in_channels_last(channels: int) -> None:
    """Below 16 channels oneDNN by itself crashes, hangs or errs; it does not compute in double precision."""
    node = helper.make_node("Conv", ["x", "w"], ["y"], strides=[2, 2])
    x = torch.from_numpy(array(48, channels, 48, 48)).contiguous(memory_format=torch.channels_last)
    weight = torch.from_numpy(array(16, channels, 1, 1, seed=1))
    ours, exact = (leaf(x), leaf(weight)), (leaf(x.double()), leaf(weight.double()))
    result = build(OpSpec.from_node(node, 17))(*ours)
    expected = nn.functional.conv2d(*exact, stride=2)
    assert isinstance(result, torch.Tensor)
    found = torch.autograd.grad(result.square().mean(), ours)
    wanted = torch.autograd.grad(expected.square().mean(), exact)
    torch.testing.assert_close(result.double(), expected, rtol=1e-4, atol=1e-4)
    for one, other in zip(found, wanted, strict=True):
        torch.testing.assert_close(one.double(), other, rtol=1e-4, atol=1e-6)


def test_gemm_gradients_equal_torch() -> None:
    native = nn.Linear(5, 3)
    node = helper.make_node("Gemm", ["x", "w", "b"], ["y"], transB=1)
    x = torch.from_numpy(array(4, 5))
    ours, theirs = [leaf(x), leaf(native.weight), leaf(native.bias)], [leaf(x), native.weight, native.bias]
    result, expected = build(OpSpec.from_node(node, 17))(*ours), native(theirs[0])
    assert isinstance(result, torch.Tensor)
    torch.testing.assert_close(result, expected)
    assert_same_gradients(result, expected, ours, theirs)


DIFFERENTIABLE = [
    ("AveragePool", [(1, 2, 5, 6)], {"kernel_shape": [3, 2], "pads": [0, 0, 1, 1]}),
    ("MaxPool", [(1, 2, 5, 6)], {"kernel_shape": [3, 2], "auto_pad": "SAME_LOWER"}),
    ("ConvTranspose", [(1, 2, 3, 3), (2, 2, 3, 3), (2,)], {"strides": [2, 2], "pads": [0, 1, 1, 0]}),
    ("PRelu", [(2, 3, 4), (3, 1)], {}),
    ("LRN", [(1, 5, 2, 2)], {"size": 3}),
    ("LayerNormalization", [(2, 3, 4), (4,), (4,)], {}),
    ("GroupNormalization", [(2, 4, 3), (2,), (2,)], {"num_groups": 2}),
    ("InstanceNormalization", [(2, 3, 4), (3,), (3,)], {}),
    ("HardSigmoid", [(5,)], {}),
    ("Selu", [(5,)], {"gamma": 2.0}),
    ("Softmax", [(2, 3)], {}),
    ("Sum", [(2, 3), (3,), (1,)], {}),
    ("ReduceL2", [(2, 3)], {"keepdims": 0}),
    ("DepthToSpace", [(1, 4, 2, 2)], {"blocksize": 2}),
    ("Einsum", [(2, 3), (3, 4)], {"equation": "ij,jk->ik"}),
]


@pytest.mark.parametrize(("op_type", "shapes", "attributes"), DIFFERENTIABLE, ids=[row[0] for row in DIFFERENTIABLE])
def test_gradients_are_right(op_type: str, shapes: list[tuple[int, ...]], attributes: dict[str, Any]) -> None:
    inputs = [torch.from_numpy(array(*shape, seed=seed, dtype="f8")) for seed, shape in enumerate(shapes)]
    node = helper.make_node(op_type, [f"x{number}" for number in range(len(inputs))], ["y"], **attributes)
    kernel = build(OpSpec.from_node(node, 18))
    assert torch.autograd.gradcheck(kernel, [value.requires_grad_() for value in inputs])
