"""What sums messages: DGL where it can be imported, torch alone elsewhere.

DGL has wheels for few Pythons and systems, and none that will follow torch for ever. Both give the same numbers to the
last bit (docs/design/policy.md#messages), so which one serves is no setting of a search. `NATONNX_MESSAGES=torch` or
`=dgl` in the environment chooses by hand.
"""

import functools
import logging
import os
import warnings
from typing import Literal, NamedTuple

from natonnx.errors import InputError

__all__ = ["VARIABLE", "Backend", "served", "serving"]

_log = logging.getLogger(__name__)

VARIABLE = "NATONNX_MESSAGES"
"""The environment variable that chooses by hand."""


class Backend(NamedTuple):
    """What sums messages.

    Attributes:
        name: Which one.
        reason: Why it is torch; empty for DGL.
    """

    name: Literal["dgl", "torch"]
    reason: str = ""

    def __str__(self) -> str:
        return f"{self.name} ({self.reason})" if self.reason else self.name


def serving() -> Backend:
    """Return what sums messages in this process; imports DGL when it is first asked.

    Raises:
        InputError: If `NATONNX_MESSAGES` is neither of the two, or DGL that cannot serve.
    """
    return _chosen(os.environ.get(VARIABLE, ""))


def served() -> Backend | None:
    """Return what has summed messages in this process; None where nothing asked so far. Imports nothing."""
    return serving() if _chosen.cache_info().currsize else None


@functools.cache
def _chosen(wanted: str) -> Backend:
    if wanted not in ("", "dgl", "torch"):
        raise InputError(f"{VARIABLE}={wanted}: is neither dgl nor torch; without it DGL serves where it can")
    problem = "as asked" if wanted == "torch" else _problem()
    if problem and wanted == "dgl":
        raise InputError(f"{VARIABLE}=dgl: DGL cannot serve here ({problem}); without it torch does")
    found = Backend("torch", problem) if problem else Backend("dgl")
    _log.debug("messages are summed by %s", found)
    return found


def _problem() -> str:
    """What keeps DGL from serving, in a line; empty if nothing does."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of DGL's sources: its users can do nothing about them
            from natonnx.policy import by_dgl

            by_dgl.try_out()
    except ModuleNotFoundError as error:
        return "DGL is not installed" if error.name == "dgl" else f"DGL cannot be imported: {error}"
    except (Exception, SystemExit) as error:  # a DGL that was built for another torch or system fails in any way
        return " ".join(f"DGL cannot be used: {type(error).__name__}: {error}".split())[:200]
    return ""
