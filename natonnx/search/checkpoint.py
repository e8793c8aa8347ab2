"""Save a search so that an interrupted one goes on where it was."""

import io
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from natonnx.errors import InputError
from natonnx.files import write_bytes

__all__ = ["load_checkpoint", "save_checkpoint"]

_FORMAT = 4


def save_checkpoint(path: Path, fingerprint: str, state: Mapping[str, Any]) -> None:
    """Write a checkpoint atomically.

    Args:
        path: Where.
        fingerprint: Of the model, the data and the settings; only a search with the same one may resume.
        state: Tensors and plain Python values.
    """
    buffer = io.BytesIO()
    torch.save({"format": _FORMAT, "fingerprint": fingerprint, "state": dict(state)}, buffer)
    write_bytes(path, buffer.getvalue())


def load_checkpoint(path: Path, fingerprint: str) -> Mapping[str, Any]:
    """Read a checkpoint.

    Raises:
        InputError: If it is missing, damaged, or belongs to another search.
    """
    try:
        data = torch.load(path, map_location="cpu", weights_only=True)
        if data["format"] != _FORMAT:
            raise InputError(f"{path}: written by another version of natonnx; start the search anew")
        if data["fingerprint"] != fingerprint:
            raise InputError(f"{path}: belongs to another model, data set or settings; give the same ones as before")
        state: Mapping[str, Any] = data["state"]
    except InputError:
        raise
    except FileNotFoundError:
        raise InputError(f"{path}: no such checkpoint; leave --resume out to start the search") from None
    except Exception:  # torch.load raises whatever unpickling happens to raise
        raise InputError(f"{path}: not a natonnx checkpoint, or damaged; start the search anew") from None
    return state
