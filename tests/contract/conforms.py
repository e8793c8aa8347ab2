"""Hold a payload to its type, key by key: what JSON brought is nothing that mypy has seen."""

from typing import Any

from natonnx.contract.conforms import departures
from natonnx.contract.schema import SCHEMA_VERSION

__all__ = ["departures", "require_payload"]


def require_payload(payload: Any, kind: Any) -> None:
    """Fail where a payload's keys are not those of its type, `schema` first, or a value is of another type."""
    assert next(iter(payload)) == "schema"
    assert payload["schema"] == SCHEMA_VERSION
    assert departures(payload, kind) == []
