"""Verify the winner's file, and write it: whole or not at all."""

import errno
import logging
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from natonnx.errors import InputError
from natonnx.frontend import Source
from natonnx.notices import NOTICE
from natonnx.rewrite import Check, References, require, verify
from natonnx.rewrite.write import check_output, own_files, write_model
from natonnx.search import Candidate, Outcome
from natonnx.search.decide import faults
from natonnx.search.price import share
from natonnx.supernet import Supernet
from natonnx.tensors import has_external
from natonnx.verbs.optimize.prepare import Prepared
from natonnx.verbs.optimize.rebuild import Rebuilt, Workshop, file_weights

__all__ = ["Written", "check_front", "front_name", "verify_front", "verify_winner", "write_front", "write_winner"]

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Written:
    """Where the winner is.

    Attributes:
        path: None where it was not written, or there is none.
        size_bytes: Of its file and data files; None where there is none, or it was not written and has data files.
    """

    path: Path | None
    size_bytes: int | None


def verify_winner(prepared: Prepared, winner: Rebuilt) -> list[Check]:
    """Check the file against the supernet with the weights that were trained."""
    trained = Supernet(prepared.problem.network)
    trained.load_weights(winner.candidate.weights)
    searched = winner.candidate.architecture
    return verify(
        prepared.source.network,
        winner.alpha,
        winner.model,
        References(
            trained.as_reference(searched),
            lambda seed: trained.rounded(seed).as_reference(searched),
            trained.as_reference(),
        ),
        weights=file_weights(prepared, winner.candidate),
    )


def front_name(prepared: Prepared, candidate: Candidate) -> str:
    """Return the file name of a model of the front: that of the input, and its cost as a fraction of the input's."""
    price, source = prepared.problem.prices[0], prepared.source
    alpha = source.network.architecture.with_states(candidate.architecture.states)
    target = "" if candidate.target is None else f"-{candidate.target:g}"
    return f"{source.path.stem}{target}-{price.name}-{share(price, alpha):.3f}.onnx"


def check_front(folder: Path, *, force: bool) -> None:
    """Refuse a folder for the front before any work.

    Raises:
        InputError: If it is none, cannot be written to, or holds anything, unless forced.
    """
    try:
        there = next(path for path in (folder, *folder.absolute().parents) if _is_there(path))
    except (OSError, ValueError) as error:  # a name that is too long, or holds a zero byte
        reason = getattr(error, "strerror", None) or error
        raise InputError(f"--front {folder}: cannot be looked at ({reason}); name another folder") from None
    if folder.is_symlink() and not folder.exists():
        raise InputError(f"--front {folder}: is a link that leads nowhere; name a folder")
    if not there.is_dir() or any(path.is_symlink() and not path.exists() for path in folder.absolute().parents):
        raise InputError(f"--front {folder}: is no folder; name one that models may be written to")
    if not os.access(there, os.W_OK):
        raise InputError(f"--front {folder}: {there} cannot be written to; name another folder")
    if folder.is_dir() and any(folder.iterdir()) and not force:
        raise InputError(f"--front {folder}: is not empty; name another folder, or --force to write into it")


def _is_there(path: Path) -> bool:
    """What `Path.exists` says, which since Python 3.14 says False of what cannot be looked at, too."""
    try:
        path.stat()
    except OSError as error:
        if error.errno not in (errno.ENOENT, errno.ENOTDIR, errno.ELOOP):
            raise
        return False
    return True


def verify_front(prepared: Prepared, workshop: Workshop, outcome: Outcome) -> dict[str, Rebuilt]:
    """Verify every model that was made; return them by `front_name`. One whose outputs are no numbers is left out.

    Raises:
        VerificationError: If one failed a check.
    """
    found: dict[str, Rebuilt] = {}
    for one in outcome.candidates:
        wrong = next(faults(one.validation, workshop.original.score), None)
        if wrong is None:
            found[front_name(prepared, one)] = workshop.rebuild(one)
        else:
            _log.log(NOTICE, "--front: %s is left out: %s", front_name(prepared, one), wrong)
    for made in found.values():
        require(verify_winner(prepared, made))
    return found


def write_front(prepared: Prepared, models: Mapping[str, Rebuilt], folder: Path) -> dict[str, Path]:
    """Write models that were verified to a folder; return where each is, by `front_name`."""
    folder.mkdir(parents=True, exist_ok=True)
    found: dict[str, Path] = {}
    for name, made in models.items():
        found[name] = folder / name
        check_output(
            found[name],
            prepared.source.file,
            prepared.source.network.model,
            own_files(prepared.source.network.model, found[name]),
            force=True,
        )
        write_model(made.model, prepared.source.network.folder, found[name])
    return found


def write_winner(source: Source, winner: Rebuilt | None, place: Path | None) -> Written:
    """Write a model and its data files.

    Args:
        source: The input model.
        winner: What to write; None for nothing.
        place: Where; None for nowhere.
    """
    if winner is None:
        return Written(None, None)
    if place is None:
        return Written(None, None if has_external(winner.model) else winner.model.ByteSize())
    files = write_model(winner.model, source.network.folder, place)
    return Written(place, sum(path.stat().st_size for path in files))
