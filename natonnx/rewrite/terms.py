"""Number the values of graphs: two have one number where the same nodes make them of the same inputs and constants.

As compilers number values. A model that was made of a source needs no run to be compared where its outputs have the
numbers that the edited source's have. A node is one of the source's, told by its position: another one that does the
same is another, for it may be random.
"""

import itertools
from collections.abc import Hashable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnx

from natonnx.architecture import Shape
from natonnx.frontend.view import reads
from natonnx.frontend.vocabulary import DEFAULT_DOMAIN
from natonnx.tensors import read_tensor

__all__ = ["Terms", "operands"]


_PADDED = 2
"""Operands of a Pad that fills with zeros: the tensor and the amounts."""


class Terms:
    """A table of numbers.

    Args:
        shapes: Shapes of the source's tensors.
        folder: Where its external data is.
    """

    def __init__(self, shapes: Mapping[str, Shape], folder: Path | None) -> None:
        self._shapes, self._folder = shapes, folder
        self._numbers: dict[Hashable, int] = {}

    def of(self, *what: Hashable) -> int:
        """The number of something."""
        return self._numbers.setdefault(what, len(self._numbers))

    def constant(self, value: np.ndarray) -> int:
        """The number of a constant that the source does not have, by what it holds."""
        if value.dtype.hasobject:
            return self.of(object())
        return self.of("constant", str(value.dtype), value.shape, value.tobytes())

    def held(self, model: onnx.ModelProto, source: onnx.ModelProto) -> dict[str, int]:
        """The numbers of a model's constants: of those that are the source's, and of others by what they hold."""
        numbers: dict[str, int] = {}
        given = [{info.name for info in one.graph.input} for one in (model, source)]  # may be given other values
        own = {tensor.name: tensor for tensor in source.graph.initializer}
        for tensor in model.graph.initializer:
            name = tensor.name
            same = name in own and (name in given[0]) == (name in given[1]) and tensor == own[name]
            if same:
                numbers[name] = self.of("held", name)
            else:
                numbers[name] = (
                    self.of(object()) if name in given[0] else self.constant(read_tensor(tensor, self._folder))
                )
        sparse = {tensor.values.name: tensor for tensor in source.graph.sparse_initializer}
        for other in model.graph.sparse_initializer:
            name = other.values.name
            numbers[name] = self.of("sparse", name if sparse.get(name) == other else object())
        return numbers

    def sum(self, members: Sequence[int]) -> int:
        """The number of a sum, in whatever order; of one member it is the member."""
        return members[0] if len(members) == 1 else self.of("sum", *sorted(members))

    def concat(self, members: Sequence[int], axis: int) -> int:
        """The number of a concat; of one member it is the member."""
        return members[0] if len(members) == 1 else self.of("concat", axis, *members)

    def pool(self, operand: int, window: Sequence[int]) -> int:
        """The number of means over windows beside each other."""
        return self.of("pool", operand, *window)

    def pad(self, operand: int, amounts: int) -> int:
        """The number of a tensor with zeros around it, so many as a constant says."""
        return self.of("pad", operand, amounts)

    def made(self, node: onnx.NodeProto, position: int | None, read: Sequence[int | None]) -> dict[str, int]:
        """The numbers of what a node makes.

        Args:
            node: The node.
            position: Of the source's node that it is; None where it is none of them.
            read: Numbers of its operands.
        """
        members = [number for number in read if number is not None]
        if node.domain in DEFAULT_DOMAIN and len(members) == len(read) > 0 and len(node.output) == 1:
            if node.op_type == "Identity":
                return {node.output[0]: members[0]}
            if node.op_type in {"Add", "Sum"} and not node.attribute:
                return {node.output[0]: self.sum(members)}
            if node.op_type == "Concat":
                return {node.output[0]: self.concat(members, self.axis(node))}
            if node.op_type == "AveragePool" and (window := _window(node)):
                return {node.output[0]: self.pool(members[0], window)}
            if node.op_type == "Pad" and len(members) == _PADDED and _options(node) in ({}, {"mode": b"constant"}):
                return {node.output[0]: self.pad(*members)}
        if node.op_type == "Constant" and node.output and position is None and _options(node).keys() == {"value"}:
            return {node.output[0]: self.constant(read_tensor(node.attribute[0].t, self._folder))}
        what: Hashable = object() if position is None else position
        return {name: self.of("made", what, i, *read) for i, name in enumerate(node.output) if name}

    def axis(self, concat: onnx.NodeProto) -> int:
        """The axis of a concat, counted from the first one where the rank is known."""
        axis = next((attribute.i for attribute in concat.attribute if attribute.name == "axis"), 1)
        rank = len(self._shapes.get(concat.output[0], ()))
        return axis % rank if rank else axis


def _options(node: onnx.NodeProto) -> dict[str, Any]:
    return {attribute.name: onnx.helper.get_attribute_value(attribute) for attribute in node.attribute}


def _window(pool: onnx.NodeProto) -> Sequence[int]:
    """The window of a pooling that leaves nothing out and has no other options; nothing of others."""
    options = _options(pool)
    window: Sequence[int] = options.get("kernel_shape", ())
    return window if options == {"kernel_shape": window, "strides": window} else ()


def operands(node: onnx.NodeProto, numbers: Mapping[str, int]) -> list[int | None]:
    """The numbers of what a node reads, None for inputs that are left out; then of what its nested graphs capture.

    Raises:
        KeyError: If a tensor has no number.
    """
    given = [numbers[name] if name else None for name in node.input]
    named = sum(number is not None for number in given)
    return given + [numbers[name] for name in itertools.islice(reads(node), named, None)]
