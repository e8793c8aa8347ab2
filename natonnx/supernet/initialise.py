"""Draw a network's weights anew, by the schemes that torch's own layers use: where training from scratch starts."""

import math
from collections.abc import Callable, Iterator, Mapping
from typing import Any, NamedTuple

import onnx
import torch
from torch import Tensor

from natonnx.supernet.module import Supernet

__all__ = ["initial_weights"]

_PRELU = 0.25
"""Slope of PRelu: He et al. 2015, and torch.nn.PReLU."""

_Shape = tuple[int, ...]


class _Use(NamedTuple):
    """A tensor as a node reads it.

    Attributes:
        node: The node.
        position: Which of its inputs the tensor is.
        shape: Of the tensor.
        weight: Shape of the node's second input, whose fan-in biases go by too; the tensor's own where it is none.
    """

    node: onnx.NodeProto
    position: int
    shape: _Shape
    weight: _Shape


_Scheme = Callable[[_Use, torch.Generator], Tensor]


def initial_weights(supernet: Supernet, seed: int) -> dict[str, Tensor]:
    """Draw all that training can change.

    Fan-ins are those of β: an α that lost members of a concat starts from the same numbers as β.

    Args:
        supernet: The network, in any state; it stays as it is.
        seed: Of all draws.

    Returns:
        Tensors by ONNX name, on the CPU, of the shapes and types that `Supernet.named_tensors` has.
    """
    generator = torch.Generator().manual_seed(seed)
    held, found = supernet.named_tensors(), {}
    for name, use in _uses(supernet).items():
        if name in held:
            found[name] = _SCHEMES[use.node.op_type](use, generator).to(held[name].dtype)
    return found


def _uses(supernet: Supernet) -> dict[str, _Use]:
    """Return how each constant is read first, by name, where a node reads it that is not kept from training."""
    network, found = supernet.network, dict[str, _Use]()
    source, kept = network.computed.source, {*network.constant_nodes, *network.frozen}
    shapes = {name: tuple(value.shape) for name, value in supernet.constants().items()}
    for i, node in enumerate(network.extended.graph.node):
        names = [source(name) for name in node.input]
        for position, name in enumerate(names):
            if i not in kept and name in shapes and name not in found:
                found[name] = _Use(node, position, shapes[name], shapes.get(names[1], shapes[name]))
    return found


def _uniform(shape: _Shape, fan: float, generator: torch.Generator) -> Tensor:
    """U(±1/√fan)."""
    bound = 1 / math.sqrt(max(1.0, fan))
    return torch.empty(shape).uniform_(-bound, bound, generator=generator)


def _by_fan_in(fan_in: Callable[[_Use, _Shape], int]) -> _Scheme:
    """U(±1/√fan-in), weights and biases: `kaiming_uniform_(a=√5)` in `reset_parameters` of torch's layers."""

    def draw(use: _Use, generator: torch.Generator) -> Tensor:
        is_factor = use.position in (0, 1)  # else a bias
        return _uniform(use.shape, fan_in(use, use.shape if is_factor else use.weight), generator)

    return draw


def _of_convolution(_use: _Use, shape: _Shape) -> int:
    """Of [out, in, ...]; of a transposed one, [in, out, ...], torch takes the second axis too."""
    return math.prod(shape[1:])


def _of_gemm(use: _Use, shape: _Shape) -> int:
    """Of B, [in, out], or [out, in] where the node transposes it."""
    return shape[1] if _attribute(use, "transB", 0) else shape[0]


def _of_product(use: _Use, shape: _Shape) -> int:
    """Of the axis that a matrix product sums over."""
    return shape[-1] if use.position == 0 or len(shape) == 1 else shape[-2]


def _of_einsum(use: _Use, shape: _Shape) -> int:
    """Of the axes that the equation sums over."""
    terms, _, result = _attribute(use, "equation", b"").decode().replace(" ", "").partition("->")
    own = terms.split(",")[use.position]
    if "." in own:
        return shape[-1]
    return math.prod(size for label, size in zip(own, shape, strict=True) if label not in result)


def _recurrent(use: _Use, generator: torch.Generator) -> Tensor:
    """U(±1/√hidden), as torch.nn.LSTM, GRU and RNN."""
    return _uniform(use.shape, _attribute(use, "hidden_size", use.shape[-1]), generator)


def _normal(use: _Use, generator: torch.Generator) -> Tensor:
    """N(0, 1), as torch.nn.Embedding."""
    return torch.empty(use.shape).normal_(generator=generator)


def _constant(*values: float) -> _Scheme:
    """One number for each input behind the first, or one for whatever input it is."""
    return lambda use, _generator: torch.full(use.shape, values[use.position - 1 if len(values) > 1 else 0])


def _attribute(use: _Use, name: str, default: Any) -> Any:
    found = (onnx.helper.get_attribute_value(one) for one in use.node.attribute if one.name == name)
    return next(found, default)


def _schemes() -> Iterator[tuple[str, _Scheme]]:
    for kind in ("Conv", "ConvTranspose", "DeformConv"):
        yield kind, _by_fan_in(_of_convolution)
    yield "Gemm", _by_fan_in(_of_gemm)
    yield "MatMul", _by_fan_in(_of_product)
    yield "Einsum", _by_fan_in(_of_einsum)
    for kind in ("LSTM", "GRU", "RNN"):
        yield kind, _recurrent
    yield "BatchNormalization", _constant(1.0, 0.0, 0.0, 1.0)  # scale, shift, running mean, running variance
    for kind in ("InstanceNormalization", "LayerNormalization", "GroupNormalization"):
        yield kind, _constant(1.0, 0.0)
    yield "RMSNormalization", _constant(1.0)
    yield "PRelu", _constant(_PRELU)
    yield "Gather", _normal
    for kind in ("Add", "Sub"):  # a bias of its own, or the shift of a normalisation that is spelled out
        yield kind, _constant(0.0)
    for kind in ("Mul", "Div"):  # its scale
        yield kind, _constant(1.0)


_SCHEMES: Mapping[str, _Scheme] = dict(_schemes())
"""By operator, one for each of `natonnx.frontend.vocabulary.TRAINABLE`."""
