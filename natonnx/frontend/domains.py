"""Nodes that have no value for some numbers: Sqrt and Log below zero, a division by zero.

A sum that only ever held what such a node can take may hold anything once a shortcut is added to it. What becomes of
the NaN then depends on who runs it: onnxruntime's Relu makes 0 of it, torch's keeps it. So no shortcut is offered.
"""

from collections.abc import Mapping
from dataclasses import replace

import numpy as np

from natonnx.architecture import State
from natonnx.frontend.draft import Draft
from natonnx.frontend.skips import constant_value
from natonnx.frontend.view import GraphView
from natonnx.frontend.vocabulary import NORMALISATIONS

__all__ = ["guard_domains", "partial_readers"]

_WARNING = "edits before it may give it numbers that it has no value for"

_PARTIAL = frozenset({"Acos", "Acosh", "Asin", "Atanh", "Log", "Reciprocal", "Sqrt"})

_WEIGHTED = frozenset({"Conv", "ConvTranspose", "DeformConv", "Einsum", "GRU", "Gemm", "LSTM", "MatMul", "RNN"})
_CENTRED = NORMALISATIONS | {"GroupNormalization", "LayerNormalization", "LpNormalization", "MeanVarianceNormalization"}
_POSITIVE = frozenset({"Abs", "Exp", "HardSigmoid", "ReduceL1", "ReduceL2", "ReduceSumSquare", "Relu", "Sigmoid"})
_POSITIVE |= {"Softmax", "Softplus", "ThresholdedRelu"}
_LEVELLING = _WEIGHTED | _CENTRED | _POSITIVE
"""Operators whose outputs have the signs that they have whatever they read: of any sign, or of one."""


def guard_domains(draft: Draft, view: GraphView) -> None:
    """Refuse the shortcuts into maps that such nodes read, and say so at the nodes.

    Args:
        draft: Its N edges are marked, and its opaque nodes.
        view: The graph.
    """
    readers = partial_readers(view)
    if not readers:
        return
    for name, edge in draft.edges.items():
        i = readers.get(draft.map_bindings[edge.target].join_tensor)
        if i is None:
            continue
        if draft.states[name] == State.N:
            reason = f"{view.name(i)!r} ({view.kind(i)}), which it would feed, has no value for some numbers"
            draft.edges[name] = replace(edge, fixed=reason)
        elif i in draft.opaque and _WARNING not in draft.opaque[i].reason:
            draft.opaque[i] = replace(draft.opaque[i], reason=f"{draft.opaque[i].reason}; {_WARNING}")


def partial_readers(view: GraphView) -> Mapping[str, int]:
    """By tensor: the position of the first node that has no value for some numbers, and that its signs reach."""
    found: dict[str, int] = {}
    for i in reversed(range(len(view.nodes))):
        node, kind = view.nodes[i], view.kind(i)
        if kind in _LEVELLING or _is_bounded(view, i):
            continue
        beyond = next((found[name] for name in node.output if name in found), None)
        for position, name in enumerate(node.input):
            reached = i if _is_partial(view, i, position) else beyond
            if reached is not None and name not in view.constants and view.is_float(name):
                found[name] = reached
    return found


def _is_partial(view: GraphView, i: int, position: int) -> bool:
    """Whether a node has no value for some numbers at a position."""
    kind = view.kind(i)
    if kind == "Pow" and position == 0:
        exponent = constant_value(view, view.nodes[i].input[1])
        return exponent is None or bool(np.any((exponent < 0) | (exponent % 1 != 0)))
    return kind in _PARTIAL or (kind in {"Div", "Mod"} and position == 1)


def _is_bounded(view: GraphView, i: int) -> bool:
    """Whether no number below zero leaves a node: a square, or what constants keep from it."""
    node, kind = view.nodes[i], view.kind(i)
    if kind == "Mul":
        return node.input[0] == node.input[1]
    if kind == "Pow":
        exponent = constant_value(view, node.input[1])
        return exponent is not None and bool(np.all((exponent >= 0) & (exponent % 2 == 0)))
    if kind == "Clip":
        own = view.attribute(i, "min")
        least = constant_value(view, node.input[1]) if len(node.input) > 1 and node.input[1] else own
        return least is not None and bool(np.all(np.asarray(least) >= 0))
    if kind == "Max":
        limits = [constant_value(view, name) for name in node.input]
        return any(limit is not None and bool(np.all(limit >= 0)) for limit in limits)
    return False
