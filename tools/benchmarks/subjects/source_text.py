"""Python's own library as text to learn from: stretches of modules, as hashed words."""

import functools
import importlib.util
import re
import zlib
from pathlib import Path
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

__all__ = ["Sentences", "sentences"]

_MODULES = ("argparse", "ast", "_pydecimal", "difflib", "email", "pydoc", "statistics", "tarfile", "turtle", "typing")
"""Modules of the standard library."""

_WORD = re.compile(r"[A-Za-z]+|[0-9]+|[^\sA-Za-z0-9]")
_STRETCHES = {"train": (0.0, 0.6), "val": (0.62, 0.78), "test": (0.8, 1.0)}


class Sentences(NamedTuple):
    """Tokens and their mask ``[N, T]``, int64."""

    tokens: npt.NDArray[np.int64]
    mask: npt.NDArray[np.int64]


def sentences(
    generator: np.random.Generator, count: int, part: str, length: int, vocabulary: int
) -> tuple[Sentences, Sentences]:
    """Cut two neighbouring stretches of words for each row; a word is a token by its CRC-32, 0 is padding.

    Args:
        generator: Chooses modules, places and lengths.
        count: Rows.
        part: The parts are cut from pieces of each module that do not overlap.
        length: Most words of a stretch.
        vocabulary: Number of tokens.
    """
    pair = [Sentences(*(np.zeros((count, length), np.int64) for _ in range(2))) for _ in range(2)]
    for row in range(count):
        words = _words(str(generator.choice(_MODULES)), part)
        start = int(generator.integers(0, len(words) - 2 * length))
        for i, (tokens, mask) in enumerate(pair):
            size = int(generator.integers(length // 2, length + 1))
            chosen = words[start + i * length : start + i * length + size]
            tokens[row, :size] = [1 + zlib.crc32(word.encode()) % (vocabulary - 1) for word in chosen]
            mask[row, :size] = 1
    return pair[0], pair[1]


@functools.cache
def _stretch(module: str, part: str) -> str:
    """Return the part's stretch of a module's source, blanks made one, ASCII only."""
    spec = importlib.util.find_spec(module)
    assert spec is not None
    assert spec.origin is not None
    origin = Path(spec.origin)
    paths = sorted(origin.parent.glob("*.py")) if origin.name == "__init__.py" else [origin]
    text = " ".join(" ".join(path.read_text(encoding="utf-8") for path in paths).split())
    text = "".join(letter for letter in text if 32 <= ord(letter) < 127)
    low, high = _STRETCHES[part]
    return text[int(low * len(text)) : int(high * len(text))]


@functools.cache
def _words(module: str, part: str) -> list[str]:
    return _WORD.findall(_stretch(module, part))
