"""How a node takes a cut: what it answers, as `natonnx.frontend.cut_rules` finds it."""

from dataclasses import dataclass

__all__ = ["NodeCutRule", "OperandSlice"]


@dataclass(frozen=True)
class OperandSlice:
    """An operand that loses the entries of the lost channels, `repeat` neighbouring ones a channel.

    A constant is cut itself; of a tensor that is whole, the node reads a part.
    """

    position: int
    axis: int
    repeat: int = 1


@dataclass(frozen=True)
class NodeCutRule:
    """How a node takes a cut of what it reads.

    Attributes:
        out: The axis of its outputs that gets shorter in turn (~k: that element of a list of sizes which changes); None
            where it absorbs the cut.
        repeat: How many neighbouring entries of that axis each channel becomes.
        slices: Operands that lose entries where they have not yet.
        size: Operand position and element of a constant list of sizes that must say the new one; None for none.
        grouped: Whether the attribute `group` (`num_groups`) counts the channels, or the runs of them.
        unit: Channels go in whole runs of so many neighbours; repeat, slices and group are of such runs.
        tile: How many times all of them stand along the axis that gets shorter.
        parts: Of a node that only chooses among the channels: of each output, which channel each of its entries is.
        source: The tensor that it chooses from, where that is not what it reads but what nodes before it made this of.
        alike: Of a node that reads several variable tensors: those that must have lost the same channels.
    """

    out: int | None
    repeat: int = 1
    slices: tuple[OperandSlice, ...] = ()
    size: tuple[int, int] | None = None
    grouped: bool = False
    unit: int = 1
    tile: int = 1
    parts: tuple[tuple[int, ...], ...] = ()
    source: str = ""
    alike: frozenset[str] = frozenset()
