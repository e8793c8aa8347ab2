"""What architectures share with the original is computed once, and what comes out is what their files compute."""

from collections.abc import Mapping

import numpy as np
import onnx
import pytest
import torch
from onnx import TensorProto, helper

from natonnx.architecture import Architecture, State
from natonnx.frontend import Network, parse
from natonnx.rewrite import build
from natonnx.search.look import as_arrays
from natonnx.search.prefix import PrefixRunner
from natonnx.search.price import Madds
from natonnx.search.propose.moves import Moves
from natonnx.search.refit import Refit
from natonnx.search.runner import TensorBatch, supernet_runner
from natonnx.session import run, session
from natonnx.supernet import Supernet
from natonnx.supernet.plan import Step
from tests.rewrite.helpers import Builder

Inputs = Mapping[str, torch.Tensor]


def branches(batch: int | str = "n") -> Network:
    """Normalised convolutions, two of them concatenated, a depthwise one, a residual sum, a dense layer."""
    graph = Builder(channels=3, size=8, batch=batch)
    graph.batchnorm(graph.conv("x", "a", 6, kernel=3), "na")
    graph.op("Relu", "na", out="ra")
    graph.op("Relu", graph.batchnorm(graph.conv("ra", "b", 6, kernel=3, bias=True), "nb"), out="rb")
    graph.op("Relu", graph.conv("ra", "c", 4, bias=True), out="rc")
    graph.op("Concat", "rb", "rc", out="cat", axis=1)
    graph.channels["cat"] = 10
    graph.batchnorm(graph.conv("cat", "d", 6), "nd")
    graph.batchnorm(graph.conv("nd", "e", 6, kernel=3, group=6), "ne")
    graph.op("Relu", graph.op("Add", "ne", "ra", out="sum"), out="rs")
    graph.op("GlobalAveragePool", graph.batchnorm(graph.conv("rs", "f", 6, kernel=3), "nf"), out="mean")
    graph.op("Flatten", "mean", out="flat")
    graph.op("MatMul", "flat", graph.weight("y.w", 6, 3), out="m")
    graph.op("Add", "m", graph.weight("y.b", 3), out="y")
    return graph.network("y")


def two_inputs() -> Network:
    """Two inputs and two outputs, dense layers with biases; the samples of one input are along its second axis."""
    graph = Builder()
    graph.op("MatMul", "u", graph.weight("a.w", 4, 5), out="am")
    graph.op("Relu", graph.op("Add", "am", graph.weight("a.b", 5), out="a"), out="ra")
    graph.op("MatMul", "ra", graph.weight("b.w", 5, 5), out="bm")
    graph.op("Relu", graph.op("Add", graph.op("Add", "bm", graph.weight("b.b", 5), out="b"), "ra", out="s"), out="rs")
    graph.op("Transpose", "v", out="vt", perm=[1, 0])
    graph.op("MatMul", "vt", graph.weight("c.w", 2, 5), out="cm")
    graph.op("Relu", graph.op("Add", "cm", graph.weight("c.b", 5), out="c"), out="rc")
    graph.op("Add", "rs", "rc", out="both")
    graph.op("MatMul", "both", graph.weight("y.w", 5, 3), out="y")
    graph.op("MatMul", "rs", graph.weight("z.w", 5, 2), out="z")
    sizes: dict[str, list[str | int | None]] = {"u": ["n", 4], "v": [2, "n"], "y": ["n", 3], "z": ["n", 2]}
    infos = {name: helper.make_tensor_value_info(name, TensorProto.FLOAT, size) for name, size in sizes.items()}
    made = helper.make_graph(graph.nodes, "g", [infos["u"], infos["v"]], [infos["y"], infos["z"]], graph.initializers)
    return parse(helper.make_model(made, opset_imports=[helper.make_opsetid("", 17)], ir_version=8))


CASES = {"branches": branches, "fixed": lambda: branches(4), "inputs": two_inputs}


def samples(network: Network, count: int, seed: int) -> dict[str, torch.Tensor]:
    generator = torch.Generator().manual_seed(seed)
    sizes = {"x": (count, 3, 8, 8), "u": (count, 4), "v": (2, count)}
    return {name: torch.randn(sizes[name], generator=generator) for name in network.inputs}


def alphas(network: Network) -> list[Architecture]:
    """All single transitions, and some of several."""
    beta = network.architecture
    moves = Moves(beta, Madds(beta))
    several = (moves.compose(chosen) for chosen in ((0, 3), (1, 4), (2, 5, 7), (0, len(moves.all) - 1)))
    return [beta, *(move.architecture for move in moves.all), *filter(None, several)]


class Bench:
    """A runner, and what it is compared with."""

    def __init__(self, network: Network, most_bytes: int = 1 << 30) -> None:
        self.network, self.given = network, Supernet(network).eval()
        self.batches = [TensorBatch(samples(network, count, count), None, count) for count in (70, 9)]
        self.captures = network.batch_axes.outputs
        self.prefix = PrefixRunner(self.given, self.batches, self.captures, most_bytes)
        fixed = network.batch_axes.size
        self.refit = Refit(self.given, [samples(network, fixed or 40, seed) for seed in range(2)])

    def run(self, alpha: Architecture, changed: Inputs) -> list[torch.Tensor]:
        runner = self.prefix.runner(alpha, changed)
        with torch.inference_mode():
            outputs = [runner(batch.inputs, batch.size) for batch in self.batches]
        return [torch.cat([found[name] for found in outputs]) for name in self.captures]

    def plain(self, alpha: Architecture, changed: Inputs) -> list[torch.Tensor]:
        """By a supernet of its own."""
        supernet = Supernet(self.network)
        supernet.load_weights(as_arrays(changed))
        runner = supernet_runner(supernet.eval(), alpha, self.captures)
        outputs = [runner(batch.inputs, batch.size) for batch in self.batches]
        return [torch.cat([found[name] for found in outputs]) for name in self.captures]

    def by_file(self, alpha: Architecture, changed: Inputs) -> list[np.ndarray]:
        """By onnxruntime, all samples of the first batch at once, or by as many as the file takes."""
        model: onnx.ModelProto = build(self.network, alpha, as_arrays(changed))
        runtime, batch = session(model), self.batches[0]
        step = self.network.batch_axes.size or batch.size
        axes = self.network.batch_axes.inputs
        found = [
            run(runtime, {n: x.narrow(axes[n] or 0, i, step).numpy() for n, x in batch.inputs.items()})
            for i in range(0, batch.size - step + 1, step)
        ]
        return [np.concatenate([part[name] for part in found]) for name in self.captures]


def close(found: torch.Tensor, wanted: torch.Tensor | np.ndarray) -> bool:
    wanted = torch.as_tensor(wanted)
    return bool((found - wanted).abs().max() <= 2e-5 * wanted.abs().max())


@pytest.mark.parametrize("case", CASES)
def test_outputs_are_those_of_the_file_and_of_the_plain_supernet(case: str) -> None:
    bench = Bench(CASES[case]())
    given = bench.given.weights()
    found = alphas(bench.network)
    assert len(found) > 6
    for alpha in found if case != "fixed" else found[::4]:
        changed, _ = bench.refit.run(alpha)
        for weights in (changed, {}):
            made = bench.run(alpha, weights)
            assert all(map(close, made, bench.plain(alpha, weights)))
            wanted = bench.by_file(alpha, weights)
            assert all(close(one[: len(other)], other) for one, other in zip(made, wanted, strict=True))
    assert all(np.array_equal(value, given[name]) for name, value in bench.given.weights().items())


def test_each_weight_that_differs_counts() -> None:
    """Whatever it belongs to: a convolution, a bias, a normalisation, a dense layer."""
    bench = Bench(branches())
    beta = bench.network.architecture
    before = bench.run(beta, {})
    for name, value in bench.given.named_tensors().items():
        changed = {name: value.clone() * 1.25 + 0.1}
        made = bench.run(beta, changed)
        assert all(map(close, made, bench.plain(beta, changed)))
        assert not all(map(torch.equal, made, before))


@pytest.fixture
def calls(monkeypatch: pytest.MonkeyPatch) -> list[Step]:
    """The steps that were run."""
    made: list[Step] = []
    plain = Step.call

    def call(self: Step, *arguments: object, **options: object) -> dict[str, torch.Tensor]:
        made.append(self)
        return plain(self, *arguments, **options)  # type: ignore[arg-type]

    monkeypatch.setattr(Step, "call", call)
    return made


def test_what_is_known_is_not_computed_again(calls: list[Step]) -> None:
    """Of the original nothing, of an architecture that differs late little."""
    bench = Bench(branches())
    beta = bench.network.architecture
    late = beta.topology.edge_index["E"]
    edited = beta.with_states((*beta.states[:late], State.S, *beta.states[late + 1 :]))
    counts = []
    for alpha in (beta, beta, edited, edited):
        calls.clear()
        bench.run(alpha, {})
        counts.append(len(calls))
    first, again, _, edited_again = counts
    assert again <= len(bench.given.named_tensors())  # what is made of constants alone
    assert again < edited_again < 0.7 * first


@pytest.mark.parametrize("most_bytes", [0, 3 << 12, 1 << 16])
def test_no_more_is_kept_than_may_be_and_bits_stay_the_same(most_bytes: int) -> None:
    network = branches()
    free, bound = Bench(network), Bench(network, most_bytes)
    for alpha in alphas(network):
        changed, _ = free.refit.run(alpha)
        wanted, found = free.run(alpha, changed), bound.run(alpha, changed)
        assert all(map(torch.equal, found, wanted))
        assert bound.prefix.kept_bytes <= most_bytes
    assert free.prefix.kept_bytes > 1 << 16


def test_the_order_does_not_matter() -> None:
    network = branches()
    there, back = Bench(network), Bench(network)
    found = alphas(network)
    one = [there.run(alpha, there.refit.run(alpha)[0]) for alpha in found]
    other = [back.run(alpha, back.refit.run(alpha)[0]) for alpha in reversed(found)][::-1]
    assert all(torch.equal(a, b) for own, its in zip(one, other, strict=True) for a, b in zip(own, its, strict=True))


def test_other_batches_are_refused() -> None:
    bench = Bench(branches())
    runner = bench.prefix.runner(bench.network.architecture, {})
    with pytest.raises(ValueError, match="not one of the batches"):
        runner(samples(bench.network, 3, 0), 3)
