"""Modules around kernels of the op table, for what torch has no layer of its own."""

from collections.abc import Collection
from typing import Any

from torch import Tensor, nn
from torch.nn import functional

from natonnx.module.numbers import as_tensor, numbers_at, rule_of
from natonnx.supernet.ops import Kernel, OpSpec, build, is_mode_dependent
from natonnx.supernet.ops.geometry import Window, torch_pads
from natonnx.supernet.ops.operands import shifted

__all__ = ["Border", "Embedding", "Function", "Operator"]


class Operator(nn.Module):
    """A node that the op table runs; called with the node's inputs in order, None for an absent one.

    Args:
        spec: The node.
        numbers: Positions of the inputs that may be `Numbers`.

    Raises:
        UnsupportedOpError: If the table cannot run it exactly.
    """

    def __init__(self, spec: OpSpec, numbers: Collection[int] = ()) -> None:
        super().__init__()
        self.spec = spec
        self._numbers = tuple(numbers)
        self._build()

    def _build(self) -> None:
        op_type = self.spec.op_type
        self._kernel = build(self.spec)
        self._rule = rule_of(self.spec) if self._numbers else None
        self._to_tensors = tuple(i for i in self._numbers if i not in numbers_at(op_type))
        self._has_mode = is_mode_dependent(op_type)

    def forward(self, *operands: Any) -> Any:
        """Run the node on tensors; of several outputs it makes as many as it names.

        What it makes of shapes alone are numbers.
        """
        if self._rule is not None and (made := self._rule(*operands)) is not None:
            return made
        if self._to_tensors:
            operands = tuple(as_tensor(one) if i in self._to_tensors else one for i, one in enumerate(operands))
        if self._has_mode:
            training = self.training or bool(self.spec.integer("training_mode"))
            return self._kernel(*operands, training=training, momentum=None)
        return self._kernel(*operands)

    def __getstate__(self) -> dict[str, Any]:
        return {name: value for name, value in self.__dict__.items() if name not in {"_kernel", "_rule"}}

    def __setstate__(self, state: dict[str, Any]) -> None:
        super().__setstate__(state)  # type: ignore[no-untyped-call]
        self._build()

    def extra_repr(self) -> str:
        """Name the operator and its attributes."""
        values = (f"{name}={value!r}" for name, value in self.spec.attributes.items())
        return ", ".join([self.spec.op_type, *(text for text in values if len(text) < 80)])


class Function(nn.Module):
    """Several nodes that one function computes.

    Args:
        function: Of a module, so that it can be pickled by name.
    """

    def __init__(self, function: Kernel) -> None:
        super().__init__()
        self.function = function

    def forward(self, *operands: Tensor) -> Tensor | tuple[Tensor, ...]:
        """Call the function."""
        return self.function(*operands)


class Border(nn.Module):
    """The padding in front of a convolution that torch cannot pad by itself: uneven, or computed of the input's size.

    Args:
        window: The convolution's.
    """

    def __init__(self, window: Window) -> None:
        super().__init__()
        self.window = window

    def forward(self, x: Tensor) -> Tensor:
        """Put zeros around the spatial axes; a negative amount crops."""
        return functional.pad(x, torch_pads(*self.window.padding(x.shape[2:])))


class Embedding(nn.Embedding):
    """Torch's own, with indices that may be negative, which count from the end, and lie on any device."""

    def forward(self, indices: Tensor) -> Tensor:
        """Look up the rows of indices of any shape."""
        return super().forward(shifted(indices, self.num_embeddings, self.weight))
