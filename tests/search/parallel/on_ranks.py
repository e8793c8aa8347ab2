"""What `test_ranks` runs on two ranks: a search of the tiny network, and one training by both; rank 0 prints JSON."""

import json
import sys

import numpy as np
import torch

from natonnx.errors import InputError, NatonnxError
from natonnx.frontend import parse
from natonnx.search import Problem, Score, Settings, search
from natonnx.search.finetune import Finetuning, Limit
from natonnx.search.parallel.ranks import Ranks, RanksExecutor, follow
from natonnx.search.parallel.tasks import LookUp
from natonnx.search.parallel.worker import Worker
from natonnx.search.samples import Samples
from natonnx.search.spend import Start
from natonnx.search.team import Team
from tests.search.conftest import tiny_model, tiny_problem, tiny_split

SETTINGS = Settings(
    batch=30, lookups=12, learner="greedy", target_madds=(0.8, 0.5), training=False, finetune_learning_rate=0.05
)


def main() -> None:
    """Rank 0 decides, the other one follows."""
    network = parse(tiny_model())
    problem = tiny_problem(network, network.architecture, augment="shift-flip", train=tiny_split(247, 1))
    ranks = Ranks(torch.device("cpu"))
    found: dict[str, object] = {"rank": ranks.rank, "size": ranks.size, **searched(ranks, problem), **trained(problem)}
    found["refused"] = refused(ranks)
    if ranks.rank == 0:
        sys.stdout.write(json.dumps(found))
    ranks.close()


def searched(ranks: Ranks, problem: Problem) -> dict[str, bool]:
    """Search by both, and by rank 0 alone: the same to the last bit."""
    ranks.agree("the same")
    if ranks.rank:
        return {"told": follow(ranks, Worker(problem, SETTINGS, Samples().fitting(problem))) == "found"}
    together = search(problem, SETTINGS, executor=lambda worker: RanksExecutor(ranks, worker))
    ranks.tell(("done", "found"))
    alone = search(problem, SETTINGS)
    pairs = list(zip(alone.candidates, together.candidates, strict=True))
    return {
        "candidates": len(pairs) == 2,
        "architectures": all(a.architecture == b.architecture for a, b in pairs),
        "scores": [one.validation for one in alone.scored] == [one.validation for one in together.scored],
        "weights": all(np.array_equal(value, b.weights[name]) for a, b in pairs for name, value in a.weights.items()),
    }


def trained(problem: Problem) -> dict[str, float]:
    """Train by both, half of it from a state, and by each alone; there is no normalisation, so that it is the same."""
    worker = Worker(problem, SETTINGS, Samples().fitting(problem))
    start, limit = Start(problem.network.architecture, {}), Limit(500)
    alone = worker.training(start, limit)
    alone.run(1.0)
    first = worker.training(start, limit)
    first.run(0.3)
    first.run(0.6, team=Team())
    second = worker.training(start, limit)
    second.load_dict(first.to_dict())
    second.run(1.0, team=Team())
    before = worker.training(start, limit)
    return {"images": second.images - alone.images, "apart": apart(second, alone), "moved": apart(alone, before)}


def apart(one: Finetuning, other: Finetuning) -> float:
    """The largest difference of weights."""
    weights = other.supernet.weights()
    return max(float(np.abs(value - weights[name]).max()) for name, value in one.supernet.weights().items())


def refused(ranks: Ranks) -> str:
    """What rank 0 is told where a task fails on the other one."""
    network = parse(tiny_model())
    problem = tiny_problem(network, network.architecture)
    worker = Worker(problem, SETTINGS, Samples().fitting(problem))
    if ranks.rank:
        worker.looker.look_up = failing  # type: ignore[assignment, method-assign]
        follow(ranks, worker)
        return ""
    states = "".join(network.architecture.states)
    try:
        RanksExecutor(ranks, worker).map([LookUp(states), LookUp(states)])
    except NatonnxError as error:
        ranks.tell(("done", None))
        return str(error)
    return "not at all"


def failing(_alpha: object) -> Score:
    """Fail as a look-up that meets a broken file does."""
    raise InputError("b.png: cannot be read as an image: mend or remove it")


if __name__ == "__main__":
    main()
