"""The state of an interrupted search, beside its output."""

import hashlib
import io
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from itertools import islice
from pathlib import Path
from typing import Any

import torch

from natonnx.data.batches import Batches, StreamBatches
from natonnx.errors import InputError
from natonnx.files import write_bytes
from natonnx.search import OwnObjective, Settings
from natonnx.search.own import identity_of
from natonnx.verbs.optimize.prepare import Prepared

__all__ = ["Checkpoint", "load_checkpoint", "save_checkpoint", "saved_state"]

_FORMAT = 6
_BATCH = 64
_BATCHES = 8
"""Batches of a stream that are compared; reading all of it may take long."""


@dataclass(frozen=True)
class Checkpoint:
    """Where a search is saved, and what must be the same for it to go on.

    Attributes:
        path: None where nothing is saved.
        fingerprint: Of all that must be the same; a time budget may change.
    """

    path: Path | None
    fingerprint: str

    @staticmethod
    def of(output: Path | None, prepared: Prepared, settings: Settings, batchnorm: str) -> "Checkpoint":
        """Return the checkpoint of a search whose result goes to `output`."""
        if output is None:
            return Checkpoint(None, "")
        return Checkpoint(saved_state(output), _fingerprint(prepared, settings, batchnorm))

    def load(self) -> Mapping[str, Any] | None:
        """Load what was saved.

        Raises:
            InputError: If there is nothing, or it belongs to another search.
        """
        return None if self.path is None else load_checkpoint(self.path, self.fingerprint)

    def save(self, state: Mapping[str, Any]) -> None:
        """Save a state."""
        if self.path is not None:
            save_checkpoint(self.path, self.fingerprint, state)

    def remove(self) -> None:
        """Remove what was saved; the search is done."""
        if self.path is not None:
            self.path.unlink(missing_ok=True)


def saved_state(output: Path) -> Path:
    """Return where the state of a search is saved whose result goes to `output`."""
    return output.with_name(f"{output.name}.resume")


def _fingerprint(prepared: Prepared, settings: Settings, batchnorm: str) -> str:
    source, problem, parts = prepared.source, prepared.problem, prepared.parts
    fields = {key: value for key, value in asdict(settings).items() if key != "time_budget"}
    objective = problem.objective
    told = [source.sha256, source.network.options, parts.name, parts.augment, batchnorm, fields, objective.name]
    if isinstance(objective, OwnObjective):
        told.append(identity_of(objective.own))
    if problem.reward is not None:
        told.append(identity_of(problem.reward))
    digest = hashlib.sha256(" ".join(map(str, told)).encode())
    if Path(settings.policy).is_file():
        digest.update(Path(settings.policy).read_bytes())
    for split in (parts.train, parts.validation):
        for piece in _content(split):
            digest.update(piece)
    return digest.hexdigest()


def _content(split: Batches) -> Iterator[bytes]:
    """Yield what must be the same for a search to go on: samples and targets, as far as their order is.

    In memory that is all; of a stream it is the number of samples and, unless it shuffles, its first batches.
    """
    yield str(split.samples).encode()
    most = None
    if isinstance(split, StreamBatches):
        most = _BATCHES if split.is_ordered else 0
    for batch in islice(split.batches(_BATCH), most):
        for name in sorted(batch.inputs):
            yield batch.inputs[name].tobytes()
        if batch.targets is not None:
            yield batch.targets.tobytes()


def save_checkpoint(path: Path, fingerprint: str, state: Mapping[str, Any]) -> None:
    """Write a checkpoint atomically.

    Args:
        path: Where.
        fingerprint: Of the model, the data and the settings; only a search with the same one may resume.
        state: Tensors and plain Python values.
    """
    buffer = io.BytesIO()
    torch.save({"format": _FORMAT, "fingerprint": fingerprint, "state": dict(state)}, buffer)
    write_bytes(path, buffer.getvalue())


def load_checkpoint(path: Path, fingerprint: str) -> Mapping[str, Any]:
    """Read a checkpoint.

    Raises:
        InputError: If it is missing, damaged, or belongs to another search.
    """
    try:
        data = torch.load(path, map_location="cpu", weights_only=True)
        if data["format"] != _FORMAT:
            raise InputError(f"{path}: written by another version of natonnx; start the search anew")
        if data["fingerprint"] != fingerprint:
            raise InputError(f"{path}: belongs to another model, data set or settings; give the same ones as before")
        state: Mapping[str, Any] = data["state"]
    except InputError:
        raise
    except FileNotFoundError:
        raise InputError(f"{path}: no such checkpoint; leave --resume out to start the search") from None
    except Exception:  # torch.load raises whatever unpickling happens to raise
        raise InputError(f"{path}: not a natonnx checkpoint, or damaged; start the search anew") from None
    return state
