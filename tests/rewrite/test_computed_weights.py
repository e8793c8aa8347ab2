"""Weights that nodes make of constants: counted once, trained, and written back; what is shared otherwise stays."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import onnx
import pytest
import torch
from onnx import TensorProto

from natonnx import frontend
from natonnx.architecture import State, apply_edits, cost
from natonnx.architecture.transition import Edit
from natonnx.frontend import parse
from natonnx.frontend.load import read
from natonnx.rewrite import build
from natonnx.rewrite.write import write_model
from natonnx.supernet import Supernet
from tests import external
from tests.rewrite.helpers import Builder, arrays, assert_close, images, runtime
from tests.rewrite.values import assert_single_edits, plainly

if TYPE_CHECKING:
    from pathlib import Path

    from natonnx.architecture import Architecture
    from natonnx.frontend import Network

SAMPLES = [{"x": images(n, 4, 8)} for n in (1, 3)]


def behind(graph: Builder, how: str, out: str, kernel: int = 1) -> str:
    """A weight [4, 4, k, k] that a node makes."""
    shape = (4, 4, kernel, kernel)
    if how == "Identity":
        return graph.op("Identity", graph.weight(f"{out}.raw", *shape), out=out)
    if how == "Transpose":
        return graph.op("Transpose", graph.weight(f"{out}.raw", *shape), out=out, perm=[1, 0, 2, 3])
    if how == "Reshape":
        sizes = graph.constant(f"{out}.sizes", np.array(shape, np.int64))
        return graph.op("Reshape", graph.weight(f"{out}.raw", 16 * kernel**2), sizes, out=out)
    if how == "Cast":
        half = graph.generator.standard_normal(shape).astype(np.float16)
        return graph.op("Cast", graph.constant(f"{out}.raw", half), out=out, to=TensorProto.FLOAT)
    if how == "Mul":
        scale = graph.weight(f"{out}.scale", 4, 1, 1, 1)
        return graph.op("Mul", graph.weight(f"{out}.raw", *shape), scale, out=out)
    graph.op("Transpose", graph.weight(f"{out}.raw", *shape), out=f"{out}.t", perm=[1, 0, 2, 3])
    graph.op("Identity", f"{out}.t", out=f"{out}.i")
    return graph.op("Mul", f"{out}.i", graph.constant(f"{out}.half", np.float32(0.5)), out=out)


def residual(how: str) -> onnx.ModelProto:
    """x → A → + B → +, with weights behind nodes."""
    graph = Builder()
    graph.op("Conv", "x", behind(graph, how, "v"), out="a")
    graph.op("Relu", "a", out="r")
    graph.op("Conv", "r", behind(graph, how, "w"), out="b")
    graph.op("Add", "b", "r", out="y")
    return graph.model("y")


def trained(network: Network, alpha: Architecture | None = None) -> Supernet:
    """A supernet whose weights have all moved along their gradients."""
    supernet = Supernet(network).train()
    optimizer = torch.optim.SGD(supernet.parameters(), lr=0.1)
    outputs = supernet.run({"x": torch.from_numpy(images(4, 4, 8))}, alpha)
    sum(value.square().mean() for value in outputs.values()).backward()  # type: ignore[union-attr]
    optimizer.step()
    return supernet.eval()


def assert_written(network: Network, supernet: Supernet, alpha: Architecture) -> onnx.ModelProto:
    """Write the trained weights; the file computes what the supernet does."""
    model = build(network, alpha, supernet.weights())
    onnx.checker.check_model(model, full_check=True)
    reference = supernet.as_reference(alpha)
    for sample in SAMPLES:
        made = runtime(model, sample)
        for name, value in reference(sample).items():
            assert_close(made[name], value)
    return model


@pytest.mark.parametrize("how", ["Identity", "Transpose", "Reshape", "Cast", "Mul", "chain"])
def test_weights_behind_nodes_are_trained_and_written_back(how: str) -> None:
    model = residual(how)
    network = parse(model)
    assert cost(network.architecture) == cost(parse(residual("Identity")).architecture)
    supernet = trained(network)
    expected = {"v.raw", "w.raw"} if how == "Identity" else {"v", "w"}
    assert {name for name, parameter in supernet.named_parameters()} == {n.replace(".", "%2E") for n in expected}
    written = assert_written(network, supernet, network.architecture)
    if how == "Identity":
        assert written.graph.node == model.graph.node
    else:
        assert {node.op_type for node in written.graph.node} == {"Constant", "Conv", "Relu", "Add"}
        assert not written.graph.initializer
    before = plainly(model, SAMPLES[0])["y"]
    assert np.abs(runtime(written, SAMPLES[0])["y"] - before).max() > 1e-3
    assert_single_edits(network, SAMPLES)


def test_untrained_weights_leave_the_nodes_as_they_are() -> None:
    model = residual("chain")
    network = parse(model)
    assert build(network, network.architecture, Supernet(network).weights()) == model
    alpha = apply_edits(network.architecture, [Edit("B", State.O, State.S)])
    kept = build(network, alpha, Supernet(network).weights())
    assert [node for node in kept.graph.node if node.output[0].startswith("v")] == list(model.graph.node[:3])
    assert set(arrays(kept)) == {"v.raw", "v.half"}


def test_identity_of_a_shared_weight_stays_shared() -> None:
    graph = Builder()
    shared = graph.weight("shared", 4, 4, 1, 1)
    for i, source in enumerate(("x", "r0", "r1")):
        weight = graph.op("Identity", shared, out=f"w{i}") if i else shared
        graph.op("Conv", source, weight, out=f"c{i}")
        graph.op("Relu", f"c{i}", out=f"r{i}")
    network = graph.network("r2")
    assert cost(network.architecture).params == 16
    supernet = trained(network)
    assert set(supernet.weights()) == {"shared"}
    written = assert_written(network, supernet, network.architecture)
    assert [node.op_type for node in written.graph.node] == [node.op_type for node in network.model.graph.node]


def test_weight_that_is_read_in_two_forms_stays() -> None:
    graph = Builder()
    graph.op("Conv", "x", graph.weight("tied", 4, 4, 1, 1), out="a")
    graph.op("Transpose", "tied", out="turned", perm=[1, 0, 2, 3])
    graph.op("Conv", "a", "turned", out="b")
    network = graph.network("b")
    assert cost(network.architecture).params == 16
    assert not Supernet(network).weights()


@pytest.mark.parametrize("how", ["Cast", "DequantizeLinear"])
def test_weight_that_is_stored_in_whole_numbers_stays(how: str) -> None:
    graph = Builder()
    whole = graph.constant("whole", graph.generator.integers(-9, 9, (4, 4, 1, 1)).astype(np.int8))
    if how == "Cast":
        graph.op("Cast", whole, out="f", to=TensorProto.FLOAT)
        graph.op("Mul", "f", graph.weight("scale", 4, 1, 1, 1), out="w")
    else:
        graph.op(how, whole, graph.constant("scale", np.float32(0.1)), out="w")
    graph.op("Conv", "x", "w", out="a")
    graph.conv("a", "b")
    assert set(Supernet(graph.network("b")).weights()) == {"b.w"}


def test_statistics_behind_an_identity_are_each_nodes_own() -> None:
    graph = Builder()
    ones, zeros = (graph.constant(n, v * np.ones(4, np.float32)) for n, v in (("ones", 1), ("zeros", 0)))
    parts = [graph.weight(n, 4) for n in ("scale", "shift")]
    graph.op("BatchNormalization", "x", *parts, zeros, ones, out="a")
    graph.op("Relu", "a", out="r")
    graph.conv("r", "b")
    parts = [graph.op("Identity", n, out=f"{n}2") for n in ("scale", "shift", "zeros", "ones")]
    graph.op("BatchNormalization", "b", *parts, out="c")
    network = graph.network("c")
    supernet = trained(network)
    assert set(supernet.weights()) == {"scale", "shift", "zeros", "ones", "zeros2", "ones2", "b.w"}
    assert not np.allclose(supernet.weights()["zeros"], supernet.weights()["zeros2"])
    assert_written(network, supernet, network.architecture)


def test_channels_are_cut_from_a_trained_weight_that_a_node_made() -> None:
    graph = Builder()
    graph.conv("x", "a")
    graph.conv("x", "b")
    graph.op("Concat", "a", "b", out="s", axis=1)
    graph.op("Transpose", graph.weight("w.raw", 8, 4, 1, 1), out="w", perm=[1, 0, 2, 3])
    graph.op("Conv", "s", "w", out="c")
    network = graph.network("c")
    alpha = apply_edits(network.architecture, [Edit("A", State.O, State.N)])
    written = assert_written(network, trained(network, alpha), alpha)
    assert [node.op_type for node in written.graph.node] == ["Conv", "Identity", "Constant", "Conv"]


def test_weights_go_into_the_data_file_of_the_source(tmp_path: Path) -> None:
    graph = Builder(channels=16)
    graph.op("Transpose", graph.weight("w.raw", 16, 16, 3, 3), out="w", perm=[1, 0, 2, 3])
    graph.op("Conv", "x", "w", out="c", pads=[1] * 4)
    path = external.save(graph.model("c"), tmp_path / "in" / "model.onnx")
    network = parse(read(path), folder=path.parent)
    weights: dict[str, Any] = {"w": np.ones((16, 16, 3, 3), np.float32)}
    model = build(network, network.architecture, weights)
    write_model(model, path.parent, tmp_path / "out.onnx")
    sample = {"x": images(2, 16, 8)}
    written = onnx.load(tmp_path / "out.onnx")
    assert (tmp_path / "out.onnx.data").stat().st_size >= 16 * 16 * 9 * 4
    assert (tmp_path / "out.onnx").stat().st_size < 1000
    made = runtime(written, sample)["c"]
    assert_close(made[:, :, 1:-1, 1:-1], np.broadcast_to(made[:, :1, 1:-1, 1:-1], (2, 16, 6, 6)))
    assert frontend.parse(written).computed.trainable == frozenset()
