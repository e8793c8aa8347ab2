"""Read and validate an ONNX file, and infer its shapes."""

import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path

import onnx
from google.protobuf.message import DecodeError

from natonnx.errors import InputError, first_line
from natonnx.frontend.vocabulary import DEFAULT_DOMAIN
from natonnx.tensors import all_tensors, is_external, light_copy, locate, refer

__all__ = ["OTHER_TYPE", "check", "default_opset", "infer_shapes", "read"]

OTHER_TYPE = -1
"""Stands in the place of an element type where a value is a sequence, a map, optional or sparse."""


def read(path: Path) -> onnx.ModelProto:
    """Read an ONNX model and validate it with onnx's full checker.

    Returns:
        The model as the file has it: external data stays where it is, to be read by `natonnx.tensors.read_tensor`.

    Raises:
        InputError: If the file is missing, is not ONNX, is truncated, or is not a valid model, or its external data is
            missing, truncated or outside its folder.
    """
    try:
        model = onnx.load(path, "protobuf", load_external_data=False)  # whatever the name ends in
    except FileNotFoundError:
        raise InputError(f"{path}: no such file; give the path of an ONNX model") from None
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({error.strerror or error})") from None
    except (DecodeError, ValueError, RuntimeError, UnicodeDecodeError):
        raise InputError(f"{path}: not an ONNX model, or truncated; export or copy it again") from None
    if not path.is_file():  # a pipe: it gives its bytes once only
        raise InputError(f"{path}: is not a regular file; save the model to one")
    if not model.ir_version or not model.graph.node:
        raise InputError(f"{path}: not an ONNX model, or truncated (no graph in it); export or copy it again")
    reason = _check_data(model, path) or check(model, path.parent)
    if reason:
        raise InputError(f"{path}: not a valid ONNX model, or truncated: {reason}")
    return model


def _check_data(model: onnx.ModelProto, path: Path) -> str | None:
    """Check that a file's external data is there; return what onnx's checker objects to on the spot, or None.

    Raises:
        InputError: See `locate`.
    """
    external = list(filter(is_external, all_tensors(model)))
    for tensor in external:
        try:
            locate(tensor, path.parent)
        except InputError as error:
            raise InputError(f"{path}: {error}") from None
    return _objection(str(path)) if external else None


def check(model: onnx.ModelProto, folder: Path | None = None) -> str | None:
    """Run onnx's checker with full shape inference; return what it objects to in one line, or None.

    Args:
        model: The model.
        folder: Where its external data is. The checker gets the small tensors themselves and, as it does not read
            values from files, one empty file for all the large ones: so what is checked needs not be written first.

    Raises:
        InputError: See `locate`.
    """
    light = light_copy(model, folder)
    external = list(filter(is_external, all_tensors(light)))
    if not external:
        return _objection(light, full_check=True)
    size = max(refer(tensor, "data", 0) for tensor in external)
    with tempfile.TemporaryDirectory(prefix="natonnx.") as name:
        with Path(name, "data").open("wb") as file:
            file.truncate(size)  # a hole: takes no room
        Path(name, "model").write_bytes(light.SerializeToString())
        return _objection(str(Path(name, "model")), full_check=True)


def _objection(model: onnx.ModelProto | str, *, full_check: bool = False) -> str | None:
    try:
        onnx.checker.check_model(model, full_check=full_check)
    except (onnx.checker.ValidationError, onnx.shape_inference.InferenceError, ValueError, RuntimeError) as error:
        return first_line(error).rstrip(".")
    return None


def default_opset(model: onnx.ModelProto) -> int | None:
    """The version of ONNX's own operator set that a model imports; None where it imports none."""
    return next((entry.version for entry in model.opset_import if entry.domain in DEFAULT_DOMAIN), None)


def infer_shapes(
    model: onnx.ModelProto, input_shapes: Mapping[str, Sequence[int]] | None = None, folder: Path | None = None
) -> tuple[dict[str, tuple[int | str | None, ...]], dict[str, int]]:
    """Infer the shape and element type of every tensor of the main graph.

    Args:
        model: The model; not changed.
        input_shapes: Sizes to assume for named inputs, batch included, where the file leaves them open. The batch size
            given there serves other axes only: a symbolic batch stays symbolic.
        folder: Where the model's external data is.

    Returns:
        Shapes by tensor name (a string is a symbolic size, None an unknown one), and onnx.TensorProto element types,
        `OTHER_TYPE` for what is no plain tensor.

    Raises:
        InputError: If a named input does not exist or contradicts the file.
    """
    model = light_copy(model, folder)
    model = _with_named_batch(_with_input_shapes(model, input_shapes) if input_shapes else model)
    inferred = onnx.shape_inference.infer_shapes(model, data_prop=True).graph
    shapes: dict[str, tuple[int | str | None, ...]] = {}
    dtypes: dict[str, int] = {}
    for info in [*inferred.value_info, *inferred.input, *inferred.output]:
        if not info.type.HasField("tensor_type"):
            if info.type.WhichOneof("value"):
                dtypes[info.name] = OTHER_TYPE
            continue
        dtypes[info.name] = info.type.tensor_type.elem_type
        if info.type.tensor_type.HasField("shape"):
            shapes[info.name] = tuple(map(_size, info.type.tensor_type.shape.dim))
    for tensor in inferred.initializer:
        shapes[tensor.name] = tuple(tensor.dims)
        dtypes[tensor.name] = tensor.data_type
    return shapes, dtypes


def _with_input_shapes(model: onnx.ModelProto, input_shapes: Mapping[str, Sequence[int]]) -> onnx.ModelProto:
    copy = onnx.ModelProto()
    copy.CopyFrom(model)
    inputs = {info.name: info for info in copy.graph.input}
    for name, shape in input_shapes.items():
        if name not in inputs:
            raise InputError(f"--input-shape: the model has no input {name!r}; its inputs are {', '.join(inputs)}")
        dims = inputs[name].type.tensor_type.shape.dim
        if len(dims) != len(shape):
            raise InputError(f"--input-shape: input {name!r} has {len(dims)} axes, {len(shape)} sizes were given")
        for axis, (dim, size) in enumerate(zip(dims, shape, strict=True)):
            fixed = _size(dim)
            if isinstance(fixed, int) and fixed != size:
                raise InputError(f"--input-shape: axis {axis} of input {name!r} is {fixed} in the file, not {size}")
            if axis > 0:
                dim.dim_value = size
    del copy.graph.value_info[:]
    return copy


def _with_named_batch(model: onnx.ModelProto) -> onnx.ModelProto:
    """Give the first axis of every input that has neither size nor name one name, so that shapes can be compared."""
    defaults = {tensor.name for tensor in model.graph.initializer}

    def unnamed(graph: onnx.GraphProto) -> list[onnx.TensorShapeProto.Dimension]:
        shapes = [info.type.tensor_type.shape for info in graph.input if info.name not in defaults]
        return [shape.dim[0] for shape in shapes if shape.dim and _size(shape.dim[0]) is None]

    if not unnamed(model.graph):
        return model
    copy = onnx.ModelProto()
    copy.CopyFrom(model)
    for dim in unnamed(copy.graph):
        dim.dim_param = "natonnx_batch"
    return copy


def _size(dim: onnx.TensorShapeProto.Dimension) -> int | str | None:
    if dim.HasField("dim_value") and dim.dim_value >= 0:
        return int(dim.dim_value)
    return dim.dim_param or None
