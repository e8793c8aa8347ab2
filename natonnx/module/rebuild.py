"""A module → ONNX: the file that it was made of, with the tensors that it holds now."""

import copy
from collections.abc import Callable, Mapping, Sequence

import numpy as np
import onnx
import torch
from torch import Tensor, nn

from natonnx.errors import InputError
from natonnx.frontend import ParseOptions, parse_with
from natonnx.frontend.constants import drop_unread
from natonnx.frontend.load import check
from natonnx.inference import infer_shapes
from natonnx.module.module import OnnxModule
from natonnx.module.skeleton import leaves, with_weights
from natonnx.module.tree import descend
from natonnx.module.wiring import Call
from natonnx.rewrite import Check, References
from natonnx.rewrite.outputs import OutputsCheck
from natonnx.rewrite.training import drop_training
from natonnx.rewrite.trial import guarded
from natonnx.supernet.ops.operands import as_array, as_tensor, torch_dtype
from natonnx.tensors import UNREAD, light_copy

__all__ = ["build", "verify"]

Arrays = Mapping[str, np.ndarray]


def build(module: OnnxModule) -> onnx.ModelProto:
    """Build the ONNX model of a module: its file with its weights, whose shapes may have changed.

    Raises:
        InputError: If the module lacks a tensor of the file, or holds it in another type.
    """
    values = {name: _value(module, name) for name in module.held}
    shapes = {name: tuple(tensor.dims) for name, tensor in leaves(module.skeleton)}
    types = {name: tensor.data_type for name, tensor in leaves(module.skeleton)}
    for name, value in values.items():
        if value.dtype != torch_dtype(types[name]):
            raise InputError(
                f"{module.held[name].key} is in {value.dtype}, and {name!r} of the file is not; convert the module back"
            )
    model = with_weights(module.skeleton, {name: as_array(value) for name, value in values.items()})
    if any(tuple(value.shape) != shapes[name] for name, value in values.items()):
        _resize(model, module, values)
        drop_training(module.skeleton, model)
    return model


def _value(module: OnnxModule, name: str) -> Tensor:
    held = module.held[name]
    try:
        value = getattr(descend(module, held.path[:-1]), held.path[-1])
    except (AttributeError, KeyError):
        value = None
    if not isinstance(value, Tensor):
        raise InputError(f"the module has no tensor {held.key} any more, which is {name!r} in the file; merge adapters")
    value = value.detach().cpu()
    return (value.t() if held.turned else value).contiguous()


def _resize(model: onnx.ModelProto, module: OnnxModule, values: Mapping[str, Tensor]) -> None:
    """Let what a model says of sizes follow those of its weights, in place."""
    for call in module.wiring.calls:
        _follow(model.graph.node[call.node], call, module)
    drop_unread(model, [node.input[1] for node in module.skeleton.graph.node if node.op_type == "Reshape"])
    for info in model.graph.input:  # a default of a weight
        if info.name in values:
            for dim, size in zip(info.type.tensor_type.shape.dim, values[info.name].shape, strict=True):
                dim.dim_value = size
    noted = [info.name for info in model.graph.value_info]
    del model.graph.value_info[:]
    try:
        known = {info.name: info for info in infer_shapes(light_copy(model, None, UNREAD)).graph.value_info}
    except onnx.shape_inference.InferenceError:
        known = {}  # whoever checks the model says so
    model.graph.value_info.extend(known[name] for name in noted if name in known)


def _follow(node: onnx.NodeProto, call: Call, module: OnnxModule) -> None:
    """Let a node follow the layer that stands for it: groups, and what it flattens."""
    layer = descend(module, call.path)
    if node.op_type in {"Conv", "ConvTranspose"} and isinstance(groups := getattr(layer, "groups", None), int):
        attributes = {attribute.name: attribute for attribute in node.attribute}
        if groups != (attributes["group"].i if "group" in attributes else 1):
            kept = [attribute for name, attribute in attributes.items() if name != "group"]
            fresh = onnx.NodeProto(attribute=[*kept, onnx.helper.make_attribute("group", groups)])
            node.ClearField("attribute")
            node.MergeFrom(fresh)
    elif node.op_type == "Reshape" and isinstance(layer, nn.Flatten):
        node.op_type = "Flatten"
        del node.input[1:], node.attribute[:]
        node.attribute.append(onnx.helper.make_attribute("axis", 1))


def verify(module: OnnxModule, model: onnx.ModelProto) -> list[Check]:
    """Check a model that `build` made: by onnx's checker, and that onnxruntime makes of it what the module does.

    Returns:
        Every check, the failed ones included; the caller decides.
    """
    reason, same = check(model), _is_same_shape(module.skeleton, model)
    name = "onnx checker and shape inference"
    if reason is None or same:
        passed = Check(name, True, "full check" if reason is None else f"it objects to the source too: {reason}")
    else:
        return [Check(name, False, f"the weights' new shapes do not fit the graph: {reason}")]
    network = parse_with(model, ParseOptions(input_shapes=module.reading.input_shapes), None)
    still = copy.deepcopy(module).cpu().eval()
    references = References(_reference(still), lambda seed: _reference(_rounded(still, seed)))
    run = OutputsCheck(network, network.architecture, model).against_supernet(references)
    return [passed, Check("onnxruntime equals the module", run.passed, run.detail)]


def _is_same_shape(model: onnx.ModelProto, other: onnx.ModelProto) -> bool:
    shapes = [[(name, *tensor.dims) for name, tensor in leaves(one)] for one in (model, other)]
    return shapes[0] == shapes[1]


def _reference(module: OnnxModule) -> Callable[..., Arrays]:
    """A function of arrays by input name, and of names of tensors, the outputs if there are none, to arrays by name."""

    def run(inputs: Arrays, names: Sequence[str] | None = None) -> Arrays:
        wanted = module.output_names if names is None else names
        tensors = {name: as_tensor(np.array(value)) for name, value in inputs.items()}
        with torch.inference_mode():
            made = module.tensors(tensors, wanted)
        return {name: as_array(value.contiguous()) for name, value in zip(wanted, made, strict=True)}

    return guarded(run, "the module")


def _rounded(module: OnnxModule, seed: int) -> OnnxModule:
    """A copy whose weights differ in the last bit, at random but repeatably."""
    changed, chance = copy.deepcopy(module), torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for tensor in filter(Tensor.is_floating_point, changed.state_dict().values()):
            step = torch.finfo(tensor.dtype).eps
            tensor.mul_(1 + step * (torch.randint(0, 3, tensor.shape, generator=chance) - 1))
    return changed
