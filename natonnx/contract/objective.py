"""What a search or a comparison calls good, in words and units that a report can print, and scores by it."""

from typing import Literal, TypedDict

__all__ = ["SPLITS", "Objective", "OutputMeasure", "OutputScores", "Scores", "SplitName", "Unit", "difference_unit"]

SplitName = Literal["validation", "test"]
SPLITS: tuple[SplitName, ...] = ("validation", "test")


class Unit(TypedDict):
    """How a number is printed.

    Attributes:
        symbol: Behind it: `%`, `points`, or nothing.
        scale: What it is multiplied by first: 100.0 for a fraction in per cent, else 1.0.
        difference: Behind the difference of two such numbers: `points` where they are per cent, or nothing.
    """

    symbol: str
    scale: float
    difference: str


class OutputMeasure(TypedDict):
    """An output of the model and what it is judged by: `accuracy`, `top-1 agreement`, `cosine`, ..."""

    name: str
    measure: str


class Objective(TypedDict):
    """What scores mean.

    Attributes:
        name: `labels`, `agreement`, or `module.function` of the user's own.
        measure: In a word: `accuracy`, `agreement`, `reward`, or the user's own. Higher is better.
        unit: Of the score, of those of single outputs too.
        outputs: The outputs that the score is made of, and each by what; empty for the user's own.
    """

    name: str
    measure: str
    unit: Unit
    outputs: list[OutputMeasure]


class Scores(TypedDict):
    """Scores of a model by split, before `Unit.scale`: fractions, or the user's own rewards."""

    validation: float | None
    test: float | None


class OutputScores(TypedDict):
    """Scores of single outputs, by split and by name; None for a split that there is not."""

    validation: dict[str, float]
    test: dict[str, float] | None


def difference_unit(unit: Unit) -> Unit:
    """Return the unit of a difference that is already scaled, as `--max-drop` gives it: points for per cent."""
    return {"symbol": unit["difference"], "scale": 1.0, "difference": unit["difference"]}
