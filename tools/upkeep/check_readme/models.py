"""Tiny models, with random weights and data, of the kinds that the README's "Any model" names."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import onnx
from onnx import TensorProto, helper, numpy_helper

__all__ = ["KINDS", "Kind"]

Array = npt.NDArray[Any]
_WORDS, _WIDTH, _TOKENS = 32, 16, 8


class Kind(NamedTuple):
    """A kind of model: how to make it, and some samples of its inputs by name."""

    make: Callable[[], onnx.ModelProto]
    inputs: Callable[[int, np.random.Generator], dict[str, Array]]


class _Graph:
    """A graph that grows node by node."""

    def __init__(self) -> None:
        self._chance = np.random.default_rng(0)
        self._nodes: list[onnx.NodeProto] = []
        self._constants: list[onnx.TensorProto] = []

    def node(self, kind: str, name: str, *inputs: str, **attributes: Any) -> str:
        """Add a node whose output is called after it."""
        self._nodes.append(helper.make_node(kind, inputs, [f"{name}.out"], name, **attributes))
        return f"{name}.out"

    def constant(self, name: str, value: Any, dtype: npt.DTypeLike = np.float32) -> str:
        """Add a constant."""
        self._constants.append(numpy_helper.from_array(np.asarray(value, dtype), name))
        return name

    def weight(self, name: str, *shape: int) -> str:
        """Add a random weight that keeps the size of what passes; its first axis counts outputs."""
        fan_in = int(np.prod(shape[1:])) if len(shape) > 2 else shape[0]
        return self.constant(name, self._chance.normal(0, fan_in**-0.5, shape))

    def head(self, name: str, x: str, source: int, target: int) -> str:
        """Add a dense layer whose outputs do not follow the mean of its inputs, which Relu leaves above 0."""
        weights = self._chance.normal(0, 1, (source, target))
        kept = self.constant(f"{name}.weight", weights - weights.mean(0)), self.shift(f"{name}.bias", target)
        return self.node("Gemm", name, x, *kept)

    def shift(self, name: str, size: int) -> str:
        """Add a small random bias."""
        return self.constant(name, self._chance.normal(0, 0.1, size))

    def conv(self, name: str, x: str, source: int, target: int, kernel: int = 3, stride: int = 1) -> str:
        """Add a convolution of square kernels."""
        weights = self.weight(f"{name}.weight", target, source, kernel, kernel), self.shift(f"{name}.bias", target)
        return self.node("Conv", name, x, *weights, strides=[stride] * 2, pads=[kernel // 2] * 4)

    def linear(self, name: str, x: str, source: int, target: int) -> str:
        """Add a matrix product and a bias along the last axis."""
        product = self.node("MatMul", name, x, self.weight(f"{name}.weight", source, target))
        return self.node("Add", f"{name}.add", product, self.shift(f"{name}.bias", target))

    def norm(self, name: str, x: str) -> str:
        """Add a layer normalisation of `_WIDTH` features."""
        scale = self.constant(f"{name}.scale", np.ones(_WIDTH)), self.constant(f"{name}.shift", np.zeros(_WIDTH))
        return self.node("LayerNormalization", name, x, *scale, axis=-1)

    def model(
        self,
        inputs: Mapping[str, Sequence[int | str]],
        outputs: Mapping[str, tuple[str, Sequence[int | str]]],
        kind: int,
    ) -> onnx.ModelProto:
        """Finish; each output is named, with what it is made of and its shape."""
        self._nodes += [helper.make_node("Identity", [made], [name]) for name, (made, _) in outputs.items()]
        graph = helper.make_graph(
            self._nodes,
            "example",
            [helper.make_tensor_value_info(name, kind, shape) for name, shape in inputs.items()],
            [helper.make_tensor_value_info(name, TensorProto.FLOAT, shape) for name, (_, shape) in outputs.items()],
            self._constants,
        )
        made = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
        onnx.checker.check_model(made, full_check=True)
        return made


def _encoder(graph: _Graph) -> tuple[str, str]:
    """Two post-norm layers of attention and MLP over words, and the mask as numbers [n, length, 1]."""
    words = graph.constant("words", np.random.default_rng(1).normal(0, 1, (_WORDS, _WIDTH)))
    kinds = graph.constant("kinds", np.random.default_rng(2).normal(0, 1, (2, _WIDTH)))
    embedded = graph.node("Gather", "embed", words, "input_ids"), graph.node("Gather", "kind", kinds, "token_type_ids")
    x = graph.norm("embed.norm", graph.node("Add", "embed.add", *embedded))
    mask = graph.node("Cast", "mask", "attention_mask", to=TensorProto.FLOAT)
    hidden = graph.node("Sub", "mask.not", graph.constant("one", 1.0), mask)
    axis = graph.constant("axis", [1], np.int64)
    bias = graph.node(
        "Unsqueeze", "mask.row", graph.node("Mul", "mask.bias", hidden, graph.constant("far", -1e4)), axis
    )
    for layer in ("first", "second"):
        query, key, value = (graph.linear(f"{layer}.{part}", x, _WIDTH, _WIDTH) for part in ("query", "key", "value"))
        turned = graph.node("Transpose", f"{layer}.turn", key, perm=[0, 2, 1])
        scores = graph.node("MatMul", f"{layer}.scores", query, turned)
        scaled = graph.node("Mul", f"{layer}.scale", scores, graph.constant(f"{layer}.root", _WIDTH**-0.5))
        shares = graph.node("Softmax", f"{layer}.softmax", graph.node("Add", f"{layer}.mask", scaled, bias), axis=-1)
        mixed = graph.linear(f"{layer}.mix", graph.node("MatMul", f"{layer}.value.mix", shares, value), _WIDTH, _WIDTH)
        x = graph.norm(f"{layer}.norm", graph.node("Add", f"{layer}.join", x, mixed))
        wide = graph.node("Relu", f"{layer}.relu", graph.linear(f"{layer}.widen", x, _WIDTH, 2 * _WIDTH))
        narrow = graph.linear(f"{layer}.narrow", wide, 2 * _WIDTH, _WIDTH)
        x = graph.norm(f"{layer}.norm2", graph.node("Add", f"{layer}.join2", x, narrow))
    return x, graph.node("Unsqueeze", "mask.column", mask, graph.constant("last", [-1], np.int64))


_TEXT: Mapping[str, Sequence[int | str]] = {
    name: ["batch", "length"] for name in ("input_ids", "attention_mask", "token_type_ids")
}


def _bert() -> onnx.ModelProto:
    """A classifier of sentences by their first token."""
    graph = _Graph()
    x, _ = _encoder(graph)
    first = graph.node("Gather", "first", x, graph.constant("zero", 0, np.int64), axis=1)
    scores = graph.head("head", first, _WIDTH, 4)
    return graph.model(_TEXT, {"logits": (scores, ["batch", 4])}, TensorProto.INT64)


def _minilm() -> onnx.ModelProto:
    """The mean of the tokens, divided by its norm."""
    graph = _Graph()
    x, mask = _encoder(graph)
    axis = graph.constant("tokens", [1], np.int64)
    total = graph.node("ReduceSum", "sum", graph.node("Mul", "masked", x, mask), axis, keepdims=0)
    mean = graph.node("Div", "mean", total, graph.node("ReduceSum", "count", mask, axis, keepdims=0))
    made = graph.node("Div", "normalise", mean, graph.node("ReduceL2", "norm", mean, axes=[1], keepdims=1))
    return graph.model(_TEXT, {"sentence_embedding": (made, ["batch", _WIDTH])}, TensorProto.INT64)


def _trunk(graph: _Graph, width: int = 8) -> str:
    """A strided stem and two residual blocks: half the resolution."""
    x = graph.node("Relu", "stem.relu", graph.conv("stem", "image", 3, width, stride=2))
    for block in ("block1", "block2"):
        inner = graph.node("Relu", f"{block}.relu", graph.conv(f"{block}.conv1", x, width, width))
        added = graph.node("Add", f"{block}.join", x, graph.conv(f"{block}.conv2", inner, width, width))
        x = graph.node("Relu", f"{block}.out", added)
    return x


def _image_model(
    graph: _Graph, size: Sequence[int | str], **outputs: tuple[str, Sequence[int | str]]
) -> onnx.ModelProto:
    return graph.model({"image": ["batch", 3, *size]}, outputs, TensorProto.FLOAT)


def _pooled(graph: _Graph, x: str) -> str:
    return graph.node("Flatten", "flat", graph.node("GlobalAveragePool", "pool", x))


def _detector() -> onnx.ModelProto:
    """A map of probabilities of images of any size."""
    graph = _Graph()
    found = graph.node("Sigmoid", "sigmoid", graph.conv("head", _trunk(graph), 8, 1, kernel=1))
    return _image_model(graph, ["height", "width"], map=(found, ["batch", 1, "rows", "columns"]))


def _recogniser() -> onnx.ModelProto:
    """Probabilities of 12 characters at each position along a line of text."""
    graph = _Graph()
    columns = graph.node("ReduceMean", "rows", _trunk(graph), axes=[2], keepdims=0)
    turned = graph.node("Transpose", "turn", columns, perm=[0, 2, 1])
    found = graph.node("Softmax", "softmax", graph.linear("head", turned, 8, 12), axis=-1)
    return _image_model(graph, [16, 32], characters=(found, ["batch", 16, 12]))


def _two_heads() -> onnx.ModelProto:
    """Scores of 5 classes, and a box."""
    graph = _Graph()
    x = _pooled(graph, _trunk(graph))
    scores = graph.head("kind", x, 8, 5)
    box = graph.head("where", x, 8, 4)
    return _image_model(graph, [16, 16], scores=(scores, ["batch", 5]), box=(box, ["batch", 4]))


def _efficientnet() -> onnx.ModelProto:
    """Inverted residuals with gated channels, and scores of 12 classes."""
    graph = _Graph()

    def swish(name: str, x: str) -> str:
        return graph.node("Mul", f"{name}.swish", x, graph.node("Sigmoid", f"{name}.sigmoid", x))

    x = swish("stem", graph.conv("stem", "image", 3, 8, stride=2))
    for block in ("block1", "block2"):
        wide = swish(f"{block}.expand", graph.conv(f"{block}.expand", x, 8, 16, kernel=1))
        weights = graph.weight(f"{block}.depth.weight", 16, 1, 3, 3), graph.shift(f"{block}.depth.bias", 16)
        deep = swish(f"{block}.depth", graph.node("Conv", f"{block}.depth", wide, *weights, group=16, pads=[1] * 4))
        mean = graph.node("GlobalAveragePool", f"{block}.squeeze", deep)
        gate = graph.node("Sigmoid", f"{block}.gate", graph.conv(f"{block}.excite", mean, 16, 16, kernel=1))
        gated = graph.node("Mul", f"{block}.gated", deep, gate)
        x = graph.node("Add", f"{block}.join", x, graph.conv(f"{block}.project", gated, 16, 8, kernel=1))
    scores = graph.head("head", _pooled(graph, x), 8, 12)
    return _image_model(graph, [32, 32], scores=(scores, ["batch", 12]))


def _sentences(count: int, chance: np.random.Generator) -> dict[str, Array]:
    """Random words, of which the last ones may be padding."""
    lengths = chance.integers(2, _TOKENS + 1, (count, 1))
    kinds = np.arange(_TOKENS) >= chance.integers(1, _TOKENS, (count, 1))
    return {
        "input_ids": chance.integers(0, _WORDS, (count, _TOKENS)),
        "attention_mask": (np.arange(_TOKENS) < lengths).astype(np.int64),
        "token_type_ids": kinds.astype(np.int64),
    }


def _image_batch(count: int, chance: np.random.Generator, height: int, width: int) -> Array:
    """Smooth random images, each of a tint of its own, float32 [count, 3, height, width]."""
    tint = chance.normal(0, 2, (count, 3, 1, 1))
    coarse = chance.normal(0, 1, (count, 3, height // 4, width // 4))
    noise = chance.normal(0, 0.2, (count, 3, height, width))
    return (tint + coarse.repeat(4, 2).repeat(4, 3) + noise).astype(np.float32)


def _images(height: int, width: int) -> Callable[[int, np.random.Generator], dict[str, Array]]:
    return lambda count, chance: {"image": _image_batch(count, chance, height, width)}


KINDS: Mapping[str, Kind] = {
    "bert": Kind(_bert, _sentences),
    "minilm": Kind(_minilm, _sentences),
    "detector": Kind(_detector, _images(32, 32)),
    "recogniser": Kind(_recogniser, _images(16, 32)),
    "twohead": Kind(_two_heads, _images(16, 16)),
    "efficientnet": Kind(_efficientnet, _images(32, 32)),
}
