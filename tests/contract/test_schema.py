"""What all payloads have in common."""

import json
import math
from collections import OrderedDict
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from natonnx.cli.options import print_json
from natonnx.contract.schema import finite, to_json

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


def test_json_is_what_the_library_writes() -> None:
    value = {"a": [], "b": {}, 'é\n"': [1, -2.5, 1e30, True, None, {"c": ("x", [0.1, False])}], "d": float("nan")}
    for ascii_only in (False, True):
        expected = json.dumps({**value, "d": None}, indent=2, ensure_ascii=ascii_only)
        assert to_json(value, ascii_only=ascii_only) == expected
    with pytest.raises(TypeError, match="set is no JSON"):
        to_json({"a": {1}})
