"""The constants of a model: which are trained, which nodes make others of those, and the values of the rest."""

import math
from dataclasses import dataclass
from pathlib import Path

import onnx

from natonnx.frontend import Network
from natonnx.frontend.view import reads
from natonnx.frontend.vocabulary import DEFAULT_DOMAIN, TRAINABLE
from natonnx.module.skeleton import leaves
from natonnx.supernet.ops import host_positions
from natonnx.tensors import read_tensor

__all__ = ["Constants", "find_constants"]

_ARITHMETIC = frozenset({"Add", "Div", "Mul", "Sub"})
_THROUGH = _ARITHMETIC | {
    *("Cast", "Concat", "Expand", "Flatten", "Gather", "Identity", "Reshape", "Slice", "Split", "Squeeze", "Tile"),
    *("Transpose", "Unsqueeze"),
}
"""Operators that may stand between a weight and the node that it is trained in: they run in every step."""
_JOINING = frozenset({"Concat", "Expand"})
"""Operators that put a learnt token beside data; what is the same number everywhere is padding."""
_FLOATS = frozenset(
    {onnx.TensorProto.FLOAT, onnx.TensorProto.FLOAT16, onnx.TensorProto.DOUBLE, onnx.TensorProto.BFLOAT16}
)


@dataclass(frozen=True)
class Constants:
    """What the nodes of a model read that depends on no input.

    Attributes:
        trained: Names of the file's tensors that are parameters.
        statistics: Names of those that training moves otherwise: running means and variances.
        running: Positions of the nodes that make constants of parameters.
    """

    trained: frozenset[str]
    statistics: frozenset[str]
    running: frozenset[int]


def find_constants(network: Network, needed: frozenset[int]) -> Constants:
    """Look at every use of every constant.

    A parameter is a floating-point tensor of the file that is trained wherever it is read (`TRAINABLE`, or a token that
    is put beside data), be it by way of nodes that transpose, cut, join or scale it.

    Args:
        network: The model.
        needed: Positions of the nodes that the outputs depend on.
    """
    graph = network.model.graph
    constant = needed.intersection(network.constant_nodes)
    held = {name: tensor for name, tensor in leaves(network.model) if tensor.data_type in _FLOATS}
    arrays = {name: tensor for name, tensor in held.items() if math.prod(tensor.dims) > 1}
    unfit = set(network.outputs)
    read: set[str] = set()
    for i in sorted(needed, reverse=True):  # whoever reads what a node makes has been seen before it
        node = graph.node[i]
        plain = node.domain in DEFAULT_DOMAIN
        read.update(reads(node))
        unfit.update(set(reads(node)) - set(node.input))
        leads_on = i in constant and node.op_type in _THROUGH and plain and unfit.isdisjoint(node.output)
        for position, name in enumerate(node.input):
            if i in constant:
                fits = leads_on and position not in host_positions(node.op_type)
            else:
                fits = plain and position in TRAINABLE.get(node.op_type, ())
                joins = plain and node.op_type in _JOINING and position not in host_positions(node.op_type)
                fits |= joins and name in arrays and _varies(arrays[name], network.folder)
            if node.op_type in _ARITHMETIC and name in held.keys() - arrays:
                fits = False  # a single number is a constant of the architecture
            if not fits:
                unfit.add(name)
    statistics = _statistics(network, needed) & held.keys()
    trained = {name for name in held if name in read and name not in unfit}
    running: set[int] = set()
    made = set(trained)
    for i in sorted(constant):
        if not made.isdisjoint(graph.node[i].input):
            running.add(i)
            made.update(graph.node[i].output)
    return Constants(frozenset(trained), frozenset(statistics), frozenset(running))


def _varies(tensor: onnx.TensorProto, folder: Path | None) -> bool:
    value = read_tensor(tensor, folder)
    return bool((value != value.flat[0]).any())


def _statistics(network: Network, needed: frozenset[int]) -> set[str]:
    """Running statistics that nothing else reads."""
    names: set[str] = set()
    other = set(network.outputs)
    for i in needed:
        node = network.model.graph.node[i]
        own = set(node.input[3:5]) if node.op_type == "BatchNormalization" else set[str]()
        names |= own
        other.update(name for name in reads(node) if name not in own)
    return names - other
