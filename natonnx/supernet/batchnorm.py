"""Unfold BatchNormalization that an exporter folded into convolutions, and fold it back.

Unfolding leaves the function unchanged (docs/design/supernet.md#unfolding): behind a convolution with a bias comes a
normalisation whose running statistics are those of its output and whose scale and shift undo it. Training is stable
with it, and statistics can be re-estimated for every architecture. Both directions work on the ONNX model, so nothing
else needs to know.
"""

import math
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import onnx
import torch
from onnx import numpy_helper

from natonnx.frontend import EdgeBinding, Network, RunNode, lower, parse_with
from natonnx.frontend.constants import constant_values
from natonnx.frontend.view import GraphView
from natonnx.supernet.module import Supernet

__all__ = ["MOST_CAPTURED", "Unfolded", "calibration_batch", "fold", "has_batchnorm", "unfold"]

_EPSILON = 1e-5
_LARGEST = 1e18
"""Values whose squares, and the sums of these, single precision can hold."""
MOST_CAPTURED = 1 << 30
"""Bytes that are captured at once: a gigabyte."""
_RUNNING = 3
"""Tensors of the largest size that are alive where less is captured, as a guess."""


class _Moments:
    """Mean and variance of each channel [C] of what is added, batch by batch (Chan et al., 1979)."""

    def __init__(self) -> None:
        self._count = 0
        self.mean = torch.zeros((), dtype=torch.float64)
        self.variance = torch.zeros((), dtype=torch.float64)

    def add(self, values: torch.Tensor) -> None:
        """Take in a batch [n, C, ...]; samples with NaN, or of which float32 cannot hold the squares, are left out."""
        values = values[values.reshape(len(values), -1).abs().amax(1) < _LARGEST].double()
        if not len(values):
            if not self._count:
                self.mean, self.variance = values.new_zeros(values.shape[1]), values.new_ones(values.shape[1])
            return
        axes = [axis for axis in range(values.dim()) if axis != 1]
        count, mean, variance = values.numel() // values.shape[1], values.mean(axes), values.var(axes, unbiased=False)
        total = self._count + count
        old, new = self._count / total, count / total
        self.variance = old * self.variance + new * variance + old * new * (mean - self.mean).square()
        self.mean = old * self.mean + new * mean
        self._count = total


class _Pair(NamedTuple):
    """A convolution and the normalisation that was put behind it, by the names of their tensors."""

    weight: str
    bias: str
    scale: str
    shift: str
    mean: str
    variance: str


@dataclass(frozen=True)
class Unfolded:
    """A network with unfolded normalisation; edges and feature maps are named and ordered as in the original."""

    network: Network
    pairs: tuple[_Pair, ...]


def has_batchnorm(network: Network) -> bool:
    """Whether the file kept any BatchNormalization."""
    return any(node.op_type == "BatchNormalization" for node in network.model.graph.node)


def unfold(network: Network, calibration: Iterable[Mapping[str, torch.Tensor]]) -> Unfolded:
    """Put a BatchNormalization behind every convolution with a bias of its own.

    Args:
        network: The parsed model; not changed.
        calibration: Batches of inputs by name, from which the statistics come.

    Returns:
        The unfolded network, equal to the original in evaluation mode. Convolutions whose weight or bias is shared or
        not trained stay as they are.
    """
    positions = _candidates(network)
    supernet = Supernet(network).eval()
    raw = [network.model.graph.node[i].output[0] for i in positions]
    moments = {name: _Moments() for name in raw}
    with torch.inference_mode():
        for batch in calibration if raw else ():
            for name, output in supernet.run(batch, capture=raw).items():
                moments[name].add(output)
    view = GraphView(network.model, network.shapes, {})
    model = onnx.ModelProto()
    model.CopyFrom(network.model)
    biases = [network.model.graph.node[i].input[2] for i in positions]
    constants = constant_values(network.model, biases, network.folder)
    nodes: list[onnx.NodeProto] = []
    pairs: list[_Pair] = []
    for position, node in enumerate(network.model.graph.node):
        fresh = onnx.NodeProto()
        fresh.CopyFrom(node)
        nodes.append(fresh)
        if position not in positions:
            continue
        mean, variance = moments[node.output[0]].mean.numpy(), moments[node.output[0]].variance.numpy()
        bias = constants[node.input[2]]
        weight, shift = map(network.computed.source, node.input[1:3])
        fresh.name = view.name(position)  # what the edge is called
        del fresh.input[2]
        prefix = f"{node.output[0]}/natonnx_"
        fresh.output[0] = f"{prefix}raw"
        parts = {
            "scale": np.sqrt(variance + _EPSILON),
            "shift": mean,
            "mean": mean - bias,
            "variance": variance,
        }
        for part, value in parts.items():
            model.graph.initializer.append(numpy_helper.from_array(value.astype(np.float32), f"{prefix}{part}"))
        inputs = [fresh.output[0], *(f"{prefix}{part}" for part in parts)]
        pairs.append(_Pair(weight, shift, *inputs[1:]))
        nodes.append(onnx.helper.make_node("BatchNormalization", inputs, [node.output[0]], epsilon=_EPSILON))
    del model.graph.node[:]
    model.graph.node.extend(nodes)
    unfolded = parse_with(model, network.options, network.folder)
    assert unfolded.architecture.states == network.architecture.states, "unfolding must not change the architecture"
    return Unfolded(unfolded, (*pairs, *_cheaper_pairs(network, unfolded)))


def _cheaper_pairs(network: Network, unfolded: Network) -> Iterator[_Pair]:
    """The same of operations that edges may become, which have copies of what was put behind the edges' own."""
    for name, binding in network.edges.items():
        for state, own in binding.cheaper.items():
            plain = _added(network, own)
            for node in _added(unfolded, unfolded.edges[name].cheaper[state]):
                if plain and node.op_type == plain[0].op_type:
                    last = plain.pop(0)
                else:
                    yield _Pair(*last.input[1:3], *node.input[1:5])


def _added(network: Network, binding: EdgeBinding) -> list[onnx.NodeProto]:
    """The nodes of an operation that are none of the file's own."""
    return [network.extended.graph.node[i] for i in binding.nodes if i in network.added]


def calibration_batch(network: Network, most: int, size: int = MOST_CAPTURED) -> int:
    """Return how many samples `unfold` can take at once, which holds all outputs of convolutions in so many bytes."""
    numbers = {
        name: math.prod(size for size in shape[1:] if isinstance(size, int)) for name, shape in network.shapes.items()
    }
    captured = sum(numbers.get(network.model.graph.node[i].output[0], 1) for i in _candidates(network))
    values = max(captured, _RUNNING * max(numbers.values(), default=1))
    return max(1, min(most, size // (4 * max(1, values))))


def fold(unfolded: Unfolded, weights: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Turn the weights of an unfolded network back into those of the original, in double precision.

    Args:
        unfolded: What `unfold` made.
        weights: Arrays by ONNX name (`Supernet.weights`).

    Returns:
        The same without the normalisations, their effect in the convolutions' weights and biases.
    """
    folded = dict(weights)
    for pair in unfolded.pairs:
        scale, shift, mean, variance = (folded.pop(name).astype(np.float64) for name in pair[2:])
        weight = weights[pair.weight].astype(np.float64)
        with np.errstate(over="ignore", invalid="ignore"):  # of weights that diverged
            gain = scale / np.sqrt(variance + _EPSILON)
            folded[pair.weight] = (weight * gain.reshape(-1, *[1] * (weight.ndim - 1))).astype(np.float32)
            folded[pair.bias] = (shift - mean * gain).astype(np.float32)
    return folded


def _candidates(network: Network) -> set[int]:
    graph, computed = network.model.graph, network.computed
    running = {step.node for step in lower(network, network.architecture).instructions if isinstance(step, RunNode)}
    initializers = {tensor.name for tensor in graph.initializer if tensor.data_type == onnx.TensorProto.FLOAT}
    inputs = {info.name for info in graph.input}
    uses: dict[str, int] = {}
    for node in graph.node:
        for name in node.input:
            uses[name] = uses.get(name, 0) + 1

    def is_own(name: str) -> bool:
        source = computed.source(name)
        made = source in computed.trainable and network.dtypes.get(source) == onnx.TensorProto.FLOAT
        return (source in initializers - inputs or made) and uses[name] == 1 and (source == name or uses[source] == 1)

    normalised = {node.input[0] for node in graph.node if node.op_type == "BatchNormalization"}
    return {
        position
        for position, node in enumerate(graph.node)
        if position in running - network.frozen
        and node.op_type == "Conv"
        and len(node.input) == 3
        and all(map(is_own, node.input[1:]))
        and node.output[0] not in normalised
    }
