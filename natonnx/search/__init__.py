"""Algorithm 1 of the paper for a given model, and what follows it: selection and fine-tuning."""

from natonnx.search.decide import Constraint, Decision, decide
from natonnx.search.outcome import Candidate, Outcome, Scored
from natonnx.search.problem import Problem
from natonnx.search.progress import Progress, Step, silent
from natonnx.search.reward import RewardFunction, RunnableModel
from natonnx.search.run import search
from natonnx.search.score import Score, TensorSplit
from natonnx.search.settings import REWARDS, Settings

__all__ = [
    "REWARDS",
    "Candidate",
    "Constraint",
    "Decision",
    "Outcome",
    "Problem",
    "Progress",
    "RewardFunction",
    "RunnableModel",
    "Score",
    "Scored",
    "Settings",
    "Step",
    "TensorSplit",
    "decide",
    "search",
    "silent",
]
