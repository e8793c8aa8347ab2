"""What a model runs, node by node, as far as its outputs depend on it: steps of the op table, and constants."""

from dataclasses import dataclass

from torch import Tensor

from natonnx.frontend import Network, RunNode
from natonnx.frontend.view import reads
from natonnx.module.constants import Constants, find_constants
from natonnx.supernet.fuse import fuse
from natonnx.supernet.kernels import build_kernels, constants
from natonnx.supernet.ops import UnsupportedOpError
from natonnx.supernet.plan import Step

__all__ = ["Parts", "parts_of"]


@dataclass(frozen=True)
class Parts:
    """What a module is made of.

    Attributes:
        steps: In order; runs of nodes that torch computes in one call are one.
        values: The constants that they read, and the outputs that are constants.
        constants: Which of them are trained.
    """

    steps: tuple[Step, ...]
    values: dict[str, Tensor]
    constants: Constants

    @property
    def turned(self) -> dict[str, str]:
        """Matrices that a step transposes for another step alone, by the name of what it makes."""
        readers: dict[str, int] = {}
        for step in self.steps:
            for name in step.inputs:
                readers[name] = readers.get(name, 0) + 1
        return {
            step.outputs[0]: step.inputs[0]
            for step in self.steps
            if is_turn(step)
            and step.inputs[0] in self.constants.trained
            and self.values[step.inputs[0]].dim() == 2
            and readers[step.inputs[0]] == readers.get(step.outputs[0]) == 1
        }


def is_turn(step: Step) -> bool:
    """Whether a step transposes its input, if that is a matrix."""
    spec = step.spec
    return spec is not None and spec.op_type == "Transpose" and spec.integers("perm") in {None, (1, 0)}


def parts_of(network: Network) -> Parts:
    """Build the steps of a parsed model.

    Raises:
        UnsupportedOpError: If the op table lacks operators that outputs depend on; all are named at once.
    """
    nodes = network.model.graph.node
    needed = _needed(network)
    found = find_constants(network, needed)
    running = needed.difference(network.constant_nodes) | found.running
    kernels, missing = build_kernels(network, sorted(needed.union(network.constant_nodes)))
    lacking = sorted({nodes[i].op_type for i in running if i in missing or kernels[i].spec is None})
    if lacking:
        raise UnsupportedOpError(f"torch cannot run {', '.join(lacking)}, which outputs depend on; cut the model there")
    values, unknown = constants(network, kernels)
    read = {name for i in running for name in nodes[i].input} | set(network.outputs)
    if wrong := [reason for name, reason in unknown.items() if name in read]:
        raise UnsupportedOpError(wrong[0])
    made = {name for i in found.running for name in nodes[i].output}
    values = {name: value for name, value in values.items() if name in read - made}
    steps = [
        Step(RunNode(i), own.kernel, own.inputs, tuple(nodes[i].output), own.spec)
        for i, own in sorted(kernels.items())
        if i in running
    ]
    numbers = {name: float(value) for name, value in values.items() if _is_number(value) and name not in found.trained}
    parts = Parts(tuple(steps), values, found)
    ranks = {name: value.dim() for name, value in values.items()} | dict.fromkeys(parts.turned, 2)
    fused = fuse(steps, ranks, numbers.get, frozenset(network.outputs))
    return Parts(tuple(fused.steps), values, found)


def _is_number(value: Tensor) -> bool:
    return value.numel() == 1 and value.is_floating_point()


def _needed(network: Network) -> frozenset[int]:
    """Positions of the nodes that the outputs depend on."""
    wanted, needed = set(network.outputs), set[int]()
    for i, node in reversed(list(enumerate(network.model.graph.node))):
        if not wanted.isdisjoint(filter(None, node.output)):
            needed.add(i)
            wanted.update(reads(node))
    return frozenset(needed)
