"""Recognise, in an ONNX graph, the nodes that the rewriter writes for a parameter-free skip."""

import contextlib

import numpy as np

from natonnx.architecture import Skip, match_skip
from natonnx.errors import InputError
from natonnx.frontend.channel_parts import takes_all
from natonnx.frontend.constants import constant_values
from natonnx.frontend.view import GraphView

__all__ = ["constant_value", "find_skip", "skip_run"]

_JOINING = frozenset({"Concat", "Max", "Mean", "Min", "Sum"})
"""Operators of any number of tensors, which hand on a single one."""

_FIRST_POOLING = 7
"""The first opset whose AveragePool onnxruntime has."""


def find_skip(view: GraphView, source: str, target: str) -> tuple[Skip | None, str]:
    """What an edge carries as S, and where there is nothing, why not: `Edge.skip` and `no_skip`.

    Args:
        view: The graph.
        source: The tensor that the edge reads.
        target: The tensor that it makes.
    """
    before, after = view.shape(source), view.shape(target)
    for name, shape in ((source, before), (target, after)):
        if not shape and view.is_known(name):
            return None, f"{name!r} is a scalar"
    if not view.same_type(source, target):
        return None, "a skip keeps the type of the elements, which differs"
    skip = match_skip(before, after)
    if isinstance(skip, str):
        return None, skip
    if skip.pool and view.is_double(source):
        return None, "onnxruntime has no AveragePool of float64, which the skip would take"
    if skip.pool and (opset := view.opset or 1) < _FIRST_POOLING:
        return None, f"onnxruntime has no AveragePool of opset {opset}, which the skip would take"
    return skip, ""


def skip_run(view: GraphView, start: int) -> tuple[int, ...]:
    """The nodes from `start` that are exactly a parameter-free skip.

    That is an Identity, a Slice that takes all, or a sum or concat of one tensor; or an AveragePool whose kernel equals
    its stride, unpadded and dividing the size, a zero padding of channels at the end, or the one followed by the other.

    Returns:
        Positions of its nodes; () if there is no skip at `start`.
    """
    node = view.nodes[start]
    alone = view.kind(start) in _JOINING and len(node.input) == 1
    if view.kind(start) == "Identity" or alone or takes_all(view, start):
        return (start,)
    run: list[int] = []
    tensor = node.input[0] if node.input else ""
    source = view.shape(tensor)
    reader: int | None = start
    if _is_pool(view, start):
        run.append(start)
        tensor = node.output[0]
        reader = view.only_reader(tensor)
    if reader is not None and _is_channel_padding(view, reader):
        run.append(reader)
        tensor = view.nodes[reader].output[0]
    skip = match_skip(source, view.shape(tensor))
    return tuple(run) if run and isinstance(skip, Skip) and not skip.is_identity else ()


def _is_pool(view: GraphView, i: int) -> bool:
    node = view.nodes[i]
    kernel = view.ints(i, "kernel_shape")
    source, target = view.shape(node.input[0]) if node.input else (), view.shape(node.output[0])
    return (
        view.kind(i) == "AveragePool"
        and kernel == view.ints(i, "strides", (1,) * len(kernel))
        and not any(view.ints(i, "pads"))
        and view.attribute(i, "auto_pad", b"NOTSET") in (b"NOTSET", b"VALID")
        and all(size == 1 for size in view.ints(i, "dilations"))
        and len(source) == len(target) == len(kernel) + 2
        and isinstance(skip := match_skip(source, target), Skip)
        and (skip.pool or (1,) * len(kernel)) == kernel
    )


def _is_channel_padding(view: GraphView, i: int) -> bool:
    node = view.nodes[i]
    if view.kind(i) != "Pad" or view.attribute(i, "mode", b"constant") != b"constant" or len(node.input) > 3:
        return False
    value: object
    if len(node.input) > 1:
        pads = constant_value(view, node.input[1])
        value = constant_value(view, node.input[2]) if len(node.input) > 2 and node.input[2] else 0
        amounts = () if pads is None else tuple(int(size) for size in pads)
    else:
        amounts, value = view.ints(i, "pads"), view.attribute(i, "value", 0.0)
    rank = len(amounts) // 2
    return (
        value is not None
        and not bool(value)
        and rank >= 2
        and all(amount == 0 for position, amount in enumerate(amounts) if position != rank + 1)
        and amounts[rank + 1] > 0
    )


def constant_value(view: GraphView, tensor: str) -> np.ndarray | None:
    """A constant's value, computed where nodes make it, as TorchScript has them do for the amounts of a padding."""
    found = view.constant(tensor)
    if found is None and tensor in view.constants:
        with contextlib.suppress(InputError):
            found = constant_values(view.model, [tensor], view.folder)[tensor]
    return found
