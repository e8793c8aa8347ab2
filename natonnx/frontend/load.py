"""Read and validate an ONNX file."""

import logging
import tempfile
from collections import Counter
from collections.abc import Collection, Iterator, Sequence
from pathlib import Path

import onnx
from google.protobuf.message import DecodeError

from natonnx.errors import InputError, naming
from natonnx.files import check_regular
from natonnx.frontend.declared import Contradiction, Inferences, contradictions, corrected
from natonnx.frontend.sparse import with_dense_shapes
from natonnx.frontend.vocabulary import DEFAULT_DOMAIN
from natonnx.inference import objection
from natonnx.limits import LimitError, renew
from natonnx.session import session
from natonnx.tensors import all_tensors, is_external, light_copy, locate, misfit, plain_bytes, refer

__all__ = ["check", "default_opset", "is_shapeless", "read", "true_inputs", "wrong_declarations"]

_log = logging.getLogger(__name__)

_LARGE = 1 << 20
"""Bytes from which a model is checked without its large weights."""


def read(path: Path, inferences: Inferences | None = None) -> onnx.ModelProto:
    """Read an ONNX model and validate it with onnx's full checker.

    What the checker objects to, above all a declared shape that contradicts inference, is warned of where onnxruntime
    loads the model all the same.

    Args:
        path: The file.
        inferences: Remembers what was inferred.

    Returns:
        The model as the file has it: external data stays where it is, to be read by `natonnx.tensors.read_tensor`.

    Raises:
        InputError: If the file is missing, is not ONNX, is truncated, or is not a valid model, or its external data is
            missing, truncated or outside its folder.
    """
    renew()
    inferences = inferences or Inferences()
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
    if bytes in set(map(type, _texts(model))):
        raise InputError(f"{path}: not a valid ONNX model, a name in it is no UTF-8 text; export it again")
    if odd := next(filter(None, map(_odd_attribute, _nodes(model.graph))), None):
        raise InputError(f"{path}: not a valid ONNX model, {odd}; export it again")
    names = Counter(tensor.name for tensor in model.graph.initializer)
    if twice := [name for name, count in names.items() if count > 1]:
        raise InputError(
            f"{path}: has two initializers of the name {twice[0]!r}, which only one may have; export it again"
        )
    try:
        with naming(path):
            of_data, reason = _check_data(model, path), check(model, path.parent, inferences=inferences)
            if of_data and of_data != reason:
                raise InputError(f"not a valid ONNX model, or truncated: {of_data}; export it again")
            if reason:
                _require_runnable(model, path, reason)
            wrong = wrong_declarations(model, path.parent, inferences)
            shapeless = [info.name for info in true_inputs(model) if is_shapeless(info)]
            _tell(path, wrong, shapeless, check(model, path.parent, wrong) if reason else None)
    except LimitError as error:
        if reason := check(model, path.parent, shapes=False):
            raise InputError(f"{path}: not a valid ONNX model, or truncated: {reason}; export it again") from None
        _log.warning("%s: the shapes in the file are not checked", error)
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


def _nodes(graph: onnx.GraphProto) -> Iterator[onnx.NodeProto]:
    """The nodes of a graph and of the graphs in their attributes."""
    waiting = [graph]
    while waiting:
        for node in waiting.pop().node:
            yield node
            for attribute in node.attribute:
                waiting.extend([*([attribute.g] if attribute.HasField("g") else []), *attribute.graphs])


def _odd_attribute(node: onnx.NodeProto) -> str | None:
    """What is wrong with a node's attributes that onnxruntime passes over: what is read of them would be a guess."""
    attributes = list(node.attribute)
    referring = next((attribute.name for attribute in attributes if attribute.ref_attr_name), None)
    if node.op_type == "Constant" and node.domain in DEFAULT_DOMAIN and len(attributes) != 1:
        wrong = f"is a Constant of {len(attributes)} values"
    elif referring is not None:
        wrong = f"has an attribute {referring!r} that refers to one of a function, and stands in none"
    else:
        return None
    return f"node {node.name or next(iter(node.output), '')!r} {wrong}"


def _check_data(model: onnx.ModelProto, path: Path) -> str | None:
    """Check that a file's external data is there; return what onnx's checker objects to on the spot, or None.

    Raises:
        InputError: See `locate`; also if a tensor's values do not fit its shape.
    """
    tensors = list(all_tensors(model))
    external = list(filter(is_external, tensors))
    for tensor in tensors:
        if wrong := misfit(tensor):
            raise InputError(f"tensor {tensor.name!r}: {wrong}; export it again")
    for tensor in external:
        locate(tensor, path.parent)
    return objection(model, str(path)) if external else None


def _require_runnable(model: onnx.ModelProto, path: Path, reason: str) -> None:
    """Refuse a model that onnx's checker objects to and onnxruntime does not load either.

    Raises:
        InputError: If so.
    """
    try:
        session(model, folder=path.absolute().parent)
    except LimitError:
        raise
    except InputError as error:
        raise InputError(f"not a valid ONNX model, or truncated: {reason}; {error}; export it again") from None


def _tell(path: Path, wrong: Sequence[Contradiction], shapeless: Sequence[str], reason: str | None) -> None:
    outputs = [one for one in wrong if one.is_output]
    for contradiction in outputs:
        _log.warning("%s: %s; the latter is believed", path, contradiction)
    if others := wrong[len(outputs) :]:
        more = f", and {len(others) - 1} more wrongly" if len(others) > 1 else ""
        _log.warning("%s: %s%s; the latter is believed", path, others[0], more)
    for name in shapeless:
        _log.warning("%s: input %r is declared without a shape; give it by --input-shape %s:1,...", path, name, name)
    if reason and not shapeless:
        _log.warning("%s: onnx's checker objects: %s; onnxruntime loads the model all the same", path, reason)


def is_shapeless(info: onnx.ValueInfoProto) -> bool:
    """Whether a tensor is declared without a shape: not even its rank is known."""
    return info.type.HasField("tensor_type") and not info.type.tensor_type.HasField("shape")


def wrong_declarations(
    model: onnx.ModelProto, folder: Path | None = None, inferences: Inferences | None = None
) -> tuple[Contradiction, ...]:
    """Return the tensors of a model whose declared shape is missing or contradicts inference.

    Args:
        model: The model.
        folder: Where its external data is.
        inferences: Remembers what was inferred.
    """
    inferences = inferences or Inferences()
    return contradictions(inferences.light(model, folder), inferences)


def check(
    model: onnx.ModelProto,
    folder: Path | None = None,
    accepted: Collection[Contradiction] = (),
    *,
    shapes: bool = True,
    inferences: Inferences | None = None,
) -> str | None:
    """Run onnx's checker with full shape inference; return what it objects to in one line, or None.

    Args:
        model: The model.
        folder: Where its external data is. The checker gets the small tensors themselves and, as it does not read
            values from files, one empty file for all the large ones: so what is checked needs not be written first.
        accepted: Contradictions that are no objection where the model has exactly them; of tensors that are no outputs,
            where it has any. An output without a shape may be computed as any, or as one that inference does not find.
        shapes: Whether shapes are inferred too.
        inferences: Remembers the model's light copy.

    Raises:
        InputError: See `locate`; also if the check takes too long, or too much memory.
    """
    # Of others a file would cost more than it saves, and room that may be missing. The whole size is asked for last, as
    # that goes through all bytes.
    is_large = sum(map(plain_bytes, model.graph.initializer)) > _LARGE or model.ByteSize() > _LARGE
    light = (inferences or Inferences()).light(model, folder) if is_large else light_copy(model, folder)
    if accepted:
        shapeless = [one for one in accepted if one.declared is None]
        free = {one.tensor for one in accepted if not one.is_output or one.declared is None}
        found = [one for one in contradictions(light) if one in accepted or one.tensor in free]
        light = corrected(light, [*shapeless, *found])
    is_sparse = bool(light.graph.sparse_initializer)
    reason = _check_light(light, full_check=shapes and not is_sparse)
    dense = shapes and is_sparse and not reason
    return _check_light(with_dense_shapes(light), full_check=True) if dense else reason


def _check_light(light: onnx.ModelProto, *, full_check: bool) -> str | None:
    """Check a model whose large tensors are references to nowhere; they are changed."""
    external = list(filter(is_external, all_tensors(light)))
    if not external:
        return objection(light, full_check=full_check)
    size = max(refer(tensor, "data", 0) for tensor in external)
    with tempfile.TemporaryDirectory(prefix="natonnx.") as name:
        with Path(name, "data").open("wb") as file:
            file.truncate(size)  # a hole: takes no room
        Path(name, "model").write_bytes(light.SerializeToString())
        return objection(light, str(Path(name, "model")), full_check=full_check)


def default_opset(model: onnx.ModelProto) -> int | None:
    """The version of ONNX's own operator set that a model imports; None where it imports none."""
    return next((entry.version for entry in model.opset_import if entry.domain in DEFAULT_DOMAIN), None)


def true_inputs(model: onnx.ModelProto) -> list[onnx.ValueInfoProto]:
    """The inputs of a model that are no overridable defaults of its initializers."""
    defaults = {tensor.name for tensor in model.graph.initializer}
    return [info for info in model.graph.input if info.name not in defaults]
