"""RNN, GRU and LSTM against onnxruntime, and their gradients against torch's own layers."""

from __future__ import annotations

from itertools import product
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import torch
from onnx import helper
from torch import nn

from natonnx.supernet.ops import OpSpec, UnsupportedOpError, build
from tests.supernet.oracle import agrees, array, leaf, one_node
from tools.conformance.onnx_cases import interpret

if TYPE_CHECKING:
    from collections.abc import Sequence

TIME, BATCH, FEATURES, HIDDEN = 6, 3, 5, 4
GATES = {"RNN": 1, "GRU": 3, "LSTM": 4}
DIRECTIONS = {"forward": 1, "reverse": 1, "bidirectional": 2}
OUTPUTS = {"RNN": 2, "GRU": 2, "LSTM": 3}
VARIANTS: list[tuple[str, dict[str, Any]]] = [
    ("RNN", {}),
    ("RNN", {"clip": 0.3}),
    ("GRU", {}),
    ("GRU", {"linear_before_reset": 1}),
    ("GRU", {"linear_before_reset": 1, "clip": 0.3}),
    ("LSTM", {}),
    ("LSTM", {"clip": 0.3}),
    ("LSTM", {"input_forget": 1}),
]


def operands(
    op_type: str,
    directions: int,
    *,
    bias: bool = True,
    lengths: Sequence[int] | None = None,
    states: bool = True,
    peepholes: bool = False,
) -> list[np.ndarray | None]:
    """Make the inputs of a recurrent layer."""
    rows = GATES[op_type] * HIDDEN
    inputs: list[np.ndarray | None] = [
        array(TIME, BATCH, FEATURES),
        array(directions, rows, FEATURES, seed=1),
        array(directions, rows, HIDDEN, seed=2),
        array(directions, 2 * rows, seed=3) if bias else None,
        None if lengths is None else np.array(lengths, "i4"),
    ]
    inputs += [
        array(directions, BATCH, HIDDEN, seed=4 + seed) if states else None for seed in range(OUTPUTS[op_type] - 1)
    ]
    if peepholes:
        inputs.append(array(directions, 3 * HIDDEN, seed=7))
    return inputs


@pytest.mark.parametrize("direction", DIRECTIONS)
@pytest.mark.parametrize(("op_type", "attributes"), VARIANTS)
def test_layers_equal_onnxruntime(op_type: str, attributes: dict[str, Any], direction: str) -> None:
    """Fused and step by step, full sequences and short ones, with all optional inputs and outputs or without."""
    lengths: Sequence[list[int] | None] = (None, [TIME] * BATCH, [6, 2, 4])
    for opset, given, bias, states in product((7, 14), lengths, (True, False), (True, False)):
        inputs = operands(op_type, DIRECTIONS[direction], bias=bias, lengths=given, states=states)
        settings = {"hidden_size": HIDDEN, "direction": direction, **attributes}
        agrees(op_type, *inputs, opset=opset, n_outputs=OUTPUTS[op_type], **settings)


@pytest.mark.parametrize("attributes", [{}, {"clip": 0.3}, {"input_forget": 1}, {"direction": "bidirectional"}])
def test_peepholes_equal_onnxruntime(attributes: dict[str, Any]) -> None:
    inputs = operands("LSTM", DIRECTIONS[attributes.get("direction", "forward")], peepholes=True)
    agrees("LSTM", *inputs, n_outputs=3, hidden_size=HIDDEN, **attributes)


@pytest.mark.parametrize(
    ("op_type", "names", "alpha", "beta"),
    [
        ("RNN", ["Relu"], [], []),
        ("RNN", ["LeakyRelu"], [0.2], []),
        ("RNN", ["Affine"], [0.4], [0.1]),
        ("RNN", ["ThresholdedRelu"], [0.5], []),
        ("RNN", ["ScaledTanh"], [0.7], [0.8]),
        ("RNN", ["HardSigmoid"], [], []),
        ("GRU", ["Sigmoid", "Softsign"], [], []),
        ("GRU", ["HardSigmoid", "Elu"], [0.3, 0.9], [0.4]),
        ("LSTM", ["HardSigmoid", "ScaledTanh", "Elu"], [0.3, 0.7, 0.9], [0.4, 0.8]),
        ("LSTM", ["sigmoid", "tanh", "Softplus"], [], []),
    ],
)
def test_activations_equal_onnxruntime(op_type: str, names: list[str], alpha: list[float], beta: list[float]) -> None:
    settings: dict[str, Any] = {"activations": names * 2}
    settings |= {
        name: values * 2 for name, values in (("activation_alpha", alpha), ("activation_beta", beta)) if values
    }
    inputs = operands(op_type, 2)
    agrees(op_type, *inputs, n_outputs=OUTPUTS[op_type], hidden_size=HIDDEN, direction="bidirectional", **settings)


@pytest.mark.parametrize("op_type", GATES)
@pytest.mark.parametrize("lengths", [None, [6, 2, 4]])
def test_layout_puts_the_batch_first(op_type: str, lengths: list[int] | None) -> None:
    """onnxruntime refuses that layout, so the other one is the oracle."""
    inputs = operands(op_type, 2, lengths=lengths)
    settings: dict[str, Any] = {"hidden_size": HIDDEN, "direction": "bidirectional", "n_outputs": OUTPUTS[op_type]}
    swapped = [
        value.swapaxes(0, 1) if value is not None and position in {0, 5, 6} else value
        for position, value in enumerate(inputs)
    ]
    usual, batch_first = (
        interpret(one_node(op_type, given, 14, layout=layout, **settings), [v for v in given if v is not None])
        for layout, given in enumerate((inputs, swapped))
    )
    torch.testing.assert_close(batch_first[0], usual[0].permute(2, 0, 1, 3))
    for state, expected in zip(batch_first[1:], usual[1:], strict=True):
        torch.testing.assert_close(state, expected.transpose(0, 1))


@pytest.mark.parametrize("clip", [None, 1e6], ids=["fused", "steps"])
@pytest.mark.parametrize(
    ("op_type", "native", "order"),
    [
        ("RNN", nn.RNN(FEATURES, HIDDEN, bidirectional=True), [0]),
        ("GRU", nn.GRU(FEATURES, HIDDEN, bidirectional=True), [1, 0, 2]),
        ("LSTM", nn.LSTM(FEATURES, HIDDEN, bidirectional=True), [0, 3, 1, 2]),
    ],
    ids=GATES,
)
def test_gradients_equal_torch(op_type: str, native: nn.RNNBase, order: list[int], clip: float | None) -> None:
    """The input and the weights of both directions get the gradients that torch's layer gives."""

    def to_onnx(values: list[torch.Tensor]) -> torch.Tensor:
        return torch.stack([value.reshape(-1, HIDDEN, *value.shape[1:])[order].flatten(0, 1) for value in values])

    names = ("weight_ih", "weight_hh", "bias_ih", "bias_hh")
    native.zero_grad()
    parameters = [[getattr(native, f"{name}_l0{suffix}") for suffix in ("", "_reverse")] for name in names]
    inputs = [leaf(torch.from_numpy(array(TIME, BATCH, FEATURES))), *(leaf(to_onnx(pair)) for pair in parameters)]
    x, weight, recurrence, *biases = inputs
    settings: dict[str, Any] = {"hidden_size": HIDDEN, "direction": "bidirectional"}
    settings |= {} if clip is None else {"clip": clip}
    settings |= {"linear_before_reset": 1} if op_type == "GRU" else {}
    kernel = build(OpSpec.from_node(helper.make_node(op_type, ["x", "w", "r", "b"], ["y"], **settings), 14))
    result = kernel(x, weight, recurrence, torch.cat(biases, 1))
    assert isinstance(result, torch.Tensor)
    theirs = leaf(x)
    expected = native(theirs)[0].reshape(TIME, BATCH, 2, HIDDEN).transpose(1, 2)
    torch.testing.assert_close(result, expected)
    upstream = torch.from_numpy(array(*result.shape, seed=9))
    torch.autograd.backward([result, expected], [upstream, upstream])
    for own, gradient in zip(
        inputs, [theirs.grad, *(to_onnx([p.grad for p in pair]) for pair in parameters)], strict=True
    ):
        torch.testing.assert_close(own.grad, gradient)


@pytest.mark.parametrize(
    ("attributes", "reason"),
    [
        ({"direction": "sideways"}, "direction 'sideways'"),
        ({"activations": ["Step", "Tanh", "Tanh"]}, "activation 'Step'"),
        ({"activations": ["Affine", "Tanh", "Tanh"]}, "without alpha and beta"),
        ({"activations": ["Sigmoid"]}, "1 activations"),
    ],
)
def test_what_is_undefined_is_refused(attributes: dict[str, Any], reason: str) -> None:
    node = helper.make_node("LSTM", ["x", "w", "r"], ["y"], hidden_size=HIDDEN, **attributes)
    with pytest.raises(UnsupportedOpError, match=reason):
        build(OpSpec.from_node(node, 14))
