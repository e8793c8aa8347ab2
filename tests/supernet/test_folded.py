"""Steps for evaluation compute what onnxruntime computes of the file, whatever is folded."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest
import torch

from natonnx.supernet import Supernet
from tests.rewrite.helpers import Builder, images, runtime

if TYPE_CHECKING:
    from collections.abc import Callable

    from natonnx.frontend import Network


def plain(graph: Builder) -> None:
    graph.op("Relu", graph.batchnorm(graph.conv("x", "a", 6, kernel=3), "n"), out="y")


def biased(graph: Builder) -> None:
    graph.batchnorm(graph.conv("x", "a", 6, kernel=3, bias=True), "y")


def depthwise(graph: Builder) -> None:
    graph.op("Sigmoid", graph.batchnorm(graph.conv("x", "a", 4, kernel=3, group=4), "n"), out="y")


def read_twice(graph: Builder) -> None:
    graph.batchnorm(graph.conv("x", "a", 4, kernel=3), "n")
    graph.op("Add", "n", graph.op("Relu", "n", out="r"), out="y")


def read_before(graph: Builder) -> None:
    graph.conv("x", "a", 4, kernel=3)
    graph.op("Add", "a", graph.batchnorm("a", "n"), out="y")


def before(graph: Builder) -> None:
    graph.conv(graph.op("Relu", graph.batchnorm("x", "n"), out="r"), "y", 4, kernel=3)


def clipped(graph: Builder) -> None:
    graph.batchnorm(graph.conv("x", "a", 6, kernel=3), "n")
    limits = [graph.constant(name, np.float32(value)) for name, value in (("low", 0.0), ("high", 0.5))]
    graph.op("Clip", "n", *limits, out="y")


def clipped_above(graph: Builder) -> None:
    graph.conv("x", "a", 6, kernel=3)
    graph.op("Clip", "a", "", graph.constant("high", np.float32(0.5)), out="y")


def added(graph: Builder) -> None:
    graph.op("Relu", graph.op("Add", graph.conv("x", "a", 4, kernel=3), "x", out="s"), out="y")


def normed(graph: Builder) -> None:
    """The input is read again behind, so nothing may overwrite it."""
    graph.op("Add", graph.op("Relu", graph.batchnorm("x", "n"), out="r"), "x", out="y")


def dense(graph: Builder) -> None:
    graph.op("MatMul", "x", graph.weight("w", 8, 5), out="m")
    graph.op("Add", "m", graph.weight("b", 5), out="y")


def dense_broadcast(graph: Builder) -> None:
    graph.op("MatMul", "x", graph.weight("w", 8, 5), out="m")
    graph.op("Add", "m", graph.weight("b", 1), out="y")


CASES: dict[str, tuple[Callable[[Builder], None], int]] = {
    "plain": (plain, 1),
    "biased": (biased, 1),
    "depthwise": (depthwise, 1),
    "read twice": (read_twice, 1),
    "read before": (read_before, 0),
    "before": (before, 0),
    "clipped": (clipped, 1),
    "clipped above": (clipped_above, 0),
    "added": (added, 0),
    "normed": (normed, 0),
    "dense": (dense, 1),
    "dense, bias broadcast": (dense_broadcast, 1),
}


def evaluated(network: Network, x: np.ndarray, *names: str) -> tuple[dict[str, np.ndarray], int]:
    """Tensors, and how many steps made constants alone."""
    supernet = Supernet(network).eval()
    constants, values, made = supernet.constants(), {"x": torch.from_numpy(x)}, 0
    with torch.inference_mode():
        for step in supernet.evaluation_steps(network.architecture, names):
            is_constant = all(name in constants for name in step.inputs if name)
            (constants if is_constant else values).update(step.call({**constants, **values}))
            made += is_constant
    return {name: values[name].numpy() for name in names}, made


@pytest.mark.parametrize("case", CASES)
def test_equals_onnxruntime(case: str) -> None:
    build, folded = CASES[case]
    graph = Builder(channels=4, size=8)
    build(graph)
    network, x = graph.network("y"), images(5, 4, 8)
    found, made = evaluated(network, x, "y")
    (wanted,) = runtime(network.model, {"x": x}).values()
    np.testing.assert_allclose(found["y"], wanted, rtol=1e-5, atol=1e-5)
    assert made == folded


def test_what_is_asked_for_is_made() -> None:
    """What the convolution makes is there, although the normalisation behind it could hide it."""
    graph = Builder(channels=4, size=8)
    plain(graph)
    network, x = graph.network("y", "a"), images(5, 4, 8)
    found, made = evaluated(network, x, "y", "a", "n")
    assert made == 0
    for name, wanted in runtime(network.model, {"x": x}).items():
        np.testing.assert_allclose(found[name], wanted, rtol=1e-5, atol=1e-5)


def test_activations_overwrite_what_only_they_read() -> None:
    counts = []
    for build in (plain, clipped, clipped_above, added, normed, read_twice):
        graph = Builder(channels=4, size=8)
        build(graph)
        steps = Supernet(graph.network("y")).evaluation_steps(graph.network("y").architecture, ["y"])
        counts.append(len(steps))
    assert counts == [2, 2, 1, 2, 2, 4]
