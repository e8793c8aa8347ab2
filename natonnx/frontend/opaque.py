"""Why a node is kept as it is: a reason that is true of it, in one line."""

from natonnx.architecture import Shape
from natonnx.frontend import vocabulary
from natonnx.frontend.view import GraphView

__all__ = ["why_opaque"]

_VERBS = {"Add": "adds", "Sum": "adds", "Sub": "subtracts", "Mul": "multiplies", "Div": "divides"}

_ELEMENTWISE = vocabulary.ACTIVATIONS | vocabulary.AFFINE | vocabulary.NORMALISATIONS | vocabulary.DROPOUT


def why_opaque(view: GraphView, i: int) -> str:
    """Say why no rule of the parser takes up a node.

    Args:
        view: The graph.
        i: The node's position.
    """
    node, kind, variable = view.nodes[i], view.kind(i), list(dict.fromkeys(view.variable_inputs(i)))
    if node.domain not in vocabulary.DEFAULT_DOMAIN:
        called = "local function" if view.is_function(i) else "operator"
        return f"{called} of the domain {node.domain}"
    if any(a.HasField("g") or a.graphs for a in node.attribute):
        return "control flow"
    if not all(view.is_tensor(name) for name in (*node.input, *node.output) if name):
        return "its inputs or outputs are sequences or optional values"
    if kind in vocabulary.QUANTISED:
        return "quantised arithmetic"
    if not variable:
        return "it makes random numbers, or reads nothing that depends on the input"
    understood = kind in vocabulary.COMPUTE | vocabulary.JOINS | _ELEMENTWISE | {"Concat", "Identity"}
    if understood and not view.is_float(node.output[0]):
        return "it handles numbers that are not floating point"
    if kind in vocabulary.COMPUTE:
        return _compute(view, i, variable)
    if kind == "Concat":
        return "one of its operands is a constant"
    if len(variable) > 1 and kind in vocabulary.JOINS:
        return _sum(view, i, variable)
    if len(variable) > 1 and kind in vocabulary.AFFINE:
        return f"it {_VERBS[kind]} two tensors that both depend on the input"
    return _elementwise(view, i, variable) if kind in _ELEMENTWISE else "no transition rule for this operator"


def _compute(view: GraphView, i: int, variable: list[str]) -> str:
    node, kind = view.nodes[i], view.kind(i)
    positions = {position for position, name in enumerate(node.input) if name in variable}
    if kind in vocabulary.PRODUCTS | {"Gemm"} and {0, 1} <= positions:
        return "it multiplies two tensors that both depend on the input"
    if 0 in positions and 2 in positions:
        return "its bias depends on the input"
    if 0 not in positions:
        return "its weights depend on the input, and what they are applied to does not"
    if len(positions) > 1:
        return "its weights depend on the input"
    return "another of its outputs is used" if view.uses_further_outputs(i) else "no transition rule for its operands"


def _sum(view: GraphView, i: int, variable: list[str]) -> str:
    node = view.nodes[i]
    unknown = _unknown(view, (*variable, node.output[0]))
    if unknown:
        return unknown
    shapes = dict.fromkeys(map(view.shape, variable))
    if len(shapes) > 1:
        return f"its operands differ in shape: {' and '.join(map(_text, shapes))}"
    if view.shape(node.output[0]) not in shapes:
        return _changed(view, variable[0], node.output[0])
    return "it adds scalars"


def _elementwise(view: GraphView, i: int, variable: list[str]) -> str:
    node, source = view.nodes[i], variable[0]
    if len(variable) > 1 or (view.kind(i) not in vocabulary.AFFINE and source != node.input[0]):
        return "what it applies to a tensor depends on the input too"
    if view.uses_further_outputs(i):
        return "another of its outputs is used"
    if view.kind(i) in vocabulary.AFFINE:
        unknown = _unknown(view, (source, node.output[0]))
        if unknown:
            return unknown
        if view.reads_only_inputs(i):
            return "it prepares the model's input by a constant"
        if view.shape(source) != view.shape(node.output[0]):
            return _changed(view, source, node.output[0])
        if not view.shape(source):
            return "it computes with a scalar"
    if source in view.inputs:
        return "it reads the model's input itself"
    return f"it is no activation of its own: other nodes read {source!r} too"


def _changed(view: GraphView, source: str, made: str) -> str:
    return f"its constant changes the shape from {_text(view.shape(source))} to {_text(view.shape(made))}"


def _unknown(view: GraphView, tensors: tuple[str, ...]) -> str:
    """Say which shape is unknown, if one is."""
    for name in tensors:
        if not view.is_known(name) or None in view.shape(name):
            return f"the shape of {name!r} is unknown"
    return ""


def _text(shape: Shape) -> str:
    return f"[{', '.join(map(str, shape))}]"
