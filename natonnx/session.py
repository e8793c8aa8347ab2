"""Run ONNX models in onnxruntime, quietly, with its errors told in one line."""

import contextlib
import sys
import weakref
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import onnx

from natonnx.errors import InputError, first_line
from natonnx.tensors import is_external, is_heavy, is_pending, light_copy, read_tensor

if TYPE_CHECKING:
    from onnxruntime import InferenceSession

__all__ = ["run", "session", "with_outputs"]

_CPU = "CPUExecutionProvider"
_UNREADABLE = ("tensor(bfloat16", "tensor(float8", "tensor(int4", "tensor(uint4", "tensor(float4")


def session(
    model: onnx.ModelProto,
    threads: int = 1,
    folder: Path | None = None,
    *,
    provider: str = _CPU,
    profile: Path | None = None,
    optimise: bool = True,
) -> "InferenceSession":
    """Load a model into onnxruntime.

    Args:
        model: The model. onnxruntime reads its external data from the folder, and what is pending from memory.
        threads: Threads within an operator.
        folder: Where the model's external data is.
        provider: onnxruntime's name of the provider that it should prefer. Where that cannot be loaded it takes the
            CPU, and says why on stderr; the session's `get_providers` tell.
        profile: Beginning of the path of a file that the session's profile is written to.
        optimise: Let onnxruntime fuse and reorder nodes, as it does unless told otherwise.

    Raises:
        InputError: If onnxruntime does not accept the model.
    """
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    options.log_severity_level = 4
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    if not optimise:
        options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    if profile is not None:
        options.enable_profiling = True
        options.profile_file_prefix = str(profile)
    light = light_copy(model, folder)
    if folder is not None:
        options.add_session_config_entry("session.model_external_initializers_file_folder_path", str(folder))
    large = {tensor.name for tensor in filter(is_external, light.graph.initializer)}
    held = (tensor for tensor in model.graph.initializer if is_pending(tensor) or is_heavy(tensor))
    pending = [tensor for tensor in held if tensor.name in large]
    fed = [onnxruntime.OrtValue.ortvalue_from_numpy(read_tensor(tensor, folder)) for tensor in pending]
    try:
        options.add_external_initializers([tensor.name for tensor in pending], fed)
        providers = list(dict.fromkeys([provider, _CPU]))
        with contextlib.redirect_stdout(sys.stderr):  # where it says that a provider cannot be loaded
            runtime = onnxruntime.InferenceSession(light.SerializeToString(), options, providers=providers)
    except Exception as error:  # onnxruntime's own exceptions share no public base
        raise InputError(f"onnxruntime refuses the model: {first_line(error)}") from None
    weakref.finalize(runtime, fed.clear)  # it borrows their memory as long as it lives
    return runtime


def run(runtime: "InferenceSession", inputs: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Run a batch.

    Returns:
        Outputs by name; without those of types that onnxruntime cannot give to numpy, such as bfloat16.

    Raises:
        InputError: If onnxruntime cannot run the inputs, or no output can be given to numpy.
    """
    names = [output.name for output in runtime.get_outputs() if not output.type.startswith(_UNREADABLE)]
    if not names:
        raise InputError("onnxruntime cannot give any of the model's outputs to numpy")
    try:
        return dict(zip(names, runtime.run(names, dict(inputs)), strict=True))
    except Exception as error:
        raise InputError(f"onnxruntime cannot run the model: {first_line(error)}") from None


def with_outputs(model: onnx.ModelProto, names: Iterable[str]) -> onnx.ModelProto:
    """A model that gives further tensors; the model itself where it does already."""
    further = [name for name in names if name not in {info.name for info in model.graph.output}]
    if not further:
        return model
    copy = onnx.ModelProto()
    copy.CopyFrom(model)
    copy.graph.output.extend(onnx.helper.make_empty_tensor_value_info(name) for name in further)
    return copy
