"""Describe the operation of an edge: kind, geometry, weights and multiply-adds."""

from collections.abc import Sequence
from math import prod

from natonnx.architecture import Operation
from natonnx.frontend.view import GraphView
from natonnx.frontend.vocabulary import AFFINE, COMPUTE

__all__ = ["describe", "describe_branch", "madds", "prepares_input"]


def describe(view: GraphView, nodes: Sequence[int]) -> Operation:
    """Describe the operation that a run of nodes carries out; the first compute operator gives its kind and geometry.

    Args:
        view: The graph.
        nodes: Positions of its nodes: prefix, compute operator (two for a separable convolution), suffix.
    """
    compute = [i for i in nodes if view.kind(i) in COMPUTE]
    head = compute[0]
    counts = [madds(view, i) for i in compute]
    return Operation(
        kind=view.kind(head),
        kernel=_kernel(view, head),
        stride=view.ints(head, "strides", (1,) * len(_kernel(view, head))),
        groups=_groups(view, head),
        weights=tuple(weight for i in nodes for weight in view.weights(i)),
        madds=None if None in counts else sum(count for count in counts if count is not None),
    )


def describe_branch(view: GraphView, nodes: Sequence[int]) -> Operation:
    """Describe the operation of a whole branch, of any nodes."""
    counts = [madds(view, i) for i in nodes if len(view.variable_inputs(i)) == 1]
    return Operation(
        kind="Branch",
        weights=tuple(weight for i in nodes if not prepares_input(view, i) for weight in view.weights(i)),
        madds=None if None in counts else sum(count for count in counts if count is not None),
    )


def prepares_input(view: GraphView, node: int) -> bool:
    """Whether a node normalises the model's input by constants, which are then preprocessing and no weights."""
    return view.kind(node) in AFFINE and view.reads_only_inputs(node)


def _kernel(view: GraphView, node: int) -> tuple[int, ...]:
    proto = view.nodes[node]
    if view.kind(node) in {"Conv", "ConvTranspose"}:
        return tuple(size for size in view.shape(proto.input[1])[2:] if isinstance(size, int))
    return view.ints(node, "kernel_shape")


def _groups(view: GraphView, node: int) -> int:
    groups = view.attribute(node, "group", 1)
    return groups if isinstance(groups, int) else 1


def madds(view: GraphView, node: int) -> int | None:
    """Multiply-adds per sample of one node (see natonnx.architecture.cost for the conventions)."""
    proto = view.nodes[node]
    if view.kind(node) not in {"Conv", "ConvTranspose", "Gemm", "MatMul"}:
        return 0
    weight = view.shape(proto.input[1])
    if not weight or not view.shape(proto.input[0]) or not view.shape(proto.output[0]):
        return None
    if view.kind(node) == "ConvTranspose":  # weight [in, out / groups, *kernel], once per input position
        return _product(view.shape(proto.input[0])[1:], weight[1:])
    if view.kind(node) == "Conv":  # weight [out, in / groups, *kernel], once per output position
        return _product(view.shape(proto.output[0])[1:], weight[1:])
    if view.kind(node) == "Gemm":
        return _product(weight)
    rows = view.shape(proto.output[0])[1:]
    return _product(rows, weight[-2:-1] if len(weight) > 1 else weight)


def _product(*shapes: Sequence[int | str | None]) -> int | None:
    sizes = [size for shape in shapes for size in shape]
    return prod(size for size in sizes if isinstance(size, int)) if all(isinstance(s, int) for s in sizes) else None
