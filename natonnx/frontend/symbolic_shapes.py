"""Infer shapes by onnxruntime's symbolic inference, node by node, as far as it gets.

It computes with symbols through Shape, Gather, Where and the like, which onnx's own does not. Its public entry throws
everything away where anything is unknown or fails, and leaves a file in the working folder; here what it cannot do
makes a size of its own name, and it goes on behind it (`natonnx.frontend.symbolic_rules`).
"""

import logging
from collections.abc import Mapping

import onnx

from natonnx.architecture import Shape
from natonnx.errors import InputError
from natonnx.harmless import is_harmless
from natonnx.limits import limited

__all__ = ["infer_symbolically"]

_log = logging.getLogger(__name__)


def infer_symbolically(
    model: onnx.ModelProto, shapes: Mapping[str, Shape], dtypes: Mapping[str, int]
) -> list[onnx.ValueInfoProto]:
    """Infer the tensors that nodes make; in the worker, within its limits, but over a harmless model.

    Args:
        model: The model; not changed.
        shapes: Shapes that are known already; they stand in where it fails.
        dtypes: Element types, likewise.

    Returns:
        What it tells of each.
    """
    if is_harmless(model):
        from natonnx.frontend.symbolic_rules import infer  # takes a second to load

        return list(infer(model, shapes, dtypes))
    data, what = model.SerializeToString(), "onnxruntime's symbolic shape inference"
    arguments = (data, dict(shapes), dict(dtypes))
    try:
        made = limited("natonnx.frontend.symbolic_rules:infer_bytes", *arguments, size=len(data), what=what)
    except InputError as error:
        _log.warning("%s: shapes stay unknown", error)
        return []
    return [onnx.ValueInfoProto.FromString(one) for one in made]
