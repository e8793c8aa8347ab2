"""Read and validate an ONNX file."""

import logging
import tempfile
from collections.abc import Collection, Iterator
from pathlib import Path

import onnx
from google.protobuf.message import DecodeError

from natonnx.errors import InputError, naming
from natonnx.files import check_regular
from natonnx.frontend.declared import Contradiction, contradictions, corrected
from natonnx.frontend.vocabulary import DEFAULT_DOMAIN
from natonnx.inference import objection
from natonnx.limits import LimitError, renew
from natonnx.session import session
from natonnx.tensors import all_tensors, is_external, light_copy, locate, misfit, refer

__all__ = ["check", "default_opset", "read", "true_inputs", "wrong_outputs"]

_log = logging.getLogger(__name__)


def read(path: Path) -> onnx.ModelProto:
    """Read an ONNX model and validate it with onnx's full checker.

    An output whose declared shape contradicts inference is warned of, where that is all that the checker objects to
    and onnxruntime loads the model.

    Returns:
        The model as the file has it: external data stays where it is, to be read by `natonnx.tensors.read_tensor`.

    Raises:
        InputError: If the file is missing, is not ONNX, is truncated, or is not a valid model, or its external data is
            missing, truncated or outside its folder.
    """
    renew()
    try:
        check_regular(path)
        model = onnx.load(path, "protobuf", load_external_data=False)  # whatever the name ends in
    except FileNotFoundError:
        raise InputError(f"{path}: no such file; give the path of an ONNX model") from None
    except OSError as error:
        raise InputError(
            f"{path}: cannot be read ({error.strerror or error}); give the path of an ONNX model"
        ) from None
    except (DecodeError, ValueError, RuntimeError, UnicodeDecodeError):
        raise InputError(f"{path}: not an ONNX model, or truncated; export or copy it again") from None
    if not model.ir_version or not model.graph.node:
        raise InputError(f"{path}: not an ONNX model, or truncated (no graph in it); export or copy it again")
    if any(isinstance(text, bytes) for text in _texts(model)):
        raise InputError(f"{path}: not a valid ONNX model, a name in it is no UTF-8 text; export it again")
    try:
        with naming(path):
            reason = _check_data(model, path) or check(model, path.parent)
            wrong = _excused(model, path.parent) if reason else ()
    except LimitError as error:
        with naming(path):
            reason, wrong = check(model, path.parent, shapes=False), ()
        _log.warning("%s: the shapes in the file are not checked", error)
    if wrong:
        for contradiction in wrong:
            _log.warning("%s: %s; the latter is believed", path, contradiction)
    elif reason:
        raise InputError(f"{path}: not a valid ONNX model, or truncated: {reason.rstrip('.')}; export it again")
    return model


def _texts(model: onnx.ModelProto) -> Iterator[object]:
    """The names and notes of a model: protobuf gives bytes for what is no text."""
    graph = model.graph
    yield from (model.producer_name, model.producer_version, model.domain, model.doc_string, graph.name)
    for prop in model.metadata_props:
        yield from (prop.key, prop.value)
    yield from (entry.domain for entry in model.opset_import)
    for function in model.functions:
        yield from (function.name, function.domain, *function.input, *function.output, *function.attribute)
        yield from (entry.domain for entry in function.opset_import)
    for node in (*graph.node, *(node for function in model.functions for node in function.node)):
        yield from (node.name, node.op_type, node.domain, node.doc_string, *node.input, *node.output)
        yield from (attribute.name for attribute in node.attribute)
    yield from (tensor.name for tensor in graph.initializer)
    for info in (*graph.input, *graph.output, *graph.value_info):
        yield info.name
        yield from (dim.dim_param for dim in info.type.tensor_type.shape.dim)


def _check_data(model: onnx.ModelProto, path: Path) -> str | None:
    """Check that a file's external data is there; return what onnx's checker objects to on the spot, or None.

    Raises:
        InputError: See `locate`; also if a tensor's values do not fit its shape.
    """
    external = list(filter(is_external, all_tensors(model)))
    for tensor in all_tensors(model):
        if wrong := misfit(tensor):
            raise InputError(f"tensor {tensor.name!r}: {wrong}; export it again")
    for tensor in external:
        locate(tensor, path.parent)
    return objection(model, str(path)) if external else None


def _excused(model: onnx.ModelProto, folder: Path) -> tuple[Contradiction, ...]:
    """Return the wrongly declared outputs of a model that is valid without them; nothing where it is not."""
    wrong = wrong_outputs(model, folder)
    if not wrong or check(model, folder, wrong):
        return ()
    try:
        session(model, folder=folder)
    except InputError:
        return ()
    return wrong


def wrong_outputs(model: onnx.ModelProto, folder: Path | None = None) -> tuple[Contradiction, ...]:
    """Return the outputs of a model whose declared shape contradicts inference.

    Args:
        model: The model.
        folder: Where its external data is.
    """
    return contradictions(light_copy(model, folder))


def check(
    model: onnx.ModelProto,
    folder: Path | None = None,
    accepted: Collection[Contradiction] = (),
    *,
    shapes: bool = True,
) -> str | None:
    """Run onnx's checker with full shape inference; return what it objects to in one line, or None.

    Args:
        model: The model.
        folder: Where its external data is. The checker gets the small tensors themselves and, as it does not read
            values from files, one empty file for all the large ones: so what is checked needs not be written first.
        accepted: Contradictions that are no objection where the model has exactly them.
        shapes: Whether shapes are inferred too.

    Raises:
        InputError: See `locate`; also if the check takes too long, or too much memory.
    """
    light = light_copy(model, folder)
    if accepted:
        light = corrected(light, [one for one in contradictions(light) if one in accepted])
    external = list(filter(is_external, all_tensors(light)))
    if not external:
        return objection(light, full_check=shapes)
    size = max(refer(tensor, "data", 0) for tensor in external)
    with tempfile.TemporaryDirectory(prefix="natonnx.") as name:
        with Path(name, "data").open("wb") as file:
            file.truncate(size)  # a hole: takes no room
        Path(name, "model").write_bytes(light.SerializeToString())
        return objection(light, str(Path(name, "model")), full_check=shapes)


def default_opset(model: onnx.ModelProto) -> int | None:
    """The version of ONNX's own operator set that a model imports; None where it imports none."""
    return next((entry.version for entry in model.opset_import if entry.domain in DEFAULT_DOMAIN), None)


def true_inputs(model: onnx.ModelProto) -> list[onnx.ValueInfoProto]:
    """The inputs of a model that are no overridable defaults of its initializers."""
    defaults = {tensor.name for tensor in model.graph.initializer}
    return [info for info in model.graph.input if info.name not in defaults]
