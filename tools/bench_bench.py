"""What `natonnx bench` says of equal models, and of one that has 10 % more convolution work than the other.

`python -m tools.bench_bench`: each run measures a model against itself and against a copy with more work, made afresh.
The copy computes the same, and besides runs further convolutions like the model's own, of the same inputs.
"""

import tempfile
from pathlib import Path

import click
import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from natonnx.bench import ratio_interval
from natonnx.contest import Conditions, Contest
from natonnx.frontend import parse


def with_more_work(model: onnx.ModelProto, share: float) -> tuple[onnx.ModelProto, float]:
    """Add convolutions like a model's own, with weights of their own, so that onnxruntime cannot merge the two.

    Args:
        model: Not changed.
        share: Of the model's MAdds, to be reached as nearly as may be without going beyond.

    Returns:
        A copy whose further outputs are the convolutions' results, and the share reached.
    """
    network = parse(model)
    costs = {edge.name: edge.operation.madds or 0 for edge in network.architecture.topology.edges if edge.operation}
    total, left = sum(costs.values()), share * sum(costs.values())
    made = onnx.ModelProto()
    made.CopyFrom(model)
    weights = {tensor.name: tensor for tensor in model.graph.initializer}
    del made.graph.node[:]
    for node in model.graph.node:
        made.graph.node.append(node)
        if node.op_type == "Conv" and 0 < costs.get(node.name, 0) <= left:
            left -= costs[node.name]
            weight = numpy_helper.to_array(weights[node.input[1]]) * np.float32(0.5)
            made.graph.initializer.append(numpy_helper.from_array(weight, f"more.{node.input[1]}"))
            copy = made.graph.node.add()
            copy.CopyFrom(node)
            copy.name, copy.input[1], copy.output[0] = (
                f"more.{name}" for name in (node.name, node.input[1], node.output[0])
            )
            shape = network.shapes[node.output[0]]
            made.graph.output.append(helper.make_tensor_value_info(copy.output[0], TensorProto.FLOAT, shape))
    return made, share - left / total


@click.command()
@click.option("--model", default="models/resnet20-fashion.onnx", show_default=True, type=click.Path(path_type=Path))
@click.option("--runs", default=10, show_default=True)
@click.option("--seconds", default=5.0, show_default=True, help="Of each run.")
@click.option("--share", default=0.1, show_default=True, help="Further convolution work of the copy.")
def main(model: Path, runs: int, seconds: float, share: float) -> None:
    """Print the interval of each run, and how many say the truth."""
    with tempfile.TemporaryDirectory() as folder:
        more, reached = with_more_work(onnx.load(model), share)
        slower = Path(folder) / "more.onnx"
        onnx.save(more, slower)
        click.echo(f"{model}, {seconds:g} s a run; the copy has {100 * reached:.1f} % more MAdds")
        click.echo("| run | itself | its interval | more work | its interval |")
        click.echo("|---|---|---|---|---|")
        equal = found = 0
        for turn in range(runs):
            rows = []
            for other in (model, slower):
                contest = Contest([model, other], Conditions(seconds=seconds, seed=turn))
                timings = contest.timings(contest.inputs())
                timings.extend(seconds)
                rows.append(ratio_interval(timings.blocks, 1, seed=turn))
            same, slow = rows
            equal += same.low <= 1 <= same.high
            found += slow.low > 1
            cells = [f"{row.value:.3f} | {row.low:.3f} to {row.high:.3f}" for row in rows]
            click.echo(f"| {turn} | {' | '.join(cells)} |")
    click.echo(f"contains 1 against itself: {equal} of {runs}; more work found: {found} of {runs}")


if __name__ == "__main__":
    main()
