"""A model as a plain torch module: torch's own layers, the op table's kernels, and the order in which they run."""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import onnx
from torch import Tensor, nn

from natonnx.architecture import Edit
from natonnx.frontend import ParseOptions
from natonnx.module.numbers import as_tensor
from natonnx.module.tree import Path, descend
from natonnx.module.wiring import Wiring

__all__ = ["Held", "OnnxModule", "Origin"]


class Held(NamedTuple):
    """Where the module holds a tensor of the file.

    Attributes:
        path: Of the module, and the tensor's name in it.
        turned: Whether it is held transposed.
    """

    path: Path
    turned: bool = False

    @property
    def key(self) -> str:
        """Its key in the state of the module."""
        return ".".join(self.path)


class Origin(NamedTuple):
    """Which file a module was made of.

    Attributes:
        path: Where it was; empty where there was none.
        sha256: Of its bytes.
        edits: What was changed in it first.
    """

    path: str = ""
    sha256: str = ""
    edits: tuple[Edit, ...] = ()


class OnnxModule(nn.Module):
    """A model of one architecture.

    Nodes that are torch's own layers are such (`nn.Conv2d`, `nn.Linear`, `nn.BatchNorm2d`, …), others run by kernels of
    the op table. `train()` and `eval()` mean what they mean in torch: BatchNormalization and Dropout follow them. It
    may be moved, copied, pickled and compiled; submodules may be replaced.

    Tensors of the file are under their own names, as far as these name an attribute of a module: see `onnx_names`.

    Attributes:
        wiring: How submodules are connected.
        held: Where tensors of the file are, by their names there.
        skeleton: The file without their values.
        reading: How it was parsed.
        origin: Where it comes from.
    """

    wiring: Wiring
    held: Mapping[str, Held]
    skeleton: onnx.ModelProto
    reading: ParseOptions
    origin = Origin()

    @property
    def input_names(self) -> tuple[str, ...]:
        """Names of the inputs, in order."""
        return self.wiring.inputs

    @property
    def output_names(self) -> tuple[str, ...]:
        """Names of the outputs, in order."""
        return self.wiring.outputs

    @property
    def onnx_names(self) -> dict[str, str]:
        """What each entry of `state_dict` that a file holds is called in the file: the same, where it can be."""
        return {held.key: name for name, held in self.held.items()}

    def forward(self, *inputs: Tensor, **named: Tensor) -> Any:
        """Run the model.

        Args:
            inputs: By position, in the order of `input_names`.
            named: By name.

        Returns:
            The output; a tuple in the order of `output_names` where there are several.
        """
        found = self.tensors(_given(self.wiring.inputs, inputs, named), self.wiring.outputs)
        return found[0] if len(found) == 1 else found

    def tensors(self, inputs: Mapping[str, Tensor], names: Sequence[str]) -> tuple[Tensor, ...]:
        """Run the model, and return any of its tensors.

        Args:
            inputs: All inputs by name.
            names: Of the tensors, as the file has them.

        Raises:
            KeyError: If one is not made, as what torch computes with others in one call.
        """
        wiring, program = self.wiring, self.wiring.program
        kept = [program.slots[name] for name in names]
        values = [*program.constants, *[inputs[name] for name in wiring.inputs]]
        values += [getattr(descend(self, path[:-1]), path[-1]) for path in wiring.tensors.values()]
        values += [None] * (program.size - len(values))
        for path, read, made, spent in program.steps:
            found = descend(self, path)(*[values[slot] for slot in read])
            if isinstance(found, tuple):
                for slot, value in zip(made, found, strict=False):
                    values[slot] = value
            else:
                values[made[0]] = found
            for slot in spent:
                if slot not in kept:
                    values[slot] = None
        return tuple([as_tensor(values[slot]) for slot in kept])


def _given(names: Sequence[str], inputs: Sequence[Tensor], named: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Return inputs by name.

    Raises:
        TypeError: If there are too many, too few, or one twice.
    """
    if len(inputs) > len(names):
        raise TypeError(f"{len(inputs)} inputs are given, the model has {len(names)}: {', '.join(names)}")
    given = dict(zip(names, inputs, strict=False))
    if wrong := [name for name in named if name in given or name not in names]:
        raise TypeError(f"input {wrong[0]!r} is given twice, or is none of the model's: {', '.join(names)}")
    given.update(named)
    if missing := [name for name in names if name not in given]:
        raise TypeError(f"input {missing[0]!r} is not given; the model's are {', '.join(names)}")
    return given
