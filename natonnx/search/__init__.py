"""One search: proposer × look-ups × price × spending; or Algorithm 1 as the paper has it."""

from natonnx.search.agreement import Agreement
from natonnx.search.clock import Clock
from natonnx.search.decide import Constraint, Criteria, Decision, decide, judge, promised
from natonnx.search.effort import Effort, expected
from natonnx.search.objective import Labels, Objective, Unit
from natonnx.search.outcome import Candidate, Outcome, Scored
from natonnx.search.own import OwnObjective, RewardFunction, RunnableModel
from natonnx.search.price import Price
from natonnx.search.problem import Problem
from natonnx.search.progress import Progress, Step, silent
from natonnx.search.run import search
from natonnx.search.score import Score
from natonnx.search.settings import REWARDS, Settings

__all__ = [
    "REWARDS",
    "Agreement",
    "Candidate",
    "Clock",
    "Constraint",
    "Criteria",
    "Decision",
    "Effort",
    "Labels",
    "Objective",
    "Outcome",
    "OwnObjective",
    "Price",
    "Problem",
    "Progress",
    "RewardFunction",
    "RunnableModel",
    "Score",
    "Scored",
    "Settings",
    "Step",
    "Unit",
    "decide",
    "expected",
    "judge",
    "promised",
    "search",
    "silent",
]
