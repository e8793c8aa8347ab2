"""Compute the short lists of sizes that nodes make of shapes, as the target of a Reshape or an Expand often is.

Entries that are not known are None: how many there are, and what follows from the others, is known all the same.
"""

import math
import operator
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import NamedTuple

import onnx
from onnx import TensorProto, numpy_helper

__all__ = ["LONGEST", "UNKNOWN", "Sizes", "compute", "known_sizes", "stored_sizes"]

LONGEST = 64
"""Entries of a list."""

_LARGEST = (1 << 31) - 1
"""Beyond it, numbers of 32 bits would be others."""

_WHOLE = frozenset({TensorProto.INT64, TensorProto.INT32, TensorProto.BOOL})

Entry = int | None
_Rule = Callable[[onnx.NodeProto, Sequence["Sizes | None"]], "Sizes | None"]


class Sizes(NamedTuple):
    """Whole numbers or truth values: one number of rank 0, or a list of rank 1.

    Attributes:
        entries: The numbers; None for one that is not known.
        rank: 0 or 1.
    """

    entries: tuple[Entry, ...]
    rank: int = 1

    @property
    def known(self) -> tuple[int, ...] | None:
        """All entries; None where one is not known."""
        return None if None in self.entries else self.entries  # type: ignore[return-value]


UNKNOWN = Sizes((), -1)
"""The shape of a tensor of any rank."""


def stored_sizes(tensor: TensorProto) -> Sizes | None:
    """Read a constant; None where it holds anything but a few whole numbers."""
    if len(tensor.dims) > 1 or tensor.data_type not in _WHOLE or math.prod(tensor.dims) > LONGEST:
        return None
    if tensor.data_location == TensorProto.EXTERNAL:
        return None
    try:
        return Sizes(tuple(map(int, numpy_helper.to_array(tensor).reshape(-1))), len(tensor.dims))
    except ValueError:
        return None


def compute(node: onnx.NodeProto, operands: Sequence[Sizes | None]) -> Sizes | None:
    """Compute what a node makes of lists of sizes; None where that is no such list, or cannot be told.

    Args:
        node: A node of ONNX's own set, of one output.
        operands: Of each of its inputs, what is known of it; None where that is nothing, or it is left out. Of a Shape:
            the shape of what it reads, `UNKNOWN` where not even the rank is known.
    """
    rule = _RULES.get(node.op_type)
    if rule is None or not operands or operands[0] is None:
        return None
    found = rule(node, operands)
    return None if found is None or len(found.entries) > LONGEST else found


def known_sizes(
    graph: onnx.GraphProto, shapes: Mapping[str, Sequence[Entry]], names: Iterable[str]
) -> dict[str, Sizes]:
    """Compute lists of sizes of a graph, and what they are made of.

    Args:
        graph: The graph.
        shapes: Of its tensors, as far as they are known.
        names: The lists.
    """
    made = {node.output[0]: (i, node) for i, node in enumerate(graph.node) if len(node.output) == 1 and not node.domain}
    needed: dict[int, onnx.NodeProto] = {}
    waiting = list(names)
    while waiting:
        i, node = made.get(waiting.pop(), (-1, None))
        if node is not None and i not in needed:
            needed[i] = node
            waiting += node.input if node.op_type != "Shape" or node.input[0] not in shapes else ()
    found = {tensor.name: sizes for tensor in graph.initializer if (sizes := stored_sizes(tensor)) is not None}
    for _, node in sorted(needed.items(), key=lambda item: item[0]):
        if node.op_type == "Constant":
            own = next((stored_sizes(own.t) for own in node.attribute if own.HasField("t")), None)
        elif node.op_type == "Shape":
            read = node.input[0]
            shape = shapes.get(read, (len(found[read].entries),) * found[read].rank if read in found else None)
            own = compute(node, [UNKNOWN if shape is None else Sizes(tuple(shape))])
        else:
            own = compute(node, [found.get(name) for name in node.input])
        if own is not None and own != UNKNOWN:
            found[node.output[0]] = own
    return found


def _shape(node: onnx.NodeProto, operands: Sequence[Sizes | None]) -> Sizes | None:
    (shape,) = operands
    if shape is None or not node.attribute:
        return shape
    start, end = _integer(node, "start", 0), _integer(node, "end", LONGEST)
    if shape == UNKNOWN:
        return Sizes((None,) * (end - start)) if 0 <= start < end < LONGEST else None
    return Sizes(shape.entries[start:end])


def _gather(node: onnx.NodeProto, operands: Sequence[Sizes | None]) -> Sizes | None:
    data, indices = operands
    if data is None or indices is None or indices.known is None or _integer(node, "axis", 0) not in {0, -data.rank}:
        return None
    if data == UNKNOWN:
        return Sizes((None,) * len(indices.entries), indices.rank)
    count = len(data.entries)
    if data.rank != 1 or not all(-count <= i < count for i in indices.known):
        return None
    return Sizes(tuple(data.entries[i] for i in indices.known), indices.rank)


def _slice(_node: onnx.NodeProto, operands: Sequence[Sizes | None]) -> Sizes | None:
    data, *bounds = operands
    numbers = [one.known if one is not None else None for one in bounds]
    if data is None or len(numbers) < 2 or any(one is None or len(one) != 1 for one in numbers):
        return None
    start, end, axis, step = (one[0] for one in [*numbers, *[(0,), (1,)][len(numbers) - 2 :]] if one is not None)
    if axis not in {0, -1} or not step:
        return None
    if data == UNKNOWN:
        count = end - start if start >= 0 else -start if end > LONGEST else 0
        return Sizes((None,) * count) if step == 1 and 0 < count <= LONGEST and (start < 0) == (end > LONGEST) else None
    return Sizes(data.entries[start:end:step]) if data.rank == 1 else None


def _concat(_node: onnx.NodeProto, operands: Sequence[Sizes | None]) -> Sizes | None:
    entries: list[Entry] = []
    for one in operands:
        if one is None or one.rank != 1:
            return None
        entries += one.entries
    return Sizes(tuple(entries))


def _same(_node: onnx.NodeProto, operands: Sequence[Sizes | None]) -> Sizes | None:
    return operands[0]


def _cast(node: onnx.NodeProto, operands: Sequence[Sizes | None]) -> Sizes | None:
    return _same(node, operands) if _integer(node, "to", 0) in {TensorProto.INT64, TensorProto.INT32} else None


def _unsqueeze(node: onnx.NodeProto, operands: Sequence[Sizes | None]) -> Sizes | None:
    data, axes = operands[0], _axes(node, operands)
    return Sizes(data.entries) if data is not None and data.rank == 0 and axes in {(0,), (-1,)} else None


def _squeeze(node: onnx.NodeProto, operands: Sequence[Sizes | None]) -> Sizes | None:
    data, axes = operands[0], _axes(node, operands)
    single = data is not None and data.rank == 1 and len(data.entries) == 1 and axes in {(), (0,), (-1,)}
    return Sizes(data.entries, 0) if single and data is not None else None


def _reshape(_node: onnx.NodeProto, operands: Sequence[Sizes | None]) -> Sizes | None:
    data, target = operands[0], operands[1] if len(operands) > 1 else None
    if data is None or target is None or data.rank < 0 or target.known is None:
        return None
    if target.known == () and len(data.entries) == 1:
        return Sizes(data.entries, 0)
    return Sizes(data.entries) if target.known in {(-1,), (len(data.entries),)} and data.entries else None


def _filled(node: onnx.NodeProto, operands: Sequence[Sizes | None]) -> Sizes | None:
    shape = operands[0].known if operands[0] is not None and operands[0].rank == 1 else None
    value = next((stored_sizes(own.t) for own in node.attribute if own.name == "value"), None)
    if shape is None or value is None or len(shape) > 1 or len(value.entries) != 1:
        return None
    count = math.prod(shape)
    return Sizes(value.entries * count, len(shape)) if 0 <= count <= LONGEST else None


def _range(_node: onnx.NodeProto, operands: Sequence[Sizes | None]) -> Sizes | None:
    bounds = [one.known if one is not None and one.rank == 0 else None for one in operands]
    if len(bounds) != 3 or any(one is None for one in bounds):
        return None
    start, end, step = (one[0] for one in bounds if one)
    numbers = range(start, end, step) if step else ()
    return Sizes(tuple(numbers)) if step and len(numbers) <= LONGEST else None


def _product(node: onnx.NodeProto, operands: Sequence[Sizes | None]) -> Sizes | None:
    data = operands[0]
    if data is None or data.rank != 1 or _axes(node, operands) not in {(), (0,), (-1,)}:
        return None
    total = None if data.known is None else _bounded(math.prod(data.known))
    return Sizes((total,), _integer(node, "keepdims", 1))


def _entrywise(function: Callable[..., Entry]) -> "_Rule":
    """Apply a function of entries to each place of lists; a single number stands in every place."""

    def rule(_node: onnx.NodeProto, operands: Sequence[Sizes | None]) -> Sizes | None:
        given = [one for one in operands if one is not None and one.rank >= 0]
        count = max(len(one.entries) for one in given) if len(given) == len(operands) else 0
        if not count or any(len(one.entries) not in {1, count} for one in given):
            return None
        rows = zip(*(one.entries * (count // len(one.entries)) for one in given), strict=True)
        return Sizes(tuple(function(*row) for row in rows), max(one.rank for one in given))

    return rule


def _known(function: Callable[..., int]) -> Callable[..., Entry]:
    """Make a function of numbers one of entries: nothing is known of the result if not of all of them."""

    def applied(*row: Entry) -> Entry:
        try:
            return None if None in row else _bounded(int(function(*row)))
        except (ArithmeticError, TypeError):
            return None

    return applied


def _bounded(number: int) -> Entry:
    return number if abs(number) <= _LARGEST else None


def _divide(one: int, other: int) -> int:
    """Divide whole numbers as C++ does, towards zero."""
    return abs(one) // abs(other) * (1 if (one < 0) == (other < 0) else -1)


def _choose(condition: Entry, one: Entry, other: Entry) -> Entry:
    if condition is None:
        return one if one == other else None
    return one if condition else other


def _axes(node: onnx.NodeProto, operands: Sequence[Sizes | None]) -> tuple[int, ...] | None:
    """Axes that an operand or an attribute gives; none is ()."""
    if len(operands) > 1:
        return operands[1].known if operands[1] is not None else None
    return next((tuple(own.ints) for own in node.attribute if own.name == "axes"), ())


def _integer(node: onnx.NodeProto, name: str, default: int) -> int:
    return next((own.i for own in node.attribute if own.name == name), default)


_RULES: Mapping[str, _Rule] = {
    "Shape": _shape,
    "Gather": _gather,
    "Slice": _slice,
    "Concat": _concat,
    "Identity": _same,
    "Cast": _cast,
    "Unsqueeze": _unsqueeze,
    "Squeeze": _squeeze,
    "Reshape": _reshape,
    "ConstantOfShape": _filled,
    "Range": _range,
    "ReduceProd": _product,
    "Where": _entrywise(_choose),
    "Add": _entrywise(_known(operator.add)),
    "Sub": _entrywise(_known(operator.sub)),
    "Mul": _entrywise(_known(operator.mul)),
    "Div": _entrywise(_known(_divide)),
    "Max": _entrywise(_known(max)),
    "Min": _entrywise(_known(min)),
    "Equal": _entrywise(_known(operator.eq)),
    "Less": _entrywise(_known(operator.lt)),
    "Greater": _entrywise(_known(operator.gt)),
    "Not": _entrywise(_known(operator.not_)),
}
