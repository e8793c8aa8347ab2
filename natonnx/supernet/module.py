"""The supernet: one torch module that runs an ONNX model by any of its architectures, with shared weights."""

import contextlib
import functools
from collections import OrderedDict
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence

import numpy as np
import torch
from torch import Tensor, nn

from natonnx.architecture import Architecture, State
from natonnx.frontend import Instruction, Network, RunConcat, RunSelect, RunSkip, RunSum, lower
from natonnx.frontend.vocabulary import TRAINABLE
from natonnx.session import run, session
from natonnx.supernet.folded import fold
from natonnx.supernet.fuse import fuse
from natonnx.supernet.kernels import build_kernels, constants
from natonnx.supernet.ops import Kernel, UnsupportedOpError, host_positions
from natonnx.supernet.ops.operands import as_array, as_tensor
from natonnx.supernet.ops.placement import moved
from natonnx.supernet.plan import Plan, Step, freeing, of_shapes
from natonnx.supernet.sizes import Sizes
from natonnx.supernet.skip import skip_kernel
from natonnx.supernet.trim import trimmed

__all__ = ["Supernet", "as_channels_last", "host_only"]

_CACHED_PLANS = 256
_OF_SHAPES = frozenset({"Shape", "Size"})


class Supernet(nn.Module):
    """A model rebuilt in torch, in which every edge can be O, S or N.

    Parameters and buffers keep their ONNX names, with '.' written as '%2E' as torch demands. An architecture is
    switched by naming it in the call; its plan is made once and kept. A node that the op table does not know runs in
    onnxruntime, without a gradient. What neither can run is left out with all that depends on it, and named when it is
    asked for.

    Where the file takes a single sample at once, BatchNormalization keeps its statistics in training mode too: those of
    one sample are none of the data.

    Args:
        network: The parsed model; its weights are the starting point.
    """

    def __init__(self, network: Network) -> None:
        super().__init__()
        self.network = network
        self._host: dict[str, Tensor] = {}  # shape operands and such, always on the CPU
        self._keys: dict[str, str] = {}
        self._ranks: dict[str, int] = {}  # of all constants
        self._numbers: dict[str, float] = {}  # constants of one element that are not trained
        self._plans: OrderedDict[tuple[State, ...], Plan] = OrderedDict()
        program = lower(network, network.architecture).instructions
        running = {step.node for step in program if not isinstance(step, RunSkip) and step.node is not None}
        running.update(network.added)
        self._kernels, refused = build_kernels(network, sorted(running.union(network.constant_nodes)))
        values, self._unknown = constants(network, self._kernels)
        for position in sorted(running & refused.keys()):
            self._unknown.update(dict.fromkeys(network.extended.graph.node[position].output, refused[position]))
        host = host_only(network, {name: value.dim() for name, value in values.items()})
        trainable = _trainable(network) - host
        self._aliases = {name: one for name, one in network.computed.aliases.items() if one in trainable}
        for name, value in values.items():
            if name not in self._aliases or name in network.outputs:
                self._add_constant(name, value, trainable=name in trainable, host=name in host)

    @property
    def in_onnxruntime(self) -> tuple[str, ...]:
        """Operators that onnxruntime runs since the op table lacks them; no gradient flows through them."""
        kinds = (self.network.extended.graph.node[i].op_type for i, own in self._kernels.items() if own.spec is None)
        return tuple(sorted(set(kinds)))

    def _add_constant(self, name: str, value: Tensor, *, trainable: bool, host: bool) -> None:
        self._ranks[name] = value.dim()
        if value.numel() == 1 and not trainable and value.is_floating_point():
            self._numbers[name] = float(value)
        if host or not value.is_floating_point():
            self._host[name] = value
            return
        key = name.replace("%", "%25").replace(".", "%2E")
        if hasattr(self, key):  # the name of something of torch's own
            key = f"onnx:{key}"
        self._keys[name] = key
        value = _channels_last(value)
        if trainable:
            self.register_parameter(key, nn.Parameter(value))
        else:
            self.register_buffer(key, value)

    def forward(self, x: Tensor, architecture: Architecture | None = None, momentum: float | None = None) -> Tensor:
        """Run a model of one input and return its first output; `run` is for any model.

        Args:
            x: A batch, in the model's own shape.
            architecture: β where None.
            momentum: See `run`.
        """
        name = self.network.outputs[0]
        return self.run({self.network.inputs[0]: x}, architecture, [name], momentum=momentum)[name]

    def run(
        self,
        inputs: Mapping[str, Tensor],
        architecture: Architecture | None = None,
        capture: Sequence[str] | None = None,
        momentum: float | None = None,
    ) -> dict[str, Tensor]:
        """Run the model.

        Args:
            inputs: Tensors by input name.
            architecture: β where None.
            capture: Names of the tensors to return; the model's outputs where None.
            momentum: Weight of this batch in the running statistics, in training mode; each node's own where None.

        Returns:
            Tensors by name.

        Raises:
            UnsupportedOpError: If one of them cannot be computed; all operators that are missing are named at once.
            InputError: If onnxruntime cannot run the file on these inputs either, such as on an index out of range.
        """
        with self.explained(inputs):
            return self._run(inputs, architecture, capture, momentum)

    @contextlib.contextmanager
    def explained(self, inputs: Mapping[str, Tensor]) -> Iterator[None]:
        """Ask onnxruntime why the file cannot run on inputs, where torch fails within.

        Raises:
            InputError: If onnxruntime cannot, either.
        """
        try:
            yield
        except (RuntimeError, IndexError, ValueError) as error:
            if not isinstance(error, torch.OutOfMemoryError):
                run(session(self.network.model, folder=self.network.folder), _arrays(inputs))
            raise

    def _run(
        self,
        inputs: Mapping[str, Tensor],
        architecture: Architecture | None,
        capture: Sequence[str] | None,
        momentum: float | None,
    ) -> dict[str, Tensor]:
        wanted = tuple(self.network.outputs if capture is None else capture)
        values = self.constants() | as_channels_last(inputs)
        kept = {} if capture is None else dict.fromkeys(wanted)
        plan = self.plan(architecture or self.network.architecture)
        self._require(plan, wanted)
        training = self.training and self.network.batch_axes.size != 1
        known, made = plan.sizes.of(inputs), dict[str, Tensor]()
        for step in plan.steps if plan.hidden.intersection(wanted) else plan.fused:
            if step.outputs[0] in known:
                values.update((name, known[name]) for name in step.outputs)
            else:
                found = step.call(values, training=training, momentum=momentum)
                values.update(found)
                if step.outputs[0] in plan.sizes.names:
                    made.update(found)
            for name in step.spent:
                if name not in kept:
                    del values[name]
        if made and not known:
            plan.sizes.keep(inputs, made)
        return {name: values[name] for name in wanted}

    def constants(self) -> dict[str, Tensor]:
        """All that does not depend on the model's input, trainable or not, by ONNX name."""
        return {**self._host, **{name: getattr(self, key) for name, key in self._keys.items()}}

    def require(self, wanted: Sequence[str]) -> None:
        """Refuse a model of which some tensors cannot be computed.

        Raises:
            UnsupportedOpError: Naming all operators that are missing.
        """
        self._require(self.plan(self.network.architecture), wanted)

    def _require(self, plan: Plan, wanted: Sequence[str]) -> None:
        lacking = [plan.lacking[name] for name in wanted if name in plan.lacking]
        if lacking:
            reasons = dict.fromkeys([*lacking, *plan.lacking.values()])
            raise UnsupportedOpError("the model cannot be trained: " + "; ".join(reasons))

    def as_reference(self, architecture: Architecture | None = None) -> Callable[..., dict[str, np.ndarray]]:
        """A function of arrays by input name to arrays by tensor name, in evaluation mode, on the CPU.

        It returns the tensors whose names it gets as a second argument. Without that, the model's outputs; where an
        operator is missing, what can be computed of them, and the tensors that would have been read next.
        """
        self.cpu().eval()
        plan = self.plan(architecture or self.network.architecture)
        wanted = [name for name in self.network.outputs if name not in plan.lacking]
        wanted += [name for name in plan.frontier if name not in wanted]

        def reference(inputs: Mapping[str, np.ndarray], names: Sequence[str] | None = None) -> dict[str, np.ndarray]:
            tensors = {name: as_tensor(value) for name, value in inputs.items()}
            with torch.inference_mode():
                outputs = self.run(tensors, architecture, wanted if names is None else names)
            return {name: as_array(value) for name, value in outputs.items() if isinstance(value, Tensor)}

        return reference

    def rounded(self, seed: int) -> "Supernet":
        """A copy whose weights differ from this one's in the last bit, at random but repeatably."""
        copy = Supernet(self.network)
        copy.load_state_dict(self.state_dict())
        generator = torch.Generator().manual_seed(seed)
        with torch.no_grad():
            for tensor in copy.cpu().state_dict().values():
                step = torch.finfo(tensor.dtype).eps
                tensor.mul_(1 + step * (torch.randint(0, 3, tensor.shape, generator=generator) - 1))
        return copy

    def load_weights(self, weights: Mapping[str, np.ndarray | Tensor]) -> None:
        """Set trainable tensors and running statistics by ONNX name: the inverse of `weights`; tensors are fine too."""
        tensors = self.named_tensors()
        with torch.no_grad():
            for name, value in weights.items():
                tensors[name].copy_(value if isinstance(value, Tensor) else as_tensor(value))

    def plan(self, architecture: Architecture) -> Plan:
        """The calls that an architecture makes, in order."""
        plan = self._plans.get(architecture.states)
        if plan is None:
            plan = self._plans[architecture.states] = self._make_plan(architecture)
            if len(self._plans) > _CACHED_PLANS:
                self._plans.popitem(last=False)
        else:
            self._plans.move_to_end(architecture.states)
        return plan

    def _make_plan(self, architecture: Architecture) -> Plan:
        lacking = dict(self._unknown)
        frontier: list[str] = []
        calls: list[Step] = []
        program = lower(self.network, architecture)
        for instruction in program.instructions:
            step = self._step(instruction)
            reason = next((lacking[name] for name in (*step.inputs, *step.outputs) if name in lacking), None)
            if reason is None:
                calls.append(step)
            else:
                for name in step.outputs:
                    lacking.setdefault(name, reason)
                frontier.extend(step.inputs)
        made = {name for step in calls for name in step.outputs}
        frontier = [name for name in dict.fromkeys(frontier) if name in made]
        alive = {*self._keys, *self._host, *self.network.outputs, *frontier}
        fused = fuse(calls, self._ranks, self._numbers.get, frozenset(alive))
        steps, fewer = freeing(calls, alive), freeing(fused.steps, alive)
        sizes = Sizes(of_shapes(calls, self._host))
        return Plan(steps, lacking, tuple(frontier), fewer, fused.hidden, program.cut, sizes)

    def evaluation_steps(self, architecture: Architecture, wanted: Collection[str]) -> list[Step]:
        """List the calls that an architecture makes in evaluation mode while weights stay as they are.

        Those that read constants alone (`constants`) need no repetition from sample to sample.

        Raises:
            UnsupportedOpError: If one of the tensors that are wanted cannot be computed.
        """
        plan = self.plan(architecture)
        self._require(plan, tuple(wanted))
        steps = plan.steps if plan.hidden.intersection(wanted) else plan.fused
        return fold(steps, {*self._host, *self._keys}, {*wanted, *self.network.outputs})

    def _step(self, instruction: Instruction) -> Step:
        """The call that an instruction stands for."""
        if isinstance(instruction, RunSkip):
            return Step(instruction, skip_kernel(instruction.skip), (instruction.source,), (instruction.output,))
        if isinstance(instruction, RunSelect):
            with torch.inference_mode(False):  # the plan is kept, and trained with later
                indices = torch.tensor(instruction.indices)
            select: Kernel = functools.partial(_select, axis=instruction.axis, indices=indices)
            return Step(instruction, select, (instruction.source,), (instruction.output,))
        if isinstance(instruction, RunSum):
            inputs = tuple(self._aliases.get(name, name) for name in instruction.inputs)
            return Step(instruction, _add, inputs, (instruction.output,))
        if isinstance(instruction, RunConcat):
            kernel: Kernel = functools.partial(_concat, axis=instruction.axis)
            return Step(instruction, kernel, instruction.inputs, (instruction.output,))
        node = self.network.extended.graph.node[instruction.node]
        outputs = (instruction.output,) if instruction.output is not None else tuple(node.output)
        own = self._kernels.get(instruction.node)
        if own is None:  # its outputs are unknown, so it is left out
            return Step(instruction, _add, tuple(node.input), tuple(node.output))
        inputs = tuple(self._aliases.get(name, name) for name in own.inputs)
        kernel = own.kernel
        if instruction.trim is not None:
            kernel = trimmed(own, instruction.trim)
        if own.mode_dependent and instruction.node in self.network.frozen:
            kernel = functools.partial(kernel, training=own.training, momentum=None)
            return Step(instruction, kernel, inputs, outputs, own.spec)
        return Step(instruction, kernel, inputs, outputs, own.spec, own.mode_dependent, own.training)

    def named_tensors(self) -> dict[str, Tensor]:
        """Trainable tensors and running statistics by ONNX name: all that training can change."""
        statistics = self._statistics()
        return {
            name: getattr(self, key).detach()
            for name, key in self._keys.items()
            if isinstance(getattr(self, key), nn.Parameter) or name in statistics
        }

    def statistics(self) -> list[Tensor]:
        """Running statistics, as they are held: means and variances of channels."""
        return [getattr(self, self._keys[name]).detach() for name in self._statistics() if name in self._keys]

    def _statistics(self) -> dict[str, None]:
        nodes = (node for node in self.network.extended.graph.node if node.op_type == "BatchNormalization")
        return {name: None for node in nodes for name in node.input[3:5]}

    def weights(self) -> dict[str, np.ndarray]:
        """`named_tensors` as arrays, for the rewriter."""
        return {name: as_array(tensor.cpu().contiguous()).copy() for name, tensor in self.named_tensors().items()}


def as_channels_last(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Lay out tensors of four axes as convolutions are fastest."""
    return {name: _channels_last(tensor) for name, tensor in tensors.items()}


def _channels_last(tensor: Tensor) -> Tensor:
    """Lay out a tensor of four axes so, with strides that say it where an axis of 1 lets others do as well.

    torch's `contiguous` leaves a tensor of one channel, or of 1 × 1, as it is, and slower kernels are chosen by that.
    """
    if tensor.dim() != 4:
        return tensor
    _, channels, height, width = tensor.shape
    if tensor.stride() == (channels * height * width, 1, channels * width, channels):
        return tensor
    laid = torch.empty(tensor.shape, dtype=tensor.dtype, device=tensor.device, memory_format=torch.channels_last)
    return laid.copy_(tensor)


def _arrays(tensors: Mapping[str, Tensor]) -> dict[str, np.ndarray]:
    return {name: as_array(tensor.detach().cpu()) for name, tensor in tensors.items()}


def _add(*tensors: Tensor) -> Tensor:
    total = tensors[0]
    for tensor in tensors[1:]:
        total = total + tensor
    return total


def _concat(*tensors: Tensor, axis: int) -> Tensor:
    return torch.cat(tensors, axis)


def _select(tensor: Tensor, *, axis: int, indices: Tensor) -> Tensor:
    return tensor.index_select(axis, moved(indices, tensor.device))


def host_only(network: Network, ranks: Mapping[str, int]) -> set[str]:
    """Names of the constants that stay on the CPU: kernels read them as numbers, or arithmetic with shapes does.

    Args:
        network: The model.
        ranks: Numbers of axes of its constants, by name.
    """
    found: set[str] = set()
    shapes: set[str] = set()  # what nodes make of shapes and of constants no larger than those
    for node in network.extended.graph.node:
        names = [name for name in node.input if name]
        host = host_positions(node.op_type)
        found.update(name for i, name in enumerate(node.input) if i in host and name in ranks)
        known = all(name in shapes or ranks.get(name, 2) < 2 for name in names)
        if node.op_type in _OF_SHAPES or (known and not shapes.isdisjoint(names)):
            shapes.update(filter(None, node.output))
            found.update(name for name in names if name in ranks)
    return found


def _trainable(network: Network) -> set[str]:
    """Names of the tensors that only trainable positions read."""
    topology, computed = network.architecture.topology, network.computed
    operations = [operation for edge in topology.edges for operation in edge.operations.values()]
    names = {weight.name for operation in operations for weight in operation.weights}
    names.update(weight.name for fmap in topology.maps for weight in fmap.weights)
    constant, nodes = set(network.constant_nodes), network.extended.graph.node
    made = {name for i in constant if nodes[i].op_type != "Constant" for name in nodes[i].output}
    other = {
        computed.source(name)
        for i, node in enumerate(nodes)
        if computed.aliases.keys().isdisjoint(node.output)
        for position, name in enumerate(node.input)
        if i in constant or position not in TRAINABLE.get(node.op_type, ())
    }
    frozen = {computed.source(name) for i in network.frozen for name in nodes[i].input}
    return names - other - (made - computed.trainable) - frozen
