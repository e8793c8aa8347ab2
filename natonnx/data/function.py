"""Calls the user's own ``package.module:function``."""

import contextlib
import importlib
import re
import sys
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from natonnx.data.arrays import KEYS, Arrays
from natonnx.data.dataset import Dataset
from natonnx.errors import InputError

__all__ = ["call_function", "is_function"]


def is_function(spec: str) -> bool:
    """Says whether a spec has the form ``package.module:function``."""
    return re.fullmatch(r"[^\W\d]\w*(\.[^\W\d]\w*)*:[^\W\d]\w*", spec) is not None


def call_function(spec: str) -> Arrays | Dataset:
    """Imports a module, looking in the current directory too, and calls a function of it without arguments.

    Args:
        spec: ``package.module:function``. Its code runs: it must come from the user, never from a model.

    Returns:
        What the function returned: arrays by the names of a ``.npz``, or a finished data set.

    Raises:
        InputError: There is no such module or function, it failed, or it returned something else.
    """
    module_name, name = spec.split(":")
    here = str(Path.cwd())
    sys.path.insert(0, here)
    importlib.invalidate_caches()
    try:
        function = getattr(importlib.import_module(module_name), name)
        result: object = function()
    except (Exception, SystemExit) as error:
        reason = " ".join(f"{type(error).__name__}: {error}".split())
        raise InputError(
            f"{spec}: failed with {reason}: it must be importable and callable without arguments"
        ) from error
    finally:
        with contextlib.suppress(ValueError):  # the function may have changed the path itself
            sys.path.remove(here)
    if isinstance(result, Dataset):
        return result
    if isinstance(result, Mapping):
        return {key: np.asarray(result[key]) for key in KEYS if key in result}
    raise InputError(
        f"{spec}: returned {type(result).__name__}: return a mapping with x_train, y_train, x_test, y_test or with "
        "images, labels, or a natonnx.data.Dataset"
    )
