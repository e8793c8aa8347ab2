"""Score an architecture as the search does: by the objective on validation, and by the user's own function."""

from collections.abc import Mapping

from torch import Tensor

from natonnx.architecture import Architecture
from natonnx.search.objective import Outputs
from natonnx.search.own import RunnableModel, judge
from natonnx.search.problem import Problem
from natonnx.search.runner import Runner, supernet_runner
from natonnx.search.score import Score, evaluate
from natonnx.supernet import Supernet

__all__ = ["assess", "original_runner", "runnable", "with_reward"]


def assess(problem: Problem, supernet: Supernet, architecture: Architecture, original: Runner) -> Score:
    """Score an architecture on the validation split in evaluation mode."""
    supernet.eval()
    run = supernet_runner(supernet, architecture, problem.objective.captures)
    found = evaluate(run, problem.objective, problem.validation, problem.device, original)
    if problem.reward is None:
        return found
    return with_reward(found, judge(problem.reward, runnable(problem, supernet, architecture)))


def with_reward(score: Score, reward: float) -> Score:
    """Return a score in which the user's own function decides and ranks; what else is known stays, but not `each`."""
    return score._replace(value=reward, ranking=reward, standard_error=0.0, each=())


def runnable(problem: Problem, supernet: Supernet, architecture: Architecture) -> RunnableModel:
    """Wrap an architecture as a reward function calls it, by the supernet's weights and running statistics."""
    inner = supernet_runner(supernet, architecture, problem.network.batch_axes.outputs)

    def run(inputs: Mapping[str, Tensor], size: int) -> Outputs:
        supernet.eval()
        placed = {name: value.to(problem.device) for name, value in inputs.items()}
        return {name: value.cpu() for name, value in inner(placed, size).items()}

    return RunnableModel(run, problem.network)


def original_runner(problem: Problem, supernet: Supernet) -> Runner:
    """Run the original model by a supernet that nothing trains: what is followed and distilled."""
    captures = {**problem.objective.captures, **problem.distillation.loss_captures}
    inner = supernet_runner(supernet, problem.network.architecture, captures)

    def run(inputs: Mapping[str, Tensor], size: int) -> Outputs:
        supernet.eval()
        return inner(inputs, size)

    return run
