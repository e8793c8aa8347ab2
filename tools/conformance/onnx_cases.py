"""ONNX's official node cases, those that the wheel carries on disk included, and how the op table runs them."""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import onnx
import torch
from onnx import TensorProto, numpy_helper

from natonnx.frontend.vocabulary import DEFAULT_DOMAIN
from natonnx.supernet.ops import OpSpec, build, host_positions, is_mode_dependent, supported
from natonnx.supernet.ops.operands import as_tensor

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from torch import Tensor

DTYPES = frozenset(
    f"{kind}{bits}" for kind, widths in (("float", (16, 32, 64)), ("int", (8, 16, 32, 64))) for bits in widths
) | {"bool", "bfloat16", "uint8", "uint16", "uint32", "uint64", "complex64", "complex128"}
"""The element types that torch computes with."""

CPU = torch.device("cpu")

OUTSIDE = "operators outside the table"
FOREIGN_TYPES = "element types that torch does not compute with"
"""The two reasons to skip a case that call for details."""

_BFLOAT16_RTOL = 2**-6
"""What onnx's own runner tolerates in bfloat16: two units in the last place."""

KNOWN_FAILURES: dict[str, str] = {
    case: reason
    for reason, cases in {
        "Dropout is the identity in any mode: search and fine-tuning want no noise besides the architecture's.": [
            "test_training_dropout",
            "test_training_dropout_default",
            "test_training_dropout_default_mask",
            "test_training_dropout_mask",
        ],
        "Aligned corners after a scale that leads to a fractional length: the case aligns the fraction, the table the "
        "whole length, as onnxruntime and torch do.": [
            "test_resize_downsample_scales_cubic_align_corners",
            "test_resize_downsample_scales_linear_align_corners",
        ],
        "Two units in float16's last place, where the case tolerates about one; the table is nearer to the result in "
        "double precision than the case is.": [
            "test_attention_4d_causal_fp16",
            "test_attention_4d_causal_fp16_expanded",
            "test_attention_4d_fp16",
        ],
        "Off by less than 3e-7 where the case wants 0 within 1e-7 beside values of order 1: rounding.": [
            "test_basic_deform_conv_with_padding",
            "test_dft_inverse",
            "test_dft_inverse_opset19",
        ],
    }.items()
    for case in cases
}
"""Cases in the table's reach that it fails, and why. One that starts passing must leave this list."""

UNCOVERED = frozenset({"GlobalLpPool", "MaxRoiPool"})
"""Operators of the table that no official case covers; tests/supernet/ compares them with onnxruntime instead."""


@dataclass(frozen=True)
class Case:
    """A model with one set of inputs and expected outputs.

    Attributes:
        name: Its official name.
        model: The model.
        inputs: Its inputs: arrays, or lists and None where they are sequences and optional values.
        outputs: What it must return, likewise.
        rtol: The tolerated relative difference.
        atol: The tolerated absolute difference.
    """

    name: str
    model: onnx.ModelProto
    inputs: Sequence[Any]
    outputs: Sequence[Any]
    rtol: float
    atol: float

    @property
    def op_type(self) -> str:
        """The operator that the case is about: the first that is no constant."""
        nodes = self.model.graph.node
        return next((node.op_type for node in nodes if node.op_type != "Constant"), nodes[0].op_type)

    @property
    def skipped(self) -> str | None:
        """Why the case is none of the table's, or None where the table must pass it."""
        values, nodes = [*self.inputs, *self.outputs], self.model.graph.node
        if self.model.functions:
            return "functions of the model's own"
        if any(node.domain not in DEFAULT_DOMAIN for node in nodes):
            return "operators of another domain"
        if any(node.op_type not in supported() for node in nodes):
            return OUTSIDE
        if not all(isinstance(value, np.ndarray | np.generic) for value in values):
            return "sequences and optional values"
        if any(value.dtype.name not in DTYPES for value in values):
            return FOREIGN_TYPES
        return None

    @property
    def outside(self) -> set[str]:
        """The operators that the table lacks."""
        return {node.op_type for node in self.model.graph.node} - supported()


def all_cases() -> Iterator[Case]:
    """Yield every official case that has a model and one set of data."""
    yield from _generated_cases()
    yield from _packaged_cases()


def _generated_cases() -> Iterator[Case]:
    """Yield the node cases, which onnx makes in memory."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from onnx.backend.test.case.node import collect_testcases

        cases = collect_testcases(None)
    for case in cases:
        if case.model is not None and case.data_sets and len(case.data_sets) == 1:
            inputs, outputs = case.data_sets[0]
            yield Case(case.name, case.model, [*map(_plain, inputs)], [*map(_plain, outputs)], case.rtol, case.atol)


def _packaged_cases() -> Iterator[Case]:
    """Yield the cases that the onnx wheel carries on disk: exports of early PyTorch, at opset 6 and 9."""
    data = Path(onnx.__file__).parent / "backend" / "test" / "data"
    for folder in sorted(data.glob("pytorch-*/*")):
        arrays = {kind: _read_arrays(folder / "test_data_set_0", kind) for kind in ("input", "output")}
        yield Case(folder.name, onnx.load(folder / "model.onnx"), arrays["input"], arrays["output"], 1e-3, 1e-6)


def _plain(value: Any) -> Any:
    """Unpack a tensor message; the cases of Cast come as such."""
    return numpy_helper.to_array(value) if isinstance(value, TensorProto) else value


def _read_arrays(folder: Path, kind: str) -> list[np.ndarray]:
    """Read the numbered tensors of a data set."""
    arrays = []
    for number in range(len(list(folder.glob(f"{kind}_*.pb")))):
        tensor = TensorProto.FromString((folder / f"{kind}_{number}.pb").read_bytes())
        arrays.append(numpy_helper.to_array(tensor))
    return arrays


def interpret(model: onnx.ModelProto, inputs: Sequence[np.ndarray], device: torch.device = CPU) -> list[Tensor]:
    """Run a model node by node through the op table.

    Args:
        model: The model.
        inputs: Its inputs in order; absent ones are left out.
        device: Where its tensors are, but for those that kernels read as numbers.

    Returns:
        Its outputs in order.
    """
    graph = model.graph
    opset = next(entry.version for entry in model.opset_import if entry.domain in DEFAULT_DOMAIN)
    values: dict[str, Tensor | None] = {"": None}
    values |= {tensor.name: as_tensor(numpy_helper.to_array(tensor)) for tensor in graph.initializer}
    values |= {value.name: as_tensor(np.asarray(array)) for value, array in zip(graph.input, inputs, strict=False)}
    numbers = {name for node in graph.node for i, name in enumerate(node.input) if i in host_positions(node.op_type)}
    values |= {name: value.to(device) for name, value in values.items() if value is not None and name not in numbers}
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


def as_array(tensor: Tensor) -> np.ndarray:
    """Return a tensor as an array; bfloat16 in single precision, as numpy has no such type."""
    tensor = tensor.detach().resolve_conj()
    return (tensor.float() if tensor.dtype == torch.bfloat16 else tensor).numpy()


def failure(case: Case) -> str | None:
    """Run a case.

    Args:
        case: The case.

    Returns:
        What is wrong with the outcome, in one line, or None.
    """
    try:
        results = interpret(case.model, case.inputs)
        assert len(results) == len(case.outputs)
        for result, expected in zip(results, case.outputs, strict=True):
            assert str(result.dtype).removeprefix("torch.") == expected.dtype.name, f"{result.dtype}"
            short = expected.dtype.name == "bfloat16"
            wide = expected.astype(np.float32) if short else expected
            rtol = max(case.rtol, _BFLOAT16_RTOL) if short else case.rtol
            np.testing.assert_allclose(as_array(result), wide, rtol=rtol, atol=case.atol, strict=True)
    except Exception as error:  # a case may fail in any way, and the report names it
        return f"{type(error).__name__}: {' '.join(str(error).split())[:300]}"
    return None
