"""What `natonnx optimize` would do, as text."""

from natonnx.contract.plan import Plan, PriceRow
from natonnx.report.optimize import form

__all__ = ["COLUMNS", "lines", "rows"]

COLUMNS = ("", "input", "smallest reachable", "target")
"""What the columns of `rows` are."""

_SAME = 1e-6


def rows(plan: Plan) -> list[tuple[str, str, str, str]]:
    """The costs: what the input costs, how far that can be brought down, and what is asked."""
    return [_row(price) for price in plan["prices"]]


def _row(price: PriceRow) -> tuple[str, str, str, str]:
    shape = form(price["name"])
    found, bound = price["smallest"], price["least"]
    doubt = "" if bound is None or found - bound < _SAME else f", none below {bound:.3f}"
    smallest = f"{shape(found * price['input'])} ({found:.3f}{doubt})"
    return price["label"], shape(price["input"]), smallest, ", ".join(f"{one:.3g}" for one in price["targets"])


def lines(plan: Plan) -> list[str]:
    """All else, a line each."""
    space, samples = plan["space"], plan["data"]["samples"]
    counts = ", ".join(f"{'no' if n is None else format(n, ',')} {name}" for name, n in samples.items())
    return [
        f"{space['edges']:,} edges, {space['transitions']:,} legal transitions; {space['savers']:,} save anything",
        f"{plan['data']['name']}: {counts} samples; scored by {plan['objective']['measure']}",
        *plan["data"]["notes"],
        f"{plan['work']}; about {plan['seconds']:.0f} s and {plan['memory_bytes'] / 2**30:.1f} GiB of memory",
    ]
