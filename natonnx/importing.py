"""Import what the user names as `package.module:name`."""

import contextlib
import importlib
import re
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from natonnx.errors import InputError

__all__ = ["import_named", "importable_here", "is_named"]


def is_named(spec: str) -> bool:
    """Whether a text has the form `package.module:name`."""
    return re.fullmatch(r"[^\W\d]\w*(\.[^\W\d]\w*)*:[^\W\d]\w*", spec) is not None


@contextmanager
def importable_here() -> Iterator[None]:
    """Let modules in the current directory be imported."""
    here = str(Path.cwd())
    sys.path.insert(0, here)
    importlib.invalidate_caches()
    try:
        yield
    finally:
        with contextlib.suppress(ValueError):  # the user's code may have changed the path itself
            sys.path.remove(here)


def import_named(spec: str, option: str) -> Any:
    """Import a name from a module; the current directory is importable.

    Args:
        spec: `package.module:name`. The module's code runs: it must come from the user, never from a model.
        option: What it was given for, for messages.

    Raises:
        InputError: If it has another form, or there is no such module or name.
    """
    if not is_named(spec):
        raise InputError(f"{option} {spec!r}: unknown; write package.module:name")
    module, name = spec.split(":")
    try:
        with importable_here():
            return getattr(importlib.import_module(module), name)
    except (Exception, SystemExit) as error:
        reason = " ".join(f"{type(error).__name__}: {error}".split())
        raise InputError(f"{option} {spec}: cannot be imported ({reason})") from error
