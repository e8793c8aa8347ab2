"""The table itself: what a node looks like to a handler, and how a handler enters the table."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeAlias

import onnx
from onnx import AttributeProto, helper

from natonnx.errors import InputError
from natonnx.supernet.ops.placement import aligned, widened
from natonnx.tensors import read_tensor

if TYPE_CHECKING:
    from pathlib import Path

    from torch import Tensor

__all__ = [
    "Kernel",
    "OpSpec",
    "UnsupportedOpError",
    "build",
    "host_positions",
    "is_mode_dependent",
    "register",
    "register_kernels",
    "supported",
]

Kernel: TypeAlias = "Callable[..., Tensor | tuple[Tensor, ...]]"
"""Called with a node's inputs in order, None for an absent one; returns one tensor, or a tuple for several outputs."""


class UnsupportedOpError(InputError):
    """A node that the op table cannot run exactly."""


@dataclass(frozen=True)
class OpSpec:
    """What a handler needs to know about a node, resolved once when the supernet is built.

    Attributes:
        op_type: The operator, of the default domain.
        name: The node's name, for messages.
        opset: The version of the default domain that the model imports.
        attributes: The node's attributes as Python values, tensors as numpy arrays.
        n_inputs: How many inputs the node lists, absent ones included.
        n_outputs: How many outputs the node lists, unnamed ones included.
        outputs: For each output, whether it has a name, i.e. whether anybody asks for it.
    """

    op_type: str
    name: str
    opset: int
    attributes: Mapping[str, Any]
    n_inputs: int
    n_outputs: int
    outputs: tuple[bool, ...]

    @classmethod
    def from_node(cls, node: onnx.NodeProto, opset: int, folder: Path | None = None) -> OpSpec:
        """Read a node.

        Args:
            node: The node, of the default domain.
            opset: The version of the default domain that its model imports.
            folder: Where its model's external data is.

        Returns:
            The node as handlers see it.
        """
        return cls(
            op_type=node.op_type,
            name=node.name or next(filter(None, node.output), ""),
            opset=opset,
            attributes={attribute.name: _python_value(attribute, folder) for attribute in node.attribute},
            n_inputs=len(node.input),
            n_outputs=len(node.output),
            outputs=tuple(bool(output) for output in node.output),
        )

    def integer(self, name: str, default: int = 0) -> int:
        """Return an integer attribute."""
        return int(self.attributes.get(name, default))

    def number(self, name: str, default: float) -> float:
        """Return a floating-point attribute."""
        return float(self.attributes.get(name, default))

    def text(self, name: str, default: str) -> str:
        """Return a string attribute."""
        return str(self.attributes.get(name, default))

    def integers(self, name: str) -> tuple[int, ...] | None:
        """Return a list of integers, or None where the node has no such attribute."""
        values = self.attributes.get(name)
        return None if values is None else tuple(int(value) for value in values)

    def unsupported(self, reason: str) -> UnsupportedOpError:
        """Return the error to raise for a node that cannot be run exactly.

        Args:
            reason: What stands in the way, as a clause.

        Returns:
            The error, which names the node, its operator and the reason.
        """
        return UnsupportedOpError(f"node '{self.name}' ({self.op_type}, opset {self.opset}) is not supported: {reason}")


Handler: TypeAlias = Callable[[OpSpec], Kernel]

_HANDLERS: dict[str, Handler] = {}
_MODE_DEPENDENT: set[str] = set()
_HOST: dict[str, frozenset[int]] = {}
_SINGLE: set[str] = set()


def register(
    *op_types: str, mode_dependent: bool = False, host: Collection[int] = (), single: bool = False
) -> Callable[[Handler], Handler]:
    """Enter a handler into the table.

    Args:
        op_types: The operators that it handles.
        mode_dependent: Whether its kernels take the keyword argument `training`.
        host: Positions of the inputs that kernels read as numbers: shapes, axes and such, which stay on the CPU.
        single: Whether its kernels have single precision at least where torch.autocast makes tensors of less.

    Returns:
        A decorator that leaves the handler as it is.
    """

    def enter(handler: Handler) -> Handler:
        for op_type in op_types:
            _HANDLERS[op_type] = handler
        if mode_dependent:
            _MODE_DEPENDENT.update(op_types)
        if single:
            _SINGLE.update(op_types)
        _HOST.update(dict.fromkeys(op_types, frozenset(host)))
        return handler

    return enter


def register_kernels(kernels: Mapping[str, Kernel], host: Collection[int] = (), *, single: bool = False) -> None:
    """Enter operators whose kernel depends on neither attributes nor opset.

    Args:
        kernels: The kernel of each operator.
        host: See `register`.
        single: See `register`.
    """

    def constant(kernel: Kernel) -> Handler:
        return lambda _spec: kernel

    for op_type, kernel in kernels.items():
        register(op_type, host=host, single=single)(constant(kernel))


def build(spec: OpSpec) -> Kernel:
    """Make the kernel of a node.

    Args:
        spec: The node.

    Returns:
        A function of the node's inputs; everything that depends on attributes and opset alone is decided already. Its
        inputs may be on the CPU and one accelerator: it brings them together, without waiting for that.

    Raises:
        UnsupportedOpError: If the table cannot run the node exactly.
    """
    handler = _HANDLERS.get(spec.op_type)
    if handler is None:
        raise spec.unsupported("the op table has no such operator")
    kernel = _in_single_precision(handler(spec)) if spec.op_type in _SINGLE else handler(spec)
    return kernel if spec.n_inputs < 2 else _on_one_device(kernel, _HOST[spec.op_type])


def supported() -> frozenset[str]:
    """Return the operators in the table."""
    return frozenset(_HANDLERS)


def host_positions(op_type: str) -> frozenset[int]:
    """Return the positions of an operator's inputs that its kernels read as numbers, which cost nothing on the CPU."""
    return _HOST.get(op_type, frozenset())


def is_mode_dependent(op_type: str) -> bool:
    """Tell whether the kernels of an operator take the keyword argument `training`."""
    return op_type in _MODE_DEPENDENT


def _on_one_device(kernel: Kernel, host: Collection[int]) -> Kernel:
    """Let a kernel find its operands on one device, but for those that it reads as numbers."""

    def run(*operands: Tensor | None, **mode: Any) -> Tensor | tuple[Tensor, ...]:
        for operand in operands:
            if operand is not None and not operand.is_cpu:
                return kernel(*aligned(operands, host), **mode)
        return kernel(*operands, **mode)

    return run


def _in_single_precision(kernel: Kernel) -> Kernel:
    """Let a kernel find none of the short tensors that torch.autocast makes: torch has none such of it."""

    def run(*operands: Tensor | None) -> Tensor | tuple[Tensor, ...]:
        return kernel(*map(widened, operands))

    return run


def _python_value(attribute: AttributeProto, folder: Path | None) -> Any:
    """Return an attribute's value: text decoded, a tensor as a numpy array, anything nested as the message it is."""
    value = helper.get_attribute_value(attribute)
    match attribute.type:
        case AttributeProto.STRING:
            return value.decode(errors="replace")
        case AttributeProto.STRINGS:
            return [text.decode(errors="replace") for text in value]
        case AttributeProto.TENSOR:
            return read_tensor(value, folder)
        case AttributeProto.INTS | AttributeProto.FLOATS:
            return list(value)
        case _:
            return value
