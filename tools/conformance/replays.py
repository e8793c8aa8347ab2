"""Try legal α's of models against an oracle of their own.

Command: `python -m tools.conformance.replays MODEL... [--node-cases]`.

Each α is written and compared with a replay (natonnx.rewrite.replay): the source run node by node in onnxruntime,
without graph optimisations, the edits carried out on its values, at two batch sizes where the batch is free. It shares
neither the lowering nor the supernet with what it judges.
"""

import random
import tempfile
import warnings
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import click
import onnx

from natonnx.architecture import Architecture, State, edits_between, legal_transitions, violation
from natonnx.errors import NatonnxError
from natonnx.frontend import Network, ParseOptions, Transitions, load
from natonnx.rewrite import build
from natonnx.rewrite.outputs import OutputsCheck
from tools.conformance.wild.alphas import random_alpha

__all__ = ["Tally", "node_cases", "tally"]

RATES = (0.05, 0.15, 0.4)


@dataclass
class Tally:
    """What the α's of one model gave.

    Attributes:
        equal: How many were equal to their replay.
        unable: Why others were not compared, and how many each.
        wrong: What was wrong, with the edits.
    """

    equal: int = 0
    unable: Counter[str] = field(default_factory=Counter)
    wrong: list[str] = field(default_factory=list)


def node_cases() -> Iterator[tuple[str, onnx.ModelProto]]:
    """ONNX's official node cases that have a model."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from onnx.backend.test.case.node import collect_testcases

        cases = collect_testcases(None)
    yield from ((case.name, case.model) for case in cases if case.model is not None)


def tally(path: Path, singles: int, draws: int, seed: int = 0, reading: ParseOptions | None = None) -> Tally:
    """Compare a model's legal single edits, and random legal α's, with their replays.

    Args:
        path: The model.
        singles: How many single edits at most, spread over the model.
        draws: How many random α's.
        seed: Of the α's.
        reading: How the model is read.

    Raises:
        InputError: If natonnx does not take the model.
    """
    network, found = load(path, reading).network, Tally()
    for alpha in _alphas(network, singles, draws, seed):
        edits = ", ".join(f"{e} {old}->{new}" for e, old, new in edits_between(network.architecture, alpha))
        try:
            verdict = OutputsCheck(network, alpha, build(network, alpha)).replayed
        except NatonnxError as error:
            found.unable[str(error)] += 1
            continue
        except Exception as error:  # whatever it is, it is what we look for
            found.wrong.append(f"{type(error).__name__}: {error} after {edits}")
            continue
        if not verdict.made:
            found.unable[verdict.detail] += 1
        elif verdict.passed:
            found.equal += 1
        else:
            found.wrong.append(f"{verdict.detail} after {edits}")
    return found


def _alphas(network: Network, singles: int, draws: int, seed: int) -> Iterator[Architecture]:
    beta = network.architecture
    legal = [
        (e, state)
        for e, verdict in enumerate(legal_transitions(beta))
        for state, reason in verdict.items()
        if reason is None
    ]
    generator = random.Random(seed)  # noqa: S311 - not for secrets
    for e, state in generator.sample(legal, min(singles, len(legal))):
        alpha = beta.with_states(_changed(beta, e, state))
        if violation(alpha, beta) is None:
            yield alpha
    for draw in range(draws if legal else 0):
        yield random_alpha(beta, generator, RATES[draw % len(RATES)])


def _changed(beta: Architecture, edge: int, state: State) -> tuple[State, ...]:
    return (*beta.states[:edge], state, *beta.states[edge + 1 :])


@click.command(context_settings={"help_option_names": ["-h", "--help"]})
@click.argument("models", nargs=-1, type=click.Path(path_type=Path, exists=True, dir_okay=False))
@click.option("--node-cases", "official", is_flag=True, help="ONNX's official node cases, too.")
@click.option("--singles", default=30, show_default=True, help="Most single edits a model.")
@click.option("--draws", default=10, show_default=True, help="Random legal α's a model.")
@click.option("--seed", default=0, show_default=True)
@click.option("--transitions", type=click.Choice(["nat", "nat++"]), default="nat", show_default=True)
def main(models: tuple[Path, ...], *, official: bool, singles: int, draws: int, seed: int, transitions: str) -> None:
    """Compare α's of models with their replays; exit with 1 where one is wrong."""
    total, refused = Tally(), Counter[str]()
    reading = ParseOptions(transitions=Transitions(transitions))

    def add(name: str, path: Path) -> None:
        try:
            found = tally(path, singles, draws, seed, reading)
        except NatonnxError as error:
            refused[f"{name}: {str(error).removeprefix(f'{path}: ')}"] += 1
            return
        total.equal += found.equal
        total.unable += found.unable
        total.wrong += [f"{name}: {one}" for one in found.wrong]
        if not official or found.wrong or found.unable:
            counts = f"{found.equal} equal, {found.unable.total()} not compared, {len(found.wrong)} wrong"
            click.echo(f"{name}: {counts}")

    for path in models:
        add(str(path), path)
    if official:
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "model.onnx"
            for name, model in node_cases():
                onnx.save(model, path)
                add(name, path)
    for line in (*refused, *(f"{count} × {reason}" for reason, count in total.unable.items()), *total.wrong):
        click.echo(line)
    summary = f"{total.equal} α's equal, {total.unable.total()} not compared, {len(total.wrong)} wrong"
    click.echo(f"{summary}; {refused.total()} models refused")
    raise SystemExit(1 if total.wrong else 0)


if __name__ == "__main__":
    main()
