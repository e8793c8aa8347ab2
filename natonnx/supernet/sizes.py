"""Sizes: what a model computes of the shapes of its inputs alone, so that it is the same whenever these are."""

from collections.abc import Mapping
from dataclasses import dataclass, field

import torch
from torch import Tensor

__all__ = ["Sizes"]

_MOST_NUMBERS, _MOST_SHAPES = 4096, 16
"""Of a tensor that is kept; shapes of the inputs that are remembered."""


@dataclass(frozen=True)
class Sizes:
    """Remembers them by the shapes of the inputs.

    Attributes:
        names: Of the tensors; see `natonnx.supernet.plan.of_shapes`.
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
