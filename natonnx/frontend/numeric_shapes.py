"""Infer shapes that depend on symbols by putting numbers in their place.

onnx's own inference cannot compute with symbols: behind a Reshape whose target is made of the batch size, or a Resize,
a size is unknown. With numbers it can. A tensor's size under two assignments of primes to the symbols tells what
product of a constant and symbols it is (`20*N`); under a third, with a batch of 1, it must be that product again.
"""

import logging
from collections.abc import Collection, Mapping

import onnx

from natonnx.architecture import Shape
from natonnx.frontend.symbols import assignments, declared_size, evaluate, product_form
from natonnx.inference import infer_shapes
from natonnx.limits import LimitError

__all__ = ["infer_numerically"]

_log = logging.getLogger(__name__)


def infer_numerically(model: onnx.ModelProto, symbols: Collection[str], batch: Collection[str]) -> dict[str, Shape]:
    """Infer shapes of the tensors that nodes make.

    Args:
        model: The model; not changed.
        symbols: Those that stand on axes of its inputs.
        batch: Those among them that count samples.

    Returns:
        Shapes by tensor name, with None for a size that is no product of a constant and symbols.
    """
    first, second = assignments(symbols)
    try:
        ones, twos, single = (_sizes(model, sizes) for sizes in (first, second, {**first, **dict.fromkeys(batch, 1)}))
    except LimitError as error:
        _log.warning("%s: shapes stay unknown", error)
        return {}
    shapes: dict[str, Shape] = {}
    for name, one in ones.items():
        two = twos.get(name, ())
        if len(one) != len(two):
            continue
        sizes = [
            None if a is None or b is None else product_form(a, b, first, second) for a, b in zip(one, two, strict=True)
        ]
        alone = single.get(name, ())
        if len(alone) == len(sizes):
            values = {**first, **dict.fromkeys(batch, 1)}
            sizes = [
                size if seen is None or evaluate(size, values) == seen else None
                for size, seen in zip(sizes, alone, strict=True)
            ]
        shapes[name] = tuple(sizes)
    return shapes


def _sizes(model: onnx.ModelProto, values: Mapping[str, int]) -> dict[str, tuple[int | None, ...]]:
    """Sizes of tensors under an assignment; nothing where onnx's inference fails."""
    copy = onnx.ModelProto()
    copy.CopyFrom(model)
    for info in (*copy.graph.input, *copy.graph.output, *copy.graph.value_info):
        for dim in info.type.tensor_type.shape.dim if info.type.HasField("tensor_type") else ():
            size = declared_size(dim)
            if not isinstance(size, int):
                dim.Clear()
                if isinstance(size, str) and size in values:
                    dim.dim_value = values[size]
    try:
        graph = infer_shapes(copy).graph
    except onnx.shape_inference.InferenceError:
        return {}
    return {
        info.name: tuple(
            dim.dim_value if dim.HasField("dim_value") else None for dim in info.type.tensor_type.shape.dim
        )
        for info in (*graph.value_info, *graph.output)
        if info.type.HasField("tensor_type") and info.type.tensor_type.HasField("shape")
    }
