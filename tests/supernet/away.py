"""An accelerator without one: torch's device without data, on which whatever waits for the host raises.

torch itself refuses to read a tensor of the device `meta`: `.item()`, `bool()`, `.tolist()`, copies to the CPU, masks
as indices, shapes that depend on values. It does not see everything that would stop or wait on a GPU: `Away` does.
"""

from collections.abc import Callable, Iterator, Mapping
from typing import Any

import numpy as np
import torch
from onnx import numpy_helper
from torch import Tensor
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode

from natonnx.architecture import Architecture
from natonnx.frontend.vocabulary import DEFAULT_DOMAIN
from natonnx.supernet import Supernet
from natonnx.supernet.ops import OpSpec, build, host_positions, is_mode_dependent
from natonnx.supernet.ops.operands import as_tensor
from tools.conformance.onnx_cases import Case

META = torch.device("meta")
_COPIES = ("_to_copy", "copy_")
_NO_SCALARS = ("where",)
"""They mix a scalar of the CPU in by a copy of their own, which waits."""


class WaitsError(AssertionError):
    """Something that would wait for the host, or that would not run, on a GPU."""


class Away(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Refuses operations on tensors of two devices, and copies to the device that wait for it."""

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        tensors = list(_tensors((args, kwargs)))
        away = [tensor for tensor in tensors if tensor.device == META]
        here = [tensor for tensor in tensors if tensor.device != META]
        name = func.__name__.split(".")[0]
        if name in _COPIES:
            to_device = kwargs.get("device") if name == "_to_copy" else args[0].device
            source = args[0] if name == "_to_copy" else args[1]
            waits = not (kwargs.get("non_blocking") or (name == "copy_" and len(args) > 2 and args[2]))
            if source.device != META and to_device == META and waits:
                raise WaitsError(f"{func}: a copy to the device that waits for it")
            if source.device == META and to_device is not None and torch.device(to_device) != META:
                raise WaitsError(f"{func}: a copy to the host")
        elif away and here:
            mixes = torch.Tag.pointwise in func.tags and name not in _NO_SCALARS
            if any(tensor.ndim or not mixes for tensor in here):
                raise WaitsError(f"{func}: tensors of two devices, {[tuple(t.shape) for t in here]} on the CPU")
        return func(*args, **kwargs)


class NoLists(TorchFunctionMode):
    """Refuses tensors that are made of Python's numbers on the device: torch waits until they are there."""

    def __torch_function__(self, func: Callable[..., Any], types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        if func in (torch.tensor, torch.as_tensor) and torch.device(kwargs.get("device") or "cpu") == META:
            raise WaitsError(f"{func.__name__}: makes a tensor of numbers on the device")
        return func(*args, **kwargs)


def moved(value: Any) -> Any:
    """Return a tensor without its values, on the device."""
    return torch.empty_like(value, device=META) if isinstance(value, Tensor) else value


def _tensors(value: Any) -> Iterator[Tensor]:
    if isinstance(value, Tensor):
        yield value
    elif isinstance(value, dict):
        yield from _tensors(list(value.values()))
    elif isinstance(value, list | tuple):
        for item in value:
            yield from _tensors(item)


def run_away(supernet: Supernet, inputs: Mapping[str, Tensor], architecture: Architecture | None = None) -> None:
    """Run a supernet there, forward and backward, with all of its inputs there too; its own mode is kept.

    Raises:
        RuntimeError: Of torch or of this module, where something waits for the host.
    """
    supernet.to(META)
    with Away(), NoLists():
        outputs = supernet.run({name: moved(value) for name, value in inputs.items()}, architecture)
        sums = [value.float().sum() for value in outputs.values() if value.requires_grad]
        if sums:
            torch.stack(sums).sum().backward()  # type: ignore[no-untyped-call]


def run_case(case: Case) -> None:
    """Run a case away, forward and backward; what its kernels read as numbers stays here.

    Raises:
        RuntimeError: Of torch or of `Away`, where something waits for the host.
    """
    graph = case.model.graph
    opset = next(entry.version for entry in case.model.opset_import if entry.domain in DEFAULT_DOMAIN)
    numbers = {name for node in graph.node for i, name in enumerate(node.input) if i in host_positions(node.op_type)}
    given = {tensor.name: as_tensor(numpy_helper.to_array(tensor)) for tensor in graph.initializer}
    given |= {value.name: as_tensor(np.asarray(array)) for value, array in zip(graph.input, case.inputs, strict=False)}
    values: dict[str, Tensor | None] = {"": None}
    for name, value in given.items():
        values[name] = value if name in numbers else moved(value)
    fixed = {name for node in graph.node if "Loss" in node.op_type for name in node.input[2:]}
    fixed |= {name for node in graph.node if is_mode_dependent(node.op_type) for name in node.input[3:]}
    leaves = [value for name, value in values.items() if value is not None and name not in fixed]
    leaves = [leaf.requires_grad_() for leaf in leaves if leaf.is_floating_point() and leaf.device == META]
    with Away(), NoLists():
        for node in graph.node:
            spec = OpSpec.from_node(node, opset)
            mode = {"training": bool(spec.integer("training_mode"))} if is_mode_dependent(node.op_type) else {}
            made = build(spec)(*(values[name] for name in node.input), **mode)
            values |= dict(zip(node.output, made if isinstance(made, tuple) else (made,), strict=True))
            values[""] = None
        outputs = [values[output.name] for output in graph.output]
        sums = [torch.view_as_real(y).sum() if y.is_complex() else y.sum() for y in outputs if y is not None]
        if total := [value.float() for value in sums if value.requires_grad]:
            torch.autograd.grad(torch.stack(total).sum(), leaves, allow_unused=True)
