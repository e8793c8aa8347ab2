"""Small models that together have most of what natonnx treats in ways of its own; all that is mutated starts here."""

from collections.abc import Mapping

import numpy as np
import onnx
from onnx import numpy_helper

__all__ = ["corpus"]

_HEAD = '<ir_version: 9, opset_import: ["": 17, "own": 1]>\n'

_TEXTS: Mapping[str, str] = {
    "residual": """
g (float[N,3,8,8] x, float[4,3,3,3] w0, float[4] w1, float[4] w2, float[4] w3, float[4] w4, float[4,4,3,3] w5,
   float[4,4,3,3] w6, float[5,4] w7) => (float[N,5] y) {
  a = Conv <kernel_shape = [3,3], pads = [1,1,1,1]> (x, w0)
  b = BatchNormalization (a, w1, w2, w3, w4)
  c = Relu (b)
  d = Conv <kernel_shape = [3,3], pads = [1,1,1,1]> (c, w5)
  e = Relu (d)
  f = Conv <kernel_shape = [3,3], pads = [1,1,1,1]> (e, w6)
  h = Add (f, c)
  i = Relu (h)
  j = GlobalAveragePool (i)
  k = Flatten (j)
  y = Gemm <transB = 1> (k, w7)
}""",
    "concat": """
g (float[N,2,8,8] x, float[3,2,1,1] w0, float[2,2,3,3] w1, float[5,1,3,3] w2, float[2,5,1,1] w3, float[9,2] w4)
  => (float[N,9] y) {
  a = Conv (x, w0)
  b = Conv <pads = [1,1,1,1]> (x, w1)
  c = Concat <axis = 1> (a, b)
  d = Relu (c)
  e = Conv <group = 5, pads = [1,1,1,1]> (d, w2)
  f = Conv (e, w3)
  h = MaxPool <kernel_shape = [2,2], strides = [2,2]> (f)
  i = Resize <mode = "nearest"> (h, empty, scales)
  j = GlobalMaxPool (i)
  k = Flatten (j)
  y = Gemm <transB = 1> (k, w4)
}""",
    "attention": """
g (float[batch,6,8] x, float[8,8] w0, float[8,8] w1, float[8,8] w2, float[8] w3, float[8] w4) => (float[batch,6,8] y) {
  s = Shape (x)
  n = Gather <axis = 0> (s, zero)
  m = Unsqueeze (n, zeros)
  t = Concat <axis = 0> (m, six, two, four)
  q = MatMul (x, w0)
  r = Reshape (q, t)
  u = Transpose <perm = [0,2,1,3]> (r)
  k = MatMul (x, w1)
  l = Reshape (k, t)
  v = Transpose <perm = [0,2,3,1]> (l)
  p = MatMul (u, v)
  a = Softmax <axis = -1> (p)
  b = MatMul (a, u)
  c = Transpose <perm = [0,2,1,3]> (b)
  d = Reshape (c, back)
  e = MatMul (d, w2)
  f = Add (e, x)
  y = LayerNormalization (f, w3, w4)
}""",
    "sizes": """
g (float[N,2,6,6] x, float[2,2,3,3] w0) => (float[N,2,6,6] y) {
  a = Pad (x, pads)
  b = Conv (a, w0)
  c = Slice (b, zeros, three, two)
  d = Tile (c, tiles)
  e = Expand (d, expand)
  f = Constant <value_ints = [2]> ()
  h = ConstantOfShape (f)
  i = Squeeze (e, zeros)
  j = ReduceMean <axes = [2,3]> (b)
  k = Range (zero, first, one)
  l = Einsum <equation = "...ij,jk->...ik"> (b, square)
  y = Add (b, j)
}""",
    "quantised": """
g (float[N,2,4,4] x, float[3,2,1,1] w0, float[3] w1) => (float[N,3,4,4] y) {
  a = QuantizeLinear (x, scale, point)
  b = DequantizeLinear (a, scale, point)
  c = QuantizeLinear (w0, scale, point)
  d = DequantizeLinear (c, scale, point)
  e = Conv (b, d, w1)
  f = Clip (e, low, high)
  h = QuantizeLinear (f, scale, point)
  y = DequantizeLinear (h, scale, point)
}""",
    "control": """
g (float[2,4] x, float[4,4] w0) => (float[2,4] y) {
  a = MatMul (x, w0)
  t = Constant <value_int = 3> ()
  c = Constant <value = bool {1}> ()
  b = Loop (t, c, a) <body = body (int64 i, bool k, float[2,4] v) => (bool o, float[2,4] w) {
    o = Identity (k)
    w = Add (v, v)
  }>
  d = If (c) <then_branch = one () => (float[2,4] e) { e = Relu (b) },
              else_branch = two () => (float[2,4] f) { f = Neg (b) }>
  s = SequenceConstruct (d, a)
  h = ConcatFromSequence <axis = 0> (s)
  z, q = Split <axis = 0> (h, halves)
  y = Add (z, d)
}""",
    "recurrent": """
g (float[5,N,3] x, float[1,16,3] w0, float[1,16,4] w1, float[1,32] w2, float[4,4] w3) => (float[5,N,4] y) {
  a, b, c = LSTM <hidden_size = 4> (x, w0, w1, w2)
  d = Squeeze (a, ones)
  e = MatMul (d, w3)
  y = Tanh (e)
}""",
    "function": """
g (float[N,4] x, float[4,4] w0, float[4,4] w1) => (float[N,4] y) {
  a = MatMul (x, w0)
  b = own.twice (a)
  c = MatMul (b, w1)
  d = Dropout (c)
  y = Add (d, a)
}
<domain: "own", opset_import: ["": 17]> twice (v) => (w) { u = Relu (v)  w = Add (u, u) }
""",
}

_CONSTANTS: Mapping[str, np.ndarray] = {
    **{name: np.array(values, np.int64) for name, values in {"zero": 0, "zeros": [0], "one": 1, "ones": [1]}.items()},
    **{name: np.array([value], np.int64) for name, value in {"two": 2, "three": 3, "four": 4, "six": 6}.items()},
    "back": np.array([0, 6, 8], np.int64),
    "pads": np.array([0, 0, 1, 1, 0, 0, 1, 1], np.int64),
    "tiles": np.array([1, 1, 1, 2], np.int64),
    "expand": np.array([1, 1, 1, 1], np.int64),
    "halves": np.array([2, 2], np.int64),
    "first": np.array(4, np.int64),
    "square": np.eye(6, dtype=np.float32),
    "scales": np.array([1, 1, 2, 2], np.float32),
    "empty": np.array([], np.float32),
    "scale": np.array(0.1, np.float32),
    "point": np.array(3, np.uint8),
    "low": np.array(0, np.float32),
    "high": np.array(6, np.float32),
}


def corpus() -> dict[str, onnx.ModelProto]:
    """Build the models by name: each valid, and of a few kilobytes."""
    return {name: _built(text) for name, text in _TEXTS.items()}


def _built(text: str) -> onnx.ModelProto:
    """Parse a model; its inputs called w0, w1, … become initializers, and so does what nothing makes."""
    model = onnx.parser.parse_model(_HEAD + text.strip())
    graph, generator = model.graph, np.random.default_rng(0)
    for info in [info for info in graph.input if info.name.startswith("w")]:
        shape = [dim.dim_value for dim in info.type.tensor_type.shape.dim]
        values = np.abs(generator.standard_normal(shape)).astype(np.float32)
        graph.initializer.append(numpy_helper.from_array(values, info.name))
        graph.input.remove(info)
    read = {name for node in graph.node for name in node.input} & _CONSTANTS.keys()
    graph.initializer.extend(numpy_helper.from_array(_CONSTANTS[name], name) for name in sorted(read))
    return model
