"""Torch's own layers in the place of ONNX nodes, wherever they are the same function.

Tools know layers by their classes: what prunes, quantises or adapts an `nn.Conv2d` or `nn.Linear` does so here.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

import numpy as np
from torch import Tensor, nn

from natonnx.architecture import Shape
from natonnx.module.operator import Border, Embedding
from natonnx.supernet.ops import OpSpec
from natonnx.supernet.ops.geometry import Window

__all__ = ["Layer", "Node", "layer_of", "linear"]


@dataclass(frozen=True)
class Node:
    """A node as the makers of layers see it.

    Attributes:
        spec: The node.
        inputs: Names of its inputs, "" for an absent one.
        own: The weights and running statistics that it alone reads, by name.
        numbers: Constants of one element by name.
        constants: Small constants of whole numbers by name.
        shapes: Inferred shape of every tensor.
        is_float: Whether its first input holds floating-point numbers.
    """

    spec: OpSpec
    inputs: tuple[str, ...]
    own: Mapping[str, Tensor]
    numbers: Mapping[str, float]
    constants: Mapping[str, Tensor]
    shapes: Mapping[str, Shape]
    is_float: bool

    def input(self, i: int) -> str:
        """Return the name of an input, "" where it is absent."""
        return self.inputs[i] if i < len(self.inputs) else ""

    def rank(self) -> int | None:
        """Return how many axes its first input has; None where that is not known."""
        shape = self.shapes.get(self.inputs[0])
        return None if shape is None else len(shape)


@dataclass(frozen=True)
class Layer:
    """A layer of torch's own.

    Attributes:
        module: It; its tensors are on no device yet.
        inputs: Names of what it is called with.
        tensors: Names of the ONNX tensors that its parameters and buffers hold, by attribute.
        turned: The attributes that hold their tensor transposed.
        before: What its input goes through first.
    """

    module: nn.Module
    inputs: tuple[str, ...]
    tensors: Mapping[str, str] = field(default_factory=dict)
    turned: frozenset[str] = frozenset()
    before: nn.Module | None = None


_CONVOLUTIONS: Mapping[int, type[nn.Module]] = {1: nn.Conv1d, 2: nn.Conv2d, 3: nn.Conv3d}
_TRANSPOSED: Mapping[int, type[nn.Module]] = {1: nn.ConvTranspose1d, 2: nn.ConvTranspose2d, 3: nn.ConvTranspose3d}
_NORMALISATIONS: Mapping[int, type[nn.Module]] = {
    2: nn.BatchNorm1d,
    3: nn.BatchNorm1d,
    4: nn.BatchNorm2d,
    5: nn.BatchNorm3d,
}
_MAX: Mapping[int, type[nn.Module]] = {1: nn.MaxPool1d, 2: nn.MaxPool2d, 3: nn.MaxPool3d}
_AVERAGE: Mapping[int, type[nn.Module]] = {1: nn.AvgPool1d, 2: nn.AvgPool2d, 3: nn.AvgPool3d}
_GLOBAL: Mapping[int, type[nn.Module]] = {
    3: nn.AdaptiveAvgPool1d,
    4: nn.AdaptiveAvgPool2d,
    5: nn.AdaptiveAvgPool3d,
}


def layer_of(node: Node) -> Layer | None:
    """Return the layer that is the same function as a node; None where torch has none."""
    maker = _MAKERS.get(node.spec.op_type)
    return maker(node) if maker is not None and node.is_float and len(node.spec.outputs) == 1 else None


def linear(x: str, weight: str, bias: str, own: Mapping[str, Tensor], *, turned: bool) -> Layer | None:
    """Return a dense layer.

    Args:
        x: Its input.
        weight: A matrix; [inputs, outputs] where it is `turned`, as MatMul has it, else [outputs, inputs].
        bias: A vector of outputs; "" for none.
        own: See `Node`.
        turned: Whether the matrix is to be transposed.
    """
    if weight not in own or own[weight].dim() != 2 or (bias and (bias not in own or own[bias].dim() != 1)):
        return None
    outputs, inputs = own[weight].shape[::-1] if turned else own[weight].shape
    if bias and own[bias].shape != (outputs,):
        return None
    module = nn.Linear(inputs, outputs, bool(bias), device="meta")
    tensors = {"weight": weight} | ({"bias": bias} if bias else {})
    return Layer(module, (x,), tensors, frozenset({"weight"} if turned else ()))


def _plain(node: Node, module: nn.Module) -> Layer:
    return Layer(module, (node.inputs[0],))


def _with(node: Node, module: nn.Module, names: tuple[str, ...], before: nn.Module | None = None) -> Layer | None:
    """A layer that holds the node's further inputs under names of torch's; None where they are not its own."""
    tensors = {name: node.input(i + 1) for i, name in enumerate(names) if node.input(i + 1)}
    if not tensors or not node.own.keys() >= set(tensors.values()):
        return None
    return Layer(module, (node.inputs[0],), tensors, before=before)


def _conv(node: Node) -> Layer | None:
    weight = node.own.get(node.input(1))
    if weight is None or weight.dim() - 2 not in _CONVOLUTIONS:
        return None
    window = Window.of(node.spec, node.spec.integers("kernel_shape") or weight.shape[2:])
    begins, ends = window.begins, window.ends
    simple = not window.is_same and begins == ends and min(begins) >= 0
    group = node.spec.integer("group", 1)
    module = _CONVOLUTIONS[weight.dim() - 2](
        weight.shape[1] * group,
        weight.shape[0],
        window.kernel,
        window.strides,
        begins if simple else 0,
        window.dilations,
        group,
        bool(node.input(2)),
        device="meta",
    )
    return _with(node, module, ("weight", "bias"), None if simple else Border(window))


def _conv_transpose(node: Node) -> Layer | None:
    weight, spec = node.own.get(node.input(1)), node.spec
    if weight is None or weight.dim() - 2 not in _TRANSPOSED or spec.integers("output_shape"):
        return None
    window = Window.of(spec, spec.integers("kernel_shape") or weight.shape[2:])
    extra, group = spec.integers("output_padding") or (0,) * len(window.kernel), spec.integer("group", 1)
    limits = map(max, window.strides, window.dilations)
    if window.is_same or window.begins != window.ends or min(window.begins) < 0:
        return None
    if not all(more < limit for more, limit in zip(extra, limits, strict=True)):
        return None
    module = _TRANSPOSED[weight.dim() - 2](
        weight.shape[0],
        weight.shape[1] * group,
        window.kernel,
        window.strides,
        window.begins,
        extra,
        group,
        bool(node.input(2)),
        window.dilations,
        device="meta",
    )
    return _with(node, module, ("weight", "bias"))


def _gemm(node: Node) -> Layer | None:
    plain = node.spec.number("alpha", 1.0) == node.spec.number("beta", 1.0) == 1.0 and not node.spec.integer("transA")
    turned = not node.spec.integer("transB")
    return linear(node.inputs[0], node.input(1), node.input(2), node.own, turned=turned) if plain else None


def _matmul(node: Node) -> Layer | None:
    return linear(node.inputs[0], node.input(1), "", node.own, turned=True)


def _batch_norm(node: Node) -> Layer | None:
    rank, spec = node.rank() or 0, node.spec
    if rank not in _NORMALISATIONS or spec.integer("training_mode") or not spec.integer("spatial", 1):
        return None
    scale = node.own.get(node.input(1))
    if scale is None or any(name not in node.own for name in node.inputs[1:]):
        return None
    momentum, epsilon = 1 - _decimal(spec.number("momentum", 0.9)), _decimal(spec.number("epsilon", 1e-5))
    module = _NORMALISATIONS[rank](len(scale), epsilon, round(momentum, 9), device="meta")
    return _with(node, module, ("weight", "bias", "running_mean", "running_var"))


def _decimal(number: float) -> float:
    """The number that a file means by one in single precision: 1e-5 rather than 9.99999974e-06."""
    return float(str(np.float32(number)))


def _layer_norm(node: Node) -> Layer | None:
    scale, shape = node.own.get(node.input(1)), node.shapes.get(node.inputs[0])
    if scale is None or shape is None or tuple(shape[node.spec.integer("axis", -1) :]) != tuple(scale.shape):
        return None
    if node.input(2) and (node.input(2) not in node.own or node.own[node.input(2)].shape != scale.shape):
        return None
    has_bias = bool(node.input(2))
    module = nn.LayerNorm(tuple(scale.shape), _decimal(node.spec.number("epsilon", 1e-5)), bias=has_bias, device="meta")
    return _with(node, module, ("weight", "bias"))


def _embedding(node: Node) -> Layer | None:
    table = node.own.get(node.inputs[0])
    if table is None or table.dim() != 2 or node.spec.integer("axis"):
        return None
    rows, columns = table.shape
    return Layer(Embedding(rows, columns, device="meta"), (node.input(1),), {"weight": node.inputs[0]})


def _max_pool(node: Node) -> Layer | None:
    window = _window(node)
    if window is None:
        return None
    pool = _MAX[len(window.kernel)]
    return _plain(node, pool(window.kernel, window.strides, window.begins, window.dilations, ceil_mode=window.ceil))


def _average_pool(node: Node) -> Layer | None:
    window, counts = _window(node), bool(node.spec.integer("count_include_pad"))
    if window is None or set(window.dilations) != {1}:
        return None
    pool = _AVERAGE[len(window.kernel)]
    return _plain(node, pool(window.kernel, window.strides, window.begins, window.ceil, counts))


def _window(node: Node) -> Window | None:
    """The window of a pool that pads as torch does."""
    kernel = node.spec.integers("kernel_shape")
    if kernel is None or len(kernel) not in _MAX or len(node.inputs) > 1:
        return None
    window = Window.of(node.spec, kernel)
    return window if window.fits_torch() else None


def _global_average(node: Node) -> Layer | None:
    pool = _GLOBAL.get(node.rank() or 0)
    return None if pool is None else _plain(node, pool(1))


def _dropout(node: Node) -> Layer | None:
    ratio = node.numbers.get(node.input(1), 0.5) if node.input(1) else node.spec.number("ratio", 0.5)
    known = not node.input(1) or node.input(1) in node.numbers
    return _plain(node, nn.Dropout(ratio)) if known and 0 <= ratio < 1 else None


def _clip(node: Node) -> Layer | None:
    spec, names = node.spec, (node.input(1), node.input(2))
    if spec.opset < 11:
        low, high = spec.attributes.get("min"), spec.attributes.get("max")
    else:
        low, high = (node.numbers.get(name) for name in names)
    if low is None or high is None or not low < high:
        return None
    return _plain(node, nn.ReLU6() if (low, high) == (0, 6) else nn.Hardtanh(low, high))


def _softmax(node: Node) -> Layer | None:
    kinds = {"Softmax": nn.Softmax, "LogSoftmax": nn.LogSoftmax}
    axis = node.spec.integer("axis", -1 if node.spec.opset >= 13 else 1)
    last = node.rank() is not None and axis in {-1, (node.rank() or 0) - 1}
    return _plain(node, kinds[node.spec.op_type](axis)) if node.spec.opset >= 13 or last else None


def _flatten(node: Node) -> Layer | None:
    rank = node.rank()
    return _plain(node, nn.Flatten(1)) if node.spec.integer("axis", 1) == 1 and rank and rank > 1 else None


def _reshape(node: Node) -> Layer | None:
    """A Reshape that keeps the first axis, of any size, and makes one of the others."""
    shape, target = node.shapes.get(node.inputs[0]), node.constants.get(node.input(1))
    if shape is None or len(shape) < 2 or target is None or target.dim() != 1 or len(target) != 2:
        return None
    rest, (first, last) = 1, target.tolist()
    for size in shape[1:]:
        if not isinstance(size, int):
            return None
        rest *= size
    return _plain(node, nn.Flatten(1)) if first == -1 and last == rest > 0 else None


def _simple(make: Callable[[OpSpec], nn.Module | None]) -> Callable[[Node], Layer | None]:
    def of(node: Node) -> Layer | None:
        module = make(node.spec)
        return None if module is None else _plain(node, module)

    return of


def _selu(spec: OpSpec) -> nn.Module | None:
    return nn.SELU() if not {"alpha", "gamma"} & spec.attributes.keys() else None


_MAKERS: Mapping[str, Callable[[Node], Layer | None]] = {
    "AveragePool": _average_pool,
    "BatchNormalization": _batch_norm,
    "Clip": _clip,
    "Conv": _conv,
    "ConvTranspose": _conv_transpose,
    "Dropout": _dropout,
    "Flatten": _flatten,
    "Gather": _embedding,
    "Gemm": _gemm,
    "GlobalAveragePool": _global_average,
    "LayerNormalization": _layer_norm,
    "LogSoftmax": _softmax,
    "MatMul": _matmul,
    "MaxPool": _max_pool,
    "Reshape": _reshape,
    "Softmax": _softmax,
    "Celu": _simple(lambda spec: nn.CELU(spec.number("alpha", 1.0))),
    "Elu": _simple(lambda spec: nn.ELU(spec.number("alpha", 1.0))),
    "Gelu": _simple(lambda spec: nn.GELU(spec.text("approximate", "none"))),
    "HardSwish": _simple(lambda _: nn.Hardswish()),
    "Identity": _simple(lambda _: nn.Identity()),
    "LeakyRelu": _simple(lambda spec: nn.LeakyReLU(spec.number("alpha", 0.01))),
    "Mish": _simple(lambda _: nn.Mish()),
    "Relu": _simple(lambda _: nn.ReLU()),
    "Selu": _simple(_selu),
    "Sigmoid": _simple(lambda _: nn.Sigmoid()),
    "Softplus": _simple(lambda _: nn.Softplus()),
    "Softsign": _simple(lambda _: nn.Softsign()),
    "Swish": _simple(lambda spec: nn.SiLU() if spec.number("alpha", 1.0) == 1 else None),
    "Tanh": _simple(lambda _: nn.Tanh()),
}
