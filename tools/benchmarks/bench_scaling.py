"""How long parsing, planning and rewriting take as a model grows: `python -m tools.benchmarks.bench_scaling`."""

import time
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import click
import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from natonnx.architecture import Architecture, legal_transitions, violation
from natonnx.frontend import lower, parse
from natonnx.rewrite import build
from tools.command import run_command

_CHANNELS = 8


def generated(size: int) -> onnx.ModelProto:
    """A network of about `size` nodes: residual blocks, inception blocks that join three branches, pools at times."""
    generator = np.random.default_rng(0)
    weights: list[onnx.TensorProto] = []
    nodes: list[onnx.NodeProto] = []

    def weight(name: str, *shape: int) -> str:
        weights.append(numpy_helper.from_array(0.1 * generator.standard_normal(shape, dtype=np.float32), name))
        return name

    def add(kind: str, *inputs: str, **attributes: Any) -> str:
        out = f"t{len(nodes)}"
        nodes.append(helper.make_node(kind, inputs, [out], f"n{len(nodes)}", **attributes))
        return out

    def conv(source: str, channels: int = _CHANNELS) -> str:
        own = weight(f"w{len(nodes)}", _CHANNELS, channels, 1, 1)
        return add("Relu", add("Conv", source, own))

    tensor = "x"
    while len(nodes) < size:
        tensor = add("Relu", add("Add", conv(conv(tensor)), tensor))
        joined = add("Concat", conv(tensor), conv(tensor), conv(conv(tensor)), axis=1)
        tensor = conv(joined, 3 * _CHANNELS)
    shape: Sequence[str | int] = ["n", _CHANNELS, 4, 4]
    graph = helper.make_graph(
        nodes,
        "generated",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, shape)],
        [helper.make_tensor_value_info(tensor, TensorProto.FLOAT, shape)],
        weights,
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)


def edited(beta: Architecture) -> Architecture:
    """An α with every tenth legal edge changed, as long as all of it is legal."""
    states = list(beta.states)
    for i, verdict in enumerate(legal_transitions(beta)):
        options = [state for state, reason in verdict.items() if reason is None]
        if options and i % 10 == 0:
            states[i] = options[-1]
    alpha = beta.with_states(tuple(states))
    return alpha if violation(alpha, beta) is None else beta


def phases(model: onnx.ModelProto) -> Iterator[tuple[str, float]]:
    """Seconds of each phase."""

    def timed(function: Callable[[], object]) -> float:
        begun = time.perf_counter()
        function()
        return time.perf_counter() - begun

    yield "parse", timed(lambda: parse(model))
    network = parse(model)
    alpha = edited(network.architecture)
    yield "plan", timed(lambda: (legal_transitions(network.architecture), lower(network, alpha)))
    yield "rewrite", timed(lambda: build(network, alpha))


@click.command()
@click.option("--sizes", default="1000,3000,10000", show_default=True, help="Numbers of nodes.")
@click.option("--repeats", default=3, show_default=True, help="The fastest of so many runs counts.")
def main(sizes: str, repeats: int) -> None:
    """Print seconds, and microseconds a node, of each phase and size."""
    click.echo("| nodes | parse s | plan s | rewrite s | parse µs/node | plan µs/node | rewrite µs/node |")
    click.echo("|---|---|---|---|---|---|---|")
    for size in map(int, sizes.split(",")):
        model = generated(size)
        runs = [dict(phases(model)) for _ in range(repeats)]
        best = {phase: min(run[phase] for run in runs) for phase in runs[0]}
        count = len(model.graph.node)
        cells = [f"{seconds:.2f}" for seconds in best.values()]
        cells += [f"{1e6 * seconds / count:.0f}" for seconds in best.values()]
        click.echo(f"| {count} | {' | '.join(cells)} |")


if __name__ == "__main__":
    run_command(main)
