"""Find outputs whose declared shape contradicts what their nodes compute.

Some exporters declare an output with a wrong rank or size. onnxruntime warns and runs such files, so the shape that
inference finds is the one to believe.
"""

from collections.abc import Iterable
from typing import NamedTuple

import onnx

from natonnx.architecture import Shape
from natonnx.frontend.symbols import declared_size
from natonnx.inference import infer_shapes

__all__ = ["Contradiction", "contradictions", "corrected"]


class Contradiction(NamedTuple):
    """An output whose declared shape is not what its node computes.

    Attributes:
        output: Name of the output.
        declared: Shape in the file.
        inferred: Shape that onnx's inference finds where nothing is declared.
    """

    output: str
    declared: Shape
    inferred: Shape

    def __str__(self) -> str:
        """Both shapes in one line."""
        return f"output {self.output!r} is declared as {_text(self.declared)} but computed as {_text(self.inferred)}"


def contradictions(model: onnx.ModelProto) -> tuple[Contradiction, ...]:
    """Compare the declared shape of each output with the inferred one: they contradict in rank, or in a fixed size.

    Args:
        model: The model, small enough to be serialised; not changed.
    """
    declared = {info.name: _shape(info) for info in model.graph.output if info.type.tensor_type.HasField("shape")}
    bare = onnx.ModelProto()
    bare.CopyFrom(model)
    for info in [*bare.graph.output, *bare.graph.value_info]:
        if info.name in declared:
            info.type.tensor_type.ClearField("shape")
    try:
        inferred = infer_shapes(bare)
    except onnx.shape_inference.InferenceError:  # such as no opset at all
        return ()
    return tuple(
        Contradiction(info.name, declared[info.name], _shape(info))
        for info in inferred.graph.output
        if info.name in declared
        and info.type.tensor_type.HasField("shape")
        and _contradict(declared[info.name], _shape(info))
    )


def corrected(model: onnx.ModelProto, found: Iterable[Contradiction]) -> onnx.ModelProto:
    """Return a copy of a model that declares the inferred shape for outputs that contradict it."""
    copy = onnx.ModelProto()
    copy.CopyFrom(model)
    shapes = {contradiction.output: contradiction.inferred for contradiction in found}
    for info in [*copy.graph.output, *copy.graph.value_info]:
        if info.name in shapes:
            code = info.type.tensor_type.elem_type
            info.CopyFrom(onnx.helper.make_tensor_value_info(info.name, code, shapes[info.name]))
    return copy


def _shape(info: onnx.ValueInfoProto) -> Shape:
    return tuple(map(declared_size, info.type.tensor_type.shape.dim))


def _contradict(declared: Shape, inferred: Shape) -> bool:
    if len(declared) != len(inferred):
        return True
    pairs = zip(declared, inferred, strict=True)
    return any(isinstance(one, int) and isinstance(other, int) and one != other for one, other in pairs)


def _text(shape: Shape) -> str:
    return f"[{', '.join('?' if axis is None else str(axis) for axis in shape)}]" if shape else "a scalar"
