"""Check that the supernet equals onnxruntime on models, for β and for random legal α's written by `natonnx apply`."""

import random
import sys
import tempfile
from pathlib import Path

import click
import numpy as np
import onnx

from natonnx.api import apply, load
from natonnx.architecture import Architecture, edits_between, legal_transitions, violation
from natonnx.rewrite.trial import TOLERANCE, relative_difference
from natonnx.rewrite.verify import sample_inputs
from natonnx.session import run, session
from natonnx.supernet import Supernet


@click.command()
@click.argument("models", nargs=-1, required=True, type=click.Path(exists=True, path_type=Path))
@click.option("--alphas", default=50, show_default=True, help="Random legal α's for each model.")
@click.option("--rate", default=0.2, show_default=True, help="Share of the edges that an α changes.")
@click.option("--seed", default=0, show_default=True)
def main(models: tuple[Path, ...], alphas: int, rate: float, seed: int) -> None:
    """Print the largest relative difference for each of MODELS, and exit with 1 if one is over the tolerance."""
    print("| model | β | α's | largest of the α's | edits an α |")
    print("|---|---|---|---|---|")
    worst = 0.0
    for path in models:
        generator = random.Random(seed)  # noqa: S311 - not for secrets
        network = load(path).network
        supernet = Supernet(network)
        beta = difference(network.model, supernet, network.architecture)
        found: list[float] = []
        edits: list[int] = []
        with tempfile.TemporaryDirectory() as folder:
            for i in range(alphas):
                alpha = random_alpha(network.architecture, generator, rate)
                changes = edits_between(network.architecture, alpha)
                output, _ = apply(path, changes, Path(folder) / f"{i}.onnx")
                found.append(difference(onnx.load(output), supernet, alpha))
                edits.append(len(changes))
        worst = max(worst, beta, *found)
        print(f"| {path.name} | {beta:.1e} | {alphas} | {max(found):.1e} | {min(edits)} to {max(edits)} |", flush=True)
    if worst > TOLERANCE:
        sys.exit(f"the largest difference {worst:.1e} is over {TOLERANCE:.0e}")


def random_alpha(beta: Architecture, generator: random.Random, rate: float) -> Architecture:
    """A jointly legal α: every edge makes a legal transition with probability `rate`, drawn again until it is legal."""
    while True:
        states = list(beta.states)
        for i, verdict in enumerate(legal_transitions(beta)):
            options = [state for state, reason in verdict.items() if reason is None]
            if options and generator.random() < rate:
                states[i] = generator.choice(options)
        alpha = beta.with_states(tuple(states))
        if alpha.states != beta.states and violation(alpha, beta) is None:
            return alpha


def difference(model: onnx.ModelProto, supernet: Supernet, architecture: Architecture) -> float:
    """Largest relative difference between onnxruntime on a model and the supernet's α, at two batch sizes."""
    reference = supernet.as_reference(architecture)
    runtime = session(model, folder=supernet.network.folder)
    worst = 0.0
    for sample in sample_inputs(supernet.network):
        expected = reference(sample)
        result = run(runtime, sample)
        worst = max(worst, *(relative_difference(np.asarray(result[name]), expected[name]) for name in expected))
    return worst


if __name__ == "__main__":
    main()
