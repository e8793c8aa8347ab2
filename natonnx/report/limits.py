"""The constraints of a search, in plain text."""

import math
from collections.abc import Callable, Mapping
from typing import Any

from natonnx.report.numbers import count

__all__ = ["limit_texts"]

_Form = Callable[[float], str]
_POINTS: _Form = "{:+.1f}".format
_NAMES: Mapping[str, tuple[str, _Form]] = {
    "madds": ("MAdds", count),
    "validation_drop_points": ("validation points lost", _POINTS),
    "points_behind_finetuned_beta": ("validation points behind the fine-tuned input", _POINTS),
    "reward_lost": ("reward lost", "{:+.4g}".format),
    "reward_behind_finetuned_beta": ("reward behind the fine-tuned input", "{:+.4g}".format),
}


def limit_texts(limit: Mapping[str, Any]) -> tuple[str, str | None, str]:
    """What a constraint of the payload is called, its value (None where no architecture was found), and its limit."""
    name, form = _NAMES[limit["name"]]
    value = limit["value"]
    return name, None if value is None or not math.isfinite(value) else form(value), form(limit["limit"])
