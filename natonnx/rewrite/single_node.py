"""Run one node of a model by itself in onnxruntime, as the file has it."""

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import onnx
from onnx import helper, numpy_helper

from natonnx.errors import InputError
from natonnx.frontend.view import reads
from natonnx.session import run, session

if TYPE_CHECKING:
    from onnxruntime import InferenceSession

__all__ = ["SingleNode"]


class SingleNode:
    """A node as a model of its own; its constants are initializers of that model.

    Args:
        model: The model.
        position: Of the node in it.
        folder: Where the model's external data is.
        constants: Values of tensors that nodes make without the model's input, as far as they are known, and new ones
            of initializers.

    Attributes:
        inputs: Names of the tensors that it reads and that are not constant.
    """

    def __init__(
        self, model: onnx.ModelProto, position: int, folder: Path | None, constants: Mapping[str, np.ndarray]
    ) -> None:
        self._node = model.graph.node[position]
        self._folder = folder
        read = list(dict.fromkeys(reads(self._node)))
        stored = set(read).difference(constants)
        held = [tensor for tensor in model.graph.initializer if tensor.name in stored]
        sparse = [tensor for tensor in model.graph.sparse_initializer if tensor.values.name in stored]
        present = {tensor.name for tensor in held} | {tensor.values.name for tensor in sparse}
        self._part = onnx.ModelProto(
            ir_version=max(model.ir_version, 4), opset_import=model.opset_import, functions=model.functions
        )
        graph = self._part.graph
        graph.name = "node"
        graph.node.append(self._node)
        graph.initializer.extend(held)
        graph.sparse_initializer.extend(sparse)
        graph.initializer.extend(numpy_helper.from_array(constants[name], name) for name in read if name in constants)
        graph.output.extend(helper.make_empty_tensor_value_info(name) for name in self._node.output if name)
        self.inputs = tuple(name for name in read if name not in present and name not in constants)
        self._sessions: dict[object, InferenceSession] = {}

    def run(self, values: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        """Run the node.

        Args:
            values: Tensors by name, those that it reads among them.

        Returns:
            What it makes, by name.

        Raises:
            InputError: If onnxruntime cannot run it by itself, or it reads or makes anything but tensors.
        """
        fed = {name: values[name] for name in self.inputs}
        types = tuple((value.dtype, value.shape) for value in fed.values())
        if types not in self._sessions:
            self._sessions[types] = self._open(fed)
        made = run(self._sessions[types], fed)
        if len(made) < sum(map(bool, self._node.output)) or not all(isinstance(v, np.ndarray) for v in made.values()):
            raise InputError(f"node {self._node.name!r} makes something other than tensors of numbers")
        return made

    def _open(self, fed: Mapping[str, np.ndarray]) -> "InferenceSession":
        part = onnx.ModelProto()
        part.CopyFrom(self._part)
        for name, value in fed.items():
            kind = helper.np_dtype_to_tensor_dtype(value.dtype)
            part.graph.input.append(helper.make_tensor_value_info(name, kind, value.shape))
        return session(part, folder=self._folder, optimise=False)
