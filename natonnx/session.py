"""Run ONNX models in onnxruntime, quietly, with its errors told in one line."""

import contextlib
import sys
import weakref
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import onnx

from natonnx.errors import InputError, first_line
from natonnx.harmless import is_harmless
from natonnx.limits import LimitError, limited, memory_limited
from natonnx.tensors import byte_size, is_external, is_heavy, is_pending, light_copy, read_tensor

if TYPE_CHECKING:
    import torch
    from onnxruntime import InferenceSession, OrtValue, SessionOptions
    from torch import Tensor

__all__ = ["CPU", "run", "run_bound", "session", "with_outputs"]

CPU = "CPUExecutionProvider"
_REFUSED, _NOT_RUN = "onnxruntime refuses the model", "onnxruntime cannot run the model"
_UNREADABLE = ("tensor(bfloat16", "tensor(float8", "tensor(int4", "tensor(uint4", "tensor(float4")


def session(
    model: onnx.ModelProto,
    threads: int = 1,
    folder: Path | None = None,
    *,
    provider: str = CPU,
    provider_options: Mapping[str, str] | None = None,
    profile: Path | None = None,
    optimise: bool = True,
    lay_out: bool = True,
) -> "InferenceSession":
    """Load a model into onnxruntime.

    Args:
        model: The model. onnxruntime reads its external data from the folder, and what is pending from memory.
        threads: Threads within an operator.
        folder: Where the model's external data is.
        provider: onnxruntime's name of the provider that it should prefer. Where that cannot be loaded it takes the
            CPU, and says why on stderr; the session's `get_providers` tell.
        provider_options: What the provider is told, in onnxruntime's words.
        profile: Beginning of the path of a file that the session's profile is written to.
        optimise: Let onnxruntime fuse and reorder nodes, as it does unless told otherwise.
        lay_out: Let it keep weights as its fastest kernels read them, too: that takes longer than a few runs save.

    Raises:
        InputError: If onnxruntime does not accept the model.
    """
    import onnxruntime

    options = _options(threads, folder)
    if not optimise:
        options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    elif not lay_out:
        options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_ENABLE_EXTENDED
    if profile is not None:
        options.enable_profiling = True
        options.profile_file_prefix = str(profile)
    light = light_copy(model, folder)
    large = {tensor.name for tensor in filter(is_external, light.graph.initializer)}
    held = (tensor for tensor in model.graph.initializer if is_pending(tensor) or is_heavy(tensor))
    pending = [tensor for tensor in held if tensor.name in large]
    limits = None if is_harmless(light) or any(map(is_pending, pending)) else _Limits(model, folder)
    if limits is not None:
        limits.try_out()
    fed = [onnxruntime.OrtValue.ortvalue_from_numpy(read_tensor(tensor, folder)) for tensor in pending]
    try:
        options.add_external_initializers([tensor.name for tensor in pending], fed)
        providers = [(provider, dict(provider_options or {})), *([CPU] if provider != CPU else [])]
        with (
            limits or contextlib.nullcontext(),
            contextlib.redirect_stdout(sys.stderr),
        ):  # where it says that a provider cannot be loaded
            runtime = onnxruntime.InferenceSession(light.SerializeToString(), options, providers=providers)
    except Exception as error:  # onnxruntime's own exceptions share no public base
        raise (LimitError if limits else InputError)(f"{_REFUSED}: {first_line(error)}") from None
    weakref.finalize(runtime, fed.clear)  # it borrows their memory as long as it lives
    runtime.untried = limits
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
    limits, runtime.untried = getattr(runtime, "untried", None), None
    if limits is not None:
        limits.try_out(inputs)
    try:
        with limits or contextlib.nullcontext():
            return dict(zip(names, runtime.run(names, dict(inputs)), strict=True))
    except Exception as error:
        raise (LimitError if limits else InputError)(f"{_NOT_RUN}: {first_line(error)}") from None


def run_bound(runtime: "InferenceSession", inputs: Mapping[str, "Tensor"], names: Sequence[str]) -> dict[str, "Tensor"]:
    """Run a batch of tensors on the device where they are, the CPU or CUDA, and leave what it makes there.

    Raises:
        InputError: If onnxruntime cannot run the inputs.
    """
    import torch

    device = next(value.device for value in inputs.values())
    if getattr(runtime, "untried", None) is not None:  # the worker tries it first
        made = run(runtime, {name: value.cpu().numpy() for name, value in inputs.items()})
        return {name: torch.from_numpy(made[name]).to(device) for name in names}
    binding, place = runtime.io_binding(), (device.type, device.index or 0)
    held = {name: value.contiguous() for name, value in inputs.items()}
    try:
        for name, value in held.items():
            element = np.dtype(str(value.dtype).removeprefix("torch.")).type
            binding.bind_input(name, *place, element, tuple(value.shape), value.data_ptr())
        for name in names:
            binding.bind_output(name, *place)
        if device.type == "cuda":
            torch.cuda.current_stream(device).synchronize()  # onnxruntime has a stream of its own
        runtime.run_with_iobinding(binding)
        binding.synchronize_outputs()
        made = dict(zip(names, binding.get_outputs(), strict=True))
    except Exception as error:
        raise InputError(f"{_NOT_RUN}: {first_line(error)}") from None
    return {name: _taken(value, device) for name, value in made.items()}


def _taken(value: "OrtValue", device: "torch.device") -> "Tensor":
    """Return what onnxruntime made; older ones give it to numpy alone."""
    import torch
    from torch.utils.dlpack import from_dlpack

    if not hasattr(value, "__dlpack__"):
        return torch.from_numpy(value.numpy()).to(device)
    taken: Tensor = from_dlpack(value)
    return taken.bool() if value.data_type() == "tensor(bool)" else taken  # which come as bytes


class _Limits:
    """A model that is not harmless, to be loaded and run in the worker before it is here.

    As a context it limits the memory of this process to what the worker was given.
    """

    def __init__(self, model: onnx.ModelProto, folder: Path | None) -> None:
        self._model, self._folder = model.SerializeToString(), folder and folder.absolute()
        self._size = len(self._model) + sum(map(byte_size, filter(is_external, model.graph.initializer)))
        self._limited: contextlib.AbstractContextManager[None] = contextlib.nullcontext()

    def __enter__(self) -> None:
        self._limited = memory_limited(self._size)
        self._limited.__enter__()

    def __exit__(self, *details: Any) -> None:
        self._limited.__exit__(*details)

    def try_out(self, inputs: Mapping[str, np.ndarray] | None = None) -> None:
        """Load it in the worker, and run it where inputs are given: what fails there is not tried here.

        Raises:
            InputError: If onnxruntime does not accept or run it, or exceeds a limit.
        """
        size = self._size + sum(np.asarray(value).nbytes for value in (inputs or {}).values())
        given = None if inputs is None else dict(inputs)
        what = f"onnxruntime, which {'loads' if inputs is None else 'runs'} the model,"
        try:
            limited(f"{__name__}:_try", self._model, self._folder, given, size=size, what=what)
        except LimitError:
            raise
        except InputError as error:
            raise InputError(f"{_REFUSED if inputs is None else _NOT_RUN}: {error}") from None


def _try(model: bytes, folder: Path | None, inputs: Mapping[str, np.ndarray] | None) -> None:
    import onnxruntime

    runtime = onnxruntime.InferenceSession(model, _options(1, folder), providers=[CPU])
    if inputs is not None:
        runtime.run(None, dict(inputs))


def _options(threads: int, folder: Path | None) -> "SessionOptions":
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    options.log_severity_level = 4
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    if folder is not None:
        options.add_session_config_entry("session.model_external_initializers_file_folder_path", str(folder))
    return options


def with_outputs(model: onnx.ModelProto, names: Iterable[str]) -> onnx.ModelProto:
    """A model that gives further tensors; the model itself where it does already."""
    further = [name for name in names if name not in {info.name for info in model.graph.output}]
    if not further:
        return model
    copy = onnx.ModelProto()
    copy.CopyFrom(model)
    copy.graph.output.extend(onnx.helper.make_empty_tensor_value_info(name) for name in further)
    return copy
