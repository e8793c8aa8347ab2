"""No operator waits for the host: all run where no tensor has values; the exceptions have names and reasons."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import onnx.parser
import pytest
import torch
from onnx import numpy_helper

from natonnx.architecture import Edit, State, apply_edits
from natonnx.frontend import Network, parse
from natonnx.policy.base import draw
from natonnx.policy.random_search import RandomPolicy
from natonnx.supernet import Supernet
from tests.frontend import nets, transformers
from tests.supernet.away import META, Away, NoLists, WaitsError, run_away

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from torch import Tensor


@pytest.mark.parametrize("name", [*nets.NETS, *(n for n, s in transformers.SUBJECTS.items() if s.exporter == "script")])
def test_subjects_wait_for_nothing(name: str) -> None:
    """The model itself in both modes, and architectures that are drawn, with channels cut, skips and shortcuts."""
    source = nets if name in nets.NETS else transformers
    network = parse(source.exported(name))
    supernet, inputs = Supernet(network), dict(zip(network.inputs, source.example(name)[1], strict=True))
    assert not supernet.in_onnxruntime
    generator = torch.Generator().manual_seed(0)
    drawn = draw(RandomPolicy(most=8.0), network.architecture, 2, generator).architectures
    run_away(supernet.eval(), inputs)
    for architecture in (network.architecture, *drawn):
        run_away(supernet.train(), inputs, architecture)


def model(body: str, inputs: str = "float[n, 4] x", constants: str = "", opset: int = 18) -> Network:
    """Parse a model whose output is y."""
    text = f"agraph ({inputs}) => (float[m] y) {f'<{constants}>' if constants else ''} {{ {body} }}"
    return parse(onnx.parser.parse_model(f'<ir_version: 8, opset_import: ["" : {opset}]> {text}'))


MIXTURES: Mapping[str, tuple[str, str, str]] = {
    "a border of a constant": ("y = Pad(x, p, v)", "", "int64[4] p = {0, 1, 0, 1}, float v = {0.5}"),
    "a border of what is computed": (
        "v = ReduceMax<keepdims=0>(x) y = Pad(x, p, v)", "", "int64[4] p = {0, 1, 0, 1}"
    ),
    "a border of edges": ('y = Pad<mode = "reflect">(x, p)', "", "int64[4] p = {0, 1, 0, 1}"),
    "a limit that is a factor too": ("z = Mul(x, six) y = Clip(z, , six)", "", "float six = {6.0}"),
    "a border that is added too": ("z = Pad(x, p, v) y = Add(z, v)", "", "int64[4] p = {0, 1, 0, 1}, float v = {0.5}"),
    "sizes by floating point": (
        ("s = Shape(x) f = Cast<to = 1>(s) g = Mul(f, k) h = Floor(g) t = Cast<to = 7>(h)"
        ' y = Resize<mode = "linear">(x, , , t)'),
        "float[n, 4, 6, 6] x", "float[4] k = {1.0, 1.0, 2.0, 2.0}",
    ),
    "scales": ('y = Resize(x, , k)', "float[n, 4, 6, 6] x", "float[4] k = {1.0, 1.0, 1.5, 2.0}"),
    "a power by a whole number": ("y = Pow(x, two)", "", "int64 two = {2}"),
    "a choice of a scalar by shape": (
        "s = Shape(x) n = Gather<axis = 0>(s, i) f = Cast<to = 1>(n) c = Greater(x, f) y = Where(c, x, f)", "",
        "int64 i = {1}",
    ),
    "zeros of a shape": ("s = Shape(x) z = ConstantOfShape(s) w = Transpose(z) y = MatMul(x, w)", "", ""),
    "zeros that are added": (
        "h = MatMul(x, w) s = Shape(h) z = ConstantOfShape(s) g = Relu(h) y = Add(g, z)",
        "",
        "float[4, 4] w = {1, 2, 3, 4, 5, 6, 7, 8, 9, 1, 2, 3, 4, 5, 6, 7}",
    ),
    "zeros that are joined": (
        "h = MatMul(x, w) s = Shape(h) z = ConstantOfShape(s) g = Relu(h) y = Concat<axis = 1>(g, z, h)",
        "",
        "float[4, 4] w = {1, 2, 3, 4, 5, 6, 7, 8, 9, 1, 2, 3, 4, 5, 6, 7}",
    ),
    "a state that is summed": (
        "h = MatMul(x, w) s = Shape(h) z = ConstantOfShape(s) g = Relu(z) k = Add(g, h) y = Sum(k, z, x)",
        "",
        "float[4, 4] w = {1, 2, 3, 4, 5, 6, 7, 8, 9, 1, 2, 3, 4, 5, 6, 7}",
    ),
    "a product with a scalar": ("h = Identity(v) y = Einsum<equation = \",ij->ij\">(h, x)", "", "float v = {2.0}"),
    "positions": (
        "s = Shape(x) n = Gather<axis = 0>(s, i) r = Range(a, n, b) f = Cast<to = 1>(r) c = Cos(f) y = Mul(x, c)", "",
        "int64 i = {1}, int64 a = {0}, int64 b = {1}",
    ),
    "a table of positions": (
        ("s = Shape(x) n = Gather<axis = 0>(s, i) r = Range(a, n, b) p = Gather<axis = 0>(e, r) t = Transpose(p)"
        " y = Add(x, t)"), "",
        "int64 i = {1}, int64 a = {0}, int64 b = {1}, float[4, 1] e = {0.1, 0.2, 0.3, 0.4}",
    ),
    "a mask of a shape": (
        "s = Shape(x) o = ConstantOfShape<value = bool[1] {1}>(s) t = Trilu<upper = 0>(o) y = Where(t, x, x)",
        "float[4, 4] x", "",
    ),
    "a state of a shape": (
        "h, l = LSTM<hidden_size = 2>(x, w, r, , lengths, z, z) y = Add(h, h)", "float[3, 2, 1] x",
        ("float[1, 8, 1] w = {1.0, 1.0, 1.0, 1.0, 1.0, 1.0, 1.0, 1.0}, int32[2] lengths = {3, 2},"
        " float[1, 8, 2] r = {1.0, 1.0, 1.0, 1.0, 1.0, 1.0, 1.0, 1.0, 1.0, 1.0, 1.0, 1.0, 1.0, 1.0, 1.0, 1.0},"
        " float[1, 2, 2] z = {0.0, 0.0, 0.0, 0.0}"),
    ),
    "backwards": (
        "y = Slice(x, a, b, c, d)", "", "int64[1] a = {-1}, int64[1] b = {-100}, int64[1] c = {1}, int64[1] d = {-1}"
    ),
    "one of several": ("y = OneHot(i, d, v)", "int64[n] i", "int64 d = {5}, float[2] v = {0.0, 1.0}"),
    "the largest": ("v, i = TopK(x, k) y = GatherElements<axis = 1>(x, i)", "", "int64[1] k = {2}"),
    "a sum along an axis": ("y = CumSum(x, a)", "", "int64 a = {1}"),
    "an embedding": (
        "e = Gather(t, i) y = ReduceMean<axes = [1]>(e)", "int64[n, 3] i", "float[2, 2] t = {1.0, 2.0, 3.0, 4.0}"
    ),
    "rows of a constant table": ("y = Gather(t, i)", "int64[n] i", "int64[3] t = {2, 0, 1}"),
    "regions": (
        "y = RoiAlign<output_height = 2, output_width = 2, sampling_ratio = 2>(x, r, b)",
        "float[1, 2, 6, 6] x, float[n, 4] r", "int64[2] b = {0, 0}",
    ),
}  # fmt: skip
"""Constants, shapes and tensors of the model that meet: the nodes, the inputs, the constants."""


@pytest.mark.parametrize("name", MIXTURES)
@pytest.mark.parametrize("training", [True, False])
def test_what_comes_from_the_host_joins_without_waiting(name: str, training: bool) -> None:
    body, inputs, constants = MIXTURES[name]
    network = model(body, inputs or "float[n, 4] x", constants, 13 if "axes = " in body else 18)
    run_away(Supernet(network).train(training), example(network))


def example(network: Network) -> dict[str, Tensor]:
    """Return inputs of a model, two samples where their number is open."""
    found = {}
    for name in network.inputs:
        shape = [size if isinstance(size, int) else 2 for size in network.shapes[name]]
        whole = network.dtypes[name] == onnx.TensorProto.INT64
        found[name] = torch.ones(shape, dtype=torch.int64) if whole else torch.randn(shape)
    return found


@pytest.mark.parametrize(
    ("body", "inputs", "constants"),
    [
        ("i = NonZero(x) y = Cast<to = 1>(i)", "float[n, 4] x", ""),
        ("c = Greater(x, x) y = Compress<axis = 0>(x, c)", "float[4] x", ""),
        ("y = MaxRoiPool<pooled_shape = [1, 1]>(x, r)", "float[1, 2, 4, 4] x, float[n, 5] r", ""),
        ("y = RoiAlign(x, r, b)", "float[1, 2, 4, 4] x, float[n, 4] r, int64[n] b", ""),
        (
            "h = RNN<hidden_size = 1>(x, w, r, , l) y = Neg(h)", "float[3, 2, 1] x, int32[2] l",
            "float[1, 1, 1] w = {1.0}, float[1, 1, 1] r = {1.0}",
        ),
        ("d = Cast<to = 7>(x) y = OneHot(i, d, v)", "int64[n] i, float x", "float[2] v = {0.0, 1.0}"),
        ("d = Floor(x) y = Range(z, d, o)", "float x", "float z = {0.0}, float o = {1.0}"),
        ("z = Bernoulli(x) y = Neg(z)", "float[n, 4] x", ""),
        (
            ("c = ReduceMax<keepdims = 0>(x) b = Cast<to = 9>(c)"
            " y = If(b)<then_branch = one () => (float[n, 4] p) { p = Neg(x) },"
            " else_branch = two () => (float[n, 4] q) { q = Abs(x) }>"),
            "float[n, 4] x", "",
        ),
    ],
    ids=["NonZero", "Compress", "MaxRoiPool", "RoiAlign", "lengths", "depth", "Range", "onnxruntime", "If"],
)  # fmt: skip
def test_what_waits(body: str, inputs: str, constants: str) -> None:
    """What a shape or a path depends on by its values, and what the table lacks: docs/devices.md names them."""
    network = model(body, inputs, constants)
    supernet = Supernet(network).eval()
    with pytest.raises((RuntimeError, WaitsError)):
        run_away(supernet, example(network))


def test_what_waits_is_seen() -> None:
    """torch's device without data lets these pass; a GPU would wait, or refuse them."""
    away, here = torch.ones(3, device=META), torch.ones(3)
    scalar = torch.tensor(2.0)
    wrongs: tuple[Callable[[], Tensor], ...] = (
        lambda: here.to(META),
        lambda: scalar.to(META),
        lambda: torch.empty(3, device=META).copy_(here),
        lambda: torch.tensor([1.0], device=META),
        lambda: torch.where(away > 0, away, scalar),
        lambda: away.index_select(0, torch.tensor([0])),
        lambda: torch.matmul(here, away),
    )
    with Away(), NoLists():
        for wrong in wrongs:
            with pytest.raises((RuntimeError, WaitsError)):
                wrong()
        torch.add(away, scalar)
        here.to(META, non_blocking=True)


def test_a_kernel_that_is_kept_takes_what_it_needs_with_it() -> None:
    """A shortcut past a concatenation that loses a member: indices of channels, and weights that are sliced."""
    network = parse(concatenating())
    edge = next(edge for edge in network.architecture.topology.edges if edge.name.startswith("left"))
    alpha = apply_edits(network.architecture, [Edit(edge.name, State.O, State.N)])
    run_away(Supernet(network).train(), {"x": torch.randn(2, 4, 6, 6)}, alpha)


def concatenating() -> onnx.ModelProto:
    """Two convolutions, joined, and one behind them."""

    def weight(name: str, *shape: int) -> Any:
        values = np.random.default_rng(0).standard_normal(shape).astype(np.float32)
        return numpy_helper.from_array(values, name)

    nodes = [
        onnx.helper.make_node("Conv", ["x", "l"], ["a"], "left"),
        onnx.helper.make_node("Conv", ["x", "r"], ["b"], "right"),
        onnx.helper.make_node("Concat", ["a", "b"], ["c"], "join", axis=1),
        onnx.helper.make_node("Conv", ["c", "w"], ["y"], "last"),
    ]
    info = onnx.helper.make_tensor_value_info
    graph = onnx.helper.make_graph(
        nodes,
        "g",
        [info("x", 1, ["n", 4, 6, 6])],
        [info("y", 1, ["n", 2, 6, 6])],
        [weight("l", 3, 4, 1, 1), weight("r", 3, 4, 1, 1), weight("w", 2, 6, 1, 1)],
    )
    return onnx.helper.make_model(graph, ir_version=8, opset_imports=[onnx.helper.make_opsetid("", 17)])
