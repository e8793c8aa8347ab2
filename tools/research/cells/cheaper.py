"""Which operations of a cell may become which cheaper ones: the transitions of NAT++, by its released code's rules.

By type: a convolution becomes a separable one, a dilated separable one, a pooling, or any behind it in this order. By
kernel: 5×5 becomes 3×3 becomes 1×1, and none grows. But a 1×1 convolution may become a 3×3 pooling, which takes
nothing: the code's lists lack that, and cells that it published have it.
"""

import re
from collections.abc import Sequence
from typing import Literal

__all__ = ["TRANSITIONS", "Transitions", "cheaper_ops"]

Transitions = Literal["nat", "nat++"]
TRANSITIONS: tuple[Transitions, ...] = ("nat", "nat++")
"""The paper's, from an operation to skip and null alone; and those of its successor, to cheaper operations too."""

_TYPES = ("conv", "sep_conv", "dil_conv", "pool")
_OP = re.compile(r"(?:nor_|max_|avg_)?(conv|sep_conv|dil_conv|pool)_(\d)x\2")
_FACTORISED = re.compile(r"conv_(\d)x(\d)_\2x\1")


def cheaper_ops(op: str, among: Sequence[str]) -> tuple[str, ...]:
    """List the operations that another may become, in the order given.

    Args:
        op: Such as conv_3x3.
        among: Those that there are; others than convolutions and poolings are passed over.
    """
    if _FACTORISED.fullmatch(op):  # in the list of no release, but NAT++ made one of NAONet's a pooling
        return tuple(other for other in among if other.endswith("pool_3x3"))
    own = _OP.fullmatch(op)
    if own is None:
        return ()
    matches = [(other, _OP.fullmatch(other)) for other in among if other != op]
    return tuple(other for other, match in matches if match and _follows(match, own))


def _follows(other: re.Match[str], own: re.Match[str]) -> bool:
    most = max(3, int(own[2])) if other[1] == "pool" else int(own[2])
    return _TYPES.index(other[1]) >= _TYPES.index(own[1]) and int(other[2]) <= most
