"""Layouts and preprocessing."""

from collections.abc import Callable
from typing import Literal

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from natonnx.data import Preprocessing
from natonnx.data.layout import fit
from natonnx.data.preprocess import preprocess
from tests.data.conftest import images, labels, read

Layout = Literal["NCHW", "NHWC"]
sizes = st.integers(min_value=4, max_value=9)


@settings(deadline=None)
@given(
    count=st.integers(1, 4),
    height=sizes,
    width=sizes,
    channels=st.sampled_from([1, 3]),
    data=st.sampled_from(["NCHW", "NHWC"]),
    model=st.sampled_from(["NCHW", "NHWC"]),
    dynamic=st.booleans(),
)
def test_images_of_either_layout_fit_a_model_of_either(
    count: int, height: int, width: int, channels: int, data: str, model: Layout, dynamic: bool
) -> None:
    chw = images(count, channels, height, width)
    hwc = chw.transpose(0, 2, 3, 1)
    given_images, expected = (chw if data == "NCHW" else hwc), (chw if model == "NCHW" else hwc)
    shape = (None, None, None) if dynamic else expected.shape[1:]
    np.testing.assert_array_equal(fit(given_images, shape, model if dynamic else None, "x"), expected)


@settings(deadline=None)
@given(count=st.integers(1, 4), height=sizes, width=sizes, layout=st.sampled_from(["NCHW", "NHWC", None]))
def test_grey_images_get_a_channel_axis(count: int, height: int, width: int, layout: Layout | None) -> None:
    grey = images(count, height, width)
    np.testing.assert_array_equal(fit(grey, (height, width), layout, "x"), grey)
    if layout != "NHWC":
        np.testing.assert_array_equal(fit(grey, (1, height, None), layout, "x"), grey[:, None])
    if layout != "NCHW":
        np.testing.assert_array_equal(fit(grey, (height, None, 1), layout, "x"), grey[..., None])


def test_values_are_scaled_then_centred_per_channel(save: Callable[..., str]) -> None:
    x = images(50, 4, 5, 3)
    mean, std = (0.49, 0.48, 0.45), (0.25, 0.24, 0.26)
    spec = save(x_train=x[:40], y_train=labels(40), x_val=x[40:], y_val=labels(10))
    for shape, to_model in (((4, 5, 3), (0, 1, 2, 3)), ((3, 4, 5), (0, 3, 1, 2))):
        dataset = read(spec, *shape, mean=mean, std=std)
        expected = ((x / 255 - mean) / std).transpose(to_model)
        assert dataset.train.inputs.flags["C_CONTIGUOUS"]
        assert dataset.train.inputs.dtype == np.float32
        np.testing.assert_allclose(dataset.train.inputs, expected[:40], rtol=1e-5, atol=1e-6)


def test_one_value_serves_every_channel() -> None:
    x = images(5, 3, 4, 4)
    got = preprocess(x, Preprocessing(mean=(0.3,), std=(0.2,)), "x")
    np.testing.assert_allclose(got, (x / 255 - 0.3) / 0.2, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize(("dtype", "scale"), [(np.uint8, 1 / 255), (np.float32, 1), (np.float64, 1), (np.int16, 1)])
def test_only_bytes_are_scaled_by_default(dtype: npt.DTypeLike, scale: float) -> None:
    x = images(5, 3, 4, 4).astype(dtype)
    np.testing.assert_allclose(preprocess(x, Preprocessing(), "x"), x * scale, rtol=1e-6)
    np.testing.assert_allclose(preprocess(x, Preprocessing(scale=2.0), "x"), x * 2.0, rtol=1e-6)


def test_the_source_is_left_alone() -> None:
    x = np.ones((2, 3), np.float32)
    preprocess(x, Preprocessing(mean=(1.0,)), "x")
    assert (x == 1).all()
