"""Values are what onnx reads from the same files, and places that onnx refuses are refused in one line."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import ml_dtypes
import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from natonnx.errors import InputError
from natonnx.tensors import (
    all_tensors,
    data_files,
    is_external,
    is_pending,
    light_copy,
    locate,
    read_tensor,
    refer,
    with_values,
)
from tests import external
from tests.rewrite.helpers import arrays, copy

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

DTYPES = (
    *(np.float32, np.float16, np.float64, np.int64, np.int32, np.int8, np.uint8, np.bool_, np.complex64),
    *(ml_dtypes.bfloat16, ml_dtypes.float8_e4m3fn, ml_dtypes.float8_e4m3fnuz, ml_dtypes.int4, ml_dtypes.uint4),
    ml_dtypes.float4_e2m1fn,
)


def stored(value: NDArray[np.generic], folder: Path, offset: int = 0) -> TensorProto:
    """A tensor in a data file, as onnx packs it."""
    whole = numpy_helper.from_array(value)
    (folder / "data").write_bytes(b"." * offset + whole.raw_data + b"...")
    return external.tensor(value, "data", whole.data_type, offset=offset, length=len(whole.raw_data))


@pytest.mark.parametrize("dtype", DTYPES, ids=lambda dtype: np.dtype(dtype).name)
@pytest.mark.parametrize("offset", [0, 64, 3])
@pytest.mark.parametrize("shape", [(2, 3), (5,), (), (0, 4)], ids=str)
def test_values_are_those_that_onnx_reads(tmp_path: Path, dtype: type, offset: int, shape: tuple[int, ...]) -> None:
    value: NDArray[np.generic] = np.asarray(np.random.default_rng(0).integers(0, 2, shape)).astype(dtype)
    tensor = stored(value, tmp_path, offset)
    found = read_tensor(tensor, tmp_path)
    assert (found.dtype, found.shape) == (value.dtype, shape)
    np.testing.assert_array_equal(found, numpy_helper.to_array(tensor, str(tmp_path)))
    np.testing.assert_array_equal(found, value)
    assert found.flags.aligned


def test_writing_to_a_view_does_not_change_the_file(tmp_path: Path) -> None:
    tensor = stored(np.zeros(1000, np.float32), tmp_path)
    before = (tmp_path / "data").read_bytes()
    view = read_tensor(tensor, tmp_path)
    view[:] = 1
    assert (tmp_path / "data").read_bytes() == before
    np.testing.assert_array_equal(read_tensor(tensor, tmp_path), np.zeros(1000))


def test_inline_tensor_needs_no_folder() -> None:
    np.testing.assert_array_equal(read_tensor(numpy_helper.from_array(np.arange(3)), None), np.arange(3))


def test_length_and_offset_may_be_left_out(tmp_path: Path) -> None:
    value = np.arange(5, dtype=np.float32)
    (tmp_path / "data").write_bytes(value.tobytes())
    np.testing.assert_array_equal(read_tensor(external.tensor(value, "data"), tmp_path), value)


# Places


@pytest.mark.parametrize(
    ("entries", "reason"),
    [
        ({"location": ""}, "outside the model's folder"),
        ({"location": "../data"}, "outside the model's folder"),
        ({"location": "sub/../data"}, "outside the model's folder"),
        ({"location": "/etc/passwd"}, "outside the model's folder"),
        ({"location": "none"}, "no data file"),
        ({"location": "sub"}, "no data file"),
        ({"location": "link"}, "is a link"),
        ({"location": "linked/data"}, "is a link"),
        ({"offset": "20"}, "truncated"),
        ({"offset": "-4"}, "do not fit"),
        ({"offset": "four"}, "do not fit"),
        ({"length": "16"}, "do not fit"),
        ({"length": "24"}, "do not fit"),
        ({"length": "-20"}, "do not fit"),
    ],
    ids=str,
)
def test_bad_place_is_refused(tmp_path: Path, entries: dict[str, str], reason: str) -> None:
    (tmp_path / "data").write_bytes(b"." * 30)
    (tmp_path / "sub").mkdir()
    (tmp_path / "sub" / "data").write_bytes(b"." * 30)
    (tmp_path / "link").symlink_to("data")
    (tmp_path / "linked").symlink_to("sub")
    value = np.zeros(5, np.float32)
    locate(external.tensor(value, "data", offset=8, length=20), tmp_path)
    tensor = external.tensor(value, **{"location": "data", **entries})  # type: ignore[arg-type]
    with pytest.raises(InputError, match=reason) as refused:
        read_tensor(tensor, tmp_path)
    assert "\n" not in str(refused.value)


def test_huge_dimensions_take_no_memory(tmp_path: Path) -> None:
    (tmp_path / "data").write_bytes(b"....")
    tensor = TensorProto(
        name="t", dims=[1 << 40, 1 << 20], data_type=TensorProto.FLOAT, data_location=TensorProto.EXTERNAL
    )
    tensor.external_data.add(key="location", value="data")
    with pytest.raises(InputError, match="truncated"):
        read_tensor(tensor, tmp_path)


def test_text_cannot_lie_in_a_data_file(tmp_path: Path) -> None:
    (tmp_path / "data").write_bytes(b"....")
    with pytest.raises(InputError, match="type string"):
        read_tensor(external.tensor(np.zeros(1, np.int8), "data", TensorProto.STRING), tmp_path)


def test_unknown_folder_is_said() -> None:
    with pytest.raises(InputError, match="folder is not known"):
        read_tensor(external.tensor(np.zeros(1, np.int8), "data"), None)


def test_file_that_shrinks_later_is_refused(tmp_path: Path) -> None:
    tensor = stored(np.zeros(1000, np.float32), tmp_path)
    read_tensor(tensor, tmp_path)
    os.truncate(tmp_path / "data", 3999)
    with pytest.raises(InputError, match="truncated"):
        read_tensor(tensor, tmp_path)


# New values


def test_new_values_stay_inline_where_they_were() -> None:
    tensor = numpy_helper.from_array(np.zeros(3, np.float16), "t")
    tensor.doc_string = "note"
    tensor.metadata_props.add(key="a", value="b")
    fresh = with_values(tensor, np.ones((2, 2), np.float32))
    assert not is_external(fresh)
    assert (fresh.name, fresh.doc_string, fresh.metadata_props[0].value) == ("t", "note", "b")
    np.testing.assert_array_equal(numpy_helper.to_array(fresh), np.ones((2, 2), np.float16))


def test_new_values_of_an_external_tensor_are_pending(tmp_path: Path) -> None:
    tensor = stored(np.zeros(1000, np.float32), tmp_path, 64)
    tensor.external_data.add(key="checksum", value="of the old values")
    fresh = with_values(tensor, np.ones(7))
    assert is_pending(fresh)
    assert not is_pending(tensor)
    assert {e.key: e.value for e in fresh.external_data} == {"location": "data", "offset": "64"}
    np.testing.assert_array_equal(read_tensor(fresh, None), np.ones(7, np.float32))


def test_reference_keeps_what_else_was_said(tmp_path: Path) -> None:
    tensor = stored(np.zeros(10, np.float32), tmp_path)
    tensor.external_data.add(key="checksum", value="sum")
    assert refer(tensor, "other", 128) == 40
    said = {e.key: e.value for e in tensor.external_data}
    assert said == {"location": "other", "offset": "128", "length": "40", "checksum": "sum"}


# Whole models


def test_every_tensor_of_a_model_is_found() -> None:
    def tensor(name: str) -> TensorProto:
        return numpy_helper.from_array(np.zeros(1, np.float32), name)

    def sparse(name: str) -> onnx.SparseTensorProto:
        return onnx.SparseTensorProto(values=tensor(f"{name} values"), indices=tensor(f"{name} indices"), dims=[1])

    node = helper.make_node("Custom", [], ["y"], domain="custom", t=tensor("attribute"), s=sparse("attribute"))
    node.attribute.add(name="l", type=onnx.AttributeProto.TENSORS, tensors=[tensor("in list")])
    node.attribute.add(name="m", type=onnx.AttributeProto.SPARSE_TENSORS, sparse_tensors=[sparse("in list")])
    inner = helper.make_graph([node], "inner", [], [], [tensor("inner")], sparse_initializer=[sparse("inner")])
    outer = helper.make_node("If", [], ["z"], then_branch=inner)
    outer.attribute.add(name="g", type=onnx.AttributeProto.GRAPHS, graphs=[inner])
    graph = helper.make_graph([outer], "outer", [], [], [tensor("outer")], sparse_initializer=[sparse("outer")])
    function = helper.make_function("custom", "F", [], ["y"], [node], [])
    training = onnx.TrainingInfoProto(initialization=inner, algorithm=inner)
    model = helper.make_model(graph, functions=[function])
    model.training_info.append(training)
    found = [t.name for t in all_tensors(model)]
    of_node = ["attribute", "attribute values", "attribute indices", "in list", "in list values", "in list indices"]
    of_inner = ["inner", "inner values", "inner indices", *of_node]
    of_outer = ["outer", "outer values", "outer indices"]
    assert sorted(found) == sorted([*of_outer, *4 * of_inner, *of_node])


def test_light_copy_holds_the_small_and_refers_to_the_large(tmp_path: Path) -> None:
    source = external.residual()
    model = onnx.load(external.save(source, tmp_path / "model.onnx"), load_external_data=False)
    before = model.SerializeToString(deterministic=True)
    light = light_copy(model, tmp_path)
    large = {t.name for t in light.graph.initializer if is_external(t)}
    assert large == {"c.w"}
    for name, value in arrays(source).items():
        if name not in large:
            np.testing.assert_array_equal(arrays(without(light, large))[name], value)
    assert model.SerializeToString(deterministic=True) == before
    assert data_files(light, tmp_path) == (tmp_path / "model.onnx.data",)


def test_light_copy_of_a_model_without_external_data_is_the_model() -> None:
    model = external.residual()
    assert light_copy(model, None) is model


def test_light_copy_leaves_out_what_is_pending_and_large(tmp_path: Path) -> None:
    model = onnx.load(external.save(external.residual(), tmp_path / "model.onnx"), load_external_data=False)
    for tensor in model.graph.initializer:
        tensor.CopyFrom(with_values(tensor, 2 * read_tensor(tensor, tmp_path)))
    model.doc_string = "kept"
    light = light_copy(model, None)
    assert {t.name for t in light.graph.initializer if is_external(t)} == {"c.w"}
    assert len(light.SerializeToString()) < 8 * 8 * 9 * 8 + 2000
    expected = copy(model)
    for tensor, other in zip(expected.graph.initializer, light.graph.initializer, strict=True):
        tensor.CopyFrom(other)
    assert light == expected


def without(model: onnx.ModelProto, names: set[str]) -> onnx.ModelProto:
    fresh = copy(model)
    kept = [tensor for tensor in model.graph.initializer if tensor.name not in names]
    del fresh.graph.initializer[:]
    fresh.graph.initializer.extend(kept)
    return fresh
