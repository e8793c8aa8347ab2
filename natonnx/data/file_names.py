"""Names of very many files: the text of a folder's in one piece, eight bytes each beside what is written there."""

from bisect import bisect_right
from collections.abc import Iterable, Iterator, Sequence
from itertools import accumulate
from typing import NamedTuple, overload

import numpy as np
import numpy.typing as npt

__all__ = ["FileNames"]

_AT_ONCE = 4096
"""Names that are made text at once where all are read."""


class _Group(NamedTuple):
    """Names that begin alike: the text of all with NULs between, and where each ends in it."""

    begin: str
    text: bytes
    ends: npt.NDArray[np.int64]


class FileNames(Sequence[str]):
    """Names by position.

    Args:
        groups: Names that begin alike.

    Example:
        >>> names = FileNames.joined([FileNames.of(["0.png", "1.png"], "a/"), FileNames.of(["2.png"], "b/")])
        >>> len(names), names[2], names[:2]
        (3, 'b/2.png', ['a/0.png', 'a/1.png'])
    """

    def __init__(self, groups: Sequence[_Group] = ()) -> None:
        self.groups = groups
        self._firsts = [0, *accumulate(len(group.ends) for group in groups)]

    @classmethod
    def of(cls, names: Sequence[str], begin: str = "") -> "FileNames":
        """Hold names, none with a NUL, each behind what all begin with."""
        if not names:
            return cls()
        text = "\0".join(names).encode(errors="surrogateescape")
        return cls([_Group(begin, text, np.append(np.flatnonzero(np.frombuffer(text, np.uint8) == 0), len(text)))])

    @classmethod
    def joined(cls, several: Iterable["FileNames"]) -> "FileNames":
        """Return all names, one sequence behind the other; their text is shared."""
        return cls([group for one in several for group in one.groups])

    def __len__(self) -> int:
        return self._firsts[-1]

    @overload
    def __getitem__(self, position: int) -> str: ...
    @overload
    def __getitem__(self, position: slice) -> list[str]: ...
    def __getitem__(self, position: int | slice) -> str | list[str]:
        if isinstance(position, slice):
            first, last, step = position.indices(len(self))
            return [*self._between(first, last)] if step == 1 else [self[i] for i in range(first, last, step)]
        at = range(len(self))[position]
        return next(self._between(at, at + 1))

    def __iter__(self) -> Iterator[str]:
        for first in range(0, len(self), _AT_ONCE):
            yield from self._between(first, min(first + _AT_ONCE, len(self)))

    def _between(self, first: int, last: int) -> Iterator[str]:
        """Yield the names from a position to another one, which are text at once."""
        position = bisect_right(self._firsts, first) - 1
        while first < last:
            group, begun = self.groups[position], self._firsts[position]
            until = min(last - begun, len(group.ends))
            begin = int(group.ends[first - begun - 1]) + 1 if first > begun else 0
            text = group.text[begin : int(group.ends[until - 1])].decode(errors="surrogateescape")
            yield from (group.begin + name for name in text.split("\0"))
            first, position = begun + until, position + 1
