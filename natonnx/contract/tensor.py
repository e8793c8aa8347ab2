"""An input or output of a model."""

from typing import TypedDict

import onnx

__all__ = ["TensorRow", "tensor_row"]


class TensorRow(TypedDict):
    """What a file declares of an input or output.

    Attributes:
        name: Its name.
        dtype: Element type, such as `float`; of what is no tensor its type as a whole, such as `sequence(float)`.
        shape: A size, or the name of one that is open, or None for one without a name; None where there is no shape.
    """

    name: str
    dtype: str | None
    shape: list[int | str | None] | None


def tensor_row(info: onnx.ValueInfoProto) -> TensorRow:
    """Describe an input or output as the file declares it."""
    tensor = info.type.tensor_type
    shape = [dim.dim_value if dim.HasField("dim_value") else dim.dim_param or None for dim in tensor.shape.dim]
    return {
        "name": info.name,
        "dtype": _dtype(info.type),
        "shape": shape if tensor.HasField("shape") else None,
    }


def _dtype(kind: onnx.TypeProto) -> str | None:
    what = kind.WhichOneof("value")
    if what in ("sequence_type", "optional_type", "map_type"):
        of = kind.map_type.value_type if what == "map_type" else getattr(kind, what).elem_type
        key = f"{kind.map_type.key_type}, " if what == "map_type" else ""
        return f"{what.removesuffix('_type')}({key}{_dtype(of)})"
    code = (kind.sparse_tensor_type if what == "sparse_tensor_type" else kind.tensor_type).elem_type
    name = onnx.TensorProto.DataType.Name(code).lower() if code in onnx.TensorProto.DataType.values() and code else None
    return f"sparse({name})" if what == "sparse_tensor_type" else name
