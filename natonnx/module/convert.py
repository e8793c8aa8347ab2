"""ONNX → a plain torch module."""

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import replace

import onnx
import torch
from torch import Tensor, nn
from torch.nn import functional

from natonnx.frontend import Network, RunNode
from natonnx.module.layers import Layer, Node, layer_of, linear
from natonnx.module.module import Held, OnnxModule
from natonnx.module.numbers import Numbers, as_numbers
from natonnx.module.operator import Function, Operator
from natonnx.module.sizes import Sizes, find_sizes
from natonnx.module.skeleton import leaves, without_values
from natonnx.module.steps import Parts, parts_of
from natonnx.module.tree import Path, path_of, put_module, put_tensor
from natonnx.module.wiring import Call, Wiring
from natonnx.supernet.fuse import affine
from natonnx.supernet.module import host_only
from natonnx.supernet.plan import Step

__all__ = ["convert"]

_FLOATS = frozenset(
    {onnx.TensorProto.FLOAT, onnx.TensorProto.FLOAT16, onnx.TensorProto.DOUBLE, onnx.TensorProto.BFLOAT16}
)


def convert(network: Network) -> OnnxModule:
    """Make a module of a parsed model.

    Args:
        network: The model; what it computes is what the module computes.

    Raises:
        UnsupportedOpError: If the op table lacks operators that outputs depend on; all are named at once.
    """
    return _Conversion(network, parts_of(network)).run()


class _Conversion:
    """The making of one module."""

    def __init__(self, network: Network, parts: Parts) -> None:
        self.network, self.parts = network, parts
        self.module = OnnxModule()
        self.held: dict[str, Held] = {}
        self.layers = self._own(self._layers())

    def run(self) -> OnnxModule:
        """Make it."""
        network, module = self.network, self.module
        places = self._put_layers()  # before all else, so that names of weights come first
        alive = self._alive()
        tensors, host = self._put_tensors({name for i in alive for name in self._inputs(i)})
        calls = self._calls(alive, places, host)
        module.wiring = Wiring(network.inputs, network.outputs, _freeing(calls, network.outputs), tensors, host)
        module.held, module.reading = self.held, network.options
        module.skeleton = without_values(network.model, self.held, network.folder)
        return module

    def _layers(self) -> dict[int, Layer]:
        """Layers of torch's own by position of the step, as if each were alone in reading its tensors."""
        parts, turned = self.parts, self.parts.turned
        files = {name: parts.values[name] for name in parts.constants.trained | parts.constants.statistics}
        own = {**files, **{name: files[leaf].t() for name, leaf in turned.items()}}
        numbers = {
            name: float(value)
            for name, value in parts.values.items()
            if value.numel() == 1 and value.is_floating_point() and name not in files
        }
        sizes = {name: value for name, value in parts.values.items() if not value.is_floating_point()}
        found: dict[int, Layer] = {}
        for i, step in enumerate(parts.steps):
            if step.spec is not None:
                is_float = self.network.dtypes.get(step.inputs[0]) in _FLOATS if step.inputs else False
                layer = layer_of(Node(step.spec, step.inputs, own, numbers, sizes, self.network.shapes, is_float))
            elif step.kernel is affine:
                x, weight, bias = step.inputs
                layer = linear(x, weight, bias, own, turned=True)
            else:
                assert step.kernel is functional.gelu, "the only other run of nodes"
                layer = Layer(nn.GELU(), step.inputs)
            if layer is not None:
                found[i] = _unturned(layer, turned)
        return found

    def _own(self, layers: Mapping[int, Layer]) -> dict[int, Layer]:
        """Leave out layers whose tensors something else reads, but for calls of the same layer."""
        turned = self.parts.turned
        readers: dict[str, set[object]] = {name: {None} for name in self.network.outputs}
        for i, step in enumerate(self.parts.steps):
            names = {turned.get(name, name) for name in step.inputs} if step.outputs[0] not in turned else set()
            for name in names:
                readers.setdefault(name, set()).add(_signature(step, layers[i]) if i in layers else None)
        return {
            i: layer
            for i, layer in layers.items()
            if all(readers[name] == {_signature(self.parts.steps[i], layer)} for name in layer.tensors.values())
        }

    def _put_layers(self) -> dict[int, Path]:
        """Put layers that hold tensors into the module; return where they are, by position of the step."""
        places: dict[int, Path] = {}
        shared: dict[object, Path] = {}
        for i, layer in self.layers.items():
            if not layer.tensors:
                continue
            step = self.parts.steps[i]
            signature = _signature(step, layer)
            if signature not in shared:
                shared[signature] = put_module(self.module, self._path(step, layer), layer.module)
                self._fill(layer, shared[signature])
            places[i] = shared[signature]
        return places

    def _fill(self, layer: Layer, path: Path) -> None:
        """Give a layer its tensors."""
        for attribute, name in layer.tensors.items():
            value = self.parts.values.pop(name)
            turned = attribute in layer.turned
            value = (value.t() if turned else value).clone(memory_format=torch.contiguous_format)
            if name in self.parts.constants.trained:
                layer.module.register_parameter(attribute, nn.Parameter(value))
            else:
                layer.module.register_buffer(attribute, value)
            self.held[name] = Held((*path, attribute), turned)
        for name, value in layer.module.named_buffers(recurse=False):
            if value.is_meta:  # a count of batches
                layer.module.register_buffer(name, torch.zeros((), dtype=value.dtype))

    def _path(self, step: Step, layer: Layer) -> Path:
        """Where a layer belongs: where the names of its tensors say, else where the node's name does."""
        for attribute, name in layer.tensors.items():
            path = path_of(name)
            if len(path) > 1 and path[-1] == attribute:
                return path[:-1]
        path = path_of(self._name(step))
        return path[:-1] if len(path) > 1 and path[-1] == self._node(step).op_type else path

    def _name(self, step: Step) -> str:
        node = self._node(step)
        return node.name or next(filter(None, node.output))

    def _node(self, step: Step) -> onnx.NodeProto:
        return self.network.model.graph.node[_position(step)]

    def _inputs(self, i: int) -> tuple[str, ...]:
        """Names of what a step, or its layer, is called with."""
        return self.layers[i].inputs if i in self.layers else self.parts.steps[i].inputs

    def _alive(self) -> set[int]:
        """Positions of the steps that are needed: a layer needs no transposed weight."""
        wanted, alive = set(self.network.outputs), set[int]()
        for i, step in reversed(list(enumerate(self.parts.steps))):
            if not wanted.isdisjoint(filter(None, step.outputs)):
                alive.add(i)
                wanted.update(self._inputs(i))
        return alive

    def _put_tensors(self, read: Iterable[str]) -> tuple[dict[str, Path], dict[str, Tensor | Numbers]]:
        """Put tensors that no layer holds into the module; return where they are, and those on the CPU."""
        parts = self.parts
        numbers = host_only(self.network, {name: value.dim() for name, value in parts.values.items()})
        files = {name for name, _ in leaves(self.network.model)}
        places: dict[str, Path] = {}
        host: dict[str, Tensor | Numbers] = {}
        read = {*read, *self.network.outputs}
        for name in sorted(read & parts.values.keys()):
            value, trained = parts.values[name], name in parts.constants.trained
            if not trained and (name in numbers or not value.is_floating_point()):
                host[name] = as_numbers(value.clone())
                continue
            path = tuple(name.split("."))
            path = path if all(path) else (name.replace(".", "%2E"),)
            kept = trained or name in parts.constants.statistics
            own = nn.Parameter(value.clone()) if trained else value.clone()
            places[name] = put_tensor(self.module, path, own, kept=kept)
            if name in files:
                self.held[name] = Held(places[name])
        return places, host

    def _calls(self, alive: set[int], places: Mapping[int, Path], host: Mapping[str, Tensor | Numbers]) -> list[Call]:
        """All calls, in order."""
        steps = {i: self.parts.steps[i] for i in sorted(alive)}
        kernels = {i: step for i, step in steps.items() if i not in self.layers}
        numbers = {name: value for name, value in host.items() if isinstance(value, Numbers)}
        read = [*self.network.outputs, *(name for i in steps if i in self.layers for name in self._inputs(i))]
        groups = find_sizes(kernels, numbers, read)
        made = {name: i for i, step in steps.items() for name in step.outputs}
        found: dict[int, list[Call]] = {}
        for group in groups:
            step = steps[group.steps[-1]]
            path = put_module(self.module, path_of(self._name(step)), Sizes(group, steps, numbers))
            at = max((made.get(name, -1) for name in group.sources), default=-1)  # as soon as it can be
            found.setdefault(at, []).append(Call(path, group.sources, (group.output,), _position(step)))
        names = numbers.keys() | {group.output for group in groups}
        within = {i for group in groups for i in group.steps}
        for i in steps.keys() - within:
            found[i] = [*self._own_calls(i, places.get(i), names), *found.get(i, [])]
        return [call for i in sorted(found) for call in found[i]]

    def _own_calls(self, i: int, place: Path | None, numbers: Collection[str]) -> Sequence[Call]:
        """The calls that run a step; some of its inputs may be numbers."""
        step, layer = self.parts.steps[i], self.layers.get(i)
        outputs = tuple(name or f"{step.outputs[0]}#{n}" for n, name in enumerate(step.outputs))
        inputs = self._inputs(i)
        if layer is not None:
            module = layer.module
        else:
            given = [n for n, name in enumerate(inputs) if name in numbers]
            module = Function(step.kernel) if step.spec is None else Operator(step.spec, given)
        own = place or put_module(self.module, self._path(step, layer or Layer(module, ())), module)
        if layer is None or layer.before is None:
            return (Call(own, inputs, outputs, _position(step)),)
        border = f"{outputs[0]}#border"
        path = put_module(self.module, (*own[:-1], f"{own[-1]}_border"), layer.before)
        return (
            Call(path, inputs, (border,), _position(step)),
            Call(own, (border,), outputs, _position(step)),
        )


def _position(step: Step) -> int:
    assert isinstance(step.instruction, RunNode)
    return step.instruction.node


def _signature(step: Step, layer: Layer) -> object:
    """What is the same of two steps that one layer can run."""
    attributes = () if step.spec is None else sorted(step.spec.attributes.items())
    return type(layer.module), repr(attributes), tuple(layer.tensors.items()), layer.turned


def _unturned(layer: Layer, turned: Mapping[str, str]) -> Layer:
    """Let a layer hold a tensor of the file in the place of one that is that transposed."""
    changed = {attribute for attribute, name in layer.tensors.items() if name in turned}
    tensors = {attribute: turned.get(name, name) for attribute, name in layer.tensors.items()}
    return replace(layer, tensors=tensors, turned=layer.turned ^ changed)


def _freeing(calls: Sequence[Call], outputs: Iterable[str]) -> tuple[Call, ...]:
    """Say of each call which tensors nothing reads afterwards."""
    read, made = set(outputs), {name for call in calls for name in call.outputs}
    found: list[Call] = []
    for call in reversed(calls):
        names = dict.fromkeys((*call.inputs, *call.outputs))
        found.append(call._replace(spent=tuple(name for name in names if name in made and name not in read)))
        read.update(call.inputs)
    return tuple(reversed(found))
