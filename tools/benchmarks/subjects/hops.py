"""A task in which depth matters: follow a function that is given as pairs, one to three times."""

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

__all__ = ["LENGTH", "NAMES", "VOCABULARY", "Questions", "questions"]

NAMES, HOPS = 8, 3
LENGTH = NAMES + 1
VOCABULARY = 1 + NAMES * NAMES + HOPS * NAMES
"""Token 0 is padding, then one token a pair (name, value), then one a question (times, name)."""


class Questions(NamedTuple):
    """Tokens and their mask ``[N, T]``, int64, and the answers ``[N]``, a name each."""

    tokens: npt.NDArray[np.int64]
    mask: npt.NDArray[np.int64]
    labels: npt.NDArray[np.int64]


def questions(generator: np.random.Generator, count: int) -> Questions:
    """Draw functions f over 5 to 8 names and ask for f(x), f(f(x)) or f(f(f(x))).

    The first token is the question, the pairs follow in any order: each time that f is applied, attention has to find
    the pair of a name that it found before.
    """
    size = generator.integers(5, NAMES + 1, (count, 1))
    names = np.arange(NAMES)[None]
    function = generator.integers(0, NAMES, (count, NAMES)) % size
    order = np.argsort(np.where(names < size, generator.random((count, NAMES)), 2.0), 1)
    pairs = np.where(names < size, 1 + order * NAMES + np.take_along_axis(function, order, 1), 0)
    times, start = generator.integers(1, HOPS + 1, count), generator.integers(0, size[:, 0])
    answer = start
    for done in range(HOPS):
        answer = np.where(times > done, function[np.arange(count), answer], answer)
    first = 1 + NAMES * NAMES + (times - 1) * NAMES + start
    tokens = np.concatenate([first[:, None], pairs], 1)
    return Questions(tokens, (tokens > 0).astype(np.int64), answer)
