"""Values of feature maps that hang on those of their neighbours: renewed only where something has changed."""

from collections.abc import Callable, Iterable
from heapq import heapify, heappop, heappush

__all__ = ["settle"]


def settle(
    changed: Iterable[int],
    renew: Callable[[int], bool],
    onward: Callable[[int], Iterable[int]],
    *,
    backward: bool = False,
) -> list[int]:
    """Renew values in topological order, from where something has changed to where nothing changes any more.

    Args:
        changed: Positions of the maps whose values may be others now.
        renew: Finds the value of a map anew, and tells whether it is another one.
        onward: The maps whose values hang on a map's, all of them after it.
        backward: Whether they are all before it.

    Returns:
        The maps whose values are others.
    """
    sign = -1 if backward else 1
    known = {sign * i for i in changed}
    waiting = list(known)
    heapify(waiting)
    found: list[int] = []
    while waiting:
        i = sign * heappop(waiting)
        if not renew(i):
            continue
        found.append(i)
        for following in onward(i):
            if sign * following not in known:
                known.add(sign * following)
                heappush(waiting, sign * following)
    return found
