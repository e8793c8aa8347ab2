"""What a search may be told."""

from typing import Any

import numpy as np
import pytest

from natonnx.errors import InputError
from natonnx.policy import LEARNERS, PROPOSERS
from natonnx.search import Settings
from natonnx.search.settings import Recipe


def test_the_default_learner_is_the_first() -> None:
    assert Settings().learner == LEARNERS[0] == PROPOSERS[0]


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"algorithm": "magic"}, "unknown algorithm 'magic': choose refit or paper"),
        ({"learner": "magic"}, "unknown learner 'magic'"),
        ({"learner": "greedy", "algorithm": "paper"}, "unknown learner 'greedy'"),
        ({"reward": "luck"}, "unknown reward 'luck'"),
        ({"epochs": 0}, "epochs 0"),
        ({"finetune_epochs": -1}, "fine-tuning epochs -1"),
        ({"finetune_epochs": float("inf")}, "fine-tuning epochs inf"),
        ({"learning_rate": -0.1}, "learning rate -0.1"),
        ({"policy_learning_rate": float("nan")}, "policy's learning rate nan"),
        ({"entropy": -1.0}, "entropy -1.0"),
        ({"learner": "greedy", "policy": "pretrained"}, "policy pretrained is for a learned policy: greedy has none"),
        ({"target_madds": np.array([0.5, 2.0])}, "--target-madds"),
        ({"target_madds": 0.0}, "--target-madds 0.0: must be above 0"),
        ({"target_madds": 1.5}, "--target-madds 1.5: must be above 0 and at most 1"),
        ({"target_madds": ()}, "--target-madds"),
        ({"target_madds": (0.8, 0.0)}, "--target-madds"),
        ({"target_madds": float("nan")}, "--target-madds"),
        ({"target_latency": "5MB"}, "--target-latency 5MB: must be above 0"),
        ({"target_latency": "0.5,5ms"}, "--target-latency 0.5,5ms: .* all of them fractions or all in a unit"),
        ({"target_size": "many"}, "--target-size many"),
        ({"target_madds": (0.8, 0.5), "target_params": 0.5}, "several targets are for one cost"),
        ({"target_madds": (0.8, 0.5), "algorithm": "paper"}, "several targets of a cost are for --algorithm refit"),
        ({"training": False, "algorithm": "paper"}, "no training is for --algorithm refit"),
        ({"max_drop": -1.0}, "max drop"),
        ({"confidence": 1.0}, "confidence 1.0 must be above 0.5 and below 1, such as 0.95"),
        ({"confidence": 0.5}, "confidence 0.5"),
        ({"confidence": float("nan")}, "confidence nan"),
        ({"time_budget": 0.0}, "time budget"),
        ({"lookups": 0}, "look-ups 0"),
        ({"alphas": 1}, "alphas 1"),
        ({"edits": 0.0}, "edits 0.0"),
        ({"batch": 1}, "batch 1"),
        ({"reward_batch": 1}, "reward batch 1"),
        ({"evaluated": 0}, "evaluated 0"),
        ({"finalists": 0}, "finalists 0"),
        ({"finetune_learning_rate": 0.0}, "fine-tuning's learning rate 0.0 must be a number above 0"),
        ({"finetune_learning_rate": float("inf")}, "fine-tuning's learning rate inf"),
        ({"weights": "none"}, "unknown weights 'none': choose file or scratch"),
        ({"weights": "scratch", "training": False}, "weights scratch are to be trained"),
        ({"weight_decay": -1e-4}, "weight decay -0.0001 must be a number, not negative"),
        ({"distillation": -0.1}, "distillation -0.1 must be from 0 to 1"),
        ({"distillation": 1.5}, "distillation 1.5"),
    ],
)
def test_nonsense_is_refused(fields: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=message):
        Settings(**fields)


@pytest.mark.parametrize("learner", PROPOSERS)
def test_every_proposer_is_a_learner(learner: str) -> None:
    assert Settings(learner=learner).learner == learner
    if learner in LEARNERS:
        assert Settings(learner=learner, algorithm="paper").learner == learner


def test_the_recipe_is_the_usual_one_of_its_protocol_where_nothing_is_said() -> None:
    assert (Settings().protocol, Settings().recipe) == ("fine-tuned", Recipe(6, 0.03, 0.5))
    assert Settings(training=False).protocol == "refitted"
    scratch = Settings(weights="scratch")
    assert (scratch.protocol, scratch.recipe) == ("scratch", Recipe(60, 0.1, 0.0))
    given = Settings(weights="scratch", finetune_epochs=0, distillation=0.3)
    assert given.recipe == Recipe(0, 0.1, 0.3)
