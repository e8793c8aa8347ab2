"""Find tensors whose declared shape is missing or contradicts what their nodes compute.

Some exporters declare a tensor with a wrong rank or size, with the batch of 1 that was free later, or with nothing.
onnxruntime runs such files, so the shape that inference finds where nothing is declared is the one to believe.
"""

import logging
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import NamedTuple

import onnx

from natonnx.architecture import Shape
from natonnx.errors import InputError
from natonnx.frontend.foreign import foreign_outputs
from natonnx.frontend.symbols import declared_size
from natonnx.harmless import is_harmless
from natonnx.inference import infer_shapes
from natonnx.limits import LimitError
from natonnx.tensors import UNREAD, light_copy

__all__ = ["Contradiction", "Inferences", "contradictions", "corrected", "infer", "undeclared"]

_log = logging.getLogger(__name__)

_INFERENCE_ERRORS = (
    onnx.shape_inference.InferenceError,
    onnx.checker.ValidationError,
    RuntimeError,
    TypeError,
    ValueError,
)


class Contradiction(NamedTuple):
    """A tensor whose declared shape is not what its node computes.

    Attributes:
        tensor: Its name.
        declared: Shape in the file; None where it has none, which onnx's checker accepts of no output.
        inferred: Shape that onnx's inference finds where nothing is declared.
        is_output: Whether it is an output of the model; else it is noted in `value_info`, which nothing depends on.
    """

    tensor: str
    declared: Shape | None
    inferred: Shape
    is_output: bool = True

    def __str__(self) -> str:
        """Both shapes in one line."""
        kind = "output" if self.is_output else "tensor"
        declared = "without a shape" if self.declared is None else f"as {_text(self.declared)}"
        return f"{kind} {self.tensor!r} is declared {declared} but computed as {_text(self.inferred)}"


def infer(model: onnx.ModelProto, *, harmless: bool | None = None) -> onnx.ModelProto | None:
    """Run onnx's shape inference with data propagation; return None where it fails.

    What a node makes that it objects to stays unknown.

    Args:
        model: The model, small enough to be serialised; not changed.
        harmless: See `natonnx.inference.infer_shapes`.
    """
    try:
        return infer_shapes(model, harmless=harmless)
    except LimitError as error:
        _log.warning("%s: shapes are known as far as the file declares them", error)
        return None
    except (*_INFERENCE_ERRORS, InputError):
        return None


class Inferences:
    """What need not be done twice while a model is read: its light copy, and inference that no limit could end."""

    def __init__(self) -> None:
        self._model: onnx.ModelProto | None = None
        self._light = onnx.ModelProto()
        self._last = b""
        self._inferred: onnx.ModelProto | None = None

    def light(self, model: onnx.ModelProto, folder: Path | None) -> onnx.ModelProto:
        """The model's `light_copy` for inference."""
        if self._model is not model:
            self._model, self._light = model, light_copy(model, folder, UNREAD)
        return self._light

    def of(self, model: onnx.ModelProto) -> tuple[onnx.ModelProto | None, bool]:
        """See `infer`; also return what `is_harmless` says of the model."""
        data = model.SerializeToString()
        if data == self._last:
            return self._inferred, True
        harmless = is_harmless(model)
        inferred = infer(model, harmless=harmless)
        self._last, self._inferred = (data, inferred) if harmless else (b"", None)
        return inferred, harmless


def contradictions(model: onnx.ModelProto, inferences: Inferences | None = None) -> tuple[Contradiction, ...]:
    """Compare declared shapes with inferred ones.

    They contradict in rank, in a fixed size, or where a fixed size is declared of an axis that follows an input's.

    Args:
        model: The model, small enough to be serialised; not changed.
        inferences: Remembers what was inferred.

    Returns:
        The outputs first.
    """
    graph = model.graph
    declared = {info.name: _shape(info) for info in (*graph.value_info, *graph.output)}
    outputs = {info.name for info in graph.output}
    inferred, _ = (inferences or Inferences()).of(undeclared(model)) if declared else (None, False)
    if inferred is None:  # such as no opset at all
        return ()
    symbols = {dim.dim_param for info in graph.input for dim in info.type.tensor_type.shape.dim if dim.dim_param}
    given = {info.name: _shape(info) for info in graph.input}
    given |= {tensor.name: tuple(tensor.dims) for tensor in graph.initializer}
    made = (info for info in (*inferred.graph.value_info, *inferred.graph.output) if info.name in declared)
    computed = {info.name: _shape(info) for info in made} | given
    found = (
        Contradiction(name, own, true, name in outputs)
        for name, own in declared.items()
        if (true := computed.get(name)) is not None
        and (name in outputs if own is None else _contradict(own, true, symbols))
    )
    return tuple(sorted(found, key=lambda one: not one.is_output))


def corrected(model: onnx.ModelProto, found: Iterable[Contradiction]) -> onnx.ModelProto:
    """Return a copy of a model that declares the inferred shape for tensors that contradict it."""
    copy = onnx.ModelProto()
    copy.CopyFrom(model)
    shapes = {contradiction.tensor: contradiction.inferred for contradiction in found}
    types = {info.name: info.type.tensor_type.elem_type for info in _nameless(copy, shapes)}
    for info in (*copy.graph.output, *copy.graph.value_info):
        if info.name in shapes:
            code = info.type.tensor_type.elem_type or types.get(info.name, 0)
            info.CopyFrom(onnx.helper.make_tensor_value_info(info.name, code, shapes[info.name]))
    return copy


def undeclared(model: onnx.ModelProto) -> onnx.ModelProto:
    """Return a copy of a model that declares no shape of what nodes make, but for nodes that only the file tells of."""
    copy = onnx.ModelProto()
    copy.CopyFrom(model)
    foreign = set(foreign_outputs(model))
    for node in copy.graph.node:
        _forget_within(node)
    # onnx takes a constant for unknown, and then its axes for others, where it is noted without a shape.
    if copy.graph.value_info:
        made = {name for node in model.graph.node for name in node.output}
        noted = [info for info in copy.graph.value_info if info.name in made]
        del copy.graph.value_info[:]
        copy.graph.value_info.extend(noted)
    for info in (*copy.graph.output, *copy.graph.value_info):
        if info.name not in foreign and info.type.HasField("tensor_type"):
            info.type.tensor_type.ClearField("shape")
    return copy


def _forget_within(node: onnx.NodeProto) -> None:
    """Clear the shapes that nested graphs declare of what their nodes make."""
    for attribute in node.attribute:
        for graph in [attribute.g] if attribute.HasField("g") else attribute.graphs:
            del graph.value_info[:]
            for info in graph.output:
                if info.type.HasField("tensor_type"):
                    info.type.tensor_type.ClearField("shape")
            for inner in graph.node:
                _forget_within(inner)


def _nameless(model: onnx.ModelProto, names: Iterable[str]) -> Iterator[onnx.ValueInfoProto]:
    """What inference tells of the outputs whose element type the file does not tell."""
    wanted = {info.name for info in model.graph.output if not info.type.WhichOneof("value")}.intersection(names)
    inferred = infer(undeclared(model)) if wanted else None
    yield from (info for info in inferred.graph.output if info.name in wanted) if inferred else ()


def _shape(info: onnx.ValueInfoProto) -> Shape | None:
    if not info.type.HasField("tensor_type") or not info.type.tensor_type.HasField("shape"):
        return None
    return tuple(map(declared_size, info.type.tensor_type.shape.dim))


def _contradict(declared: Shape, inferred: Shape, symbols: Iterable[str]) -> bool:
    if len(declared) != len(inferred):
        return True
    pairs = zip(declared, inferred, strict=True)
    fixed = ((one, other) for one, other in pairs if isinstance(one, int) and other is not None)
    return any(one != other for one, other in fixed if isinstance(other, int) or other in symbols)


def _text(shape: Shape) -> str:
    return f"[{', '.join('?' if axis is None else str(axis) for axis in shape)}]" if shape else "a scalar"
