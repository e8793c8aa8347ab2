"""Run architectures on the same samples again and again: what they share with the original is computed once.

Behind its last changed operator an α is all that is left to compute, for what it reads there the original makes too.
Tensors of the original that some α read are kept, those that were read last, and an original that has to run for
another one begins at them.
"""

import math
import sys
from collections import OrderedDict
from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor

from natonnx.architecture import Architecture
from natonnx.data.batches import Axes
from natonnx.frontend import Instruction
from natonnx.search.objective import Outputs
from natonnx.search.runner import Runner, TensorBatch, evaluate_by_pieces
from natonnx.supernet import Supernet
from natonnx.supernet.module import as_channels_last
from natonnx.supernet.plan import Step, freeing

__all__ = ["MOST_BYTES", "PrefixRunner"]

MOST_BYTES = 1 << 30
"""Of tensors that are kept: a gigabyte."""
_CACHED_BYTES = 1 << 23
"""Of the largest tensor of a piece on the CPU: what is larger falls out of caches, and its memory is mapped anew."""


class PrefixRunner:
    """Runs architectures on batches that are known, in evaluation mode, by weights that differ in part.

    Args:
        supernet: The original; its weights stay as they are.
        batches: All that will be run.
        captures: Tensors to return, with the axis that counts samples in each.
        most_bytes: Of the original's tensors that are kept.
    """

    def __init__(
        self, supernet: Supernet, batches: Iterable[TensorBatch], captures: Axes, most_bytes: int = MOST_BYTES
    ) -> None:
        self._supernet, self._captures = supernet, captures
        self._batches = tuple(batch.inputs for batch in batches)
        self._kept = _Kept(most_bytes)
        with torch.inference_mode():
            steps = supernet.evaluation_steps(supernet.network.architecture, captures)
            self._constants, self._steps = _with_made(steps, supernet.constants())
        self._same = {_key(step) for step in steps}
        on_cpu = all(value.is_cpu for value in supernet.constants().values())
        self._piece = _piece(supernet, self._steps) if on_cpu else sys.maxsize

    @property
    def kept_bytes(self) -> int:
        """How many bytes are kept."""
        return self._kept.bytes

    def runner(self, alpha: Architecture, changed: Mapping[str, Tensor]) -> Runner:
        """Run an architecture on the batches that were given, and no others.

        Args:
            alpha: The architecture.
            changed: Tensors by ONNX name that differ from the original's.

        Returns:
            A runner, which raises ValueError on other inputs.
        """
        given = self._supernet.constants()
        own = {name: value.to(given[name].device, given[name].dtype) for name, value in changed.items()}
        with torch.inference_mode():
            made = self._supernet.evaluation_steps(alpha, self._captures)
            constants, steps = _with_made(made, given | as_channels_last(own))
        different = set(own)
        for step in made:
            if _key(step) not in self._same or not different.isdisjoint(step.inputs):
                different.update(filter(None, step.outputs))
        suffix = _Suffix.of(steps, different, constants.keys(), self._captures)
        starts: dict[frozenset[str], tuple[Step, ...]] = {}

        def run(inputs: Mapping[str, Tensor], size: int) -> Outputs:
            batch = next((i for i, known in enumerate(self._batches) if known is inputs), None)
            if batch is None:
                raise ValueError("these inputs are not one of the batches that were given")
            piece = 0

            def once(part: Mapping[str, Tensor]) -> Mapping[str, Tensor]:
                nonlocal piece
                kept = self._kept.get((batch, piece))
                known = frozenset(kept)
                if known not in starts:
                    starts[known] = self._start(suffix.given, known)
                values: dict[str, Any] = {**kept, **as_channels_last(part)}
                _run(starts[known], values, self._constants)
                given = {name: values[name] for name in suffix.given}
                kept = {name: value for name, value in given.items() if name not in part}
                self._kept.keep((batch, piece), kept, {name for step in starts[known] for name in step.inputs})
                _run(suffix.steps, given, constants)
                piece += 1
                return {name: given[name] if name in given else constants[name] for name in self._captures}

            with self._supernet.explained(inputs), torch.inference_mode():
                axes = self._supernet.network.batch_axes
                return evaluate_by_pieces(once, inputs, size, axes, self._captures, self._piece)

        return run

    def _start(self, wanted: Collection[str], known: Collection[str]) -> tuple[Step, ...]:
        """Return the original's steps that make some of its tensors, others being known."""
        needed, steps = set(wanted) - set(known), list[Step]()
        for step in reversed(self._steps):
            if not needed.isdisjoint(step.outputs):
                steps.append(step)
                needed.update(name for name in step.inputs if name not in known)
        return freeing(steps[::-1], {*wanted, *self._constants})


class _Suffix(NamedTuple):
    """What an architecture computes that the original does not.

    Attributes:
        steps: In order.
        given: Tensors that the original makes as well, or inputs, that these read or that are asked for.
    """

    steps: tuple[Step, ...]
    given: tuple[str, ...]

    @classmethod
    def of(
        cls, steps: Sequence[Step], different: Collection[str], constants: Collection[str], wanted: Collection[str]
    ) -> "_Suffix":
        """Find it.

        Args:
            steps: All that depend on an input.
            different: Names of the tensors that are not as in the original.
            constants: Names of all that depends on no input.
            wanted: Names of the tensors that are asked for.
        """
        needed, own = {name for name in wanted if name not in constants}, list[Step]()
        for step in reversed(steps):
            made = set(step.outputs)
            if not needed.isdisjoint(made) and not made.isdisjoint(different):
                own.append(step)
                needed.update(name for name in step.inputs if name and name not in constants)
        given = needed - {name for step in own for name in step.outputs}
        return cls(freeing(own[::-1], {*wanted, *constants}), tuple(sorted(given)))


class _Kept:
    """Tensors by piece of a batch and name, of a limited size together; names that were read last stay."""

    def __init__(self, most_bytes: int) -> None:
        self._most, self.bytes = most_bytes, 0
        self._tensors: OrderedDict[str, dict[tuple[int, int], Tensor]] = OrderedDict()

    def get(self, piece: tuple[int, int]) -> dict[str, Tensor]:
        return {name: held[piece] for name, held in self._tensors.items() if piece in held}

    def keep(self, piece: tuple[int, int], tensors: Mapping[str, Any], read: Collection[str]) -> None:
        """Keep tensors of a piece as far as there is room; those that are read now are not given up for them."""
        for name in (*read, *tensors):
            if name in self._tensors:
                self._tensors.move_to_end(name)
        for name, value in tensors.items():
            is_new = isinstance(value, Tensor) and piece not in self._tensors.get(name, ())
            if is_new and self._has_room(_size(value), {*read, *tensors}):
                self._tensors.setdefault(name, {})[piece] = value
                self.bytes += _size(value)

    def _has_room(self, size: int, spared: Collection[str]) -> bool:
        """Give up what was not read for longest until there is room."""
        while self.bytes + size > self._most:
            oldest = next(iter(self._tensors), None)
            if oldest is None or oldest in spared:
                return False
            self.bytes -= sum(map(_size, self._tensors.pop(oldest).values()))
        return True


def _piece(supernet: Supernet, steps: Iterable[Step]) -> int:
    """Return so many samples that the largest tensor stays in a processor's cache."""
    shapes = (supernet.network.shapes.get(name, ()) for step in steps for name in step.outputs)
    numbers = (math.prod(size for size in shape[1:] if isinstance(size, int)) for shape in shapes)
    return max(1, _CACHED_BYTES // (4 * max([1, *numbers])))


def _key(step: Step) -> tuple[Instruction, tuple[str, ...], tuple[str, ...]]:
    return step.instruction, step.inputs, step.outputs


def _size(value: Tensor) -> int:
    """Return the bytes that a tensor holds, also where it is part of a larger one."""
    return value.untyped_storage().nbytes()


def _with_made(steps: Sequence[Step], given: Mapping[str, Tensor]) -> tuple[dict[str, Tensor], tuple[Step, ...]]:
    """Run what depends on constants alone; return all constants, and the other steps."""
    constants, others = dict(given), list[Step]()
    for step in steps:
        if all(not name or name in constants for name in step.inputs):
            constants.update(step.call(constants))
        else:
            others.append(step)
    return constants, tuple(others)


def _run(steps: Sequence[Step], values: dict[str, Any], constants: Mapping[str, Tensor]) -> None:
    """Run steps in evaluation mode on what they read, and add what they make; what nothing reads any more goes."""
    for step in steps:
        operands = {name: values[name] if name in values else constants[name] for name in step.inputs if name}
        values.update(step.call(operands))
        for name in step.spent:
            values.pop(name, None)
