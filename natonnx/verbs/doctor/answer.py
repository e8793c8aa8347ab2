"""What a probe answers."""

from collections.abc import Mapping
from typing import TypedDict

from natonnx.contract.doctor import Mark

__all__ = ["Answer", "answer"]


class Answer(TypedDict):
    """What a probe found.

    Attributes:
        mark: Of what it looked at.
        detail: In one line.
        others: Further ones of the kind, such as devices, to be asked for; those with a reason are not there.
    """

    mark: Mark
    detail: str
    others: dict[str, str | None]


def answer(mark: Mark, detail: str, *, others: Mapping[str, str | None] | None = None) -> Answer:
    """Make an answer."""
    return {"mark": mark, "detail": detail, "others": dict(others or {})}
