"""Run ONNX models in onnxruntime on the CPU, quietly, with its errors told in one line."""

from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np
import onnx

from natonnx.errors import InputError, first_line

if TYPE_CHECKING:
    from onnxruntime import InferenceSession

__all__ = ["run", "session"]


def session(model: onnx.ModelProto, threads: int = 1) -> "InferenceSession":
    """Load a model into onnxruntime.

    Args:
        model: The model; large models are serialised in memory.
        threads: Threads within an operator.

    Raises:
        InputError: If onnxruntime does not accept the model.
    """
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    options.log_severity_level = 4
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    try:
        return onnxruntime.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
    except Exception as error:  # onnxruntime's own exceptions share no public base
        raise InputError(f"onnxruntime refuses the model: {first_line(error)}") from None


def run(runtime: "InferenceSession", inputs: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Run a batch; outputs by name.

    Raises:
        InputError: If onnxruntime cannot run the inputs.
    """
    names = [output.name for output in runtime.get_outputs()]
    try:
        return dict(zip(names, runtime.run(names, dict(inputs)), strict=True))
    except Exception as error:
        raise InputError(f"onnxruntime cannot run the model: {first_line(error)}") from None
