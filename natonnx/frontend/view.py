"""An index over an ONNX graph: who makes and who reads a tensor, what is constant, shapes and names."""

import math
from collections import Counter
from collections.abc import Mapping
from functools import cached_property
from pathlib import Path

import numpy as np
import onnx

from natonnx.architecture import Shape, Weight
from natonnx.frontend.batch_axes import BatchAxes
from natonnx.frontend.computed import ComputedWeights, find_computed
from natonnx.frontend.load import default_opset
from natonnx.frontend.node import Node, note, reads
from natonnx.frontend.shapes import OTHER_TYPE
from natonnx.frontend.vocabulary import AFFINE, DEFAULT_DOMAIN, TRAINABLE
from natonnx.tensors import read_tensor

__all__ = ["RANDOM", "GraphView", "reads"]

_FLOATS = frozenset(
    {onnx.TensorProto.FLOAT, onnx.TensorProto.FLOAT16, onnx.TensorProto.DOUBLE, onnx.TensorProto.BFLOAT16}
)
RANDOM = frozenset(
    {"RandomNormal", "RandomUniform", "RandomNormalLike", "RandomUniformLike", "Multinomial", "Bernoulli"}
)


class GraphView:
    """Read-only index over the main graph of a model.

    Attributes:
        model: The model.
        folder: Where its external data is.
        opset: The version of ONNX's own operator set that it imports; None where it imports none.
        nodes: The graph's nodes, in file order.
        producer: Node position that makes each tensor.
        readers: Node positions that read each tensor, once per reading input; nested graphs count as their node.
        constants: Names of tensors that do not depend on the model's input.
        inputs: Names of the graph's true inputs (not overridable initializers).
        outputs: Names of the graph's outputs.
        batch_symbols: Symbols that count samples in shapes.
        batch_size: The batch size where the file fixes it; None where it does not.
    """

    def __init__(
        self,
        model: onnx.ModelProto,
        shapes: Mapping[str, Shape],
        dtypes: Mapping[str, int],
        folder: Path | None = None,
        axes: BatchAxes | None = None,
    ) -> None:
        graph = model.graph
        self.model = model
        self.opset = default_opset(model)
        self.nodes = [note(node) for node in graph.node]
        self._kinds = [_kind(node) for node in self.nodes]
        self._functions = {(function.domain, function.name) for function in model.functions}
        self._shapes = shapes
        self._dtypes = dtypes
        self.folder = folder
        self.batch_symbols = axes.symbols(shapes) if axes else frozenset[str]()
        self.batch_size = axes.size if axes else None
        self._initializers = {tensor.name: tensor for tensor in graph.initializer}
        self.inputs = tuple(info.name for info in graph.input if info.name not in self._initializers)
        self.outputs = tuple(info.name for info in graph.output)
        self._outputs = frozenset(self.outputs)
        self._inputs = frozenset(self.inputs)
        self.producer = {name: i for i, node in enumerate(self.nodes) for name in node.output if name}
        self._reads = [list(reads(node)) if node.attribute else list(filter(None, node.input)) for node in self.nodes]
        self.readers: dict[str, list[int]] = {}
        for i, names in enumerate(self._reads):
            for name in names:
                self.readers.setdefault(name, []).append(i)
        self._sparse = {tensor.values.name for tensor in graph.sparse_initializer}
        self.constants = {*self._initializers, *self._sparse}
        made = (i for i in range(len(self.nodes)) if self.attribute(i, "sparse_value") is not None)
        self._sparse.update(name for i in made for name in self.nodes[i].output)
        for kind, node, names in zip(self._kinds, self.nodes, self._reads, strict=True):
            if self.constants.issuperset(names) and kind not in RANDOM:
                self.constants.update(filter(None, node.output))
        self._variable = [[name for name in names if name not in self.constants] for names in self._reads]
        self._node_names = Counter(node.name for node in self.nodes)

    def kind(self, node: int) -> str:
        """A node's operator: its plain name in ONNX's own domain, "domain::name" elsewhere; "" if it makes nothing."""
        return self._kinds[node]

    def shape(self, tensor: str) -> Shape:
        """Shape of a tensor; () where it is unknown, as it is for a scalar."""
        return self._shapes.get(tensor, ())

    def is_float(self, tensor: str) -> bool:
        """Whether a tensor holds floating-point numbers."""
        return self._dtypes.get(tensor) in _FLOATS

    def is_double(self, tensor: str) -> bool:
        """Whether a tensor holds numbers of float64."""
        return self._dtypes.get(tensor) == onnx.TensorProto.DOUBLE

    def same_type(self, one: str, other: str) -> bool:
        """Whether two tensors hold elements of one type, as far as that is known."""
        types = self._dtypes.get(one), self._dtypes.get(other)
        return None in types or types[0] == types[1]

    def is_tensor(self, tensor: str) -> bool:
        """Whether a value is known to be a plain tensor, or nothing is known of it."""
        return self._dtypes.get(tensor) != OTHER_TYPE

    def is_function(self, node: int) -> bool:
        """Whether a node calls a function of the model's own."""
        return (self.nodes[node].domain, self.nodes[node].op_type) in self._functions

    def name(self, node: int) -> str:
        """A unique, stable name of a node: its own where that is unique, its first output's, or its position's."""
        own = self.nodes[node].name
        if own and self._node_names[own] == 1:
            return own
        return next(filter(None, self.nodes[node].output), f"{self.nodes[node].op_type}_{node}")

    def only_reader(self, tensor: str) -> int | None:
        """The node that alone reads a tensor, by a single input; None where others or the model's output read it."""
        readers = self.readers.get(tensor, [])
        return readers[0] if len(readers) == 1 and tensor not in self._outputs else None

    def can_lose_entries(self, tensor: str) -> bool:
        """Whether entries can be taken out of what a node reads of a tensor."""
        return bool(tensor) and tensor not in self._sparse

    def is_known(self, tensor: str) -> bool:
        """Whether the shape of a tensor is known, be it that of a scalar."""
        return tensor in self._shapes

    def reads(self, node: int) -> list[str]:
        """The tensors a node reads, those that its nested graphs capture included."""
        return self._reads[node]

    def variable_inputs(self, node: int) -> list[str]:
        """The tensors a node reads that depend on the model's input, in order, repeats kept."""
        return self._variable[node]

    def uses_further_outputs(self, node: int) -> bool:
        """Whether anything reads what a node makes besides its first output, or the model puts it out."""
        further = self.nodes[node].output[1:]
        return bool(further) and any(name in self.readers or name in self._outputs for name in further)

    def reads_only_inputs(self, node: int) -> bool:
        """Whether all that varies in what a node reads is the model's own input."""
        return self._inputs.issuperset(self.variable_inputs(node))

    def weights(self, node: int) -> tuple[Weight, ...]:
        """The trainable tensors of a node, by the names of their holders; sparse ones stay as they are."""
        kind, inputs = self._kinds[node], self.nodes[node].input
        names = [inputs[i] for i in TRAINABLE.get(kind, ()) if i < len(inputs) and inputs[i] in self.constants]
        floats = [name for name in names if self.is_float(name) and self.holder(name) not in self._sparse]
        sizes = {self.holder(name): self.size(name) for name in floats}
        least = 2 if kind in AFFINE else 1  # the 6 of a hard swish is no weight
        return tuple(Weight(name, size) for name, size in sizes.items() if size >= least)

    @cached_property
    def computed(self) -> ComputedWeights:
        """The constants that nodes make and others read as weights."""
        return find_computed(self)

    def holder(self, tensor: str) -> str:
        """The tensor under which a constant counts as a weight."""
        return self.computed.holders.get(tensor, tensor)

    def size(self, tensor: str) -> int:
        """How many elements a tensor has, unknown sizes left out."""
        shape = self.shape(tensor)
        return math.prod(size for size in shape if isinstance(size, int))

    def attribute(self, node: int, name: str, default: object = None) -> object:
        """An attribute's value as a Python object."""
        for attribute in self.nodes[node].attribute:
            if attribute.name == name:
                return onnx.helper.get_attribute_value(attribute)
        return default

    def ints(self, node: int, name: str, default: tuple[int, ...] = ()) -> tuple[int, ...]:
        """An attribute that lists integers."""
        value = self.attribute(node, name, default)
        return tuple(value) if isinstance(value, (list, tuple)) else default

    def integers(self, node: int, attribute: str, position: int) -> tuple[int, ...] | None:
        """Integers that older operator versions take as an attribute and newer ones as a constant input.

        Returns:
            None where they are absent or not constant.
        """
        own = self.attribute(node, attribute)
        if isinstance(own, (list, tuple)):
            return tuple(own)
        inputs = self.nodes[node].input
        value = self.constant(inputs[position]) if position < len(inputs) else None
        return None if value is None else tuple(int(one) for one in value.reshape(-1))

    def constant(self, tensor: str) -> np.ndarray | None:
        """Value of an initializer or of a Constant node's output; None for others."""
        if tensor in self._initializers:
            return read_tensor(self._initializers[tensor], self.folder)
        node = self.producer.get(tensor)
        if node is None or self.kind(node) != "Constant":
            return None
        value = onnx.helper.get_attribute_value(self.nodes[node].attribute[0])
        if isinstance(value, onnx.TensorProto):
            return read_tensor(value, self.folder)
        numbers = np.asarray(value) if isinstance(value, (int, float, list)) else None
        if numbers is None or numbers.dtype.kind not in "if":
            return None
        return numbers.astype(np.int64 if numbers.dtype.kind == "i" else np.float32)


def _kind(node: Node) -> str:
    if not node.output:
        return ""
    return node.op_type if node.domain in DEFAULT_DOMAIN else f"{node.domain}::{node.op_type}"
