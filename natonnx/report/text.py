"""Text of others, such as the names in a model, where people read it."""

import re

__all__ = ["visible"]

_CONTROL = re.compile("[\x00-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069]")


def visible(text: str) -> str:
    """With control characters written out, so that no name can move the cursor, break a line or colour the screen."""
    return _CONTROL.sub(lambda match: match[0].encode("unicode_escape").decode(), text)
