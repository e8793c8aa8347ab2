"""Each check before writing fails on the fault that it is there for."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

import numpy as np
import pytest
from onnx import TensorProto, helper

from natonnx.architecture import Architecture, Edit, State, apply_edits
from natonnx.errors import InputError
from natonnx.frontend import parse
from natonnx.rewrite import build, verify
from natonnx.rewrite.verify import relative_difference, sample_inputs
from natonnx.supernet import Supernet
from tests.rewrite.helpers import Builder, copy, images

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    import onnx

    from natonnx.frontend import Network

CHECKER, CONTRACT, COST, ROUND_TRIP = (
    "onnx checker and shape inference",
    "contract of the file",
    "cost does not grow",
    "round trip without edits",
)
EQUAL, RUNS = "onnxruntime equals the supernet", "onnxruntime runs"


def residual(batch: int | str = "n") -> Network:
    graph = Builder(batch=batch)
    graph.op("Add", graph.conv("x", "a"), "x", out="s")
    graph.conv("s", "b", kernel=3)
    return graph.network("b")


def alpha_of(network: Network) -> Architecture:
    return apply_edits(network.architecture, [Edit("A", State.O, State.S)])


def failed(
    network: Network,
    alpha: Architecture,
    model: onnx.ModelProto,
    reference: Callable[[Mapping[str, np.ndarray]], Mapping[str, np.ndarray]] | None = None,
) -> dict[str, str]:
    return {check.name: check.detail for check in verify(network, alpha, model, reference) if not check.passed}


def test_all_checks_pass_on_what_build_made() -> None:
    network = residual()
    alpha = alpha_of(network)
    checks = verify(network, alpha, build(network, alpha), Supernet(network).as_reference(alpha))
    assert [check.name for check in checks if check.passed] == [CHECKER, CONTRACT, COST, ROUND_TRIP, EQUAL]
    assert len(checks) == 5


def test_without_a_reference_the_model_still_has_to_run() -> None:
    network = residual()
    checks = verify(network, network.architecture, network.model)
    assert checks[-1] == (RUNS, True, "batch sizes [1, 3]")


def test_broken_graph() -> None:
    network = residual()
    model = copy(network.model)
    model.graph.node[0].input[0] = "nowhere"
    assert "nowhere" in failed(network, network.architecture, model)[CHECKER]


def test_wrong_shape() -> None:
    network = residual()
    model = copy(network.model)
    model.graph.output[0].type.tensor_type.shape.dim[1].dim_value = 9
    assert set(failed(network, network.architecture, model)) == {CHECKER, CONTRACT}


@pytest.mark.parametrize("part", ["IR version", "opset", "inputs", "outputs"])
def test_changed_contract(part: str) -> None:
    network = residual()
    model = copy(network.model)
    if part == "IR version":
        model.ir_version = 9
    elif part == "opset":
        model.opset_import[0].version = 18
    elif part == "inputs":
        model.graph.input.append(helper.make_tensor_value_info("y", TensorProto.FLOAT, [1]))
    else:
        model.graph.output[0].name = model.graph.node[-1].output[0] = "renamed"
    assert failed(network, network.architecture, model) == {CONTRACT: f"{part} changed"}


def test_dynamic_axis_that_became_fixed() -> None:
    network = residual()
    model = copy(network.model)
    model.graph.input[0].type.tensor_type.shape.dim[0].dim_value = 1
    assert failed(network, network.architecture, model)[CONTRACT] == "inputs changed"


def test_cost_that_grows() -> None:
    network = residual()
    smaller = parse(build(network, alpha_of(network)))
    assert set(failed(smaller, network.architecture, network.model)) >= {COST}


def test_round_trip_that_is_not_exact(monkeypatch: pytest.MonkeyPatch) -> None:
    network = residual()

    def forgetful(source: Network, *_: object) -> onnx.ModelProto:
        model = copy(source.model)
        model.graph.name = ""
        return model

    monkeypatch.setattr(sys.modules["natonnx.rewrite.verify"], "build", forgetful)
    assert failed(network, network.architecture, network.model) == {ROUND_TRIP: "the bytes differ"}


def test_model_of_another_architecture() -> None:
    network = residual()
    alpha = alpha_of(network)
    found = failed(network, alpha, network.model, Supernet(network).as_reference(alpha))
    assert set(found) == {EQUAL}


def test_weight_that_is_off_by_a_little() -> None:
    network = residual()
    model = build(network, network.architecture, {"b.w": Supernet(network).weights()["b.w"] * 1.001})
    found = failed(network, network.architecture, model, Supernet(network).as_reference())
    assert set(found) == {EQUAL}


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_output_that_is_not_finite(value: float) -> None:
    network = residual()
    broken = np.full_like(Supernet(network).weights()["b.w"], value)
    model = build(network, network.architecture, {"b.w": broken})
    assert set(failed(network, network.architecture, model, Supernet(network).as_reference())) == {EQUAL}


def test_model_that_onnxruntime_refuses() -> None:
    network = residual()
    model = copy(network.model)
    tensor = model.graph.initializer[0]
    tensor.CopyFrom(helper.make_tensor("a.w", TensorProto.FLOAT, [4, 5, 1, 1], [0.0] * 20))  # the checker lets it pass
    found = failed(network, network.architecture, model)
    assert set(found) == {RUNS}
    assert "\n" not in found[RUNS]


def test_nothing_runs_after_a_failed_check() -> None:
    network = residual()
    model = copy(network.model)
    model.ir_version = 9
    assert RUNS not in [check.name for check in verify(network, network.architecture, model)]


def test_given_samples_are_used() -> None:
    network = residual()
    seen = []

    def reference(inputs: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        seen.append(inputs["x"].shape)
        return Supernet(network).as_reference()(inputs)

    verify(network, network.architecture, network.model, reference, [{"x": images(7, 4, 8)}])
    assert seen == [(7, 4, 8, 8)]


# Samples


def test_samples_have_two_batch_sizes() -> None:
    assert [sample["x"].shape for sample in sample_inputs(residual())] == [(1, 4, 8, 8), (3, 4, 8, 8)]


def test_fixed_batch_gives_one_sample() -> None:
    assert [sample["x"].shape for sample in sample_inputs(residual(batch=2))] == [(2, 4, 8, 8)]


def test_open_sizes_ask_for_an_input_shape() -> None:
    graph = Builder(size="size")
    graph.conv("x", "a")
    with pytest.raises(InputError, match=r"^input 'x' has open sizes: give --input-shape x:1,\.\.\.$"):
        sample_inputs(graph.network("a"))


@pytest.mark.parametrize("first", ["x", "factor"])
def test_scalar_input(first: str) -> None:
    graph = Builder()
    graph.op("Mul", "x", "factor", out="m")
    graph.channels["m"] = 4
    graph.conv("m", "a")
    inputs = [graph.input, helper.make_tensor_value_info("factor", TensorProto.FLOAT, [])]
    if first == "factor":
        inputs.reverse()
    output = helper.make_tensor_value_info("a", TensorProto.FLOAT, ["n", 4, 8, 8])
    inner = helper.make_graph(graph.nodes, "scalar", inputs, [output], graph.initializers)
    network = parse(helper.make_model(inner, opset_imports=[helper.make_opsetid("", 17)], ir_version=8))
    alpha = apply_edits(network.architecture, [Edit("A", State.O, State.S)])
    assert not failed(network, alpha, build(network, alpha), Supernet(network).as_reference(alpha))


@pytest.mark.parametrize("elem_type", [TensorProto.INT64, TensorProto.BOOL, TensorProto.FLOAT16, TensorProto.DOUBLE])
def test_samples_have_the_inputs_type(elem_type: int) -> None:
    graph = Builder()
    graph.input.type.tensor_type.elem_type = elem_type
    graph.op("Cast", "x", out="f", to=TensorProto.FLOAT)
    (one, _) = sample_inputs(graph.network("f"))
    assert one["x"].dtype == helper.tensor_dtype_to_np_dtype(elem_type)


# Difference


@pytest.mark.parametrize(
    ("value", "expected", "difference"),
    [
        ([1.0, 2.0], [1.0, 2.0], 0.0),
        ([1.0, 2.5], [1.0, 2.0], 0.25),
        ([0.5], [0.0], 0.5),
        ([], [], 0.0),
        ([np.nan], [1.0], np.inf),
        ([1.0], [np.nan], np.inf),
        ([1.0], [1.0, 1.0], np.inf),
    ],
)
def test_relative_difference(value: list[float], expected: list[float], difference: float) -> None:
    assert relative_difference(np.array(value, np.float32), np.array(expected, np.float32)) == difference


def test_equal_infinities_are_no_difference() -> None:
    value = np.array([np.inf, np.nan, -np.inf, 1.0], np.float32)
    assert relative_difference(value, value.copy()) == 0.0


def test_opposite_infinities_are_a_difference() -> None:
    assert relative_difference(np.array([np.inf]), np.array([-np.inf])) == np.inf


def test_overflowing_half_precision_is_measured_in_double() -> None:
    assert relative_difference(np.array([6e4], np.float16), np.array([-6e4], np.float16)) == pytest.approx(2)
