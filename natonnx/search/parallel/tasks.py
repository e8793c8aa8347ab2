"""Independent parts of a search as values: they can be sent, named by a hash of what they hold, and carried out."""

import hashlib
import os
import socket
from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from itertools import count
from typing import Any, ClassVar

import torch
from torch import Tensor

from natonnx.search.finetune import Limit
from natonnx.search.keys import from_key
from natonnx.search.parallel.worker import Worker
from natonnx.search.progress import Stage
from natonnx.search.score import Score
from natonnx.search.spend import Start

__all__ = ["KINDS", "Begin", "LookUp", "RankByGiven", "Settle", "Task", "Train", "digest_of", "on_host", "score_of"]

_MARKS = count()


@dataclass(frozen=True)
class Task:
    """A part of a search. All that it holds, and all that it returns, is plain: numbers, text, tensors, mappings.

    Attributes:
        states: The architecture, see `natonnx.search.keys.key`.
    """

    states: str

    UNNAMED: ClassVar[frozenset[str]] = frozenset()
    """Fields that change nothing of what it returns."""

    def run(self, worker: Worker, stage: Stage | None = None) -> dict[str, Any]:
        """Carry it out; the stage is told of training images."""
        raise NotImplementedError

    def plain(self) -> dict[str, Any]:
        """Return what it holds, by name."""
        return {field.name: getattr(self, field.name) for field in fields(self)}

    def digest(self, of: str) -> str:
        """Return a hash of what it is and holds, and of what it is a part of."""
        named = {name: value for name, value in self.plain().items() if name not in self.UNNAMED}
        return digest_of([of, type(self).__name__, named])


@dataclass(frozen=True)
class LookUp(Task):
    """Score an architecture by refitted weights: `score`, and `images` that it took."""

    def run(self, worker: Worker, stage: Stage | None = None) -> dict[str, Any]:
        """See `Task.run`."""
        del stage
        before = worker.looker.images
        score = worker.looker.look_up(from_key(worker.problem.network.architecture, self.states))
        return {"score": tuple(score), "images": worker.looker.images - before}


@dataclass(frozen=True)
class RankByGiven(Task):
    """Rank an architecture by the file's own weights: `rank`, and `images` that it took."""

    def run(self, worker: Worker, stage: Stage | None = None) -> dict[str, Any]:
        """See `Task.run`."""
        del stage
        before = worker.looker.images
        rank = worker.looker.given_rank(from_key(worker.problem.network.architecture, self.states))
        return {"rank": rank, "images": worker.looker.images - before}


@dataclass(frozen=True)
class Begin(Task):
    """Choose where the training of an architecture starts: `score`, `start`, and `images` that it took.

    Attributes:
        before: The candidate of the target before, as `Start.to_dict` gives it; None where there is none.
    """

    before: Mapping[str, Any] | None

    def run(self, worker: Worker, stage: Stage | None = None) -> dict[str, Any]:
        """See `Task.run`."""
        del stage
        beta, images = worker.problem.network.architecture, worker.looker.images
        before = None if self.before is None else Start.of_dict(self.before, beta)
        score, start = worker.start(from_key(beta, self.states), before)
        return {"score": tuple(score), "start": start.to_dict(), "images": worker.looker.images - images}


@dataclass(frozen=True)
class _OfTraining(Task):
    """A part of a training.

    Attributes:
        start: Where it began, as `Start.to_dict` gives it.
        limit: See `natonnx.search.finetune.Limit`.
        state: As it was left, by `Finetuning.to_dict`; None for its beginning.
        mark: Of that state, where it was given; see `Worker.resume`.
    """

    start: Mapping[str, Any]
    limit: tuple[int, float | None]
    state: Mapping[str, Any] | None
    mark: str

    UNNAMED: ClassVar[frozenset[str]] = frozenset({"mark"})

    def digest(self, of: str) -> str:
        """See `Task.digest`: where no time limits it, what time it took so far changes nothing."""
        if self.limit[1] is not None or self.state is None:
            return super().digest(of)
        return super(_OfTraining, replace(self, state={**self.state, "seconds": 0.0})).digest(of)


@dataclass(frozen=True)
class Train(_OfTraining):
    """Train up to a part of the limit: `state` and its `mark`.

    Attributes:
        until: That part, from 0 to 1.
    """

    until: float

    def run(self, worker: Worker, stage: Stage | None = None) -> dict[str, Any]:
        """See `Task.run`."""
        start = Start.of_dict(self.start, worker.problem.network.architecture)
        training = worker.resume(start, Limit(*self.limit), self.state, self.mark)
        training.run(self.until, stage)
        mark = new_mark()
        worker.keep(training, mark)
        return {"state": on_host(training.to_dict()), "mark": mark}


@dataclass(frozen=True)
class Settle(_OfTraining):
    """Re-estimate the statistics of a training as it stands, and score it: `score`, `state`, `mark`, `images`.

    Attributes:
        samples: How many the statistics are estimated from.
    """

    samples: int

    def run(self, worker: Worker, stage: Stage | None = None) -> dict[str, Any]:
        """See `Task.run`."""
        del stage
        before = worker.looker.images
        start = Start.of_dict(self.start, worker.problem.network.architecture)
        training = worker.resume(start, Limit(*self.limit), self.state, self.mark)
        score = worker.settle(training, self.samples)
        mark = new_mark()
        worker.keep(training, mark)
        state = on_host(training.to_dict())
        return {"score": tuple(score), "state": state, "mark": mark, "images": worker.looker.images - before}


KINDS: Mapping[str, type[Task]] = {kind.__name__: kind for kind in (LookUp, RankByGiven, Begin, Train, Settle)}


def new_mark() -> str:
    """Return a text that no other state of a training is marked with."""
    return f"{socket.gethostname()}:{os.getpid()}:{next(_MARKS)}"


def score_of(found: Mapping[str, Any]) -> Score:
    """Return the score that a task returned."""
    return Score(*found["score"])


def on_host(value: Any) -> Any:
    """Copy tensors to the host's memory, wherever they are in something plain."""
    if isinstance(value, Tensor):
        return value.detach().to("cpu", copy=True)
    if isinstance(value, Mapping):
        return {key: on_host(one) for key, one in value.items()}
    if isinstance(value, list | tuple):
        return [*map(on_host, value)] if isinstance(value, list) else tuple(map(on_host, value))
    return value


def digest_of(value: Any) -> str:
    """Return a hash of something plain: equal for equal values, and for nothing else."""
    digest = hashlib.sha256()
    _add(digest, value)
    return digest.hexdigest()


def _add(digest: "hashlib._Hash", value: Any) -> None:
    if isinstance(value, Tensor):
        value = value.detach().cpu().contiguous()
        digest.update(f"t{value.dtype}{tuple(value.shape)}".encode())
        digest.update(value.reshape(-1).view(torch.uint8).numpy().tobytes() if value.numel() else b"")
    elif isinstance(value, Mapping):
        digest.update(f"m{len(value)}".encode())
        for key in sorted(value, key=repr):
            _add(digest, key)
            _add(digest, value[key])
    elif isinstance(value, list | tuple):
        digest.update(f"s{len(value)}".encode())
        for one in value:
            _add(digest, one)
    else:
        text = repr(value).encode()
        digest.update(f"{type(value).__name__}{len(text)}:".encode() + text)
