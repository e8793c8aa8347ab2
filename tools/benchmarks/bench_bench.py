"""What `natonnx bench` says of equal models, and of one that has 10 % more convolution work than the other.

`python -m tools.benchmarks.bench_bench` measures a model, run by run, against itself and against a copy with more work.
The copy, made afresh, computes the same, with further convolutions between those of the model.
"""

import statistics
import tempfile
from pathlib import Path

import click
import numpy as np
import onnx
from onnx import helper, numpy_helper

from natonnx.architecture import cost
from natonnx.bench import Clock, Interval, ratio_interval
from natonnx.frontend import Network, parse
from natonnx.verbs.model_comparison import Conditions, ModelComparison
from tools.command import run_command


def with_more_work(model: onnx.ModelProto, share: float) -> tuple[onnx.ModelProto, float]:
    """Put convolutions behind a model's own whose kernels pass every channel on as it is: the same outputs, more work.

    Args:
        model: Not changed. Its convolutions of images are followed by such ones of 3×3, then of 1×1.
        share: Of the model's MAdds, to be reached as nearly as may be without going beyond.

    Returns:
        A copy, and the share reached.
    """
    network = parse(model)
    total = cost(network.architecture).madds or 0
    left = share * total
    more: dict[str, int] = {}
    for size in (3, 1):
        for name, madds in _passing_on(network, size).items():
            if name not in more and madds <= left:
                more[name], left = size, left - madds
    made = onnx.ModelProto()
    made.CopyFrom(model)
    del made.graph.node[:]
    for node in model.graph.node:
        made.graph.node.append(node)
        if node.output[0] not in more:
            continue
        name, size = node.output[0], more[node.output[0]]
        channels = int(network.shapes[name][1] or 0)
        kernel = np.zeros((channels, channels, size, size), np.float32)
        kernel[range(channels), range(channels), size // 2, size // 2] = 1
        made.graph.node[-1].output[0] = f"{name}.before"
        made.graph.initializer.append(numpy_helper.from_array(kernel, f"{name}.more"))
        inputs = [f"{name}.before", f"{name}.more"]
        made.graph.node.append(helper.make_node("Conv", inputs, [name], f"{name}.more", pads=[size // 2] * 4))
    return made, share - left / total


def _passing_on(network: Network, size: int) -> dict[str, int]:
    """MAdds of a convolution of that size behind each of a model's convolutions, by output."""
    found = {}
    for node in network.model.graph.node:
        shape = network.shapes.get(node.output[0], ())
        if node.op_type == "Conv" and len(shape) == 4:
            channels, height, width = (int(length or 0) for length in shape[1:])
            found[node.output[0]] = channels**2 * size**2 * height * width
    return found


@click.command()
@click.option("--model", default="models/resnet20-fashion.onnx", show_default=True, type=click.Path(path_type=Path))
@click.option("--runs", default=10, show_default=True)
@click.option("--seconds", default=5.0, show_default=True, help="Of each run.")
@click.option("--share", default=0.1, show_default=True, help="Further convolution work of the copy.")
@click.option("--batch", default=1, show_default=True)
def main(model: Path, runs: int, seconds: float, share: float, batch: int) -> None:
    """Print the interval of each run by both clocks, and how many say the truth."""
    with tempfile.TemporaryDirectory() as folder:
        more, reached = with_more_work(onnx.load(model), share)
        slower = Path(folder) / "more.onnx"
        onnx.save(more, slower)
        click.echo(f"{model}, batch {batch}, {seconds:g} s a run; the copy has {100 * reached:.1f} % more MAdds")
        click.echo("| run | clock | itself | its interval | more work | its interval |")
        click.echo("|---|---|---|---|---|---|")
        found: dict[Clock, list[tuple[Interval, Interval]]] = {"wall": [], "cpu": []}
        for turn in range(runs):
            same, slow = (_measure(model, other, seconds, batch, turn) for other in (model, slower))
            for clock, rows in found.items():
                rows.append((same[clock], slow[clock]))
                cells = [f"{row.value:.3f} | {row.low:.3f} to {row.high:.3f}" for row in rows[-1]]
                click.echo(f"| {turn} | {clock} | {' | '.join(cells)} |")
    for clock, rows in found.items():
        equal, seen = sum(one.low <= 1 <= one.high for one, _ in rows), sum(more.low > 1 for _, more in rows)
        width = statistics.median(row.high - row.low for pair in rows for row in pair)
        found_all = f"contains 1 against itself: {equal} of {runs}; more work found: {seen} of {runs}"
        click.echo(f"{clock}: {found_all}; median width of the intervals {width:.3f}")


def _measure(model: Path, other: Path, seconds: float, batch: int, seed: int) -> dict[Clock, Interval]:
    """Ratio of another model's latency to a model's, by each clock."""
    models = ModelComparison([model, other], Conditions(seconds=seconds, seed=seed, batch=batch))
    timings = models.timings(models.inputs())
    timings.extend(seconds)
    return {clock: ratio_interval(timings.by(clock), 1, seed=seed) for clock in models.clocks}


if __name__ == "__main__":
    run_command(main)
