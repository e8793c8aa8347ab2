"""Divide samples into parts at random, every class in like shares."""

from collections.abc import Mapping

import numpy as np

from natonnx.data.batches import ArrayBatches
from natonnx.data.indexed import IndexedBatches
from natonnx.errors import InputError

__all__ = ["HELD_OUT", "Divisible", "divide", "draw"]

HELD_OUT = 0.2
Divisible = ArrayBatches | IndexedBatches

_SMALL = 500
"""Of fewer samples without targets none are set aside for a test: each counts where weights are fitted."""


def divide(parts: Mapping[str, Divisible], seed: int, where: str) -> tuple[dict[str, Divisible], str | None]:
    """Make the parts ``train``, ``validation`` and, where there can be one, ``test``.

    A single set is divided 60/20/20, one of fewer than 500 samples without targets 80/20; without validation, 20 % of
    the training samples become it. Where targets are one integer a sample, the division is stratified by them; else
    samples are drawn by chance. No sample is read.

    Args:
        parts: ``all``, or ``train`` and perhaps ``validation`` and ``test``.
        seed: Of the division.
        where: The source, for messages.

    Returns:
        The parts, each with at least one sample, and what was done, if anything.

    Raises:
        InputError: If a part is empty.
    """
    rng = np.random.default_rng(seed)
    made, note = dict(parts), None
    if "all" in made:
        whole = made.pop("all")
        if not whole.has_targets and whole.samples < _SMALL:
            made["validation"], made["train"] = draw(whole, HELD_OUT, rng)
            note = f"divided by chance (seed {seed}): 80 % training, 20 % validation; too few for a test as well"
        else:
            made["test"], rest = draw(whole, HELD_OUT, rng)
            made["validation"], made["train"] = draw(rest, HELD_OUT / (1 - HELD_OUT), rng)
            how = "by chance" if _strata(whole) is None else "by chance within each class"
            note = f"divided {how} (seed {seed}): 60 % training, 20 % validation, 20 % test"
    elif "validation" not in made:
        made["validation"], made["train"] = draw(made["train"], HELD_OUT, rng)
        note = f"has no validation part: 20 % of the training samples, drawn by chance (seed {seed}), are taken for it"
    for name, part in made.items():
        if not part.samples:
            raise InputError(f"{where}: too few samples to give the {name} part any: add more, about 5 a class or more")
    return made, note


def _strata(part: Divisible) -> np.ndarray[tuple[int], np.dtype[np.integer]] | None:
    labels = part.targets
    return labels if labels is not None and labels.ndim == 1 and labels.dtype.kind in "ui" else None


def draw(part: Divisible, share: float, rng: np.random.Generator) -> tuple[Divisible, Divisible]:
    """Draw the share of every class, rounded so that the total is right too; return the drawn and the rest."""
    strata = _strata(part)
    order = rng.permutation(part.samples)
    by_class = order if strata is None else order[np.argsort(strata[order], kind="stable")]
    drawn = np.zeros(len(order), dtype=bool)
    steps = np.floor(np.arange(len(order) + 1) * share + 0.5)
    drawn[by_class[np.diff(steps) > 0]] = True
    return part.take(np.flatnonzero(drawn)), part.take(np.flatnonzero(~drawn))
