"""Does a policy trained on NAS-Bench-201 learn faster on a real model? Evaluations needed to reach a given reward.

For each model the supernet's weights are trained once, on β and its neighbours, and then kept. θ learns on them by the
search's own steps, from the pretrained policy and from scratch, with several seeds. The budget holds what α's cost on
average near one target, so that rewards can be compared. "Reached" is the first evaluation at which the mean reward of
the last four rounds is the given one, at a mean cost near the target: what scratch ends with, on the mean of its seeds.
"""

import copy
import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import click
import numpy as np

from natonnx.frontend import load
from natonnx.search import Problem, Settings
from natonnx.search.assess import original_runner
from natonnx.search.clock import Clock
from natonnx.search.paper.algorithm import Algorithm1
from natonnx.search.paper.run import start
from natonnx.search.runner import Runner
from natonnx.supernet import Supernet
from natonnx.verbs.optimize.prepare import prepare
from tools.command import run_command

_WINDOW = 4
_TARGET = 0.7
_SLACK = 0.05


@dataclass(frozen=True)
class Learning:
    """One run of θ.

    Attributes:
        model: The file's name.
        policy: Where θ started.
        seed: Of everything random.
        evaluations: Minibatch evaluations of α's and β's up to each round.
        rewards: Mean reward of the α's of each round, accuracy points.
        madds: Their mean MAdds over β's.
    """

    model: str
    policy: str
    seed: int
    evaluations: Sequence[int]
    rewards: Sequence[float]
    madds: Sequence[float]

    @property
    def smooth(self) -> list[tuple[int, float, float]]:
        """Evaluations, and means of reward and MAdds over the last rounds, from the first full window on."""
        ends = range(_WINDOW, len(self.rewards) + 1)
        means = [[float(np.mean(row[end - _WINDOW : end])) for end in ends] for row in (self.rewards, self.madds)]
        return list(zip(self.evaluations[_WINDOW - 1 :], *means, strict=True))

    def reached(self, reward: float) -> int | None:
        """Evaluations until a reward is reached near the target."""
        return next(
            (count for count, found, spent in self.smooth if found >= reward and spent <= _TARGET + _SLACK), None
        )


@click.command()
@click.argument("models", nargs=-1, required=True, type=click.Path(exists=True, path_type=Path))
@click.option("--seeds", default=3, show_default=True)
@click.option("--rounds", default=16, show_default=True, help="Passes over the validation split.")
@click.option("--epochs", default=3, show_default=True, help="Passes over the training split, before.")
@click.option("--policies", default="pretrained,scratch", show_default=True, help="See natonnx optimize --policy.")
@click.option("--json", "as_json", type=click.Path(path_type=Path), help="Write every figure here.")
def main(models: Sequence[Path], seeds: int, rounds: int, epochs: int, policies: str, as_json: Path | None) -> None:
    """Compare starting points of θ on MODELS (which name built-in data)."""
    everything: list[Learning] = []
    print("| model | θ from | first reward | last reward | last MAdds | evaluations to reach scratch's last |")
    print("|---|---|---|---|---|---|", flush=True)
    for path in models:
        problem = prepare(load(path)).problem
        supernet, original = _train(problem, epochs)
        found = [
            _learn(path, problem, supernet, original, policy, seed, rounds)
            for policy in policies.split(",")
            for seed in range(seeds)
        ]
        everything += found
        goal = float(np.mean([run.smooth[-1][1] for run in found if run.policy == "scratch"]))
        for policy in policies.split(","):
            runs = [run for run in found if run.policy == policy]
            reached = ", ".join(str(run.reached(goal) or f"more than {run.evaluations[-1]}") for run in runs)
            ends = [f"{np.mean([run.smooth[i][1] for run in runs]):+.2f}" for i in (0, -1)]
            spent = ", ".join(f"{run.smooth[-1][2]:.2f}" for run in runs)
            print(f"| {path.stem} | {policy} | {ends[0]} | {ends[1]} | {spent} | {reached} |", flush=True)
    if as_json:
        as_json.write_text(json.dumps([asdict(run) for run in everything], indent=1))


def _train(problem: Problem, epochs: int) -> tuple[Supernet, Runner]:
    """Weights shared by β and its neighbours."""
    original = original_runner(problem, Supernet(problem.network).to(problem.device))
    settings = Settings(algorithm="paper", learner="random", target_madds=_TARGET)
    state = start(problem, settings, original)
    state.budget.approach(1.0)
    state.budget.calibrate(state.policy, problem.network.architecture, state.generator)
    algorithm = Algorithm1(problem, settings, state, original, Clock(None))
    for _ in range(epochs):
        algorithm.train_weights()
    return state.supernet, original


def _learn(
    path: Path, problem: Problem, supernet: Supernet, original: Runner, policy: str, seed: int, rounds: int
) -> Learning:
    settings = Settings(algorithm="paper", policy=policy, seed=seed, target_madds=_TARGET, epochs=rounds)
    state = start(problem, settings, original)
    state.supernet = copy.deepcopy(supernet)
    algorithm = Algorithm1(problem, settings, state, original, Clock(None))
    state.budget.approach(1.0)
    evaluations, rewards, madds = [], [], []
    groups = -(-(problem.validation.samples or 0) // settings.reward_batch)
    for done in range(rounds):
        row = algorithm.train_policy()
        state.history.append({"epoch": done + 1, **row})
        evaluations.append((done + 1) * groups * (settings.alphas + 1))
        rewards.append(100 * row["reward"])
        madds.append(row["cost"])
    return Learning(path.stem, policy, seed, evaluations, rewards, madds)


if __name__ == "__main__":
    run_command(main)
