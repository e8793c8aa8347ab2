"""Whether a payload that comes from a file is of its type, key by key: no type checker has seen it."""

from functools import partial
from types import NoneType, UnionType
from typing import Any, Literal, NotRequired, Required, Union, get_args, get_origin, get_type_hints, is_typeddict

__all__ = ["departures"]


def departures(value: Any, kind: Any, where: str = "$", *, further: bool = False) -> list[str]:
    """Name each place where a value is not of a type, or lacks a key, or has one too many.

    Args:
        value: Of JSON.
        kind: Its type.
        where: Its place.
        further: Let keys pass that the type does not have, as a later version may have added them.
    """
    origin, parts, depart = get_origin(kind), get_args(kind), partial(departures, further=further)
    if kind is Any:
        return []
    if origin in (Union, UnionType):
        found = [depart(value, part, where) for part in parts]
        return min(found, key=lambda one: (len(one), -max(map(len, one), default=0)))
    if origin is Literal:
        return [] if value in parts else [f"{where}: {value!r}"]
    if is_typeddict(kind):
        return _of_typed_dict(value, kind, where, further)
    if origin is list:
        return _named(where, value, list) or [
            line for i, item in enumerate(value) for line in depart(item, parts[0], f"{where}[{i}]")
        ]
    if origin is tuple:  # JSON has lists alone
        if not isinstance(value, list) or len(value) != len(parts):
            return [f"{where}: {value!r}"]
        return [line for i, item in enumerate(value) for line in depart(item, parts[i], f"{where}[{i}]")]
    if origin is dict:
        return _named(where, value, dict) or [
            line
            for key, item in value.items()
            for line in (*depart(key, parts[0], f"{where} key"), *depart(item, parts[1], f"{where}.{key}"))
        ]
    if kind is float and type(value) is int:
        return []
    return [] if type(value) is (NoneType if kind is None else kind) else [f"{where}: {value!r}"]


def _named(where: str, value: Any, kind: type) -> list[str]:
    return [] if isinstance(value, kind) else [f"{where}: {value!r}"]


def _of_typed_dict(value: Any, kind: Any, where: str, further: bool) -> list[str]:
    if not isinstance(value, dict):
        return [f"{where}: {value!r}"]
    hints = get_type_hints(kind, include_extras=True)
    wrapped = {key: get_origin(hint) in (NotRequired, Required) for key, hint in hints.items()}
    optional = {key for key, hint in hints.items() if get_origin(hint) is NotRequired}
    found = [f"{where}.{key}: missing" for key in hints if key not in value and key not in optional]
    found += [] if further else [f"{where}.{key}: unknown" for key in value if key not in hints]
    for key, hint in hints.items():
        if key in value:
            kept = get_args(hint)[0] if wrapped[key] else hint
            found += departures(value[key], kept, f"{where}.{key}", further=further)
    return found
