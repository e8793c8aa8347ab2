"""Sparse constants as dense ones: onnx's shape inference knows no operator that takes a sparse tensor."""

import math

import numpy as np
import onnx
from onnx import numpy_helper

from natonnx.tensors import refer

__all__ = ["dense_values", "with_dense_shapes"]

_SMALL = 4096
"""Numbers up to which a constant gets its values too, as inference needs them of operands such as Reshape's."""


def dense_values(sparse: onnx.SparseTensorProto) -> np.ndarray:
    """Values of a sparse tensor, zeros included; its indices are linear, or one row an entry (SparseTensorProto).

    Raises:
        ValueError: If an index lies outside the tensor.
    """
    values, indices = numpy_helper.to_array(sparse.values), numpy_helper.to_array(sparse.indices)
    shape = tuple(sparse.dims)
    dense = np.zeros(shape, values.dtype)
    places = indices if indices.ndim == 1 else np.ravel_multi_index(tuple(indices.T), shape)
    if places.size and not 0 <= places.min() <= places.max() < dense.size:
        raise ValueError(f"an index of the sparse tensor {sparse.values.name!r} is outside its shape {list(shape)}")
    dense.reshape(-1)[places] = values
    return dense


def with_dense_shapes(model: onnx.ModelProto) -> onnx.ModelProto:
    """A model whose sparse initializers are dense, the large ones as references to data that nobody reads.

    Returns:
        A copy; the model itself where there are none.

    Raises:
        ValueError: See `dense_values`.
    """
    if not model.graph.sparse_initializer:
        return model
    copy = onnx.ModelProto()
    copy.CopyFrom(model)
    del copy.graph.sparse_initializer[:]
    for sparse in model.graph.sparse_initializer:
        if math.prod(sparse.dims) <= _SMALL:
            copy.graph.initializer.append(numpy_helper.from_array(dense_values(sparse), sparse.values.name))
            continue
        tensor = copy.graph.initializer.add(name=sparse.values.name, data_type=sparse.values.data_type)
        tensor.dims.extend(sparse.dims)
        refer(tensor, "natonnx", 0)
    return copy
