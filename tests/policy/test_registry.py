"""Learners of one's own: registered by a decorator, or named as package.module:name."""

from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from natonnx.errors import InputError
from natonnx.policy import FEATURES, LEARNERS, Head, Policy, is_learner, make_policy, register_learner
from natonnx.policy.graph import Graph
from natonnx.policy.registry import _CLASSES, policy_class
from tests.architecture.examples import residual_network

BETA = residual_network(3)
HERE = f"{__name__}:Linear"


class Linear(Policy):
    """Looks at each edge by itself."""

    def __init__(self, *, edits: float = 3.0, seed: int = 0, width: int = 8) -> None:
        super().__init__(edits)
        self.width = width
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            self.body, self.head = nn.Linear(FEATURES, width), Head(width)

    def forward(self, features: Tensor, choices: Tensor, graph: Graph) -> Tensor:
        """See `Policy.forward`."""
        del graph
        scores: Tensor = self.head(torch.relu(self.body(features)), choices)
        return scores


class Demanding(Linear):
    """Cannot be made as a search makes it."""

    def __init__(self, edits: float) -> None:
        super().__init__(edits=edits)


class Raising(Linear):
    """Fails as it is made, by a fault of its own."""

    def __init__(self, *, edits: float = 3.0, seed: int = 0) -> None:
        super().__init__(edits=edits, seed=seed)
        raise OSError("no such weights")


@pytest.fixture(autouse=True)
def registered() -> Iterator[None]:
    """Forget what a test registers."""
    yield
    for name in _CLASSES.keys() - set(LEARNERS):
        del _CLASSES[name]


@pytest.mark.parametrize("learner", LEARNERS)
def test_each_of_ours_is_registered_under_its_name(learner: str) -> None:
    assert is_learner(learner)
    assert policy_class(learner) is type(make_policy(learner))
    assert len({policy_class(name) for name in LEARNERS}) == len(LEARNERS)


def test_a_class_is_a_learner_by_its_place() -> None:
    assert is_learner(HERE)
    policy = make_policy(HERE, edits=2.0, seed=3, width=4)
    assert type(policy).__name__ == "Linear"
    assert policy.edits == 2.0
    assert policy.state_dict()["body.weight"].shape == (4, FEATURES)
    assert policy.logits(BETA).shape == (len(BETA.states), 3)


def test_a_class_is_a_learner_by_the_name_that_it_is_registered_under() -> None:
    assert not is_learner("by-itself")
    assert register_learner("by-itself")(Linear) is Linear
    assert is_learner("by-itself")
    assert isinstance(make_policy("by-itself"), Linear)
    register_learner("by-itself")(Demanding)  # as a module that is loaded again does
    assert policy_class("by-itself") is Demanding


@pytest.mark.parametrize(
    ("name", "told"), [("lstm", "is one of natonnx's own"), ("a.b:c", "reads like package.module:name")]
)
def test_a_name_that_is_taken_is_refused(name: str, told: str) -> None:
    with pytest.raises(InputError, match=f"^learner '{name}': {told}"):
        register_learner(name)(Linear)


@pytest.mark.parametrize(
    ("learner", "told"),
    [
        ("nowhere.at_all:Policy", "cannot be imported"),
        (f"{__name__}:Nothing", "cannot be imported"),
        ("pathlib:Path", r"is no subclass of natonnx\.policy\.Policy$"),
        (f"{__name__}:HERE", r"is no subclass of natonnx\.policy\.Policy$"),
        (f"{__name__}:Demanding", "cannot be made with edits and seed by name"),
    ],
)
def test_what_is_no_learner_is_refused(learner: str, told: str) -> None:
    with pytest.raises(InputError, match=f"^--learner {learner}: {told}"):
        make_policy(learner)


def test_a_fault_of_its_own_is_said_to_be_its_own() -> None:
    with pytest.raises(OSError, match="no such weights") as caught:
        make_policy(f"{__name__}:Raising")
    assert caught.value.__notes__ == [f"natonnx was running {__name__}:Raising"]


@pytest.mark.parametrize(
    ("given", "told"),
    [
        (torch.zeros(2, 3), r"a tensor \[2, 3\]"),
        (torch.full((len(BETA.states), 3), torch.nan), r"a tensor \[\d+, 3\]"),
        (None, "NoneType"),
    ],
)
def test_scores_that_are_none_are_refused(given: Tensor | None, told: str) -> None:
    class Wrong(Linear):
        def forward(self, features: Tensor, choices: Tensor, graph: Graph) -> Tensor:
            del features, choices, graph
            return given  # type: ignore[return-value]

    wanted = f"finite scores \\[edges, choices\\], here \\[{len(BETA.states)}, 3\\]"
    with pytest.raises(InputError, match=rf"Wrong: forward gave {told}; it must give {wanted}$"):
        Wrong().logits(BETA)


def test_a_learner_in_the_current_folder_is_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "mine_of_a_test.py").write_text(f"from {__name__} import Linear\n\n\nclass Mine(Linear): ...\n")
    monkeypatch.chdir(tmp_path)
    assert type(make_policy("mine_of_a_test:Mine")).__name__ == "Mine"
