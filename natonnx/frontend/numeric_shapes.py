"""Infer shapes that depend on symbols by putting numbers in their place.

onnx's own inference cannot compute with symbols: behind a Reshape whose target is made of the batch size, or a Resize,
a size is unknown. With numbers it can, and numbers under several assignments tell what the size is
(`natonnx.frontend.forms`).
"""

from collections.abc import Collection, Mapping, Sequence

import onnx

from natonnx.architecture import Shape
from natonnx.frontend.declared import infer
from natonnx.frontend.forms import FIRST, Forms, assignments
from natonnx.frontend.symbols import declared_size, evaluate

__all__ = ["infer_numerically"]


def infer_numerically(
    model: onnx.ModelProto, symbols: Collection[str], batch: Collection[str]
) -> tuple[dict[str, Shape], Forms]:
    """Infer shapes of the tensors that nodes make, under the assignments that tell most.

    Args:
        model: The model; not changed.
        symbols: Those that stand on axes of its inputs.
        batch: Those among them that count samples.

    Returns:
        Shapes by tensor name, with None for a size that is unknown or has no short text; and how sizes are written.
    """
    made = {name for node in model.graph.node for name in node.output if name}
    most = -1
    rows: Sequence[Mapping[str, int]] = ({},)
    seen: list[dict[str, tuple[int | None, ...]]] = [{}]
    for choice in assignments(symbols, batch):
        found = [_sizes(model, row) for row in choice[:FIRST]]
        known = sum(None not in shape for one in found for name, shape in one.items() if name in made)
        if known > most:
            most, rows, seen = known, choice, found
        if known == len(made) * len(found):
            break
    seen += [_sizes(model, row) for row in rows[FIRST:]]
    forms = Forms(rows)
    shapes: dict[str, Shape] = {}
    for name, first in seen[0].items():
        columns = [one.get(name, ()) for one in seen]
        if all(len(one) == len(first) for one in columns):
            shapes[name] = tuple(map(forms.write, zip(*columns, strict=True)))
    return shapes, forms


def _sizes(model: onnx.ModelProto, values: Mapping[str, int]) -> dict[str, tuple[int | None, ...]]:
    """Sizes of tensors under an assignment; nothing where onnx's inference fails."""
    copy = onnx.ModelProto()
    copy.CopyFrom(model)
    for info in (*copy.graph.input, *copy.graph.output, *copy.graph.value_info):
        for dim in info.type.tensor_type.shape.dim if info.type.HasField("tensor_type") else ():
            size = declared_size(dim)
            if not isinstance(size, int):
                dim.Clear()
                if (number := evaluate(size, values)) is not None:
                    dim.dim_value = number
    inferred = infer(copy)
    return {
        info.name: tuple(
            dim.dim_value if dim.HasField("dim_value") else None for dim in info.type.tensor_type.shape.dim
        )
        for info in ((*inferred.graph.value_info, *inferred.graph.output) if inferred else ())
        if info.type.HasField("tensor_type") and info.type.tensor_type.HasField("shape")
    }
