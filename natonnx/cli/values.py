"""What options take: several numbers in one."""

from typing import Any

import click

__all__ = ["FRACTIONS"]


class _Fractions(click.ParamType):  # type: ignore[type-arg]
    """Numbers, separated by commas."""

    name = "fractions"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> tuple[float, ...]:
        """Read them."""
        if isinstance(value, tuple):
            return value
        try:
            return tuple(float(part) for part in str(value).split(","))
        except ValueError:
            self.fail(f"{value!r} is no number, and no numbers with commas between", param, ctx)


FRACTIONS = _Fractions()
