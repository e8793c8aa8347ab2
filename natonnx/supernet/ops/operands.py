"""Small conversions of a node's operands that several families share."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import torch
from onnx import TensorProto, helper
from torch import Tensor

from natonnx.supernet.ops.placement import moved

if TYPE_CHECKING:
    from collections.abc import Sequence

    from natonnx.supernet.ops.registry import OpSpec

__all__ = [
    "as_array",
    "as_tensor",
    "dtype_of",
    "integers",
    "normalized",
    "reverse_sequences",
    "shifted",
    "torch_dtype",
]

_DTYPES: dict[int, torch.dtype] = {
    TensorProto.FLOAT: torch.float32,
    TensorProto.DOUBLE: torch.float64,
    TensorProto.FLOAT16: torch.float16,
    TensorProto.BFLOAT16: torch.bfloat16,
    TensorProto.BOOL: torch.bool,
    TensorProto.INT8: torch.int8,
    TensorProto.INT16: torch.int16,
    TensorProto.INT32: torch.int32,
    TensorProto.INT64: torch.int64,
    TensorProto.UINT8: torch.uint8,
    TensorProto.UINT16: torch.uint16,
    TensorProto.UINT32: torch.uint32,
    TensorProto.UINT64: torch.uint64,
    TensorProto.COMPLEX64: torch.complex64,
    TensorProto.COMPLEX128: torch.complex128,
}


def torch_dtype(code: int) -> torch.dtype | None:
    """Return torch's type for a value of `onnx.TensorProto.DataType`; None where it has none that is exact."""
    return _DTYPES.get(code)


def dtype_of(spec: OpSpec, code: int) -> torch.dtype:
    """Translate an ONNX element type.

    Args:
        spec: The node that names the type, for the message.
        code: A value of `onnx.TensorProto.DataType`.

    Returns:
        The same type in torch.

    Raises:
        UnsupportedOpError: If the type has no exact counterpart in torch: text, float8, int4 ….
    """
    dtype = torch_dtype(code)
    if dtype is None:
        known = code in TensorProto.DataType.values()
        raise spec.unsupported(f"no tensors of type {TensorProto.DataType.Name(code) if known else code}")
    return dtype


def as_tensor(array: np.ndarray) -> Tensor:
    """Turn a numpy array into a tensor, which shares its memory where that may be written to.

    Args:
        array: The caller's own array; bfloat16 is no type of numpy's own and comes as ml_dtypes has it.

    Returns:
        The tensor, on the CPU.

    Raises:
        TypeError: If torch lacks the element type: text, float8, int4 ….
    """
    if array.dtype.name == "bfloat16":
        return torch.from_numpy(np.array(array).view(np.int16)).view(torch.bfloat16)
    return torch.from_numpy(array if array.flags.writeable else np.array(array))


def as_array(tensor: Tensor) -> np.ndarray:
    """Show a tensor on the CPU as a numpy array: the inverse of `as_tensor`."""
    if tensor.dtype == torch.bfloat16:
        return tensor.view(torch.int16).numpy().view(helper.tensor_dtype_to_np_dtype(TensorProto.BFLOAT16))
    return tensor.numpy()


def integers(operand: Tensor) -> list[int]:
    """Return a shape operand, a tensor of rank 0 or 1, as Python integers."""
    return [int(value) for value in operand.reshape(-1).tolist()]


def normalized(axes: Sequence[int], rank: int) -> tuple[int, ...]:
    """Count negative axes from the end of a given rank."""
    return tuple(axis + rank if axis < 0 else axis for axis in axes)


def shifted(indices: Tensor, size: int, x: Tensor) -> Tensor:
    """Bring indices into an axis to a tensor's device, and count negative ones from the end of the axis.

    Args:
        indices: The indices.
        size: The length of the axis.
        x: The tensor to be indexed.

    Returns:
        Indices of type int64, from zero on.
    """
    indices = moved(indices, x.device).long()
    return torch.where(indices < 0, indices + size, indices)


def reverse_sequences(x: Tensor, lengths: Tensor) -> Tensor:
    """Reverse the beginning of each sequence and leave the rest.

    Args:
        x: The sequences, [time, batch, ...].
        lengths: How many elements of each to reverse, [batch].

    Returns:
        A tensor like x.
    """
    lengths = moved(lengths, x.device).long()
    times = torch.arange(x.shape[0], device=x.device).unsqueeze(1)
    sources = torch.where(times < lengths, lengths - 1 - times, times)
    return x[sources, torch.arange(x.shape[1], device=x.device)]
