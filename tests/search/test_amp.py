"""Training in bfloat16: --amp bf16."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx.parser
import pytest
import torch
from onnx import helper

from natonnx.errors import InputError
from natonnx.frontend import parse
from natonnx.search import Problem, Settings
from natonnx.search.runner import tensor_batches
from natonnx.search.train import Trainer
from natonnx.supernet import Supernet
from tests.frontend import nets, transformers
from tests.search.conftest import tiny_split
from tests.search.test_train import no_original

CPU = torch.device("cpu")


def losses(problem: Problem, amp: Any) -> tuple[list[float], Supernet]:
    """Train for some passes; return the mean loss of each."""
    supernet = Supernet(problem.network)
    trainer = Trainer(problem, supernet, no_original, learning_rate=0.05, distillation=0.0, amp=amp)
    generator = torch.Generator().manual_seed(0)
    found = []
    for _ in range(6):
        batches = tensor_batches(tiny_split(240, 1), 32, CPU, generator)
        steps = [trainer.step(batch, problem.network.architecture, generator) for batch in batches]
        assert all(loss.dtype == torch.float32 for loss in steps)
        found.append(float(torch.stack(steps).mean()))
    assert trainer.skipped == 0
    return found, supernet


def test_training_in_bfloat16_learns_as_much(problem: Problem) -> None:
    single, _ = losses(problem, "off")
    short, supernet = losses(problem, "bf16")
    assert short != single
    assert short[-1] < 0.5 * short[0]
    np.testing.assert_allclose(short, single, rtol=0.1)
    assert all(value.dtype == torch.float32 for value in supernet.state_dict().values())


@pytest.mark.parametrize(
    "name", ["lstm", "gru", "face", "detector", "mobile", "spelt-before-13", "vit-13", "bert-after-13"]
)
def test_subjects_run_in_bfloat16(name: str) -> None:
    """Forward as in single precision but for bfloat16's own eight bits, and backward to finite gradients."""
    source = nets if name in nets.NETS else transformers
    network = parse(source.exported(name))
    supernet, inputs = Supernet(network).train(), dict(zip(network.inputs, source.example(name)[1], strict=True))
    expected = supernet.run(inputs)
    with torch.autocast("cpu", torch.bfloat16):
        found = supernet.run(inputs)
    for output, value in expected.items():
        if value.is_floating_point():
            assert float(((found[output].float() - value).norm() / value.norm()).detach()) < 0.1
    means = [value.float().square().mean() for value in found.values() if value.requires_grad]
    torch.stack(means).sum().backward()  # type: ignore[no-untyped-call]
    gradients = [parameter.grad for parameter in supernet.parameters() if parameter.grad is not None]
    assert gradients
    assert all(bool(gradient.isfinite().all()) for gradient in gradients)


SHORT = {
    "GridSample": ("y = GridSample(r, g)", "float[2, 1, 1, 2] g = {-0.5, 0.5, 0.0, 0.25}"),
    "ScatterElements": (
        "y = ScatterElements<axis = 3>(r, i, u)", "int64[2, 1, 1, 1] i = {0, 1}, float[2, 1, 1, 1] u = {1, 2}"
    ),
    "ScatterND": ("y = ScatterND(r, i, u)", "int64[1, 1] i = {0}, float[1, 1, 2, 2] u = {1, 2, 3, 4}"),
    "updates": (
        "y = ScatterElements<axis = 3>(u, i, r)",
        "int64[2, 1, 2, 2] i = {0, 1, 0, 1, 0, 1, 0, 1}, float[2, 1, 2, 2] u = {1, 2, 3, 4, 5, 6, 7, 8}",
    ),
    "Det": ("y = Det(r)", ""),
    "DFT": ("y = DFT<axis = 2>(c)", ""),
    "Concat": ("y = Concat<axis = 0>(r, u)", "float[1, 1, 2, 2] u = {1, 2, 3, 4}"),
    "Where": ("b = Greater(r, u) y = Where(b, r, u)", "float[1] u = {0.5}"),
    "Pow": ("y = Pow(r, u)", "float u = {2}"),
    "Resize": ("y = Resize<mode = \"linear\">(r, , u)", "float[4] u = {1, 1, 1.5, 2}"),
    "Pad": ("y = Pad(r, i, u)", "int64[8] i = {0, 0, 1, 1, 0, 0, 1, 1}, float u = {2}"),
    "TopK": ("y, j = TopK<axis = 3>(r, i)", "int64[1] i = {1}"),
    "CumSum": ("y = CumSum(r, i)", "int64 i = {3}"),
    "LayerNormalization": ("y = LayerNormalization(r, u)", "float[2] u = {1, 2}"),
}  # fmt: skip
"""Operators that read r [2, 1, 2, 2], which torch.autocast has shortened, or c [2, 1, 4, 1]: nodes, and constants."""


@pytest.mark.parametrize("name", SHORT)
def test_operators_take_what_autocast_makes(name: str) -> None:
    body, constants = SHORT[name]
    fixed = (
        "float[4, 4] w = {1, 2, 3, 4, 5, 6, 7, 8, 9, 1, 2, 3, 4, 5, 6, 7},"
        " int64[4] s = {-1, 1, 2, 2}, int64[4] q = {-1, 1, 4, 1}"
    )
    nodes = f"h = MatMul(x, w) r = Reshape(h, s) c = Reshape(h, q) {body}"
    text = f"agraph (float[2, 4] x) => (float[m] y) <{fixed}{', ' * bool(constants)}{constants}> {{ {nodes} }}"
    supernet = Supernet(parse(onnx.parser.parse_model(f'<ir_version: 8, opset_import: ["" : 17]> {text}'))).train()
    x = torch.linspace(0.1, 1, 8).reshape(2, 4)
    expected = supernet.run({"x": x})["y"]
    with torch.autocast("cpu", torch.bfloat16):
        found = supernet.run({"x": x})["y"].float()
    torch.testing.assert_close(found, expected, rtol=0.03, atol=0.3)
    found.sum().backward()  # type: ignore[no-untyped-call]


def test_a_node_of_onnxruntime_s_own_takes_it_too() -> None:
    nodes = [
        helper.make_node("MatMul", ["x", "w"], ["h"], "dense"),
        helper.make_node("FastGelu", ["h"], ["g"], "gelu", domain="com.microsoft"),
        helper.make_node("Add", ["g", "h"], ["y"], "sum"),
    ]
    weight = onnx.numpy_helper.from_array(np.eye(4, dtype=np.float32), "w")
    info = helper.make_tensor_value_info
    graph = helper.make_graph(nodes, "g", [info("x", 1, ["n", 4])], [info("y", 1, ["n", 4])], [weight])
    opsets = [helper.make_opsetid("", 17), helper.make_opsetid("com.microsoft", 1)]
    supernet = Supernet(parse(helper.make_model(graph, ir_version=8, opset_imports=opsets)))
    assert supernet.in_onnxruntime == ("FastGelu",)
    x = torch.linspace(-1, 1, 8).reshape(2, 4)
    expected = supernet.run({"x": x})["y"]
    with torch.autocast("cpu", torch.bfloat16):
        found = supernet.run({"x": x})["y"]
    torch.testing.assert_close(found.float(), expected, rtol=0.02, atol=0.02)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"amp": "fp16"}, "unknown amp 'fp16': choose off or bf16"),
        ({"amp": "bf16", "training": False}, "--no-training"),
    ],
)
def test_settings_that_mean_nothing_are_refused(given: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=message):
        Settings(**given)
