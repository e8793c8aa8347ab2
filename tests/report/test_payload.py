"""JSON payloads."""

import json
import math
from collections import OrderedDict
from typing import Any

import onnx
import pytest
from hypothesis import given
from hypothesis import strategies as st
from onnx import TensorProto, helper

from natonnx.cli.options import print_json
from natonnx.frontend import parse
from natonnx.report.payload import finite, inspection
from tests.cli import tiny

LEAVES = st.none() | st.booleans() | st.integers() | st.floats() | st.text()
PAYLOADS = st.recursive(
    LEAVES, lambda inner: st.lists(inner) | st.tuples(inner, inner) | st.dictionaries(st.text(), inner), max_leaves=20
)


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (math.nan, None),
        (math.inf, None),
        (-math.inf, None),
        (0.5, 0.5),
        (3, 3),
        (True, True),
        ("nan", "nan"),
        ({"a": [1.0, math.nan, {"b": (math.inf,)}]}, {"a": [1.0, None, {"b": [None]}]}),
        (OrderedDict(b=1, a=math.nan), {"b": 1, "a": None}),
    ],
)
def test_finite(value: object, expected: object) -> None:
    assert finite(value) == expected


@given(PAYLOADS)
def test_finite_is_always_json_and_changes_nothing_else(payload: Any) -> None:
    cleaned = finite(payload)
    json.dumps(cleaned, allow_nan=False)
    assert finite(cleaned) == cleaned

    def same(one: Any, other: Any) -> bool:
        if isinstance(one, float) and not math.isfinite(one):
            return other is None
        if isinstance(one, dict):
            return list(one) == list(other) and all(same(one[key], other[key]) for key in one)
        if isinstance(one, (list, tuple)):
            return len(one) == len(other) and all(map(same, one, other))
        return bool(one == other) and type(one) is type(other)

    assert same(payload, cleaned)


def test_print_json(capsys: pytest.CaptureFixture[str]) -> None:
    print_json({"β": [math.nan, 1]})
    stdout, stderr = capsys.readouterr()
    assert stderr == ""
    assert "β" in stdout
    assert json.loads(stdout) == {"β": [None, 1]}


def test_tensors_without_a_size_or_shape_are_null() -> None:
    model = tiny.model()
    dims = model.graph.input[0].type.tensor_type.shape.dim
    dims[2].ClearField("dim_value")
    payload = inspection(parse(model), "somewhere.onnx")
    assert payload["model"]["inputs"] == [
        {"name": "image", "dtype": "float", "shape": ["batch", 1, None, 8], "batch_axis": 0}
    ]
    assert payload["cost"]["madds"] is None
    json.dumps(payload, allow_nan=False)


def test_weights_that_are_inputs_too_are_not_listed() -> None:
    """IR 3 wants every initializer among the inputs."""
    model = tiny.model()
    for tensor in model.graph.initializer:
        model.graph.input.append(helper.make_tensor_value_info(tensor.name, TensorProto.FLOAT, tensor.dims))
    onnx.checker.check_model(model, full_check=True)
    payload = inspection(parse(model), "somewhere.onnx")
    assert [tensor["name"] for tensor in payload["model"]["inputs"]] == ["image"]
