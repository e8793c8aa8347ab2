"""Compare proposers on large spaces, where a look-up is a formula: `python -m tools.benchmarks.bench_propose`.

The spaces are those of real networks; what an α loses is made up, from a seed: every edge that changes loses something,
by its size, kind and depth and by chance, what touches interacts, and where much is lost more is lost than the sum, or
exponentially so. The
figures are losses over the least that any method has found for that network and target, so 1 is the best; and the time
that the proposer itself takes.
"""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import click
import numpy as np
import onnx
import torch

from natonnx.architecture import LETTERS, Architecture, State, find_liveness
from natonnx.frontend import parse
from natonnx.policy import PROPOSERS
from natonnx.search.lookup import Lookups
from natonnx.search.price import Madds
from natonnx.search.propose import make_proposer
from tools.benchmarks.bench_scaling import generated
from tools.command import run_command

__all__ = ["Result", "SyntheticScore", "propose", "space"]

_LIGHT = Path(onnx.__file__).parent / "backend" / "test" / "data" / "light"
_FILES = {
    "resnet20": Path(__file__).parents[2] / "models" / "resnet20-fashion.onnx",
    "resnet50": _LIGHT / "light_resnet50.onnx",
    "densenet121": _LIGHT / "light_densenet121.onnx",
}
_DEPTH, _KIND, _OWN = 0.7, 0.4, 0.8
"""Standard deviations of the logarithms of losses, by where an edge is, by its kind, and by nothing that is known."""
_INTERACTION, _TOTAL = 0.5, 12.0


class SyntheticScore:
    """Minus a loss that is made up: of single edges, pairs of edges that touch, and all together.

    Args:
        beta: The architecture that loses nothing.
        seed: Of what each edge and each pair lose.
        heavy: Whether losses grow exponentially, as likelihoods do, instead of quadratically.
    """

    def __init__(self, beta: Architecture, seed: int, heavy: bool = False) -> None:
        chance = np.random.default_rng(seed)
        topology, edges = beta.topology, len(beta.states)
        self._own, self._heavy = self._states(beta), heavy
        size = np.array([0 if edge.operation is None else edge.operation.madds or 0 for edge in topology.edges], float)
        kinds = [
            None if edge.operation is None else (edge.operation.kind, edge.operation.kernel) for edge in topology.edges
        ]
        of_kind = {kind: chance.normal(0, _KIND, len(LETTERS)) for kind in dict.fromkeys(kinds)}
        depth = np.array([target for _, target in topology.ends]) / len(topology.maps)
        waves = sum(chance.normal(0, _DEPTH / k) * np.sin(np.pi * (k * depth + chance.random())) for k in (1, 2, 3, 4))
        exponent = chance.normal(0, _OWN, (edges, len(LETTERS))) + np.array([of_kind[kind] for kind in kinds])
        exponent += np.asarray(waves)[:, None] + 0.3 * np.log(np.maximum(size / max(size.max(), 1.0), 1e-3))[:, None]
        self._edges = np.exp(exponent) * np.where(size > 0, 1.0, chance.normal(0.05, 0.1, edges))[:, None]
        self._edges *= _TOTAL / np.maximum(self._edges, 0).max(1).sum()
        touching = np.zeros((edges, edges))
        for entering, leaving in zip(topology.incoming, topology.outgoing, strict=True):
            around = [*entering, *leaving]
            touching[np.ix_(around, around)] = 1
        strength = np.sqrt(np.abs(self._edges).max(1))
        self._pairs = (
            np.triu(touching, 1) * chance.normal(0, _INTERACTION, (edges, edges)) * np.outer(strength, strength)
        )

    def __call__(self, alpha: Architecture) -> float:
        """Return the score of an architecture; β's is 0."""
        states = self._states(alpha)
        changed = states != self._own
        own = self._edges[np.arange(len(states)), states] * changed
        total = float(own.sum())
        total = max(total + float(changed @ self._pairs @ changed), 0.5 * total)  # pairs never make up for much
        return -(float(np.expm1(min(total, 50.0))) if self._heavy else total + 0.5 * max(total, 0.0) ** 2)

    @staticmethod
    def _states(architecture: Architecture) -> "np.ndarray[tuple[int], np.dtype[np.intp]]":
        states = np.array([LETTERS.index(state) for state in architecture.states])
        states[~find_liveness(architecture).active] = LETTERS.index(State.N)
        return states


@dataclass(frozen=True)
class Result:
    """What a proposer found.

    Attributes:
        loss: Of the best α within the target; infinite where there is none.
        used: Look-ups.
        seconds: Of the processor, for the proposer alone, without the scores.
        curve: The least loss so far, after each look-up.
    """

    loss: float
    used: int
    seconds: float
    curve: tuple[float, ...]


@cache
def space(name: str) -> Architecture:
    """Return a network's architecture: one of the files', or `generated-N` of about N nodes."""
    if name.startswith("generated-"):
        return parse(generated(int(name.removeprefix("generated-")))).architecture
    return parse(onnx.load(_FILES[name])).architecture


def propose(
    beta: Architecture, score: Callable[[Architecture], float], method: str, target: float, limit: int, seed: int
) -> Result:
    """Let a proposer work.

    Args:
        beta: The space.
        score: A look-up.
        method: One of `PROPOSERS`.
        target: Highest cost, as a fraction of β's.
        limit: Look-ups that there may be.
        seed: Of the proposer.
    """
    scoring, curve = 0.0, [np.inf]

    def timed(alpha: Architecture) -> float:
        nonlocal scoring
        begun = time.process_time()
        found = score(alpha)
        if alpha.states != beta.states:
            curve.append(min(curve[-1], -found) if price.cost(alpha) <= target * price.full else curve[-1])
        scoring += time.process_time() - begun
        return found

    price = Madds(beta)
    lookups = Lookups(beta, price, timed, limit)
    begun = time.process_time()
    make_proposer(method, seed=seed).propose(lookups, [target], torch.Generator().manual_seed(seed))
    seconds = time.process_time() - begun - scoring
    return Result(curve[-1], lookups.used, seconds, tuple(curve[1:]))


def _listed(_context: click.Context, _parameter: click.Parameter, value: str) -> tuple[str, ...]:
    return tuple(value.split(","))


@click.command()
@click.option("--spaces", default="resnet50,densenet121", show_default=True, callback=_listed)
@click.option("--methods", default="gcn-directed,evolution,greedy,beam,random", show_default=True, callback=_listed)
@click.option("--limits", default="60,100,200,400", show_default=True, callback=_listed, help="Look-ups.")
@click.option("--targets", default="0.8,0.5", show_default=True, callback=_listed)
@click.option("--seeds", default=5, show_default=True, type=click.IntRange(1))
@click.option("--heavy/--quadratic", default=False, show_default=True, help="How losses grow.")
def main(
    spaces: Sequence[str],
    methods: Sequence[str],
    limits: Sequence[str],
    targets: Sequence[str],
    seeds: int,
    heavy: bool,
) -> None:
    """Print losses over the least that is known, and milliseconds a look-up, by method and number of look-ups."""
    for name in methods:
        if name not in PROPOSERS:
            raise click.BadParameter(f"unknown method {name!r}: choose from {', '.join(PROPOSERS)}")
    for name in spaces:
        beta = space(name)
        scores = [SyntheticScore(beta, seed, heavy) for seed in range(seeds)]
        for target in map(float, targets):
            click.echo(f"\n{name}, {len(beta.states)} edges, target {target:g}\n")
            _table(beta, scores, methods, [int(limit) for limit in limits], target)


def _table(
    beta: Architecture, scores: Sequence[SyntheticScore], methods: Sequence[str], limits: Sequence[int], target: float
) -> None:
    """Run every method with every number of look-ups on every score, and print the means."""
    found: dict[tuple[str, int], list[Result]] = {}
    for method in methods:
        for limit in limits:
            runs = [propose(beta, score, method, target, limit, seed) for seed, score in enumerate(scores)]
            found[method, limit] = runs
    best = [min(runs[i].loss for runs in found.values()) for i in range(len(scores))]
    click.echo(f"| method | {' | '.join(map(str, limits))} | look-ups used | ms a look-up |")
    click.echo(f"|---|{'---|' * len(limits)}---|---|")
    for method in methods:
        cells = []
        for limit in limits:
            ratios = [run.loss / least for run, least in zip(found[method, limit], best, strict=True)]
            cells.append(f"{np.mean(ratios):.2f}" if np.isfinite(ratios).all() else "none")
        last = found[method, limits[-1]]
        used, seconds = sum(run.used for run in last), sum(run.seconds for run in last)
        click.echo(f"| {method} | {' | '.join(cells)} | {used / len(last):.0f} | {1000 * seconds / used:.1f} |")


if __name__ == "__main__":
    run_command(main)
