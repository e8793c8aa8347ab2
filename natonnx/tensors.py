"""Values of a model's tensors, wherever they lie: in the model's own file, or in a data file beside it.

ONNX lets a tensor name a file, an offset and a length instead of holding its values ("external data"), which is how
models of more than 2 GiB exist at all. Such values are read only when they are asked for, as a view of the file mapped
into memory. A tensor can also carry new values (in `raw_data`) that are still to be written to a data file; it is
marked as external all the same, as onnx marks it before it saves, and called *pending* here.

The rules are onnx's own: a data file is a regular file in or below the model's folder, reached by no link and no `..`.
"""

import math
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path, PurePath, PurePosixPath
from typing import NamedTuple

import numpy as np
import onnx
from google.protobuf.descriptor import FieldDescriptor
from google.protobuf.message import Message
from onnx import TensorProto, numpy_helper

from natonnx.errors import InputError

__all__ = [
    "MOST_AXES",
    "UNREAD",
    "Extent",
    "all_tensors",
    "byte_size",
    "copy_fields",
    "data_files",
    "file_bytes",
    "has_external",
    "is_external",
    "is_heavy",
    "is_pending",
    "light_copy",
    "locate",
    "location",
    "misfit",
    "plain_bytes",
    "read_tensor",
    "refer",
    "with_values",
]

MOST_AXES = 64
"""Of a tensor that numpy takes."""

_SMALL = 4096
"""Bytes up to which an external tensor is read into a light copy: operands such as Reshape's, which inference needs."""

_HEAVY = 1 << 20
"""Bytes from which a tensor of the model's own file is left out of a light copy."""

UNREAD = 1 << 10
"""Bytes from which no shape inference reads what a tensor of fractions holds."""

_PLAIN: Mapping[int, int] = {TensorProto.FLOAT: 4, TensorProto.DOUBLE: 8, TensorProto.FLOAT16: 2}
"""Types of fractions, and bytes of one."""

_NAMES: Mapping[int, str] = {number: name for name, number in TensorProto.DataType.items()}
"""Of the types."""

_BITS = {"INT2": 2, "UINT2": 2, "INT4": 4, "UINT4": 4, "FLOAT4E2M1": 4}


_FIELDS: Mapping[int, str] = {
    TensorProto.FLOAT: "float_data",
    TensorProto.INT64: "int64_data",
    TensorProto.DOUBLE: "double_data",
    TensorProto.STRING: "string_data",
    **dict.fromkeys((TensorProto.UINT32, TensorProto.UINT64), "uint64_data"),
    **dict.fromkeys((TensorProto.INT32, TensorProto.INT16, TensorProto.INT8, TensorProto.UINT16), "int32_data"),
    **dict.fromkeys((TensorProto.UINT8, TensorProto.BOOL, TensorProto.FLOAT16, TensorProto.BFLOAT16), "int32_data"),
}
"""Where a tensor holds its values, one an entry, that has them not as bytes."""


class Extent(NamedTuple):
    """Where a tensor's values lie: bytes of a file."""

    path: Path
    offset: int
    length: int


def all_tensors(model: onnx.ModelProto) -> Iterator[TensorProto]:
    """Every tensor of a model: of its graphs, of nested ones, of node attributes and of functions."""
    yield from model.graph.initializer
    yield from _other_tensors(model)


def is_external(tensor: TensorProto) -> bool:
    """Whether a tensor's values lie in a data file, or are to be written to one."""
    return tensor.data_location == TensorProto.EXTERNAL


def is_pending(tensor: TensorProto) -> bool:
    """Whether a tensor carries values that are still to be written to a data file."""
    return is_external(tensor) and tensor.HasField("raw_data")


def plain_bytes(tensor: TensorProto) -> int:
    """Bytes of the fractions that a tensor holds as bytes in the model's own file; 0 for any other tensor."""
    width = _PLAIN.get(tensor.data_type, 0)
    return width * math.prod(tensor.dims) if width and tensor.HasField("raw_data") and not is_external(tensor) else 0


def is_heavy(tensor: TensorProto, least: int = _HEAVY) -> bool:
    """Whether a tensor lies in the model's own file and is so large that handling it needlessly takes time.

    Args:
        tensor: Any tensor.
        least: Bytes from which it is.
    """
    return plain_bytes(tensor) >= least


def misfit(tensor: TensorProto) -> str | None:
    """What contradicts the shape of a tensor in the values that it holds, in one line; None where they fit."""
    if min(tensor.dims, default=0) < 0:
        return f"its shape {list(tensor.dims)} has a negative size"
    if is_external(tensor):
        return None
    if tensor.HasField("raw_data"):
        held, wanted, unit = len(tensor.raw_data), byte_size(tensor), "bytes"
    elif tensor.data_type in _FIELDS:
        held, wanted, unit = len(getattr(tensor, _FIELDS[tensor.data_type])), math.prod(tensor.dims), "values"
    else:
        return None
    return None if held == wanted else f"it holds {held:,} {unit}, its shape {list(tensor.dims)} needs {wanted:,}"


def has_external(model: onnx.ModelProto) -> bool:
    """Whether any tensor of a model is external."""
    return any(map(is_external, all_tensors(model)))


def file_bytes(model: onnx.ModelProto) -> int:
    """Bytes of a model's file and of what lies, or will lie, in its data files."""
    apart = [tensor for tensor in all_tensors(model) if is_external(tensor)]
    pending = sum(len(tensor.raw_data) for tensor in apart)
    return model.ByteSize() - pending + sum(map(byte_size, apart))


def data_files(model: onnx.ModelProto, folder: Path) -> tuple[Path, ...]:
    """The data files that a model in this folder refers to, each once, in the order in which its tensors name them."""
    named = (folder / location(tensor) for tensor in all_tensors(model) if is_external(tensor))
    return tuple(dict.fromkeys(named))


def location(tensor: TensorProto) -> PurePosixPath:
    """The path of an external tensor's data file, relative to the model's folder."""
    return PurePosixPath(_entries(tensor).get("location", ""))


def locate(tensor: TensorProto, folder: Path | None) -> Extent:
    """Find an external tensor's values.

    Args:
        tensor: An external tensor that is not pending.
        folder: The model's.

    Raises:
        InputError: If the file is missing, is no regular file of the model's folder, or is too short for the tensor.
    """
    name, entries, place = tensor.name or "a constant", _entries(tensor), location(tensor)
    if folder is None:
        raise InputError(f"tensor {name!r} lies in the data file {place}, and the model's folder is not known")
    if not place.name or _leads_out(place) or _leads_out(Path(place)):
        raise InputError(f"tensor {name!r}: its data file {str(place)!r} is outside the model's folder; move it there")
    path, expected = folder / place, byte_size(tensor)
    try:
        offset = int(entries.get("offset") or 0)
        length = int(entries.get("length") or expected)
    except ValueError:
        offset = length = -1
    if offset < 0 or length != expected:
        raise InputError(
            f"tensor {name!r}: offset or length in {path} do not fit its {expected} bytes; export it again"
        )
    try:
        found, resolved, size = path.is_file(), path.resolve(), path.stat().st_size if path.is_file() else 0
    except (OSError, ValueError, RuntimeError) as error:  # a name that is too long or holds a zero, a loop of links
        reason = getattr(error, "strerror", None) or error
        raise InputError(f"tensor {name!r}: its data file {path} cannot be read ({reason}); export it again") from None
    if not found:
        raise InputError(f"tensor {name!r}: no data file {path}; it must lie beside the model")
    if resolved != folder.resolve() / place:
        raise InputError(f"tensor {name!r}: its data file {path} is a link; put the file itself beside the model")
    if offset + length > size:
        raise InputError(f"tensor {name!r}: its data file {path} is truncated; export or copy it again")
    return Extent(path, offset, length)


def _leads_out(place: PurePath) -> bool:
    """Whether a relative path leads elsewhere than below: on Windows by a drive or a backslash too."""
    return bool(place.anchor) or ".." in place.parts


def read_tensor(tensor: TensorProto, folder: Path | None) -> np.ndarray:
    """Read a tensor.

    Args:
        tensor: Any tensor.
        folder: The model's; needed for external tensors only.

    Returns:
        An array of the tensor's shape and type. It may be read-only. Where it is not, it is the caller's own: a view of
        a data file is private, so that writing to it does not change the file.

    Raises:
        InputError: See `locate`.
    """
    if not is_external(tensor):
        return numpy_helper.to_array(tensor)
    dtype, shape = np.dtype(onnx.helper.tensor_dtype_to_np_dtype(tensor.data_type)), tuple(tensor.dims)
    if math.prod(shape) * dtype.itemsize != byte_size(tensor):  # several numbers a byte
        return numpy_helper.to_array(_loaded(tensor, folder))
    if is_pending(tensor):
        return np.frombuffer(tensor.raw_data, dtype).reshape(shape)
    extent = locate(tensor, folder)
    if not extent.length:
        return np.empty(shape, dtype)
    mapped = np.asarray(np.memmap(extent.path, dtype, "c", extent.offset, shape))
    return mapped if mapped.flags.aligned else mapped.copy()


def with_values(tensor: TensorProto, value: np.ndarray) -> TensorProto:
    """A tensor of the same name, type and notes with other values, pending where the given one is external.

    Args:
        tensor: The tensor to replace; not changed.
        value: The values, of any shape; converted to the tensor's type.
    """
    dtype = onnx.helper.tensor_dtype_to_np_dtype(tensor.data_type)
    fresh = numpy_helper.from_array(np.asarray(value, dtype, order="C"), tensor.name)
    if tensor.HasField("doc_string"):
        fresh.doc_string = tensor.doc_string
    fresh.metadata_props.extend(tensor.metadata_props)
    if is_external(tensor):
        fresh.data_location = TensorProto.EXTERNAL
        fresh.external_data.extend(entry for entry in tensor.external_data if entry.key in {"location", "offset"})
    return fresh


def _loaded(tensor: TensorProto, folder: Path | None) -> TensorProto:
    """A copy of a tensor that holds its own values."""
    copy = TensorProto()
    copy.CopyFrom(tensor)
    _load(copy, folder)
    return copy


def refer(tensor: TensorProto, place: str, offset: int) -> int:
    """Make a tensor refer to a place in a data file, in place; what else it said of its values stays.

    Returns:
        How many bytes from there it takes.
    """
    kept = [(key, value) for key, value in _entries(tensor).items() if key not in {"location", "offset", "length"}]
    size = byte_size(tensor)
    del tensor.external_data[:]
    for key, value in [("location", place), ("offset", str(offset)), ("length", str(size)), *kept]:
        tensor.external_data.add(key=key, value=value)
    tensor.data_location = TensorProto.EXTERNAL
    tensor.ClearField("raw_data")
    return size


def light_copy(model: onnx.ModelProto, folder: Path | None, least: int = _HEAVY) -> onnx.ModelProto:
    """A copy of a model in which large initializers are references only, even pending ones, and small ones are read.

    Shape inference and onnxruntime read the values of small operands from the model's own file only, and a serialised
    model must not exceed 2 GiB, nor take seconds to write and read. A pending tensor that is no initializer of the main
    graph is read whatever its size.

    Args:
        model: The model.
        folder: Where its external data is.
        least: Bytes from which an initializer of the model's own file is large; `UNREAD` for shape inference.

    Returns:
        The copy; the model itself, not to be changed, where it is light already.

    Raises:
        InputError: See `locate`.
    """
    if not has_external(model) and not any(is_heavy(tensor, least) for tensor in model.graph.initializer):
        return model
    copy = onnx.ModelProto()
    copy_fields(model, copy, _all_but("graph"))
    copy_fields(model.graph, copy.graph, _all_but("initializer"))
    for tensor in model.graph.initializer:
        fresh = copy.graph.initializer.add()
        if is_heavy(tensor, least):
            fresh.name, fresh.data_type = tensor.name, tensor.data_type
            fresh.dims.extend(tensor.dims)
            refer(fresh, "natonnx", 0)
            continue
        large = is_external(tensor) and byte_size(tensor) > _SMALL
        copy_fields(tensor, fresh, _all_but("raw_data" if large else ""))
        if is_external(tensor) and not large:
            _load(fresh, folder)
    for tensor in filter(is_external, _other_tensors(copy)):
        if byte_size(tensor) <= _SMALL or is_pending(tensor):
            _load(tensor, folder)
    return copy


def copy_fields(message: Message, copy: Message, wanted: Callable[[FieldDescriptor], bool]) -> None:
    """Copy some of a message's fields: if others were cleared in a whole copy, their memory would stay taken."""
    for field, value in message.ListFields():
        if not wanted(field):
            continue
        if isinstance(value, Message):
            getattr(copy, field.name).CopyFrom(value)
        elif hasattr(value, "extend"):
            getattr(copy, field.name).extend(value)
        else:
            setattr(copy, field.name, value)


def _all_but(name: str) -> Callable[[FieldDescriptor], bool]:
    return lambda field: field.name != name


def _load(tensor: TensorProto, folder: Path | None) -> None:
    """Put an external tensor's values into the tensor itself, in place."""
    if not is_pending(tensor):
        path, offset, length = locate(tensor, folder)
        with path.open("rb") as file:
            file.seek(offset)
            tensor.raw_data = file.read(length)
    tensor.data_location = TensorProto.DEFAULT
    del tensor.external_data[:]


def _other_tensors(model: onnx.ModelProto) -> Iterator[TensorProto]:
    """All but the initializers of the main graph."""
    yield from _sparse(model.graph.sparse_initializer)
    yield from _of_nodes(model.graph.node)
    for function in model.functions:
        yield from _of_nodes(function.node)
    for training in model.training_info:
        yield from _of_graph(training.initialization)
        yield from _of_graph(training.algorithm)


def _of_graph(graph: onnx.GraphProto) -> Iterator[TensorProto]:
    yield from graph.initializer
    yield from _sparse(graph.sparse_initializer)
    yield from _of_nodes(graph.node)


def _of_nodes(nodes: Iterable[onnx.NodeProto]) -> Iterator[TensorProto]:
    for node in nodes:
        for attribute in node.attribute:
            if attribute.HasField("t"):
                yield attribute.t
            yield from attribute.tensors
            if attribute.HasField("sparse_tensor"):
                yield from _sparse([attribute.sparse_tensor])
            yield from _sparse(attribute.sparse_tensors)
            if attribute.HasField("g"):
                yield from _of_graph(attribute.g)
            for graph in attribute.graphs:
                yield from _of_graph(graph)


def _sparse(tensors: Iterable[onnx.SparseTensorProto]) -> Iterator[TensorProto]:
    for tensor in tensors:
        yield tensor.values
        yield tensor.indices


def _entries(tensor: TensorProto) -> dict[str, str]:
    return {entry.key: entry.value for entry in tensor.external_data}


def byte_size(tensor: TensorProto) -> int:
    """Bytes of a tensor's values as ONNX packs them.

    Raises:
        InputError: If its type has no bytes.
    """
    kind = _NAMES.get(tensor.data_type, "UNDEFINED")
    if kind in {"STRING", "UNDEFINED"}:
        raise InputError(f"tensor {tensor.name!r}: values of the type {kind.lower()} are not bytes; export it again")
    bits = _BITS.get(kind) or 8 * np.dtype(onnx.helper.tensor_dtype_to_np_dtype(tensor.data_type)).itemsize
    return -(-math.prod(tensor.dims) * bits // 8)
