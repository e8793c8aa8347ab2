"""Recurrent layers: RNN, GRU and LSTM, in one or both directions."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch import Tensor
from torch.nn import functional

from natonnx.supernet.ops.operands import reverse_sequences
from natonnx.supernet.ops.placement import moved
from natonnx.supernet.ops.recurrent_cells import CellWeights, activations, make_cell
from natonnx.supernet.ops.registry import register

if TYPE_CHECKING:
    from collections.abc import Sequence

    from natonnx.supernet.ops.recurrent_cells import Cell, States
    from natonnx.supernet.ops.registry import Kernel, OpSpec

_DIRECTIONS = {"forward": (False,), "reverse": (True,), "bidirectional": (False, True)}
_ACTIVATIONS = {"RNN": ("Tanh",), "GRU": ("Sigmoid", "Tanh"), "LSTM": ("Sigmoid", "Tanh", "Tanh")}
_TORCH_GATES = {"RNN": [0], "GRU": [1, 0, 2], "LSTM": [0, 2, 3, 1]}
"""Where torch's gates stand among ONNX's: r, z, n among z, r, h, and i, f, g, o among i, o, f, c."""


@dataclass(frozen=True)
class _Operands:
    """The inputs of a recurrent layer with D directions and G gates, time first.

    Attributes:
        x: [time, batch, features].
        weight: [D, G * hidden, features].
        recurrence: [D, G * hidden, hidden].
        bias: [D, 2 * G * hidden]: for the input first, then for the recurrence; None for zeros.
        lengths: [batch], or None where every sequence is full.
        states: The initial hidden state and, in an LSTM, cell state: [D, batch, hidden] each.
        peepholes: [D, 3 * hidden], or None.
    """

    x: Tensor
    weight: Tensor
    recurrence: Tensor
    bias: Tensor | None
    lengths: Tensor | None
    states: States
    peepholes: Tensor | None


@register("RNN", "GRU", "LSTM", host=(4,))
def recurrent(spec: OpSpec) -> Kernel:
    """Run a recurrent layer: by torch's fused layer where that is the same function, else step by step.

    Fused are default activations (for an RNN also Relu) and full sequences without clipping, peepholes and coupled
    gates; of the GRUs, those that reset after the linear map. Beyond the end of a sequence outputs are zero.
    """
    text = spec.text("direction", "forward")
    if text not in _DIRECTIONS:
        raise spec.unsupported(f"direction '{text}'")
    directions = _DIRECTIONS[text]
    batch_first = bool(spec.integer("layout"))
    names = spec.attributes.get("activations") or _ACTIVATIONS[spec.op_type] * len(directions)
    functions = activations(spec, names)
    per_direction = len(_ACTIVATIONS[spec.op_type])
    if len(functions) != per_direction * len(directions):
        raise spec.unsupported(f"{len(functions)} activations for {len(directions)} direction(s)")
    cells = [make_cell(spec, functions[at : at + per_direction]) for at in range(0, len(functions), per_direction)]
    fused = _fused_name(spec, names)

    def kernel(
        x: Tensor,
        weight: Tensor,
        recurrence: Tensor,
        bias: Tensor | None = None,
        lengths: Tensor | None = None,
        *more: Tensor | None,
    ) -> Tensor | tuple[Tensor, ...]:
        n_states = 2 if spec.op_type == "LSTM" else 1
        given = (*more, None, None, None)
        x = x.transpose(0, 1) if batch_first else x
        shape = (len(directions), x.shape[1], recurrence.shape[-1])
        states = tuple(_initial(state, x, shape, batch_first=batch_first) for state in given[:n_states])
        if lengths is not None and bool((lengths == x.shape[0]).all()):
            lengths = None
        operands = _Operands(x, weight, recurrence, bias, lengths, states, given[n_states])
        if fused and lengths is None and operands.peepholes is None:
            y, finals = _run_fused(fused, operands, _TORCH_GATES[spec.op_type], directions)
        else:
            y, finals = _run_steps(operands, cells, directions)
        if batch_first:
            y, finals = y.permute(2, 0, 1, 3), tuple(state.transpose(0, 1) for state in finals)
        outputs = (y, *finals)[: spec.n_outputs]
        return outputs if len(outputs) > 1 else y

    return kernel


def _initial(state: Tensor | None, x: Tensor, shape: tuple[int, ...], *, batch_first: bool) -> Tensor:
    """Return an initial state, [D, batch, hidden]; zeros where the node gives none."""
    if state is None:
        return x.new_zeros(shape)
    return state.transpose(0, 1).contiguous() if batch_first else state


def _fused_name(spec: OpSpec, names: Sequence[str]) -> str | None:
    """Return the name of torch's fused layer that does what a node asks for, or None."""
    if spec.attributes.get("clip") or spec.integer("input_forget"):
        return None
    kinds = {name.lower() for name in names}
    if spec.op_type == "RNN":
        return f"rnn_{kinds.pop()}" if kinds in ({"tanh"}, {"relu"}) else None
    default = [name.lower() for name in _ACTIVATIONS[spec.op_type]]
    if [name.lower() for name in names] != default * (len(names) // len(default)):
        return None
    if spec.op_type == "GRU" and not spec.integer("linear_before_reset"):
        return None
    return spec.op_type.lower()


def _run_fused(
    name: str, operands: _Operands, gates: Sequence[int], directions: Sequence[bool]
) -> tuple[Tensor, States]:
    """Run torch's own layer; a lone reverse direction is a forward one over the reversed input.

    Args:
        name: The function in torch.
        operands: The inputs of the layer.
        gates: The order of the gates.
        directions: Whether each direction runs backwards.

    Returns:
        The outputs, [time, D, batch, hidden], and the final states, [D, batch, hidden] each.
    """
    x, hidden = operands.x, operands.recurrence.shape[-1]
    backwards = directions == (True,)
    parameters = []
    for at in range(len(directions)):
        blocks = [operands.weight[at], operands.recurrence[at]]
        if operands.bias is not None:
            blocks += operands.bias[at].chunk(2)
        parameters += [_in_order(block, hidden, gates) for block in blocks]
    states = operands.states if len(operands.states) > 1 else operands.states[0]
    biased, bidirectional, for_backward = operands.bias is not None, len(directions) == 2, torch.is_grad_enabled()
    y, *finals = getattr(torch, name)(
        x.flip(0) if backwards else x, states, parameters, biased, 1, 0.0, for_backward, bidirectional, False
    )
    y = y.reshape(*y.shape[:2], len(directions), hidden).transpose(1, 2)
    return y.flip(0) if backwards else y, tuple(finals)


def _in_order(block: Tensor, hidden: int, gates: Sequence[int]) -> Tensor:
    """Return a weight or bias with its gates in another order."""
    return torch.cat([block.narrow(0, gate * hidden, hidden) for gate in gates])


def _run_steps(operands: _Operands, cells: Sequence[Cell], directions: Sequence[bool]) -> tuple[Tensor, States]:
    """Run every direction step by step; returns what `_run_fused` does."""
    runs = [_run_direction(operands, at, cells[at], backwards=directions[at]) for at in range(len(directions))]
    y = torch.stack([outputs for outputs, _ in runs], 1)
    return y, tuple(torch.stack(states) for states in zip(*(states for _, states in runs), strict=True))


def _run_direction(operands: _Operands, at: int, cell: Cell, *, backwards: bool) -> tuple[Tensor, States]:
    """Run one direction.

    Args:
        operands: The inputs of the layer.
        at: Which direction.
        cell: Its step.
        backwards: Whether it starts at the end of each sequence.

    Returns:
        The outputs, [time, batch, hidden], and the final states, [batch, hidden] each.
    """
    x, lengths = operands.x, operands.lengths
    if lengths is None:
        lengths = torch.full((x.shape[1],), x.shape[0])
    bias, recurrent_bias = (None, None) if operands.bias is None else operands.bias[at].chunk(2)
    peepholes = None if operands.peepholes is None else operands.peepholes[at]
    weights = CellWeights(operands.recurrence[at], recurrent_bias, peepholes)
    inputs = functional.linear(reverse_sequences(x, lengths) if backwards else x, operands.weight[at], bias)
    shortest = int(lengths.min())
    limits = moved(lengths, x.device).unsqueeze(-1)
    states = tuple(state[at] for state in operands.states)
    outputs = []
    for time, step_inputs in enumerate(inputs):
        made = cell(step_inputs, states, weights)
        if time < shortest:
            states, output = made, made[0]
        else:
            runs = time < limits
            states = tuple(torch.where(runs, new, old) for new, old in zip(made, states, strict=True))
            output = made[0] * runs
        outputs.append(output)
    y = torch.stack(outputs)
    return reverse_sequences(y, lengths) if backwards else y, states
