"""Change a model at random: fields of its protobuf messages, or bytes of its file."""

import random
from collections.abc import Iterator
from typing import Any, NamedTuple

import onnx
from google.protobuf.descriptor import FieldDescriptor
from google.protobuf.message import Message

__all__ = ["mutated"]

_NUMBERS = (0, 1, -1, 2, 3, 7, 64, 255, 1 << 16, 1 << 26, 1 << 31, (1 << 31) - 1, 1 << 40, (1 << 63) - 1, -(1 << 63))
_SHARE_OF_BYTES = 0.2
"""Of the inputs, that are changed as bytes and not as messages."""
_OPERATORS = sorted({schema.name for schema in onnx.defs.get_all_schemas()})
_FLOATS = (0.0, -1.0, 1e-30, 1e30, float("inf"), float("nan"))


class _Place(NamedTuple):
    """A field of a message within the model."""

    message: Message
    field: Any


def mutated(model: onnx.ModelProto, generator: random.Random) -> bytes:
    """Return a model's file with one to four random changes; the same for the same state of the generator."""
    copy = onnx.ModelProto()
    copy.CopyFrom(model)
    if generator.random() < _SHARE_OF_BYTES:
        return _mutated_bytes(copy.SerializeToString(), generator)
    for _ in range(generator.choice((1, 1, 2, 2, 3, 4))):
        _change(copy, generator)
    return copy.SerializeToString()


def _change(model: onnx.ModelProto, generator: random.Random) -> None:
    """Change one field; those of nodes and tensors more often than the many sizes and numbers would let them be."""
    places = list(_places(model))
    kinds: dict[str, list[_Place]] = {}
    for place in places:
        kinds.setdefault(place.field.full_name, []).append(place)
    message, field = generator.choice(kinds[generator.choice(sorted(kinds))])
    if field.is_repeated:
        _change_list(getattr(message, field.name), field, generator, model)
    elif field.type == FieldDescriptor.TYPE_MESSAGE:
        others = [one.message for one in places if one.message.DESCRIPTOR is field.message_type]
        if generator.random() < 0.4 or not others:
            message.ClearField(field.name)
        else:
            getattr(message, field.name).CopyFrom(_copied(generator.choice(others)))
    elif generator.random() < 0.1:
        message.ClearField(field.name)
    else:
        setattr(message, field.name, _value(field, getattr(message, field.name), generator, model))


def _change_list(values: Any, field: Any, generator: random.Random, model: onnx.ModelProto) -> None:
    """Drop, double, move or change an entry."""
    action = generator.choice(("drop", "double", "move", "change", "change"))
    if not values:
        return
    position = generator.randrange(len(values))
    if field.type == FieldDescriptor.TYPE_MESSAGE:
        entries = [_copied(value) for value in values]
        if action == "change":
            entries[position] = _copied(generator.choice(entries))
    else:
        entries = list(values)
        if action == "change":
            entries[position] = _value(field, entries[position], generator, model)
    if action == "drop":
        del entries[position]
    elif action == "double":
        entries.insert(generator.randrange(len(entries) + 1), entries[position])
    elif action == "move":
        entries.insert(generator.randrange(len(entries)), entries.pop(position))
    del values[:]
    values.extend(entries)


def _value(field: Any, value: Any, generator: random.Random, model: onnx.ModelProto) -> Any:
    """Return another value of the field's type, in its range."""
    if field.type in (FieldDescriptor.TYPE_FLOAT, FieldDescriptor.TYPE_DOUBLE):
        return generator.choice(_FLOATS)
    if field.type == FieldDescriptor.TYPE_ENUM:
        return generator.choice([number.number for number in field.enum_type.values])
    if field.type == FieldDescriptor.TYPE_STRING:
        names = [name for node in model.graph.node for name in (*node.input, *node.output)]
        pool = _OPERATORS if field.name == "op_type" else [*names, "", "a" * 300, "\x1b[31m\u202e", "ai.onnx", "../x"]
        return generator.choice(pool)
    if field.type == FieldDescriptor.TYPE_BYTES:
        return _mutated_bytes(value, generator)
    if field.type in (FieldDescriptor.TYPE_INT32, FieldDescriptor.TYPE_UINT64, FieldDescriptor.TYPE_UINT32):
        low, high = (0, 1 << 32) if field.type != FieldDescriptor.TYPE_INT32 else (-(1 << 31), 1 << 31)
        return generator.choice([number for number in (*_NUMBERS, *range(25)) if low <= number < high])
    return generator.choice((value + 1, value - 1, *_NUMBERS)) if abs(value) < 1 << 62 else 0


def _mutated_bytes(data: bytes, generator: random.Random) -> bytes:
    """Flip bits, cut, double or overwrite a piece."""
    changed = bytearray(data)
    for _ in range(generator.choice((1, 1, 2, 4, 8))):
        start = generator.randrange(len(changed) + 1)
        end = min(len(changed), start + generator.choice((1, 2, 8, 64)))
        action = generator.choice(("flip", "flip", "cut", "double", "large", "end"))
        if action == "flip" and start < end:
            changed[start] ^= 1 << generator.randrange(8)
        elif action == "cut":
            del changed[start:end]
        elif action == "double":
            changed[start:start] = changed[start:end]
        elif action == "large":
            changed[start:end] = generator.choice(_NUMBERS).to_bytes(8, "little", signed=True)
        elif generator.random() < 0.1:
            del changed[start:]
    return bytes(changed)


def _places(message: Message) -> Iterator[_Place]:
    """Every field that is set, at any depth."""
    for field, value in message.ListFields():
        yield _Place(message, field)
        if field.type != FieldDescriptor.TYPE_MESSAGE:
            continue
        for inner in value if field.is_repeated else [value]:
            yield from _places(inner)


def _copied(message: Message) -> Message:
    copy = type(message)()
    copy.CopyFrom(message)
    return copy
