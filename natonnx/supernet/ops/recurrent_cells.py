"""One time step of each recurrent layer, for what torch's fused layers cannot do."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeAlias

import torch
from torch import Tensor
from torch.nn import functional

if TYPE_CHECKING:
    from natonnx.supernet.ops.registry import OpSpec

__all__ = ["Activation", "Cell", "CellWeights", "States", "activations", "make_cell"]

States: TypeAlias = tuple[Tensor, ...]
"""The hidden state and, in an LSTM, the cell state: [batch, hidden] each."""

Activation: TypeAlias = Callable[[Tensor], Tensor]

_FUNCTIONS: dict[str, tuple[tuple[float | None, ...], Callable[..., Tensor]]] = {
    "relu": ((), torch.relu),
    "tanh": ((), torch.tanh),
    "sigmoid": ((), torch.sigmoid),
    "softsign": ((), functional.softsign),
    "softplus": ((), functional.softplus),
    "affine": ((None, None), lambda x, alpha, beta: alpha * x + beta),
    "leakyrelu": ((0.01,), functional.leaky_relu),
    "thresholdedrelu": ((1.0,), lambda x, alpha: functional.threshold(x, alpha, 0.0)),
    "scaledtanh": ((None, None), lambda x, alpha, beta: alpha * torch.tanh(beta * x)),
    "hardsigmoid": ((0.2, 0.5), lambda x, alpha, beta: (alpha * x + beta).clamp(0.0, 1.0)),
    "elu": ((1.0,), functional.elu),
}
"""The activations by lower-case name: the defaults of alpha and beta, where it takes them, and the function.

ONNX defines none for affine and scaledtanh.
"""


@dataclass(frozen=True)
class CellWeights:
    """What a step needs of one direction's weights, with G gates.

    Attributes:
        recurrence: [G * hidden, hidden].
        bias: [G * hidden], or None for zeros.
        peepholes: [3 * hidden] for the gates i, o and f, or None.
    """

    recurrence: Tensor
    bias: Tensor | None
    peepholes: Tensor | None


Cell: TypeAlias = Callable[[Tensor, States, CellWeights], States]
"""Makes the next states of the input's share in the gates, [batch, G * hidden], and the states before."""


def activations(spec: OpSpec, names: Sequence[str]) -> list[Activation]:
    """Resolve activations; the lists of alpha and beta hold values for those alone that take one.

    Args:
        spec: The node.
        names: The names of its activations, in order.

    Returns:
        The functions.

    Raises:
        UnsupportedOpError: If ONNX knows no such activation, or not its alpha and beta.
    """
    alphas, betas = (iter(spec.attributes.get(f"activation_{name}", ())) for name in ("alpha", "beta"))
    functions = []
    for name in names:
        if name.lower() not in _FUNCTIONS:
            raise spec.unsupported(f"activation '{name}'")
        defaults, function = _FUNCTIONS[name.lower()]
        arguments = [next(given, value) for given, value in zip((alphas, betas), defaults, strict=False)]
        if any(argument is None for argument in arguments):
            raise spec.unsupported(f"activation '{name}' without alpha and beta")
        functions.append(_bound(function, arguments))
    return functions


def _bound(function: Callable[..., Tensor], arguments: Sequence[float | None]) -> Activation:
    return lambda x: function(x, *arguments)


def make_cell(spec: OpSpec, functions: Sequence[Activation]) -> Cell:
    """Make the step of one direction.

    Args:
        spec: The node, an RNN, GRU or LSTM.
        functions: Its activations, in ONNX's order.

    Returns:
        The step.
    """
    threshold = spec.attributes.get("clip")
    clipped = [function if threshold is None else _clipped(function, float(threshold)) for function in functions]
    match spec.op_type:
        case "RNN":
            return _rnn(*clipped)
        case "GRU":
            return _gru(*clipped, linear_before_reset=bool(spec.integer("linear_before_reset")))
        case _:
            return _lstm(clipped[0], clipped[1], functions[2], coupled=bool(spec.integer("input_forget")))


def _clipped(function: Activation, threshold: float) -> Activation:
    return lambda x: function(x.clamp(-threshold, threshold))


def _rnn(f: Activation) -> Cell:
    def step(inputs: Tensor, states: States, weights: CellWeights) -> States:
        return (f(inputs + functional.linear(states[0], weights.recurrence, weights.bias)),)

    return step


def _gru(f: Activation, g: Activation, *, linear_before_reset: bool) -> Cell:
    """Gates z, r, h; the reset gate acts on the hidden state before or after its linear map."""

    def step(inputs: Tensor, states: States, weights: CellWeights) -> States:
        (hidden,) = states
        size = hidden.shape[-1]
        gates, candidate = inputs.split_with_sizes([2 * size, size], -1)
        r_gates, r_candidate = weights.recurrence.split_with_sizes([2 * size, size])
        b_gates, b_candidate = (None, None) if weights.bias is None else weights.bias.split_with_sizes([2 * size, size])
        update, reset = f(gates + functional.linear(hidden, r_gates, b_gates)).chunk(2, -1)
        if linear_before_reset:
            memory = reset * functional.linear(hidden, r_candidate, b_candidate)
        else:
            memory = functional.linear(reset * hidden, r_candidate, b_candidate)
        return ((1 - update) * g(candidate + memory) + update * hidden,)

    return step


def _lstm(f: Activation, g: Activation, h: Activation, *, coupled: bool) -> Cell:
    """Gates i, o, f, c; coupled input and forget gates add up to one."""

    def step(inputs: Tensor, states: States, weights: CellWeights) -> States:
        hidden, cell = states
        linear = inputs + functional.linear(hidden, weights.recurrence, weights.bias)
        at_input, at_output, at_forget, candidate = linear.chunk(4, -1)
        if weights.peepholes is not None:
            to_input, to_output, to_forget = weights.peepholes.chunk(3)
            at_input, at_forget = at_input + to_input * cell, at_forget + to_forget * cell
        accept = f(at_input)
        keep = 1 - accept if coupled else f(at_forget)
        cell = keep * cell + accept * g(candidate)
        if weights.peepholes is not None:
            at_output = at_output + to_output * cell
        return f(at_output) * h(cell), cell

    return step
