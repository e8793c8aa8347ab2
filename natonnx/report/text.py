"""Text of others, such as the names in a model, where people read it."""

import re
from collections.abc import Mapping
from typing import Any

__all__ = ["all_visible", "visible"]

_CONTROL = re.compile(
    "[\x00-\x1f\x7f-\x9f\xad\u061c\u200b-\u200f\u2028-\u202e\u2060-\u206f\ufeff\ufff9-\ufffb\U000e0000-\U000e007f]"
)
"""Control characters, what orders or hides text, and line separators."""


def visible(text: str) -> str:
    """With control characters written out, so that no name can move the cursor, break a line or colour the screen."""
    return _CONTROL.sub(lambda match: match[0].encode("unicode_escape").decode(), text)


def all_visible(value: Any) -> Any:
    """A payload with all its texts `visible`, the keys of its objects too."""
    if isinstance(value, str):
        return visible(value)
    if isinstance(value, Mapping):
        return {all_visible(key): all_visible(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [all_visible(item) for item in value]
    return value
