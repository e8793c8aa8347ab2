"""What an architecture runs: its calls of kernels, in order."""

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass

from torch import Tensor

from natonnx.architecture import Cut
from natonnx.frontend import Instruction, RunNode
from natonnx.supernet.ops import Kernel, OpSpec, host_positions
from natonnx.supernet.sizes import Sizes

__all__ = ["Plan", "Step", "freeing", "of_shapes"]

_OF_SHAPES = frozenset({"Shape", "Size"})
_OF_VALUES = frozenset({"Compress", "NonZero", "Unique"})
"""Operators of the table whose outputs have as many elements as values say."""


@dataclass(frozen=True)
class Step:
    """One call: a kernel, the tensors it reads and makes, and those that nothing reads afterwards.

    Attributes:
        instruction: What it stands for.
        kernel: What is called.
        inputs: Names of the tensors that it reads, "" for an absent one.
        outputs: Names of those that it makes.
        spec: The node as the op table sees it; None for what is none, or what onnxruntime runs.
        mode_dependent: Whether the kernel takes the keyword arguments `training` and `momentum`.
        training: Whether the file itself asks for training behaviour.
        spent: Tensors that nothing reads afterwards.
    """

    instruction: Instruction
    kernel: Kernel
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    spec: OpSpec | None = None
    mode_dependent: bool = False
    training: bool = False
    spent: tuple[str, ...] = ()

    def call(
        self, values: Mapping[str, Tensor], *, training: bool = False, momentum: float | None = None
    ) -> dict[str, Tensor]:
        """Run it on tensors by name; return what it makes, by name."""
        operands = [values[name] if name else None for name in self.inputs]
        if self.mode_dependent:
            made = self.kernel(*operands, training=training or self.training, momentum=momentum)
        else:
            made = self.kernel(*operands)
        return dict(zip(self.outputs, (made,) if isinstance(made, Tensor) else made, strict=False))


@dataclass(frozen=True)
class Plan:
    """The calls that an architecture makes.

    Attributes:
        steps: In order.
        lacking: Tensors that cannot be computed, and why.
        frontier: Tensors that can, and that a call would read which cannot be made.
        fused: The same as `steps`, with fewer calls.
        hidden: Tensors that these do not make.
        cut: Tensors that have lost channels, by name.
        sizes: What is made of the inputs' shapes alone.
    """

    steps: tuple[Step, ...]
    lacking: Mapping[str, str]
    frontier: tuple[str, ...]
    fused: tuple[Step, ...]
    hidden: frozenset[str]
    cut: Mapping[str, Cut]
    sizes: Sizes


def freeing(calls: Sequence[Step], alive: Collection[str]) -> tuple[Step, ...]:
    """Say of each call which tensors nothing reads afterwards, but for those that stay alive."""
    steps, read = list[Step](), set(alive)
    for step in reversed(calls):
        spent = tuple(name for name in dict.fromkeys((*step.inputs, *step.outputs)) if name and name not in read)
        read.update(spent)
        parts = (step.instruction, step.kernel, step.inputs, step.outputs, step.spec, step.mode_dependent)
        steps.append(Step(*parts, step.training, spent))
    return tuple(steps[::-1])


def of_shapes(steps: Iterable[Step], constants: Collection[str]) -> frozenset[str]:
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
