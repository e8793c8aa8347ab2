"""What all payloads have in common: the version of their keys, and numbers that JSON can hold."""

import math
from collections.abc import Mapping
from typing import Any

__all__ = ["SCHEMA_VERSION", "finite"]

SCHEMA_VERSION = 4
"""`schema` of every payload. It rises when a key is renamed or removed, or means something else; payloads
of version 1 did not say so."""


def finite(value: Any) -> Any:
    """Replace NaN and infinity, which JSON does not know, by None, at any depth; tuples become lists."""
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, Mapping):
        return {key: finite(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [finite(item) for item in value]
    return value
