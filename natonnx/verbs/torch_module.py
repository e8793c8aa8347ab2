"""A model file as a torch module, and a file out of a module."""

import io
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING

from natonnx import __version__
from natonnx.architecture import Edit
from natonnx.errors import InputError, naming
from natonnx.files import check_writable, is_same, write_bytes
from natonnx.frontend import ParseOptions, load, parse_with
from natonnx.rewrite import Check, add_provenance, require
from natonnx.rewrite.write import check_output, own_files, write_model
from natonnx.verbs.apply import edited, reading_for
from natonnx.verbs.runnable import check_runnable

if TYPE_CHECKING:
    from torch import nn

    from natonnx.module import OnnxModule

__all__ = ["check_module", "from_torch", "save_module", "to_torch"]


def to_torch(
    model: Path | str, edits: Iterable[Edit] | None = None, *, reading: ParseOptions | None = None
) -> "OnnxModule":
    """Make a plain torch module of a model.

    Args:
        model: The file.
        edits: What to change first, as `apply` does; nothing where None.
        reading: See `load`; it must be the same as when the edits were made.

    Returns:
        An `nn.Module` in evaluation mode, on the CPU: torch's own layers where nodes are such, tensors under their ONNX
        names. It needs the file no more.

    Raises:
        InputError: If the model or an edit is bad, or the outputs depend on an operator that torch cannot run.
        VerificationError: If the edited model failed a check.

    Example:
        >>> module = to_torch("model.onnx")
        >>> path, checks = from_torch(module, "trained.onnx")
        >>> all(check.passed for check in checks)
        True
    """
    from natonnx.module import Origin, convert  # torch loads only where it is needed

    edits = tuple(edits or ())
    source = load(model, reading_for(edits, reading))
    check_runnable(source)
    network = source.network
    with naming(source.path):
        if edits:
            made, _ = edited(source, edits)
            network = parse_with(made, ParseOptions(input_shapes=network.options.input_shapes), network.folder)
        module = convert(network)
    module.origin = Origin(str(source.file), source.sha256, edits)
    return module.eval()


def from_torch(module: "nn.Module", path: Path | str, *, force: bool = False) -> tuple[Path, list[Check]]:
    """Write the weights of a module that `to_torch` made into its file, with all else that the file has.

    Args:
        module: The module, or what wraps it: DistributedDataParallel, `torch.compile`, an average of weights. Its
            tensors may have other shapes, as pruning makes them.
        path: Where to write.
        force: Overwrite a file that natonnx did not write.

    Returns:
        Where the result is, and the checks that it passed: above all that onnxruntime makes of it what the module makes
        in evaluation mode.

    Raises:
        InputError: If the module is none of `to_torch`, lacks a tensor of the file, or the output path is bad.
        VerificationError: If the result failed a check; nothing is written then.
    """
    from natonnx.module import build, verify

    own, output = _unwrapped(module), Path(path)
    source = Path(own.origin.path)
    check_output(output, source, own.skeleton, own_files(own.skeleton, output), force=force)
    model = build(own)
    add_provenance(model, version=__version__, source_sha256=own.origin.sha256, edits=own.origin.edits)
    checks = verify(own, model)
    require(checks)
    write_model(model, None, output)
    return output, checks


def check_module(path: Path, model: Path, *, force: bool = False) -> None:
    """Refuse, before work starts, a path that a module cannot be written to.

    Args:
        path: Of the module.
        model: Of the model that is written too.
        force: Let another file be replaced.

    Raises:
        InputError: If it cannot be written, there is such a file and it is not forced, or it is the model's.
    """
    check_writable(path)
    if is_same(path, model):
        raise InputError(f"{path}: is where the model goes; name another file for the module")
    if path.exists() and not force:
        raise InputError(f"{path}: exists; choose another file for the module, or give --force")


def save_module(module: "nn.Module", path: Path) -> None:
    """Write a whole module by `torch.save`, or nothing.

    Raises:
        InputError: If the file cannot be written.
    """
    import torch

    buffer = io.BytesIO()
    torch.save(module, buffer)
    write_bytes(path, buffer.getvalue())


def _unwrapped(module: object) -> "OnnxModule":
    """The module itself.

    Raises:
        InputError: If there is none.
    """
    from natonnx.module import OnnxModule

    at: object = module
    while at is not None and not isinstance(at, OnnxModule):
        at = getattr(at, "_orig_mod", None) or getattr(at, "module", None)
    if at is None:
        raise InputError(f"from_torch takes what to_torch made, or a wrapper of it, not a {type(module).__name__}")
    return at
