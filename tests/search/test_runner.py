"""Batches through the supernet and through onnxruntime, the samples wherever the model has them."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import onnx
import pytest
import torch
from onnx import TensorProto, helper, numpy_helper

from natonnx.data.batches import ArrayBatches, StreamBatches
from natonnx.frontend import Network, parse
from natonnx.search.runner import evaluation_batch, file_runner, forward, supernet_runner
from natonnx.session import session
from natonnx.supernet import Supernet


def model(batch: int | str) -> onnx.ModelProto:
    """x [N, 4] and a state [2, N, 3] and a factor [] → scores [N, 5], and the next state [2, N, 3]."""
    generator = np.random.default_rng(0)
    weights = {"w": generator.standard_normal((4, 5)), "u": generator.standard_normal((3, 3)), "two": np.array(2.0)}
    nodes = [
        helper.make_node("MatMul", ["x", "w"], ["dense"]),
        helper.make_node("Mul", ["dense", "factor"], ["scores"]),
        helper.make_node("MatMul", ["state", "u"], ["moved"]),
        helper.make_node("Tanh", ["moved"], ["next"]),
    ]
    graph = helper.make_graph(
        nodes,
        "stateful",
        [
            helper.make_tensor_value_info("x", TensorProto.FLOAT, [batch, 4]),
            helper.make_tensor_value_info("state", TensorProto.FLOAT, [2, batch, 3]),
            helper.make_tensor_value_info("factor", TensorProto.FLOAT, []),
        ],
        [
            helper.make_tensor_value_info("scores", TensorProto.FLOAT, [batch, 5]),
            helper.make_tensor_value_info("next", TensorProto.FLOAT, [2, batch, 3]),
        ],
        [numpy_helper.from_array(np.asarray(value, np.float32), name) for name, value in weights.items()],
    )
    return helper.make_model(graph, ir_version=8, opset_imports=[helper.make_opsetid("", 17)])


def inputs(count: int) -> dict[str, torch.Tensor]:
    generator = torch.Generator().manual_seed(1)
    return {
        "x": torch.randn(count, 4, generator=generator),
        "state": torch.randn(2, count, 3, generator=generator),
        "factor": torch.tensor(3.0),
    }


def expected(given: dict[str, torch.Tensor], network: Network) -> dict[str, np.ndarray]:
    """By numpy alone."""
    weights = {tensor.name: numpy_helper.to_array(tensor) for tensor in network.model.graph.initializer}
    scores = given["x"].numpy() @ weights["w"] * 3.0
    return {"scores": scores, "next": np.tanh(given["state"].numpy() @ weights["u"]).transpose(1, 0, 2)}


@pytest.mark.parametrize("batch", ["N", 1, 4])
def test_samples_come_first_whatever_the_batch_that_the_file_takes(batch: int | str) -> None:
    network = parse(model(batch))
    assert network.batch_axes.outputs == {"scores": 0, "next": 1}
    assert network.batch_axes.size == (None if batch == "N" else batch)
    given = inputs(7)
    captures = network.batch_axes.outputs
    runners = (
        supernet_runner(Supernet(network).eval(), network.architecture, captures),
        file_runner(session(network.model), network.batch_axes, captures),
        file_runner(session(network.model), network.batch_axes, captures, torch.device("cpu")),
    )
    for run in runners:
        found = run(given, 7)
        for name, value in expected(given, network).items():
            np.testing.assert_allclose(found[name].numpy(), value, rtol=1e-4, atol=1e-5)


def test_a_gradient_reaches_the_weights_through_every_piece() -> None:
    """Sample by sample the gradient is that of the whole batch."""
    gradients = []
    for batch in ("N", 1):
        network = parse(model(batch))
        supernet = Supernet(network)
        found = forward(supernet, inputs(5), 5, network.architecture, {"scores": 0})
        torch.autograd.backward(found["scores"].square().sum())
        gradients.append(supernet.get_parameter("w").grad)
    assert gradients[0] is not None
    assert gradients[1] is not None
    torch.testing.assert_close(gradients[0], gradients[1])


def test_large_inputs_are_run_in_pieces_that_fit_into_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    """In evaluation only: a minibatch's statistics are those of the whole."""
    network = parse(model("N"))
    given, captures = inputs(7), network.batch_axes.outputs
    supernet = Supernet(network).eval()
    whole = supernet_runner(supernet, network.architecture, captures)(given, 7)
    sizes: list[int] = []
    run = supernet.run

    def counting(part: Mapping[str, torch.Tensor], *arguments: Any, **options: Any) -> dict[str, torch.Tensor]:
        sizes.append(len(part["x"]))
        return run(part, *arguments, **options)

    monkeypatch.setattr(supernet, "run", counting)
    monkeypatch.setattr("natonnx.search.runner._CPU_BYTES", 3 * 4 * (4 + 6) + 4)  # three samples, and the factor
    parts = supernet_runner(supernet, network.architecture, captures)(given, 7)
    by_file = file_runner(session(network.model), network.batch_axes, captures)(given, 7)
    supernet.train()
    supernet_runner(supernet, network.architecture, captures)(given, 7)
    assert sizes == [3, 3, 1, 7]
    for name, value in whole.items():
        torch.testing.assert_close(parts[name], value)
        torch.testing.assert_close(by_file[name], value, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(("side", "expected"), [(32, 250), (105, 250), (224, 50), (3000, 1)])
def test_large_samples_are_read_in_smaller_batches(side: int, expected: int) -> None:
    """32 MiB of float32 at most, and one at least; 250 where a stream does not say how large they are."""
    samples = np.broadcast_to(np.float32(0), (2, 3, side, side))
    split = ArrayBatches({"x": samples, "shared": np.zeros(9)}, {"x": 0, "shared": None})
    assert evaluation_batch(split) == expected
    stream = StreamBatches(list, {"x": 0}, has_targets=False, sample_bytes=split.sample_bytes)
    assert evaluation_batch(stream) == expected
    assert evaluation_batch(StreamBatches(list, {"x": 0}, has_targets=False)) == 250
