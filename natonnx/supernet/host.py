"""A node that the op table does not know, run in onnxruntime: exact, on the CPU, and without gradients."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import onnx
import torch
from torch import Tensor

from natonnx.errors import InputError
from natonnx.frontend import Network
from natonnx.frontend.view import reads
from natonnx.session import run, session
from natonnx.supernet.ops.operands import as_tensor
from natonnx.supernet.ops.placement import widened

__all__ = ["HostNode"]


class HostNode:
    """A kernel of one node.

    Args:
        network: The model.
        position: The node's.
        infos: Types of values that are no tensors, by name.

    Attributes:
        inputs: The tensors that it is called with, those that nested graphs capture included.

    Raises:
        InputError: If onnxruntime does not know the node either.
    """

    def __init__(self, network: Network, position: int, infos: Mapping[str, onnx.ValueInfoProto]) -> None:
        source = network.extended
        node = source.graph.node[position]
        self.inputs = tuple(dict.fromkeys(reads(node)))
        self._outputs = [name for name in node.output if name]
        self._all_outputs = list(node.output)
        model = onnx.ModelProto(
            ir_version=source.ir_version, opset_import=source.opset_import, functions=source.functions
        )
        model.graph.name = "node"
        model.graph.node.append(node)
        for name in self.inputs:
            dtype = network.dtypes.get(name, 0)
            if dtype > 0:
                model.graph.input.append(onnx.helper.make_tensor_value_info(name, dtype, network.shapes.get(name)))
            elif name in infos:
                model.graph.input.append(infos[name])
            else:
                raise InputError(f"the type of its input {name!r} is unknown")
        model.graph.output.extend(onnx.helper.make_empty_tensor_value_info(name) for name in self._outputs)
        self._session = session(model, folder=network.folder)

    def __call__(self, *operands: Any) -> tuple[Tensor, ...]:
        """Run the node; what is no plain tensor goes in and comes out as onnxruntime has it."""
        device = next((value.device for value in operands if isinstance(value, Tensor)), torch.device("cpu"))
        given = zip(self.inputs, map(widened, operands), strict=True)
        made = run(self._session, {name: _plain(value) for name, value in given})
        return tuple(_back(made.get(name), device) for name in self._all_outputs)


def _plain(value: Any) -> Any:
    if isinstance(value, Tensor):
        return value.detach().cpu().numpy()
    return [_plain(item) for item in value] if isinstance(value, list) else value


def _back(value: Any, device: torch.device) -> Any:
    if isinstance(value, np.ndarray) and value.dtype.kind not in "OSU":
        made = as_tensor(value)
        return made.to(device) if made.is_floating_point() else made
    return [_back(item, device) for item in value] if isinstance(value, list) else value
