"""The supernet: one torch module that runs an ONNX model by any of its architectures, with shared weights."""

from collections import OrderedDict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import onnx
import torch
from torch import Tensor, nn

from natonnx.architecture import Architecture, State
from natonnx.errors import InputError
from natonnx.frontend import Network, RunNode, RunSkip, default_opset, lower
from natonnx.frontend.vocabulary import DEFAULT_DOMAIN, TRAINABLE
from natonnx.supernet.ops import Kernel, OpSpec, UnsupportedOpError, build, is_mode_dependent
from natonnx.supernet.skip import skip_kernel
from natonnx.tensors import read_tensor

__all__ = ["Supernet"]

_CACHED_PLANS = 256


@dataclass(frozen=True)
class _Step:
    """One call: a kernel, the tensors it reads and makes, and those that nothing reads afterwards."""

    kernel: Kernel
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    mode_dependent: bool
    spent: tuple[str, ...]


class Supernet(nn.Module):
    """A model rebuilt in torch, in which every edge can be O, S or N.

    Parameters and buffers keep their ONNX names, with '.' written as '%2E' as torch demands (`onnx_name` undoes it).
    An architecture is switched by naming it in the call; its plan is made once and kept.

    Args:
        network: The parsed model; its weights are the starting point.

    Raises:
        UnsupportedOpError: If the model has operators outside the op table; all of them are named at once.
    """

    def __init__(self, network: Network) -> None:
        super().__init__()
        self.network = network
        self.momentum: float | None = None
        """Weight of a new batch in the running statistics; None leaves it to each node."""
        self._host: dict[str, Tensor] = {}  # shape operands and such: integers, always on the CPU
        self._keys: dict[str, str] = {}
        self._plans: OrderedDict[tuple[State, ...], list[_Step]] = OrderedDict()
        self._kernels = _build_kernels(network)
        self._scores = _scores(network)
        trainable = _trainable(network)
        for name, value in _constants(network, self._kernels).items():
            self._add_constant(name, value, trainable=name in trainable)

    def _add_constant(self, name: str, value: Tensor, *, trainable: bool) -> None:
        if not value.is_floating_point():
            self._host[name] = value
            return
        key = name.replace("%", "%25").replace(".", "%2E")
        self._keys[name] = key
        if value.dim() == 4:
            value = value.contiguous(memory_format=torch.channels_last)
        if trainable:
            self.register_parameter(key, nn.Parameter(value))
        else:
            self.register_buffer(key, value)

    def forward(self, x: Tensor, architecture: Architecture | None = None) -> Tensor:
        """Run a classifier on its first input and return its scores: its first output, before a Softmax at the end.

        Args:
            x: Batch of inputs, in the model's own shape.
            architecture: β where None.
        """
        return self.run({self.network.inputs[0]: x}, architecture, capture=[self._scores])[self._scores]

    def run(
        self,
        inputs: Mapping[str, Tensor],
        architecture: Architecture | None = None,
        capture: Sequence[str] | None = None,
    ) -> dict[str, Tensor]:
        """Run the model.

        Args:
            inputs: Tensors by input name.
            architecture: β where None.
            capture: Names of the tensors to return; the model's outputs where None.

        Returns:
            Tensors by name.
        """
        wanted = tuple(self.network.outputs if capture is None else capture)
        values: dict[str, Tensor] = dict(self._host)
        for name, key in self._keys.items():
            values[name] = getattr(self, key)
        for name, tensor in inputs.items():
            values[name] = tensor.contiguous(memory_format=torch.channels_last) if tensor.dim() == 4 else tensor
        kept = {} if capture is None else dict.fromkeys(wanted)
        for step in self.plan(architecture or self.network.architecture):
            operands = [values[name] if name else None for name in step.inputs]
            if step.mode_dependent:
                made = step.kernel(*operands, training=self.training, momentum=self.momentum)
            else:
                made = step.kernel(*operands)
            values.update(zip(step.outputs, (made,) if isinstance(made, Tensor) else made, strict=False))
            for name in step.spent:
                if name not in kept:
                    del values[name]
        return {name: values[name] for name in wanted}

    def as_reference(
        self, architecture: Architecture | None = None
    ) -> Callable[[Mapping[str, np.ndarray]], dict[str, np.ndarray]]:
        """A function of arrays by input name to arrays by output name, in evaluation mode, on the CPU."""
        self.cpu().eval()

        def run(inputs: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
            with torch.inference_mode():
                outputs = self.run({name: torch.from_numpy(value) for name, value in inputs.items()}, architecture)
            return {name: value.numpy() for name, value in outputs.items()}

        return run

    def load_weights(self, weights: Mapping[str, np.ndarray]) -> None:
        """Set trainable tensors and running statistics by ONNX name: the inverse of `weights`."""
        tensors = self.named_tensors()
        with torch.no_grad():
            for name, value in weights.items():
                tensors[name].copy_(torch.from_numpy(value))

    def plan(self, architecture: Architecture) -> list[_Step]:
        """The calls that an architecture makes, in order."""
        plan = self._plans.get(architecture.states)
        if plan is None:
            plan = self._plans[architecture.states] = self._make_plan(architecture)
            if len(self._plans) > _CACHED_PLANS:
                self._plans.popitem(last=False)
        else:
            self._plans.move_to_end(architecture.states)
        return plan

    def _make_plan(self, architecture: Architecture) -> list[_Step]:
        calls: list[tuple[Kernel, tuple[str, ...], tuple[str, ...], bool]] = []
        for instruction in lower(self.network, architecture):
            if isinstance(instruction, RunNode):
                node = self.network.model.graph.node[instruction.node]
                outputs = (instruction.output,) if instruction.output is not None else tuple(node.output)
                kernel = self._kernels[instruction.node]
                calls.append((kernel, tuple(node.input), outputs, is_mode_dependent(node.op_type)))
            elif isinstance(instruction, RunSkip):
                calls.append((skip_kernel(instruction.skip), (instruction.source,), (instruction.output,), False))
            else:
                calls.append((_add, instruction.inputs, (instruction.output,), False))
        alive = {*self._keys, *self._host, *self.network.outputs}
        steps: list[_Step] = []
        for kernel, inputs, outputs, mode in reversed(calls):
            spent = tuple(name for name in dict.fromkeys((*inputs, *outputs)) if name and name not in alive)
            alive.update(spent)
            steps.append(_Step(kernel, inputs, outputs, mode, spent))
        return steps[::-1]

    def named_tensors(self) -> dict[str, Tensor]:
        """Trainable tensors and running statistics by ONNX name: all that training can change."""
        statistics = {
            name
            for node in self.network.model.graph.node
            if node.op_type == "BatchNormalization"
            for name in node.input[3:5]
        }
        return {
            name: getattr(self, key).detach()
            for name, key in self._keys.items()
            if isinstance(getattr(self, key), nn.Parameter) or name in statistics
        }

    def weights(self) -> dict[str, np.ndarray]:
        """`named_tensors` as arrays, for the rewriter."""
        return {name: tensor.cpu().contiguous().numpy().copy() for name, tensor in self.named_tensors().items()}


def _scores(network: Network) -> str:
    """The tensor of class scores: losses take logits, so not the probabilities that a final Softmax makes of them."""
    output = network.outputs[0]
    maker = next((node for node in network.model.graph.node if output in node.output), None)
    return maker.input[0] if maker is not None and maker.op_type == "Softmax" else output


def _add(*tensors: Tensor) -> Tensor:
    total = tensors[0]
    for tensor in tensors[1:]:
        total = total + tensor
    return total


def _build_kernels(network: Network) -> dict[int, Kernel]:
    opset = default_opset(network.model) or 1
    kernels: dict[int, Kernel] = {}
    refusals: list[str] = []
    for position, node in enumerate(network.model.graph.node):
        if node.domain not in DEFAULT_DOMAIN:
            refusals.append(f"{node.op_type} of the domain {node.domain}")
            continue
        try:
            kernels[position] = build(OpSpec.from_node(node, opset, network.folder))
        except UnsupportedOpError as error:
            refusals.append(str(error))
    if refusals:
        raise UnsupportedOpError("the model cannot be trained: " + "; ".join(dict.fromkeys(refusals)))
    return kernels


def _constants(
    network: Network, kernels: Mapping[int, Callable[..., Tensor | tuple[Tensor, ...]]]
) -> dict[str, Tensor]:
    """Values of the initializers and of the nodes that do not depend on the model's input."""
    graph = network.model.graph
    if graph.sparse_initializer:
        raise InputError("the model cannot be trained: it has sparse initializers")
    values = {tensor.name: _own(read_tensor(tensor, network.folder)) for tensor in graph.initializer}
    with torch.no_grad():
        for position in network.constant_nodes:
            node = graph.node[position]
            made = kernels[position](*(values[name] if name else None for name in node.input))
            values.update(zip(node.output, (made,) if isinstance(made, Tensor) else made, strict=False))
    read = {name for node in graph.node for name in node.input} | set(network.outputs)
    return {name: value for name, value in values.items() if name in read}


def _own(value: np.ndarray) -> Tensor:
    return torch.from_numpy(value if value.flags.writeable else value.copy())


def _trainable(network: Network) -> set[str]:
    """Names of the tensors that only trainable positions read."""
    topology = network.architecture.topology
    names = {weight.name for edge in topology.edges if edge.operation for weight in edge.operation.weights}
    names.update(weight.name for fmap in topology.maps for weight in fmap.weights)
    computed = {name for i in network.constant_nodes for name in _computed(network.model.graph.node[i])}
    other = {
        name
        for node in network.model.graph.node
        for position, name in enumerate(node.input)
        if position not in TRAINABLE.get(node.op_type, ())
    }
    return names - other - computed


def _computed(node: onnx.NodeProto) -> Sequence[str]:
    return () if node.op_type == "Constant" else tuple(node.output)
