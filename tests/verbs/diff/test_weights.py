"""Comparison of constants, against numpy."""

from __future__ import annotations

import tracemalloc
from typing import TYPE_CHECKING, Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from natonnx.verbs.diff.digest import constants, digests
from natonnx.verbs.diff.weights import Constants, compare_weights, distance
from tests import external

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

NAN, INF = float("nan"), float("inf")


def model(**values: NDArray[Any]) -> onnx.ModelProto:
    """One node that reads nothing, and constants."""
    tensors = [numpy_helper.from_array(value, name.replace("_", ".")) for name, value in values.items()]
    nodes = [helper.make_node("Constant", [], ["y"], "Y", value_float=1.0)]
    graph = helper.make_graph(nodes, "g", [], [helper.make_tensor_value_info("y", 1, [])], tensors)
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)


def held(made: onnx.ModelProto, folder: Path | None = None) -> Constants:
    return Constants(constants(made), digests(made, folder, {}).constants, folder)


def compared(before: onnx.ModelProto, after: onnx.ModelProto, **rename: str) -> Any:
    return compare_weights(held(before), held(after), rename)


def random(*shape: int, seed: int = 0) -> NDArray[np.float32]:
    return np.random.default_rng(seed).standard_normal(shape).astype(np.float32)


def test_every_kind_of_change() -> None:
    a, b = random(4, 3), random(4, 3, seed=1)
    before = model(same=a, changed=a, shape=a, dtype=a, old_name=b, gone=random(2))
    after = model(same=a, changed=b, shape=a[:2], dtype=a.astype(np.float16), new_name=b, fresh=random(5))
    found = compared(before, after)
    rows = {row["name"]: row for row in found["changed"]}
    assert rows.keys() == {"changed", "shape", "dtype"}
    assert rows["changed"]["max_abs"] == pytest.approx(np.abs(b - a).max(), rel=1e-6)
    assert rows["changed"]["relative_l2"] == pytest.approx(np.linalg.norm(b - a) / np.linalg.norm(a), rel=1e-6)
    assert rows["shape"]["shape"] == [[4, 3], [2, 3]]
    assert rows["shape"]["max_abs"] is rows["shape"]["relative_l2"] is None
    assert rows["dtype"]["dtype"] == ["float", "float16"]
    assert 0 < rows["dtype"]["max_abs"] < 1e-2
    assert [row["name"] for row in found["changed"]] == ["shape", "changed", "dtype"]  # the largest change first
    assert found["renamed"] == [{"before": "old.name", "after": "new.name"}]
    assert found["removed"] == [{"name": "gone", "dtype": "float", "shape": [2]}]
    assert found["added"] == [{"name": "fresh", "dtype": "float", "shape": [5]}]
    assert found["same"] == 3  # y, same, and the renamed one
    assert found["before"] == {"tensors": 7, "elements": 63}


def test_the_way_in_which_values_are_stored_does_not_matter(tmp_path: Path) -> None:
    value = random(3, 5)
    plain = model(w=value)
    listed = model(w=value)
    listed.graph.initializer[0].CopyFrom(helper.make_tensor("w", TensorProto.FLOAT, [3, 5], value.ravel().tolist()))
    assert listed.graph.initializer[0].float_data
    assert compared(plain, listed)["same"] == 2
    external.save(plain, tmp_path / "m.onnx")
    outside = onnx.load(tmp_path / "m.onnx", load_external_data=False)
    assert outside.graph.initializer[0].external_data
    assert compare_weights(held(plain), held(outside, tmp_path), {})["same"] == 2
    node = model()
    node.graph.node.insert(0, helper.make_node("Constant", [], ["w"], value=numpy_helper.from_array(value)))
    assert compared(plain, node)["same"] == 2


def test_names_that_are_known_to_differ() -> None:
    a, b = random(3), random(3, seed=1)
    found = compared(model(a=a, b=a), model(b=b, c=a), b="a", c="b")
    assert [row["name"] for row in found["changed"]] == ["a"]
    assert found["renamed"] == [{"before": "a", "after": "b"}, {"before": "b", "after": "c"}]
    assert not found["removed"]
    assert not found["added"]


@pytest.mark.parametrize(
    ("old", "new", "largest", "relative"),
    [
        ([0.0, 0.0], [3.0, 4.0], 4.0, 5.0),
        ([3.0, 4.0], [0.0, 0.0], 4.0, 1.0),
        ([1.0, NAN, INF], [2.0, NAN, INF], 1.0, 1.0),
        ([1.0, 2.0], [1.0, NAN], INF, INF),
        ([1.0, INF], [1.0, -INF], INF, INF),
        ([-0.0], [0.0], 0.0, 0.0),
        ([], [], 0.0, 0.0),
        ([1e308], [-1e308], 2e308, INF),
    ],
)
def test_distance(old: list[float], new: list[float], largest: float, relative: float) -> None:
    with np.errstate(over="ignore"):
        found = distance(np.array(old, np.float64), np.array(new, np.float64))
    assert found == (largest, relative)


@pytest.mark.parametrize("dtype", [np.int8, np.int64, np.uint64, np.bool_, np.float16, np.complex64])
def test_distance_of_other_types(dtype: type[np.generic]) -> None:
    old, new = np.array([1, 0, 1]).astype(dtype), np.array([1, 1, 1]).astype(dtype)
    assert distance(old, new) == pytest.approx((1.0, 0.5**0.5))


def test_large_whole_numbers_are_compared_exactly() -> None:
    assert distance(np.array([2**62]), np.array([2**62 + 1]))[0] == 1.0
    found = distance(np.array([2**64 - 1], np.uint64), np.array([2**64 - 2], np.uint64))
    assert found[0] == 1.0


def test_large_data_is_read_in_parts(tmp_path: Path) -> None:
    """Two tensors of 128 MiB in data files that are all holes, but for one number."""
    count, found = 1 << 25, []
    for name in ("before", "after"):
        with (tmp_path / f"{name}.data").open("wb") as file:
            file.truncate(4 * count)
            if name == "after":
                file.seek(4 * (count - 1))
                file.write(np.float32(3).tobytes())
        made = model()
        reference = TensorProto(name="w", dims=[count], data_type=TensorProto.FLOAT)
        reference.data_location = TensorProto.EXTERNAL
        reference.external_data.add(key="location", value=f"{name}.data")
        made.graph.initializer.append(reference)
        found.append(made)
    tracemalloc.start()
    rows = compare_weights(held(found[0], tmp_path), held(found[1], tmp_path), {})
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 128 << 20
    assert [(row["name"], row["max_abs"], row["relative_l2"]) for row in rows["changed"]] == [("w", 3.0, 3.0)]


def test_texts_have_no_distance() -> None:
    before, after = (model(w=np.array(["a", text], object)) for text in "bc")
    assert compared(before, before)["same"] == 2
    (row,) = compared(before, after)["changed"]
    assert row["max_abs"] is None


def test_chunks_do_not_matter(monkeypatch: pytest.MonkeyPatch) -> None:
    old, new = random(1000), random(1000, seed=1)
    whole = distance(old, new)
    monkeypatch.setattr("natonnx.verbs.diff.weights._CHUNK", 7)
    assert distance(old, new) == pytest.approx(whole, rel=1e-12)
    one = digests(model(w=old), None, {}).constants["w"]
    monkeypatch.setattr("natonnx.verbs.diff.digest._CHUNK", 12)
    assert digests(model(w=old), None, {}).constants["w"] == one
    assert digests(model(w=new), None, {}).constants["w"] != one
