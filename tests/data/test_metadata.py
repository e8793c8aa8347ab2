"""What a model says about its data, and what it may not say."""

import pytest

from natonnx.data import Preprocessing, metadata_options
from natonnx.errors import InputError


def test_nothing_said() -> None:
    assert metadata_options({"other": "x"}) == (None, Preprocessing())


def test_everything_said() -> None:
    said = {
        "natonnx.data": "fashion-mnist",
        "natonnx.mean": "0.49,0.48, 0.45",
        "natonnx.std": "0.286",
        "natonnx.scale": "0.5",
        "natonnx.layout": "NHWC",
        "natonnx.augment": "shift",
    }
    expected = Preprocessing(mean=(0.49, 0.48, 0.45), std=(0.286,), scale=0.5, layout="NHWC", augment="shift")
    assert metadata_options(said) == ("fashion-mnist", expected)


@pytest.mark.parametrize("data", ["os:getcwd", "/etc/passwd", "set.npz", "", "cifar"])
def test_a_model_may_name_a_builtin_set_only(data: str) -> None:
    with pytest.raises(InputError, match=r"may name a built-in set only .*pass it by hand with --data"):
        metadata_options({"natonnx.data": data})


@pytest.mark.parametrize(
    ("key", "value", "match"),
    [
        ("mean", "a", "natonnx.mean is 'a': write numbers with commas"),
        ("mean", "", "natonnx.mean is ''"),
        ("std", "0", "natonnx.*: std .* must be positive"),
        ("scale", "1,2", "natonnx.scale has 2 numbers: it must be one"),
        ("layout", "CHWN", "unknown layout"),
        ("augment", "flip", "unknown augmentation"),
    ],
)
def test_unreadable_values(key: str, value: str, match: str) -> None:
    with pytest.raises(InputError, match=match):
        metadata_options({f"natonnx.{key}": value})
