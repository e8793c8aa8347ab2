"""Run some nodes of a model by themselves in onnxruntime, as the file has them."""

from collections.abc import Collection, Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import onnx
from onnx import helper, numpy_helper

from natonnx.errors import InputError
from natonnx.frontend.view import reads
from natonnx.session import run, session

if TYPE_CHECKING:
    from onnxruntime import InferenceSession

__all__ = ["Part", "Source"]

_Type = tuple[np.dtype[Any], tuple[int | None, ...]]
_Types = tuple[_Type, ...]


class Source:
    """A model, and what its nodes and constants are by name.

    Args:
        model: The model.
        folder: Where its external data is.
        constant: Positions of nodes that do not depend on the model's input.
        weights: New values of constants.

    Attributes:
        constants: Names of all tensors that do not depend on the model's input.
    """

    def __init__(
        self,
        model: onnx.ModelProto,
        folder: Path | None,
        constant: Iterable[int],
        weights: Mapping[str, np.ndarray],
    ) -> None:
        self.model, self.folder, self._weights = model, folder, weights
        self._held = {tensor.name: tensor for tensor in model.graph.initializer}
        self._sparse = {tensor.values.name: tensor for tensor in model.graph.sparse_initializer}
        self._makers = {name: i for i in constant for name in model.graph.node[i].output if name}
        self.constants = {*self._held, *self._sparse, *self._makers}

    def before(self, names: Iterable[str]) -> list[int]:
        """Positions of the nodes that tensors depend on, constant ones left out."""
        nodes = self.model.graph.node
        makers = {name: i for i, node in enumerate(nodes) for name in node.output if name not in self.constants}
        needed: set[int] = set()
        pending = list(names)
        while pending:
            i = makers.get(pending.pop())
            if i is not None and i not in needed:
                needed.add(i)
                pending.extend(reads(nodes[i]))
        return sorted(needed)

    def part(self, positions: Sequence[int], outputs: Collection[str] | None = None) -> "Part":
        """Nodes as a model of their own; see `Part`."""
        nodes = self.model.graph.node
        made = {name for i in positions for name in nodes[i].output if name}
        part = onnx.ModelProto(
            ir_version=max(self.model.ir_version, 4),
            opset_import=self.model.opset_import,
            functions=self.model.functions,
        )
        graph = part.graph
        graph.name = "part"
        inputs: list[str] = []
        constant: set[int] = set()
        seen = set(made)
        pending = [name for i in positions for name in reads(nodes[i])]
        for name in pending:  # which grows
            if name in seen:
                continue
            seen.add(name)
            if name in self._weights:
                graph.initializer.append(numpy_helper.from_array(self._weights[name], name))
            elif name in self._held:
                graph.initializer.append(self._held[name])
            elif name in self._sparse:
                graph.sparse_initializer.append(self._sparse[name])
            elif name in self._makers:
                constant.add(self._makers[name])
                pending.extend(reads(nodes[self._makers[name]]))
            else:
                inputs.append(name)
        for i in sorted(constant.difference(positions)):
            graph.node.append(nodes[i])
            kept = ("" if name in self._weights else name for name in nodes[i].output)
            graph.node[-1].output[:] = list(kept)
        graph.node.extend(nodes[i] for i in positions)
        wanted = [name for i in positions for name in nodes[i].output if name and (outputs is None or name in outputs)]
        return Part(part, self.folder, tuple(inputs), tuple(wanted))


class Part:
    """A model that gives what some nodes of a file make.

    Attributes:
        inputs: Names of the tensors that it reads and that are not constant.
        outputs: Names of those that it gives.
    """

    def __init__(
        self, model: onnx.ModelProto, folder: Path | None, inputs: tuple[str, ...], outputs: tuple[str, ...]
    ) -> None:
        self.inputs, self.outputs = inputs, outputs
        self._model, self._folder = model, folder
        self._sessions: dict[_Types, InferenceSession] = {}
        self._refused: set[_Types] = set()

    def run(self, values: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        """Run it.

        Args:
            values: Tensors by name, those that it reads among them.

        Returns:
            What it makes, by name.

        Raises:
            InputError: If onnxruntime cannot run it by itself, or it reads or makes anything but tensors.
        """
        fed = {name: values[name] for name in self.inputs}
        found = self._run(fed)
        tensors = {name: value for name, value in found.items() if isinstance(value, np.ndarray)}
        if missing := [name for name in self.outputs if name not in tensors]:
            raise InputError(f"{missing[0]!r} is something other than a tensor of numbers")
        return tensors

    def _run(self, fed: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        """Run it in a session for all sizes; in one for these sizes alone where onnxruntime must know them."""
        open_sizes = tuple((value.dtype, (None,) * value.ndim) for value in fed.values())
        given = tuple((value.dtype, value.shape) for value in fed.values())
        if open_sizes not in self._refused:
            try:
                return self._run_as(open_sizes, fed)
            except InputError:
                self._refused.add(open_sizes)
        return self._run_as(given, fed)

    def _run_as(self, types: _Types, fed: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        if types not in self._sessions:
            self._sessions[types] = self._open(dict(zip(fed, types, strict=True)))
        return run(self._sessions[types], fed)

    def _open(self, types: Mapping[str, _Type]) -> "InferenceSession":
        part = self._model  # which may be large
        del part.graph.input[:], part.graph.output[:]
        for name, (dtype, shape) in types.items():
            kind = helper.np_dtype_to_tensor_dtype(dtype)
            part.graph.input.append(helper.make_tensor_value_info(name, kind, shape))
        part.graph.output.extend(map(helper.make_empty_tensor_value_info, self.outputs))
        return session(part, folder=self._folder, optimise=False)
