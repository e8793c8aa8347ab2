"""Before the work: refuse an objective or a reward of the user's own that tells nothing: its result is luck."""

from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import Any

import torch
from torch import Tensor

from natonnx.errors import InputError
from natonnx.search import OwnObjective
from natonnx.search.assess import original_runner
from natonnx.search.objective import Outputs
from natonnx.search.own import WORST, RunnableModel, judge, name_of
from natonnx.search.runner import evaluation_batch, tensor_batches
from natonnx.search.score import targets_of
from natonnx.supernet import Supernet
from natonnx.verbs.objectives import refuse_unless
from natonnx.verbs.optimize.prepare import Prepared
from natonnx.verbs.optimize.rebuild import Original
from natonnx.verbs.scoring import runnable_file

__all__ = ["check_own"]

_Change = Callable[[Tensor], Tensor]

_WRONG: tuple[_Change, ...] = (torch.zeros_like, lambda value: 1 - value.float(), lambda value: value.roll(1, 0))
"""What makes a model's outputs wrong: nothing of them is left, they mean the opposite, they are another sample's."""


def check_own(prepared: Prepared, original: Original, *, force: bool) -> None:
    """Refuse the user's own objective or reward if it says the same of a model's outputs and of wrong ones.

    Args:
        prepared: The model and its data.
        original: The model's file, scored.
        force: Warn only.

    Raises:
        InputError: If so, unless forced; or if a loss is no number, or depends on no output.
    """
    problem = prepared.problem
    if isinstance(problem.objective, OwnObjective):
        _check_loss(prepared, problem.objective)
    if problem.reward is not None:
        _check_reward(prepared, original.score.value, force=force)
    elif isinstance(problem.objective, OwnObjective):
        _check_score(prepared, original, force=force)


def _check_reward(prepared: Prepared, said: float, *, force: bool) -> None:
    network, reward = prepared.source.network, prepared.problem.reward
    assert reward is not None
    file = runnable_file(network, network.model, torch.get_num_threads())

    def ask(change: _Change) -> float:
        def run(inputs: Mapping[str, Tensor], size: int) -> Outputs:
            return _changed(file.run(inputs, size), change)

        return judge(reward, RunnableModel(run, network))

    if _is_deaf(said, ask):
        told = f"returns {said:g} whatever the model gives (it was tried with wrong outputs), which tells nothing"
        refuse_unless(force, f"{name_of(reward)}: {told}: run the model, and judge what it gives")


def _check_score(prepared: Prepared, original: Original, *, force: bool) -> None:
    objective = original.validation
    validation = prepared.problem.validation
    batch = next(tensor_batches(validation, evaluation_batch(validation), original.device))
    outputs = original.run(batch.inputs, batch.size)
    targets = targets_of(objective, batch, original.run, ranked=False).score
    said, again = (objective.score(outputs, targets) for _ in range(2))
    if not torch.allclose(said, again, rtol=1e-4):
        refuse_unless(force, f"{objective.name}.score: scores the same outputs otherwise when asked again: mend it")
    if _is_deaf(said.tolist(), lambda change: objective.score(_changed(outputs, change), targets).tolist()):
        told = f"scores {batch.size} samples the same whatever the model gives (it was tried with wrong outputs)"
        refuse_unless(force, f"{objective.name}.score: {told}, which tells nothing: judge what the model gives")


def _is_deaf(said: Any, ask: Callable[[_Change], Any]) -> bool:
    """Return whether the same is said of all wrong outputs; code that fails of them has heard them."""
    for change in _WRONG:
        found = None
        with suppress(Exception):
            found = ask(change)
        if found != said:
            return False
    return True


def _changed(outputs: Outputs, change: _Change) -> Outputs:
    return {name: change(value) if value.is_floating_point() else value for name, value in outputs.items()}


def _check_loss(prepared: Prepared, objective: OwnObjective) -> None:
    """Refuse a loss that is no number for the model as it is, or that no weight changes."""
    run = original_runner(prepared.problem, Supernet(prepared.problem.network).to(prepared.problem.device))
    validation = prepared.problem.validation
    batch = next(tensor_batches(validation, evaluation_batch(validation), prepared.problem.device))
    targets = targets_of(objective, batch, run)
    assert targets.loss is not None
    made = run(batch.inputs, batch.size)
    outputs = {name: value.detach().requires_grad_(value.is_floating_point()) for name, value in made.items()}
    loss = objective.loss(outputs, targets.loss)
    if not abs(float(loss.detach())) <= -WORST:
        raise InputError(
            f"{objective.name}.loss: returned {float(loss):g} for the model as it is, on the first validation samples; "
            "it must be a finite number"
        )
    if not loss.requires_grad:
        raise InputError(f"{objective.name}.loss: returned a number without a gradient: compute it from the outputs")
