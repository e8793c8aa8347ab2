"""Resize and Upsample against onnxruntime, and against torch's own interpolation."""

from __future__ import annotations

from itertools import product
from typing import Any

import numpy as np
import pytest
import torch
from onnx import helper
from torch.nn import functional

from natonnx.supernet.ops import OpSpec, UnsupportedOpError, build
from tests.supernet.oracle import agrees, array

SCALES = [(2, 2), (2, 3), (1.5, 2.5), (0.5, 0.5), (0.6, 0.7), (0.8, 1.3), (1 / 3, 2 / 3), (0.4, 0.25)]
SIZES = [(10, 12), (3, 3), (7, 9), (1, 1), (2, 11)]
COORDINATES = ["half_pixel", "pytorch_half_pixel", "align_corners", "asymmetric"]
ROUNDINGS = ["round_prefer_floor", "round_prefer_ceil", "floor", "ceil"]
X = array(1, 2, 5, 6)


def floats(*values: float) -> np.ndarray:
    return np.array(values, "f4")


@pytest.mark.parametrize("mode", ["nearest", "linear"])
def test_old_forms(mode: str) -> None:
    for pair in SCALES:
        agrees("Resize", X, floats(1, 1, *pair), opset=10, mode=mode)
        if min(pair) >= 1:
            agrees("Upsample", X, opset=7, mode=mode, scales=[1.0, 1.0, *map(float, pair)])
            agrees("Upsample", X, floats(1, 1, *pair), opset=9, mode=mode)


@pytest.mark.parametrize("opset", [11, 13, 18, 19])
@pytest.mark.parametrize("coordinates", COORDINATES)
def test_nearest(coordinates: str, opset: int) -> None:
    for rounding in ROUNDINGS:
        settings: dict[str, Any] = {
            "opset": opset,
            "coordinate_transformation_mode": coordinates,
            "nearest_mode": rounding,
        }
        for pair in SCALES:
            agrees("Resize", X, floats(), floats(1, 1, *pair), **settings)
        for pair in SIZES:
            agrees("Resize", X, floats(), *sizes_operands(opset, pair), **settings)


@pytest.mark.parametrize("opset", [11, 13, 19])
@pytest.mark.parametrize(("mode", "exclude"), [("linear", 0), ("cubic", 0), ("cubic", 1)])
@pytest.mark.parametrize("coordinates", COORDINATES)
def test_weighted(coordinates: str, mode: str, exclude: int, opset: int) -> None:
    settings: dict[str, Any] = {
        "opset": opset,
        "coordinate_transformation_mode": coordinates,
        "mode": mode,
        "exclude_outside": exclude,
    }
    for pair in SCALES:
        agrees("Resize", X, floats(), floats(1, 1, *pair), **settings)
    for pair in SIZES:
        agrees("Resize", X, floats(), *sizes_operands(opset, pair), **settings)


def sizes_operands(opset: int, pair: tuple[int, int]) -> list[np.ndarray | None]:
    """Return absent scales, which opset 11 spells as an empty tensor, and sizes."""
    return [floats() if opset == 11 else None, np.array([1, 2, *pair])]


@pytest.mark.parametrize(("mode", "exclude"), [("linear", 0), ("linear", 1), ("cubic", 0), ("cubic", 1)])
def test_antialias(mode: str, exclude: int) -> None:
    for pair in SCALES:
        agrees("Resize", X, None, floats(1, 1, *pair), opset=18, mode=mode, antialias=1, exclude_outside=exclude)


@pytest.mark.parametrize("mode", ["nearest", "linear", "cubic"])
def test_cropped_region(mode: str) -> None:
    region = floats(0, 0, 0.1, 0.25, 1, 1, 0.9, 1.2)
    settings: dict[str, Any] = {"mode": mode, "coordinate_transformation_mode": "tf_crop_and_resize"}
    for opset, pair in product((11, 19), [(3, 3), (7, 9), (2, 11)]):
        scales, sizes = sizes_operands(opset, pair)
        agrees("Resize", X, region, scales, sizes, opset=opset, extrapolation_value=3.0, **settings)


def test_axes_and_aspect_ratio() -> None:
    for axes in ([3, 2], [-1, -2]):
        agrees("Resize", X, None, floats(2, 0.5), opset=18, mode="linear", axes=axes)
    for policy in ("not_larger", "not_smaller"):
        settings: dict[str, Any] = {"mode": "linear", "axes": [2, 3], "keep_aspect_ratio_policy": policy}
        agrees("Resize", X, None, None, np.array([7, 9]), opset=18, **settings)


@pytest.mark.parametrize("mode", ["nearest", "linear"])
def test_other_ranks(mode: str) -> None:
    agrees("Resize", array(2, 3, 7), None, floats(1, 1, 1.5), opset=13, mode=mode)
    agrees("Resize", array(1, 2, 4, 5, 6), None, floats(1, 1, 2, 0.5, 1.5), opset=13, mode=mode)
    agrees("Resize", array(4, 3), None, floats(2, 1.5), opset=13, mode=mode)


@pytest.mark.parametrize(
    "attributes",
    [
        {"mode": "nearest", "coordinate_transformation_mode": "asymmetric", "nearest_mode": "floor"},
        {"mode": "linear"},
        {"mode": "linear", "coordinate_transformation_mode": "align_corners"},
        {"mode": "cubic"},
        {"mode": "cubic", "coordinate_transformation_mode": "asymmetric"},
        {"mode": "linear", "antialias": 1},
    ],
)
def test_gradients_are_right(attributes: dict[str, Any]) -> None:
    """By torch's kernels and by matrices; whole scales and others."""
    kernel = build(OpSpec.from_node(helper.make_node("Resize", ["x", "", "s"], ["y"], **attributes), 18))
    x = torch.from_numpy(array(1, 2, 3, 4, dtype="f8")).requires_grad_()
    for pair in ((2, 2), (1.5, 0.8)):
        scales = torch.tensor([1, 1, *pair])
        assert torch.autograd.gradcheck(lambda value, scales=scales: kernel(value, None, scales), [x])


def test_the_memory_format_survives() -> None:
    kernel = build(OpSpec.from_node(helper.make_node("Resize", ["x", "", "s"], ["y"], mode="linear"), 18))
    x = torch.from_numpy(X).contiguous(memory_format=torch.channels_last)
    y = kernel(x, None, torch.tensor([1.0, 1.0, 2.0, 2.0]))
    assert isinstance(y, torch.Tensor)
    assert y.is_contiguous(memory_format=torch.channels_last)
    torch.testing.assert_close(y, functional.interpolate(x, scale_factor=2, mode="bilinear"))


@pytest.mark.parametrize(
    "attributes",
    [
        {"mode": "lanczos"},
        {"coordinate_transformation_mode": "polar"},
        {"nearest_mode": "random"},
        {"keep_aspect_ratio_policy": "bend"},
    ],
)
def test_what_is_undefined_is_refused(attributes: dict[str, Any]) -> None:
    with pytest.raises(UnsupportedOpError, match=next(iter(attributes.values()))):
        build(OpSpec.from_node(helper.make_node("Resize", ["x", "", "s"], ["y"], **attributes), 18))
