"""The public functions behind the command line: load, inspect, apply. `optimize` has a module of its own."""

import hashlib
import logging
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import onnx

from natonnx import __version__
from natonnx.architecture import Edit, apply_edits, cost, legal_transitions
from natonnx.errors import VerificationError, naming
from natonnx.frontend import Network, ParseOptions, free_batch, parse_with, read
from natonnx.report.numbers import count
from natonnx.report.payload import inspection
from natonnx.rewrite import Check, add_provenance, build, verify
from natonnx.rewrite.write import check_output, copied_files, copy_model, own_files, write_model
from natonnx.tensors import data_files

__all__ = ["Source", "apply", "default_output", "inspect", "load", "require", "stamp"]

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Source:
    """A model file as it was read.

    Attributes:
        path: Where it is, as it was named.
        network: Its NAT DAG.
        sha256: Of the file's bytes.
        size_bytes: Of the file and its data files.
        is_freed: Whether the network's model is not the file's own, its batch having been freed.
    """

    path: Path
    network: Network
    sha256: str
    size_bytes: int
    is_freed: bool = False

    @property
    def file(self) -> Path:
        """The same place, wherever the program goes meanwhile."""
        return (self.network.folder or Path()) / self.path.name


def load(path: Path | str, reading: ParseOptions | None = None) -> Source:
    """Read, validate and parse a model.

    Args:
        path: An ONNX file.
        reading: How to parse it; one layer an edge and nothing excluded where None.

    Raises:
        InputError: If the file is not a valid ONNX model, or an option does not fit it.
    """
    path, reading, begun = Path(path), reading or ParseOptions(), time.monotonic()
    model = read(path)
    folder = path.absolute().parent
    with path.open("rb") as file:
        sha256 = hashlib.file_digest(file, "sha256").hexdigest()
    size = sum(part.stat().st_size for part in (path, *data_files(model, folder)))
    with naming(path):
        own = free_batch(model, folder) if reading.free_batch else model
        source = Source(path, parse_with(own, reading, folder), sha256, size, own is not model)
    if _log.isEnabledFor(logging.INFO):
        _tell(source, time.monotonic() - begun)
    return source


def _tell(source: Source, seconds: float) -> None:
    network, architecture = source.network, source.network.architecture
    total = cost(architecture)
    _log.info(
        "%s: %d nodes, %s bytes; %d feature maps, %d edges, %d legal transitions; %s parameters, %s MAdds a sample",
        source.path,
        len(network.model.graph.node),
        count(source.size_bytes),
        len(architecture.topology.maps),
        len(architecture.topology.edges),
        sum(reason is None for judged in legal_transitions(architecture) for reason in judged.values()),
        count(total.params),
        count(total.madds),
    )
    _log.debug("%s: sha256 %s, read in %.2f s by %s", source.path, source.sha256, seconds, network.options)


def inspect(path: Path | str, reading: ParseOptions | None = None) -> dict[str, Any]:
    """Describe a model as NAT sees it: the payload of `natonnx inspect --json`.

    Raises:
        InputError: See `load`.

    Example:
        >>> found = inspect("model.onnx")
        >>> {edge["name"]: edge["legal"] for edge in found["edges"] if edge["state"] == "O"}
        {'stem': ['S'], 'one': ['S', 'N'], 'two': ['S', 'N'], 'head': []}
    """
    source = load(path, reading)
    return inspection(source.network, str(source.path))


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
    source = load(path, reading)
    output = Path(output) if output is not None else default_output(source.path)
    edits = tuple(edits)
    network = source.network
    copied = copied_files(network.model, source.file.parent, output).values()
    rewritten = bool(edits) or source.is_freed
    targets = own_files(network.model, output) if rewritten else copied
    check_output(output, source.file, network.model, targets, force=force)
    alpha = apply_edits(network.architecture, edits)
    model = build(network, alpha)
    if rewritten:
        stamp(model, source, edits)
    from natonnx.supernet import Supernet  # torch loads only once the input is known to be good

    supernet = Supernet(network)
    checks = verify(
        network,
        alpha,
        model,
        supernet.as_reference(alpha),
        rounded=lambda seed: supernet.rounded(seed).as_reference(alpha),
    )
    require(checks)
    if rewritten:
        write_model(model, network.folder, output)
    else:
        copy_model(source.file, network.model, output)
    return output, checks


def default_output(path: Path) -> Path:
    """model.onnx → model.nat.onnx, beside it."""
    return path.with_suffix(".nat.onnx")


def stamp(model: onnx.ModelProto, source: Source, edits: Iterable[Edit]) -> None:
    """Write into a model what was done to it."""
    add_provenance(model, version=__version__, source_sha256=source.sha256, edits=edits)


def require(checks: Sequence[Check]) -> None:
    """Refuse a model that failed a check.

    Raises:
        VerificationError: Naming every failed check.
    """
    for check in checks:
        _log.info("check %s: %s, %s", check.name, "passed" if check.passed else "failed", check.detail)
    failed = [f"{check.name} ({check.detail})" for check in checks if not check.passed]
    if failed:
        raise VerificationError(f"verification failed, nothing was written: {'; '.join(failed)}")
