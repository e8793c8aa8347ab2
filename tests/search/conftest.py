"""A tiny residual network and a data set that it can learn in a moment."""

from dataclasses import replace
from typing import Any

import numpy as np
import onnx
import pytest
import torch
from onnx import TensorProto, helper, numpy_helper

from natonnx.architecture import Architecture
from natonnx.data.batches import ArrayBatches
from natonnx.frontend import Network, parse
from natonnx.rewrite import build
from natonnx.search import Agreement, Labels, Problem, Settings
from natonnx.search.assess import original_runner
from natonnx.search.finetune import Finetuning, Limit
from natonnx.search.outputs import judged_outputs
from natonnx.search.price import Madds, Params
from natonnx.search.runner import TensorBatch, to_device
from natonnx.supernet import Supernet, unfold

CLASSES = 3


def tiny_model(seed: int = 0, width: int = 8) -> onnx.ModelProto:
    """Conv-Relu, a residual block of two convolutions, a strided convolution, the mean, a dense layer."""
    generator = np.random.default_rng(seed)
    initializers: list[onnx.TensorProto] = []
    nodes: list[onnx.NodeProto] = []

    def conv(name: str, source: str, cin: int, cout: int, stride: int = 1) -> str:
        scale = (2 / (9 * cin)) ** 0.5
        weight = (generator.standard_normal((cout, cin, 3, 3)) * scale).astype(np.float32)
        bias = (0.1 * generator.standard_normal(cout)).astype(np.float32)
        initializers.append(numpy_helper.from_array(weight, f"{name}.weight"))
        initializers.append(numpy_helper.from_array(bias, f"{name}.bias"))
        inputs = [source, f"{name}.weight", f"{name}.bias"]
        nodes.append(
            helper.make_node("Conv", inputs, [f"{name}.out"], name, pads=[1, 1, 1, 1], strides=[stride, stride])
        )
        return f"{name}.out"

    def simple(kind: str, inputs: list[str], output: str, **attributes: Any) -> str:
        nodes.append(helper.make_node(kind, inputs, [output], output, **attributes))
        return output

    stem = simple("Relu", [conv("stem", "image", 1, width)], "stem.relu")
    inner = simple("Relu", [conv("first", stem, width, width)], "inner")
    block = simple("Relu", [simple("Add", [conv("second", inner, width, width), stem], "sum")], "block")
    last = simple("Relu", [conv("last", block, width, 2 * width, stride=2)], "last.relu")
    initializers.append(numpy_helper.from_array(np.array([2, 3], np.int64), "axes"))
    pooled = simple("ReduceMean", [last, "axes"], "pooled", keepdims=0)
    dense = (generator.standard_normal((CLASSES, 2 * width)) * 0.2).astype(np.float32)
    initializers.append(numpy_helper.from_array(dense, "dense.weight"))
    nodes.append(helper.make_node("Gemm", [pooled, "dense.weight"], ["logits"], "dense", transB=1))
    graph = helper.make_graph(
        nodes,
        "tiny",
        [helper.make_tensor_value_info("image", TensorProto.FLOAT, ["batch", 1, 8, 8])],
        [helper.make_tensor_value_info("logits", TensorProto.FLOAT, ["batch", CLASSES])],
        initializers,
    )
    return helper.make_model(graph, ir_version=8, opset_imports=[helper.make_opsetid("", 18)])


def tiny_split(count: int, seed: int) -> ArrayBatches:
    """Noise with a bar across it: horizontal, vertical or none, by class."""
    generator = np.random.default_rng(seed)
    labels = np.arange(count) % CLASSES
    images = 0.5 * generator.standard_normal((count, 1, 8, 8)).astype(np.float32)
    for image, label in zip(images, labels, strict=True):
        place = generator.integers(8)
        if label == 0:
            image[0, place] += 1.5
        elif label == 1:
            image[0, :, place] += 1.5
    return ArrayBatches({"image": images}, {"image": 0}, labels.astype(np.int64))


def whole(split: ArrayBatches) -> TensorBatch:
    """All samples at once."""
    return to_device(next(iter(split.batches(split.samples))), torch.device("cpu"))


def tiny_problem(network: Network, reference: Architecture, **changes: Any) -> Problem:
    """The task that the tiny network is for, judged by labels."""
    judged = judged_outputs(network, "logits")
    labels, agreement = Labels(judged[0]), Agreement.of(judged, list)
    train, validation = tiny_split(240, 1), tiny_split(90, 2)
    prices = (Madds(reference), Params(reference))
    return replace(Problem(network, train, validation, labels, agreement, prices), **changes)


@pytest.fixture(scope="session")
def network() -> Network:
    return parse(tiny_model())


@pytest.fixture(scope="session")
def problem(network: Network) -> Problem:
    """The tiny network with its normalisation unfolded."""
    unfolded = unfold(network, [whole(tiny_split(240, 1)).inputs]).network
    return tiny_problem(unfolded, network.architecture)


@pytest.fixture(scope="session")
def trained(problem: Problem) -> Problem:
    """The same by a network that has learnt the task."""
    beta = problem.network.architecture
    original = original_runner(problem, Supernet(problem.network).eval())
    settings = Settings(batch=32, finetune_learning_rate=0.05, distillation=0.0)
    training = Finetuning(problem, beta, settings, original=original, limit=Limit(12 * 240), start={})
    training.run(1.0)
    training.settle()
    network = parse(build(problem.network, beta, training.supernet.weights()))
    return tiny_problem(network, network.architecture)
