"""Values of a model's constants: initializers, Constant nodes, and what other constants make."""

import numpy as np
import onnx
from onnx import numpy_helper
from onnx.reference import ReferenceEvaluator

from natonnx.errors import VerificationError
from natonnx.frontend.view import reads

__all__ = ["constant_value"]


def constant_value(model: onnx.ModelProto, name: str) -> np.ndarray:
    """The value of a tensor that does not depend on the model's input.

    Args:
        model: The model.
        name: The tensor.

    Raises:
        VerificationError: If it cannot be computed.
    """
    graph = model.graph
    initializers = {tensor.name: tensor for tensor in graph.initializer}
    if name in initializers:
        return numpy_helper.to_array(initializers[name])
    makers = {output: i for i, node in enumerate(graph.node) for output in node.output}
    needed: set[int] = set()
    pending, used = [name], []
    while pending:
        tensor = pending.pop()
        if tensor in initializers:
            used.append(initializers[tensor])
        elif tensor in makers and makers[tensor] not in needed:
            needed.add(makers[tensor])
            pending.extend(reads(graph.node[makers[tensor]]))
    nodes = [graph.node[i] for i in sorted(needed)]
    part = onnx.helper.make_graph(nodes, "constants", [], [onnx.helper.make_empty_tensor_value_info(name)], used)
    try:
        small = onnx.helper.make_model(part, opset_imports=model.opset_import, functions=model.functions)
        return np.asarray(ReferenceEvaluator(small).run(None, {})[0])
    except Exception as error:  # the evaluator raises whatever numpy raises
        raise VerificationError(f"the constant {name!r} cannot be computed ({error})") from error
