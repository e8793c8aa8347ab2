"""Describe the operation of an edge: kind, geometry, weights and multiply-adds."""

import functools
from collections.abc import Mapping, Sequence
from math import prod

from natonnx.architecture import Operation, Shape
from natonnx.frontend.symbols import evaluate
from natonnx.frontend.view import GraphView
from natonnx.frontend.vocabulary import AFFINE, COMPUTE

__all__ = ["describe", "describe_branch", "madds", "prepares_input"]

_BATCHES = (7, 11)
"""Two sizes of the batch at which work is counted, to see whether it grows with it."""


def describe(view: GraphView, nodes: Sequence[int], inputs: tuple[str, ...] = ()) -> Operation:
    """Describe the operation that a run of nodes carries out; the first compute operator gives its kind and geometry.

    Args:
        view: The graph.
        nodes: Positions of its nodes: prefix, compute operator (two for a separable convolution), suffix; or one
            elementwise node.
        inputs: The feature maps that they read besides the first one.
    """
    compute = [i for i in nodes if view.kind(i) in COMPUTE] or nodes[:1]
    head = compute[0]
    counts, kernel = [madds(view, i) for i in compute], _kernel(view, head)
    return Operation(
        kind=view.kind(head),
        kernel=kernel,
        stride=view.ints(head, "strides", (1,) * len(kernel)),
        groups=_groups(view, head),
        weights=tuple(weight for i in nodes for weight in view.weights(i)),
        madds=None if None in counts else sum(count for count in counts if count is not None),
        inputs=inputs,
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
    """Multiply-adds per sample of one node (see natonnx.architecture.cost for the conventions).

    Returns:
        None where a size other than the batch is open.
    """
    proto = view.nodes[node]
    if view.kind(node) == "Einsum":
        return _einsum(view, node)
    if view.kind(node) not in {"Conv", "ConvTranspose", "Gemm", "MatMul"}:
        return 0
    source, weight, output = (view.shape(name) for name in (proto.input[0], proto.input[1], proto.output[0]))
    if not weight or not source or (not output and len(source) + len(weight) > 2):  # a dot product is a scalar
        return None
    if view.kind(node) == "ConvTranspose":  # weight [in, out / groups, *kernel], once per input position
        return _per_sample(view, (*source, *weight[1:]))
    if view.kind(node) == "Conv":  # weight [out, in / groups, *kernel], once per output position
        return _per_sample(view, (*output, *weight[1:]))
    if view.kind(node) == "Gemm":
        return _per_sample(view, (*output, weight[1 if view.attribute(node, "transB", 0) else 0]))
    if proto.input[0] in view.constants:
        return _per_sample(view, (*output, source[-1]))
    return _per_sample(view, (*output, weight[-2] if len(weight) > 1 else weight[0]))


def _einsum(view: GraphView, node: int) -> int | None:
    """A product over all labels of two operands, where a label of both is summed over; scaling counts nothing."""
    equation = view.attribute(node, "equation", b"")
    if not isinstance(equation, bytes):
        return None
    given, _, made = equation.decode(errors="replace").replace(" ", "").partition("->")
    terms, shapes = given.split(","), [view.shape(name) for name in view.nodes[node].input]
    if len(terms) != len(shapes) or not all(shapes):
        return None
    sizes: dict[str, int | str | None] = {}
    for term, shape in zip(terms, shapes, strict=True):
        before, dots, behind = term.partition("...")
        unnamed = len(shape) - len(before) - len(behind) if dots else 0  # broadcast from the last one
        labels = [*before, *(f"...{k}" for k in reversed(range(unnamed))), *behind]
        if len(labels) != len(shape):
            return None
        for label, size in zip(labels, shape, strict=True):
            sizes[label] = size if sizes.get(label, 1) == 1 else sizes[label]
    summed = set.intersection(*map(set, terms)) - {"."} - set(made)
    return _per_sample(view, tuple(sizes.values())) if summed else 0


def _per_sample(view: GraphView, sizes: Shape) -> int | None:
    """The product of sizes, divided by the batch where it grows with it; None where another size is open."""
    return _divided(sizes, view.batch_symbols, view.batch_size)


@functools.lru_cache(maxsize=1024)  # the blocks of a network are alike
def _divided(sizes: Shape, symbols: frozenset[str], own: int | None) -> int | None:
    if own is not None:
        count = _product(sizes, {})
        return count if not count or count % own else count // own  # 0 samples: no work
    batch = max(_BATCHES)
    one, two = (_product(sizes, dict.fromkeys(symbols, size)) for size in _BATCHES)
    if one is None or two is None or one == two:
        return one if one == two else None
    return two // batch if one * batch == two * min(_BATCHES) else None


def _product(sizes: Shape, values: Mapping[str, int]) -> int | None:
    found = [evaluate(size, values) for size in sizes]
    return None if None in found else prod(size for size in found if size is not None)
