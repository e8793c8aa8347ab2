"""The kernel of every node that an architecture can run, and the constants that they read."""

import functools
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import onnx
import torch
from torch import Tensor

from natonnx.errors import InputError
from natonnx.frontend import Network, default_opset
from natonnx.frontend.constants import constant_values
from natonnx.frontend.declared import infer
from natonnx.frontend.sparse import dense_values
from natonnx.frontend.view import reads
from natonnx.frontend.vocabulary import DEFAULT_DOMAIN
from natonnx.supernet.host import HostNode
from natonnx.supernet.ops import Kernel, OpSpec, UnsupportedOpError, build, is_mode_dependent
from natonnx.supernet.ops.operands import as_tensor
from natonnx.tensors import light_copy, read_tensor

if TYPE_CHECKING:
    import numpy as np

__all__ = ["NodeKernel", "build_kernels", "constants"]

_ODD = (InputError, ArithmeticError, LookupError, RuntimeError, TypeError, ValueError)


@dataclass(frozen=True)
class NodeKernel:
    """How a node runs.

    Attributes:
        kernel: Called with the inputs in order.
        inputs: Names of its inputs, "" for an absent one.
        spec: The node as the op table sees it; None where onnxruntime runs it.
        mode_dependent: Whether the kernel takes the keyword arguments `training` and `momentum`.
        training: Whether the file itself asks for training behaviour.
    """

    kernel: Kernel
    inputs: tuple[str, ...]
    spec: OpSpec | None = None
    mode_dependent: bool = False
    training: bool = False


def build_kernels(network: Network, nodes: Iterable[int]) -> tuple[dict[int, NodeKernel], dict[int, str]]:
    """Make kernels: by the op table where it knows the node, else by onnxruntime.

    Args:
        network: The model.
        nodes: Positions of nodes.

    Returns:
        Kernels by position, and for the others why there is none.
    """
    kernels: dict[int, NodeKernel] = {}
    missing: dict[int, str] = {}
    opset = default_opset(network.model) or 1

    @functools.cache
    def infos() -> dict[str, onnx.ValueInfoProto]:
        light = light_copy(network.extended, network.folder)
        graph = (infer(light) or light).graph
        return {info.name: info for info in (*graph.input, *graph.value_info)}

    for position in nodes:
        node = network.extended.graph.node[position]
        try:
            if node.domain not in DEFAULT_DOMAIN:
                raise UnsupportedOpError(f"{node.op_type} of the domain {node.domain}")
            spec = OpSpec.from_node(node, opset, network.folder)
            mode = is_mode_dependent(node.op_type)
            training = mode and bool(spec.integer("training_mode"))
            kernels[position] = NodeKernel(build(spec), tuple(node.input), spec, mode, training)
        except UnsupportedOpError as error:
            try:
                host = HostNode(network, position, infos())
                kernels[position] = NodeKernel(host, host.inputs)
            except InputError as refusal:
                missing[position] = f"{error}, and {refusal}"
    return kernels, missing


def constants(network: Network, kernels: Mapping[int, NodeKernel]) -> tuple[dict[str, Tensor], dict[str, str]]:
    """Values of the constants that nodes or outputs read.

    Args:
        network: The model.
        kernels: Kernels of the nodes that do not depend on the model's input, and of others.

    Returns:
        Tensors by name, and for the constants that torch cannot hold, why.
    """
    graph = network.extended.graph
    read = {name for node in graph.node for name in reads(node)} | set(network.outputs)
    values: dict[str, Tensor] = {}
    missing: dict[str, str] = {}
    held: dict[str, Callable[[], np.ndarray]] = {
        tensor.name: functools.partial(read_tensor, tensor, network.folder) for tensor in graph.initializer
    }
    held |= {sparse.values.name: functools.partial(dense_values, sparse) for sparse in graph.sparse_initializer}
    for name in filter(read.__contains__, held):
        try:
            values[name] = as_tensor(held[name]())
        except (TypeError, ValueError, UnicodeDecodeError):
            missing[name] = f"torch has no tensors like the constant {name!r}"
    with torch.no_grad():
        for position in network.constant_nodes:
            node = graph.node[position]
            for name, value in _compute(network, position, kernels, values, missing).items():
                if isinstance(value, Tensor):
                    values[name] = value.clone(memory_format=torch.contiguous_format)  # a view may be trained apart
                else:
                    missing[name] = f"torch has no tensors like the constant {name!r} of {node.op_type}"
    return {name: value for name, value in values.items() if name in read}, missing


def _compute(
    network: Network,
    position: int,
    kernels: Mapping[int, NodeKernel],
    values: Mapping[str, Tensor],
    missing: Mapping[str, str],
) -> dict[str, Any]:
    """What a node makes of constants, by the op table, else by onnxruntime; None for what neither can."""
    node = network.extended.graph.node[position]
    outputs = [name for name in node.output if name]
    own = kernels.get(position)
    if own is not None and not any(name in missing for name in own.inputs):
        try:
            made = own.kernel(*(values[name] if name else None for name in own.inputs))
            return dict(zip(node.output, (made,) if isinstance(made, Tensor) else made, strict=False))
        except _ODD:  # onnxruntime loads some nodes that it cannot run, and torch raises whatever an odd one makes it
            return dict.fromkeys(outputs)
    found: dict[str, Any] = dict.fromkeys(outputs)
    for name in outputs:
        try:
            found[name] = as_tensor(constant_values(network.extended, [name], network.folder)[name])
        except (InputError, TypeError, ValueError):
            found[name] = None
    return found
