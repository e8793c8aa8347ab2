"""A journal: a folder in which processes on any machines that see it leave tasks, claims and results.

What happened is an append-only log, Optuna's `JournalFileBackend`, whose lock holds on network file systems too. What
is large lies beside it, in files named by their SHA-256. A process that lives changes a file of its own now and then.
"""

import hashlib
import io
import os
import random
import socket
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from natonnx.errors import InputError
from natonnx.files import write_bytes

__all__ = ["LEASE", "Entry", "Journal"]

LEASE = 30.0
"""Seconds without a sign of life behind which what a process has claimed is free again."""
_BEATS = 6
"""Signs of life in that time."""


@dataclass
class Entry:
    """What is known of a task.

    Attributes:
        run: The search that it is a part of.
        kind: See `natonnx.search.parallel.tasks.KINDS`.
        content: Digest of what it holds.
        owner: Who carries it out; None where it is free.
        result: Digest of what it returned; None where that is not known.
    """

    run: str
    kind: str
    content: str
    owner: str | None = None
    result: str | None = None


@dataclass
class _Seen:
    """Signs of life: the last one, how long its process is to be waited for, and when it came, by this one's clock."""

    sign: int
    lease: float
    when: float = 0.0


class Journal:
    """A journal as one process sees it.

    Args:
        folder: Where it lies; made where there is none.
        lease: See `LEASE`; of this process, others go by it.

    Attributes:
        name: Of this process, in the journal.
        runs: Digests of what describes each search, by its name, the first one first; without those that have ended.
        tasks: In the order in which they were given, by their digests.

    Raises:
        InputError: If Optuna is not installed, or the folder cannot be made or read.
    """

    def __init__(self, folder: Path, lease: float = LEASE) -> None:
        try:
            from optuna.storages.journal import JournalFileBackend, JournalFileOpenLock
        except ImportError:
            raise InputError("--journal needs Optuna: pip install 'natonnx[workers]'") from None
        self._folder, self._lease = folder, lease
        self.name = f"{socket.gethostname()}-{os.getpid()}-{os.urandom(4).hex()}"
        self.runs: dict[str, str] = {}
        self.tasks: dict[str, Entry] = {}
        self._read, self._seen = 0, dict[str, _Seen]()
        self._chance = random.Random(self.name)  # noqa: S311 - not for secrets
        log = folder / "journal.log"
        try:
            for part in (self._blobs, self._alive):
                part.mkdir(parents=True, exist_ok=True)
            self._log = JournalFileBackend(str(log), JournalFileOpenLock(str(log)))
        except OSError as error:
            raise InputError(f"{folder}: cannot be a journal ({error.strerror}): choose another folder") from None

    @property
    def _blobs(self) -> Path:
        return self._folder / "blobs"

    @property
    def _alive(self) -> Path:
        return self._folder / "alive"

    @contextmanager
    def living(self) -> Iterator[None]:
        """Give signs of life."""
        sign, ended = self._alive / self.name, threading.Event()

        def beat() -> None:
            while not ended.wait(self._lease / _BEATS):
                os.utime(sign)

        write_bytes(sign, str(self._lease).encode())
        thread = threading.Thread(target=beat, name="natonnx journal", daemon=True)
        thread.start()
        try:
            yield
        finally:
            ended.set()
            thread.join()
            sign.unlink(missing_ok=True)

    def others(self) -> int:
        """Return how many other processes live, as far as this one can tell."""
        names = {path.name for path in self._alive.iterdir() if not path.name.startswith(".")} - {self.name}
        return sum(map(self._lives, names))

    def _lives(self, owner: str) -> bool:
        """Tell whether a process has given a sign of life within a lease; one that is new to us has."""
        path = self._alive / owner
        try:
            sign = path.stat().st_mtime_ns
            seen = self._seen.setdefault(owner, _Seen(0, float(path.read_bytes())))
        except OSError:
            return False
        if seen.sign != sign:
            seen.sign, seen.when = sign, time.monotonic()
        return time.monotonic() - seen.when < seen.lease

    # The log

    def refresh(self) -> None:
        """Read what is new.

        Raises:
            InputError: If the log is damaged.
        """
        try:
            for entry in self._log.read_logs(self._read):
                self._apply(entry)
                self._read += 1
        except (KeyError, TypeError, ValueError) as error:
            raise InputError(
                f"{self._folder}: its log is damaged ({error}): remove the folder, or choose another"
            ) from error

    def _apply(self, entry: Mapping[str, Any]) -> None:
        match entry["op"]:
            case "run":
                self.runs[entry["run"]] = entry["content"]
            case "end":
                self.runs.pop(entry["run"], None)
                self.tasks = {name: task for name, task in self.tasks.items() if task.run != entry["run"]}
            case "task":
                self.tasks[entry["task"]] = Entry(entry["run"], entry["kind"], entry["content"])
            case "claim":
                task = self.tasks.get(entry["task"])
                if task is not None and task.owner == entry["over"]:
                    task.owner = entry["by"]
            case "done":
                task = self.tasks.get(entry["task"])
                if task is not None and task.result is None:
                    task.result = entry["result"]

    def begin(self, run: str, content: Mapping[str, Any]) -> None:
        """Announce a search.

        Args:
            run: Its name.
            content: What others need to know to take part: numbers, text, tensors, mappings.
        """
        self.refresh()
        if run not in self.runs:
            self._append([{"op": "run", "run": run, "content": self.put(content)}])

    def end(self, run: str) -> None:
        """Tell that a search has ended, and remove what is large of it."""
        self.refresh()
        digests = [self.runs.get(run)]
        digests += [name for task in self.tasks.values() if task.run == run for name in (task.content, task.result)]
        self._append([{"op": "end", "run": run}])
        self.drop(*filter(None, digests))

    def post(self, run: str, tasks: Mapping[str, tuple[str, Mapping[str, Any]]]) -> None:
        """Give tasks, each by its digest: its kind, and what it holds. What is known already is not given again."""
        self.refresh()
        entries = [
            {"op": "task", "task": name, "run": run, "kind": kind, "content": self.put(content)}
            for name, (kind, content) in tasks.items()
            if name not in self.tasks or self._is_gone(self.tasks[name])
        ]
        if entries:
            self._append(entries)

    def _is_gone(self, task: Entry) -> bool:
        """Whether a result was known, but its file is not there any more."""
        return task.result is not None and not (self._blobs / task.result).exists()

    def claim(self, run: str) -> str | None:
        """Claim a task of a search that nobody carries out, and return its digest; None where there is none.

        Of several it is any one, for many processes ask at once.
        """
        while found := self._free(run):
            name, over = self._chance.choice(found)
            if over != self.name:
                self._append([{"op": "claim", "task": name, "by": self.name, "over": over}])
            if name in self.tasks and self.tasks[name].owner == self.name:
                return name
        return None

    def _free(self, run: str) -> list[tuple[str, str | None]]:
        """Return the tasks of a search that may be claimed, and whose they were."""
        waiting = [(name, task) for name, task in self.tasks.items() if task.run == run and task.result is None]
        own = [(name, task.owner) for name, task in waiting if task.owner == self.name]
        free = [(name, task.owner) for name, task in waiting if task.owner is None]
        dead = [] if own or free else [(name, task.owner) for name, task in waiting if self._is_dead(task.owner)]
        return [*(own or free), *dead]

    def _is_dead(self, owner: str | None) -> bool:
        return owner is not None and not self._lives(owner)

    def finish(self, name: str, result: Mapping[str, Any]) -> None:
        """Tell what a task returned."""
        self._append([{"op": "done", "task": name, "result": self.put(result)}])

    def _append(self, entries: list[dict[str, Any]]) -> None:
        try:
            self._log.append_logs(entries)
        except OSError as error:
            raise InputError(f"{self._folder}: cannot be written ({error.strerror}): make room, or allow it") from None
        self.refresh()

    # What is large

    def put(self, value: Mapping[str, Any]) -> str:
        """Keep something plain; return its digest."""
        buffer = io.BytesIO()
        torch.save(dict(value), buffer)
        content = buffer.getvalue()
        digest = hashlib.sha256(content).hexdigest()
        path = self._blobs / digest
        if not path.exists():
            write_bytes(path, content)
        return digest

    def get(self, digest: str) -> dict[str, Any]:
        """Return what was kept.

        Raises:
            InputError: If it is damaged, or not there.
        """
        path = self._blobs / digest
        try:
            content = path.read_bytes()
        except OSError as error:
            raise InputError(f"{path}: cannot be read ({error.strerror}): start the search anew") from None
        if hashlib.sha256(content).hexdigest() != digest:
            raise InputError(f"{path}: is damaged: remove it, and start the search anew")
        value: dict[str, Any] = torch.load(io.BytesIO(content), map_location="cpu", weights_only=True)
        return value

    def drop(self, *digests: str) -> None:
        """Remove what is needed no longer."""
        for digest in digests:
            (self._blobs / digest).unlink(missing_ok=True)
