"""How the submodules of a module are connected, and the order in which they run."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from torch import Tensor

from natonnx.module.numbers import Numbers
from natonnx.module.tree import Path

__all__ = ["Call", "Program", "Wiring"]


class Call(NamedTuple):
    """One call of a submodule.

    Attributes:
        path: Where the submodule is.
        inputs: Names of the tensors that it reads, "" for an absent one.
        outputs: Names of those that it makes.
        node: Position of the file's node that it stands for; of several, the last.
        spent: Those that nothing reads afterwards.
    """

    path: Path
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    node: int
    spent: tuple[str, ...] = ()


@dataclass(frozen=True)
class Wiring:
    """How submodules are connected.

    Attributes:
        inputs: Names of the model's inputs, in order.
        outputs: Names of its outputs.
        calls: In order.
        tensors: Parameters and buffers that calls read by name, and where they are.
        host: Whole numbers and what else stays on the CPU, by name.
        program: The calls with numbers for names: a list is quicker, which shows in a step of a small model.
    """

    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    calls: tuple[Call, ...]
    tensors: Mapping[str, Path]
    host: Mapping[str, Tensor | Numbers] = field(repr=False)
    program: "Program" = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "program", self._program())

    def _program(self) -> "Program":
        names = ["", *self.host, *self.inputs, *self.tensors]
        slots = {name: slot for slot, name in enumerate(names)}
        for name in dict.fromkeys(name for call in self.calls for name in call.outputs):
            if name not in slots:
                slots[name] = len(names)
                names.append(name)
        steps = [
            Step(call.path, *(tuple(slots[name] for name in part) for part in (call.inputs, call.outputs, call.spent)))
            for call in self.calls
        ]
        return Program(slots, len(names), (None, *self.host.values()), tuple(steps))


class Step(NamedTuple):
    """One call of a submodule.

    Attributes:
        path: Where the submodule is.
        inputs: Slots of the tensors that it reads.
        outputs: Of those that it makes.
        spent: Of those that nothing reads afterwards.
    """

    path: Path
    inputs: tuple[int, ...]
    outputs: tuple[int, ...]
    spent: tuple[int, ...]


class Program(NamedTuple):
    """What a module runs, on a list of all tensors.

    Attributes:
        slots: Positions in the list, by name.
        size: Length of the list.
        constants: Its first entries; inputs and then weights follow.
        steps: In order.
    """

    slots: Mapping[str, int]
    size: int
    constants: tuple[Any, ...]
    steps: tuple[Step, ...]
