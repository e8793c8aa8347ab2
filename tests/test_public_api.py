"""The public names, their parameters, fields and defaults: a change to them is made on purpose, or not at all.

What they are is kept in public_api.txt; `python -m tests.test_public_api` writes it anew.
"""

import dataclasses
import inspect
import sys
from collections.abc import Iterator
from enum import Enum
from pathlib import Path
from typing import Any

import natonnx
from natonnx import data

KEPT = Path(__file__).with_name("public_api.txt")
MODULES = {"natonnx": natonnx, "natonnx.data": data}


def describe() -> str:
    return "".join(f"{line}\n" for name, module in MODULES.items() for line in _module(name, module))


def _module(name: str, module: Any) -> Iterator[str]:
    for public in sorted(module.__all__):
        thing = getattr(module, public)
        if inspect.isclass(thing):
            yield from _class(f"{name}.{public}", thing)
        elif inspect.isfunction(thing):
            yield f"{name}.{public}{_signature(thing)}"
        else:
            yield f"{name}.{public}"


def _class(name: str, cls: type[Any]) -> Iterator[str]:
    bases = ", ".join(base.__name__ for base in cls.__bases__ if base is not object)
    yield f"class {name}({bases})"
    if issubclass(cls, Enum):
        yield from (f"  {member.name} = {member.value!r}" for member in cls)
    if dataclasses.is_dataclass(cls):
        yield f"  frozen = {cls.__dataclass_params__.frozen}"  # type: ignore[attr-defined]
    fields = [field.name for field in dataclasses.fields(cls)] if dataclasses.is_dataclass(cls) else []
    fields += getattr(cls, "_fields", ())
    for field in fields:
        yield f"  {field}{_default(cls, field)}"
    for key, member in sorted(vars(cls).items()):
        if inspect.isfunction(member) and (not key.startswith("_") or key == "__call__"):
            yield f"  {key}{_signature(member)}"
        elif isinstance(member, property):
            yield f"  {key}: property"


def _default(cls: type[Any], field: str) -> str:
    if field in getattr(cls, "_field_defaults", {}):
        return f" = {cls._field_defaults[field]!r}"
    for declared in dataclasses.fields(cls) if dataclasses.is_dataclass(cls) else ():
        if declared.name == field and declared.default is not dataclasses.MISSING:
            return f" = {declared.default!r}"
        if declared.name == field and declared.default_factory is not dataclasses.MISSING:
            return f" = {declared.default_factory!r}()"
    return ""


def _signature(function: Any) -> str:
    """Names, kinds and defaults of the parameters; types are mypy's business."""
    parameters = [
        parameter.replace(annotation=inspect.Parameter.empty)
        if not inspect.isfunction(parameter.default)
        else parameter.replace(annotation=inspect.Parameter.empty, default=...)
        for parameter in inspect.signature(function).parameters.values()
    ]
    return str(inspect.Signature(parameters))


def test_the_public_api_is_as_it_was() -> None:
    assert describe() == KEPT.read_text(encoding="utf-8"), f"meant to? then run python -m {__name__}"


def test_every_public_function_has_types_and_a_docstring() -> None:
    for name, module in MODULES.items():
        for public in module.__all__:
            thing = getattr(module, public)
            if not (inspect.isfunction(thing) or inspect.isclass(thing)):
                continue
            assert thing.__doc__, f"{name}.{public}"
            if inspect.isfunction(thing):
                signature = inspect.signature(thing)
                kinds = [parameter.annotation for parameter in signature.parameters.values()]
                assert inspect.Signature.empty not in [*kinds, signature.return_annotation], f"{name}.{public}"


if __name__ == "__main__":
    KEPT.write_text(describe(), encoding="utf-8")
    sys.stdout.write(f"{KEPT}\n")
