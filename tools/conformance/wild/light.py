"""The nine "light" models of the onnx package: real architectures whose weights are constant fills, given random ones.

The files come with onnx itself (Apache-2.0): opset 9, IR 3, batch 1, every weight a ConstantOfShape 0.02 and every
initializer an input too. Constant fills would hide a permuted channel or a wrong slice.
"""

import math
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
from numpy.typing import NDArray
from onnx import helper, numpy_helper

__all__ = ["LIGHT", "light_model"]

LIGHT: tuple[str, ...] = (
    "bvlc_alexnet",
    "densenet121",
    "inception_v1",
    "inception_v2",
    "resnet50",
    "shufflenet",
    "squeezenet",
    "vgg19",
    "zfnet512",
)

Array = NDArray[np.float32]


def light_model(name: str, seed: int = 0) -> onnx.ModelProto:
    """One of `LIGHT` with random weights in healthy ranges: He-normal, and statistics near what the layers see.

    Args:
        name: One of `LIGHT`.
        seed: Of the weights.
    """
    model = onnx.load(Path(onnx.__file__).parent / "backend" / "test" / "data" / "light" / f"light_{name}.onnx")
    generator = np.random.default_rng(seed)
    graph = model.graph
    sizes = {tensor.name: numpy_helper.to_array(tensor) for tensor in graph.initializer}
    fills = [node for node in graph.node if node.op_type == "ConstantOfShape" and node.input[0] in sizes]
    readers = _readers(graph)
    for node in fills:
        shape = tuple(int(size) for size in sizes[node.input[0]])
        value = _draw(readers[node.output[0]], shape, generator)
        graph.initializer.append(numpy_helper.from_array(value, node.output[0]))
        graph.node.remove(node)
    read = {name for node in graph.node for name in node.input}
    for tensor in [tensor for tensor in graph.initializer if tensor.name not in read]:
        graph.initializer.remove(tensor)
    for info in [info for info in graph.input if info.name in sizes]:
        graph.input.remove(info)
    model.ir_version = max(model.ir_version, 4)  # from which initializers need not be inputs
    _calibrate(model, generator)
    _temper(model)
    onnx.checker.check_model(model)
    return model


def _readers(graph: onnx.GraphProto) -> dict[str, tuple[onnx.NodeProto, int]]:
    """A node that reads a tensor, and as which input; nodes that only change the tensor's shape are looked through."""
    readers: dict[str, tuple[onnx.NodeProto, int]] = {}
    for node in reversed(graph.node):
        for position, name in enumerate(node.input):
            through = node.op_type in ("Unsqueeze", "Reshape") and position == 0
            readers[name] = readers.get(node.output[0], (node, position)) if through else (node, position)
    return readers


def _draw(reader: tuple[onnx.NodeProto, int], shape: tuple[int, ...], generator: np.random.Generator) -> Array:
    node, position = reader
    match node.op_type, position:
        case "Conv", 1:
            value = generator.standard_normal(shape, np.float32) * math.sqrt(2 / math.prod(shape[1:]))
        case "Gemm", 1:
            transposed = any(attribute.name == "transB" and attribute.i for attribute in node.attribute)
            fan_in = math.prod(shape[1:]) if transposed else shape[0]
            value = generator.standard_normal(shape, np.float32) * math.sqrt(2 / fan_in)
        case ("BatchNormalization", 1 | 4) | ("Mul", _):
            value = generator.uniform(0.5, 1.5, shape).astype(np.float32)
        case _:
            value = 0.1 * generator.standard_normal(shape, np.float32)
    return value.astype(np.float32)


def _calibrate(model: onnx.ModelProto, generator: np.random.Generator) -> None:
    """Set the running statistics near those of a random image, so that activations neither explode nor die."""
    norms = [node for node in model.graph.node if node.op_type == "BatchNormalization"]
    if not norms:
        return
    means, variances = _statistics(model, len(norms))
    tensors = {tensor.name: tensor for tensor in model.graph.initializer}
    for node, mean, variance in zip(norms, means, variances, strict=True):
        shift = 0.1 * np.sqrt(variance) * generator.standard_normal(mean.shape, np.float32)
        drift = generator.uniform(0.5, 1.5, mean.shape).astype(np.float32)
        tensors[node.input[3]].CopyFrom(numpy_helper.from_array(mean + shift, node.input[3]))
        tensors[node.input[4]].CopyFrom(numpy_helper.from_array(variance * drift, node.input[4]))


def _statistics(model: onnx.ModelProto, count: int) -> tuple[list[Array], list[Array]]:
    """Mean and variance of each channel before every BatchNormalization, each normalised by its own on the way."""
    spelled = onnx.ModelProto()
    spelled.CopyFrom(model)
    nodes: list[onnx.NodeProto] = []
    names = [(f"mean:{i}", f"variance:{i}") for i in range(count)]
    shapes = {tensor.name: list(tensor.dims) for tensor in model.graph.initializer}
    remaining = iter(names)
    for node in model.graph.node:
        if node.op_type != "BatchNormalization":
            nodes.append(node)
            continue
        mean, variance = next(remaining)
        x, scale, shift = node.input[:3]
        part = f"{mean}:".__add__
        size = [1, *shapes[scale], 1, 1]
        spelled.graph.initializer.append(numpy_helper.from_array(np.array(size), part("size")))
        spelled.graph.initializer.append(numpy_helper.from_array(np.float32(1e-5).reshape(1), part("epsilon")))
        nodes += [
            helper.make_node("ReduceMean", [x], [mean], axes=[0, 2, 3]),
            helper.make_node("Sub", [x, mean], [part("centred")]),
            helper.make_node("Mul", [part("centred")] * 2, [part("square")]),
            helper.make_node("ReduceMean", [part("square")], [variance], axes=[0, 2, 3]),
            helper.make_node("Add", [variance, part("epsilon")], [part("safe")]),
            helper.make_node("Sqrt", [part("safe")], [part("deviation")]),
            helper.make_node("Div", [part("centred"), part("deviation")], [part("normal")]),
            helper.make_node("Reshape", [scale, part("size")], [part("scale")]),
            helper.make_node("Reshape", [shift, part("size")], [part("shift")]),
            helper.make_node("Mul", [part("normal"), part("scale")], [part("scaled")]),
            helper.make_node("Add", [part("scaled"), part("shift")], [node.output[0]]),
        ]
    del spelled.graph.node[:]
    spelled.graph.node.extend(nodes)
    spelled.graph.output.extend(helper.make_empty_tensor_value_info(name) for pair in names for name in pair)
    results = _run(spelled, [name for pair in names for name in pair])
    return [results[mean].ravel() for mean, _ in names], [results[variance].ravel() for _, variance in names]


def _temper(model: onnx.ModelProto) -> None:
    """Scale the last layer so that its scores spread by about one: a saturated Softmax would hide every difference."""
    graph = model.graph
    softmax = next((node for node in graph.node if node.op_type == "Softmax"), None)
    scores = graph.output[0].name if softmax is None else softmax.input[0]
    probe = onnx.ModelProto()
    probe.CopyFrom(model)
    if softmax is not None:
        probe.graph.output.append(helper.make_empty_tensor_value_info(scores))
    spread = _run(probe, [scores])[scores].std()
    last = [node for node in graph.node if node.op_type in ("Conv", "Gemm")][-1]
    readers = _readers(graph)
    for tensor in graph.initializer:
        if readers[tensor.name][0] == last and tensor.data_type == onnx.TensorProto.FLOAT:
            tensor.CopyFrom(numpy_helper.from_array(numpy_helper.to_array(tensor) / spread, tensor.name))


def _run(model: onnx.ModelProto, outputs: list[str]) -> Mapping[str, Array]:
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    options.log_severity_level = 4
    session = onnxruntime.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
    info = session.get_inputs()[0]
    image = np.random.default_rng(0).standard_normal(info.shape, np.float32)
    return dict(zip(outputs, session.run(outputs, {info.name: image}), strict=True))
