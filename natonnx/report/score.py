"""Scores as plain text, in the unit of their objective. A text is "" where nothing was measured."""

import math
from collections.abc import Iterator, Sequence
from typing import NamedTuple

from natonnx.contract.objective import SPLITS, Objective, Scores, SplitName, Unit
from natonnx.contract.optimize import QualityRow

__all__ = [
    "ScoreRow",
    "bound",
    "difference",
    "heading",
    "in_words",
    "label",
    "reported_split",
    "score",
    "score_rows",
    "with_interval",
]


class ScoreRow(NamedTuple):
    """A score of several models: what it is, its value for each, and the standard errors; None where not measured."""

    label: str
    values: list[float | None]
    errors: list[float | None]
    split: SplitName


def label(split: SplitName, objective: Objective) -> str:
    """What a score is: "test accuracy"."""
    return f"{split} {objective['measure']}"


def heading(what: str, unit: Unit, form: str = "{} ({})") -> str:
    """What a column, a row or an axis shows, with its unit where it has one: "test accuracy (%)"."""
    return form.format(what, unit["symbol"]) if unit["symbol"] else what


def score(value: float | None, unit: Unit) -> str:
    """A score without its unit: one digit behind the point of what has one, else four in all."""
    return "" if value is None else format(unit["scale"] * value, f"{_digits(unit)}")


def with_interval(value: float | None, error: float | None, unit: Unit) -> str:
    """A score, and how far from it the truth is 19 times of 20 at most: "90.8 ± 0.6"."""
    if value is None or not error:
        return score(value, unit)
    return f"{score(value, unit)} ± {score(1.96 * error, unit)}"


def in_words(value: float | None, unit: Unit) -> str:
    """A score with its unit."""
    return "" if value is None else f"{score(value, unit)} {unit['symbol']}".rstrip()


def difference(value: float, unit: Unit) -> str:
    """A difference of two scores, with its sign and unit."""
    return f"{unit['scale'] * value:+{_digits(unit)}} {unit['difference']}".rstrip()


def bound(value: float, unit: Unit) -> str:
    """An upper bound of a difference, rounded up: two digits behind the point of what has a unit, else four in all."""
    scaled = unit["scale"] * value
    if not unit["symbol"]:
        return f"{scaled:+.4g}"
    return f"{math.ceil(round(100 * scaled, 6)) / 100:+.2f} {unit['difference']}".rstrip()


def _digits(unit: Unit) -> str:
    return ".1f" if unit["symbol"] else ".4g"


def reported_split(scores: Scores) -> SplitName:
    """The split that a single figure is given for: test, where it was measured."""
    return "validation" if scores["test"] is None else "test"


def score_rows(objective: Objective, models: Sequence[QualityRow | None]) -> Iterator[ScoreRow]:
    """The scores by split, and below each those of single outputs, where there are several.

    Args:
        objective: What the scores mean.
        models: The input first; None for a model that there is not. What was not measured for the input is left out.
    """
    for split in SPLITS:
        values = [None if model is None else model["score"][split] for model in models]
        errors = [None if model is None else model["standard_error"][split] for model in models]
        if values[0] is not None:
            yield ScoreRow(label(split, objective), values, errors, split)
        for output in objective["outputs"] if len(objective["outputs"]) > 1 else ():
            values = [
                None if model is None else (model["outputs"][split] or {}).get(output["name"]) for model in models
            ]
            if values[0] is not None:
                yield ScoreRow(f"{split} {output['measure']} of {output['name']}", values, [None] * len(models), split)
