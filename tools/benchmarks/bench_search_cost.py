"""What a search itself costs as a network grows: `python -m tools.benchmarks.bench_search_cost`.

Everything that is done for an α or a transition, but for looking it up: no sample is run. Seconds are of this process'
CPU on one thread, the least of some rounds, sizes in turn within each round; the garbage collector is off. An exponent
of 1 is linear: it is the slope of the logarithm of seconds over that of edges, by least squares.
"""

import gc
import time
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

import click
import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from natonnx.architecture import Architecture, cost, transition_mask
from natonnx.frontend import parse
from tools.command import run_command

_CHANNELS = 8
_TARGET = 0.7


class _Network:
    """Adds layers to an ONNX graph."""

    def __init__(self) -> None:
        self.nodes: list[onnx.NodeProto] = []
        self._weights: list[onnx.TensorProto] = []

    def add(self, kind: str, *inputs: str, **attributes: Any) -> str:
        """Add a node; return its output."""
        out = f"t{len(self.nodes)}"
        self.nodes.append(helper.make_node(kind, inputs, [out], f"n{len(self.nodes)}", **attributes))
        return out

    def conv(self, source: str, channels: int = _CHANNELS) -> str:
        """Add a convolution and its activation."""
        weight = np.zeros((_CHANNELS, channels, 1, 1), np.float32)
        self._weights.append(numpy_helper.from_array(weight, f"w{len(self.nodes)}"))
        return self.add("Relu", self.add("Conv", source, self._weights[-1].name))

    def residual(self, source: str) -> str:
        """Add a block of two convolutions with a shortcut."""
        return self.add("Relu", self.add("Add", self.conv(self.conv(source)), source))

    def inception(self, source: str) -> str:
        """Add three branches that are joined."""
        branches = self.conv(source), self.conv(source), self.conv(self.conv(source))
        return self.conv(self.add("Concat", *branches, axis=1), 3 * _CHANNELS)

    def dense(self, source: str) -> str:
        """Add eight layers, each of which reads all before it."""
        parts = [source, self.conv(source)]
        while len(parts) < 9:
            parts.append(self.conv(self.add("Concat", *parts, axis=1), _CHANNELS * len(parts)))
        return self.conv(self.add("Concat", *parts, axis=1), _CHANNELS * len(parts))

    def architecture(self, output: str) -> Architecture:
        """Parse the model."""
        shape: list[str | int] = ["n", _CHANNELS, 4, 4]
        ends = [helper.make_tensor_value_info(name, TensorProto.FLOAT, shape) for name in ("x", output)]
        graph = helper.make_graph(self.nodes, "generated", ends[:1], ends[1:], self._weights)
        opsets = [helper.make_opsetid("", 17)]
        return parse(helper.make_model(graph, opset_imports=opsets, ir_version=8)).architecture


def generated(kind: str, edges: int) -> Architecture:
    """A network of about so many edges, of one of four kinds.

    Residual blocks (`residual`), with a shortcut around all of them (`global`) or blocks of branches between them
    (`concat`); or dense blocks alone (`dense`).
    """
    network, tensor = _Network(), "x"
    nodes = {"residual": 2.0, "global": 2.0, "concat": 1.9, "dense": 3.5}
    while nodes[kind] * len(network.nodes) < edges:
        tensor = network.dense(tensor) if kind == "dense" else network.residual(tensor)
        tensor = network.inception(tensor) if kind == "concat" else tensor
    return network.architecture(network.add("Add", tensor, network.conv("x")) if kind == "global" else tensor)


def tasks(beta: Architecture) -> Mapping[str, Callable[[], object]]:
    """What a search does, each by itself."""
    import torch

    from natonnx.policy import make_policy
    from natonnx.policy.base import draw
    from natonnx.policy.encode import encode, encode_choices
    from natonnx.policy.graph import edge_graph
    from natonnx.search.price import Madds, share
    from natonnx.search.propose.moves import Moves
    from natonnx.search.propose.variation import Variation
    from natonnx.search.reach import cheapest, nearest

    price, graph = Madds(beta), edge_graph(beta.topology)
    policy, features = make_policy("gcn-directed", edits=0.2 * len(beta.states)), torch.from_numpy(encode(beta))
    choices = torch.from_numpy(encode_choices(beta.topology))
    moves = Moves(beta, price)
    tilt = torch.from_numpy(price.savings(beta) > 0).float()

    def draw_one() -> float:
        with torch.no_grad():
            (alpha,) = draw(policy, beta, 1, torch.Generator().manual_seed(0), tilt=tilt).architectures
        return share(price, alpha)

    return {
        "mask": partial(transition_mask, beta),
        "encode": partial(encode, beta),
        "GCN": partial(policy, features, choices, graph),
        "draw": draw_one,
        "Moves": partial(Moves, beta, price),
        "variation": lambda: Variation(moves, partial(share, price), torch.Generator().manual_seed(0)).random(_TARGET),
        "removal": partial(cheapest, beta, price),
        "nearest": partial(nearest, beta, price, _TARGET),
        "cost": partial(cost, beta),
    }


def exponent(edges: list[int], seconds: list[float]) -> float:
    """The power of the number of edges that seconds grow by."""
    return float(np.polyfit(np.log(edges), np.log(np.maximum(seconds, 1e-6)), 1)[0])


@click.command()
@click.option("--kinds", default="residual,global,concat,dense", show_default=True, help="Of networks.")
@click.option("--sizes", default="300,1000,3400", show_default=True, help="Numbers of edges, about.")
@click.option("--rounds", default=3, show_default=True, type=click.IntRange(1), help="The least of so many counts.")
def main(kinds: str, sizes: str, rounds: int) -> None:
    """Print milliseconds of each task by size, and the exponent of its growth."""
    import torch

    torch.set_num_threads(1)
    gc.disable()
    click.echo("| network | task | " + " | ".join(f"{size} edges, ms" for size in sizes.split(",")) + " | exponent |")
    click.echo("|---|---|" + "---|" * (1 + len(sizes.split(","))))
    for kind in kinds.split(","):
        betas = [generated(kind, int(size)) for size in sizes.split(",")]
        edges = [len(beta.states) for beta in betas]
        work = [tasks(beta) for beta in betas]
        for name in work[0]:
            least = [float("inf")] * len(betas)
            for _ in range(rounds):
                for i, own in enumerate(work):
                    begun = time.process_time()
                    own[name]()
                    least[i] = min(least[i], time.process_time() - begun)
            cells = " | ".join(f"{1e3 * seconds:.1f}" for seconds in least)
            growth = f"{exponent(edges, least):.2f}" if len(set(edges)) > 1 else ""
            click.echo(f"| {kind}, {' / '.join(map(str, edges))} | {name} | {cells} | {growth} |")


if __name__ == "__main__":
    run_command(main)
