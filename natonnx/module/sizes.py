"""What a model computes of shapes, an operand of Reshape's or such, in one module that remembers it by these shapes."""

from collections.abc import Collection, Iterable, Mapping
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from natonnx.module.numbers import Numbers, of_numbers, of_shapes
from natonnx.module.operator import Operator
from natonnx.supernet.plan import Step

__all__ = ["Sizes", "SizesGroup", "find_sizes"]

_MOST = 64
"""Shapes that are remembered."""


class SizesGroup(NamedTuple):
    """Steps that make numbers of the shapes of tensors.

    Attributes:
        output: Name of the numbers.
        sources: Names of the tensors.
        steps: Positions of the steps, in order.
    """

    output: str
    sources: tuple[str, ...]
    steps: tuple[int, ...]


def find_sizes(steps: Mapping[int, Step], constants: Collection[str], outputs: Iterable[str]) -> list[SizesGroup]:
    """Find the numbers that are made of shapes alone and read otherwise.

    Args:
        steps: By position, in order.
        constants: Names of constants that are numbers.
        outputs: Names that are read at the end.

    Returns:
        A group for each; steps may be in several, and no step in any needs to run besides them.
    """
    made: dict[str, int] = {}
    for i, step in steps.items():
        kind = "" if step.spec is None or len(step.outputs) != 1 else step.spec.op_type
        known = all(not name or name in made or name in constants for name in step.inputs)
        if of_shapes(kind) or (of_numbers(kind) and step.inputs and known):
            made[step.outputs[0]] = i
    within = set(made.values())
    read = dict.fromkeys(outputs) | dict.fromkeys(n for i, s in steps.items() if i not in within for n in s.inputs)
    return [_group(name, made, steps, constants) for name in read if name in made]


def _group(output: str, made: Mapping[str, int], steps: Mapping[int, Step], constants: Collection[str]) -> SizesGroup:
    pending, own, sources = [output], set[int](), dict[str, None]()
    while pending:
        i = made[pending.pop()]
        if i in own:
            continue
        own.add(i)
        for name in steps[i].inputs:
            if name in made:
                pending.append(name)
            elif name and name not in constants:
                sources[name] = None
    return SizesGroup(output, tuple(sources), tuple(sorted(own)))


class Sizes(nn.Module):
    """Numbers of the shapes of tensors; torch.compile sees through it.

    Args:
        group: What it computes.
        steps: By position.
        constants: Numbers that steps read, by name.
    """

    def __init__(self, group: SizesGroup, steps: Mapping[int, Step], constants: Mapping[str, Numbers]) -> None:
        super().__init__()
        self._group = group
        read = {name for i in group.steps for name in steps[i].inputs}
        self._constants = {name: value for name, value in constants.items() if name in read}
        self._parts = [
            (Operator(spec, range(len(steps[i].inputs))), steps[i].inputs, steps[i].outputs[0])
            for i in group.steps
            if (spec := steps[i].spec)
        ]
        self._known: dict[tuple[Any, ...], Numbers] = {}

    def forward(self, *sources: Tensor) -> Numbers | Tensor:
        """Compute them."""
        if torch.compiler.is_compiling():
            return self._run(sources)
        key = tuple([source.shape for source in sources])
        if key in self._known:
            return self._known[key]
        made = self._run(sources)
        if isinstance(made, Numbers) and len(self._known) < _MOST:
            self._known[key] = made
        return made

    def _run(self, sources: tuple[Tensor, ...]) -> Numbers | Tensor:
        values: dict[str, Any] = {"": None, **self._constants, **dict(zip(self._group.sources, sources, strict=True))}
        for run, inputs, output in self._parts:
            values[output] = run(*[values[name] for name in inputs])
        made: Numbers | Tensor = values[self._group.output]
        return made

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_known": {}}

    def extra_repr(self) -> str:
        """Name the operators."""
        return ", ".join(run.spec.op_type for run, *_ in self._parts)
