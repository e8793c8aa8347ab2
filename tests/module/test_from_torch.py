"""Files out of modules: the weights, and everything else as it was."""

from __future__ import annotations

import shutil
from typing import TYPE_CHECKING, Any

import numpy as np
import onnx
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from onnx import TensorProto, helper, numpy_helper
from torch import Tensor, nn

import natonnx
from natonnx import Edit, InputError, State, VerificationError
from natonnx.frontend import parse
from natonnx.module import build, convert
from tests.external import save
from tests.module import nets
from tests.rewrite.helpers import MODELS, Builder

if TYPE_CHECKING:
    from pathlib import Path

    from natonnx.module import OnnxModule

RESNET = MODELS / "resnet20-fashion.onnx"


def ran(path: Path, x: Tensor) -> Tensor:
    """The first output of a file in onnxruntime."""
    import onnxruntime

    runtime = onnxruntime.InferenceSession(path)
    return torch.from_numpy(runtime.run(None, {runtime.get_inputs()[0].name: x.numpy()})[0])


def trained(module: OnnxModule, x: Tensor) -> OnnxModule:
    optimizer = torch.optim.SGD(module.parameters(), 0.05)
    module.train()
    for _ in range(2):
        optimizer.zero_grad()
        module(x).square().mean().backward()
        optimizer.step()
    module.eval()
    return module


def without_weights(path: Path) -> onnx.ModelProto:
    """A model without the values of its floating-point constants and without natonnx's note."""
    model = onnx.load(path)
    for tensor in model.graph.initializer:
        if tensor.data_type == TensorProto.FLOAT:
            tensor.ClearField("raw_data")
            tensor.ClearField("float_data")
    kept = [prop for prop in model.metadata_props if prop.key != "natonnx.provenance"]
    del model.metadata_props[:]
    model.metadata_props.extend(kept)
    return model


@pytest.mark.parametrize("name", ["resnet20", "vgg", "mobilenetv2"])
def test_untrained_weights_are_the_files_own(name: str, tmp_path: Path) -> None:
    source = MODELS / f"{name}-fashion.onnx"
    path, checks = natonnx.from_torch(natonnx.to_torch(source), tmp_path / "out.onnx")
    assert all(check.passed for check in checks)
    values = [
        {tensor.name: numpy_helper.to_array(tensor) for tensor in onnx.load(one).graph.initializer}
        for one in (source, path)
    ]
    assert values[0].keys() == values[1].keys()
    assert all(np.array_equal(value, values[1][key]) for key, value in values[0].items())
    assert without_weights(path) == without_weights(source)


@pytest.mark.parametrize("keep_norm", [True, False])
@pytest.mark.parametrize("name", nets.NETS)
def test_what_was_trained_runs_in_onnxruntime(name: str, keep_norm: bool, tmp_path: Path) -> None:
    source = tmp_path / "in.onnx"
    onnx.save(nets.exported(name, keep_norm=keep_norm), source)
    x = nets.inputs_of(name)
    before = natonnx.to_torch(source)(x)
    module = trained(natonnx.to_torch(source), x)
    path, _ = natonnx.from_torch(module, tmp_path / "out.onnx")
    torch.testing.assert_close(ran(path, x), module(x).detach(), rtol=1e-4, atol=1e-5)
    assert not torch.allclose(module(x), before, rtol=1e-3)
    assert without_weights(path) == without_weights(source)


def test_edits_are_made_first(tmp_path: Path) -> None:
    edits = [Edit("stage3_block2.first.conv", State.O, State.S)]
    applied, _ = natonnx.apply(RESNET, edits, tmp_path / "applied.onnx")
    module, x = natonnx.to_torch(RESNET, edits), torch.randn(3, 1, 28, 28)
    torch.testing.assert_close(module(x).detach(), ran(applied, x), rtol=1e-4, atol=1e-5)
    path, _ = natonnx.from_torch(module, tmp_path / "out.onnx")
    assert without_weights(path) == without_weights(applied)


def test_wrappers_are_looked_through(tmp_path: Path) -> None:
    module = natonnx.to_torch(RESNET)
    for i, wrapped in enumerate((torch.compile(module, backend="eager"), torch.optim.swa_utils.AveragedModel(module))):
        assert natonnx.from_torch(wrapped, tmp_path / f"{i}.onnx")[1]  # type: ignore[arg-type]
    with pytest.raises(InputError, match="from_torch takes what to_torch made"):
        natonnx.from_torch(nn.Linear(2, 2), tmp_path / "out.onnx")


def test_the_source_is_needed_no_more_and_never_overwritten(tmp_path: Path) -> None:
    source = tmp_path / "in.onnx"
    shutil.copy(RESNET, source)
    module = natonnx.to_torch(source)
    with pytest.raises(InputError, match="never changed"):
        natonnx.from_torch(module, source)
    source.unlink()
    natonnx.from_torch(module, tmp_path / "out.onnx")
    natonnx.from_torch(module, tmp_path / "out.onnx")  # natonnx wrote it
    (tmp_path / "other.onnx").write_bytes(b"mine")
    with pytest.raises(InputError, match="--force"):
        natonnx.from_torch(module, tmp_path / "other.onnx")


def test_external_data_stays_external(tmp_path: Path) -> None:
    folder = tmp_path / "in"
    folder.mkdir()
    source = save(onnx.load(RESNET), folder / "in.onnx", threshold=1024)
    module = trained(natonnx.to_torch(source), torch.randn(4, 1, 28, 28))
    shutil.rmtree(folder)
    path, _ = natonnx.from_torch(module, tmp_path / "out.onnx")
    assert (tmp_path / "out.onnx.data").stat().st_size > path.stat().st_size
    x = torch.randn(3, 1, 28, 28)
    torch.testing.assert_close(ran(path, x), module(x).detach(), rtol=1e-4, atol=1e-5)


def test_what_does_not_fit_is_refused_in_one_line(tmp_path: Path) -> None:
    out = tmp_path / "out.onnx"

    def refused(change: Any, error: type[Exception], match: str) -> None:
        module = natonnx.to_torch(RESNET)
        change(module)
        with pytest.raises(error, match=match) as caught:
            natonnx.from_torch(module, out)
        assert "\n" not in str(caught.value)
        assert not out.exists()

    refused(lambda module: module.half(), InputError, "float16")
    refused(lambda module: setattr(module, "classifier", nn.Identity()), InputError, "classifier.weight")
    refused(lambda module: setattr(module, "node_relu", nn.Tanh()), VerificationError, "onnxruntime equals the module")
    refused(lambda module: setattr(module, "classifier", nn.Linear(32, 10)), VerificationError, "shapes")


def prune(layer: nn.Module, keep: list[int]) -> None:
    """Keep some of the output channels of a convolution or a normalisation."""
    for name in ("weight", "bias", "running_mean", "running_var"):
        value = getattr(layer, name, None)
        if value is not None:
            own = nn.Parameter(value[keep].detach()) if isinstance(value, nn.Parameter) else value[keep]
            setattr(layer, name, own)


def test_pruned_shapes_are_written(tmp_path: Path) -> None:
    """By hand: half of the channels within a block, in groups of their own behind it, and before the classifier."""
    source = tmp_path / "in.onnx"
    onnx.save(onnx.shape_inference.infer_shapes(nets.exported("picture")), source)
    module, x, keep = natonnx.to_torch(source), nets.inputs_of("picture"), [0, 3, 4, 6]
    layers: Any = dict(module.named_modules())
    for name in ("stem.0", "stem.1", "depthwise", "norm"):
        prune(layers[name], keep)
    layers["depthwise"].groups = 4
    up, head = layers["up"], layers["head"]
    up.weight, up.bias = nn.Parameter(up.weight[keep][:, keep].detach()), nn.Parameter(up.bias[keep].detach())
    head.weight = nn.Parameter(head.weight[:, keep].detach())
    module = trained(module, x)
    path, _ = natonnx.from_torch(module, tmp_path / "out.onnx")
    torch.testing.assert_close(ran(path, x), module(x).detach(), rtol=1e-4, atol=1e-5)
    onnx.checker.check_model(onnx.load(path), full_check=True)
    assert path.stat().st_size < source.stat().st_size
    again = natonnx.to_torch(path)
    assert {key: value.shape for key, value in again.state_dict().items()} == {
        key: value.shape for key, value in module.state_dict().items()
    }


def test_a_flattening_reshape_follows_what_was_pruned(tmp_path: Path) -> None:
    """As torch's default exporter writes it: the number of channels stands in the file."""
    module, x = natonnx.to_torch(MODELS / "vgg-fashion.onnx"), torch.randn(3, 1, 28, 28)
    layers: Any = dict(module.named_modules())
    keep = list(range(0, 96, 2))
    prune(layers["stage3_layer3.conv"], keep)
    layers["classifier"].weight = nn.Parameter(layers["classifier"].weight[:, keep].detach())
    path, _ = natonnx.from_torch(module, tmp_path / "out.onnx")
    torch.testing.assert_close(ran(path, x), module(x).detach(), rtol=1e-4, atol=1e-5)
    assert "Flatten" in {node.op_type for node in onnx.load(path).graph.node}


def test_weights_of_all_kinds_come_back() -> None:
    """Of Constant nodes, transposed by a node, shared, in half precision, and the token beside data."""
    builder = Builder(4, 8)
    generator = np.random.default_rng(0)
    shared = builder.weight("shared", 4, 4, 1, 1)
    held = numpy_helper.from_array(generator.standard_normal((4, 4, 1, 1)).astype(np.float32))
    builder.nodes.append(helper.make_node("Constant", [], ["held"], value=held))
    a = builder.op("Conv", "x", shared, out="a")
    b = builder.op("Conv", a, shared, out="b")
    c = builder.op("Conv", b, "held", out="c")
    turned = builder.op("Transpose", builder.weight("turned", 5, 8), out="t", perm=[1, 0])
    d = builder.op("MatMul", c, turned, out="d")
    token = builder.weight("token", 1, 4, 8, 5)
    zero = builder.constant("zero", np.array([1, 4, 8, 5], np.int64))
    wide = builder.op("Expand", token, zero, out="wide")
    builder.op("Add", d, wide, out="y")
    model = builder.model("y")
    module = convert(parse(model))
    assert {name for name, _ in module.named_parameters()} == {"A.weight", "C.weight", "D.weight", "token"}
    assert module.onnx_names["D.weight"] == "turned"
    with torch.no_grad():
        for parameter in module.parameters():
            parameter.mul_(2)
    made = build(module)
    arrays = {tensor.name: numpy_helper.to_array(tensor) for tensor in made.graph.initializer}
    before = {tensor.name: numpy_helper.to_array(tensor) for tensor in model.graph.initializer}
    for name in ("shared", "turned", "token"):
        np.testing.assert_array_equal(arrays[name], 2 * before[name])
    np.testing.assert_array_equal(
        numpy_helper.to_array(made.graph.node[0].attribute[0].t), 2 * numpy_helper.to_array(held)
    )


ODD = [
    "a",
    "a.b",
    "a.b.c",
    "weight",
    "forward",
    "training",
    "x.weight",
    "a..b",
    ".",
    "/n/Const",
    "1",
    "ünï",
    "a_1",
    "a/b",
]
NAMES = st.one_of(st.sampled_from(ODD), st.text(alphabet="ab./_%0", min_size=1, max_size=6))


@settings(deadline=None, max_examples=40)
@given(st.lists(NAMES, min_size=1, max_size=6, unique=True))
def test_names_of_any_kind_lead_back(names: list[str]) -> None:
    names = [name for name in names if name not in {"x", "y"}]
    at, nodes, tensors = "x", [], []
    for i, name in enumerate(names):
        tensors.append(numpy_helper.from_array(np.full((3, 3), i + 1, np.float32), name))
        nodes.append(helper.make_node(("MatMul", "Mul")[i % 2], [at, name], [f"made#{i}"], names[-1 - i]))
        at = f"made#{i}"
    nodes.append(helper.make_node("Identity", [at], ["y"]))
    infos = [helper.make_tensor_value_info(name, TensorProto.FLOAT, [3, 3]) for name in ("x", "y")]
    graph = helper.make_graph(nodes, "g", infos[:1], infos[1:], tensors)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    module = convert(parse(model))
    assert sorted(module.onnx_names.values()) == sorted(names)
    assert module.onnx_names.keys() == module.state_dict().keys()
    assert build(module) == model
