"""Sizes: what a model computes of the shapes of its inputs alone, so that it is the same whenever these are."""

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from natonnx.frontend import RunNode
from natonnx.supernet.ops import host_positions

if TYPE_CHECKING:
    from natonnx.supernet.plan import Step

__all__ = ["Sizes", "of_shapes"]

_OF_SHAPES = frozenset({"Shape", "Size"})
_OF_VALUES = frozenset({"Compress", "NonZero", "Unique"})
"""Operators of the table whose outputs have as many elements as values say."""
_MOST_NUMBERS, _MOST_SHAPES = 4096, 16
"""Of a tensor that is kept; shapes of the inputs that are remembered."""


def of_shapes(steps: "Iterable[Step]", constants: Collection[str]) -> frozenset[str]:
    """Return the tensors that steps make of shapes alone; none where a shape may depend on values.

    Args:
        steps: In order.
        constants: Tensors that nothing changes.
    """
    found: set[str] = set()
    for step in steps:
        if not isinstance(step.instruction, RunNode):
            continue
        if step.spec is None:  # onnxruntime runs it
            return frozenset()
        names = [name for name in step.inputs if name]
        numbers = [name for i, name in enumerate(step.inputs) if name and i in host_positions(step.spec.op_type)]
        if step.spec.op_type in _OF_SHAPES or (
            not found.isdisjoint(names) and all(name in found or name in constants for name in names)
        ):
            found.update(step.outputs)
        elif step.spec.op_type in _OF_VALUES or any(name not in found and name not in constants for name in numbers):
            return frozenset()
    return frozenset(found)


@dataclass(frozen=True)
class Sizes:
    """Remembers them by the shapes of the inputs.

    Attributes:
        names: See `of_shapes`.
    """

    names: frozenset[str]
    _known: dict[tuple[torch.Size, ...], dict[str, Tensor]] = field(default_factory=dict, repr=False)

    def of(self, inputs: Mapping[str, Tensor]) -> Mapping[str, Tensor]:
        """Return those that are known for inputs of such shapes."""
        return self._known.get(_shapes(inputs), {}) if self.names else {}

    def keep(self, inputs: Mapping[str, Tensor], made: Mapping[str, Tensor]) -> None:
        """Remember what was made for inputs of such shapes."""
        if self.names and len(self._known) < _MOST_SHAPES:
            with torch.inference_mode(False):  # training may go on with them
                kept = {name: value.clone() for name, value in made.items() if value.numel() <= _MOST_NUMBERS}
            self._known[_shapes(inputs)] = kept


def _shapes(inputs: Mapping[str, Tensor]) -> tuple[torch.Size, ...]:
    return tuple(inputs[name].shape for name in sorted(inputs))
