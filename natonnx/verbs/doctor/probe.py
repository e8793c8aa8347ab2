"""A program: load one thing and let it do something small, and print an `Answer` as JSON.

What it loads may be missing, crash or hang; so each probe has a process of its own, which `ask` starts:
``python -P -m natonnx.verbs.doctor.probe PROBE [ARGUMENT]``.
"""

import importlib
import json
import os
import sys
from collections.abc import Callable
from contextlib import suppress
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

from natonnx.errors import first_line
from natonnx.machine import machine
from natonnx.verbs.doctor.answer import Answer, answer

if TYPE_CHECKING:
    import onnx
    from onnxruntime import InferenceSession

__all__ = ["main"]

# A convolution of one channel and its Relu: small whole numbers, which are exact in any precision.
INPUT = [[1, 0, 2, 1], [0, 3, 1, 0], [2, 1, 0, 1], [1, 0, 2, 3]]
KERNEL = [[1, -1], [-1, 2]]
OUTPUT = [[7, 0, 0], [0, 1, 3], [0, 5, 3]]
GRADIENT = [[18, 4], [7, 43]]
"""Of half the sum of the output's squares, to the kernel."""

_ABSENT = ("cannot open shared object", "error 126", "no CUDA-capable device", "Please install", "driver version")
"""How onnxruntime says that a provider's libraries or its device are not there."""
_TORCH_CUDA = ("libtorch_cuda.so", "torch_cuda.dll")


def run_onnxruntime(provider: str) -> Answer:
    """Run a model on a provider; that of the CPU says which others there are."""
    import numpy as np

    from natonnx.bench.provider import CPU, open_saying, provider_used, why_not
    from natonnx.session import run, session

    def opener() -> "InferenceSession":
        return session(_model(), provider=provider)

    runtime, said = open_saying(opener)
    beside = ""
    if provider_used(runtime) != provider and _torch_brings_cuda():
        importlib.import_module("torch")
        runtime, said = open_saying(opener)
        beside = " where torch is loaded, with the CUDA libraries that it brings"
    if provider_used(runtime) != provider:
        reason = why_not(said) or f"onnxruntime took {provider_used(runtime)} and does not say why"
        return answer("missing" if any(sign in reason for sign in _ABSENT) else "broken", reason)
    (found,) = run(runtime, {"input": np.array(INPUT, np.float32)[None, None]}).values()
    if found.shape != (1, 1, 3, 3) or not np.allclose(found[0, 0], OUTPUT, atol=1e-3):
        return answer("broken", f"a convolution gives {found.tolist()} in the place of {OUTPUT}")
    import onnxruntime

    others = [name for name in onnxruntime.get_available_providers() if name != CPU] if provider == CPU else []
    return answer("ok", f"a model runs and gives the right values{beside}", others=dict.fromkeys(others))


def _torch_brings_cuda() -> bool:
    """Whether there is a torch with CUDA's libraries; it is not imported."""
    spec = find_spec("torch")
    folders = spec.submodule_search_locations or () if spec is not None else ()
    return any(Path(folder, "lib", name).exists() for folder in folders for name in _TORCH_CUDA)


def run_torch(device: str) -> Answer:
    """Compute a convolution and its gradient on a device; that of the CPU says which others there are."""
    import torch

    kernel = torch.tensor(KERNEL, dtype=torch.float32, device=device)[None, None].requires_grad_()
    image = torch.tensor(INPUT, dtype=torch.float32, device=device)[None, None]
    output = torch.nn.functional.conv2d(image, kernel).relu()
    (slope,) = torch.autograd.grad(output.square().sum() / 2, kernel)
    for what, found, right in (("convolution", output, OUTPUT), ("gradient", slope, GRADIENT)):
        if not torch.allclose(found[0, 0].detach().cpu(), torch.tensor(right, dtype=torch.float32), atol=1e-3):
            return answer("broken", f"a {what} is {found.tolist()} in the place of {right}")
    if device != "cpu":
        return answer("ok", f"a convolution and its gradient are right on {torch.cuda.get_device_name(device)}")
    threads = torch.get_num_threads()
    detail = f"a convolution and its gradient are right, by {threads} thread{'s' if threads > 1 else ''}"
    return answer("ok", detail, others=_cuda_devices())


def _cuda_devices() -> dict[str, str | None]:
    """Name torch's CUDA devices, or say why there are none where one would expect some."""
    import torch

    if torch.cuda.is_available():
        return {f"cuda:{index}": None for index in range(torch.cuda.device_count())}
    built = torch.version.cuda or torch.version.hip
    if built:
        return {"cuda": f"torch is built for {built}, but sees no device"}
    return {"cuda": "this torch is built without CUDA"} if machine().gpus else {}


def load_dgl(_: str) -> Answer:
    """Import DGL."""
    os.environ.setdefault("DGLBACKEND", "pytorch")  # without it DGL prints, and writes to the home folder
    importlib.import_module("dgl")
    return answer("ok", "it loads")


def load_optimize(_: str) -> Answer:
    """Import all that `natonnx optimize` does, and make its learner."""
    importlib.import_module("natonnx.verbs.optimize.optimize")
    importlib.import_module("natonnx.report.console")
    from natonnx.policy import LEARNERS, make_policy
    from natonnx.policy.backend import serving

    make_policy(LEARNERS[0])
    return answer("ok", f"its modules load, and the learner {LEARNERS[0]} is made; its messages: {serving()}")


def read_data(_: str) -> Answer:
    """Read the built-in sets whole."""
    from natonnx.data.shipped import BUILTIN, read_builtin

    sizes = {name: sum(map(len, read_builtin(name, None).values())) // 2 for name in BUILTIN}
    return answer("ok", ", ".join(f"{name}: {size:,} images are read" for name, size in sizes.items()))


def read_policy(_: str) -> Answer:
    """Read the weights of the pretrained policy whole."""
    from importlib import resources

    import safetensors

    from natonnx.policy import LEARNERS

    shipped = resources.files("natonnx.policy") / "weights" / f"{LEARNERS[0]}.safetensors"
    with resources.as_file(shipped) as path, safetensors.safe_open(path, "np") as file:
        weights = [file.get_tensor(name) for name in file.keys()]  # noqa: SIM118 - it is no mapping
    return answer("ok", f"{sum(value.size for value in weights):,} weights of {LEARNERS[0]} are read")


PROBES: dict[str, Callable[[str], Answer]] = {
    "onnxruntime": run_onnxruntime,
    "torch": run_torch,
    "dgl": load_dgl,
    "optimize": load_optimize,
    "data": read_data,
    "policy": read_policy,
}


def _model() -> "onnx.ModelProto":
    from onnx import TensorProto, helper

    kernel = helper.make_tensor("kernel", TensorProto.FLOAT, [1, 1, 2, 2], [float(w) for row in KERNEL for w in row])
    graph = helper.make_graph(
        [helper.make_node("Conv", ["input", "kernel"], ["map"]), helper.make_node("Relu", ["map"], ["output"])],
        "probe",
        [helper.make_tensor_value_info("input", TensorProto.FLOAT, [1, 1, 4, 4])],
        [helper.make_tensor_value_info("output", TensorProto.FLOAT, [1, 1, 3, 3])],
        [kernel],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=8)


def main(probe: str, argument: str = "") -> None:
    """Print the answer; what the libraries print goes to stderr."""
    answers = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)
    if sys.platform != "win32":
        import resource

        with suppress(OSError, ValueError):  # what crashes leaves no core behind
            resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    try:
        found = PROBES[probe](argument)
    except ModuleNotFoundError as error:
        is_it = (error.name or "").split(".")[0] == probe
        found = answer("missing", "not installed") if is_it else answer("broken", str(error))
    except Exception as error:
        found = answer("broken", f"{type(error).__name__}: {first_line(error)}")
    with answers:
        json.dump(found, answers)


if __name__ == "__main__":
    main(*sys.argv[1:])
