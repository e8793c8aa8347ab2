"""onnx's checker and shape inference; in the worker where a model could make them take long (`natonnx.limits`)."""

from pathlib import Path

import onnx

from natonnx.errors import first_line
from natonnx.harmless import is_harmless
from natonnx.limits import limited

__all__ = ["infer_shapes", "objection"]


def objection(model: onnx.ModelProto, path: str | None = None, *, full_check: bool = False) -> str | None:
    """Run onnx's checker; return what it objects to in one line, or None.

    Args:
        model: The model.
        path: Of its file, which is checked with its external data in place of the model.
        full_check: Infer shapes too.

    Raises:
        LimitError: If that takes too long, or too much memory.
    """
    if is_harmless(model):
        return _objection(path or model, full_check)
    given = str(Path(path).absolute()) if path else model.SerializeToString()
    found: str | None = limited(
        f"{__name__}:_objection", given, full_check, size=model.ByteSize(), what="onnx's checker"
    )
    return found


def infer_shapes(
    model: onnx.ModelProto, *, strict_mode: bool = False, data_prop: bool = True, harmless: bool | None = None
) -> onnx.ModelProto:
    """Infer shapes by `onnx.shape_inference.infer_shapes`.

    Args:
        model: The model.
        strict_mode: See there.
        data_prop: See there.
        harmless: What `is_harmless` says of it; asked where None.

    Raises:
        onnx.shape_inference.InferenceError: If the model contradicts itself.
        LimitError: If that takes too long, or too much memory.
    """
    if is_harmless(model) if harmless is None else harmless:
        try:
            return onnx.shape_inference.infer_shapes(model, strict_mode=strict_mode, data_prop=data_prop)
        except (onnx.checker.ValidationError, ValueError, RuntimeError) as error:
            raise onnx.shape_inference.InferenceError(str(error)) from None
    data = model.SerializeToString()
    made = limited(f"{__name__}:_inferred", data, strict_mode, data_prop, size=len(data), what="onnx's shape inference")
    if isinstance(made, str):
        raise onnx.shape_inference.InferenceError(made)
    return onnx.ModelProto.FromString(made)


def _objection(model: onnx.ModelProto | bytes | str, full_check: bool) -> str | None:
    try:
        onnx.checker.check_model(model, full_check=full_check)
    except (onnx.checker.ValidationError, onnx.shape_inference.InferenceError, ValueError, RuntimeError) as error:
        return first_line(error).rstrip(".:")
    return None


def _inferred(model: bytes, strict_mode: bool, data_prop: bool) -> bytes | str:
    try:
        made = onnx.shape_inference.infer_shapes(model, strict_mode=strict_mode, data_prop=data_prop)
    except (onnx.shape_inference.InferenceError, onnx.checker.ValidationError, ValueError, RuntimeError) as error:
        return str(error)
    return made.SerializeToString()
