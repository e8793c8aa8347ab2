"""What really loads and runs here: onnxruntime's providers, torch's devices, DGL, and natonnx's own modules."""

import asyncio

from natonnx.contract.doctor import Finding, finding
from natonnx.verbs.doctor.answer import Answer, answer
from natonnx.verbs.doctor.ask import Asker
from natonnx.verbs.doctor.packages import install

__all__ = ["find_runs"]

_SUFFIX = "ExecutionProvider"
_FAMILIES = {"onnxruntime": f"CPU{_SUFFIX}", "torch": "cpu"}
"""Probes that know of several of a kind, and the one that is always there."""
_NEEDED = ("onnxruntime cpu", "torch cpu", "optimize")
_OURS = {"optimize": "optimize", "built-in data": "data", "pretrained policy": "policy"}
"""natonnx's own, and their probes."""


def find_runs(seconds: float, *, dgl: bool) -> list[Finding]:
    """Let everything run that may.

    Args:
        seconds: That each may take.
        dgl: Whether DGL is among it.
    """
    return [
        finding(name, found["mark"], found["detail"], _remedy(name, found), needed=name in _NEEDED)
        for name, found in asyncio.run(_ask(seconds, {"dgl import": "dgl", **_OURS} if dgl else _OURS)).items()
    ]


async def _ask(seconds: float, single: dict[str, str]) -> dict[str, Answer]:
    """Answers by what they are of."""
    asker = Asker(seconds)
    async with asyncio.TaskGroup() as tasks:
        families = [tasks.create_task(_all_of(asker, probe, first)) for probe, first in _FAMILIES.items()]
        singles = {name: tasks.create_task(asker.ask(probe)) for name, probe in single.items()}
    named = {name: found for family in families for name, found in family.result().items()}
    return named | {name: task.result() for name, task in singles.items()}


async def _all_of(asker: Asker, probe: str, first: str) -> dict[str, Answer]:
    """Ask for the first of a kind, and then for the others that it knows of."""
    found = await asker.ask(probe, first)
    there = [name for name, reason in found["others"].items() if reason is None]
    further = await asyncio.gather(*(asker.ask(probe, name) for name in there))
    answers = {first: found, **dict(zip(there, further, strict=True))}
    answers |= {name: answer("missing", reason) for name, reason in found["others"].items() if reason is not None}
    return {f"{probe} {name.removesuffix(_SUFFIX).lower()}": each for name, each in answers.items()}


def _remedy(name: str, found: Answer) -> str | None:
    """What to do about an answer."""
    if found["mark"] == "ok":
        return None
    if name == "optimize":
        return "mend what the lines above say; if they are all ok, install natonnx anew"
    if name in _OURS:
        return "install natonnx anew"
    package, _, kind = name.partition(" ")
    if kind in ("cpu", "import"):
        return install(package, again=found["mark"] == "broken")
    if package == "torch":
        return "--device cuda alone needs it: install the driver, and a torch for it (https://pytorch.org)"
    return f"--provider {kind} alone needs it: install what it lacks (https://onnxruntime.ai/docs/execution-providers)"
