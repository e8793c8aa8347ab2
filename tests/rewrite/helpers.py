"""What the tests of the front end, the supernet and the rewriter share: small graphs, random α's, onnxruntime."""

from __future__ import annotations

import functools
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import onnx
import onnxruntime
from onnx import TensorProto, helper, numpy_helper

from natonnx.frontend import parse

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import NDArray

    from natonnx.frontend import Network

    Arrays = Mapping[str, NDArray[Any]]

MODELS = Path(__file__).parents[2] / "models"
SHIPPED = ("resnet20", "vgg", "mobilenetv2")
TOLERANCE = 1e-4


@functools.cache
def shipped_model(name: str) -> onnx.ModelProto:
    """A model of models/; shared between tests, never to be changed."""
    return onnx.load(MODELS / f"{name}-fashion.onnx")


@functools.cache
def shipped_network(name: str) -> Network:
    return parse(shipped_model(name))


class Builder:
    """Writes a small graph over one image input `x` node by node; node OUT.upper() makes tensor OUT."""

    def __init__(
        self, channels: int = 4, size: int | str = 8, *, opset: int = 17, ir_version: int = 8, batch: int | str = "n"
    ) -> None:
        self.opset, self.ir_version = opset, ir_version
        self.input = helper.make_tensor_value_info("x", TensorProto.FLOAT, [batch, channels, size, size])
        self.nodes: list[onnx.NodeProto] = []
        self.initializers: list[onnx.TensorProto] = []
        self.channels = {"x": channels}
        self.generator = np.random.default_rng(0)

    def weight(self, name: str, *shape: int, scale: float = 0.5) -> str:
        """A random initializer."""
        return self.constant(name, (scale * self.generator.standard_normal(shape)).astype(np.float32))

    def constant(self, name: str, value: NDArray[Any] | np.generic) -> str:
        self.initializers.append(numpy_helper.from_array(np.asarray(value), name))
        return name

    def op(self, op_type: str, *inputs: str, out: str, name: str | None = None, **attributes: Any) -> str:
        """A node with one output, of as many channels as its first input has."""
        node = helper.make_node(op_type, inputs, [out], out.upper() if name is None else name, **attributes)
        self.nodes.append(node)
        self.channels[out] = self.channels.get(inputs[0], 0) if inputs else 0
        return out

    def conv(
        self,
        source: str,
        out: str,
        channels: int = 4,
        *,
        kernel: int = 1,
        stride: int = 1,
        group: int = 1,
        bias: bool = False,
        name: str | None = None,
    ) -> str:
        """A convolution that keeps the size, or divides it by its stride."""
        inputs = [source, self.weight(f"{out}.w", channels, self.channels[source] // group, kernel, kernel)]
        if bias:
            inputs.append(self.weight(f"{out}.b", channels))
        pads, strides = [kernel // 2] * 4, [stride] * 2
        self.op("Conv", *inputs, out=out, name=name, pads=pads, strides=strides, group=group)
        self.channels[out] = channels
        return out

    def batchnorm(self, source: str, out: str) -> str:
        count = self.channels[source]
        scale, shift, mean = (self.weight(f"{out}.{part}", count) for part in ("scale", "shift", "mean"))
        variance = self.constant(f"{out}.var", self.generator.uniform(0.5, 2, count).astype(np.float32))
        return self.op("BatchNormalization", source, scale, shift, mean, variance, out=out)

    def model(self, *outputs: str | onnx.ValueInfoProto, **fields: Any) -> onnx.ModelProto:
        """The model; outputs named only get their shapes by inference."""
        infos = [helper.make_empty_tensor_value_info(o) if isinstance(o, str) else o for o in outputs]
        graph = helper.make_graph(self.nodes, "graph", [self.input], infos, self.initializers)
        imports = [helper.make_opsetid("", self.opset)]
        model = helper.make_model(graph, **{"opset_imports": imports, "ir_version": self.ir_version, **fields})
        inferred = onnx.shape_inference.infer_shapes(model)
        for info, known in zip(model.graph.output, inferred.graph.output, strict=True):
            if not info.HasField("type"):
                info.CopyFrom(known)
        onnx.checker.check_model(model, full_check=True)
        return model

    def network(self, *outputs: str | onnx.ValueInfoProto) -> Network:
        return parse(self.model(*outputs))


def edges(network: Network) -> dict[str, tuple[str, str, str]]:
    """Source, target and state of the edges that exist in the file (O and S), by name."""
    architecture = network.architecture
    return {
        edge.name: (edge.source, edge.target, state)
        for edge, state in zip(architecture.topology.edges, architecture.states, strict=True)
        if state != "N"
    }


def joins(network: Network) -> dict[str, str]:
    """How each feature map is made, by name."""
    return {fmap.name: fmap.join.value for fmap in network.architecture.topology.maps}


def runtime(model: onnx.ModelProto, inputs: Arrays) -> dict[str, NDArray[Any]]:
    """Run a model in onnxruntime, called directly."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    options.log_severity_level = 4
    session = onnxruntime.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
    names = [output.name for output in session.get_outputs()]
    return dict(zip(names, session.run(names, dict(inputs)), strict=True))


def images(batch: int, channels: int = 1, size: int = 28, seed: int = 0) -> NDArray[np.float32]:
    return np.random.default_rng(seed).standard_normal((batch, channels, size, size)).astype(np.float32)


def assert_close(value: NDArray[Any], expected: NDArray[Any], tolerance: float = TOLERANCE) -> None:
    """Equal within `tolerance` of the largest expected magnitude."""
    assert value.shape == expected.shape
    np.testing.assert_allclose(value, expected, rtol=0, atol=tolerance * float(np.abs(expected).max(initial=1e-30)))


def copy(model: onnx.ModelProto) -> onnx.ModelProto:
    fresh = onnx.ModelProto()
    fresh.CopyFrom(model)
    return fresh


def arrays(model: onnx.ModelProto) -> dict[str, NDArray[Any]]:
    """Initializers by name."""
    return {tensor.name: numpy_helper.to_array(tensor) for tensor in model.graph.initializer}


def node_names(model: onnx.ModelProto) -> Sequence[str]:
    return [node.name for node in model.graph.node]
