"""Random inputs, and which models take those of another."""

from collections.abc import Mapping, Sequence

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper

from natonnx.bench import check_inputs, random_inputs
from natonnx.errors import InputError

Spec = tuple[int, Sequence[int | str | None]]


def model(**inputs: Spec) -> onnx.ModelProto:
    infos = [helper.make_tensor_value_info(name, kind, shape) for name, (kind, shape) in inputs.items()]
    return helper.make_model(helper.make_graph([], "g", infos, []))


TEXT: dict[str, Spec] = {"ids": (TensorProto.INT64, ["n", "length"]), "mask": (TensorProto.BOOL, ["n", "length"])}
IMAGE: dict[str, Spec] = {"x": (TensorProto.FLOAT, ["n", 3, 8, 8])}


def shapes(inputs: Mapping[str, np.ndarray]) -> dict[str, tuple[int, ...]]:
    return {name: array.shape for name, array in inputs.items()}


def test_values_and_types() -> None:
    made = random_inputs(model(**TEXT, half=(TensorProto.FLOAT16, [50])), "m", input_shapes={"ids": (4, 99)})
    assert shapes(made) == {"ids": (4, 99), "mask": (4, 99), "half": (50,)}
    assert [array.dtype for array in made.values()] == [np.int64, np.bool_, np.float16]
    assert set(np.unique(made["ids"])) == {0, 1}
    assert 0.5 < made["half"].astype(float).std() < 1.5


def test_the_seed_and_the_name_choose_the_values() -> None:
    double = model(x=(TensorProto.FLOAT, [1, 5]), y=(TensorProto.FLOAT, [1, 5]))
    one, same, other = (random_inputs(double, "m", seed=seed) for seed in (0, 0, 1))
    np.testing.assert_array_equal(one["x"], same["x"])
    assert not np.array_equal(one["x"], other["x"])
    assert not np.array_equal(one["x"], one["y"])


@pytest.mark.parametrize(
    ("given", "batch", "expected"),
    [({}, None, 1), ({}, 4, 4), ({"x": (2, 3, 8, 8)}, None, 2), ({"x": (2, 3, 8, 8)}, 4, 4)],
)
def test_batch(given: dict[str, Sequence[int]], batch: int | None, expected: int) -> None:
    assert random_inputs(model(**IMAGE), "m", input_shapes=given, batch=batch)["x"].shape == (expected, 3, 8, 8)


def test_an_input_without_a_shape_takes_the_given_one() -> None:
    shapeless = model(**IMAGE)
    shapeless.graph.input[0].type.tensor_type.ClearField("shape")
    assert random_inputs(shapeless, "m", input_shapes={"x": (2, 3, 8, 8)})["x"].shape == (2, 3, 8, 8)
    with pytest.raises(InputError, match=r"^m: input 'x' has no shape in the file; give --input-shape x:1,\.\.\.$"):
        random_inputs(shapeless, "m")
    check_inputs(shapeless, "m", random_inputs(model(**IMAGE), "other"), "other")


def test_batch_behind_the_layers_and_a_scalar() -> None:
    state: dict[str, Spec] = {
        "x": (TensorProto.FLOAT, ["n", 16]),
        "h": (TensorProto.FLOAT, [2, "n", 12]),
        "fixed": (TensorProto.FLOAT, [5]),
        "rate": (TensorProto.INT64, []),
    }
    axes = {"x": 0, "h": 1, "fixed": None, "rate": None}
    made = random_inputs(model(**state), "m", batch=4, axes=axes)
    assert shapes(made) == {"x": (4, 16), "h": (2, 4, 12), "fixed": (5,), "rate": ()}
    assert shapes(random_inputs(model(**state), "m", axes=axes))["h"] == (2, 1, 12)
    with pytest.raises(InputError, match=r"m: --batch 4: the batch of input 'h' is fixed \(2\)"):
        random_inputs(model(**state), "m", batch=4, axes={**axes, "h": 0})


@pytest.mark.parametrize(
    ("inputs", "options", "says"),
    [
        (TEXT, {}, "input 'ids' has open sizes [n, length]; give --input-shape"),
        (IMAGE, {"input_shapes": {"y": (1, 3, 8, 8)}}, "no input 'y'"),
        (IMAGE, {"input_shapes": {"x": (1, 3, 8)}}, "4 axes, 3 sizes"),
        (IMAGE, {"input_shapes": {"x": (1, 3, 8, 9)}}, "axis 3 of input 'x' is 8 in the file"),
        ({"x": (TensorProto.FLOAT, [2, 3])}, {"batch": 4}, "--batch 4: the batch of input 'x' is fixed (2)"),
        ({"x": (TensorProto.STRING, [2])}, {}, "no random values"),
        ({"x": (TensorProto.BFLOAT16, [2])}, {}, "no random values"),
    ],
)
def test_bad_inputs(inputs: dict[str, Spec], options: dict[str, object], says: str) -> None:
    with pytest.raises(InputError) as refused:
        random_inputs(model(**inputs), "m.onnx", **options)  # type: ignore[arg-type]
    assert says in str(refused.value)
    assert str(refused.value).startswith("m.onnx: ")


@pytest.mark.parametrize(
    ("other", "says"),
    [
        ({"y": (TensorProto.FLOAT, ["n", 3, 8, 8])}, "its inputs are y, those of a.onnx are x"),
        ({}, "its inputs are none"),
        ({**IMAGE, **TEXT}, "its inputs are x, ids, mask"),
        ({"x": (TensorProto.DOUBLE, ["n", 3, 8, 8])}, "float64"),
        ({"x": (TensorProto.FLOAT, ["n", 3, 8, 9])}, "[n, 3, 8, 9]"),
        ({"x": (TensorProto.FLOAT, [2, 3, 8, 8])}, "[2, 3, 8, 8]"),
        ({"x": (TensorProto.FLOAT, ["n", 3, 8])}, "[n, 3, 8]"),
    ],
)
def test_other_inputs_are_refused(other: dict[str, Spec], says: str) -> None:
    made = random_inputs(model(**IMAGE), "a.onnx")
    with pytest.raises(InputError) as refused:
        check_inputs(model(**other), "b.onnx", made, "a.onnx")
    assert says in str(refused.value)
    assert "\n" not in str(refused.value)


def test_inputs_that_fit() -> None:
    made = random_inputs(model(**IMAGE), "a.onnx")
    check_inputs(model(x=(TensorProto.FLOAT, ["m", "c", 8, None])), "b.onnx", made, "a.onnx")
    check_inputs(model(x=(TensorProto.FLOAT, [1, 3, 8, 8])), "b.onnx", made, "a.onnx")
