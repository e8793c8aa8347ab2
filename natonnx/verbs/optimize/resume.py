"""The state of an interrupted search, beside its output."""

import hashlib
import io
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from itertools import islice
from pathlib import Path
from typing import Any

import torch

from natonnx.data.batches import Batches, StreamBatches
from natonnx.data.indexed import IndexedBatches
from natonnx.errors import InputError
from natonnx.files import check_writable, write_bytes
from natonnx.importing import is_named
from natonnx.policy.registry import policy_class
from natonnx.search import OwnObjective, Settings
from natonnx.search.own import identity_of
from natonnx.verbs.optimize.prepare import Prepared

__all__ = ["Checkpoint", "claimed", "fingerprint", "load_checkpoint", "save_checkpoint", "saved_state"]

_MARK = b"natonnx checkpoint "
_HEAD = _MARK + b"8\n"
"""What a checkpoint begins with: its format. The SHA-256 of all that follows is next."""
_DIGEST = hashlib.sha256().digest_size
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
        return Checkpoint(saved_state(output), fingerprint(prepared, settings, batchnorm))

    def load(self) -> Mapping[str, Any] | None:
        """Load what was saved.

        Raises:
            InputError: If there is nothing, or it is damaged, or belongs to another search.
        """
        if self.path is None:
            return None
        state = load_checkpoint(self.path, self.fingerprint)
        if "most" not in state or type(state["most"]) not in (int, type(None)):
            raise InputError(f"{self.path}: holds no state of a search; start the search anew")
        return state

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


def fingerprint(prepared: Prepared, settings: Settings, batchnorm: str) -> str:
    """Return a text that is the same for searches of the same model, data and settings, but for a time budget."""
    source, problem, parts = prepared.source, prepared.problem, prepared.parts
    fields = {key: value for key, value in asdict(settings).items() if key != "time_budget"}
    objective = problem.objective
    told = [source.sha256, source.network.options, parts.augment, batchnorm, fields, objective.name]
    if isinstance(objective, OwnObjective):
        told.append(identity_of(objective.own))
    if problem.reward is not None:
        told.append(identity_of(problem.reward))
    if is_named(settings.learner):
        told.append(identity_of(policy_class(settings.learner).forward))
    digest = hashlib.sha256(" ".join(map(str, told)).encode(errors="surrogateescape"))
    if Path(settings.policy).is_file():
        digest.update(Path(settings.policy).read_bytes())
    for split in (parts.train, parts.validation):
        for piece in _content(split):
            digest.update(piece)
    return digest.hexdigest()


def _content(split: Batches) -> Iterator[bytes]:
    """Yield what must be the same for a search to go on: samples and targets, as far as their order is.

    In memory that is all; of files their names, sizes and times; of a stream the number of samples and, unless it
    shuffles, its first batches.
    """
    yield str(split.samples).encode()
    if isinstance(split, IndexedBatches):
        yield from split.stamp()
        return
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
    torch.save({"fingerprint": fingerprint, "state": dict(state)}, buffer)
    content = buffer.getvalue()
    write_bytes(path, _HEAD + hashlib.sha256(content).digest() + content)


def load_checkpoint(path: Path, fingerprint: str) -> Mapping[str, Any]:
    """Read a checkpoint.

    Raises:
        InputError: If it is missing, damaged, or belongs to another search.
    """
    try:
        data = path.read_bytes() if path.is_file() else b""
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({error.strerror}); make it readable") from None
    if not data and not path.exists():
        raise InputError(f"{path}: no such checkpoint; leave --resume out to start the search")
    damaged = InputError(f"{path}: not a natonnx checkpoint, or damaged; start the search anew")
    if data.startswith(_MARK) and not data.startswith(_HEAD):
        raise InputError(f"{path}: written by another version of natonnx; start the search anew")
    digest, content = data[len(_HEAD) :][:_DIGEST], data[len(_HEAD) + _DIGEST :]
    if not data.startswith(_HEAD) or hashlib.sha256(content).digest() != digest:
        raise damaged
    try:
        saved = torch.load(io.BytesIO(content), map_location="cpu", weights_only=True)
        known, state = saved["fingerprint"], saved["state"]
    except Exception:  # torch.load raises whatever unpickling happens to raise
        raise damaged from None
    if known != fingerprint:
        raise InputError(f"{path}: belongs to another model, data set or settings; give the same ones as before")
    if not isinstance(state, dict):
        raise damaged
    return state


@contextmanager
def claimed(output: Path | None, *, force: bool) -> Iterator[None]:
    """Have an output, and the state that is saved beside it, for this process alone.

    What says so is a lock on a hidden file beside the output: it ends with the process, however that ends.

    Args:
        output: Where the result goes; None for nowhere.
        force: Overwrite a file in the place of the state that natonnx did not write.

    Raises:
        InputError: If another run has it, or something else stands where the state is to be saved.
    """
    if output is None:
        yield
        return
    place = saved_state(output)
    if not (place.exists() or place.is_symlink()):
        check_writable(place)
    else:
        if not place.is_file():
            raise InputError(
                f"{place}: is no file, but a folder, link, device or pipe, where a search saves its state; remove it"
            )
        with place.open("rb") as file:
            head = file.read(len(_MARK))
        if head and head != _MARK and not force:
            raise InputError(
                f"{place}: exists and is no state of this version of natonnx; remove it, choose another output, or "
                "give --force"
            )
    with _locked(output.with_name(f".{output.name}.lock"), f"{output}: another run of natonnx writes to it; wait"):
        yield


@contextmanager
def _locked(path: Path, refusal: str) -> Iterator[None]:
    """Hold a lock on a file, which is made, and gone at the end; none where the system or the file system has none."""
    if sys.platform != "win32":
        import fcntl

        with path.open("wb") as file:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                raise InputError(f"{refusal} for it, or choose another output") from None
            except OSError:  # a file system without locks
                pass
            try:
                yield
            finally:
                path.unlink(missing_ok=True)
    else:
        yield
