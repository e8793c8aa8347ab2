"""Limits of the control groups that this process is in: Linux's cgroup v2, or v1."""

from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

__all__ = ["cpu_limit", "memory_left", "memory_limit"]

_OWN, _ROOT = Path("/proc/self/cgroup"), Path("/sys/fs/cgroup")
"""Where the system says which groups a process is in, and where it describes them."""
_UNLIMITED = 1 << 60
"""From so many bytes on, v1 means that there is no limit."""


def memory_left(own: Path = _OWN, root: Path = _ROOT) -> Iterator[int]:
    """Yield the bytes that each limit leaves to this process.

    Args:
        own: The groups of this process.
        root: Where groups are described.
    """
    for limit, folder, used in _memory(own, root):
        with suppress(OSError, ValueError):
            yield limit - int((folder / used).read_text(encoding="utf-8")) + _inactive(folder)


def memory_limit(own: Path = _OWN, root: Path = _ROOT) -> int | None:
    """Return the lowest limit of memory, in bytes; None where there is none. See `memory_left`."""
    return min((limit for limit, _, _ in _memory(own, root) if limit < _UNLIMITED), default=None)


def cpu_limit(own: Path = _OWN, root: Path = _ROOT) -> float | None:
    """Return how many processors' time the process may take; None where nothing limits it. See `memory_left`."""
    found = []
    for folder, is_first in _folders("cpu", own, root):
        with suppress(OSError, ValueError):
            if is_first:
                texts = [(folder / f"cpu.cfs_{part}_us").read_text(encoding="utf-8") for part in ("quota", "period")]
            else:
                texts = (folder / "cpu.max").read_text(encoding="utf-8").split()
            quota, period = map(int, texts)  # "max" is no number
            found += [quota / period] if quota > 0 and period > 0 else []
    return min(found, default=None)


def _memory(own: Path, root: Path) -> Iterator[tuple[int, Path, str]]:
    """Yield limits in bytes, the folder of each, and the name of the file that says how much is used."""
    for folder, is_first in _folders("memory", own, root):
        most, used = (
            ("memory.limit_in_bytes", "memory.usage_in_bytes") if is_first else ("memory.max", "memory.current")
        )
        with suppress(OSError, ValueError):
            yield int((folder / most).read_text(encoding="utf-8")), folder, used


def _folders(kind: str, own: Path, root: Path) -> Iterator[tuple[Path, bool]]:
    """Yield the folder of each group that limits something of this process, and whether it is one of v1."""
    with suppress(OSError, ValueError):
        for line in own.read_text(encoding="utf-8").splitlines():
            _, kinds, name = line.split(":", 2)
            if kinds and kind not in kinds.split(","):
                continue
            top = root / kinds
            folder = top / name.lstrip("/")
            for place in (folder, *folder.parents):
                if not place.is_relative_to(top):
                    break
                yield place, bool(kinds)


def _inactive(folder: Path) -> int:
    """Return the bytes of files that the group may forget."""
    with suppress(OSError, ValueError):
        for line in (folder / "memory.stat").read_text(encoding="utf-8").splitlines():
            if line.startswith("inactive_file"):
                return int(line.split()[1])
    return 0
