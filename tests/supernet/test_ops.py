"""The op table against ONNX's own node cases, against onnxruntime for the traps, and against torch's gradients."""

from __future__ import annotations

import warnings
from collections import defaultdict
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import onnx
import onnxruntime as ort
import pytest
import torch
from onnx import TensorProto, helper, numpy_helper
from torch import nn

from natonnx.errors import InputError
from natonnx.frontend.vocabulary import TRAINABLE
from natonnx.supernet.ops import OpSpec, UnsupportedOpError, build, is_mode_dependent, supported

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from torch import Tensor

DTYPES = frozenset(map(np.dtype, ("f2", "f4", "f8", "i1", "i2", "i4", "i8", "u1", "?")))
FEWEST_CASES = 700  # a guard against a filter that drops cases silently

# Cases in the table's reach that it fails on purpose. One that starts passing must leave this list.
KNOWN_FAILURES = {
    # ONNX moves the running variance towards the population variance, torch and its checkpoints towards the unbiased.
    "test_batchnorm_example_training_mode": "running variance",
    "test_batchnorm_epsilon_training_mode": "running variance",
    # Dropout passes everything in any mode: search and fine-tuning want no noise besides the sampled architecture.
    "test_training_dropout_default": "Dropout is the identity",
    "test_training_dropout_default_mask": "Dropout is the identity",
    "test_training_dropout": "Dropout is the identity",
    "test_training_dropout_mask": "Dropout is the identity",
}


@dataclass(frozen=True)
class Case:
    """A model with one set of inputs and expected outputs."""

    name: str
    model: onnx.ModelProto
    inputs: Sequence[np.ndarray]
    outputs: Sequence[np.ndarray]
    rtol: float
    atol: float

    @property
    def op_type(self) -> str:
        nodes = self.model.graph.node
        return next((node.op_type for node in nodes if node.op_type != "Constant"), nodes[0].op_type)

    @property
    def applies(self) -> bool:
        """Whether the table claims to run this: default domain, no functions, known ops, plain arrays."""
        graph = self.model.graph
        arrays = [*self.inputs, *self.outputs]
        return (
            "_expanded" not in self.name
            and not self.model.functions
            and all(node.domain in {"", "ai.onnx"} and node.op_type in supported() for node in graph.node)
            and all(isinstance(array, np.ndarray | np.generic) and array.dtype in DTYPES for array in arrays)
        )


def generated_cases() -> Iterator[Case]:
    """Yield the official node cases, which onnx makes in memory."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from onnx.backend.test.case.node import collect_testcases

        cases = collect_testcases(None)
    for case in cases:
        if case.model is not None and case.data_sets and len(case.data_sets) == 1:
            inputs, outputs = case.data_sets[0]
            yield Case(case.name, case.model, [*map(plain, inputs)], [*map(plain, outputs)], case.rtol, case.atol)


def packaged_cases() -> Iterator[Case]:
    """Yield the cases that the onnx wheel carries on disk: exports of early PyTorch, at opset 6 and 9."""
    data = Path(onnx.__file__).parent / "backend" / "test" / "data"
    for folder in sorted(data.glob("pytorch-*/*")):
        arrays = {kind: read_arrays(folder / "test_data_set_0", kind) for kind in ("input", "output")}
        yield Case(folder.name, onnx.load(folder / "model.onnx"), arrays["input"], arrays["output"], 1e-3, 1e-6)


def plain(value: Any) -> Any:
    """Unpack a tensor message; the cases of Cast come as such."""
    return numpy_helper.to_array(value) if isinstance(value, TensorProto) else value


def read_arrays(folder: Path, kind: str) -> list[np.ndarray]:
    arrays = []
    for number in range(len(list(folder.glob(f"{kind}_*.pb")))):
        tensor = TensorProto.FromString((folder / f"{kind}_{number}.pb").read_bytes())
        arrays.append(numpy_helper.to_array(tensor))
    return arrays


def interpret(model: onnx.ModelProto, inputs: Sequence[np.ndarray]) -> list[Tensor]:
    """Run a model node by node through the op table."""
    graph = model.graph
    opset = next(entry.version for entry in model.opset_import if entry.domain in {"", "ai.onnx"})
    values: dict[str, Tensor | None] = {"": None}
    values |= {tensor.name: as_tensor(numpy_helper.to_array(tensor)) for tensor in graph.initializer}
    values |= {value.name: as_tensor(array) for value, array in zip(graph.input, inputs, strict=False)}
    for node in graph.node:
        spec = OpSpec.from_node(node, opset)
        mode: dict[str, Any] = {}
        if is_mode_dependent(node.op_type):
            mode["training"] = bool(spec.integer("training_mode"))
        results = build(spec)(*(values[name] for name in node.input), **mode)
        results = results if isinstance(results, tuple) else (results,)
        assert len(results) == len(node.output)
        values |= dict(zip(node.output, results, strict=True))
        values[""] = None
    outputs = [values[output.name] for output in graph.output]
    return [output for output in outputs if output is not None]


def as_tensor(array: np.ndarray) -> Tensor:
    return torch.from_numpy(np.array(array))


def failure(case: Case) -> str | None:
    """Run a case; return what is wrong with the outcome, or None."""
    try:
        results = [result.numpy() for result in interpret(case.model, case.inputs)]
        assert len(results) == len(case.outputs)
        for result, expected in zip(results, case.outputs, strict=True):
            assert result.dtype == expected.dtype
            assert result.shape == expected.shape
            np.testing.assert_allclose(result, expected, rtol=case.rtol, atol=case.atol)
    except Exception as error:  # a case may fail in any way, and the report names it
        return f"{type(error).__name__}: {' '.join(str(error).split())[:300]}"
    return None


@pytest.fixture(scope="module")
def cases() -> dict[str, list[Case]]:
    """All cases that the table claims to run, by operator."""
    by_op = defaultdict(list)
    for case in (*generated_cases(), *packaged_cases()):
        if case.applies:
            by_op[case.op_type].append(case)
    return by_op


@pytest.fixture(autouse=True)
def single_thread() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.mark.parametrize("op_type", sorted(supported()))
def test_official_cases(op_type: str, cases: dict[str, list[Case]]) -> None:
    assert cases[op_type], "an operator that no official case covers"
    failures = {case.name: reason for case in cases[op_type] if (reason := failure(case))}
    expected = {case.name for case in cases[op_type]} & KNOWN_FAILURES.keys()
    assert failures.keys() - expected == set(), failures
    assert expected - failures.keys() == set(), "these pass now: take them off the list of known failures"


def test_official_cases_are_all_there(cases: dict[str, list[Case]]) -> None:
    names = [case.name for group in cases.values() for case in group]
    assert len(names) >= FEWEST_CASES
    assert set(names) >= KNOWN_FAILURES.keys()
    assert len(KNOWN_FAILURES) < 0.05 * len(names)


def array(*shape: int, seed: int = 0, dtype: str = "f4") -> np.ndarray:
    return np.random.default_rng(seed).standard_normal(shape).astype(dtype)


def one_node(
    op_type: str, inputs: Sequence[np.ndarray | None], opset: int, n_outputs: int = 1, **attributes: Any
) -> onnx.ModelProto:
    """Make a model of a single node; an input of None is absent."""
    names = ["" if value is None else f"x{number}" for number, value in enumerate(inputs)]
    outputs = [f"y{number}" for number in range(n_outputs)]
    graph = helper.make_graph(
        [helper.make_node(op_type, names, outputs, name="node", **attributes)],
        "graph",
        [
            helper.make_tensor_value_info(name, helper.np_dtype_to_tensor_dtype(value.dtype), value.shape)
            for name, value in zip(names, inputs, strict=True)
            if value is not None
        ],
        [helper.make_empty_tensor_value_info(name) for name in outputs],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=8)


def reference(model: onnx.ModelProto, inputs: Sequence[np.ndarray]) -> list[np.ndarray]:
    """Run a model in onnxruntime, on the CPU, without graph optimisation."""
    options = ort.SessionOptions()
    options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_DISABLE_ALL
    options.intra_op_num_threads = 1
    options.log_severity_level = 4
    session = ort.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
    feeds = {value.name: array for value, array in zip(session.get_inputs(), inputs, strict=True)}
    return list(session.run(None, feeds))


def agrees(op_type: str, *inputs: np.ndarray | None, opset: int = 17, n_outputs: int = 1, **attributes: Any) -> None:
    """Assert that the table and onnxruntime agree on a node, in values, types and shapes."""
    model = one_node(op_type, inputs, opset, n_outputs, **attributes)
    present = [value for value in inputs if value is not None]
    results = [result.numpy() for result in interpret(model, present)]
    for result, expected in zip(results, reference(model, present), strict=True):
        assert result.dtype == expected.dtype
        np.testing.assert_allclose(result, expected, rtol=1e-5, atol=1e-5, strict=True)


GEOMETRIES = [
    {"kernel_shape": [3, 3], "pads": [0, 0, 1, 1]},
    {"kernel_shape": [3, 2], "pads": [1, 0, 2, 1], "strides": [2, 3]},
    {"kernel_shape": [2, 2], "auto_pad": "SAME_UPPER"},
    {"kernel_shape": [2, 2], "auto_pad": "SAME_LOWER"},
    {"kernel_shape": [3, 4], "auto_pad": "SAME_UPPER", "strides": [2, 2]},
    {"kernel_shape": [3, 4], "auto_pad": "SAME_LOWER", "strides": [2, 2]},
    {"kernel_shape": [3, 3], "auto_pad": "VALID", "strides": [2, 2]},
    {"kernel_shape": [3, 3], "pads": [2, 2, 2, 2]},
    {"kernel_shape": [4], "pads": [1, 2], "strides": [3]},
    {"kernel_shape": [2, 3, 2], "pads": [0, 1, 0, 1, 1, 1]},
]
SIZES = (7, 10, 6)


@pytest.mark.parametrize("count_include_pad", [0, 1])
@pytest.mark.parametrize("ceil_mode", [0, 1])
@pytest.mark.parametrize("geometry", GEOMETRIES)
def test_average_pool(geometry: dict[str, Any], ceil_mode: int, count_include_pad: int) -> None:
    x = array(2, 3, *SIZES[: len(geometry["kernel_shape"])])
    agrees("AveragePool", x, opset=19, ceil_mode=ceil_mode, count_include_pad=count_include_pad, **geometry)


@pytest.mark.parametrize("n_outputs", [1, 2])
@pytest.mark.parametrize("ceil_mode", [0, 1])
@pytest.mark.parametrize("geometry", GEOMETRIES)
def test_max_pool(geometry: dict[str, Any], ceil_mode: int, n_outputs: int) -> None:
    x = array(2, 3, *SIZES[: len(geometry["kernel_shape"])])
    agrees("MaxPool", x, opset=12, n_outputs=n_outputs, ceil_mode=ceil_mode, **geometry)


@pytest.mark.parametrize("dilations", [1, 2])
@pytest.mark.parametrize("geometry", GEOMETRIES)
def test_conv(geometry: dict[str, Any], dilations: int) -> None:
    kernel = geometry["kernel_shape"]
    if dilations > 1 and geometry.get("auto_pad", "").startswith("SAME"):
        dilations = 1  # onnxruntime refuses both at once
    x, weight = array(2, 4, *SIZES[: len(kernel)]), array(6, 2, *kernel, seed=1)
    agrees("Conv", x, weight, array(6, seed=2), group=2, dilations=[dilations] * len(kernel), **geometry)


def test_conv_reads_the_kernel_size_from_the_weight() -> None:
    agrees("Conv", array(1, 2, 5, 5), array(3, 2, 3, 3), pads=[1, 1, 1, 1])


@pytest.mark.parametrize(
    "attributes",
    [
        {"strides": [2, 2], "pads": [1, 1, 1, 1], "output_padding": [1, 1]},
        {"strides": [2, 3], "pads": [1, 0, 0, 2]},
        {"strides": [3, 3], "pads": [0, 1, 1, 0], "output_padding": [2, 1]},
        {"strides": [2, 2], "dilations": [2, 1], "group": 2},
        {"strides": [2, 2], "auto_pad": "SAME_UPPER"},
        {"strides": [2, 2], "auto_pad": "SAME_LOWER"},
        {"strides": [2, 2], "auto_pad": "VALID"},
        {"strides": [4, 5], "auto_pad": "SAME_UPPER"},
        {"strides": [2, 2], "output_shape": [10, 8], "output_padding": [1, 1]},
        {"strides": [3, 2], "output_shape": [14, 8]},
        {"strides": [3, 2], "output_shape": [14, 8], "auto_pad": "SAME_UPPER"},
        {"strides": [4, 5], "output_shape": [20, 19]},
    ],
)
def test_conv_transpose(attributes: dict[str, Any]) -> None:
    weight = array(4, 6 // attributes.get("group", 1), 3, 3, seed=1)
    agrees("ConvTranspose", array(2, 4, 5, 4), weight, array(6, seed=2), **attributes)


@pytest.mark.parametrize("opset", [7, 9, 11, 13])
@pytest.mark.parametrize("c_shape", [(), (1,), (5,), (3, 1), (3, 5)])
@pytest.mark.parametrize(("trans_a", "trans_b"), [(0, 0), (0, 1), (1, 0), (1, 1)])
def test_gemm(trans_a: int, trans_b: int, c_shape: tuple[int, ...], opset: int) -> None:
    a, b = array(*(4, 3) if trans_a else (3, 4)), array(*(5, 4) if trans_b else (4, 5), seed=1)
    agrees("Gemm", a, b, array(*c_shape, seed=2), opset=opset, transA=trans_a, transB=trans_b, alpha=0.5, beta=-2.0)


def test_gemm_without_c() -> None:
    agrees("Gemm", array(3, 4), array(4, 5), opset=11, alpha=0.5)


@pytest.mark.parametrize("limits", [(None, None), (-0.5, None), (None, 0.5), (-0.5, 0.5), (0.5, -0.5)])
def test_clip_limits_may_be_absent(limits: tuple[float | None, float | None]) -> None:
    agrees("Clip", array(3, 4), *(None if limit is None else np.array(limit, "f4") for limit in limits))
    if limits != (0.5, -0.5):  # onnxruntime refuses crossed limits before opset 11
        attributes: dict[str, Any] = {
            name: limit for name, limit in zip(("min", "max"), limits, strict=True) if limit is not None
        }
        agrees("Clip", array(3, 4), opset=10, **attributes)


@pytest.mark.parametrize("op_type", ["Softmax", "LogSoftmax"])
@pytest.mark.parametrize("attributes", [{}, {"axis": 0}, {"axis": 2}, {"axis": -2}])
@pytest.mark.parametrize("opset", [11, 12, 13])
def test_softmax_flattens_before_opset_13(op_type: str, attributes: dict[str, int], opset: int) -> None:
    agrees(op_type, array(2, 3, 4, 5), opset=opset, **attributes)


def test_activation_defaults() -> None:
    for op_type in ("HardSigmoid", "LeakyRelu", "Elu", "Selu", "Celu", "ThresholdedRelu"):
        agrees(op_type, 4 * array(50))


@pytest.mark.parametrize("axis", [-4, -2, -1, 0, 2, 4])
def test_flatten(axis: int) -> None:
    agrees("Flatten", array(2, 3, 4, 5), opset=11, axis=axis)


def test_integers_divide_towards_zero() -> None:
    agrees("Div", np.array([-7, 7, -8]), np.array([2, -2, 3]))


@pytest.mark.parametrize("mode", ["constant", "edge", "reflect", "wrap"])
def test_pad(mode: str) -> None:
    pads = np.array([1, 0, 3, 2, 0, 1, 0, 4])
    agrees("Pad", array(2, 3, 5, 6), pads, opset=19, mode=mode)
    agrees("Pad", array(2, 3, 5, 6), np.array([-1, 2, 1, -3]), None, np.array([2, -1]), opset=19, mode=mode)


def test_slice_bounds() -> None:
    x, far = array(5, 6, 7), np.iinfo(np.int64)
    agrees("Slice", x, np.array([-1, 1]), np.array([far.min, far.max]), np.array([0, -1]), np.array([-2, 3]))
    agrees("Slice", x, opset=9, starts=[1, -3], ends=[100, -1], axes=[1, 2])


def test_gather_takes_negative_indices() -> None:
    for axis in (0, 1, -1):
        agrees("Gather", array(3, 4), np.array([[0, -1], [-2, 1]]), axis=axis)
        agrees("Gather", array(3, 4), np.array(-1), axis=axis)


def test_expand_leaves_a_size_where_the_shape_says_one() -> None:
    agrees("Expand", array(3, 1, 4), np.array([1, 2, 1]))
    agrees("Expand", array(3, 1, 4), np.array([1]))


@pytest.mark.parametrize("opset", [11, 13, 18])
@pytest.mark.parametrize("axes", [None, [-1], [0, 2]])
@pytest.mark.parametrize("op_type", ["ReduceSum", "ReduceMean", "ReduceMax", "ReduceL2"])
def test_reduction_axes_move_from_attribute_to_input(op_type: str, axes: list[int] | None, opset: int) -> None:
    x = array(2, 3, 4)
    if axes is None:
        agrees(op_type, x, opset=opset, keepdims=0)
    elif opset >= (13 if op_type == "ReduceSum" else 18):
        agrees(op_type, x, np.array(axes), opset=opset)
    else:
        agrees(op_type, x, opset=opset, axes=axes)


def test_group_normalization_parameters_are_per_group_before_opset_21() -> None:
    x = array(2, 6, 4, 5)
    scale, bias = array(3, seed=1), array(3, seed=2)
    old = interpret(one_node("GroupNormalization", [x, scale, bias], 18, num_groups=3), [x, scale, bias])[0]
    wide = [x, scale.repeat(2), bias.repeat(2)]
    expected = reference(one_node("GroupNormalization", wide, 21, num_groups=3), wide)[0]
    np.testing.assert_allclose(old.numpy(), expected, rtol=1e-5, atol=1e-5)


def test_instance_normalization_of_single_elements() -> None:
    agrees("InstanceNormalization", array(1, 3, 1, 1), array(3, seed=1), array(3, seed=2))


@pytest.mark.parametrize("size", [3, 5])
def test_lrn(size: int) -> None:
    agrees("LRN", 3 * array(2, 7, 4, 4), size=size, alpha=0.5)


def test_lrn_of_even_size_has_the_odd_neighbour_behind() -> None:  # onnxruntime refuses to load it
    x = array(1, 5, 2, 2)
    model = one_node("LRN", [x], 13, size=4, alpha=0.5, beta=0.75, bias=2.0)
    squares = np.stack([np.square(x[:, max(0, c - 1) : c + 3]).sum(1) for c in range(5)], 1)
    expected = x / (2.0 + 0.5 / 4 * squares) ** 0.75
    np.testing.assert_allclose(interpret(model, [x])[0].numpy(), expected, rtol=1e-5)


def batch_norm_kernel(opset: int = 15, **attributes: Any) -> Any:
    node = helper.make_node("BatchNormalization", list("xsbmv"), ["y"], name="norm", **attributes)
    return build(OpSpec.from_node(node, opset))


@pytest.mark.parametrize("momentum", [None, 0.25])
@pytest.mark.parametrize("shape", [(8, 3), (4, 3, 5), (4, 3, 5, 6)])
def test_batch_normalization_trains_like_torch(shape: tuple[int, ...], momentum: float | None) -> None:
    """One minus ONNX's momentum is torch's; statistics move in place, and only in training."""
    native = {2: nn.BatchNorm1d, 3: nn.BatchNorm1d, 4: nn.BatchNorm2d}[len(shape)](
        3, eps=1e-3, momentum=momentum or 0.2
    )
    nn.init.normal_(native.weight)
    nn.init.normal_(native.bias)
    scale, bias = (leaf(parameter) for parameter in (native.weight, native.bias))
    mean, variance = torch.zeros(3), torch.ones(3)
    kernel = batch_norm_kernel(momentum=0.8, epsilon=1e-3, training_mode=1)
    for seed, training in enumerate((True, True, False)):
        x = torch.from_numpy(1 + 3 * array(*shape, seed=seed)).requires_grad_()
        own = leaf(x)
        native.train(training)
        expected, result = native(x), kernel(own, scale, bias, mean, variance, training=training, momentum=momentum)
        torch.testing.assert_close(result, expected)
        assert_same_gradients(result, expected, (own, scale, bias), (x, native.weight, native.bias))
        assert native.running_mean is not None
        assert native.running_var is not None
        torch.testing.assert_close(mean, native.running_mean)
        torch.testing.assert_close(variance, native.running_var)


def test_batch_normalization_inference_equals_onnxruntime() -> None:
    x, statistics = array(2, 3, 4, 5), [np.abs(array(3, seed=seed)) + 0.1 for seed in range(4)]
    for opset in (7, 9, 14, 15):
        agrees("BatchNormalization", x, *statistics, opset=opset, epsilon=0.01)


def leaf(tensor: Tensor) -> Tensor:
    return tensor.detach().clone().requires_grad_()


def assert_same_gradients(
    result: Tensor, expected: Tensor, results_from: Sequence[Tensor], expected_from: Sequence[Tensor]
) -> None:
    weights = torch.from_numpy(array(*result.shape, seed=9))
    gradients = torch.autograd.grad(result, results_from, weights)
    for gradient, other in zip(gradients, torch.autograd.grad(expected, expected_from, weights), strict=True):
        torch.testing.assert_close(gradient, other)


@pytest.mark.parametrize("channels_last", [False, True])
def test_conv_gradients_equal_torch(channels_last: bool) -> None:
    native = nn.Conv2d(4, 6, 3, stride=2, padding=(1, 2), groups=2)
    assert native.bias is not None
    node = helper.make_node("Conv", ["x", "w", "b"], ["y"], strides=[2, 2], pads=[1, 2, 1, 2], group=2)
    x = torch.from_numpy(array(2, 4, 9, 8))
    x = x.contiguous(memory_format=torch.channels_last) if channels_last else x
    ours, theirs = [leaf(x), leaf(native.weight), leaf(native.bias)], [leaf(x), native.weight, native.bias]
    result = build(OpSpec.from_node(node, 17))(*ours)
    expected = native(theirs[0])
    assert isinstance(result, torch.Tensor)
    torch.testing.assert_close(result, expected)
    assert result.is_contiguous(memory_format=torch.channels_last) == channels_last
    assert_same_gradients(result, expected, ours, theirs)


def test_gemm_gradients_equal_torch() -> None:
    native = nn.Linear(5, 3)
    node = helper.make_node("Gemm", ["x", "w", "b"], ["y"], transB=1)
    x = torch.from_numpy(array(4, 5))
    ours, theirs = [leaf(x), leaf(native.weight), leaf(native.bias)], [leaf(x), native.weight, native.bias]
    result, expected = build(OpSpec.from_node(node, 17))(*ours), native(theirs[0])
    assert isinstance(result, torch.Tensor)
    torch.testing.assert_close(result, expected)
    assert_same_gradients(result, expected, ours, theirs)


DIFFERENTIABLE = [
    ("AveragePool", [(1, 2, 5, 6)], {"kernel_shape": [3, 2], "pads": [0, 0, 1, 1]}),
    ("MaxPool", [(1, 2, 5, 6)], {"kernel_shape": [3, 2], "auto_pad": "SAME_LOWER"}),
    ("ConvTranspose", [(1, 2, 3, 3), (2, 2, 3, 3), (2,)], {"strides": [2, 2], "pads": [0, 1, 1, 0]}),
    ("PRelu", [(2, 3, 4), (3, 1)], {}),
    ("LRN", [(1, 5, 2, 2)], {"size": 3}),
    ("LayerNormalization", [(2, 3, 4), (4,), (4,)], {}),
    ("GroupNormalization", [(2, 4, 3), (2,), (2,)], {"num_groups": 2}),
    ("InstanceNormalization", [(2, 3, 4), (3,), (3,)], {}),
    ("HardSigmoid", [(5,)], {}),
    ("Selu", [(5,)], {"gamma": 2.0}),
    ("Softmax", [(2, 3)], {}),
    ("Sum", [(2, 3), (3,), (1,)], {}),
    ("ReduceL2", [(2, 3)], {"keepdims": 0}),
    ("DepthToSpace", [(1, 4, 2, 2)], {"blocksize": 2}),
    ("Einsum", [(2, 3), (3, 4)], {"equation": "ij,jk->ik"}),
]


@pytest.mark.parametrize(("op_type", "shapes", "attributes"), DIFFERENTIABLE, ids=[row[0] for row in DIFFERENTIABLE])
def test_gradients_are_right(op_type: str, shapes: list[tuple[int, ...]], attributes: dict[str, Any]) -> None:
    inputs = [torch.from_numpy(array(*shape, seed=seed, dtype="f8")) for seed, shape in enumerate(shapes)]
    node = helper.make_node(op_type, [f"x{number}" for number in range(len(inputs))], ["y"], **attributes)
    kernel = build(OpSpec.from_node(node, 18))
    assert torch.autograd.gradcheck(kernel, [value.requires_grad_() for value in inputs])


@pytest.mark.parametrize("op_type", ["Add", "Mul", "Pow", "Equal", "Max", "Where", "Concat"])
@pytest.mark.parametrize("shape", [(), (4,)])
def test_constants_on_the_cpu_mix_with_tensors_elsewhere(op_type: str, shape: tuple[int, ...]) -> None:
    """The device without data stands for an accelerator: torch checks devices there just as strictly."""
    if op_type == "Concat" and not shape:
        pytest.skip("scalars cannot be joined")
    away, here = torch.ones(4, device="meta"), torch.ones(shape)
    for operands in ((away, here), (here, away)):
        mask = (torch.ones(shape, dtype=torch.bool),) if op_type == "Where" else ()
        node = helper.make_node(op_type, ["x"] * (len(mask) + 2), ["y"], axis=0)
        result = build(OpSpec.from_node(node, 17))(*mask, *operands)
        assert isinstance(result, torch.Tensor)
        assert result.device.type == "meta"


def test_names_of_nodes_and_outputs_are_optional() -> None:
    node = helper.make_node("MaxPool", ["x"], ["y", ""], kernel_shape=[2, 2])
    spec = OpSpec.from_node(node, 12)
    assert (spec.name, spec.outputs, spec.n_outputs, spec.n_inputs) == ("y", (True, False), 2, 1)


@pytest.mark.parametrize(
    ("node", "opset", "reason"),
    [
        (helper.make_node("NonZero", ["x"], ["y"], name="odd"), 17, "no such operator"),
        (helper.make_node("BatchNormalization", list("xsbmv"), ["y"], name="odd", spatial=0), 8, "spatial=0"),
        (helper.make_node("Cast", ["x"], ["y"], name="odd", to=TensorProto.STRING), 17, "STRING"),
        (helper.make_node("Constant", [], ["y"], name="odd", value_string="text"), 17, "value_string"),
        (helper.make_node("Pad", ["x", "p"], ["y"], name="odd", mode="mirror"), 17, "mirror"),
        (helper.make_node("MaxPool", ["x"], ["y"], name="odd", kernel_shape=[1] * 4), 17, "4 spatial axes"),
    ],
)
def test_what_cannot_run_exactly_is_refused_in_one_line(node: onnx.NodeProto, opset: int, reason: str) -> None:
    with pytest.raises(UnsupportedOpError) as caught:
        build(OpSpec.from_node(node, opset))
    message = str(caught.value)
    assert isinstance(caught.value, InputError)
    assert "'odd'" in message
    assert node.op_type in message
    assert reason in message
    assert "\n" not in message


def test_the_tables_fit_together() -> None:
    assert TRAINABLE.keys() <= supported()
    assert {op_type for op_type in supported() if is_mode_dependent(op_type)} == {"BatchNormalization"}
    assert TRAINABLE["BatchNormalization"] == {1, 2}
