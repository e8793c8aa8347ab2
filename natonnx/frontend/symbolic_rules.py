"""What onnxruntime's symbolic inference tells of each node of a model, as far as it gets.

Importing this loads it, which takes a second: within a limit only what it does is counted. It is loaded from its file,
as the package that it lies in loads torch.
"""

import importlib.util
import logging
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnx import numpy_helper

from natonnx.architecture import Shape
from natonnx.frontend.sparse import dense_values
from natonnx.frontend.symbols import declared_size

__all__ = ["infer", "infer_bytes"]

_NAME = "onnxruntime.tools.symbolic_shape_infer"


def _loaded() -> Any:
    """Load the module that has the inference."""
    package = importlib.util.find_spec("onnxruntime")
    assert package is not None
    assert package.origin is not None
    path = Path(package.origin).parent / "tools" / "symbolic_shape_infer.py"
    spec = importlib.util.spec_from_file_location(_NAME, path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    logging.getLogger(_NAME).setLevel(logging.CRITICAL)
    return module


_RULES = _loaded()


def infer_bytes(model: bytes, shapes: Mapping[str, Shape], dtypes: Mapping[str, int]) -> list[bytes]:
    """Infer as `infer` does, with models and types as bytes."""
    return [one.SerializeToString() for one in infer(onnx.ModelProto.FromString(model), shapes, dtypes)]


def infer(
    model: onnx.ModelProto, shapes: Mapping[str, Shape], dtypes: Mapping[str, int]
) -> Iterator[onnx.ValueInfoProto]:
    """Yield what it tells of each tensor; see `natonnx.frontend.symbolic_shapes.infer_symbolically`."""
    copy = onnx.ModelProto()
    copy.CopyFrom(model)
    for node in copy.graph.node:
        _prepare(node, shapes)
    inference = _start(copy)
    for node in copy.graph.node if inference else ():
        try:
            inference._onnx_infer_single_node(node)  # noqa: SLF001
            if node.op_type in inference.dispatcher_:
                inference.dispatcher_[node.op_type](node)
            further = [inference.known_vi_[name] for name in node.output if name]
            yield from further
        except Exception:  # whatever an odd model makes its arithmetic raise
            further = [onnx.ValueInfoProto(name=name) for name in node.output if name]
        for info in further:
            inference.known_vi_[info.name] = _completed(info, shapes.get(info.name), dtypes.get(info.name, 0))


def _start(model: onnx.ModelProto) -> Any:
    """An inference that knows the model's inputs and constants, and no node yet; None where it fails."""
    inference = _RULES.SymbolicShapeInference(2**31 - 1, False, False, 0)
    value_of = inference._try_get_value  # noqa: SLF001
    inference._try_get_value = lambda node, position: _whole(value_of(node, position))  # noqa: SLF001
    bare = onnx.ModelProto()
    bare.CopyFrom(model)
    del bare.graph.node[:], bare.graph.output[:]
    try:
        inference._preprocess(bare)  # noqa: SLF001
        inference._infer_impl()  # noqa: SLF001
    except Exception:  # whatever an odd model makes it raise
        return None
    inference.out_mp_.graph.node.extend(model.graph.node)  # new symbols are called by a node's position
    return inference


def _prepare(node: onnx.NodeProto, shapes: Mapping[str, Shape]) -> None:
    """Spell a node as its rules know it, in place: constants as tensors, the axis of a Concat from the front."""
    if node.op_type == "Constant":
        _prepare_constant(node)
    for attribute in node.attribute:
        if node.op_type == "Concat" and attribute.name == "axis" and attribute.i < 0:
            attribute.i += len(shapes.get(node.output[0], ()))
        for inner in (*attribute.g.node, *(each for graph in attribute.graphs for each in graph.node)):
            _prepare(inner, {})


def _prepare_constant(node: onnx.NodeProto) -> None:
    (attribute,) = node.attribute
    value = onnx.helper.get_attribute_value(attribute)
    if isinstance(value, onnx.SparseTensorProto):
        array = dense_values(value)
    elif isinstance(value, int | float) or attribute.type in (onnx.AttributeProto.INTS, onnx.AttributeProto.FLOATS):
        array = np.asarray(value, np.int64 if attribute.name.startswith("value_int") else np.float32)
    else:
        return
    attribute.CopyFrom(onnx.helper.make_attribute("value", numpy_helper.from_array(array)))


def _completed(info: onnx.ValueInfoProto, shape: Shape | None, dtype: int) -> onnx.ValueInfoProto:
    """A tensor's type and shape, each unknown size by a name of its own; nothing is known of its rank where None."""
    if info.type.WhichOneof("value") not in (None, "tensor_type"):
        return info
    tensor = info.type.tensor_type
    sizes = _merged(shape, tuple(map(declared_size, tensor.shape.dim)) if tensor.HasField("shape") else None)
    code = tensor.elem_type or max(dtype, 0) or onnx.TensorProto.FLOAT
    names = None if sizes is None else [f"{info.name}.{axis}" if one is None else one for axis, one in enumerate(sizes)]
    return onnx.helper.make_tensor_value_info(info.name, code, names)


def _merged(known: Shape | None, found: Shape | None) -> Shape | None:
    if known is None or (found and len(found) != len(known)):
        return found or None
    # In brackets, as what nodes compute of an expression is written by putting it into another one.
    spelt = (f"({size})" if isinstance(size, str) and not size.isidentifier() else size for size in known)
    return tuple(two if two is not None else one for one, two in zip(spelt, found or [None] * len(known), strict=True))


def _whole(value: Any) -> Any:
    """Scales of a Resize with whole numbers as integers: times 1.0, a symbol is no longer the same to sympy."""
    if not isinstance(value, np.ndarray) or value.dtype.kind != "f" or value.ndim != 1:
        return value
    return [int(one) if one.is_integer() else one for one in value.tolist()]
