"""Random inputs that several models take."""

import math
import zlib
from collections.abc import Mapping, Sequence

import numpy as np
import numpy.typing as npt
import onnx

from natonnx.errors import InputError
from natonnx.frontend.load import true_inputs
from natonnx.tensors import MOST_AXES

__all__ = ["check_inputs", "random_inputs"]

_Size = int | str | None

_MOST = 1 << 30
"""Numbers in an input that is made up."""


def random_inputs(
    model: onnx.ModelProto,
    where: str,
    *,
    input_shapes: Mapping[str, Sequence[int]] | None = None,
    batch: int | None = None,
    seed: int = 0,
    axes: Mapping[str, int | None] | None = None,
) -> dict[str, npt.NDArray[np.generic]]:
    """Make inputs for a model: standard normal numbers, and 0 or 1 for integers and truth values.

    Args:
        model: The model.
        where: Its path, for messages.
        input_shapes: Sizes of axes that the file leaves open, by input, batch included. An axis of the same name
            elsewhere gets the same size.
        batch: Size of open batch axes; where None the one in `input_shapes`, else 1.
        seed: Of the values.
        axes: The batch axis of each input, None where it has none; the first ones where not given.

    Raises:
        InputError: If an axis stays open, a size contradicts the file, or an input is of a type that numpy lacks.
    """
    infos = {info.name: info for info in true_inputs(model)}
    given = dict(input_shapes or {})
    for name in given:
        if name not in infos:
            raise InputError(f"{where}: --input-shape: no input {name!r}; its inputs are {', '.join(infos)}")
    named: dict[str, int] = {}
    for name, sizes in given.items():
        _bind(where, name, _shape(where, infos[name], len(sizes)), sizes, named)
    made = {}
    for name, info in infos.items():
        declared = _shape(where, info, len(given[name]) if name in given else None)
        along = (0 if declared else None) if axes is None else axes.get(name)
        shape = [_resolve(size, axis, given.get(name), named) for axis, size in enumerate(declared)]
        if along is not None and not isinstance(declared[along], int):
            shape[along] = batch or shape[along] or 1
        if batch is not None and along is not None and shape[along] != batch:
            raise InputError(
                f"{where}: --batch {batch}: the batch of input {name!r} is fixed ({shape[along]}) in the file; leave "
                "it out"
            )
        sizes_known = [size for size in shape if size is not None]
        if len(sizes_known) < len(shape):
            raise InputError(
                f"{where}: input {name!r} has open sizes {_text(declared)}; give --input-shape {name}:N,..."
            )
        if len(shape) > MOST_AXES:
            raise InputError(f"{where}: input {name!r} has {len(shape)} axes, and numpy takes {MOST_AXES}")
        if (count := math.prod(sizes_known)) > _MOST:
            raise InputError(f"{where}: input {name!r} would have {count:,} numbers; give smaller sizes")
        generator = np.random.default_rng([seed, zlib.crc32(name.encode())])
        made[name] = _values(generator, sizes_known, _dtype(where, info))
    return made


def check_inputs(model: onnx.ModelProto, where: str, inputs: Mapping[str, npt.NDArray[np.generic]], first: str) -> None:
    """Refuse a model that does not take the inputs of the first one.

    Raises:
        InputError: Saying in what they differ.
    """
    infos = {info.name: info for info in true_inputs(model)}
    if infos.keys() != inputs.keys():
        raise InputError(
            f"{where}: its inputs are {', '.join(infos) or 'none'}, those of {first} are {', '.join(inputs) or 'none'};"
            " models are compared on the same inputs"
        )
    for name, array in inputs.items():
        dtype, shape = _dtype(where, infos[name]), _shape(where, infos[name], array.ndim)
        fits = len(shape) == array.ndim and all(
            not isinstance(size, int) or size == own for size, own in zip(shape, array.shape, strict=True)
        )
        if dtype != array.dtype or not fits:
            raise InputError(
                f"{where}: its input {name!r} is {dtype} {_text(shape)}, which does not take the {array.dtype} "
                f"{_text(array.shape)} that {first} does; models are compared on the same inputs"
            )


def _shape(where: str, info: onnx.ValueInfoProto, rank: int | None) -> tuple[_Size, ...]:
    """The sizes of an input as the file has them; one that has no shape there is as open as its rank lets it."""
    tensor = info.type.tensor_type
    if not tensor.HasField("shape"):
        if rank is None:
            raise InputError(
                f"{where}: input {info.name!r} has no shape in the file; give --input-shape {info.name}:1,..."
            )
        return (None,) * rank
    return tuple(
        dim.dim_value if dim.HasField("dim_value") and dim.dim_value >= 0 else dim.dim_param or None
        for dim in tensor.shape.dim
    )


def _bind(where: str, name: str, shape: Sequence[_Size], sizes: Sequence[int], named: dict[str, int]) -> None:
    """Check sizes against an input's axes, and note those of named ones."""
    if len(sizes) != len(shape):
        raise InputError(
            f"{where}: --input-shape: input {name!r} has {len(shape)} axes, {len(sizes)} sizes were given; give one "
            "an axis"
        )
    for axis, (known, size) in enumerate(zip(shape, sizes, strict=True)):
        if isinstance(known, int) and known != size:
            raise InputError(
                f"{where}: --input-shape: axis {axis} of input {name!r} is {known} in the file, not {size}; choose "
                "open sizes only"
            )
        if isinstance(known, str):
            named.setdefault(known, size)


def _resolve(size: _Size, axis: int, given: Sequence[int] | None, named: Mapping[str, int]) -> int | None:
    if isinstance(size, int):
        return size
    if given is not None:
        return given[axis]
    return None if size is None else named.get(size)


def _dtype(where: str, info: onnx.ValueInfoProto) -> np.dtype[np.generic]:
    kind = info.type.tensor_type.elem_type if info.type.HasField("tensor_type") else 0
    dtype = np.dtype(onnx.helper.tensor_dtype_to_np_dtype(kind)) if kind else np.dtype(object)
    if dtype.kind not in "biuf":
        raise InputError(f"{where}: input {info.name!r} is of a type that natonnx has no random values for")
    return dtype


def _values(
    generator: np.random.Generator, shape: Sequence[int], dtype: np.dtype[np.generic]
) -> npt.NDArray[np.generic]:
    if dtype.kind == "f":
        return generator.standard_normal(shape).astype(dtype)
    return generator.integers(0, 2, shape).astype(dtype)


def _text(shape: Sequence[_Size]) -> str:
    return "[" + ", ".join("?" if size is None else str(size) for size in shape) + "]"
