"""A model file as it was read: the verbs start from it."""

import hashlib
import logging
import time
from dataclasses import dataclass
from pathlib import Path

from natonnx.architecture import cost, legal_transitions
from natonnx.errors import naming
from natonnx.frontend.batch import free_batch
from natonnx.frontend.declared import Inferences
from natonnx.frontend.load import read
from natonnx.frontend.network import Network, ParseOptions
from natonnx.frontend.order import in_order
from natonnx.frontend.parse import parse_with
from natonnx.tensors import data_files

__all__ = ["Source", "load", "look"]

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
        """Absolute path of the file; survives chdir."""
        return (self.network.folder or Path()) / self.path.name


def load(path: Path | str, reading: ParseOptions | None = None) -> Source:
    """Read, validate and parse a model.

    Args:
        path: An ONNX file.
        reading: How to parse it; one layer an edge and nothing excluded where None.

    Raises:
        InputError: If the file is not a valid ONNX model, or an option does not fit it.
    """
    return _load(Path(path), reading or ParseOptions(), digest=True)


def look(path: Path | str, reading: ParseOptions | None = None) -> Network:
    """Read, validate and parse a model whose digest nobody asks for; see `load`."""
    return _load(Path(path), reading or ParseOptions(), digest=_log.isEnabledFor(logging.DEBUG)).network


def _load(path: Path, reading: ParseOptions, *, digest: bool) -> Source:
    begun, inferences = time.monotonic(), Inferences()
    model = read(path, inferences)
    folder = path.absolute().parent
    sha256 = ""
    if digest:
        with path.open("rb") as file:
            sha256 = hashlib.file_digest(file, "sha256").hexdigest()
    size = sum(part.stat().st_size for part in (path, *data_files(model, folder)))
    with naming(path):
        ordered = in_order(model)
        own = free_batch(ordered, folder) if reading.free_batch else ordered
        source = Source(path, parse_with(own, reading, folder, inferences), sha256, size, own is not ordered)
    if _log.isEnabledFor(logging.INFO):
        _log_reading(source, time.monotonic() - begun)
    return source


def _log_reading(source: Source, seconds: float) -> None:
    network, architecture = source.network, source.network.architecture
    total = cost(architecture)
    _log.info(
        "%s: %d nodes, %s bytes; %d feature maps, %d edges, %d legal transitions; %s parameters, %s MAdds a sample",
        source.path,
        len(network.model.graph.node),
        f"{source.size_bytes:,}",
        len(architecture.topology.maps),
        len(architecture.topology.edges),
        sum(reason is None for judged in legal_transitions(architecture) for reason in judged.values()),
        f"{total.params:,}",
        "unknown" if total.madds is None else f"{total.madds:,}",
    )
    _log.debug("%s: sha256 %s, read in %.2f s by %s", source.path, source.sha256, seconds, network.options)
