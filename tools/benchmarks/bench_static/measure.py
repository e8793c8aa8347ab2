"""CPU seconds and peak memory of commands, each run in a process of its own."""

import os
import resource
import signal
import statistics
import subprocess
import tempfile
from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

__all__ = ["Cost", "cost_of", "interleaved", "one_cpu", "spread"]

Command = Sequence[str]


class Cost(NamedTuple):
    """What a process and those that it started and waited for took: CPU seconds, and most MiB of memory of one."""

    seconds: float
    mebibytes: float


def one_cpu() -> None:
    """Keep this process, and all that it starts, on one processor, where the system can."""
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, {max(os.sched_getaffinity(0))})


def cost_of(command: Command, limit: int) -> Cost | str:
    """Run a command.

    Args:
        command: The program and its arguments.
        limit: CPU seconds after which it is ended.

    Returns:
        What it took; or, if it failed, why, in one line.
    """
    with tempfile.TemporaryFile() as said:
        process = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=said,
            env={**os.environ, "OMP_NUM_THREADS": "1"},
        )
        resource.prlimit(process.pid, resource.RLIMIT_CPU, (limit, limit + 1))
        _, status, used = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
        if process.returncode == 0:
            return Cost(used.ru_utime + used.ru_stime, used.ru_maxrss / 1024)
        if process.returncode in {-signal.SIGXCPU, -signal.SIGKILL}:
            return f"more than {limit} s"
        said.seek(0)
        lines = said.read().decode(errors="replace").split("\n")
        return next((line for line in reversed(lines) if line.strip()), f"exit code {process.returncode}")


def interleaved(
    commands: Mapping[str, Command],
    rounds: int,
    limit: int,
    told: Callable[[str], None] = lambda _line: None,
    before: Callable[[], None] = lambda: None,
) -> dict[str, list[Cost] | str]:
    """Run commands in turn, so many rounds, and a round before them that does not count.

    Args:
        commands: By name.
        rounds: How many.
        limit: CPU seconds of one command.
        told: Is given each name that failed and why; it is not run again.
        before: Is called before each command.

    Returns:
        By name: a cost for each round, or why it failed.
    """
    found: dict[str, list[Cost] | str] = {name: [] for name in commands}
    for turn in range(rounds + 1):
        for name, command in commands.items():
            costs = found[name]
            if isinstance(costs, str):
                continue
            before()
            cost = cost_of(command, limit)
            if isinstance(cost, str):
                found[name] = cost
                told(f"{name}: {cost}")
            elif turn:
                costs.append(cost)
    return found


def spread(values: Sequence[float], digits: int = 2) -> str:
    """The median, and the lowest and the highest in brackets."""
    low, middle, high = (round(one, digits) for one in (min(values), statistics.median(values), max(values)))
    return f"{middle:.{digits}f} ({low:.{digits}f}–{high:.{digits}f})"
