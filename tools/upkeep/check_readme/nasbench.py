"""Compare a page's table of learners on NAS-Bench-201 with the tables that tools.benchmarks.bench_policy prints."""

import re

from tools.upkeep.check_readme.page import Shown, tables
from tools.upkeep.check_readme.place import Ran

__all__ = ["captured"]

_DATASETS = ("CIFAR-10", "CIFAR-100", "ImageNet16-120")
_NOT_WORSE = "cells not made worse, CIFAR-10"
_SPREADS, _LEAST = 3, 0.01


def captured(shown: Shown, ran: Ran) -> list[str]:
    """Every learner that ran, on every data set: `random` to the digit, others within three times the page's ±."""
    page = {row["learner"]: row for row in tables(shown.below)[0].records()}
    printed = {}
    for table in tables(ran.stdout):
        if "captured" in table.header:
            printed.update({(row["learner"], row["data"]): row for row in table.records()})
    if not printed:
        return ["prints no table with a column `captured`"]
    problems = []
    for (learner, data), row in printed.items():
        if learner not in page:
            problems.append(f"the page lacks {learner}")
            continue
        pairs = [(page[learner][data], row["captured"])]
        if data == "CIFAR-10":
            pairs.append((page[learner][_NOT_WORSE], row["not worse (test)"]))
        problems += [
            f"{learner}, {data}: {real}, on the page {stated}"
            for stated, real in pairs
            if (stated != real if learner == "random" else _far(stated, real))
        ]
    learners = {learner for learner, _ in printed}
    problems += [f"does not print {learner}" for learner in page if ran.full and learner not in learners]
    return problems + [f"does not print {data}" for data in _DATASETS if (next(iter(learners)), data) not in printed]


def _far(stated: str, real: str) -> bool:
    (mean, *spread), (found, *_) = (list(map(float, re.split(" ± ", text))) for text in (stated, real))
    return abs(mean - found) > max([_LEAST, *(_SPREADS * each for each in spread)])
