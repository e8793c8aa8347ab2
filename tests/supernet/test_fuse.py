"""Steps that are joined compute what onnxruntime computes of the file, and what is between them is still to be had."""

import math

import numpy as np
import onnx
import pytest
import torch
from onnx import TensorProto, helper, numpy_helper

from natonnx.frontend import parse
from natonnx.supernet import Supernet
from tests.rewrite.helpers import runtime

GELUS = {
    "div, x first": "a = Div(h, root) e = Erf(a) o = Add(e, one) p = Mul(h, o) y = Mul(p, half)",
    "half first": "a = Mul(h, inverse) e = Erf(a) o = Add(one, e) p = Mul(o, half) y = Mul(h, p)",
    "half apart": "q = Mul(half, h) a = Div(h, root) e = Erf(a) o = Add(e, one) y = Mul(q, o)",
    "half apart, behind": "a = Div(h, root) e = Erf(a) o = Add(e, one) q = Div(h, two) y = Mul(o, q)",
}
NO_GELUS = {
    "another root": "a = Div(h, two) e = Erf(a) o = Add(e, one) p = Mul(h, o) y = Mul(p, half)",
    "another factor": "a = Div(h, root) e = Erf(a) o = Add(e, one) p = Mul(h, o) y = Mul(p, two)",
    "root over x": "a = Div(root, h) e = Erf(a) o = Add(e, one) p = Mul(h, o) y = Mul(p, half)",
    "x twice": "a = Div(h, root) e = Erf(a) o = Add(e, one) p = Mul(h, o) y = Mul(p, h)",
    "another one": "a = Div(h, root) e = Erf(a) o = Add(e, half) p = Mul(h, o) y = Mul(p, half)",
    "read twice": "a = Div(h, root) e = Erf(a) o = Add(e, one) p = Mul(h, o) s = Mul(p, half) y = Add(s, o)",
}


def model(body: str, *, outputs: tuple[str, ...] = ("y",), bias: int = 6) -> onnx.ModelProto:
    """A matrix product with a bias, and what a body makes of it; the axes of x are open."""
    chance = np.random.default_rng(0)
    numbers = {"root": math.sqrt(2), "inverse": math.sqrt(0.5), "one": 1.0, "half": 0.5, "two": 2.0}
    tensors = {name: np.array(value, np.float32) for name, value in numbers.items()}
    tensors["w"] = chance.standard_normal((4, 6)).astype(np.float32)
    tensors["b"] = chance.standard_normal(bias).astype(np.float32)
    nodes = [helper.make_node("MatMul", ["x", "w"], ["m"]), helper.make_node("Add", ["m", "b"], ["h"])]
    words = body.replace("=", " ").replace(",", " ").replace("(", " ").replace(")", " ").split()
    while words:
        output, kind, *words = words
        count = 1 if kind == "Erf" else 2
        nodes.append(helper.make_node(kind, words[:count], [output]))
        words = words[count:]
    read = {name for node in nodes for name in node.input}
    graph = helper.make_graph(
        nodes,
        "g",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["n", "t", 4])],
        [helper.make_tensor_value_info(name, TensorProto.FLOAT, None) for name in outputs],
        [numpy_helper.from_array(value, name) for name, value in tensors.items() if name in read],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)


def x() -> np.ndarray:
    values: np.ndarray = np.random.default_rng(1).standard_normal((3, 5, 4)).astype(np.float32)
    return values


def hidden(supernet: Supernet) -> set[str]:
    return set(supernet.plan(supernet.network.architecture).hidden)


def check(made: onnx.ModelProto, supernet: Supernet) -> None:
    supernet.eval()
    with torch.inference_mode():
        found = supernet.run({"x": torch.from_numpy(x())})
    for name, value in runtime(made, {"x": x()}).items():
        np.testing.assert_allclose(found[name].numpy(), value, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("body", GELUS.values(), ids=GELUS)
def test_gelu_spelt_out_is_one_call(body: str) -> None:
    made = model(body)
    supernet = Supernet(parse(made))
    inner = {name for node in made.graph.node for name in node.output} - {"h", "y"}
    assert hidden(supernet) == inner
    check(made, supernet)


@pytest.mark.parametrize("body", NO_GELUS.values(), ids=NO_GELUS)
def test_what_is_no_gelu_is_computed_as_it_is(body: str) -> None:
    made = model(body)
    supernet = Supernet(parse(made))
    assert hidden(supernet) == {"m"}
    check(made, supernet)


def test_what_is_hidden_is_made_for_who_asks() -> None:
    made = model(GELUS["div, x first"])
    supernet = Supernet(parse(made)).eval()
    with torch.inference_mode():
        found = supernet.run({"x": torch.from_numpy(x())}, capture=["m", "o", "y"])
    tensors = {tensor.name: numpy_helper.to_array(tensor) for tensor in made.graph.initializer}
    np.testing.assert_allclose(found["m"].numpy(), x() @ tensors["w"], rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(found["y"].numpy(), runtime(made, {"x": x()})["y"], rtol=1e-5, atol=1e-6)
    assert found["o"].shape == (3, 5, 6)


def test_outputs_of_the_model_are_never_hidden() -> None:
    made = model(GELUS["div, x first"], outputs=("y", "m", "e"))
    supernet = Supernet(parse(made))
    assert not hidden(supernet)
    check(made, supernet)


def test_a_bias_of_one_number_is_broadcast() -> None:
    made = model("y = Mul(h, half)", bias=1)
    check(made, Supernet(parse(made)))


def test_gradients_are_those_of_the_steps_one_by_one() -> None:
    supernet = Supernet(parse(model(GELUS["half apart"]))).train()
    given = {"x": torch.from_numpy(x())}
    gradients = []
    for capture in (None, ["y", "m"]):
        supernet.zero_grad()
        supernet.run(given, capture=capture)["y"].square().sum().backward()  # type: ignore[no-untyped-call]
        gradients.append([parameter.grad.clone() for parameter in supernet.parameters() if parameter.grad is not None])
    assert len(gradients[0]) == len(gradients[1]) == 2
    for fused, plain in zip(*gradients, strict=True):
        torch.testing.assert_close(fused, plain)
