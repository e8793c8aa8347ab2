"""Infer shapes that depend on symbols by putting numbers in their place.

onnx's own inference cannot compute with symbols: behind a Reshape whose target is made of the batch size, or a Resize,
a size is unknown. With numbers it can, and numbers under several assignments tell what the size is
(`natonnx.frontend.forms`). What it does not compute even of numbers, such as the target of an Expand that a Where
chooses, is computed here and put into the model as a constant.
"""

from collections.abc import Collection, Mapping, Sequence

import numpy as np
import onnx
from onnx import numpy_helper

from natonnx.architecture import Shape
from natonnx.frontend.declared import infer
from natonnx.frontend.forms import FIRST, Assignment, Forms, assignments
from natonnx.frontend.symbols import declared_size, evaluate
from natonnx.sizes import known_sizes

__all__ = ["infer_numerically"]

_SIZED: Mapping[str, Sequence[int]] = {
    "ConstantOfShape": (0,),
    **dict.fromkeys(("Expand", "Pad", "Reshape", "Tile"), (1,)),
    "Range": (0, 1, 2),
    "Resize": (3,),
    "Slice": (1, 2, 3, 4),
}
"""Operators whose results' sizes are computed, and which of their inputs tell them."""

_ROUNDS = 8
"""Of putting sizes in, where the sizes of one depend on those of another."""

_Numbers = tuple[int | None, ...]


def infer_numerically(
    model: onnx.ModelProto, symbols: Collection[str], batch: Collection[str], *, harmless: bool
) -> tuple[dict[str, Shape], Forms]:
    """Infer shapes of the tensors that nodes make, under the assignments that tell most.

    Args:
        model: The model; not changed.
        symbols: Those that stand on axes of its inputs.
        batch: Those among them that count samples.
        harmless: What `is_harmless` says of the model.

    Returns:
        Shapes by tensor name, with None for a size that is unknown or has no short text; and how sizes are written.
    """
    made = {name for node in model.graph.node for name in node.output if name}
    choices = list(assignments(symbols, batch)) if symbols else [({},)]
    rows = choices[0]
    seen = [_sizes(model, row, harmless) for row in rows[:FIRST]]
    if len(choices) > 1 and _count(seen, made) < len(made) * len(seen):
        plain = [[_sizes(model, row, harmless, rounds=1) for row in one[:FIRST]] for one in choices]
        rows = choices[max(range(len(choices)), key=lambda i: _count(plain[i], made))]
        seen = [_sizes(model, row, harmless) for row in rows[:FIRST]]
    seen += [_sizes(model, row, harmless) for row in rows[FIRST:]]
    forms = Forms(rows)
    shapes: dict[str, Shape] = {}
    for name, shape in seen[0].items():
        columns = [one.get(name, ()) for one in seen]
        if all(len(one) == len(shape) for one in columns):
            shapes[name] = tuple(map(forms.write, zip(*columns, strict=True)))
    return shapes, forms


def _count(found: Sequence[Mapping[str, _Numbers]], names: Collection[str]) -> int:
    """How many tensors of these names are known, under all assignments together."""
    return sum(None not in shape for one in found for name, shape in one.items() if name in names)


def _sizes(model: onnx.ModelProto, values: Assignment, harmless: bool, rounds: int = _ROUNDS) -> dict[str, _Numbers]:
    """Sizes of tensors under an assignment; nothing where onnx's inference fails.

    Args:
        model: The model.
        values: The assignment.
        harmless: Whether inference over it cannot take long, whatever the numbers are.
        rounds: How often at most it is inferred, each time but the first with sizes put in.
    """
    copy = onnx.ModelProto()
    copy.CopyFrom(model)
    for info in (*copy.graph.input, *copy.graph.output, *copy.graph.value_info):
        for dim in info.type.tensor_type.shape.dim if info.type.HasField("tensor_type") else ():
            size = declared_size(dim)
            if not isinstance(size, int):
                dim.Clear()
                if (number := evaluate(size, values)) is not None:
                    dim.dim_value = number
    known: dict[str, _Numbers] = {}
    for left in reversed(range(rounds)):
        further = _told(infer(copy, harmless=harmless))
        if len(further) < len(known):
            break
        known = further
        if not left or not _put_sizes(copy, known):
            break
    return known


def _told(inferred: onnx.ModelProto | None) -> dict[str, _Numbers]:
    found: dict[str, _Numbers] = {}
    for info in (*inferred.graph.value_info, *inferred.graph.output) if inferred else ():
        kind = info.type
        if kind.HasField("tensor_type") and (tensor := kind.tensor_type).HasField("shape"):
            found[info.name] = tuple([dim.dim_value or _zero(dim) for dim in tensor.shape.dim])
    return found


def _zero(dim: onnx.TensorShapeProto.Dimension) -> int | None:
    """What an axis without a positive size has: 0 where that is said, nothing where none is."""
    return 0 if dim.HasField("dim_value") else None


def _put_sizes(model: onnx.ModelProto, shapes: Mapping[str, _Numbers]) -> bool:
    """Put the sizes that nodes of unknown results read in their operands' place, in place; whether there are any."""
    graph = model.graph
    open_nodes = [
        node
        for node in graph.node
        if node.op_type in _SIZED and any(None in shapes.get(name, (None,)) for name in node.output if name)
    ]
    if not open_nodes:
        return False
    fixed = {info.name: tuple(dim.dim_value or None for dim in info.type.tensor_type.shape.dim) for info in graph.input}
    read = [(node, i) for node in open_nodes for i in _SIZED[node.op_type] if i < len(node.input)]
    sizes = known_sizes(graph, {**fixed, **shapes}, {node.input[i] for node, i in read})
    known = [(node, i, sizes[node.input[i]]) for node, i in read if node.input[i] in sizes]
    given = {tensor.name for tensor in graph.initializer}
    put = [(node, i, own) for node, i, own in known if own.known is not None and node.input[i] not in given]
    for node, i, own in put:
        value = np.array(own.known, np.int64).reshape((-1,) if own.rank else ())
        node.input[i] = f"{node.output[0]}/natonnx_{i}"
        graph.initializer.append(numpy_helper.from_array(value, node.input[i]))
    return bool(put)
