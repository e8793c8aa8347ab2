"""The public functions behind the command line: load, inspect, apply. `optimize` has a module of its own."""

import hashlib
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

import onnx

from natonnx.architecture import Architecture, Edit, apply_edits
from natonnx.errors import InputError, VerificationError
from natonnx.files import check_writable, write_bytes
from natonnx.frontend import Network, parse, read
from natonnx.report.payload import inspection
from natonnx.rewrite import Check, add_provenance, build, verify
from natonnx.rewrite.provenance import KEY
from natonnx.rewrite.verify import Outputs

__all__ = ["Source", "apply", "check_output", "default_output", "inspect", "load", "require", "stamp"]

InputShapes = Mapping[str, Sequence[int]]


@dataclass(frozen=True)
class Source:
    """A model file as it was read.

    Attributes:
        path: Where it is.
        network: Its NAT DAG.
        sha256: Of the file's bytes.
        size_bytes: Of the file.
    """

    path: Path
    network: Network
    sha256: str
    size_bytes: int


def load(path: Path | str, input_shapes: InputShapes | None = None) -> Source:
    """Read, validate and parse a model.

    Args:
        path: An ONNX file.
        input_shapes: Sizes by input name where the file leaves them open, batch included.

    Raises:
        InputError: If the file is not a valid ONNX model, or a shape does not fit it.
    """
    path = Path(path)
    model = read(path)
    if not path.is_file():  # a pipe: it gives its bytes once only
        raise InputError(f"{path}: is not a regular file; save the model to one")
    data = path.read_bytes()
    return Source(path, parse(model, input_shapes=input_shapes), hashlib.sha256(data).hexdigest(), len(data))


def inspect(path: Path | str, input_shapes: InputShapes | None = None) -> dict[str, Any]:
    """Describe a model as NAT sees it: the payload of `natonnx inspect --json`.

    Raises:
        InputError: See `load`.
    """
    source = load(path, input_shapes)
    return inspection(source.network, str(source.path))


def apply(
    path: Path | str,
    edits: Iterable[Edit],
    output: Path | str | None = None,
    *,
    force: bool = False,
    input_shapes: InputShapes | None = None,
) -> tuple[Path, list[Check]]:
    """Replay edits on a model, without training, and write the result.

    Args:
        path: The model.
        edits: What to change; nothing is a legal no-op that copies the file.
        output: Where to write; `default_output` where None.
        force: Overwrite a file that natonnx did not write.
        input_shapes: See `load`.

    Returns:
        Where the result is, and the checks that it passed.

    Raises:
        InputError: If the model, an edit or the output path is bad.
        VerificationError: If the result failed a check; nothing is written then.
    """
    source = load(path, input_shapes)
    output = Path(output) if output is not None else default_output(source.path)
    check_output(output, source.path, force=force)
    edits = tuple(edits)
    network = source.network
    alpha = apply_edits(network.architecture, edits)
    model = build(network, alpha)
    if edits:
        stamp(model, source, edits)
    checks = verify(network, alpha, model, _reference(network, alpha))
    require(checks)
    as_it_was = not edits and not _has_external_data(source.path)  # which lies beside the source only
    write_bytes(output, source.path.read_bytes() if as_it_was else model.SerializeToString())
    return output, checks


def _reference(network: Network, alpha: Architecture) -> Callable[[Outputs], Outputs]:
    """The supernet, to compare onnxruntime with."""
    from natonnx.supernet import Supernet

    return Supernet(network).as_reference(alpha)


def default_output(path: Path) -> Path:
    """model.onnx → model.nat.onnx, beside it."""
    return path.with_suffix(".nat.onnx")


def check_output(output: Path, source: Path, *, force: bool) -> None:
    """Refuse an output path that is the input, cannot be written, or holds a file that natonnx did not write.

    Raises:
        InputError: In each of these cases.
    """
    check_writable(output)
    if not output.exists():
        return
    if not output.is_file():
        raise InputError(f"{output}: is a device or pipe, which writing would replace; name a file")
    if output.samefile(source):
        raise InputError(f"{output}: is the input model, which is never changed; choose another output with -o")
    if force or output.stat().st_size == 0 or _same_bytes(output, source):
        return
    if not _is_ours(output):
        raise InputError(f"{output}: exists and natonnx did not write it; choose another output, or give --force")


def _is_ours(path: Path) -> bool:
    try:
        model = onnx.load(path, load_external_data=False)
    except Exception:  # whatever it is, it is not ours
        return False
    return any(prop.key == KEY for prop in model.metadata_props)


def _has_external_data(path: Path) -> bool:
    model = onnx.load(path, "protobuf", load_external_data=False)
    return any(tensor.data_location == onnx.TensorProto.EXTERNAL for tensor in model.graph.initializer)


def _same_bytes(path: Path, other: Path) -> bool:
    return path.stat().st_size == other.stat().st_size and path.read_bytes() == other.read_bytes()


def stamp(model: onnx.ModelProto, source: Source, edits: Iterable[Edit]) -> None:
    """Write into a model what was done to it."""
    add_provenance(model, version=version("natonnx"), source_sha256=source.sha256, edits=edits)


def require(checks: Sequence[Check]) -> None:
    """Refuse a model that failed a check.

    Raises:
        VerificationError: Naming every failed check.
    """
    failed = [f"{check.name} ({check.detail})" for check in checks if not check.passed]
    if failed:
        raise VerificationError(f"verification failed, nothing was written: {'; '.join(failed)}")
