"""`apply`: replay edits on a model, without training."""

from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path

import onnx

from natonnx import __version__
from natonnx.architecture import LETTERS, Architecture, Edit, apply_edits
from natonnx.frontend import Network, ParseOptions, Source, Transitions, load
from natonnx.rewrite import Check, References, add_provenance, build, require, verify
from natonnx.rewrite.write import check_output, copied_files, copy_model, default_output, own_files, write_model
from natonnx.verbs.runnable import check_runnable

__all__ = ["apply", "edited", "reading_for"]


def apply(
    path: Path | str,
    edits: Iterable[Edit],
    output: Path | str | None = None,
    *,
    force: bool = False,
    reading: ParseOptions | None = None,
) -> tuple[Path, list[Check]]:
    """Replay edits on a model, without training, and write the result.

    Args:
        path: The model.
        edits: What to change; nothing is a legal no-op that copies the file, and its external data to another folder.
        output: Where to write; `default_output` where None.
        force: Overwrite a file that natonnx did not write.
        reading: See `load`; it must be the same as when the edits were made.

    Returns:
        Where the result is, and the checks that it passed.

    Raises:
        InputError: If the model, an edit or the output path is bad.
        VerificationError: If the result failed a check; nothing is written then.

    Example:
        >>> from natonnx import Edit, State
        >>> path, checks = apply("model.onnx", [Edit("one", State.O, State.S)], "edited.onnx")
        >>> all(check.passed for check in checks)
        True
    """
    edits = tuple(edits)
    source = load(path, reading_for(edits, reading))
    output = Path(output) if output is not None else default_output(source.path)
    network = source.network
    copied = copied_files(network.model, source.file.parent, output).values()
    rewritten = bool(edits) or source.is_freed
    targets = own_files(network.model, output) if rewritten else copied
    check_output(output, source.file, network.model, targets, force=force)
    check_runnable(source)
    model, checks = edited(source, edits)
    if rewritten:
        add_provenance(model, version=__version__, source_sha256=source.sha256, edits=edits)
        write_model(model, network.folder, output)
    else:
        copy_model(source.file, network.model, output)
    return output, checks


def reading_for(edits: Iterable[Edit], reading: ParseOptions | None = None) -> ParseOptions:
    """Say how a model is read that edits are to be made on: by NAT++ where one names a cheaper operation."""
    reading = reading or ParseOptions()
    named = {state for edit in edits for state in (edit.before, edit.after)}
    return reading if named <= set(LETTERS) else replace(reading, transitions=Transitions.NATPP)


def edited(source: Source, edits: Iterable[Edit]) -> tuple[onnx.ModelProto, list[Check]]:
    """Build and verify the model that edits make.

    Args:
        source: The model.
        edits: What to change.

    Returns:
        The model, and the checks that it passed.

    Raises:
        InputError: If an edit is bad.
        VerificationError: If the result failed a check.
    """
    network = source.network
    alpha = apply_edits(network.architecture, edits)
    model = build(network, alpha)
    checks = verify(network, alpha, model, lambda: _references(network, alpha))
    require(checks)
    return model, checks


def _references(network: Network, alpha: Architecture) -> References:
    from natonnx.supernet import Supernet  # torch loads only where it is needed

    supernet = Supernet(network)
    return References(
        supernet.as_reference(alpha), lambda seed: supernet.rounded(seed).as_reference(alpha), supernet.as_reference()
    )
