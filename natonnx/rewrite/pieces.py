"""A model's bytes in pieces: in one, they would take as much memory again as its weights."""

from collections.abc import Iterator
from typing import TypeVar

import onnx
from google.protobuf.message import Message
from google.protobuf.unknown_fields import UnknownFieldSet

from natonnx.tensors import copy_fields

__all__ = ["pieces"]

_GRAPH = onnx.ModelProto.DESCRIPTOR.fields_by_name["graph"].number
_INITIALIZER = onnx.GraphProto.DESCRIPTOR.fields_by_name["initializer"].number

_Message = TypeVar("_Message", bound=Message)


def pieces(model: onnx.ModelProto) -> Iterator[bytes]:
    """What `SerializeToString` gives, an initializer at a time."""
    graph = model.graph
    if len(UnknownFieldSet(model)) or len(UnknownFieldSet(graph)):  # a copy of fields would lack them
        yield model.SerializeToString()
        return
    (head, tail), (before, behind) = (
        [part.SerializeToString() for part in _around(message, number)]
        for message, number in ((model, _GRAPH), (graph, _INITIALIZER))
    )
    sizes = [tensor.ByteSize() for tensor in graph.initializer]
    starts = [_start(_INITIALIZER, size) for size in sizes]
    yield head + _start(_GRAPH, len(before) + sum(map(len, starts)) + sum(sizes) + len(behind)) + before
    for start, tensor in zip(starts, graph.initializer, strict=True):
        yield start
        yield tensor.SerializeToString()
    yield behind + tail


def _around(message: _Message, number: int) -> tuple[_Message, _Message]:
    """A message's fields of lower numbers and those of higher ones, each as a message: in the order of their bytes."""
    lower, higher = type(message)(), type(message)()
    copy_fields(message, lower, lambda field: field.number < number)
    copy_fields(message, higher, lambda field: field.number > number)
    return lower, higher


def _start(number: int, size: int) -> bytes:
    """What stands before the bytes of a message in a field: its number and kind, and the size, seven bits a byte."""
    made = bytearray([number << 3 | 2])
    while size > 0x7F:
        made.append(size & 0x7F | 0x80)
        size >>= 7
    made.append(size)
    return bytes(made)
