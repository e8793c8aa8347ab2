"""Files that are no valid model are refused in one line that says what they are."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper

from natonnx.errors import InputError
from natonnx.frontend import load, look, parse, read
from natonnx.frontend.load import check
from natonnx.frontend.shapes import infer_shapes
from tests import external
from tests.cli import tiny
from tests.rewrite.helpers import MODELS, Builder, edges, shipped_model

if TYPE_CHECKING:
    from pathlib import Path

RESNET = MODELS / "resnet20-fashion.onnx"


def refusal(path: Path) -> str:
    with pytest.raises(InputError) as caught:
        read(path)
    message = str(caught.value)
    assert message.startswith(f"{path}: ")
    assert "\n" not in message
    return message.removeprefix(f"{path}: ")


def test_valid_file_is_read_as_it_is() -> None:
    assert read(RESNET) == shipped_model("resnet20")


def test_missing_file() -> None:
    assert refusal(MODELS / "none.onnx").startswith("no such file")


def test_folder(tmp_path: Path) -> None:
    assert refusal(tmp_path) == "cannot be read (Is a directory); give the path of an ONNX model"


@pytest.mark.parametrize("name", ["model.onnx", "edits.json", "model.txt", "model.onnxtxt", "model.textproto"])
def test_text(tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    path.write_text('[{"edge": "conv", "from": "O", "to": "S"}]\n')
    assert refusal(path).startswith("not an ONNX model, or truncated")


@pytest.mark.parametrize("size", [0, 1, 2, 3, 10, 100, 1_000, 10_000, 500_000, -1_000, -100, -10, -3, -2, -1])
def test_truncated(tmp_path: Path, size: int) -> None:
    path = tmp_path / "model.onnx"
    path.write_bytes(RESNET.read_bytes()[:size])
    assert "truncated" in refusal(path)


def test_other_binary(tmp_path: Path) -> None:
    path = tmp_path / "model.onnx"
    np.savez(tmp_path / "data.npz", a=np.arange(10))
    path.write_bytes((tmp_path / "data.npz").read_bytes())
    assert "not an ONNX model, or truncated" in refusal(path)


def test_model_without_nodes(tmp_path: Path) -> None:
    path = tmp_path / "model.onnx"
    x = helper.make_tensor_value_info("x", TensorProto.FLOAT, [1])
    onnx.save(helper.make_model(helper.make_graph([], "empty", [x], [x])), path)
    assert "no graph in it" in refusal(path)


def invalid(kind: str) -> onnx.ModelProto:
    graph = Builder()
    graph.op("Relu", graph.conv("x", "a"), out="r")
    model = graph.model("r")
    if kind == "unknown operator":
        model.graph.node[1].op_type = "Relo"
    elif kind == "tensor that nothing makes":
        model.graph.node[1].input[0] = "nowhere"
    elif kind == "no opset":
        del model.opset_import[:]
    else:
        model.graph.output[0].type.tensor_type.elem_type = TensorProto.INT64
    return model


@pytest.mark.parametrize(
    ("kind", "reason"),
    [
        ("unknown operator", "Relo"),
        ("tensor that nothing makes", "nowhere"),
        ("no opset", "opset"),
        ("declared type", "[Tt]ype"),
    ],
)
def test_invalid_model_is_refused_with_the_checkers_reason(tmp_path: Path, kind: str, reason: str) -> None:
    path = tmp_path / "model.onnx"
    onnx.save(invalid(kind), path)
    with pytest.raises(InputError, match=f"not a valid ONNX model, or truncated: .*({reason})"):
        read(path)


# External data


@pytest.mark.parametrize("one_file", [True, False])
def test_external_data_stays_where_it_is(tmp_path: Path, one_file: bool) -> None:
    path = external.save(external.residual(), tmp_path / "model.onnx", one_file=one_file)
    model = read(path)
    assert model == onnx.load(path, load_external_data=False)
    assert not any(tensor.raw_data for tensor in model.graph.initializer)
    assert edges(parse(model, folder=tmp_path)) == edges(parse(external.residual()))


@pytest.mark.parametrize("size", [0, 1, -1])
def test_truncated_external_data(tmp_path: Path, size: int) -> None:
    path = external.save(external.residual(), tmp_path / "model.onnx")
    data = (tmp_path / "model.onnx.data").read_bytes()
    (tmp_path / "model.onnx.data").write_bytes(data[:size])
    assert "model.onnx.data is truncated" in refusal(path)


def test_missing_external_data(tmp_path: Path) -> None:
    path = external.save(external.residual(), tmp_path / "model.onnx")
    (tmp_path / "model.onnx.data").unlink()
    assert f"no data file {tmp_path / 'model.onnx.data'}" in refusal(path)


@pytest.mark.parametrize(
    ("entries", "reason"),
    [
        ({"location": "../model.onnx.data"}, "outside the model's folder"),
        ({"location": None}, "outside the model's folder"),
        ({"offset": 1 << 40}, "truncated"),
        ({"length": 4}, "do not fit"),
    ],
)
def test_external_data_out_of_place(tmp_path: Path, entries: dict[str, object], reason: str) -> None:
    (tmp_path / "sub").mkdir()
    path = external.save(external.residual(), tmp_path / "sub" / "model.onnx")
    (tmp_path / "model.onnx.data").write_bytes((tmp_path / "sub" / "model.onnx.data").read_bytes())
    external.repoint(path, entries)
    assert reason in refusal(path)


def test_absolute_place_of_external_data(tmp_path: Path) -> None:
    path = external.save(external.residual(), tmp_path / "model.onnx")
    external.repoint(path, {"location": tmp_path / "model.onnx.data"})
    assert "outside the model's folder" in refusal(path)


def test_links_to_external_data(tmp_path: Path) -> None:
    path = external.save(external.residual(), tmp_path / "model.onnx")
    data = tmp_path / "model.onnx.data"
    data.rename(tmp_path / "elsewhere")
    data.symlink_to("elsewhere")
    assert "is a link" in refusal(path)
    data.unlink()
    data.hardlink_to(tmp_path / "elsewhere")
    assert "hard link" in refusal(path)  # onnx's own words


def test_external_operand_that_inference_needs(tmp_path: Path) -> None:
    """onnx's checker, given such a file, finds no shape behind it; natonnx reads the small tensors for it."""
    graph = Builder()
    graph.op("Reshape", graph.conv("x", "a"), graph.constant("shape", np.array([0, 2, 2, 64])), out="r")
    model = graph.model("r")
    path = external.save(model, tmp_path / "model.onnx")
    assert external.references(path)["shape"]
    shapes, dtypes = infer_shapes(read(path), folder=tmp_path)
    assert (shapes, dtypes) == infer_shapes(model)
    assert shapes["r"] == ("n", 2, 2, 64)
    assert check(read(path), tmp_path) is None


def test_values_in_a_tensor_that_says_it_is_external(tmp_path: Path) -> None:
    path = external.save(external.residual(), tmp_path / "model.onnx")
    model = onnx.load(path, load_external_data=False)
    model.graph.initializer[0].raw_data = b"junk"
    path.write_bytes(model.SerializeToString())
    assert "is stored externally and should not have data" in refusal(path)


def test_invalid_model_with_external_data(tmp_path: Path) -> None:
    model = external.residual()
    path = external.save(model, tmp_path / "model.onnx")
    broken = onnx.load(path, load_external_data=False)
    broken.graph.output[0].type.tensor_type.elem_type = TensorProto.INT64
    path.write_bytes(broken.SerializeToString())
    assert "not a valid ONNX model" in refusal(path)
    assert check(model) is None


def test_check_of_a_valid_model_is_none() -> None:
    assert check(shipped_model("vgg")) is None


# --input-shape


@pytest.mark.parametrize(
    ("shapes", "message"),
    [
        ({"y": (1, 4, 8, 8)}, "no input 'y'; its inputs are x"),
        ({"x": (1, 4, 8)}, "input 'x' has 4 axes, 3 sizes were given"),
        ({"x": (1, 3, 8, 8)}, "axis 1 of input 'x' is 4 in the file, not 3"),
    ],
)
def test_input_shape_that_does_not_fit(shapes: dict[str, tuple[int, ...]], message: str) -> None:
    graph = Builder(size="size")
    graph.conv("x", "a")
    with pytest.raises(InputError, match=f"^--input-shape: .*{message}"):
        parse(graph.model("a"), input_shapes=shapes)


def test_fixed_batch_cannot_be_changed() -> None:
    graph = Builder(batch=4)
    graph.conv("x", "a")
    with pytest.raises(InputError, match="axis 0 of input 'x' is 4 in the file, not 1"):
        parse(graph.model("a"), input_shapes={"x": (1, 4, 8, 8)})


def test_batch_stays_symbolic() -> None:
    graph = Builder(size="size")
    graph.conv("x", "a", 6, stride=2)
    shapes, dtypes = infer_shapes(graph.model("a"), {"x": (5, 4, 8, 12)})
    assert shapes["x"] == ("n", 4, 8, 12)
    assert shapes["a"] == ("n", 6, 4, 6)
    assert dtypes["a"] == TensorProto.FLOAT


@pytest.mark.parametrize("name", [b"scores", b"stem.weight", b"the tests", b"stem.relu"])
def test_a_name_that_is_no_text_is_refused(name: bytes, tmp_path: Path) -> None:
    path = tmp_path / "model.onnx"
    path.write_bytes(tiny.model_bytes().replace(name, b"\xe7" + name[1:]))
    with pytest.raises(InputError, match="a name in it is no UTF-8 text"):
        read(path)


def test_two_initializers_of_one_name_are_refused(tmp_path: Path) -> None:
    """onnx's checker lets it pass; which one counts is nowhere said."""
    graph = Builder()
    graph.conv("x", "y")
    model = graph.model("y")
    model.graph.initializer.append(model.graph.initializer[0])
    onnx.save(model, tmp_path / "model.onnx")
    with pytest.raises(InputError, match=r"has two initializers of the name 'y\.w', which only one may have"):
        read(tmp_path / "model.onnx")


def test_attributes_that_onnxruntime_passes_over(tmp_path: Path) -> None:
    path = tmp_path / "model.onnx"
    referring, double = onnx.load(RESNET), onnx.load(RESNET)
    conv = next(node for node in referring.graph.node if node.op_type == "Conv")
    conv.attribute[0].ref_attr_name = "none"
    path.write_bytes(referring.SerializeToString())
    assert re.fullmatch(
        r"not a valid ONNX model, node '.+' has an attribute '.+' that refers to one of .+", refusal(path)
    )
    double.graph.node.append(helper.make_node("Constant", [], ["k"], value_float=1.0, value_int=1))
    path.write_bytes(double.SerializeToString())
    assert refusal(path) == "not a valid ONNX model, node 'k' is a Constant of 2 values; export it again"


def test_a_shape_of_nothing(tmp_path: Path) -> None:
    path, model = tmp_path / "model.onnx", onnx.load(RESNET)
    model.graph.node.append(helper.make_node("Shape", [], ["sizes"]))
    path.write_bytes(model.SerializeToString())
    assert refusal(path).startswith("not a valid ONNX model, or truncated: ")


def test_shapes_are_inferred_once(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[bytes] = []
    infer = onnx.shape_inference.infer_shapes

    def counted(model: onnx.ModelProto, **how: bool) -> onnx.ModelProto:
        asked.append(model.SerializeToString())
        return infer(model, **how)

    monkeypatch.setattr(onnx.shape_inference, "infer_shapes", counted)
    look(RESNET)
    assert len(asked) == len(set(asked)) > 0


def test_what_is_looked_at_is_what_is_loaded() -> None:
    network, source = look(RESNET), load(RESNET)
    assert (network.architecture, network.shapes) == (source.network.architecture, source.network.shapes)
