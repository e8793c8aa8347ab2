"""Models with external data, written by onnx itself or, where onnx has no way to, by hand."""

from __future__ import annotations

from typing import TYPE_CHECKING

import onnx
from onnx import TensorProto, helper

from tests.rewrite.helpers import Builder, copy

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    import numpy as np
    from numpy.typing import NDArray


def residual() -> onnx.ModelProto:
    """x → A → relu → B → + → C: A and B keep the shape, C makes six channels of four."""
    graph = Builder(channels=8)
    graph.op("Relu", graph.conv("x", "a", 8, kernel=3, bias=True), out="r")
    graph.op("Add", graph.conv("r", "b", 8, kernel=3, bias=True), "r", out="s")
    graph.conv("s", "c", 64, kernel=3, bias=True)
    return graph.model("c")


def save(model: onnx.ModelProto, path: Path, *, one_file: bool = True, threshold: int = 0) -> Path:
    """Save by onnx with all tensors outside, those of attributes too: in PATH.data, or in a file each."""
    path.parent.mkdir(exist_ok=True)
    location = f"{path.name}.data" if one_file else None
    onnx.save(
        copy(model),
        path,
        save_as_external_data=True,
        all_tensors_to_one_file=one_file,
        location=location,
        size_threshold=threshold,
        convert_attribute=True,
    )
    return path


def tensor(value: NDArray[np.generic], location: str, dtype: int | None = None, **entries: object) -> TensorProto:
    """A reference to a data file; the file is the caller's to write."""
    made = TensorProto(name="t", dims=value.shape, data_location=TensorProto.EXTERNAL)
    made.data_type = helper.np_dtype_to_tensor_dtype(value.dtype) if dtype is None else dtype
    for key, entry in {"location": location, **entries}.items():
        made.external_data.add(key=key, value=str(entry))
    return made


def references(path: Path) -> dict[str, dict[str, str]]:
    """What a file says of the places of its initializers, by tensor."""
    model = onnx.load(path, load_external_data=False)
    return {t.name: {e.key: e.value for e in t.external_data} for t in model.graph.initializer}


def repoint(path: Path, entries: Mapping[str, object], name: str = "a.w") -> None:
    """Change what a file says of the place of one initializer; None removes an entry."""
    model = onnx.load(path, load_external_data=False)
    (found,) = (t for t in model.graph.initializer if t.name == name)
    said = {**{e.key: e.value for e in found.external_data}, **entries}
    del found.external_data[:]
    for key, entry in said.items():
        if entry is not None:
            found.external_data.add(key=key, value=str(entry))
    path.write_bytes(model.SerializeToString())


def inline(model: onnx.ModelProto) -> onnx.ModelProto:
    """A copy whose tensors say nothing of data files; they must have been loaded."""
    made = copy(model)
    for t in [*made.graph.initializer, *(a.t for n in made.graph.node for a in n.attribute if a.HasField("t"))]:
        t.ClearField("data_location")
        del t.external_data[:]
    return made
