"""A search whose parts are carried out elsewhere finds what it finds alone, to the last bit."""

import gc
import io
import weakref
from collections.abc import Sequence
from dataclasses import fields, replace
from typing import Any

import numpy as np
import pytest
import torch

from natonnx.search import Outcome, Problem, Settings, search
from natonnx.search.finetune import Finetuning, Limit
from natonnx.search.keys import key
from natonnx.search.parallel.executor import Spread
from natonnx.search.parallel.tasks import KINDS, LookUp, Settle, Task, Train, digest_of
from natonnx.search.parallel.worker import Worker
from natonnx.search.progress import Stage
from natonnx.search.propose.moves import Moves
from natonnx.search.samples import Samples
from natonnx.search.spend import Start

FAST = Settings(finetune_epochs=1, batch=48, lookups=12, learner="greedy", target_madds=(0.8, 0.5))


class Elsewhere(Spread):
    """Sends every task through bytes to one of several workers, which share nothing but the problem."""

    def __init__(self, worker: Worker, others: Sequence[Worker]) -> None:
        super().__init__(worker)
        self._others, self.width, self.carried = others, len(others), list[str]()

    def map(self, tasks: Sequence[Task], stage: Stage | None = None) -> list[dict[str, Any]]:
        del stage
        found = []
        for task in tasks:
            worker = self._others[len(self.carried) % len(self._others)]
            self.carried.append(type(task).__name__)
            sent = KINDS[self.carried[-1]](**through_bytes(task.plain()))
            assert sent.digest("search") == task.digest("search")
            found.append(through_bytes(sent.run(worker)))
            self._worker.looker.images += found[-1].get("images", 0)
        return found


def test_a_training_is_not_taken_for_one_that_is_gone(problem: Problem) -> None:
    """A new one may lie where the old one lay in memory."""
    worker, start, limit = Worker(problem, FAST, Samples()), Start(problem.network.architecture, {}), Limit(480)
    executor = Elsewhere(worker, [Worker(problem, FAST, Samples())])
    training = worker.training(start, limit)
    executor.train([(start, training)], 1.0)
    place, gone = id(training), weakref.ref(training)
    del training
    gc.collect()
    assert gone() is None
    made = [Finetuning.__new__(Finetuning)]
    while id(made[-1]) != place and len(made) < 10_000:
        made.append(Finetuning.__new__(Finetuning))
    another = made[-1]
    assert id(another) == place
    vars(another).update(vars(worker.training(start, limit)))
    executor.train([(start, another)], 0.2)
    assert another.images == 96


def through_bytes(value: dict[str, Any]) -> dict[str, Any]:
    buffer = io.BytesIO()
    torch.save(value, buffer)
    made: dict[str, Any] = torch.load(io.BytesIO(buffer.getvalue()), weights_only=True)
    return made


def are_equal(one: Outcome, other: Outcome) -> bool:
    return len(one.candidates) == len(other.candidates) and all(
        a.architecture == b.architecture
        and a.validation == b.validation
        and a.images == b.images
        and all(np.array_equal(value, b.weights[name]) for name, value in a.weights.items())
        for a, b in zip(one.candidates, other.candidates, strict=True)
    )


@pytest.mark.parametrize("learner", ["greedy", "gcn-directed"])
@pytest.mark.parametrize("count", [2, 3])
def test_what_is_carried_out_elsewhere_is_the_same(problem: Problem, learner: str, count: int) -> None:
    given, settings = replace(problem, augment="shift-flip"), replace(FAST, learner=learner)
    executors: list[Elsewhere] = []

    def spread(worker: Worker) -> Elsewhere:
        executors.append(Elsewhere(worker, [Worker(given, settings, worker.samples) for _ in range(count)]))
        return executors[0]

    alone, together = search(given, settings), search(given, settings, executor=spread)
    assert are_equal(alone, together)
    assert alone.images.training == together.images.training
    assert [scored.validation[:5] for scored in alone.scored] == [scored.validation[:5] for scored in together.scored]
    carried = executors[0].carried
    assert {kind: carried.count(kind) > 1 for kind in KINDS} == dict.fromkeys(KINDS, True)


class Late(Elsewhere):
    """Others come when some look-ups were made, and leave before the end."""

    @property
    def width(self) -> int:
        looked = len(self._worker.looker.scores)
        return 3 if 4 <= looked < 9 else 1

    @width.setter
    def width(self, value: int) -> None:
        pass


def test_those_who_help_come_and_go(problem: Problem) -> None:
    executors: list[Late] = []

    def spread(worker: Worker) -> Late:
        executors.append(Late(worker, [Worker(problem, FAST, worker.samples) for _ in range(3)]))
        return executors[0]

    alone, together = search(problem, FAST), search(problem, FAST, executor=spread)
    assert are_equal(alone, together)
    assert 1 < executors[0].carried.count("LookUp") < 12


def test_without_training_too(problem: Problem) -> None:
    settings = replace(FAST, training=False)
    alone = search(problem, settings)
    together = search(
        problem, settings, executor=lambda worker: Elsewhere(worker, [Worker(problem, settings, worker.samples)] * 2)
    )
    assert are_equal(alone, together)


def digest_of_state(found: dict[str, Any]) -> str:
    """Of all but the seconds that it took."""
    return digest_of({**found["state"], "seconds": 0.0})


@pytest.fixture
def worker(problem: Problem) -> Worker:
    return Worker(problem, FAST, Samples().fitting(problem))


def training_task(worker: Worker, problem: Problem, until: float = 0.5) -> Train:
    alpha = Moves(problem.network.architecture, problem.prices[0]).all[0].architecture
    start = Start(alpha, {})
    state = worker.training(start, Limit(480)).to_dict()
    return Train(key(alpha), start.to_dict(), (480, None), state, "", until)


def test_a_task_carried_out_twice_returns_the_same(worker: Worker, problem: Problem) -> None:
    """Whatever the worker did before; so that it may be begun anew anywhere."""
    task = training_task(worker, problem)
    first = task.run(worker)
    LookUp(task.states).run(worker)
    assert digest_of_state(task.run(worker)) == digest_of_state(first)
    other = Worker(problem, FAST, worker.samples)
    assert digest_of_state(task.run(other)) == digest_of_state(first)


def test_a_training_goes_on_where_it_was_left(worker: Worker, problem: Problem) -> None:
    """By its state, or by what the worker still has of it."""
    task = training_task(worker, problem)
    half = task.run(worker)
    rest = replace(task, state=half["state"], mark=half["mark"], until=1.0)
    by_state = rest.run(Worker(problem, FAST, worker.samples))
    assert digest_of_state(rest.run(worker)) == digest_of_state(by_state)
    whole = replace(task, until=1.0).run(worker)
    assert digest_of_state(whole) == digest_of_state(by_state)


def test_a_digest_names_all_that_matters(worker: Worker, problem: Problem) -> None:
    task = training_task(worker, problem)
    name = task.digest("search")
    weights = {**task.state["weights"]} if task.state is not None else {}
    changed = next(iter(weights))
    weights[changed] = weights[changed] + torch.finfo(torch.float32).eps
    others = [
        replace(task, until=0.75),
        replace(task, states=task.states[::-1]),
        replace(task, limit=(481, None)),
        replace(task, state={**(task.state or {}), "weights": weights}),
        replace(task, state={**(task.state or {}), "images": 48}),
        Settle(**{**{f.name: getattr(task, f.name) for f in fields(task) if f.name != "until"}, "samples": 1}),
    ]
    names = {one.digest("search") for one in others} | {task.digest("another")}
    assert name not in names
    assert len(names) == len(others) + 1
    slower = {**(task.state or {}), "seconds": 7.0}
    assert replace(task, mark="elsewhere", state=slower).digest("search") == name
    timed = replace(task, limit=(480, 60.0))
    assert replace(timed, state=slower).digest("search") != timed.digest("search")


@pytest.mark.parametrize(
    ("one", "other"),
    [(1, 1.0), (1, True), ("1", 1), ((1, 2), (12,)), ({"a": 1, "b": 2}, {"a": 2, "b": 1}), (None, "None"), ([], {})],
)
def test_a_digest_tells_apart_what_looks_alike(one: Any, other: Any) -> None:
    assert digest_of(one) != digest_of(other)
    assert digest_of(one) == digest_of(one)


def test_a_digest_knows_no_order_of_names() -> None:
    assert digest_of({"a": 1, "b": torch.ones(2)}) == digest_of({"b": torch.ones(2), "a": 1})
    assert digest_of(torch.ones(2)) != digest_of(torch.ones(2, dtype=torch.float64))
    assert digest_of(torch.ones(2, 1)) != digest_of(torch.ones(1, 2))
