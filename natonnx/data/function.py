"""Call the user's own ``package.module:function``."""

import importlib
from typing import Any

from natonnx.errors import InputError

__all__ = ["call_function"]


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
