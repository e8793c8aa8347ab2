"""Call the user's own ``package.module:function``."""

import contextlib
import importlib
import re
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from natonnx.errors import InputError

__all__ = ["call_function", "importable_here", "is_function"]


def is_function(spec: str) -> bool:
    """Says whether a spec has the form ``package.module:function``."""
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


def call_function(spec: str) -> Any:
    """Import a module and call a function of it without arguments.

    Args:
        spec: ``package.module:function``. Its code runs: it must come from the user, never from a model.

    Returns:
        What the function returned.

    Raises:
        InputError: There is no such module or function, or it failed.
    """
    module_name, name = spec.split(":")
    try:
        return getattr(importlib.import_module(module_name), name)()
    except (Exception, SystemExit) as error:
        reason = " ".join(f"{type(error).__name__}: {error}".split())
        raise InputError(
            f"{spec}: failed with {reason}: it must be importable and callable without arguments"
        ) from error
