"""Modules against those that the files were exported from."""

from __future__ import annotations

import copy
import io
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import torch
from onnx import TensorProto, helper
from torch import Tensor, nn

from natonnx.errors import InputError
from natonnx.frontend import parse
from natonnx.module import convert
from tests.module import nets
from tests.rewrite.helpers import Builder, shipped_network
from tests.supernet.test_resnet import ResNet

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from natonnx.module import OnnxModule

KEPT_NAMES = ("picture", "sentence")
"""Nets of which exporters keep all names; of an LSTM they make new tensors."""


def losses(module: nn.Module, x: Tensor, steps: int = 3) -> list[float]:
    """Train in training mode; return the loss of each step."""
    optimizer = torch.optim.SGD(module.parameters(), 0.05, 0.9)
    module.train()
    found = []
    for _ in range(steps):
        loss = module(x).square().mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        found.append(loss.item())
    module.eval()
    return found


@pytest.mark.parametrize("name", nets.NETS)
def test_outputs_equal_at_any_batch(name: str) -> None:
    module, expected = nets.brought_back(name), nets.native(name)
    for batch in (1, 5):
        x = nets.inputs_of(name, batch)
        torch.testing.assert_close(module(x), expected(x))


@pytest.mark.parametrize("name", nets.NETS)
def test_training_goes_as_the_native_one(name: str) -> None:
    module, expected = nets.brought_back(name), nets.native(name)
    assert sum(p.numel() for p in module.parameters()) == sum(p.numel() for p in expected.parameters())
    x = nets.inputs_of(name)
    assert losses(module, x) == pytest.approx(losses(expected, x), rel=1e-4)
    torch.testing.assert_close(module(x), expected(x), rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize("name", KEPT_NAMES)
def test_the_state_is_the_native_one(name: str) -> None:
    """What was trained goes into the module that the file came from, and back, by its names."""
    module, expected = nets.brought_back(name), nets.native(name)
    x = nets.inputs_of(name)
    losses(module, x)
    assert module.state_dict().keys() == expected.state_dict().keys()
    expected.load_state_dict(module.state_dict())
    torch.testing.assert_close(module(x), expected(x))
    module.load_state_dict(nets.native(name).state_dict())
    torch.testing.assert_close(module(x), nets.native(name)(x))


@pytest.mark.parametrize("name", KEPT_NAMES)
def test_gradients_equal_by_name(name: str) -> None:
    module, expected = nets.brought_back(name), nets.native(name)
    x = nets.inputs_of(name)
    for one in (module, expected):
        one(x).square().sum().backward()
    own = dict(module.named_parameters())
    for key, parameter in expected.named_parameters():
        torch.testing.assert_close(own[key].grad, parameter.grad)


@pytest.mark.parametrize("name", KEPT_NAMES)
def test_layers_are_the_native_ones(name: str) -> None:
    """Of the same class, at the same place: tools find what they look for."""
    own = dict(nets.brought_back(name).named_modules())
    for path, layer in nets.native(name).named_modules():
        if list(layer.parameters(recurse=False)) and path:
            assert isinstance(own[path], type(layer)), path
            if not isinstance(layer, nn.BatchNorm2d):
                assert own[path].extra_repr() == layer.extra_repr()


def test_the_shipped_resnet_equals_a_module_written_by_hand() -> None:
    module, expected = convert(shipped_network("resnet20")), ResNet()
    assert module.state_dict().keys() == expected.state_dict().keys()
    x = torch.randn(4, 1, 28, 28)
    assert losses(module, x) == pytest.approx(losses(expected, x), rel=1e-4)
    torch.testing.assert_close(module(x), expected(x), rtol=1e-3, atol=1e-4)


def test_folded_norms_stay_folded() -> None:
    module = convert(parse(nets.exported("picture", keep_norm=False))).eval()
    x = nets.inputs_of("picture")
    torch.testing.assert_close(module(x), nets.native("picture")(x), rtol=1e-4, atol=1e-5)
    assert module.onnx_names["stem.0.weight"] != "stem.0.weight"  # torch's script exporter names it anew
    assert isinstance(module.get_submodule("stem.0"), nn.Conv2d)


def _saved(module: OnnxModule) -> nn.Module:
    file = io.BytesIO()
    torch.save(module, file)
    file.seek(0)
    loaded: nn.Module = torch.load(file, weights_only=False)
    return loaded


def _compiled(module: OnnxModule) -> nn.Module:
    torch._dynamo.reset()
    return torch.compile(module, backend="aot_eager", fullgraph=True, dynamic=True)  # type: ignore[return-value]


COPIES: Mapping[str, Callable[[OnnxModule], nn.Module]] = {
    "deepcopy": copy.deepcopy,
    "torch.save": _saved,
    "torch.compile": _compiled,
    "torch.export": lambda module: torch.export.export(module, (nets.inputs_of("sentence"),)).module(),
}


@pytest.mark.filterwarnings("ignore:Guards may run slower on Python 3.13.0:RuntimeWarning")
@pytest.mark.parametrize("how", COPIES)
@pytest.mark.parametrize("name", ["picture", "sentence"])
def test_what_torch_does_with_modules_works(how: str, name: str) -> None:
    if how == "torch.export" and name != "sentence":
        pytest.skip("one is enough")
    module, x = nets.brought_back(name), nets.inputs_of(name)
    torch.testing.assert_close(COPIES[how](module)(x), module(x))


def test_a_saved_state_is_weights_only() -> None:
    module, file = nets.brought_back("picture"), io.BytesIO()
    torch.save(module.state_dict(), file)
    file.seek(0)
    assert module.load_state_dict(torch.load(file, weights_only=True))


def test_ddp_trains_it(tmp_path: object) -> None:
    module, expected, x = nets.brought_back("picture"), nets.native("picture"), nets.inputs_of("picture")
    store = f"file://{tmp_path}/store"
    torch.distributed.init_process_group("gloo", init_method=store, rank=0, world_size=1)
    try:
        wrapped = nn.parallel.DistributedDataParallel(module)
        assert losses(wrapped, x) == pytest.approx(losses(expected, x), rel=1e-4)
    finally:
        torch.distributed.destroy_process_group()


def test_it_moves_to_another_device_and_type() -> None:
    """The device without data stands for an accelerator: torch checks devices there just as strictly."""
    for name in nets.NETS:
        module, x = nets.brought_back(name).to("meta"), nets.inputs_of(name).to("meta")
        assert module(x).device.type == "meta"
    module, x = nets.brought_back("picture").double(), nets.inputs_of("picture").double()
    torch.testing.assert_close(module(x).float(), nets.native("picture")(x.float()))


def test_inputs_go_by_position_or_name() -> None:
    module, x = nets.brought_back("picture"), nets.inputs_of("picture")
    assert module.input_names == ("x0",)
    torch.testing.assert_close(module(x0=x), module(x))
    for given, named in (((x, x), {}), ((), {}), ((x,), {"x0": x}), ((), {"image": x})):
        with pytest.raises(TypeError, match="x0"):
            module(*given, **named)


@pytest.mark.parametrize("opset", [9, 17])
def test_dropout_drops_in_training_alone(opset: int) -> None:
    builder = Builder(4, 8, opset=opset)
    more = () if opset < 12 else (builder.constant("ratio", np.array(0.25, np.float32)),)
    attributes: Any = {"ratio": 0.25} if opset < 12 else {}
    builder.op("Dropout", "x", *more, out="y", **attributes)
    module, x = convert(builder.network("y")), torch.ones(3, 4, 8, 8)
    torch.manual_seed(0)
    made = module.train()(x)
    torch.manual_seed(0)
    torch.testing.assert_close(made, nn.functional.dropout(x, 0.25))
    assert (made == 0).any()
    torch.testing.assert_close(module.eval()(x), x)


def test_several_outputs_and_names_that_are_no_identifiers() -> None:
    infos = [helper.make_tensor_value_info(name, TensorProto.FLOAT, ["n", 2]) for name in ("a:0", "b.1", "y/0", "z")]
    nodes = [helper.make_node("Sub", ["a:0", "b.1"], ["y/0"]), helper.make_node("Shape", ["a:0"], ["s"])]
    nodes.append(helper.make_node("Expand", ["b.1", "s"], ["z"]))
    graph = helper.make_graph(nodes, "g", infos[:2], infos[2:])
    module = convert(parse(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)))
    assert (module.input_names, module.output_names) == (("a:0", "b.1"), ("y/0", "z"))
    a, b = torch.randn(3, 2), torch.randn(3, 2)
    for made in (module(a, b), module(a, **{"b.1": b}), module(**{"b.1": b, "a:0": a})):
        torch.testing.assert_close(made, (a - b, b))


def test_an_operator_that_torch_cannot_run_is_named() -> None:
    infos = [helper.make_tensor_value_info(name, TensorProto.FLOAT, ["n"]) for name in ("x", "y")]
    graph = helper.make_graph([helper.make_node("Bernoulli", ["x"], ["y"])], "g", infos[:1], infos[1:])
    with pytest.raises(InputError, match="Bernoulli"):
        convert(parse(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)))
